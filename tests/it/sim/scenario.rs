//! What one seed stands for: calls, their user agents' plans, the network, and what else happens.

use std::net::SocketAddr;
use std::time::Duration;

use super::dice::Dice;
use super::lodger;
use super::media;
use super::plan::{Challenge, OnCancel, Plan, SessionPlan, Step};
use super::policy::{
    BUYER_REALM, BuyerSpec, CARRIER, PASSWORD, PolicySpec, REALM, ROAMER, addr, number,
};
use strowger::call::policy::{Media, Terms};
use strowger::routing::buyer::XPhProfile;
use strowger::routing::caps::Caps;
use strowger::routing::trunk::{MediaTerms, Refer};

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) calls: Vec<CallPlan>,
    pub(crate) network: Network,
    /// What happens besides calls, and when.
    pub(crate) incidents: Vec<(Duration, Incident)>,
    pub(crate) call_time: Duration,
    pub(crate) session: Option<Terms>,
    pub(crate) refer: Refer,
    /// The trunk's limits; each buyer has its own.
    pub(crate) caps: Caps,
    /// Media goes through our relay.
    pub(crate) is_relayed: bool,
    /// Calls share ports there.
    pub(crate) is_shared: bool,
    /// Instead, it goes through an rtpengine.
    pub(crate) is_far: bool,
    /// INVITEs that the roamer may leave open (0: any number), and all callers together.
    pub(crate) half_open: (u32, Option<u32>),
    /// How many buyers are called at once at most.
    pub(crate) at_once: usize,
    /// How long the answer to a question for a place takes, in milliseconds; `None`: it comes in the same breath.
    pub(crate) counting: Option<(u64, u64)>,
}

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct CallPlan {
    pub(crate) at: Duration,
    pub(crate) from: SocketAddr,
    /// What is dialled.
    pub(crate) uri: String,
    pub(crate) caller: Plan,
    pub(crate) buyers: Vec<BuyerPlan>,
    /// Those of one priority are called at once.
    pub(crate) is_together: bool,
    /// It waits if nobody can take it.
    pub(crate) is_patient: bool,
}

/// One buyer of a call.
#[derive(Debug, Clone)]
pub(crate) struct BuyerPlan {
    pub(crate) spec: BuyerSpec,
    pub(crate) plan: Plan,
    /// The network says that nobody is there.
    pub(crate) is_unreachable: bool,
    /// What its further gateways do, in the order of `spec.others`.
    pub(crate) others: Vec<Plan>,
}

impl BuyerPlan {
    /// All its gateways.
    pub(crate) fn gateways(&self) -> impl Iterator<Item = (SocketAddr, &Plan)> {
        let others = self.spec.others.iter().copied().zip(&self.others);
        [(self.spec.address, &self.plan)].into_iter().chain(others)
    }
}

/// How the network treats datagrams; shares in percent.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) loss: u64,
    pub(crate) twice: u64,
    /// Share of datagrams that are held up, and so overtaken.
    pub(crate) late: u64,
    /// Delay of the others, in milliseconds.
    pub(crate) delay: (u64, u64),
}

/// What else happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Incident {
    HangupAll,
    /// The call that began last.
    HangupLast,
    Drain(bool),
    /// A new generation of the same policy.
    Reload,
    /// Bytes that are no SIP, from somebody unknown.
    Junk,
    /// A message that went by before, damaged, from somebody unknown.
    Damaged,
    /// From now on nobody is there, and the network says so.
    Unplugged(SocketAddr),
}

impl Scenario {
    pub(crate) fn draw(seed: u64) -> Self {
        let dice = &mut Dice::new(seed);
        let count = dice.pick(&[1, 1, 1, 2, 3]);
        let calls: Vec<_> = (0..count).map(|call| draw_call(dice, call)).collect();
        let network = match dice.below(10) {
            0..4 => (0, 0, 0, (1, 1)),
            4..6 => (0, 5, 20, (1, 200)),
            6..8 => (3, 3, 10, (5, 80)),
            _ => (10, 10, 10, (1, 150)),
        };
        let (loss, twice, late, delay) = network;
        let scenario = Self {
            network: Network {
                loss,
                twice,
                late,
                delay,
            },
            incidents: draw_incidents(dice, &calls),
            calls,
            session: dice.chance(80).then_some(Terms {
                expires: 100,
                min: 90,
            }),
            refer: dice.pick(&[Refer::Refuse, Refer::Relay]),
            call_time: dice.pick(&[20, 60, 90, 600]).pipe(Duration::from_secs),
            caps: draw_caps(dice),
            is_relayed: dice.chance(50),
            is_shared: dice.chance(50),
            is_far: false,
            at_once: 10,
            counting: dice.pick(&[None, None, Some((0, 30)), Some((0, 2500))]),
            half_open: (
                dice.pick(&[0, 0, 1, 64]),
                dice.pick(&[None, None, None, Some(1), Some(2)]),
            ),
        };
        let mut scenario = Self {
            is_far: dice.chance(35),
            ..scenario
        };
        // With dice of its own, so that the seeds from before stand for what they did.
        scenario.draw_together(&mut Dice::new(seed ^ 0x7065_6574));
        let mut dice = Dice::new(seed ^ 0x7761_6974);
        let calls = scenario.calls.iter_mut();
        calls.for_each(|call| call.is_patient = dice.chance(25));
        scenario
    }

