//! Somebody else's packets on the ports of a call: our relay and rtpengine under the same attack, side by side.
//!
//! ```text
//!   caller .20 ── 50 packets/s, RTCP ──> relay ──> buyer .21        and back
//!   attacker .66 ── the same, as the caller ──^
//! ```
//!
//! *Injected* is what the buyer gets of the attacker's, *bled* what the attacker gets of the buyer's.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use smallvec::smallvec;
use strowger::media::plan::{
    End, Gate, Patience, Payload, Plan, Remote, SessionId, Sources, Stream,
};
use strowger::net::relay::{Relay, Settings};
use strowger::telemetry::media::MediaCounts;
use strowger::telemetry::metrics::Metrics;

use crate::process::{Process, eventually, show};

#[test]
fn a_forged_stream_is_not_let_in_and_gets_nothing() {
    for _ in 0..3 {
        let (attacks, longest_gap) = attack_all();
        show(&table(&attacks));
        let wrongs = wrongs(&attacks);
        if wrongs.is_empty() {
            return;
        }
        // Who is silent for as long as a newcomer is on probation loses the place to him, and rightly. Here it was this thread
        // that was silent, and such a run says nothing.
        assert!(longest_gap > PROBATION, "{longest_gap:?}: {wrongs:#?}");
        show(&format!("run again: silent for {longest_gap:?}"));
    }
    panic!("the machine pauses too often for this");
}

/// Plays all attacks on fresh relays: what came of each, and the longest time between two packets of a good party.
fn attack_all() -> (Vec<Attack>, Duration) {
    let counts = Arc::new(MediaCounts::new(&Metrics::new()));
    let settings = Settings {
        threads: 1,
        dscp: 46,
        keeps_digits: false,
    };
    let relay = Relay::start(settings, None, &counts, |_| {}).expect("a relay");
    let mut attacks = Vec::new();
    for start in [0, LATER] {
        for (mode, moved, networks) in MODES {
            attacks.push(ours(
                &relay,
                attacks.len() as u8,
                mode,
                start,
                *moved,
                networks,
            ));
        }
        for _ in 0..2 {
            attacks.push(sharing(&relay, attacks.len() as u8, start));
        }
    }
    let folder = tempfile::tempdir().expect("folder");
    let mut peers = Vec::new();
    for (number, learning) in ["delayed", "immediate", "heuristic", "off"]
        .iter()
        .enumerate()
    {
        let mut peer = RtpEngine::start(folder.path(), number as u8, learning);
        for start in [0, LATER] {
            for is_strict in [false, true] {
                attacks.push(peer.call(attacks.len() as u8, start, is_strict));
            }
        }
        peers.push(peer);
    }

    let longest_gap = run(&mut attacks);
    (attacks, longest_gap)
}

/// What did not go as it must.
fn wrongs(attacks: &[Attack]) -> Vec<String> {
    let mut wrongs = Vec::new();
    for attack in attacks.iter().filter(|attack| attack.is_ours) {
        let Attack { name, seen, .. } = attack;
        // The attacker is in a network from which the caller may come, so all that he has to be is first.
        let most = if name.contains("network") { 5 } else { 0 };
        let is_let_in = seen.injected > most || seen.rtcp_injected > 0;
        let gets_something = seen.bled > most || seen.rtcp_bled > 0;
        // The first packets of a caller who has moved are on probation.
        let wanted = if name.contains("NAT") {
            attack.sent - 5
        } else {
            attack.sent
        };
        let is_lost = seen.to_buyer < wanted || seen.to_caller < wanted;
        let was_settled = attack.start > 0;
        let is_unsettled = was_settled && (seen.injected, seen.bled) != (0, 0);
        if is_let_in || gets_something || is_lost || is_unsettled {
            wrongs.push(format!("{name}: {seen:?} of {}", attack.sent));
        }
    }
    wrongs
}

/// How ours are set up: what it is called, whether the caller sends from another port than it announces, and from where
/// it may.
const MODES: &[(&str, bool, &[&str])] = &[
    ("plain", false, &[]),
    ("NAT, caller at home", false, &["192.0.2.0/24"]),
    ("NAT, caller moved", true, &["192.0.2.0/24"]),
    (
        "NAT, attacker in the network, caller at home",
        false,
        &["127.0.0.0/8"],
    ),
    (
        "NAT, attacker in the network, caller moved",
        true,
        &["127.0.0.0/8"],
    ),
];

