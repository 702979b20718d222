//! Media in the kernel from one Ethernet to another: carrier, edge and buyer each have a network of their own.
//!
//! ```text
//!   carrier  eth0 ────── to-carrier  edge  to-buyer ────── eth0  buyer
//! ```

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::alone::is_alone;
use crate::calls::{call, is_completed};
use crate::captures::payloads;
use crate::collection::shared_corpus;
use crate::edge::Edge;
use crate::process::{Process, eventually, show};
use crate::sipp::Sipp;
use crate::site::Site;

const TEST: &str = "wires::sound_passes_from_wire_to_wire_in_the_kernel_and_back_as_an_echo";

#[test]
fn sound_passes_from_wire_to_wire_in_the_kernel_and_back_as_an_echo() {
    let Some(corpus) = shared_corpus() else {
        show("../shared is missing: its captures were NOT played; set STROWGER_SHARED to its path");
        return;
    };
    if !is_alone(TEST, "true") {
        return;
    }
    let file = corpus.join("media/g711a.pcap");
    let sent = payloads(&fs::read(&file).expect("a capture"));
    let mut site = Site::new()
        .on_wires()
        .relayed("")
        .in_the_kernel("\"to-carrier\", \"to-buyer\"");
    let address = site.next_buyer();
    site.buyer_with("first", address, |_| {});
    run(&format!("ip addr add {}/32 dev lo", site.edge()));
    let carrier = Wire::new(&site, "to-carrier", site.carrier());
    let buyer = Wire::new(&site, "to-buyer", address);
    let edge = Edge::start(&site);
    if edge.sum_of("strowger_media_kernel_interfaces{state=\"attached\"}") != 2.0 {
        show("NOT TESTED: this machine does not let streams be forwarded in the kernel");
        edge.shows(
            "strowger_media_kernel_interfaces{state=\"refused\"}",
            |refused| refused == 2.0,
        );
        return;
    }
    let [mut ear, mut back] = [&buyer, &carrier].map(|wire| wire.listen(&site));

    let mut echo = Sipp::buyer("buyer_answers", address)
        .arguments(&["-rtp_echo"])
        .within(buyer.process.id())
        .start(site.folder());
    let mut caller = call(&site, "carrier_call")
        .plays(&file)
        .talks(Duration::from_secs(10))
        .within(carrier.process.id())
        .start(site.folder());
    caller.passes();
    echo.passes();

    let record = edge.record();
    is_completed(&record, "first", "caller");
    edge.holds_no_call();
    let (forward, backward) = (ear.stop(), back.stop());
    assert!(sent.len() > 100, "{}", sent.len());
    for (what, frames) in [("to the buyer", forward), ("to the carrier", backward)] {
        let came: Vec<Frame> = frames
            .into_iter()
            .filter(|frame| frame.from == site.edge())
            .collect();
        let sound: Vec<&Vec<u8>> = came.iter().map(|frame| &frame.payload).collect();
        let [mut came_once, mut sent_once] = [sound, sent.iter().collect()];
        came_once.sort();
        sent_once.sort();
        assert!(
            came_once == sent_once,
            "{what}: {} packets of {}",
            came_once.len(),
            sent.len()
        );
        for frame in &came {
            assert_eq!((frame.ttl, frame.service), (64, 46 << 2), "{what}");
        }
    }
    for party in ["caller", "buyer"] {
        let media = &record["media"][party];
        assert_eq!(media["packets"], sent.len(), "{media}");
        assert_eq!(
            (&media["lost"], &media["dropped"]),
            (&0.into(), &0.into()),
            "{media}"
        );
    }
    // All but the first second.
    edge.shows("strowger_media_kernel_packets_total", |packets| {
        packets > sent.len() as f64
    });
}

/// A network of its own with one interface, and the wire to it.
struct Wire {
    process: Process,
    name: &'static str,
}

impl Wire {
    fn new(site: &Site, name: &'static str, address: Ipv4Addr) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "300"]);
        let process = Process::start(name, &mut command, site.folder(), "util-linux");
        let wire = Self { process, name };
        let own = fs::read_link("/proc/self/ns/net").expect("a network");
        let theirs = format!("/proc/{}/ns/net", wire.process.id());
        let is_apart = || fs::read_link(&theirs).is_ok_and(|theirs| theirs != own);
        assert!(eventually(Duration::from_secs(10), is_apart));
        let (id, edge) = (wire.process.id(), site.edge());
        run(&format!(
            "ip link add {name} type veth peer name eth0 netns {id}"
        ));
        run(&format!("ip link set {name} up"));
        for command in [
            "ip link set lo up".to_owned(),
            format!("ip addr add {address}/32 dev eth0"),
            "ip link set eth0 up".to_owned(),
            format!("ip route add {edge}/32 dev eth0 src {address}"),
        ] {
            run(&format!("nsenter --net={theirs} {command}"));
        }
        run(&format!("ip route add {address}/32 dev {name} src {edge}"));
        wire
    }

    /// Has all RTP written down that passes at the far end.
    fn listen(&self, site: &Site) -> Ear {
        let file = site.folder().join(format!("{}.pcap", self.name));
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.process.id()));
        command
            .args(["tcpdump", "-i", "eth0", "-U", "-Z", "root", "-w"])
            .arg(&file);
        command.args(["udp", "and", "not", "port", "5060", "and", "greater", "100"]);
        let name = format!("ear-{}", self.name);
        let process = Process::start(&name, &mut command, site.folder(), "tcpdump");
        // It writes the file's header when it listens.
        let is_there = || fs::metadata(&file).is_ok_and(|file| file.len() >= 24);
        assert!(
            eventually(Duration::from_secs(10), is_there),
            "{}",
            process.said()
        );
        Ear { process, file }
    }
}

/// Who writes packets down.
struct Ear {
    process: Process,
    file: PathBuf,
}

/// One of them.
struct Frame {
    from: Ipv4Addr,
    ttl: u8,
    service: u8,
    payload: Vec<u8>,
}

impl Ear {
    /// What it has heard.
    fn stop(&mut self) -> Vec<Frame> {
        // What came last is written by then.
        std::thread::sleep(Duration::from_millis(500));
        self.process.kill();
        let capture = fs::read(&self.file).expect("a capture");
        let contents = payloads(&capture);
        let mut at = 24;
        let frames = contents.into_iter().map(|payload| {
            let length = capture[at + 8..at + 12].try_into().map(u32::from_le_bytes);
            let ip = &capture[at + 16 + 14..];
            at += 16 + length.expect("four bytes") as usize;
            Frame {
                from: Ipv4Addr::new(ip[12], ip[13], ip[14], ip[15]),
                ttl: ip[8],
                service: ip[1],
                payload,
            }
        });
        frames.collect()
    }
}

fn run(command: &str) {
    let mut words = command.split(' ');
    let program = words.next().expect("a program");
    let output = Command::new(program).args(words).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {said}");
}