    /// Some calls ring at all of their buyers at once, or at all but the last.
    fn draw_together(&mut self, dice: &mut Dice) {
        self.at_once = dice.pick(&[10, 10, 10, 2]);
        for call in &mut self.calls {
            call.is_together = dice.chance(45);
            let is_split = dice.chance(30);
            if let Some(last) = call.buyers.last_mut()
                && call.is_together
                && is_split
            {
                last.spec.priority = 2;
            }
        }
    }

    /// What holds towards everybody.
    fn media_terms(&self) -> MediaTerms {
        let mut terms = MediaTerms::default();
        terms.terms.is_shared = self.is_relayed && self.is_shared;
        terms
    }

    pub(crate) fn policy(&self) -> PolicySpec {
        let buyers = |call: &CallPlan| {
            let all = call.buyers.iter().map(|one| BuyerSpec {
                media: self.media_terms(),
                ..one.spec.clone()
            });
            all.collect()
        };
        let lines = self.calls.iter().enumerate();
        let waiting = lines.clone().filter(|(_, call)| call.is_patient);
        let together = lines.filter(|(_, call)| call.is_together);
        PolicySpec {
            lines: self.calls.iter().map(buyers).collect(),
            together: together.map(|(line, _)| line).collect(),
            waiting: waiting.map(|(line, _)| line).collect(),
            at_once: self.at_once,
            call_time: self.call_time,
            session: self.session,
            refer: self.refer,
            caps: self.caps,
            media: if self.is_far {
                lodger::far()
            } else if self.is_relayed {
                Media {
                    shared_ports: self.is_shared.then_some(19_000..=19_003),
                    ..media::open(20_000, 29_999)
                }
            } else {
                Media::default()
            },
            half_open: self.half_open,
            trunk_media: self.media_terms(),
            ..PolicySpec::default()
        }
    }
}

fn draw_incidents(dice: &mut Dice, calls: &[CallPlan]) -> Vec<(Duration, Incident)> {
    let mut incidents = Vec::new();
    let mut add = |dice: &mut Dice, percent, incident| {
        if dice.chance(percent) {
            incidents.push((dice.millis(0, 60_000), incident));
        }
    };
    add(dice, 4, Incident::HangupAll);
    add(dice, 8, Incident::HangupLast);
    add(dice, 4, Incident::Drain(true));
    add(dice, 4, Incident::Drain(false));
    add(dice, 8, Incident::Reload);
    for call in calls {
        let whom = call
            .buyers
            .iter()
            .flat_map(BuyerPlan::gateways)
            .map(|(address, _)| address)
            .chain([call.from]);
        for address in whom {
            add(dice, 2, Incident::Unplugged(address));
        }
    }
    for _ in 0..3 {
        add(dice, 15, Incident::Junk);
        add(dice, 30, Incident::Damaged);
    }
    incidents
}

fn draw_call(dice: &mut Dice, call: usize) -> CallPlan {
    let by_digest = dice.chance(30);
    let (from, host) = if by_digest {
        let host = dice.pick(&["digest.example.com", "either.example.com"]);
        (addr(ROAMER), host)
    } else {
        (addr(CARRIER), "ip.example.com")
    };
    let user = match dice.below(25) {
        0 => "+15555559999".to_owned(),
        1 => "frank".to_owned(),
        2 => "+1555".to_owned(),
        _ => number(call),
    };
    let buyers = match dice.below(20) {
        0 => 0,
        1..9 => 1,
        9..15 => 2,
        _ => 3,
    };
    let mut caller = draw_caller(dice);
    if by_digest {
        let password = if dice.chance(85) { PASSWORD } else { "wrong" };
        // Past its 60 s, the nonce is stale.
        let pause = if dice.chance(10) { 65_000 } else { 50 };
        caller.password = Some((password, Duration::from_millis(pause)));
    }
    CallPlan {
        at: dice.millis(0, 5000),
        from,
        uri: format!("sip:{user}@{host}"),
        caller,
        is_together: false,
        is_patient: false,
        buyers: (0..buyers)
            .map(|buyer| draw_buyer(dice, call, buyer))
            .collect(),
    }
}

