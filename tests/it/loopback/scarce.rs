//! Ports, descriptors and memory: calls are refused while there are none, and taken as soon as there are.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process;

use super::process::{Process, awaits};
use super::site::{Buyer, Carrier, Site, header, http_get};
use crate::security::figure;

/// A thousand calls on twenty ports.
#[test]
fn row_33_a_pool_of_twenty_ports() {
    let buyer = Buyer::start();
    let site = relaying(&buyer, 33, "24000-24019");
    let edge = site.start();
    let target = edge.addresses()[0];
    let (mut taken, mut refused) = (0, 0);

    while taken + refused < 1000 {
        let mut up = calls(target, 10, &mut refused);
        // The ports of the calls before may still be on their way back.
        awaits("four have ports", || {
            let more = 4_usize.saturating_sub(up.len());
            up.extend(calls(target, more, &mut refused));
            up.len() >= 4
        });
        taken += up.len();
        // Two pairs for each, and so many are left for what calls under way may ask for.
        assert_eq!(up.len(), 4, "after {taken} taken and {refused} refused");
        up.into_iter().for_each(|mut carrier| carrier.hang_up());
    }

    let (_, metrics) = http_get(edge.http_address().unwrap(), "/metrics");
    let line = "strowger_media_ports{state=\"in_use\"} 0";
    assert!(metrics.lines().any(|one| one == line), "{metrics}");
    edge.stop();
    let text = format!(
        "twenty ports, {} calls: {taken} taken, {refused} got 503, four at once after every round",
        taken + refused
    );
    figure(33, &text);
}

/// 256 descriptors, of which a call whose media is relayed takes four.
#[test]
fn row_33_few_descriptors() {
    let buyer = Buyer::start();
    let site = relaying(&buyer, 34, "24000-24999");
    let mut process = Process::start_with_descriptors(&site, 256);
    let (target, before) = (process.sip, process.descriptors());
    let mut refused = 0;

    let first = calls(target, 150, &mut refused);
    let most = process.descriptors();
    let count = first.len();
    first.into_iter().for_each(|mut carrier| carrier.hang_up());
    let mut refused_again = 0;
    let second = calls(target, 20, &mut refused_again);

    assert!(
        (20..=64).contains(&count),
        "{count} calls, {refused} refused"
    );
    assert_eq!(count + refused, 150);
    assert_eq!((second.len(), refused_again), (20, 0), "it has recovered");
    second.into_iter().for_each(|mut carrier| carrier.hang_up());
    assert_eq!(http_get(process.http, "/readyz").0, 200);
    process.signal(libc::SIGTERM);
    assert_eq!(process.exit_code(), Some(0));
    let text = format!(
        "256 descriptors, {before} before and {most} at most: of 150 calls {count} taken, {refused} refused; then 20 of 20 taken"
    );
    figure(33, &text);
}

/// Beside a flood of 2,000 strangers, a thousand calls take no more than what is said of a call, and it all fits.
#[test]
fn row_32_memory() {
    const CALLS: u64 = 1000;
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    let mut process = Process::start(&site);
    let target = process.sip;
    let mut refused = 0;
    // What is there once and for all.
    let warm = calls(target, 50, &mut refused);
    warm.into_iter().for_each(|mut carrier| carrier.hang_up());
    let before = process.memory();

    let mut up = Vec::new();
    let mut sent = 0_u32;
    for _ in 0..CALLS / 10 {
        up.extend(calls(target, 10, &mut refused));
        let [.., high, low] = (sent / 10).to_be_bytes();
        for _ in 0..200 {
            let stranger = UdpSocket::bind((Ipv4Addr::new(127, 67, high, low), 0)).unwrap();
            let text = format!("INVITE sip:{sent}@sip.example.com SIP/2.0\r\nVia: nobody\r\n");
            stranger.send_to(text.as_bytes(), target).unwrap();
            sent += 1;
        }
    }
    let during = process.memory();

    assert_eq!((up.len() as u64, refused), (CALLS, 0));
    let grown = during.saturating_sub(before);
    // A call's budget, and what a flood may take.
    assert!(
        grown <= CALLS * 24 + 32 * 1024,
        "{before} KiB, {during} KiB"
    );
    assert!(during < 256 * 1024, "{during} KiB");
    up.into_iter().for_each(|mut carrier| carrier.hang_up());
    process.signal(libc::SIGTERM);
    assert_eq!(process.exit_code(), Some(0));
    let text = format!(
        "{before} KiB before, {during} KiB with {CALLS} calls beside {sent} datagrams of strangers"
    );
    figure(32, &text);
}

/// Calls so often: those that were answered. The others are refused in an orderly way.
fn calls(target: SocketAddr, count: usize, refused: &mut usize) -> Vec<Carrier> {
    let mut up = Vec::new();
    for _ in 0..count {
        let mut carrier = Carrier::new(target);
        let invite = carrier.invite("+12125550101");
        let answer = carrier.try_by(&invite);
        if answer.starts_with("SIP/2.0 200 ") {
            up.push(carrier);
            continue;
        }
        assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
        carrier.send(&ack(&invite, &answer));
        *refused += 1;
    }
    up
}

/// The ACK of a refusal (RFC 3261 §17.1.1.3).
fn ack(invite: &[u8], refusal: &str) -> Vec<u8> {
    let invite = String::from_utf8_lossy(invite);
    let (head, _) = invite.split_once("\r\n\r\n").unwrap();
    let lines = head.lines().filter_map(|line| {
        let name = line.split(':').next()?;
        match name {
            "To" => Some(format!("To: {}", header(refusal, "To"))),
            "CSeq" => Some("CSeq: 1 ACK".to_owned()),
            "Content-Length" => Some("Content-Length: 0".to_owned()),
            "Content-Type" => None,
            _ => Some(line.replacen("INVITE ", "ACK ", 1)),
        }
    });
    let lines: Vec<String> = lines.collect();
    format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

/// A place where media is relayed, by ports that do not rest; another run of the tests has another address, as a rule.
fn relaying(buyer: &Buyer, part: u8, ports: &str) -> Site {
    let site = Site::with_buyer(1, buyer.address);
    let [.., high, low] = process::id().to_be_bytes();
    let own = Ipv4Addr::new(127, part, high, low.max(1));
    let media = format!("\n[media]\nbind = [\"{own}\"]\nports = \"{ports}\"\nrest = \"0s\"\n");
    site.append(&media);
    site
}