/// Milliseconds after which the late attacks begin.
const LATER: u64 = 4000;
/// Milliseconds that each attack takes.
const LENGTH: u64 = 6000;
/// Milliseconds between two packets of a stream.
const STEP: u64 = 20;
/// How long a newcomer from a network must be heard at least before it is believed.
const PROBATION: Duration = Duration::from_millis(50);

/// A part of loopback that no other run on the machine has, as a rule.
fn block() -> u8 {
    64 + (process::id() % 64) as u8
}

/// One call under attack.
struct Attack {
    name: String,
    is_ours: bool,
    /// When the attacker begins, in milliseconds.
    start: u64,
    caller: Phone,
    buyer: Phone,
    attacker: Phone,
    /// Where the caller and the buyer send to.
    gates: [SocketAddr; 2],
    sent: u64,
    forged: u64,
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    injected: u64,
    bled: u64,
    rtcp_injected: u64,
    rtcp_bled: u64,
    to_caller: u64,
    to_buyer: u64,
}

/// Somebody's two ports.
struct Phone {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    mark: u8,
}

impl Phone {
    fn new(address: Ipv4Addr, mark: u8) -> Self {
        let open = || {
            let socket = UdpSocket::bind((address, 0)).expect("a port");
            socket.set_nonblocking(true).expect("a socket");
            socket
        };
        Self {
            rtp: open(),
            rtcp: open(),
            mark,
        }
    }

    fn remote(&self) -> Remote {
        Remote {
            rtp: self.rtp.local_addr().expect("bound"),
            rtcp: self.rtcp.local_addr().expect("bound"),
        }
    }

    /// Sends the packet of that number, and a report once a second.
    fn send(&self, number: u64, to: SocketAddr) {
        let [high, low] = (number as u16).to_be_bytes();
        let [t1, t2, t3, t4] = (number as u32 * 160).to_be_bytes();
        let mut packet = vec![0x80, 0, high, low, t1, t2, t3, t4, 0, 0, 0, self.mark];
        packet.extend([self.mark; 160]);
        self.rtp.send_to(&packet, to).expect("sent");
        if number % 50 == 49 {
            let report = [0x80, 201, 0, 1, 0, 0, 0, self.mark];
            let to = SocketAddr::new(to.ip(), to.port() + 1);
            self.rtcp.send_to(&report, to).expect("sent");
        }
    }

    /// How many packets came whose sender has one of the marks: RTP and RTCP.
    fn count(&self, marks: &[u8]) -> (u64, u64) {
        let mut counts = (0, 0);
        let mut room = [0; 2048];
        while let Ok(length) = self.rtp.recv(&mut room) {
            counts.0 += u64::from(length > 11 && marks.contains(&room[11]));
        }
        while let Ok(length) = self.rtcp.recv(&mut room) {
            counts.1 += u64::from(length > 7 && marks.contains(&room[7]));
        }
        counts
    }
}

const CALLER: u8 = 1;
const BUYER: u8 = 2;
const ATTACKER: u8 = 3;

impl Attack {
    fn new(name: String, number: u8, start: u64) -> Self {
        let at = |host| Ipv4Addr::new(127, block(), number, host);
        Self {
            name,
            is_ours: false,
            start,
            caller: Phone::new(at(20), CALLER),
            buyer: Phone::new(at(21), BUYER),
            attacker: Phone::new(at(66), ATTACKER),
            gates: [SocketAddr::from((at(1), 0)); 2],
            sent: 0,
            forged: 0,
            seen: Seen::default(),
        }
    }

    fn send(&mut self, time: u64) {
        let [for_caller, for_buyer] = self.gates;
        // The attacker knows when each packet comes, and is there before it.
        if time >= self.start {
            self.attacker.send(self.forged, for_caller);
            self.forged += 1;
        }
        self.caller.send(self.sent, for_caller);
        self.buyer.send(self.sent, for_buyer);
        self.sent += 1;
    }