fn draw_caller(dice: &mut Dice) -> Plan {
    let mut plan = Plan {
        is_late_offer: dice.chance(12),
        compact: dice.chance(15),
        never_acks: dice.chance(4),
        ..Plan::default()
    };
    if dice.chance(25) {
        let by_bye = dice.chance(20);
        let after = dice.pick(&[0, 50, 400, 1200, 3000, 9000, 40_000]);
        let after = dice.millis(after, after + 400);
        plan.before.push((after, Step::Cancel { by_bye }));
    }
    if dice.chance(4) {
        plan.before.push((dice.millis(0, 20_000), Step::Vanish));
    }
    plan.reliable = match dice.below(10) {
        0..3 => Some("Supported"),
        3 => Some("Require"),
        _ => None,
    };
    plan.session = draw_session(dice, &[40, 90, 95, 300], 0);
    plan.takes_update = dice.pick(&[None, Some(true), Some(true), Some(false)]);
    plan.never_pracks = plan.reliable.is_some() && dice.chance(5);
    if dice.chance(10) {
        let has_offer = dice.chance(50);
        let at = dice.millis(0, 3000);
        plan.before.push((at, Step::EarlyUpdate { has_offer }));
    }
    if dice.chance(25) {
        plan.smuggled = dice.pick(SMUGGLED).to_vec();
    }
    plan.within = draw_within(dice, 45);
    plan
}

fn draw_session(dice: &mut Dice, expires: &[u32], min: u32) -> Option<SessionPlan> {
    if dice.chance(60) {
        return None;
    }
    Some(SessionPlan {
        expires: dice.chance(60).then(|| dice.pick(expires)),
        refresher: dice.pick(&[None, Some("uac"), Some("uas")]),
        min,
        keeps: dice.chance(93),
    })
}

/// What one side does once the call is up; `hangs_up` in percent.
fn draw_within(dice: &mut Dice, hangs_up: u64) -> Vec<(Duration, Step)> {
    let mut steps = Vec::new();
    for _ in 0..dice.pick(&[0, 0, 1, 2, 4]) {
        let after = dice.pick(&[0, 1, 500, 3000]);
        let after = dice.millis(after, after + 1000);
        match dice.below(10) {
            0..4 => {
                let has_offer = dice.chance(70);
                steps.push((after, Step::Reinvite { has_offer }));
                if dice.chance(15) {
                    let soon = after + dice.millis(50, 400);
                    steps.push((soon, Step::Retract));
                }
            }
            4..6 => steps.push((after, Step::Ask("INFO"))),
            6 => {
                let has_offer = dice.chance(60);
                steps.push((after, Step::Update { has_offer }));
            }
            7 => steps.push((after, Step::Ask("OPTIONS"))),
            8 => steps.push((after, Step::Ask("REFER"))),
            _ => steps.push((after, Step::Ask("MESSAGE"))),
        }
    }
    if dice.chance(3) {
        steps.push((dice.millis(0, 8000), Step::Vanish));
    }
    if dice.chance(hangs_up) {
        // Often the very moment at which the other side may do so, too.
        let after = dice.pick(&[0, 1, 2000, 2000, 2000, 9000]);
        steps.push((after, Step::Bye).pipe(|(after, step)| (Duration::from_millis(after), step)));
    }
    steps
}

