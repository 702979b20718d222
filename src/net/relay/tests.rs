mod kernel;

use std::net::{IpAddr, UdpSocket};
use std::sync::mpsc;
use std::sync::mpsc::channel;
use std::time::Duration;

use smallvec::smallvec;
use zeroize::Zeroizing;

use super::*;
use crate::media::plan::{Crypto, End, Keys, Patience, Payload, Remote, Sources, Stream, Suite};
use crate::media::srtp::{Receiver, Sender};
use crate::net::clock;
use crate::net::relay::tap::{Bounds, tap};
use crate::telemetry::metrics::Metrics;

#[test]
fn what_one_party_sends_the_other_gets_byte_for_byte_both_ways_rtcp_included() {
    for [caller_at, buyer_at] in [
        ["127.0.0.1", "127.0.0.1"],
        ["127.0.0.1", "::1"],
        ["::1", "127.0.0.1"],
    ] {
        let house = House::new(1);
        let call = house.call(caller_at, buyer_at);
        call.connect(&house);

        for number in 0..50 {
            call.caller.rtp(number, &call);
            call.buyer.expect(&packet(number, 1));
            call.buyer.rtp(number, &call);
            call.caller.expect(&packet(number, 2));
        }
        call.caller.rtcp_port_sends(&report(1));
        call.buyer.expect_rtcp(&report(1));
        call.buyer.rtcp_port_sends(&report(2));
        call.caller.expect_rtcp(&report(2));

        let figures = house.close(&call);
        for heard in &figures.parties {
            assert_eq!((heard.packets, heard.lost, heard.dropped), (50, 0, 0));
            assert_eq!((heard.bytes, heard.rtcp), (50 * 160, 1));
        }
        let [of_caller, of_buyer] = &figures.parties;
        assert_eq!(of_caller.source, Some(call.caller.address()));
        assert_eq!(of_buyer.source, Some(call.buyer.address()));
    }
}

#[test]
fn rtcp_on_the_rtp_port_goes_where_the_other_party_wants_it() {
    let house = House::new(1);
    let mut call = house.call("127.0.0.1", "127.0.0.1");
    call.caller.is_mux = true;
    call.connect(&house);

    call.caller.send(&report(1), call.gates[0].port);
    call.buyer.expect_rtcp(&report(1));
    call.buyer.rtcp_port_sends(&report(2));
    call.caller.expect(&report(2));

    assert_eq!(house.close(&call).parties[0].rtcp, 1);
}

#[test]
fn srtp_towards_one_party_is_rtp_towards_the_other() {
    let house = House::new(1);
    let call = house.call("127.0.0.1", "::1");
    let keys = |seed| Keys {
        suite: Suite::Aes128Sha1Tag80,
        secret: Zeroizing::new(vec![seed; 30]),
    };
    let mut plan = call.plan();
    plan.streams[0].ends[0].crypto = Some(Crypto {
        theirs: keys(1),
        ours: keys(2),
    });
    house.relay.connect(call.id, plan).unwrap();
    let mut sender = Sender::new(&keys(1)).unwrap();
    let mut receiver = Receiver::new(&keys(2)).unwrap();

    for number in 0..20 {
        let mut room = packet(number, 1);
        let length = room.len();
        room.resize(length + 32, 0);
        let length = sender.protect_rtp(&mut room, length).unwrap();
        call.caller.send(&room[..length], call.gates[0].port);
        call.buyer.expect(&packet(number, 1));

        call.buyer.rtp(number, &call);
        let mut room = [0; 2048];
        let length = call.caller.sockets[0].recv(&mut room).unwrap();
        assert_ne!(&room[12..172], &packet(number, 2)[12..], "in the clear");
        let length = receiver.unprotect_rtp(&mut room, length).unwrap();
        assert_eq!(&room[..length], packet(number, 2));
    }

    let figures = house.close(&call);
    assert_eq!(figures.parties.map(|heard| heard.packets), [20, 20]);
}

