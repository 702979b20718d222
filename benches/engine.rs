//! What one call costs the engine: no sockets, no kernel, time measured around the engine alone.
//!
//! ```text
//! cargo bench --bench engine                 nanoseconds and allocations per call, by address
//! cargo bench --bench engine -- 2000         the same over 2,000 calls; callgrind needs no more
//! ```
//!
//! The call is the one of the system bench: INVITE, 100, 180, 200, ACK, BYE, 200 on each leg.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a bench measures real time")]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a bench that cannot measure stops"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use strowger::auth::allowlist::Allowlist;
use strowger::call::Engine;
use strowger::call::input::Input;
use strowger::call::output::{Gauges, Output};
use strowger::call::policy::{
    DigestUri, Domain, HealthTerms, HuntBudget, Limits, Listener, Media, Overload, Policy, Require,
    Rules, Strangers, TrunkId, Users,
};
use strowger::hooks::model::Hooks;
use strowger::routing::buyer::{Buyer, Gateway};
use strowger::routing::callers::Lists;
use strowger::routing::campaign::Campaign;
use strowger::routing::directory::{
    CampaignId, Company, Directory, Line, Source, SourceId, TermsId,
};
use strowger::routing::trunk::{CompanyId, Trunk};
use strowger::sip::flow::{Flow, ListenerId, PeerId, Transport};
use strowger::transaction::Timing;
use strowger::types::ids::ShardId;
use strowger::types::number::Number;
use strowger::types::secret::Secret;

fn main() {
    let calls = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(200_000);
    let mut bench = Bench::new();
    bench.run(calls / 10);
    let (time, allocations) = bench.run(calls);
    bench.rest();
    let (refused, allocated) = bench.refuse(calls);
    println!(
        "engine, call refused in overload: {} ns and {:.1} allocations ({calls} calls)",
        refused.as_nanos() / u128::from(calls),
        allocated as f64 / f64::from(calls),
    );
    println!(
        "engine, call by address: {} ns and {:.1} allocations per call ({calls} calls)",
        time.as_nanos() / u128::from(calls),
        allocations as f64 / f64::from(calls),
    );
}

struct Bench {
    engine: Engine,
    now: Instant,
    carrier: Flow,
    buyer: Flow,
    serial: u32,
    outputs: Vec<(Flow, bytes::Bytes)>,
    spent: Duration,
    allocated: u64,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        let flow = |address: &str| Flow {
            transport: Transport::Udp,
            listener: ListenerId(0),
            remote: address.parse().expect("an address"),
            peer: PeerId::NOBODY,
        };
        Self {
            engine: Engine::new(ShardId(0), [7; 32], now, Arc::new(policy())),
            now,
            carrier: flow("192.0.2.1:5060"),
            buyer: flow("192.0.2.2:5060"),
            serial: 0,
            outputs: Vec::new(),
            spent: Duration::ZERO,
            allocated: 0,
        }
    }

    /// Places `calls` calls one after another, 5,000 a second of virtual time.
    fn run(&mut self, calls: u32) -> (Duration, u64) {
        (self.spent, self.allocated) = (Duration::ZERO, 0);
        for _ in 0..calls {
            self.call();
            self.now += Duration::from_micros(200);
            self.drive(None);
        }
        (self.spent, self.allocated)
    }

    /// Refuses `calls` new calls for want of time.
    fn refuse(&mut self, calls: u32) -> (Duration, u64) {
        (self.spent, self.allocated) = (Duration::ZERO, 0);
        for _ in 0..calls {
            self.serial += 1;
            let invite = self.invite();
            let (flow, bytes) = (self.carrier, invite.as_bytes());
            let retry_after = Some(3);
            self.measure(Input::Shed {
                flow,
                bytes,
                retry_after,
            });
            assert!(
                self.outputs
                    .pop()
                    .is_some_and(|(_, bytes)| bytes.starts_with(b"SIP/2.0 503"))
            );
        }
        assert_eq!(self.engine.gauges(), Gauges::default());
        (self.spent, self.allocated)
    }

    /// Nothing is left of so many calls when their time is over.
    fn rest(&mut self) {
        while let Some(due) = self.engine.poll_timeout() {
            self.now = self.now.max(due);
            self.drive(None);
        }
        assert_eq!(self.engine.gauges(), Gauges::default());
    }

    fn call(&mut self) {
        self.serial += 1;
        let invite = self.invite();
        let serial = self.serial;
        self.drive(Some((self.carrier, invite.as_bytes())));
        let to_buyer = self.sent_to(self.buyer, "INVITE");
        for status in ["100 Trying", "180 Ringing", "200 OK"] {
            let answer = answer(&to_buyer, status, status == "200 OK");
            self.drive(Some((self.buyer, answer.as_bytes())));
        }
        let ok = self.sent_to(self.carrier, "SIP/2.0 200");
        let tag = value(&ok, "To: ")
            .split_once(";tag=")
            .expect("a tag")
            .1
            .to_owned();
        let to_tag = format!(";tag={tag}");
        let empty = "Content-Length: 0\r\n\r\n";
        let contact = "sip:198.51.100.1:5060";
        let ack = head("ACK", contact, &to_tag, serial, 1) + empty;
        self.drive(Some((self.carrier, ack.as_bytes())));
        let bye = head("BYE", contact, &to_tag, serial, 2) + empty;
        self.drive(Some((self.carrier, bye.as_bytes())));
        let to_buyer = self.sent_to(self.buyer, "BYE");
        let answer = answer(&to_buyer, "200 OK", false);
        self.drive(Some((self.buyer, answer.as_bytes())));
        self.outputs.clear();
    }

    fn invite(&self) -> String {
        let mut invite = head(
            "INVITE",
            "sip:+12125550101@198.51.100.1",
            "",
            self.serial,
            1,
        );
        invite.push_str("Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE\r\nSupported: timer, replaces\r\nUser-Agent: carrier-sbc/1.0\r\nP-Asserted-Identity: <sip:+14165550123@192.0.2.1>\r\n");
        invite.push_str(&with_sdp());
        invite
    }

    fn drive(&mut self, datagram: Option<(Flow, &[u8])>) {
        self.measure(match datagram {
            Some((flow, bytes)) => Input::Datagram { flow, bytes },
            None => Input::Timeout,
        });
    }

    /// Runs the engine once, measured.
    fn measure(&mut self, input: Input<'_>) {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let start = Instant::now();
        self.engine.handle(self.now, input);
        let mut kept: [Option<(Flow, bytes::Bytes)>; 4] = Default::default();
        let mut count = 0;
        while let Some(output) = self.engine.poll_output() {
            if let Output::Transmit { flow, bytes } = output {
                kept[count] = Some((flow, bytes));
                count += 1;
            }
        }
        self.spent += start.elapsed();
        self.allocated += ALLOCATIONS.load(Ordering::Relaxed) - before;
        self.outputs.extend(kept.into_iter().flatten());
    }

    fn sent_to(&self, flow: Flow, start: &str) -> String {
        let (_, bytes) = self
            .outputs
            .iter()
            .rev()
            .find(|(to, bytes)| to.remote == flow.remote && bytes.starts_with(start.as_bytes()))
            .unwrap_or_else(|| panic!("no {start} was sent: {:?}", self.outputs));
        String::from_utf8(bytes.to_vec()).expect("text")
    }
}

