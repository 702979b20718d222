//! Media at an rtpengine, as the running edge asks it: answers, silence, and another one after a reload.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use strowger::edge::Disk;

use super::site::{Buyer, Carrier, Site, closed_port};

#[test]
fn a_call_goes_to_the_rtpengine_that_answers_and_its_figures_into_the_record() {
    let (buyer, rtpengine) = (Buyer::start(), Rtpengine::start());
    let site = Site::with_buyer(1, buyer.address);
    site.append(&section(&[closed_port(), rtpengine.address]));
    let edge = site.start();

    for _ in 0..8 {
        let mut carrier = Carrier::new(edge.addresses()[0]);
        carrier.call("+12125550101");
        carrier.hang_up();
    }

    let metrics = edge.metrics();
    edge.stop();
    for record in site.records() {
        assert_eq!(record["outcome"], "completed");
        assert_eq!(record["media"]["caller"]["packets"], 7, "{record}");
    }
    assert_eq!(site.records().len(), 8);
    let line = "strowger_rtpengines{state=\"up\"} 1";
    assert!(metrics.lines().any(|shown| shown == line), "{metrics}");
}

#[test]
fn without_an_rtpengine_calls_get_503_until_a_reload_names_one() {
    let (buyer, rtpengine) = (Buyer::start(), Rtpengine::start());
    let site = Site::with_buyer(1, buyer.address);
    let before = fs::read_to_string(&site.config).unwrap();
    site.append(&section(&[closed_port()]));
    let mut edge = site.start();

    let carrier = Carrier::new(edge.addresses()[0]);
    carrier.send(&carrier.invite("+12125550101"));
    let answer = carrier.receive_where(|answer| !answer.starts_with("SIP/2.0 1"));
    assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
    assert!(answer.contains("text=\"no_media\""), "{answer}");

    fs::write(&site.config, before + &section(&[rtpengine.address])).unwrap();
    edge.reload(&site.config, &Disk::new().unwrap()).unwrap();
    let mut carrier = Carrier::new(edge.addresses()[0]);
    carrier.call("+12125550101");
    carrier.hang_up();
    edge.stop();

    let outcomes = site.records();
    let outcomes: Vec<_> = outcomes.iter().map(|record| &record["outcome"]).collect();
    assert_eq!(outcomes, ["no_media", "completed"]);
}

fn section(rtpengines: &[SocketAddr]) -> String {
    let tables = rtpengines
        .iter()
        .map(|address| format!("[[media.rtpengine]]\naddress = \"{address}\"\n"));
    format!(
        "[media]\nplane = \"rtpengine\"\n{}",
        tables.collect::<String>()
    )
}

/// One that gives each description back as it is, and has always heard seven packets of the caller's.
struct Rtpengine {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Rtpengine {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let timeout = Duration::from_millis(50);
        socket.set_read_timeout(Some(timeout)).unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !heard.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    let request = String::from_utf8_lossy(&buffer[..length]);
                    socket.send_to(reply(&request).as_bytes(), from).unwrap();
                }
            }
        });
        Self {
            address,
            is_over,
            thread: Some(thread),
        }
    }
}

impl Drop for Rtpengine {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of its own has shown in the test already.
            let _ = thread.join();
        }
    }
}

fn reply(request: &str) -> String {
    let (cookie, rest) = request.split_once(' ').unwrap();
    if rest.contains("7:command4:ping") {
        return format!("{cookie} d6:result4:ponge");
    }
    if rest.contains("7:command6:delete") {
        let stream = "d5:flagsl3:RTPe5:statsd5:bytesi1204e7:packetsi7eee";
        let caller = format!("6:callerd6:mediasld7:streamsl{stream}eeee");
        return format!("{cookie} d6:result2:ok4:tagsd{caller}ee");
    }
    let (_, sdp) = rest.split_once("3:sdp").unwrap();
    let (length, sdp) = sdp.split_once(':').unwrap();
    let sdp = &sdp[..length.parse().unwrap()];
    format!("{cookie} d6:result2:ok3:sdp{length}:{sdp}e")
}