#[test]
fn what_is_copied_is_as_on_the_wire_and_no_longer_than_asked() {
    let house = House::new(1);
    let call = house.call("127.0.0.1", "::1");
    let keys = |seed| Keys {
        suite: Suite::Aes128Sha1Tag80,
        secret: Zeroizing::new(vec![seed; 30]),
    };
    let mut plan = call.plan();
    plan.streams[0].ends[0].crypto = Some(Crypto {
        theirs: keys(1),
        ours: keys(2),
    });
    let bounds = Bounds {
        packets: 6,
        bytes: 10_000,
        time: Duration::from_secs(60),
    };
    let begun = || {
        let (mut tap, frames) = tap(bounds, Arc::default());
        tap.begin(clock::now(), clock::wall());
        (tap, frames)
    };
    let (early, none) = begun();
    assert!(!house.relay.tap(call.id, early), "there is no such call");
    assert_eq!(none.iter().count(), 0);
    house.relay.connect(call.id, plan).unwrap();
    assert!(house.relay.has(call.id));
    let (tap, frames) = begun();
    assert!(house.relay.tap(call.id, tap));
    house.settle();
    let mut sender = Sender::new(&keys(1)).unwrap();

    let mut wire = Vec::new();
    for number in 0..5 {
        let mut room = packet(number, 1);
        let length = room.len();
        room.resize(length + 32, 0);
        let length = sender.protect_rtp(&mut room, length).unwrap();
        call.caller.send(&room[..length], call.gates[0].port);
        call.buyer.expect(&packet(number, 1));
        wire.extend([room[..length].to_vec(), packet(number, 1)]);
    }

    let frames: Vec<_> = frames.iter().collect();
    assert_eq!(frames.len(), 6, "and then the tap is gone");
    for (frame, bytes) in frames.iter().zip(&wire) {
        assert_eq!(&*frame.bytes, bytes.as_slice());
    }
    let place = |gate: Gate| SocketAddr::new(gate.address, gate.port);
    assert_eq!(frames[0].from, call.caller.address());
    assert_eq!(frames[0].to, place(call.gates[0]));
    assert_eq!(frames[1].from, place(call.gates[1]));
    assert_eq!(frames[1].to, call.buyer.address());
    house.close(&call);
    assert!(!house.relay.has(call.id));
}

#[test]
fn a_plan_in_place_of_another_loses_nothing() {
    let house = House::new(1);
    let mut call = house.call("127.0.0.1", "127.0.0.1");
    call.connect(&house);
    for batch in 0..20 {
        let numbers = || (0..10).map(|number| batch * 10 + number);
        for number in numbers() {
            call.caller.rtp(number, &call);
            if number % 10 == 5 {
                call.patience.is_answered = true;
                call.connect(&house);
            }
        }
        for number in numbers() {
            call.buyer.expect(&packet(number, 1));
        }
    }

    let heard = &house.close(&call).parties[0];
    assert_eq!((heard.packets, heard.lost, heard.dropped), (200, 0, 0));
}

#[test]
fn the_next_buyer_gets_a_gate_of_its_own_and_the_caller_keeps_his() {
    let house = House::new(1);
    let mut call = house.call("127.0.0.1", "127.0.0.1");
    call.connect(&house);
    call.caller.rtp(0, &call);
    call.buyer.expect(&packet(0, 1));
    let first = call.gates[1];

    call.gates[1] = free_gate("127.0.0.1");
    call.buyer = Phone::new("127.0.0.1", 2);
    call.connect(&house);
    house.settle();
    call.caller.rtp(1, &call);

    call.buyer.expect(&packet(1, 1));
    call.buyer.rtp(1, &call);
    call.caller.expect(&packet(1, 2));
    house.wait_until_free(first);
    house.close(&call);
}

#[test]
fn what_is_not_wanted_is_not_sent_but_rtcp_is() {
    let house = House::new(1);
    let mut call = house.call("127.0.0.1", "127.0.0.1");
    call.sends = [true, false];
    call.connect(&house);

    call.buyer.rtp(1, &call);
    call.buyer.rtcp_port_sends(&report(2));
    call.caller.expect_rtcp(&report(2));
    call.caller.rtp(1, &call);
    call.buyer.expect(&packet(1, 1));

    call.caller.expect_nothing();
    let heard = &house.close(&call).parties[1];
    assert_eq!((heard.packets, heard.dropped, heard.rtcp), (0, 1, 1));
}

