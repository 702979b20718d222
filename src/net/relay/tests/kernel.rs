//! Streams that the kernel forwards, on the loopback.

mod left;

use ipnet::IpNet;

use super::*;
use crate::net::offload;
use crate::telemetry::metrics::Metrics;

#[test]
fn established_sound_passes_in_the_kernel_both_ways_byte_for_byte() {
    let Some(house) = house() else { return };
    let call = house.call("127.0.0.1", "127.0.0.1");
    call.connect(&house);
    let first = talk_until_lent(&house, &call);
    let returned = house.counted(RETURNED_FOR_PACKETS);

    for number in first..first + 200 {
        call.caller.rtp(number, &call);
        let came = call.buyer.expect_from(&packet(number, 1));
        assert_eq!(came.port(), call.gates[1].port);
        call.buyer.rtp(number, &call);
        let came = call.caller.expect_from(&packet(number, 2));
        assert_eq!(came.port(), call.gates[0].port);
    }
    call.caller.rtcp_port_sends(&report(1));
    call.buyer.expect_rtcp(&report(1));
    call.buyer.rtcp_port_sends(&report(2));
    call.caller.expect_rtcp(&report(2));

    assert_eq!(house.counted(RETURNED_FOR_PACKETS), returned);
    let figures = house.close(&call);
    let all = u64::from(first) + 200;
    // The last ones before it was known that both are lent may be among them.
    assert!((400..2 * all).contains(&house.counted(FORWARDED)));
    assert_eq!(
        house.counted("strowger_media_packets_total{kind=\"rtp\"}"),
        2 * all
    );
    assert_eq!(
        house.counted("strowger_media_bytes_total"),
        2 * all * 172 + 16
    );
    for heard in &figures.parties {
        assert_eq!((heard.packets, heard.bytes), (all, all * 160));
        assert_eq!((heard.lost, heard.dropped, heard.rtcp), (0, 0, 1));
        assert!(heard.jitter > Duration::ZERO && heard.jitter <= heard.jitter_max);
        assert!(heard.mos.is_some());
    }
    assert_eq!(house.counted(LENT), 0);
}

#[test]
fn loss_in_the_kernel_is_in_the_figures() {
    let Some(house) = house() else { return };
    let call = house.call("127.0.0.1", "127.0.0.1");
    call.connect(&house);
    let first = talk_until_lent(&house, &call);

    for number in (first..first + 100).filter(|number| number % 10 != 3) {
        call.caller.rtp(number, &call);
        call.buyer.expect(&packet(number, 1));
    }

    let [of_caller, of_buyer] = house.close(&call).parties;
    assert_eq!((of_caller.lost, of_buyer.lost), (10, 0));
    assert_eq!(of_caller.packets, u64::from(first) + 90);
}

#[test]
fn a_forged_packet_that_is_right_but_for_its_address_goes_nowhere() {
    let Some(house) = house() else { return };
    let call = house.call("127.0.0.1", "127.0.0.1");
    call.connect(&house);
    let next = talk_until_lent(&house, &call);
    let [other_port, other_address] = [Phone::new("127.0.0.1", 1), Phone::new("127.0.0.3", 1)];

    for number in next..next + 50 {
        let gate = ("127.0.0.1", call.gates[0].port);
        for forger in [&other_port, &other_address] {
            forger.sockets[0].send_to(&packet(number, 1), gate).unwrap();
        }
    }

    call.buyer.expect_nothing();
    assert_eq!(house.counted(LENT), 2);
    assert_eq!(house.close(&call).parties[0].foreign, 100);
}

#[test]
fn rtcp_on_the_rtp_port_passes_beside_a_stream_in_the_kernel() {
    let Some(house) = house() else { return };
    let mut call = house.call("127.0.0.1", "127.0.0.1");
    call.caller.is_mux = true;
    call.connect(&house);
    talk_until_lent(&house, &call);

    call.caller.send(&report(1), call.gates[0].port);
    call.buyer.expect_rtcp(&report(1));
    call.buyer.rtcp_port_sends(&report(2));
    call.caller.expect(&report(2));

    assert_eq!(house.counted(LENT), 2);
    assert_eq!(house.close(&call).parties[0].rtcp, 1);
}