    fn count(&mut self) {
        let seen = &mut self.seen;
        // What the buyer gets of the attacker's first: counting empties the ports.
        let mut room = [0; 2048];
        while let Ok(length) = self.buyer.rtp.recv(&mut room) {
            seen.injected += u64::from(length > 11 && room[11] == ATTACKER);
            seen.to_buyer += u64::from(length > 11 && room[11] == CALLER);
        }
        while let Ok(length) = self.buyer.rtcp.recv(&mut room) {
            seen.rtcp_injected += u64::from(length > 7 && room[7] == ATTACKER);
        }
        seen.to_caller += self.caller.count(&[BUYER]).0;
        let (bled, rtcp_bled) = self.attacker.count(&[BUYER, CALLER]);
        seen.bled += bled;
        seen.rtcp_bled += rtcp_bled;
    }
}

/// Plays all attacks at the same time: the longest time between two packets of a good party.
fn run(attacks: &mut [Attack]) -> Duration {
    let start = Instant::now();
    let mut longest_gap = Duration::ZERO;
    let mut last = start;
    for time in (0..LENGTH).step_by(STEP as usize) {
        let due = start + Duration::from_millis(time);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        attacks.iter_mut().for_each(|attack| attack.send(time));
        let sent = Instant::now();
        longest_gap = longest_gap.max(sent - last);
        last = sent;
        attacks.iter_mut().for_each(Attack::count);
    }
    let wanted = |attack: &Attack| attack.seen.to_caller + 5 >= attack.sent;
    eventually(Duration::from_secs(5), || {
        attacks.iter_mut().for_each(Attack::count);
        attacks.iter().filter(|attack| attack.is_ours).all(wanted)
    });
    thread::sleep(Duration::from_millis(200));
    attacks.iter_mut().for_each(Attack::count);
    longest_gap
}

/// A call of our relay's.
fn ours(
    relay: &Relay,
    number: u8,
    mode: &str,
    start: u64,
    is_moved: bool,
    networks: &[&str],
) -> Attack {
    let mut attack = Attack::new(format!("strowger, {mode}"), number, start);
    attack.is_ours = true;
    let sources = if networks.is_empty() {
        Sources::Announced
    } else {
        let read = |text: &&str| text.parse().expect("a network");
        Sources::Learned(networks.iter().map(read).collect())
    };
    let gates = [25_000, 25_002].map(|port| Gate {
        address: Ipv4Addr::new(127, block(), number, 1).into(),
        port,
        is_shared: false,
    });
    let mut announced = attack.caller.remote();
    if is_moved {
        announced.rtp.set_port(9);
        announced.rtcp.set_port(10);
    }
    connect(relay, &mut attack, gates, (number, announced, sources));
    attack
}

/// A call of our relay's on the port that it shares with all others of these.
fn sharing(relay: &Relay, number: u8, start: u64) -> Attack {
    let mut attack = Attack::new("strowger, shared ports".to_owned(), number, start);
    attack.is_ours = true;
    let gate = Gate {
        address: Ipv4Addr::new(127, block(), 199, 1).into(),
        port: 25_000,
        is_shared: true,
    };
    let announced = attack.caller.remote();
    connect(
        relay,
        &mut attack,
        [gate; 2],
        (number, announced, Sources::Announced),
    );
    attack
}

/// Sets the call up.
fn connect(
    relay: &Relay,
    attack: &mut Attack,
    gates: [Gate; 2],
    (number, announced, sources): (u8, Remote, Sources),
) {
    let end = |gate, remote, sources| End {
        gate,
        remote: Some(remote),
        sources,
        sends: true,
        payloads: smallvec![Payload {
            number: 0,
            clock: 8000,
            is_dtmf: false
        }],
        crypto: None,
    };
    let ends = [
        end(gates[0], announced, sources),
        end(gates[1], attack.buyer.remote(), Sources::Announced),
    ];
    attack.gates = gates.map(|gate| SocketAddr::new(gate.address, gate.port));
    let plan = Plan {
        streams: smallvec![Stream { ends, is_rtp: true }],
        patience: Patience::default(),
    };
    let connected = relay.connect(SessionId(u64::from(number)), plan);
    assert!(connected.is_ok(), "{connected:?}");
}