fn head(method: &str, uri: &str, to_tag: &str, serial: u32, cseq: u32) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-{serial}-{cseq}\r\nFrom: <sip:+14155550123@192.0.2.1:5060>;tag=u{serial}\r\nTo: <sip:+12125550101@198.51.100.1>{to_tag}\r\nCall-ID: {serial}@bench\r\nCSeq: {cseq} {method}\r\nContact: <sip:carrier@192.0.2.1:5060>\r\nMax-Forwards: 70\r\n"
    )
}

fn with_sdp() -> String {
    let sdp = "v=0\r\no=uac 53655765 2353687637 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";
    format!(
        "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    )
}

fn value<'a>(message: &'a str, name: &str) -> &'a str {
    message
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_else(|| panic!("no {name} in {message}"))
}

fn answer(request: &str, status: &str, has_sdp: bool) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for name in ["Via: ", "From: ", "To: ", "Call-ID: ", "CSeq: "] {
        let value = value(request, name);
        let tag = if name == "To: " && !value.contains(";tag=") && !status.starts_with("100") {
            ";tag=buyer"
        } else {
            ""
        };
        text.push_str(&format!("{name}{value}{tag}\r\n"));
    }
    text.push_str("Contact: <sip:buyer@192.0.2.2:5060>\r\n");
    if has_sdp {
        text.push_str(&with_sdp());
    } else {
        text.push_str("Content-Length: 0\r\n\r\n");
    }
    text
}

fn policy() -> Policy {
    let mut allow = Allowlist::new();
    allow.insert("192.0.2.1/32".parse().expect("a prefix"), TrunkId(0));
    let address = "192.0.2.2:5060".parse().expect("an address");
    let gateway = Gateway::udp("sip:buyer@192.0.2.2:5060", "192.0.2.2", address);
    let buyer = Arc::new(Buyer::new("b1", vec![Arc::new(gateway)]));
    let line = Line {
        campaign: CampaignId(0),
        source: SourceId(0),
        terms: TermsId::default(),
    };
    let number = Number::from_e164(b"+12125550101").expect("a number");
    Policy {
        node: "bench".into(),
        generation: 1,
        hop_secret: Secret::new(*b"0123456789abcdef"),
        product: None,
        listeners: vec![Listener {
            transport: Transport::Udp,
            bind: "198.51.100.1:5060".parse().expect("an address"),
            advertise: "198.51.100.1:5060".into(),
        }],
        domains: HashMap::from([(
            "198.51.100.1".into(),
            Arc::new(Domain {
                realm: "bench".into(),
                require: Require::Ip,
                algorithms: Vec::new(),
                digest_uri: DigestUri::Exact,
                allow,
                users: Users::default(),
                peers: HashMap::new(),
            }),
        )]),
        trunks: vec![Arc::new(Trunk::new("t1", CompanyId(0)))],
        hooks: Hooks::default(),
        directory: Directory {
            companies: vec![Company {
                id: "c1".into(),
                key_secret: Secret::new(*b"0123456789abcdef"),
                callers: Lists::default(),
            }],
            campaigns: vec![Arc::new(Campaign::new("camp", CompanyId(0), vec![buyer]))],
            sources: vec![Source {
                afid: "7".into(),
                sid: Some("s".into()),
            }],
            numbers: HashMap::from([(number, line)]),
            ..Directory::default()
        },
        limits: Limits {
            calls: 1_000_000,
            transactions: 10_000_000,
            nonces: 1000,
            call_time: Duration::from_secs(4 * 3600),
        },
        timing: Timing::default(),
        strangers: Strangers::Refuse,
        known: Allowlist::new(),
        session: None,
        guard: Rules::default(),
        overload: Overload::default(),
        hunt: HuntBudget {
            at_once: 10,
            attempts: 10,
            time: Duration::from_secs(120),
            pdd: Duration::from_secs(3),
        },
        health: HealthTerms::default(),
        media: Media::default(),
        twilio: Allowlist::new(),
        tickets: None,
    }
}

/// Counts allocations.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[expect(unsafe_code, reason = "the only way to count allocations")]
// SAFETY: hands everything to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;