fn draw_buyer(dice: &mut Dice, call: usize, buyer: usize) -> BuyerPlan {
    let host = 10 + call * 10 + buyer;
    let address = addr(&format!("198.51.100.{host}:5060"));
    let mut spec = BuyerSpec::new(&format!("c{call}b{buyer}"), address);
    spec.ring = Duration::from_secs(dice.pick(&[3, 10, 30]));
    spec.silence = Duration::from_secs(dice.pick(&[2, 4]));
    if dice.chance(20) {
        spec.profile = XPhProfile::Plivo;
    }
    spec.caps = draw_caps(dice);
    let mut plan = Plan {
        tries: dice.chance(70),
        compact: dice.chance(15),
        on_cancel: match dice.below(10) {
            0..7 => OnCancel::Obey,
            7..9 => OnCancel::Cross,
            _ => OnCancel::Ignore,
        },
        ..Plan::default()
    };
    draw_ringing(dice, &mut plan);
    plan.reliable = dice.chance(40).then_some("Supported");
    spec.offers_reliable = dice.chance(85);
    spec.refer = dice.pick(&[Refer::Refuse, Refer::Relay]);
    let min = dice.pick(&[0, 0, 0, 150, 99_999]);
    plan.session = draw_session(dice, &[90, 95], min);
    plan.takes_update = dice.pick(&[None, Some(true), Some(true), Some(false)]);
    if dice.chance(15) {
        let has_offer = dice.chance(80);
        let at = dice.millis(0, 3000);
        plan.before.push((at, Step::EarlyUpdate { has_offer }));
    }
    plan.within = draw_within(dice, 45);
    spec.has_login = dice.chance(30);
    if dice.chance(20) {
        plan.challenge = Some(Challenge {
            times: dice.pick(&[1, 1, 1, 1, 2, 99]),
            realm: if dice.chance(85) { BUYER_REALM } else { REALM },
            algorithms: dice.pick(&[&["MD5"][..], &["SHA-256"], &["SHA-256", "MD5"]]),
            is_proxy: dice.chance(30),
            within: dice.chance(30),
        });
        spec.has_login = dice.chance(85);
    }
    let others = draw_gateways(dice, &mut spec, &plan, host);
    if dice.chance(15) {
        spec.probe = Some(Duration::from_secs(5));
    }
    BuyerPlan {
        spec,
        plan,
        is_unreachable: dice.chance(if others.is_empty() { 4 } else { 30 }),
        others,
    }
}

/// One gateway, mostly; a second or third of the same buyer rings and answers in its own way.
fn draw_gateways(dice: &mut Dice, spec: &mut BuyerSpec, first: &Plan, host: usize) -> Vec<Plan> {
    let count = dice.pick(&[0, 0, 0, 1, 2]);
    (0..count)
        .map(|place| {
            let network = 101 + place;
            let address = addr(&format!("198.51.{network}.{host}:5060"));
            spec.others.push(address);
            let mut plan = Plan {
                before: Vec::new(),
                fork: None,
                ..first.clone()
            };
            draw_ringing(dice, &mut plan);
            plan
        })
        .collect()
}

/// No limits, mostly.
fn draw_caps(dice: &mut Dice) -> Caps {
    let draw = |dice: &mut Dice| dice.chance(20).then(|| dice.pick(&[1, 1, 2, 9]));
    Caps {
        max_calls: draw(dice),
        max_cps: draw(dice),
    }
}

fn draw_ringing(dice: &mut Dice, plan: &mut Plan) {
    let fate = dice.below(20);
    if fate == 0 {
        // Says nothing, not even 100.
        plan.tries = false;
        plan.on_cancel = OnCancel::Ignore;
        plan.before.push((Duration::ZERO, Step::Vanish));
        return;
    }
    let mut at = dice.millis(0, 300);
    for _ in 0..dice.pick(&[0, 1, 1, 2, 3]) {
        let status = dice.pick(&[180, 180, 183, 181, 199]);
        let fork = dice.pick(&[0, 0, 0, 1, 2]);
        plan.before.push((at, Step::Provisional { status, fork }));
        at += dice.millis(0, 800);
    }
    at += dice
        .pick(&[0, 0, 1000, 2900, 9900])
        .pipe(Duration::from_millis);
    match fate {
        1..5 => {
            let status = dice.pick(&[486, 486, 503, 480, 404, 603, 302, 408, 500, 600]);
            plan.before.push((at, Step::Refuse(status)));
        }
        // Rings and rings.
        5 => {}
        _ => {
            plan.before.push((at, Step::Answer));
            if dice.chance(8) {
                plan.fork = Some(dice.millis(0, 1500));
            }
        }
    }
}

/// Spellings of headers that are the edge's alone to send. The value is looked for in all that reaches
/// a buyer.
const SMUGGLED: &[&[(&str, &str)]] = &[
    &[("X-PH-RetreaverUUID", "evil-1")],
    &[
        ("x-ph-retreaverkey", "evil-2"),
        ("X-PH-RetreaverAFID", "evil-3"),
    ],
    &[("X-PH-RetreaverSID ", "evil-4")],
    &[("X-PH-RetreaverSID\t", "evil-5")],
    &[("X-PH-RetreaverUUID", "\r\n evil-6")],
    &[("X-Ph-Anything", "evil-7")],
    &[("X-Strowger-Hop", "evil-8")],
];

/// Hands a value on, so that what is drawn reads from left to right.
trait Pipe: Sized {
    fn pipe<R>(self, then: impl FnOnce(Self) -> R) -> R {
        then(self)
    }
}

impl<T> Pipe for T {}
