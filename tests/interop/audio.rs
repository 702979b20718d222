//! A call with sound: baresip calls baresip through the edge, and each hears the other's tone.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use serde_json::Value;

use crate::alone::is_alone;
use crate::site::BY_CERTIFICATE;
use crate::site::BY_DIGEST;
use crate::site::Transport;
use crate::talk::Talk;

#[test]
fn two_telephones_hear_each_other() {
    Talk::default().happens();
}

/// baresip 1.0 gives up if anything but MD5 is offered beside it, so this domain offers MD5 alone.
#[test]
fn two_telephones_hear_each_other_after_digest_and_the_buyer_hangs_up() {
    let talk = Talk {
        domain: BY_DIGEST,
        hung_up_by: "buyer",
        ..Talk::default()
    };
    talk.happens();
}

/// The connections of baresip 1.0 do not come from its own address, so it is its certificate that lets it in. The edge
/// verifies both telephones; they themselves verify nobody.
#[test]
fn two_telephones_hear_each_other_over_tls() {
    let talk = Talk {
        transport: Transport::Tls,
        domain: BY_CERTIFICATE,
        ..Talk::default()
    };
    talk.happens();
}

#[test]
fn two_telephones_hear_each_other_over_tls_after_digest_and_the_buyer_hangs_up() {
    let talk = Talk {
        transport: Transport::Tls,
        domain: BY_DIGEST,
        hung_up_by: "buyer",
        ..Talk::default()
    };
    talk.happens();
}

/// What baresip 1.0 sends on loopback comes from 127.0.0.1, whatever its session description says: as from behind NAT.
const BEHIND_NAT: &str = "sources = \"learned\", networks = [\"127.0.0.1/32\"]";
const SECURE: &str = "sources = \"learned\", networks = [\"127.0.0.1/32\"], srtp = \"require\"";

#[test]
fn two_telephones_hear_each_other_through_the_relay() {
    let talk = Talk {
        media: Some([BEHIND_NAT, BEHIND_NAT]),
        ..Talk::default()
    };

    let record = talk.happens();

    for side in ["caller", "buyer"] {
        let heard = &record["media"][side];
        let packets = heard["packets"].as_u64().expect("a count");
        assert!((100..400).contains(&packets), "{heard}");
        assert_eq!(heard["bytes"].as_u64(), Some(packets * 160), "{heard}");
        assert_eq!(heard["lost"], 0, "{heard}");
        let mos = heard["mos_hundredths"].as_u64().expect("a score");
        assert!((400..=450).contains(&mos), "{heard}");
    }
}

#[test]
fn two_telephones_hear_each_other_by_g722_and_by_opus() {
    for codec in ["G722/16000/1", "opus/48000/2"] {
        let talk = Talk {
            codec,
            media: Some([BEHIND_NAT, BEHIND_NAT]),
            ..Talk::default()
        };
        assert_passed(&talk.happens());
    }
}

#[test]
fn two_telephones_hear_each_other_by_srtp_with_keys_of_our_own() {
    let talk = Talk {
        transport: Transport::Tls,
        domain: BY_CERTIFICATE,
        encryption: ["srtp-mand", "srtp-mand"],
        media: Some([SECURE, SECURE]),
        ..Talk::default()
    };
    assert_passed(&talk.happens());
}

#[test]
fn srtp_on_one_side_is_rtp_on_the_other() {
    let to_buyer = Talk {
        encryption: ["", "srtp-mand"],
        media: Some([BEHIND_NAT, SECURE]),
        ..Talk::default()
    };
    assert_passed(&to_buyer.happens());
    let from_caller = Talk {
        encryption: ["srtp-mand", ""],
        media: Some([SECURE, BEHIND_NAT]),
        ..Talk::default()
    };
    assert_passed(&from_caller.happens());
}

#[test]
fn two_telephones_hear_each_other_again_after_a_hold() {
    let talk = Talk {
        has_hold: true,
        media: Some([BEHIND_NAT, BEHIND_NAT]),
        ..Talk::default()
    };
    assert_passed(&talk.happens());
}

#[test]
fn two_telephones_hear_each_other_through_rtpengine_and_again_after_a_hold() {
    let talk = Talk {
        is_far: true,
        has_hold: true,
        media: Some([ANYWHERE, ANYWHERE]),
        ..Talk::default()
    };
    assert_passed(&talk.happens());
}

#[test]
fn two_telephones_hear_each_other_through_rtpengine_by_g722_and_by_opus() {
    for codec in ["G722/16000/1", "opus/48000/2"] {
        let talk = Talk {
            codec,
            is_far: true,
            media: Some([ANYWHERE, ANYWHERE]),
            ..Talk::default()
        };
        assert_passed(&talk.happens());
    }
}