fn table(attacks: &[Attack]) -> String {
    let mut text = format!(
        "{:<56} {:>6} {:>5} {:>8} {:>5} {:>9} {:>9} {:>8} {:>9}\n",
        "relay",
        "attack",
        "sent",
        "injected",
        "bled",
        "RTCP inj.",
        "RTCP bled",
        "to buyer",
        "to caller"
    );
    for attack in attacks {
        let Attack {
            name,
            start,
            forged,
            seen,
            ..
        } = attack;
        let _ = writeln!(
            text,
            "{name:<56} {:>6} {forged:>5} {:>8} {:>5} {:>9} {:>9} {:>8} {:>9}",
            if *start == 0 { "start" } else { "4 s" },
            seen.injected,
            seen.bled,
            seen.rtcp_injected,
            seen.rtcp_bled,
            seen.to_buyer,
            seen.to_caller
        );
    }
    text
}

/// An rtpengine that runs, asked by its ng protocol.
struct RtpEngine {
    process: Process,
    control: UdpSocket,
    learning: String,
    asked: u32,
}

impl RtpEngine {
    fn start(folder: &std::path::Path, number: u8, learning: &str) -> Self {
        let address = Ipv4Addr::new(127, block(), 200 + number, 1);
        let name = format!("rtpengine-{learning}");
        let mut command = Command::new("rtpengine");
        // In the foreground and in user space.
        command.args([
            "--config-file=none",
            "--foreground",
            "--log-stderr",
            "--log-level=3",
            "--table=-1",
        ]);
        command.args(["--port-min=30000", "--port-max=31000", "--num-threads=1"]);
        command.arg(format!("--interface={address}"));
        command.arg(format!("--listen-ng={address}:2223"));
        command.arg(format!("--endpoint-learning={learning}"));
        let process = Process::start(&name, &mut command, folder, "rtpengine-daemon");
        let control = UdpSocket::bind((address, 0)).expect("a port");
        control.connect((address, 2223)).expect("a socket");
        control
            .set_read_timeout(Some(Duration::from_millis(200)))
            .expect("a socket");
        let mut engine = Self {
            process,
            control,
            learning: learning.to_owned(),
            asked: 0,
        };
        let is_ready = eventually(Duration::from_secs(10), || {
            engine.ask("7:command4:ping").is_some()
        });
        assert!(
            is_ready,
            "{name} does not answer:\n{}",
            engine.process.said()
        );
        engine
    }

    /// A call of its.
    fn call(&mut self, number: u8, start: u64, is_strict: bool) -> Attack {
        let strict = if is_strict { ", strict source" } else { "" };
        let name = format!("rtpengine, {}{strict}", self.learning);
        let mut attack = Attack::new(name, number, start);
        let flags = if is_strict {
            "5:flagsl13:strict-sourcee"
        } else {
            ""
        };
        let mut ask = |command: &str, phone: &Phone, tag: &str| {
            let sdp = description(phone);
            let request = format!(
                "3:ICE6:remove7:call-id{}7:command{}{flags}8:from-tag1:a7:replacel6:origin18:session-connectione3:sdp{}{tag}",
                word(&format!("forged-{number}")),
                word(command),
                word(&sdp),
            );
            let reply = self.ask(&request).expect("an answer");
            place(&reply).unwrap_or_else(|| panic!("{reply}"))
        };
        let for_buyer = ask("offer", &attack.caller, "");
        let for_caller = ask("answer", &attack.buyer, "6:to-tag1:b");
        attack.gates = [for_caller, for_buyer];
        attack
    }

    /// Asks with the entries of a dictionary, in their order.
    fn ask(&mut self, entries: &str) -> Option<String> {
        self.asked += 1;
        let cookie = format!("{} ", self.asked);
        self.control
            .send(format!("{cookie}d{entries}e").as_bytes())
            .ok()?;
        let mut room = [0; 8192];
        loop {
            let length = self.control.recv(&mut room).ok()?;
            let reply = String::from_utf8_lossy(&room[..length]);
            if let Some(reply) = reply.strip_prefix(&cookie) {
                return Some(reply.to_owned());
            }
        }
    }
}

fn word(text: &str) -> String {
    format!("{}:{text}", text.len())
}

fn description(phone: &Phone) -> String {
    let Remote { rtp, rtcp } = phone.remote();
    let (address, port, control) = (rtp.ip(), rtp.port(), rtcp.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\na=rtcp:{control}\r\n"
    )
}

/// The place that the SDP in a reply names.
fn place(reply: &str) -> Option<SocketAddr> {
    let after = |mark: &str| reply.split(mark).nth(1);
    let address = after("c=IN IP4 ")?.split_whitespace().next()?;
    let port = after("m=audio ")?.split(' ').next()?;
    Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
}
