//! Media in the kernel from one Ethernet to another: carrier, edge and buyer each have a network of their own.
//!
//! ```text
//!   carrier  eth0 ────── to-carrier  edge  to-buyer ────── eth0  buyer
//! ```
//!
//! The buyer may have a second wire, `to-buyer-2` from its `eth1`.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::alone::is_alone;
use crate::calls::{call, is_completed};
use crate::captures::payloads;
use crate::collection::shared_corpus;
use crate::edge::Edge;
use crate::process::{Process, eventually, show};
use crate::sipp::{Running, Sipp};
use crate::site::Site;

#[test]
fn sound_passes_from_wire_to_wire_in_the_kernel_and_back_as_an_echo() {
    let Some(corpus) = shared_corpus() else {
        show("../shared is missing: its captures were NOT played; set STROWGER_SHARED to its path");
        return;
    };
    let test = "wires::sound_passes_from_wire_to_wire_in_the_kernel_and_back_as_an_echo";
    if !is_alone(test, "true") {
        return;
    }
    let file = corpus.join("media/g711a.pcap");
    let sent = payloads(&fs::read(&file).expect("a capture"));
    let place = Place::new("\"to-carrier\", \"to-buyer\"");
    let Some((edge, [carrier, buyer])) = place.start(2, |_| {}) else {
        return;
    };
    let site = &place.site;
    let [mut ear, mut back] = [&buyer, &carrier].map(|wire| wire.listen(site, "eth0"));

    let [mut caller, mut echo] = place.plays([&carrier, &buyer], &file, 10);
    caller.passes();
    echo.passes();

    let record = edge.record();
    is_completed(&record, "first", "caller");
    edge.holds_no_call();
    assert!(sent.len() > 100, "{}", sent.len());
    for (what, ear) in [("to the buyer", &mut ear), ("to the carrier", &mut back)] {
        let frames = ear.stop_and_hear(site);
        came_once(what, &frames, &sent);
        for frame in &frames {
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
    edge.shows(FORWARDED, |packets| packets > sent.len() as f64);
}

#[test]
fn what_is_longer_than_its_wire_allows_goes_in_fragments_and_the_rest_in_the_kernel() {
    let test =
        "wires::what_is_longer_than_its_wire_allows_goes_in_fragments_and_the_rest_in_the_kernel";
    if is_alone(test, "true") {
        goes_in_fragments(|buyer| {
            run("ip link set to-buyer mtu 600");
            buyer.run("ip link set eth0 mtu 600");
        });
    }
}

#[test]
fn what_is_longer_than_its_route_allows_goes_in_fragments_and_the_rest_in_the_kernel() {
    let test =
        "wires::what_is_longer_than_its_route_allows_goes_in_fragments_and_the_rest_in_the_kernel";
    if is_alone(test, "true") {
        goes_in_fragments(|buyer| {
            let route = format!("{} dev to-buyer src {}", buyer.address, buyer.edge);
            run(&format!("ip route replace {route} mtu 600"));
        });
    }
}

/// Asserts it, once `narrow` has seen to it that no packet longer than 600 bytes gets to the buyer.
fn goes_in_fragments(narrow: impl FnOnce(&Wire)) {
    let place = Place::new("\"to-carrier\", \"to-buyer\"");
    let Some((edge, [carrier, buyer])) = place.start(2, |[_, buyer]| narrow(buyer)) else {
        return;
    };
    let site = &place.site;
    let [mut ear, mut back] = [&buyer, &carrier].map(|wire| wire.listen(site, "eth0"));
    let is_long = |number: u16| number == 200 || number == 350;
    let sent = sound(500, |number| if is_long(number) { 1000 } else { 160 });
    let file = site.folder().join("sent.pcap");
    fs::write(&file, capture(&sent)).expect("a capture");

    let [mut caller, mut echo] = place.plays([&carrier, &buyer], &file, 12);
    caller.passes();
    echo.passes();

    is_completed(&edge.record(), "first", "caller");
    edge.holds_no_call();
    for (what, ear) in [("to the buyer", &mut ear), ("to the carrier", &mut back)] {
        let frames = ear.stop_and_hear(site);
        for frame in &frames {
            let is_whole = frame.longest == frame.payload.len() + 28;
            let is_right = match what {
                "to the buyer" => frame.longest <= 600 && is_whole == (frame.payload.len() < 1000),
                _ => is_whole,
            };
            assert!(is_right, "{what}: {} bytes at once", frame.longest);
        }
        came_once(what, &frames, &sent);
    }
    // Both directions each time.
    edge.shows(RETURNED_FOR_PACKETS, |times| times >= 4.0);
    edge.shows(FORWARDED, |packets| packets > sent.len() as f64 / 2.0);
}

#[test]
fn a_stream_whose_route_changes_goes_on_and_by_the_new_one_in_the_kernel() {
    let test = "wires::a_stream_whose_route_changes_goes_on_and_by_the_new_one_in_the_kernel";
    if !is_alone(test, "true") {
        return;
    }
    let place = Place::new("\"to-carrier\", \"to-buyer\", \"to-buyer-2\"");
    let second = |[_, buyer]: &[Wire; 2]| buyer.lay("to-buyer-2", "eth1");
    let Some((edge, [carrier, buyer])) = place.start(3, second) else {
        return;
    };
    let site = &place.site;
    let mut back = carrier.listen(site, "eth0");
    let [mut first, mut second] = ["eth0", "eth1"].map(|name| buyer.listen(site, name));
    let sent = sound(1500, |_| 160);
    let file = site.folder().join("sent.pcap");
    fs::write(&file, capture(&sent)).expect("a capture");

    let [mut caller, mut echo] = place.plays([&carrier, &buyer], &file, 32);
    becomes(&edge, LENT, 2.0);
    let (own, theirs) = (buyer.edge, buyer.address);
    run(&format!(
        "ip route replace {theirs} dev to-buyer-2 src {own}"
    ));
    // Both directions.
    becomes(&edge, RETURNED_FOR_ROUTES, 2.0);
    buyer.run(&format!("ip route replace {own} dev eth1 src {theirs}"));
    let mut before = None;
    let goes_on = eventually(Duration::from_secs(20), || {
        let forwarded = edge.sum_of(FORWARDED);
        let is_lent = edge.sum_of(LENT) == 2.0;
        let since = *before.get_or_insert(forwarded);
        if !is_lent {
            before = None;
        }
        is_lent && forwarded >= since + 100.0
    });
    assert!(goes_on, "{}", edge.metrics());
    caller.passes();
    echo.passes();

    let record = edge.record();
    is_completed(&record, "first", "caller");
    edge.holds_no_call();
    came_once("to the carrier", &back.stop_and_hear(site), &sent);
    let [before, after] = [&mut first, &mut second].map(|ear| ear.stop_and_hear(site));
    assert!(before.len() > 50, "{}", before.len());
    assert!(after.len() > 100, "{}", after.len());
    let all: Vec<Frame> = before.into_iter().chain(after).collect();
    came_once("to the buyer", &all, &sent);
    for party in ["caller", "buyer"] {
        let media = &record["media"][party];
        assert_eq!(media["packets"], sent.len(), "{media}");
        assert_eq!(media["lost"], 0, "{media}");
    }
}

/// Waits until so many are counted under this name; that takes a second at least, and may take several.
fn becomes(edge: &Edge, name: &str, least: f64) {
    let is_so = eventually(Duration::from_secs(20), || edge.sum_of(name) >= least);
    assert!(is_so, "{}", edge.metrics());
}

/// Asserts that this was heard, each packet once, in whatever order.
fn came_once(what: &str, heard: &[Frame], sent: &[Vec<u8>]) {
    let sound: Vec<&Vec<u8>> = heard.iter().map(|frame| &frame.payload).collect();
    let [mut came, mut sent] = [sound, sent.iter().collect()];
    came.sort();
    sent.sort();
    let (count, all) = (came.len(), sent.len());
    assert!(came == sent, "{what}: {count} packets of {all}");
}

/// So many packets of PCMA, with payloads of these lengths.
fn sound(count: u16, length: impl Fn(u16) -> usize) -> Vec<Vec<u8>> {
    let packet = |number: u16| {
        let mut packet = vec![0x80, 8];
        packet.extend(number.to_be_bytes());
        packet.extend((u32::from(number) * 160).to_be_bytes());
        packet.extend([0, 0, 0, 7]);
        packet.extend((0..length(number)).map(|at| (at ^ usize::from(number)) as u8));
        packet
    };
    (0..count).map(packet).collect()
}

/// A capture of these packets, one every 20 ms.
fn capture(packets: &[Vec<u8>]) -> Vec<u8> {
    let word = u32::to_le_bytes;
    let mut capture = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1]
        .map(word)
        .concat();
    for (number, packet) in (0..).zip(packets) {
        let udp = packet.len() as u16 + 8;
        let length = u32::from(udp) + 20 + 14;
        let time = [number / 50, number % 50 * 20_000, length, length];
        capture.extend(time.map(word).concat());
        capture.extend([0; 12]);
        capture.extend([8, 0, 0x45, 0]);
        capture.extend((udp + 20).to_be_bytes());
        capture.extend([0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        capture.extend([6000, 6000, udp, 0].map(u16::to_be_bytes).concat());
        capture.extend(packet);
    }
    capture
}

/// Where carrier and buyer have wires.
struct Place {
    site: Site,
    buyer: Ipv4Addr,
}

impl Place {
    /// The kernel forwards at these interfaces.
    fn new(interfaces: &'static str) -> Self {
        let mut site = Site::new().on_wires().relayed("").in_the_kernel(interfaces);
        let buyer = site.next_buyer();
        site.buyer_with("first", buyer, |_| {});
        Self { site, buyer }
    }

    /// The edge, and the wires to carrier and buyer, with which `prepare` has done what it wants before; `None`, loudly, where this
    /// machine does not let streams be forwarded in the kernel at so many interfaces.
    fn start(
        &self,
        interfaces: usize,
        prepare: impl FnOnce(&[Wire; 2]),
    ) -> Option<(Edge, [Wire; 2])> {
        let site = &self.site;
        run(&format!("ip addr add {}/32 dev lo", site.edge()));
        let carrier = Wire::new(site, "to-carrier", site.carrier());
        let wires = [carrier, Wire::new(site, "to-buyer", self.buyer)];
        prepare(&wires);
        let edge = Edge::start(site);
        let of = |state: &str| format!("strowger_media_kernel_interfaces{{state=\"{state}\"}}");
        if edge.sum_of(&of("attached")) == interfaces as f64 {
            return Some((edge, wires));
        }
        show("NOT TESTED: this machine does not let streams be forwarded in the kernel");
        edge.shows(&of("refused"), |refused| refused == interfaces as f64);
        None
    }

    /// A carrier that plays a capture and talks for so many seconds, and a buyer that sends back what it hears.
    fn plays(&self, [carrier, buyer]: [&Wire; 2], file: &Path, seconds: u64) -> [Running; 2] {
        let folder = self.site.folder();
        let echo = Sipp::buyer("buyer_answers", self.buyer)
            .arguments(&["-rtp_echo"])
            .within(buyer.process.id())
            .start(folder);
        let caller = call(&self.site, "carrier_call")
            .plays(file)
            .talks(Duration::from_secs(seconds))
            .within(carrier.process.id())
            .start(folder);
        [caller, echo]
    }
}

/// A network of its own, and the wire to it.
struct Wire {
    process: Process,
    address: Ipv4Addr,
    edge: Ipv4Addr,
}

impl Wire {
    fn new(site: &Site, name: &'static str, address: Ipv4Addr) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "300"]);
        let process = Process::start(name, &mut command, site.folder(), "util-linux");
        let edge = site.edge();
        let wire = Self {
            process,
            address,
            edge,
        };
        let own = fs::read_link("/proc/self/ns/net").expect("a network");
        let theirs = format!("/proc/{}/ns/net", wire.process.id());
        let is_apart = || fs::read_link(&theirs).is_ok_and(|theirs| theirs != own);
        assert!(eventually(Duration::from_secs(10), is_apart));
        wire.lay(name, "eth0");
        wire.run("ip link set lo up");
        wire.run(&format!("ip addr add {address}/32 dev eth0"));
        wire.run(&format!("ip route add {edge}/32 dev eth0 src {address}"));
        run(&format!("ip route add {address}/32 dev {name} src {edge}"));
        wire
    }

    /// Lays a wire from this name here to that name there.
    fn lay(&self, here: &str, there: &str) {
        let id = self.process.id();
        run(&format!(
            "ip link add {here} type veth peer name {there} netns {id}"
        ));
        run(&format!("ip link set {here} up"));
        self.run(&format!("ip link set {there} up"));
    }

    /// Runs a command in that network.
    fn run(&self, command: &str) {
        let id = self.process.id();
        run(&format!("nsenter --net=/proc/{id}/ns/net {command}"));
    }

    /// Has all RTP written down that passes at this name there.
    fn listen(&self, site: &Site, interface: &str) -> Ear {
        let name = format!("{interface}-{}", self.address);
        let file = site.folder().join(format!("{name}.pcap"));
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.process.id()));
        command
            .args(["tcpdump", "-i", interface, "-U", "-Z", "root", "-w"])
            .arg(&file);
        command.args(["udp", "and", "not", "port", "5060", "and", "greater", "100"]);
        let name = format!("ear-{name}");
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

/// One of them, put together where it came in fragments.
struct Frame {
    from: Ipv4Addr,
    ttl: u8,
    service: u8,
    /// What IP calls its identification.
    id: [u8; 2],
    /// The longest of its fragments, with the header of IP.
    longest: usize,
    payload: Vec<u8>,
}

impl Ear {
    /// What it has heard from the edge.
    fn stop_and_hear(&mut self, site: &Site) -> Vec<Frame> {
        // What came last is written by then.
        std::thread::sleep(Duration::from_millis(500));
        self.process.kill();
        let capture = fs::read(&self.file).expect("a capture");
        let mut frames: Vec<Frame> = Vec::new();
        let mut at = 24;
        while at + 16 <= capture.len() {
            let length = capture[at + 8..at + 12].try_into().map(u32::from_le_bytes);
            let end = at + 16 + length.expect("four bytes") as usize;
            let ip = &capture[at + 16 + 14..end];
            at = end;
            let half = |at: usize| usize::from(u16::from_be_bytes([ip[at], ip[at + 1]]));
            let (length, offset, id) = (half(2), (half(6) & 0x1fff) * 8, [ip[4], ip[5]]);
            let from = Ipv4Addr::new(ip[12], ip[13], ip[14], ip[15]);
            let data = &ip[20..length];
            if offset == 0 {
                frames.push(Frame {
                    from,
                    ttl: ip[8],
                    service: ip[1],
                    id,
                    longest: length,
                    payload: data[8..].to_vec(),
                });
                continue;
            }
            // Those of SIP are nobody's here: only the first one has a port to be known by.
            let is_its = |frame: &&mut Frame| {
                (frame.from, frame.id, frame.payload.len() + 8) == (from, id, offset)
            };
            if let Some(frame) = frames.iter_mut().rev().find(is_its) {
                frame.payload.extend(data);
                frame.longest = frame.longest.max(length);
            }
        }
        frames.retain(|frame| frame.from == site.edge());
        frames
    }
}

const LENT: &str = "strowger_media_kernel_streams";
const FORWARDED: &str = "strowger_media_kernel_packets_total";
const RETURNED_FOR_PACKETS: &str = "strowger_media_kernel_returns_total{why=\"packet\"}";
const RETURNED_FOR_ROUTES: &str = "strowger_media_kernel_returns_total{why=\"route\"}";

fn run(command: &str) {
    let mut words = command.split(' ');
    let program = words.next().expect("a program");
    let output = Command::new(program).args(words).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {said}");
}