/// Every 49th of what both telephones send is dropped on its way to the relay.
#[test]
fn two_percent_of_loss_show_in_the_record_and_in_the_metrics() {
    let test = "audio::two_percent_of_loss_show_in_the_record_and_in_the_metrics";
    let drop = "iptables -A INPUT -p udp --dport 30000:30099 -m statistic --mode nth --every 49 --packet 0 -j DROP";
    if !is_alone(test, drop) {
        return;
    }
    let talk = Talk {
        media: Some([BEHIND_NAT, BEHIND_NAT]),
        is_lossy: true,
        ..Talk::default()
    };

    let record = talk.happens();

    let count = |side: &str, what: &str| {
        let heard = &record["media"][side];
        heard[what].as_f64().unwrap_or_else(|| panic!("{heard}"))
    };
    let sum = |what| count("caller", what) + count("buyer", what);
    for side in ["caller", "buyer"] {
        assert!(count(side, "lost") >= 1.0, "{record:#}");
        let mos = count(side, "mos_hundredths");
        assert!((250.0..440.0).contains(&mos), "{record:#}");
    }
    let share = sum("lost") / (sum("lost") + sum("packets"));
    assert!((0.01..0.035).contains(&share), "{share}: {record:#}");
}

#[test]
fn srtp_on_one_side_of_rtpengine_is_rtp_on_the_other() {
    let talk = Talk {
        is_far: true,
        encryption: ["", "srtp-mand"],
        media: Some([ANYWHERE, ANYWHERE_SECURE]),
        ..Talk::default()
    };
    assert_passed(&talk.happens());
}

#[test]
fn two_telephones_hear_each_other_by_srtp_over_tls_through_rtpengine() {
    let talk = Talk {
        transport: Transport::Tls,
        domain: BY_CERTIFICATE,
        is_far: true,
        encryption: ["srtp-mand", "srtp-mand"],
        media: Some([ANYWHERE_SECURE, ANYWHERE_SECURE]),
        ..Talk::default()
    };
    assert_passed(&talk.happens());
}

/// rtpengine learns where a party is by itself.
const ANYWHERE: &str = "sources = \"learned\"";
const ANYWHERE_SECURE: &str = "sources = \"learned\", srtp = \"require\"";

fn assert_passed(record: &Value) {
    for side in ["caller", "buyer"] {
        let packets = record["media"][side]["packets"].as_u64();
        assert!(
            packets.is_some_and(|packets| packets > 50),
            "{}",
            record["media"]
        );
    }
}

/// The caller speaks IPv4 and the buyer IPv6, and neither sees the other's.
#[test]
fn two_telephones_hear_each_other_from_ipv4_to_ipv6() {
    let test = "audio::two_telephones_hear_each_other_from_ipv4_to_ipv6";
    if !is_alone(test, "true") {
        return;
    }
    let talk = Talk {
        at: Some(BOTH_FAMILIES),
        has_hold: true,
        media: Some(["", ""]),
        ..Talk::default()
    };
    let record = talk.happens();
    assert_passed(&record);
    let heard = &record["media"]["caller"];
    assert_eq!(heard["foreign"], 0, "{heard}");
    // The first packet may be faster than the word of where the buyer listens, and one may cross the hold.
    let dropped = heard["dropped"].as_u64();
    assert!(dropped.is_some_and(|dropped| dropped <= 3), "{heard}");
}

#[test]
fn two_telephones_hear_each_other_from_ipv4_to_ipv6_through_rtpengine() {
    let test = "audio::two_telephones_hear_each_other_from_ipv4_to_ipv6_through_rtpengine";
    if !is_alone(test, "true") {
        return;
    }
    let talk = Talk {
        at: Some(BOTH_FAMILIES),
        is_far: true,
        has_hold: true,
        media: Some(["", ""]),
        ..Talk::default()
    };
    assert_passed(&talk.happens());
}

/// Both sides of the call come to one shared port; what tells them apart is where they come from.
#[test]
fn two_telephones_hear_each_other_through_a_shared_port() {
    let test = "audio::two_telephones_hear_each_other_through_a_shared_port";
    if !is_alone(test, "true") {
        return;
    }
    for at in [BOTH_FAMILIES, ONE_FAMILY] {
        let talk = Talk {
            at: Some(at),
            media: Some([SHARED, SHARED]),
            is_shared: true,
            ..Talk::default()
        };
        assert_passed(&talk.happens());
    }
}

const SHARED: &str = "ports = \"shared\"";
const CALLER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5070);
const BOTH_FAMILIES: [SocketAddr; 2] = [
    CALLER,
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 5080),
];
const ONE_FAMILY: [SocketAddr; 2] = [
    CALLER,
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5090),
];