#[test]
fn a_port_that_another_program_has_is_said_to_be_taken() {
    let house = House::new(1);
    let call = house.call("127.0.0.1", "127.0.0.1");
    let other = UdpSocket::bind(("127.0.0.1", call.gates[1].port + 1)).unwrap();

    let result = house.relay.connect(call.id, call.plan());

    assert!(
        matches!(&result, Err(Unbound::Port { gate, source })
            if *gate == call.gates[1] && source.kind() == io::ErrorKind::AddrInUse),
        "{result:?}"
    );
    drop(other);
    call.connect(&house);
    house.close(&call);
}

#[test]
fn plans_that_cannot_be_are_refused() {
    let house = House::new(1);
    let call = house.call("127.0.0.1", "127.0.0.1");
    let refused = |change: &dyn Fn(&mut Plan)| {
        let mut plan = call.plan();
        change(&mut plan);
        house.relay.connect(call.id, plan).unwrap_err()
    };

    let twice = refused(&|plan| plan.streams[0].ends[1].gate = call.gates[0]);
    assert!(matches!(twice, Unbound::Twice { .. }), "{twice}");
    let family = refused(&|plan| plan.streams[0].ends[1].remote = remote("[::1]:4000"));
    assert!(matches!(family, Unbound::Unreachable { .. }), "{family}");
    let ours = SocketAddr::new(call.gates[0].address, call.gates[0].port);
    let to_ourselves = refused(&|plan| plan.streams[0].ends[1].remote = remote(&ours.to_string()));
    assert!(
        matches!(to_ourselves, Unbound::Unreachable { .. }),
        "{to_ourselves}"
    );
}

#[test]
fn silence_is_told_of_once() {
    let house = House::new(1);
    let mut call = house.call("127.0.0.1", "127.0.0.1");
    call.patience = Patience {
        is_answered: true,
        start: Some(Duration::from_millis(300)),
        silence: Some(Duration::from_secs(10)),
        hold: None,
    };
    call.connect(&house);

    let mut told = Vec::new();
    for number in 0..150 {
        call.caller.rtp(number, &call);
        thread::sleep(Duration::from_millis(20));
        told.extend(house.events.try_iter());
    }

    assert!(
        matches!(told.as_slice(), [Event::Quiet { session, quiet: Quiet::OneWay(Party::Buyer) }] if *session == call.id),
        "{told:?}"
    );
    house.close(&call);
}

#[test]
fn packets_from_elsewhere_are_told_of_and_go_nowhere() {
    let house = House::new(1);
    let call = house.call("127.0.0.1", "127.0.0.1");
    call.connect(&house);
    let stranger = Phone::new("127.0.0.1", 9);

    for number in 0..20 {
        stranger.send(&packet(number, 9), call.gates[0].port);
        stranger.send(&report(9), call.gates[0].port + 1);
    }
    call.caller.rtp(1, &call);

    call.buyer.expect(&packet(1, 1));
    call.buyer.expect_nothing();
    let event = house.events.recv_timeout(PATIENCE).unwrap();
    assert!(
        matches!(event, Event::Foreign { party: Party::Caller, source, .. } if source == stranger.address()),
        "{event:?}"
    );
    assert!(house.events.try_recv().is_err(), "once in a while");
    assert_eq!(house.close(&call).parties[0].foreign, 40);
}

#[test]
fn shared_ports_tell_calls_apart_by_where_packets_come_from() {
    let house = House::new(2);
    let gate = Gate {
        is_shared: true,
        ..free_gate("127.0.0.1")
    };
    let mut calls: Vec<Call> = (0..8)
        .map(|_| house.call("127.0.0.1", "127.0.0.1"))
        .collect();
    for call in &mut calls {
        call.gates = [gate; 2];
        call.connect(&house);
    }
    house.settle();

    for (number, call) in calls.iter().enumerate() {
        call.caller.rtp(number as u16, call);
        call.buyer.rtp(number as u16, call);
        call.caller.rtcp_port_sends(&report(number as u8));
    }

    for (number, call) in calls.iter().enumerate() {
        call.buyer.expect(&packet(number as u16, 1));
        call.caller.expect(&packet(number as u16, 2));
        call.buyer.expect_rtcp(&report(number as u8));
        call.caller.expect_nothing();
        let figures = house.close(call);
        assert_eq!(figures.parties.map(|heard| heard.packets), [1, 1]);
    }
}

