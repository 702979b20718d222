//! Captures of real RTP, played by SIPp through a call: every packet comes out as it went in.

use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use crate::calls::call;
use crate::calls::is_completed;
use crate::collection::shared_corpus;
use crate::edge::Edge;
use crate::process::show;
use crate::sipp::Sipp;
use crate::site::Site;

/// Where the buyer's SIPp says that it hears media.
const MEDIA_PORT: u16 = 7000;

#[test]
fn what_sipp_plays_comes_out_bit_for_bit() {
    let Some(corpus) = shared_corpus() else {
        show("../shared is missing: its captures were NOT played; set STROWGER_SHARED to its path");
        return;
    };
    for (name, time, digits) in [
        ("g711a.pcap", 10_000, ""),
        ("dtmf_2833_5.pcap", 2500, "5"),
        ("dtmf_2833_pound.pcap", 2500, "#"),
    ] {
        let file = corpus.join("media").join(name);
        let capture = fs::read(&file).expect("a capture");
        let sent = payloads(&capture);
        assert!(sent.len() >= 5, "{name}: {} packets", sent.len());

        let (heard, record) = play(&file, Duration::from_millis(time), OWN);

        comes_out(name, &sent, &heard, (&record, digits));
    }
}

#[test]
fn what_sipp_plays_comes_out_bit_for_bit_of_a_shared_port() {
    let Some(corpus) = shared_corpus() else {
        show("../shared is missing: its captures were NOT played; set STROWGER_SHARED to its path");
        return;
    };
    let file = corpus.join("media/dtmf_2833_5.pcap");
    let sent = payloads(&fs::read(&file).expect("a capture"));

    let (heard, record) = play(&file, Duration::from_millis(2500), SHARED);

    comes_out("shared", &sent, &heard, (&record, "5"));
}

#[test]
fn what_sipp_plays_comes_out_bit_for_bit_of_the_kernel() {
    let Some(corpus) = shared_corpus() else {
        show("../shared is missing: its captures were NOT played; set STROWGER_SHARED to its path");
        return;
    };
    for (name, time, digits) in [("g711a.pcap", 10_000, ""), ("dtmf_2833_5.pcap", 2500, "5")] {
        let file = corpus.join("media").join(name);
        let sent = payloads(&fs::read(&file).expect("a capture"));
        let site = Site::new().relayed(OWN).in_the_kernel("\"lo\"");

        let (heard, record, edge) = play_at(site, &file, Duration::from_millis(time), OWN);

        comes_out(name, &sent, &heard, (&record, digits));
        edge.shows("strowger_media_kernel_streams", |streams| streams == 0.0);
        let attached = "strowger_media_kernel_interfaces{state=\"attached\"}";
        let refused = "strowger_media_kernel_interfaces{state=\"refused\"}";
        let forwarded = "strowger_media_kernel_packets_total";
        if edge.sum_of(attached) == 1.0 {
            // All but the first second, and what comes with a key.
            let least = if digits.is_empty() { sent.len() / 2 } else { 0 };
            edge.shows(forwarded, |packets| packets >= least as f64);
        } else {
            show("NOT TESTED: this machine does not let streams be forwarded in the kernel");
            edge.shows(refused, |refused| refused == 1.0);
            edge.shows(forwarded, |packets| packets == 0.0);
        }
    }
}

const OWN: &str = "";
const SHARED: &str = "ports = \"shared\"";

/// Asserts that all that was sent was heard, and that the record says so.
fn comes_out(
    name: &str,
    sent: &[Vec<u8>],
    heard: &[Vec<u8>],
    (record, digits): (&serde_json::Value, &str),
) {
    // Loopback loses nothing, but may swap.
    let (sent_once, heard_once): (BTreeSet<_>, BTreeSet<_>) =
        (sent.iter().collect(), heard.iter().collect());
    assert_eq!(heard.len(), sent.len(), "{name}: {record}");
    assert!(
        heard_once == sent_once,
        "{name}: other bytes than were sent"
    );
    let media = &record["media"]["caller"];
    assert_eq!(media["packets"], sent.len(), "{media}");
    assert_eq!(media["dropped"], 0, "{media}");
    assert_eq!(media["digits"], digits, "{media}");
}

/// Plays a capture from the carrier to the buyer, both of whom have these media terms. Gives all that the buyer got, and the
/// call's record.
fn play(capture: &Path, time: Duration, terms: &'static str) -> (Vec<Vec<u8>>, serde_json::Value) {
    let (heard, record, _) = play_at(Site::new().relayed(terms), capture, time, terms);
    (heard, record)
}

fn play_at(
    mut site: Site,
    capture: &Path,
    time: Duration,
    terms: &'static str,
) -> (Vec<Vec<u8>>, serde_json::Value, Edge) {
    let address = site.next_buyer();
    site.buyer_with("first", address, |buyer| buyer.media = terms);
    let edge = Edge::start(&site);
    let ear = UdpSocket::bind((address, MEDIA_PORT)).expect("the buyer's media port");
    ear.set_read_timeout(Some(Duration::from_millis(200)))
        .expect("a time-out");

    let mut buyer = Sipp::buyer("buyer_answers", address)
        .heard_at(MEDIA_PORT)
        .start(site.folder());
    let mut carrier = call(&site, "carrier_call")
        .plays(capture)
        .talks(time)
        .start(site.folder());
    let mut heard = Vec::new();
    let mut packet = [0; 2048];
    while carrier.is_running() {
        if let Ok(length) = ear.recv(&mut packet) {
            heard.push(packet[..length].to_vec());
        }
    }
    carrier.passes();
    buyer.passes();
    let record = edge.record();
    is_completed(&record, "first", "caller");
    edge.holds_no_call();
    let own = "strowger_media_ports{state=\"resting\"}";
    edge.shows(own, |resting| (resting == 0.0) == (terms == SHARED));
    edge.shows("strowger_media_shared_addresses", |heard| heard == 0.0);
    (heard, record, edge)
}

/// The contents of all UDP datagrams in a capture of Ethernet frames (pcap 2.4, little-endian).
pub(crate) fn payloads(capture: &[u8]) -> Vec<Vec<u8>> {
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| capture[at + byte])) as usize;
    let mut found = Vec::new();
    let mut at = 24;
    while at + 16 <= capture.len() {
        let length = word(at + 8);
        let frame = &capture[at + 16..at + 16 + length];
        let ip = &frame[14..];
        let udp = &ip[usize::from(ip[0] & 15) * 4..];
        let size = usize::from(u16::from_be_bytes([udp[4], udp[5]]));
        found.push(udp[8..size].to_vec());
        at += 16 + length;
    }
    found
}
