//! RTP and RTCP: nothing that comes makes the relay panic, nothing passes that is not the party's, and every packet is
//! either passed on as it came or counted as dropped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use strowger::media::passage::{GROWTH, Passage, Verdict, Way};
use strowger::media::plan::{End, Gate, Party, Patience, Payload, Plan, Remote, Sources, Stream};
use strowger::media::rtcp;
use strowger::media::rtp::Header;

/// The first byte says what kind of call, the rest is one packet after another: a byte that says which way and from where,
/// one of length, then as many bytes.
pub fn rtp(data: &[u8]) {
    check_packet(data);
    let Some((kind, mut rest)) = data.split_first() else {
        return;
    };
    let is_nat = kind & 1 != 0;
    let mut plan = plan(is_nat, kind & 2 != 0, kind & 4 == 0);
    let mut now = start();
    let mut passage = Passage::new(now, &plan, true);
    let mut count = 0;
    while let [what, length, more @ ..] = rest {
        let (packet, more) = more.split_at(more.len().min(usize::from(*length)));
        rest = more;
        check_packet(packet);
        now += Duration::from_millis([0, 20, 1000, 3000][usize::from(what >> 6)]);
        let (way, source) = way(*what);
        let mut room = packet.to_vec();
        room.resize(packet.len() + GROWTH, 0);
        count += 1;
        match passage.handle(now, way, source, &mut room, packet.len()) {
            Verdict::Pass(pass) => {
                check_source(&plan, way.party, source, is_nat);
                assert_eq!(&room[..pass.length], packet, "changed on its way");
                let [_, _, stranger] = SOURCES;
                assert_ne!(pass.to, stranger.parse().expect("an address"));
            }
            Verdict::Drop(_) => {}
        }
        if packet.is_empty() {
            // Another plan: hold, and back.
            let [caller, _] = &mut plan.streams[0].ends;
            caller.sends = !caller.sends;
            passage.renew(now, &plan);
        }
        let _ = passage.check(now);
    }
    let parties = passage.figures().parties;
    let accounted = parties
        .iter()
        .map(|heard| heard.packets + heard.rtcp + heard.dropped);
    assert_eq!(accounted.sum::<u64>(), count);
    for heard in &parties {
        assert!(heard.jitter <= heard.jitter_max && heard.foreign <= heard.dropped);
        assert!(heard.digits.len() <= 32);
    }
}

/// Whatever is read lies within the packet.
fn check_packet(packet: &[u8]) {
    if let Ok(header) = Header::parse(packet) {
        assert!(header.length <= packet.len());
        if let Ok(payload) = header.payload_of(packet) {
            assert!(header.length + payload.len() + usize::from(header.is_padded) <= packet.len());
        }
    }
    if rtcp::check(packet).is_ok() {
        assert!(packet.len().is_multiple_of(4) && rtcp::sender(packet) == rtcp::check(packet));
    }
}

/// Without NAT a party is where it says it is; with it at least at that address or in its networks.
fn check_source(plan: &Plan, party: Party, source: SocketAddr, is_nat: bool) {
    let remote = plan.streams[0].ends[party.index()].remote;
    let remote = remote.expect("a place");
    let is_announced = source == remote.rtp || source == remote.rtcp;
    let is_near = source.ip() == remote.rtp.ip() || source.to_string().starts_with("198.51.100.");
    assert!(is_announced || (is_nat && is_near && party == Party::Caller));
}

/// Where packets come from: a place near the caller's, one of its networks, elsewhere.
const SOURCES: [&str; 3] = ["192.0.2.7:61000", "198.51.100.9:5000", "203.0.113.66:9"];

fn way(what: u8) -> (Way, SocketAddr) {
    let party = Party::BOTH[usize::from(what & 1)];
    let is_control = what & 2 != 0;
    let home = [
        ["192.0.2.7:4000", "192.0.2.7:4001"],
        ["192.0.2.8:6000", "192.0.2.8:6001"],
    ];
    let source = match (what >> 2) & 7 {
        0..=3 => home[party.index()][usize::from(is_control)],
        4 => home[party.index()][0],
        other => SOURCES[usize::from(other - 5)],
    };
    let way = Way {
        stream: 0,
        party,
        is_control,
    };
    (way, source.parse().expect("an address"))
}

fn plan(is_nat: bool, is_mux: bool, is_rtp: bool) -> Plan {
    let end = |rtp: &str, port, sources| {
        let rtp: SocketAddr = rtp.parse().expect("an address");
        let rtcp = SocketAddr::new(rtp.ip(), rtp.port() + u16::from(!is_mux));
        let payload = |number, is_dtmf| Payload {
            number,
            clock: 8000,
            is_dtmf,
        };
        End {
            gate: Gate {
                address: "192.0.2.1".parse().expect("an address"),
                port,
                is_shared: false,
            },
            remote: Some(Remote { rtp, rtcp }),
            sources,
            sends: true,
            payloads: [payload(0, false), payload(101, true)]
                .into_iter()
                .collect(),
            crypto: None,
        }
    };
    let networks = || Arc::new(["198.51.100.0/24".parse().expect("a network")]);
    let sources = if is_nat {
        Sources::Learned(networks())
    } else {
        Sources::Announced
    };
    let ends = [
        end("192.0.2.7:4000", 20_000, sources),
        end("192.0.2.8:6000", 30_000, Sources::Announced),
    ];
    let second = Some(Duration::from_secs(1));
    Plan {
        streams: std::iter::once(Stream { ends, is_rtp }).collect(),
        patience: Patience {
            is_answered: true,
            start: second,
            silence: second,
            hold: second,
        },
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "some instant to begin with; time moves as the input says"
)]
fn start() -> Instant {
    Instant::now()
}