#[test]
fn a_call_that_has_a_port_of_its_own_beside_a_shared_one_is_where_that_is() {
    let house = House::new(3);
    for _ in 0..6 {
        let gate = Gate {
            is_shared: true,
            ..free_gate("::1")
        };
        house.relay.share(gate).unwrap();
        let mut call = house.call("127.0.0.1", "::1");
        call.gates[1] = gate;
        call.connect(&house);
        house.settle();

        call.caller.rtp(1, &call);
        call.buyer.rtp(1, &call);

        call.buyer.expect(&packet(1, 1));
        call.caller.expect(&packet(1, 2));
        house.close(&call);
    }
}

#[test]
fn a_shared_port_is_opened_once_and_cannot_be_had_twice() {
    let house = House::new(1);
    let gate = Gate {
        is_shared: true,
        ..free_gate("127.0.0.1")
    };

    house.relay.share(gate).unwrap();
    house.relay.share(gate).unwrap();

    let other = House::new(1);
    let taken = other.relay.share(gate).unwrap_err();
    assert!(matches!(taken, Unbound::Port { .. }), "{taken}");
}

#[test]
fn rtcp_beside_rtp_comes_by_one_shared_port_and_not_by_the_other() {
    let house = House::new(1);
    let gate = Gate {
        is_shared: true,
        ..free_gate("127.0.0.1")
    };
    let mut call = house.call("127.0.0.1", "127.0.0.1");
    call.gates = [gate; 2];
    let mut plan = call.plan();
    for end in &mut plan.streams[0].ends {
        let remote = end.remote.as_mut().unwrap();
        remote.rtcp = remote.rtp;
    }
    house.relay.connect(call.id, plan).unwrap();
    house.settle();

    call.caller.send(&report(1), gate.port + 1);
    call.caller.send(&report(2), gate.port);

    call.buyer.expect(&report(2));
    call.buyer.expect_nothing();
    house.close(&call);
}

#[test]
fn who_moves_by_a_new_plan_is_heard_from_there_alone() {
    let house = House::new(1);
    let gate = Gate {
        is_shared: true,
        ..free_gate("127.0.0.1")
    };
    let mut call = house.call("127.0.0.1", "127.0.0.1");
    call.gates = [gate; 2];
    call.connect(&house);
    let moved = Phone::new("127.0.0.1", 1);
    let before = std::mem::replace(&mut call.caller, moved);
    call.connect(&house);
    house.settle();

    before.send(&packet(1, 1), gate.port);
    call.caller.send(&packet(2, 1), gate.port);

    call.buyer.expect(&packet(2, 1));
    call.buyer.expect_nothing();
    house.close(&call);
    house.settle();
    call.caller.send(&packet(3, 1), gate.port);
    call.buyer.expect_nothing();
}

#[test]
fn the_same_address_cannot_have_two_calls_on_a_shared_port() {
    let house = House::new(1);
    let gate = Gate {
        is_shared: true,
        ..free_gate("127.0.0.1")
    };
    let mut call = house.call("127.0.0.1", "127.0.0.1");
    call.gates[0] = gate;
    call.connect(&house);
    let mut other = house.call("127.0.0.1", "127.0.0.1");
    other.gates[0] = gate;
    let mut plan = other.plan();
    plan.streams[0].ends[0].remote = call.plan().streams[0].ends[0].remote;

    let clash = house.relay.connect(other.id, plan.clone()).unwrap_err();
    assert!(matches!(clash, Unbound::Clash { .. }), "{clash}");

    house.close(&call);
    house.relay.connect(other.id, plan).unwrap();
    house.settle();
    call.caller.send(&packet(7, 1), gate.port);
    other.buyer.expect(&packet(7, 1));
    house.close(&other);
}