#[test]
fn a_new_plan_holds_at_once_what_the_kernel_forwarded_before() {
    let Some(house) = house() else { return };
    let mut call = house.call("127.0.0.1", "127.0.0.1");
    call.connect(&house);
    let next = talk_until_lent(&house, &call);
    let moved = Phone::new("127.0.0.1", 2);
    let mut elsewhere = call.plan();
    elsewhere.streams[0].ends[1].remote = Some(moved.remote());

    house.relay.connect(call.id, elsewhere).unwrap();
    house.settle();
    call.caller.rtp(next, &call);
    moved.expect(&packet(next, 1));
    call.buyer.rtp(next, &call);
    call.caller.expect_nothing();
    call.buyer.expect_nothing();

    call.connect(&house);
    house.settle();
    let next = talk_until_lent_from(next + 1, &house, &call);
    call.sends = [false, true];
    call.connect(&house);
    house.settle();
    for number in next..next + 3 {
        call.caller.rtp(number, &call);
    }
    call.buyer.expect_nothing();
    // The other direction goes on, and into the kernel alone.
    let until = clock::now() + PATIENCE;
    for number in next.. {
        call.buyer.rtp(number, &call);
        call.caller.expect(&packet(number, 2));
        if house.counted(LENT) == 1 {
            break;
        }
        assert!(clock::now() < until);
        thread::sleep(Duration::from_millis(20));
    }
    call.caller.rtp(next + 3, &call);
    call.buyer.expect_nothing();
    house.close(&call);
}

#[test]
fn a_tap_gets_every_packet() {
    let Some(house) = house() else { return };
    let call = house.call("127.0.0.1", "127.0.0.1");
    call.connect(&house);
    let next = talk_until_lent(&house, &call);
    let bounds = Bounds {
        packets: 1000,
        bytes: 1_000_000,
        time: Duration::from_secs(60),
    };
    let (tap, frames) = tap(bounds, Arc::default());

    assert!(house.relay.tap(call.id, tap));
    house.settle();
    // For longer than it takes to lend streams that nobody taps.
    for number in next..next + 60 {
        call.caller.rtp(number, &call);
        call.buyer.expect(&packet(number, 1));
        thread::sleep(Duration::from_millis(25));
    }

    assert_eq!(house.counted(LENT), 0);
    house.close(&call);
    assert_eq!(frames.try_iter().count(), 120);
}

#[test]
fn after_the_end_nothing_is_forwarded() {
    let Some(house) = house() else { return };
    let call = house.call("127.0.0.1", "127.0.0.1");
    call.connect(&house);
    let next = talk_until_lent(&house, &call);

    house.close(&call);

    call.caller.rtp(next, &call);
    call.buyer.rtp(next, &call);
    call.buyer.expect_nothing();
    call.caller.expect_nothing();
    assert_eq!(house.counted(LENT), 0);
}

