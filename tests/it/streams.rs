//! SIP over TCP and TLS, with real sockets: who gets through, and who does not.

#![expect(
    clippy::print_stdout,
    reason = "each row of the threat model says the figure it reached"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "real sockets are measured in real time"
)]

mod peer;
mod rows;

use std::net::SocketAddr;
use std::time::Duration;

use self::peer::{Peer, Server, Site};

#[test]
fn options_are_answered_over_tcp_and_tls_and_ipv6() {
    let site = Site::new();
    let edge = site.start();
    for (place, address) in edge.addresses().into_iter().enumerate() {
        let mut peer = match place {
            0 => continue,
            1 | 2 => Peer::tcp(address),
            _ => Peer::tls(address, &site.trust(None), "edge.example.com").unwrap(),
        };

        peer.send(&peer.options());

        assert!(peer.receive().starts_with("SIP/2.0 200 "), "{address}");
    }
    edge.stop();
}

#[test]
fn a_call_comes_by_tls_goes_out_by_tls_and_ends_both_ways() {
    let site = Site::new();
    let server = Server::tls(&site.authority.certify(&["buyer.example.com"]));
    site.buyer(server.address, "tls", "buyer.example.com");
    let edge = site.start();
    let mut carrier =
        Peer::tls(edge.addresses()[3], &site.trust(None), "edge.example.com").unwrap();

    carrier.call("ip.example.com");
    carrier.hang_up();

    let invite = server.received("INVITE").remove(0);
    assert!(invite.contains("Via: SIP/2.0/TLS "), "{invite}");
    assert!(invite.contains(";transport=tls>"), "{invite}");
    assert!(invite.contains("X-PH-RetreaverUUID: "), "{invite}");
    edge.stop();
    let record = site.record();
    assert_eq!(record["outcome"], "completed");
}

#[test]
fn mtls_lets_in_whom_the_certificate_names_and_nobody_else() {
    let site = Site::new();
    let edge = site.start();
    let named = site.carriers.certify(&["sbc.carrier.example.com"]);
    let other = site.carriers.certify(&["sbc.other.example.com"]);

    for (identity, status) in [(Some(&named), "404"), (Some(&other), "403"), (None, "403")] {
        let trust = site.trust(identity);
        let mut peer = Peer::tls(edge.addresses()[3], &trust, "edge.example.com").unwrap();
        // A number of nobody: let in, it is not found.
        peer.send(&peer.invite("+12125550999", "mtls.example.com"));

        let answer = peer.receive_where(|text| !text.starts_with("SIP/2.0 100"));
        assert!(
            answer.starts_with(&format!("SIP/2.0 {status} ")),
            "{answer}"
        );
    }
    edge.stop();
}

#[test]
fn a_reload_brings_new_certificates_and_leaves_connections_alone() {
    let site = Site::new();
    let mut edge = site.start();
    let address: SocketAddr = edge.addresses()[3];
    let mut old = Peer::tls(address, &site.trust(None), "edge.example.com").unwrap();
    assert!(Peer::tls(address, &site.trust(None), "new.example.com").is_err());

    site.renew(&["new.example.com"]);
    edge.reload(&site.config, &site.disk).unwrap();

    assert!(Peer::tls(address, &site.trust(None), "new.example.com").is_ok());
    assert!(Peer::tls(address, &site.trust(None), "edge.example.com").is_err());
    old.send(&old.options());
    assert!(old.receive().starts_with("SIP/2.0 200 "));
    edge.stop();
}

#[test]
fn a_key_of_another_certificate_is_a_fault_and_the_old_one_stays() {
    let site = Site::new();
    let mut edge = site.start();
    let address: SocketAddr = edge.addresses()[3];
    site.confuse_key();

    let faults = edge.reload(&site.config, &site.disk).unwrap_err();

    let text = faults.to_string();
    assert!(text.contains("tls.key: does not go with"), "{text}");
    assert!(Peer::tls(address, &site.trust(None), "edge.example.com").is_ok());
    edge.stop();
}

/// How long a peer waits for what must come.
const PATIENCE: Duration = Duration::from_secs(8);