#[test]
fn a_shared_port_tells_of_a_party_that_sends_from_another_port() {
    let house = House::new(1);
    let gate = Gate {
        is_shared: true,
        ..free_gate("127.0.0.1")
    };
    let mut call = house.call("127.0.0.1", "127.0.0.1");
    call.gates[0] = gate;
    call.connect(&house);
    house.settle();
    let moved = Phone::new("127.0.0.1", 1);

    moved.send(&packet(1, 1), gate.port);

    let event = house.events.recv_timeout(PATIENCE).unwrap();
    assert!(
        matches!(event, Event::Foreign { session, source, .. } if session == call.id && source == moved.address()),
        "{event:?}"
    );
    call.buyer.expect_nothing();
    assert_eq!(house.close(&call).parties[0].foreign, 1);
}

#[test]
fn a_thousand_calls_leave_nothing_behind() {
    let house = House::new(2);
    let before = descriptors();
    for _ in 0..10 {
        let calls: Vec<Call> = (0..100).map(|_| house.call("127.0.0.1", "::1")).collect();
        for call in &calls {
            call.connect(&house);
        }
        for call in &calls {
            call.caller.rtp(1, call);
            call.buyer.expect(&packet(1, 1));
        }
        for call in &calls {
            assert_eq!(house.close(call).parties[0].packets, 1);
        }
    }

    // Other tests of this process open and close sockets meanwhile, so the calls' own ports are what is looked at, too.
    let until = clock::now() + PATIENCE;
    while descriptors() > before + 100 && clock::now() < until {
        thread::sleep(Duration::from_millis(10));
    }
    assert!(
        descriptors() <= before + 100,
        "{} were {before}",
        descriptors()
    );
    assert!(house.relay.books().is_empty());
    assert!(house.shows("strowger_media_sessions 0"));
}

#[test]
fn a_relay_that_ends_closes_its_ports() {
    let house = House::new(2);
    let call = house.call("127.0.0.1", "127.0.0.1");
    call.connect(&house);
    let gate = call.gates[0];

    drop(house.relay);

    assert!(UdpSocket::bind((gate.address, gate.port)).is_ok());
}

/// A relay, and what it tells.
struct House {
    relay: Relay,
    events: mpsc::Receiver<Event>,
    metrics: Metrics,
    ids: std::cell::Cell<u64>,
}

impl House {
    fn new(threads: usize) -> Self {
        Self::with(threads, None)
    }

    fn with(threads: usize, offload: Option<Offload>) -> Self {
        let metrics = Metrics::new();
        let (sender, events) = channel();
        let settings = Settings {
            threads,
            dscp: 46,
            keeps_digits: true,
        };
        let counts = Arc::new(MediaCounts::new(&metrics));
        let relay = Relay::start(settings, offload, &counts, move |event| {
            let _ = sender.send(event);
        });
        Self {
            relay: relay.unwrap(),
            events,
            metrics,
            ids: std::cell::Cell::new(0),
        }
    }

    fn next_id(&self) -> SessionId {
        self.ids.set(self.ids.get() + 1);
        SessionId(self.ids.get())
    }

    fn call(&self, caller_at: &str, buyer_at: &str) -> Call {
        Call {
            id: self.next_id(),
            caller: Phone::new(caller_at, 1),
            buyer: Phone::new(buyer_at, 2),
            gates: [free_gate(caller_at), free_gate(buyer_at)],
            sends: [true; 2],
            patience: Patience::default(),
        }
    }

    fn close(&self, call: &Call) -> Figures {
        let (sender, receiver) = channel();
        let done = move |figures| sender.send(figures).unwrap();
        self.relay.close(call.id, Box::new(done));
        receiver.recv_timeout(PATIENCE).unwrap()
    }

    /// Returns when each worker (there are three at most) has done what it was told.
    fn settle(&self) {
        for _ in 0..3 {
            let call = self.call("127.0.0.1", "127.0.0.1");
            call.connect(self);
            self.close(&call);
        }
    }