#[test]
fn a_relay_that_ends_leaves_no_program_behind() {
    let Some(house) = house() else { return };
    let call = house.call("127.0.0.1", "127.0.0.1");
    call.connect(&house);
    let next = talk_until_lent(&house, &call);

    // The streams are not taken back one by one, as when the process is killed.
    drop(house);

    let gate = call.gates[0];
    let socket = UdpSocket::bind((gate.address, gate.port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    call.caller.rtp(next, &call);
    expect(&socket, &packet(next, 1));
    call.buyer.expect_nothing();
}

#[test]
fn calls_on_one_shared_port_are_told_apart_in_the_kernel_too() {
    let Some(house) = house() else { return };
    let gate = Gate {
        is_shared: true,
        ..free_gate("127.0.0.1")
    };
    let mut calls = [(); 2].map(|()| house.call("127.0.0.1", "127.0.0.1"));
    for call in &mut calls {
        call.gates = [gate; 2];
        call.connect(&house);
    }
    let until = clock::now() + PATIENCE;
    let mut next = 0;
    while house.counted(LENT) < 4 {
        for call in &calls {
            talk(next, call);
        }
        next += 1;
        assert!(clock::now() < until);
        thread::sleep(Duration::from_millis(20));
    }

    for number in next..next + 50 {
        for call in &calls {
            talk(number, call);
        }
    }

    for call in &calls {
        let figures = house.close(call);
        let all = u64::from(next) + 50;
        assert_eq!(figures.parties.map(|heard| heard.packets), [all; 2]);
    }
    let forwarded = house.counted(FORWARDED);
    assert!(
        (200..4 * (u64::from(next) + 50)).contains(&forwarded),
        "{forwarded}"
    );
}

#[test]
fn a_party_behind_nat_is_forwarded_once_nothing_can_be_learned_any_more() {
    let Some(house) = house() else { return };
    let call = house.call("127.0.0.1", "127.0.0.1");
    let begun = clock::now();
    let mut plan = call.plan();
    let networks: Arc<[IpNet]> = Arc::new([]);
    let end = &mut plan.streams[0].ends[0];
    end.sources = Sources::Learned(networks);
    // It says another port than it has.
    let other = Phone::new("127.0.0.1", 1);
    end.remote = Some(other.remote());
    house.relay.connect(call.id, plan).unwrap();
    for number in 0..4 {
        call.caller.rtp(number, &call);
    }
    call.buyer.expect(&packet(3, 1));

    let next = talk_until_lent_from(4, &house, &call);

    let took = clock::now().saturating_duration_since(begun);
    assert!(took >= crate::media::source::WINDOW, "{took:?}");
    talk(next, &call);
    // The place that it has named still counts more.
    other.send(&packet(next + 1, 1), call.gates[0].port);
    call.buyer.expect(&packet(next + 1, 1));
    assert_eq!(house.counted(LENT), 0);
    call.buyer.rtp(next + 1, &call);
    other.expect(&packet(next + 1, 2));
    house.close(&call);
}

#[test]
fn who_is_heard_by_the_kernel_is_not_silent_and_who_stops_is() {
    let Some(house) = house() else { return };
    let mut call = house.call("127.0.0.1", "127.0.0.1");
    let silence = Duration::from_secs(3);
    call.patience = Patience {
        is_answered: true,
        silence: Some(silence),
        ..Patience::default()
    };
    call.connect(&house);
    let next = talk_until_lent(&house, &call);

    let begun = clock::now();
    let mut last = begun;
    for number in next.. {
        last = clock::now();
        talk(number, &call);
        if clock::now().saturating_duration_since(begun) > silence + Duration::from_secs(2) {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(house.counted(LENT), 2);
    assert!(house.events.try_recv().is_err());

    let event = house.events.recv_timeout(PATIENCE).unwrap();
    let took = clock::now().saturating_duration_since(last);
    assert!(
        matches!(
            event,
            Event::Quiet {
                quiet: Quiet::Both,
                ..
            }
        ),
        "{event:?}"
    );
    assert!(took >= silence, "{took:?}");
    assert!(took < silence + Duration::from_secs(3), "{took:?}");
    house.close(&call);
}

#[test]
fn between_the_two_kinds_of_addresses_all_goes_through_the_sockets() {
    let Some(house) = house() else { return };
    let call = house.call("127.0.0.1", "::1");
    call.connect(&house);

    for number in 0..60 {
        talk(number, &call);
        thread::sleep(Duration::from_millis(25));
    }

    assert_eq!(house.counted(LENT), 0);
    house.close(&call);
}

/// A relay whose streams on the loopback the kernel forwards; `None`, which is told of, where that cannot be.
fn house() -> Option<House> {
    Some(House::with(1, Some(offload::tests::offload()?)))
}

/// Both send the packet of that number, and get the other one's.
fn talk(number: u16, call: &Call) {
    call.caller.rtp(number, call);
    call.buyer.expect(&packet(number, 1));
    call.buyer.rtp(number, call);
    call.caller.expect(&packet(number, 2));
}

/// Both send until the kernel forwards both directions; returns the number of the next packet.
fn talk_until_lent(house: &House, call: &Call) -> u16 {
    talk_until_lent_from(0, house, call)
}

fn talk_until_lent_from(first: u16, house: &House, call: &Call) -> u16 {
    let until = clock::now() + PATIENCE;
    for number in first.. {
        talk(number, call);
        if house.counted(LENT) == 2 {
            return number + 1;
        }
        assert!(clock::now() < until, "the kernel has no streams");
        thread::sleep(Duration::from_millis(20));
    }
    unreachable!("it takes a second or so")
}

impl House {
    /// What is counted under this name.
    fn counted(&self, name: &str) -> u64 {
        counted(&self.metrics, name)
    }
}

fn counted(metrics: &Metrics, name: &str) -> u64 {
    let text = metrics.render();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |rest| rest.trim().parse().unwrap())
}

impl Phone {
    /// Expects these bytes, and returns from where they came.
    fn expect_from(&self, bytes: &[u8]) -> SocketAddr {
        let mut room = [0; 2048];
        let (length, from) = self.sockets[0].recv_from(&mut room).unwrap();
        assert_eq!(&room[..length], bytes);
        from
    }
}

const LENT: &str = "strowger_media_kernel_streams";
const FORWARDED: &str = "strowger_media_kernel_packets_total";
const RETURNED_FOR_PACKETS: &str = "strowger_media_kernel_returns_total{why=\"packet\"}";
