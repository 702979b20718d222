//! Rows of the threat model that are about connections.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use super::peer::{Peer, Server, Site, connect_from, eventually};
use crate::certificates::Authority;

/// Row 23: TLS without downgrade, and no peer that is not what it says.
#[test]
fn row_23_tls_refuses_every_peer_that_is_not_what_it_says() {
    let site = Site::new();
    let stranger = Authority::new(site.folder(), "stranger");
    let buyers = [
        (
            "right",
            site.authority.certify(&["buyer.example.com"]),
            true,
        ),
        (
            "wrong name",
            site.authority.certify(&["evil.example.com"]),
            false,
        ),
        (
            "other authority",
            stranger.certify(&["buyer.example.com"]),
            false,
        ),
        (
            "expired",
            site.authority.certify_until(&["buyer.example.com"], 2021),
            false,
        ),
    ];
    for (what, identity, is_right) in &buyers {
        let site = Site::new_with(&site);
        let server = Server::tls(identity);
        site.buyer(server.address, "tls", "buyer.example.com");
        let edge = site.start();
        let mut carrier = Peer::tcp(edge.addresses()[1]);
        carrier.send(&carrier.invite("+12125550101", "ip.example.com"));
        let answer = carrier.receive_where(|text| !text.starts_with("SIP/2.0 1"));
        assert_eq!(
            answer.starts_with("SIP/2.0 200 "),
            *is_right,
            "{what}: {answer}"
        );
        assert_eq!(
            server.received("INVITE").len(),
            usize::from(*is_right),
            "{what}"
        );
        edge.stop();
    }

    let edge_site = Site::new_with(&site);
    edge_site.require_client();
    let edge = edge_site.start();
    let address = edge.addresses()[3];
    let known = site.carriers.certify(&["sbc.carrier.example.com"]);
    let forged = stranger.certify(&["sbc.carrier.example.com"]);
    let expired = site
        .carriers
        .certify_until(&["sbc.carrier.example.com"], 2021);
    let callers = [
        ("right", Some(&known), true),
        ("no certificate", None, false),
        ("other authority", Some(&forged), false),
        ("expired", Some(&expired), false),
    ];
    for (what, identity, is_right) in callers {
        let peer = Peer::tls(address, &site.trust(identity), "edge.example.com");
        // With TLS 1.3 a client learns with its first read that it was refused.
        let is_served = peer.is_ok_and(|mut peer| {
            peer.send(&peer.options());
            peer.receive().starts_with("SIP/2.0 200 ")
        });
        assert_eq!(is_served, is_right, "{what}");
    }

    // A hello that knows TLS 1.1 at most is refused with an alert.
    let mut old = TcpStream::connect(address).unwrap();
    old.write_all(HELLO_OF_TLS_1_1).unwrap();
    let mut alert = Vec::new();
    old.read_to_end(&mut alert).unwrap();
    assert_eq!(alert.first(), Some(&21), "an alert: {alert:02x?}");
    edge.stop();
    println!("row 23: 3 of 3 wrong buyers, 3 of 3 wrong callers and TLS 1.1 refused");
}

/// Row 24: slow connections deny nothing to others.
#[test]
fn row_24_slow_connections_deny_nobody() {
    let site = Site::new();
    let edge = site.start();
    let address = edge.addresses()[1];
    let one: IpAddr = Ipv4Addr::new(127, 0, 1, 1).into();
    let start = Instant::now();
    let mut slow = Vec::new();
    for place in 0..4096_u32 {
        // Half of one address, half of as many addresses.
        let ip = if place % 2 == 0 {
            one
        } else {
            Ipv4Addr::from(0x7f02_0000 + place).into()
        };
        let mut stream = connect_from(ip, address);
        // Those that are not let in are reset.
        let _ = stream.write_all(b"O");
        slow.push(stream);
    }

    let asked = Instant::now();
    let mut known = Peer::tcp(address);
    known.send(&known.options());
    assert!(known.receive().starts_with("SIP/2.0 200 "));
    let known_took = asked.elapsed();
    let asked = Instant::now();
    let mut stranger = connect_from(Ipv4Addr::new(127, 3, 0, 1).into(), address);
    stranger.write_all(known.options().as_bytes()).unwrap();
    let mut answer = [0; 12];
    stranger.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"SIP/2.0 200 ");
    let stranger_took = asked.elapsed();
    assert!(known_took < Duration::from_secs(1), "{known_took:?}");
    assert!(stranger_took < Duration::from_secs(1), "{stranger_took:?}");

    // All that are slow are gone within six seconds of their first byte.
    let gone = eventually(|| {
        slow.retain(|stream| !is_closed(stream));
        slow.is_empty()
    });
    assert!(gone.is_some(), "{} are left", slow.len());
    println!(
        "row 24: 4096 slow connections; a known peer served in {known_took:?}, a stranger in \
         {stranger_took:?}; the last slow one gone {:?} after the first began",
        start.elapsed()
    );
    edge.stop();
}

/// Row 25: what Content-Length may say on a stream.
#[test]
fn row_25_content_length_lies_on_a_stream() {
    let site = Site::new();
    let edge = site.start();
    let address = edge.addresses()[1];
    let values = [
        ("0", "200"),
        ("4", "200"),
        ("-1", "400"),
        ("65536", "513"),
        ("2147483648", "513"),
        ("4294967296", "400"),
        ("18446744073709551616", "400"),
        ("1 1", "400"),
        ("0x10", "400"),
        ("", "400"),
        ("4\r\nContent-Length: 4", "200"),
        ("4\r\nContent-Length: 5", "400"),
        ("4\r\nl: 9", "400"),
    ];
    for (value, status) in values {
        let mut peer = Peer::tcp(address);
        let body = if value.starts_with('4') { "body" } else { "" };
        let text = peer.options().replace(
            "Content-Length: 0\r\n\r\n",
            &format!("Content-Length: {value}\r\n\r\n{body}"),
        );
        for byte in text.bytes() {
            peer.send_byte(byte);
        }
        let answer = peer.receive();
        assert!(
            answer.starts_with(&format!("SIP/2.0 {status} ")),
            "Content-Length: {value}: {answer}"
        );
        let is_over = status != "200";
        assert_eq!(peer.is_closed_soon(), is_over, "Content-Length: {value}");
    }
    println!("row 25: {} values on a stream, byte by byte", values.len());
    edge.stop();
}

/// Whether the other end has closed it.
fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut byte = [0];
    match stream.peek(&mut byte) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// A ClientHello of version 3.2 with one cipher suite, as RFC 4346 §7.4.1.2 has it.
const HELLO_OF_TLS_1_1: &[u8] = &[
    22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17,
    18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 0, 0, 2, 0, 47, 1, 0,
];