    fn wait_until_free(&self, gate: Gate) {
        let until = clock::now() + PATIENCE;
        while UdpSocket::bind((gate.address, gate.port)).is_err() {
            assert!(clock::now() < until, "{gate:?} is still open");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn shows(&self, line: &str) -> bool {
        self.metrics.render().lines().any(|shown| shown == line)
    }
}

struct Call {
    id: SessionId,
    caller: Phone,
    buyer: Phone,
    gates: [Gate; 2],
    sends: [bool; 2],
    patience: Patience,
}

impl Call {
    fn connect(&self, house: &House) {
        house.relay.connect(self.id, self.plan()).unwrap();
        self.caller.gate.set(self.gates[0].port);
        self.buyer.gate.set(self.gates[1].port);
    }

    fn plan(&self) -> Plan {
        let phones = [&self.caller, &self.buyer];
        let end = |party: Party| End {
            gate: self.gates[party.index()],
            remote: Some(phones[party.index()].remote()),
            sources: Sources::Announced,
            sends: self.sends[party.index()],
            payloads: smallvec![Payload {
                number: 0,
                clock: 8000,
                is_dtmf: false
            }],
            crypto: None,
        };
        Plan {
            streams: smallvec![Stream {
                is_rtp: true,
                ends: Party::BOTH.map(end)
            }],
            patience: self.patience,
        }
    }
}

/// A party: a pair of sockets, and the gate of its call.
struct Phone {
    sockets: [UdpSocket; 2],
    ssrc: u8,
    is_mux: bool,
    gate: std::cell::Cell<u16>,
}

impl Phone {
    fn new(address: &str, ssrc: u8) -> Self {
        let socket = || {
            let socket = UdpSocket::bind((address, 0)).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        Self {
            sockets: [socket(), socket()],
            ssrc,
            is_mux: false,
            gate: std::cell::Cell::new(0),
        }
    }

    fn address(&self) -> SocketAddr {
        self.sockets[0].local_addr().unwrap()
    }

    fn remote(&self) -> Remote {
        let rtcp = self.sockets[usize::from(!self.is_mux)]
            .local_addr()
            .unwrap();
        Remote {
            rtp: self.address(),
            rtcp,
        }
    }

    /// Sends the packet of that number to its gate.
    fn rtp(&self, number: u16, call: &Call) {
        let gate = call.gates[usize::from(self.ssrc - 1)];
        self.send(&packet(number, self.ssrc), gate.port);
    }

    fn send(&self, bytes: &[u8], port: u16) {
        let socket = &self.sockets[usize::from(port % 2)];
        let to = SocketAddr::new(self.address().ip(), port);
        socket.send_to(bytes, to).unwrap();
    }

    fn rtcp_port_sends(&self, bytes: &[u8]) {
        self.send(bytes, self.gate.get() + 1);
    }

    fn expect(&self, bytes: &[u8]) {
        expect(&self.sockets[0], bytes);
    }

    fn expect_rtcp(&self, bytes: &[u8]) {
        expect(&self.sockets[1], bytes);
    }

    fn expect_nothing(&self) {
        for socket in &self.sockets {
            socket
                .set_read_timeout(Some(Duration::from_millis(50)))
                .unwrap();
            let result = socket.recv(&mut [0; 2048]);
            assert!(result.is_err(), "{result:?} bytes came");
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
        }
    }
}

#[track_caller]
fn expect(socket: &UdpSocket, bytes: &[u8]) {
    let mut room = [0; 2048];
    let length = socket.recv(&mut room).unwrap();
    assert_eq!(&room[..length], bytes);
}

/// 160 bytes of PCMU.
fn packet(number: u16, ssrc: u8) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    let [t1, t2, t3, t4] = (u32::from(number) * 160).to_be_bytes();
    let mut packet = vec![0x80, 0, high, low, t1, t2, t3, t4, 0, 0, 0, ssrc];
    packet.extend([ssrc; 160]);
    packet
}

/// An empty receiver report.
fn report(ssrc: u8) -> Vec<u8> {
    vec![0x80, 201, 0, 1, 0, 0, 0, ssrc]
}

fn remote(address: &str) -> Option<Remote> {
    let rtp: SocketAddr = address.parse().unwrap();
    Some(Remote { rtp, rtcp: rtp })
}

/// A pair of ports that nothing has, and that no other test takes: below those that the system gives out.
fn free_gate(address: &str) -> Gate {
    static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);
    let address: IpAddr = address.parse().unwrap();
    loop {
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 6000;
        let offset = (std::process::id() % 7) as u16 * 1000;
        let port = 12_000 + (number * 2 + offset * 2) % 20_000;
        let is_free = |port| UdpSocket::bind((address, port)).is_ok();
        if is_free(port) && is_free(port + 1) {
            return Gate {
                address,
                port,
                is_shared: false,
            };
        }
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
