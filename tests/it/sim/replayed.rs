//! What is recorded of a call is all that it was decided by: replayed under the same policy it is the same call, to the last
//! verdict, over random policies and calls; and under another policy it is another where that matters.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use strowger::call::abroad::TRUNK;
use strowger::call::course::State;
use strowger::call::input::Input;
use strowger::call::memory::{Memory, Remembered};
use strowger::call::policy::Policy;
use strowger::call::record::{Record, WhySkipped};
use strowger::call::story::Reply;
use strowger::edge::replay::{Changed, EndSaid, Summary};
use strowger::hooks::conversion::{Criterion, Group as Paid, Tier, Worth};
use strowger::hooks::keys::{Grants, Pass};
use strowger::hooks::model::{CampaignHooks, Hooks, Method, Webhook};
use strowger::hooks::postback::{About, Post, Posting};
use strowger::hooks::reply::Output;
use strowger::hooks::trigger::Trigger;
use strowger::routing::buyer::{Buyer, Gateway};
use strowger::routing::callers::{CallerList, Fill, Guests, Lists};
use strowger::routing::campaign::{
    Answer, Campaign, Exit, Repeat, RepeatPolicy, Route, Signal, Waiting,
};
use strowger::routing::caps::{CapOn, Caps, Most, Quota};
use strowger::routing::decide::Decision;
use strowger::routing::directory::{CampaignId, Terms, TermsId};
use strowger::routing::hours::{Blocks, Hours};
use strowger::routing::route::{Part, Together};
use strowger::routing::rules::{After, Group, Once, Rules, Schedule};
use strowger::routing::zone::Zone;
use strowger::telemetry::reading;
use strowger::telemetry::record::{Anchor, write_line};
use strowger::types::condition::Conditions;
use strowger::types::ids::CallUuid;
use strowger::types::moment::Moment;
use strowger::types::money::Money;
use strowger::types::number::Number;
use strowger::types::range::NumberSet;
use strowger::types::tag::{Origin, Tags};
use strowger::types::template::Template;

use super::abroad::tickets;
use super::desk::{
    Desk, Said, ack_of_failure, answer, buyer, caller_request, cancel, invite_to, ladder,
};
use super::dice::Dice;
use super::policy::{BuyerSpec, CARRIER, PolicySpec, number};
use super::seeds::epoch;
use super::text::Msg;

mod vendor;

const HOUR: Duration = Duration::from_secs(3600);

/// Random policies, each with some calls.
const SEEDS: u64 = 2_500;

#[test]
fn a_replay_of_what_happened_shows_no_difference() {
    let mut seen = Seen::default();
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let policy = drawn(&mut dice);
        let mut desk = Desk::of(Arc::clone(&policy), [7; 32]);
        let at = 1_730_700_000_000 + i64::try_from(dice.below(7 * 86_400_000)).expect("a week");
        desk.tell(Input::Clock(Moment::from_millis(at)));
        desk.stored = earlier(&mut dice, at);
        let calls = 1 + dice.below(4);
        let mut talks = Vec::new();
        for call in 0..calls {
            if dice.chance(40) {
                talks.extend(vendor::run(&mut desk, &mut dice).map(Talk::Abroad));
            } else {
                let talk = run(&mut desk, &mut dice, call);
                talks.extend(talk.map(|(invite, ok)| Talk::Sip(invite, ok)));
            }
            desk.pass(dice.millis(1, 40_000));
        }
        for talk in talks {
            answer_fetches(&mut desk, &mut dice);
            if dice.chance(30) {
                post(&mut desk, &mut dice);
            }
            match talk {
                Talk::Sip(invite, ok) => {
                    desk.say(CARRIER, &caller_request("BYE", 2, &invite, &ok));
                }
                Talk::Abroad(talk) => vendor::end(&mut desk, &mut dice, talk),
            }
        }
        desk.rest();

        let mut summary = Summary::default();
        for record in &desk.records {
            let line = line(record);
            let read = reading::read(line.as_bytes()).expect("a record");
            let changed = summary.take(1, &policy, &read);
            if let Some(changed) = changed {
                panic!("seed {seed}: {changed}\n{line}");
            }
            seen.note(record, &line);
        }
        assert!(summary.is_same());
        for sum in summary.campaigns.values() {
            assert_eq!(sum.payout.was, sum.payout.now, "seed {seed}");
            assert_eq!(sum.revenue.was, sum.revenue.supposed, "seed {seed}");
            assert!(sum.moved.is_empty());
            seen.paid += u64::from(sum.revenue.was > Money::ZERO);
        }
    }
    seen.check();
}

// --- what the calls were like, so that not much is left untried

#[derive(Debug, Default)]
struct Seen {
    calls: u64,
    answered: u64,
    full: u64,
    judged: u64,
    forward: u64,
    exits: u64,
    jumps: u64,
    weighted: u64,
    states: u64,
    hooks: u64,
    timers: u64,
    gone: u64,
    refused: u64,
    repeated: u64,
    news: u64,
    posted: u64,
    paid: u64,
    numbers: u64,
    at_once: u64,
    lost: u64,
    in_exits: u64,
    waited: u64,
    waited_well: u64,
    abroad: Abroad,
}

/// The same of calls that a vendor carries.
#[derive(Debug, Default)]
struct Abroad {
    calls: u64,
    answered: u64,
    failed_over: u64,
    refused: u64,
    resumed: u64,
    silent: u64,
    gone: u64,
    phones: u64,
    late: u64,
}

/// A call that was answered, and lasts.
enum Talk {
    Sip(Msg, Msg),
    Abroad(vendor::Talk),
}

impl Seen {
    fn note(&mut self, record: &Record, line: &str) {
        let story = record.story.as_ref().expect("its number is known");
        let has = |text: &str| u64::from(line.contains(text));
        self.calls += 1;
        self.answered += u64::from(record.answered.is_some());
        self.full += has("\"cap\":");
        self.posted += has("\"origin\":\"postback\"");
        self.numbers += has("\"of\":\"number\"");
        self.at_once += u64::from(record.attempts.iter().any(|one| one.together.is_some()));
        self.lost += has("\"lost_race\"");
        self.waited += u64::from(story.waited.is_some());
        self.waited_well += u64::from(story.waited.is_some() && record.answered.is_some());
        let joined = |one: &Decision| (0..one.order.len()).any(|place| one.joined.is_joined(place));
        self.in_exits += u64::from(story.decisions.iter().skip(1).any(joined));
        let mut skipped = record.skipped.iter();
        let is_judged =
            |why: &WhySkipped| matches!(why, WhySkipped::Judged(why) if *why != "forward_mismatch");
        self.judged += u64::from(skipped.any(|one| is_judged(&one.why)));
        self.forward += has("forward_mismatch");
        self.exits += u64::from(story.decisions.len() > 1);
        let campaigns = story.decisions.iter().map(|one| &one.trail.campaign.id);
        self.jumps += u64::from(campaigns.clone().any(|id| &**id != "campaign-0"));
        self.weighted += u64::from(story.decisions.iter().any(|one| one.order.len() > 2));
        self.states += u64::from(!story.course.over.is_empty());
        self.hooks += u64::from(story.fired.len() > 3);
        self.timers += has("\"trigger\":\"timer\"");
        self.gone += u64::from(record.outcome.label() == "caller_hung_up");
        self.refused += u64::from(record.status > 400);
        self.repeated += has("\"verdict\":\"duplicate\"") | has("\"verdict\":\"not_original\"");
        let heard = |state: &State| {
            state.memory
                != story
                    .recall
                    .as_ref()
                    .map(|one| (one.memory.clone(), one.is_known))
        };
        self.news += u64::from(story.course.over.iter().any(heard));
        // Of those that come by SIP, too.
        self.abroad.phones += has("phone_only");
        if &*record.trunk == TRUNK {
            self.abroad.note(record, line);
        }
    }

    fn check(&self) {
        let least = [
            self.calls / 40,
            self.answered / 30,
            self.full,
            self.judged,
            self.forward,
            self.exits,
            self.jumps,
            self.weighted,
            self.states,
            self.hooks,
            self.timers,
            self.gone,
            self.refused,
            self.repeated,
            self.news,
            self.posted,
            self.paid,
            self.abroad.calls / 40,
            self.abroad.answered / 20,
            self.abroad.failed_over,
            self.abroad.refused,
            self.abroad.resumed,
            self.abroad.silent,
            self.abroad.gone,
            self.abroad.phones,
            self.abroad.late,
            self.numbers,
            self.at_once,
            self.lost,
            self.in_exits,
            self.waited,
            3 * self.waited_well,
        ];
        assert!(least.into_iter().all(|count| count > 5), "{self:?}");
    }
}

impl Abroad {
    fn note(&mut self, record: &Record, line: &str) {
        let has = |text: &str| u64::from(line.contains(text));
        let is_answered = record.answered.is_some();
        self.calls += 1;
        self.answered += u64::from(is_answered);
        self.failed_over += u64::from(is_answered && record.attempts.len() > 1);
        self.refused += u64::from(record.attempts.is_empty() && record.status >= 400);
        self.resumed += has("\"resumed\":[{");
        self.silent += u64::from(record.outcome.label() == "vendor_silent");
        self.gone += u64::from(record.outcome.label() == "caller_hung_up");
        self.late += u64::from(has("\"known\":{") & has("\"trigger\":\"timer\"") > 0);
    }
}

// --- under another policy

#[test]
fn a_buyer_that_is_paused_loses_its_calls_and_it_is_said_what_that_costs() {
    let policy = two_buyers(|_| {});
    let record = taken_by_the_first(&policy);
    let after = two_buyers(|first| first.rules.is_paused = true);

    let (changed, summary) = replayed(&after, &record);

    let changed = changed.expect("a difference");
    let end = changed.end.as_ref().expect("another end");
    let taken = |buyer: &str| EndSaid::Taken {
        buyer: buyer.to_owned(),
    };
    assert_eq!(end.was, taken("c0b0"));
    let unknown = EndSaid::Unknown {
        buyer: "c0b1".to_owned(),
    };
    assert_eq!(end.now, unknown);
    let text = changed.to_string();
    assert!(text.contains("\n  order     c0b0, c0b1 -> c0b1"), "{text}");
    assert!(text.contains("\n  c0b0      fits -> paused"), "{text}");
    assert!(!summary.is_same());
    let sum = &summary.campaigns["campaign-0"];
    let moved = ("c0b0".to_owned(), "c0b1".to_owned());
    assert_eq!(sum.moved.get(&moved), Some(&1));
    let shown = summary.to_string();
    let expected = "campaign-0: 1 calls, 1 changed\n  c0b0 -> c0b1: 1\n  \
        payout 2.00 -> 0.00 (-2.00), or 2.00 (+0.00) if whoever is called instead takes the call for as long\n";
    assert!(shown.starts_with(expected), "{shown}");
}

#[test]
fn a_larger_limit_gives_a_place_to_who_was_refused_one_and_a_smaller_one_does_not() {
    for (cap, is_changed) in [(1, false), (2, true)] {
        let limited = |most| {
            two_buyers(move |first| {
                let quota = Quota {
                    most: Most {
                        total: Some(most),
                        ..Most::default()
                    },
                    on: CapOn::Attempt,
                    zone: Zone::utc(),
                };
                first.rules.quota = Some(Arc::new(quota));
            })
        };
        let policy = limited(1);
        let mut desk = Desk::of(Arc::clone(&policy), [7; 32]);
        let mut dice = Dice::new(1);
        for call in 0..2 {
            run_with(&mut desk, &mut dice, call, 603);
        }
        assert_eq!(desk.records[1].skipped[0].why.label(), "cap_total");

        let (changed, _) = replayed(&limited(cap), &desk.records[1]);

        assert_eq!(changed.is_some(), is_changed, "{cap}");
        if let Some(changed) = changed {
            let end = changed.end.expect("another end").now;
            let buyer = "c0b0".to_owned();
            assert_eq!(end, EndSaid::Unknown { buyer });
        }
    }
}

#[test]
fn a_number_that_moves_to_another_campaign_and_another_trunk_are_told() {
    let policy = two_buyers(|_| {});
    let record = taken_by_the_first(&policy);
    let mut moved = two_buyers(|_| {});
    let directory = &mut Arc::get_mut(&mut moved)
        .expect("nobody else has it")
        .directory;
    directory.sources[0].afid = "other".into();

    let (changed, _) = replayed(&moved, &record);

    let changed = changed.expect("a difference");
    let door = changed.door.as_ref().expect("another publisher");
    assert_eq!(door.was.afid.as_deref(), Some("pub 12"));
    assert_eq!(door.now.afid.as_deref(), Some("other"));
    assert!(changed.end.is_none() && changed.decisions.is_empty());

    let mut gone = two_buyers(|_| {});
    Arc::get_mut(&mut gone)
        .expect("nobody else has it")
        .trunks
        .clear();
    let (changed, _) = replayed(&gone, &record);
    let end = changed
        .and_then(|changed| changed.end)
        .expect("another end");
    assert_eq!(end.now, EndSaid::NoTrunk);
}

#[test]
fn a_number_that_nobody_had_and_that_has_a_campaign_now_would_be_called() {
    let mut nobodys = two_buyers(|_| {});
    let inner = Arc::get_mut(&mut nobodys).expect("nobody else has it");
    inner.directory.numbers.clear();
    let mut desk = Desk::of(Arc::clone(&nobodys), [7; 32]);
    run_with(&mut desk, &mut Dice::new(1), 0, 200);
    let record = desk.records.remove(0);
    assert_eq!(record.outcome.label(), "number_unknown");

    let (same, _) = replayed(&nobodys, &record);
    let (changed, summary) = replayed(&two_buyers(|_| {}), &record);

    assert!(same.is_none());
    let changed = changed.expect("a difference");
    let end = changed.end.as_ref().expect("another end");
    let outcome = "number_unknown".to_owned();
    assert_eq!(
        end.was,
        EndSaid::Refused {
            status: 404,
            outcome
        }
    );
    let buyer = "c0b0".to_owned();
    assert_eq!(end.now, EndSaid::Unknown { buyer });
    let moved = ("nobody".to_owned(), "c0b0".to_owned());
    assert_eq!(summary.campaigns["none"].moved.get(&moved), Some(&1));
}

#[test]
fn a_caller_who_gave_up_gives_up_again_and_its_webhooks_are_the_same() {
    let policy = two_buyers(|_| {});
    let mut desk = Desk::of(Arc::clone(&policy), [7; 32]);
    let invite = invite_to(&format!("sip:{}@ip.example.com", number(0)));
    desk.say(CARRIER, &invite);
    desk.say(CARRIER, &cancel(&invite));
    let record = desk.records.remove(0);

    let (same, summary) = replayed(&policy, &record);
    let (changed, _) = replayed(&two_buyers(|first| first.rules.is_paused = true), &record);

    assert!(same.is_none(), "{}", same.expect("a difference"));
    assert!(summary.is_same());
    let end = changed
        .and_then(|changed| changed.end)
        .expect("another end");
    let buyer = "c0b1".to_owned();
    assert_eq!(end.now, EndSaid::Unknown { buyer });
}

/// Line 0 with two buyers, the first one changed, and what a call is worth.
fn two_buyers(change: impl Fn(&mut Buyer)) -> Arc<Policy> {
    let spec = PolicySpec {
        lines: vec![(0..2).map(spec).collect()],
        ..PolicySpec::default()
    };
    let mut policy = spec.build();
    let inner = Arc::get_mut(&mut policy).expect("nobody else has it");
    let campaign = campaign(inner, 0);
    let mut members = campaign.route.buyers().to_vec();
    let plain = &members[0];
    let mut first = Buyer::new(&plain.id, plain.gateways.clone());
    first.weight = Some(1_000_000);
    change(&mut first);
    members[0] = Arc::new(first);
    campaign.route = Route::new(members);
    let paid = Arc::new(paid(0));
    inner.hooks = Hooks::new(vec![CampaignHooks::new(Vec::new(), vec![paid])]);
    policy
}

fn taken_by_the_first(policy: &Arc<Policy>) -> Record {
    let mut desk = Desk::of(Arc::clone(policy), [7; 32]);
    let mut dice = Dice::new(1);
    let talk = run_with(&mut desk, &mut dice, 0, 200);
    let (invite, ok) = talk.expect("it is answered");
    desk.pass_millis(60_123);
    desk.say(CARRIER, &caller_request("BYE", 2, &invite, &ok));
    desk.records.remove(0)
}

fn replayed(policy: &Policy, record: &Record) -> (Option<Changed>, Summary) {
    let read = reading::read(line(record).as_bytes()).expect("a record");
    let mut summary = Summary::default();
    let changed = summary.take(1, policy, &read);
    (changed, summary)
}

fn line(record: &Record) -> String {
    let mut out = Vec::new();
    let anchor = Anchor::new(epoch(), SystemTime::UNIX_EPOCH);
    write_line(&mut out, "test", record, &anchor);
    String::from_utf8(out).expect("a line")
}

// --- calls

/// One call, whose buyers do as the dice say. `Some`: it was answered, and lasts.
fn run(desk: &mut Desk, dice: &mut Dice, call: u64) -> Option<(Msg, Msg)> {
    let status = dice.pick(&[0, 0, 200, 200, 486]);
    run_with(desk, dice, call, status)
}

/// `status`: what every buyer says; 0: each what it likes.
fn run_with(desk: &mut Desk, dice: &mut Dice, call: u64, status: u16) -> Option<(Msg, Msg)> {
    let invite = invite_to(&format!("sip:{}@ip.example.com", number(0)))
        .set("Call-ID", format!("{call}@carrier.example.net"))
        .set(
            "Via",
            format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK-{call}"),
        );
    let mut said = desk.say(CARRIER, &invite);
    let is_random = status == 0;
    let mut called = Vec::new();
    for _ in 0..60 {
        called.extend(offers(&said));
        if let Some(end) = to_carrier(&said) {
            for one in called {
                lose(desk, dice, one);
            }
            if end.status() == 200 {
                desk.say(CARRIER, &caller_request("ACK", 1, &invite, &end));
                return Some((invite, end));
            }
            desk.say(CARRIER, &ack_of_failure(&invite, &end));
            return None;
        }
        if is_random && dice.chance(10) {
            post(desk, dice);
        }
        // Of several who are called at once, any may be the first to say something.
        let one = (!called.is_empty()).then(|| dice.below(called.len() as u64));
        let one = one.and_then(|place| usize::try_from(place).ok());
        let status = match status {
            0 => dice.pick(&[0, 180, 200, 486, 486, 486, 603, 503, 408]),
            same => same,
        };
        said = match one {
            Some(place) if status > 0 => {
                let (from, offered) = match status {
                    180 => called[place].clone(),
                    _ => called.remove(place),
                };
                desk.say_from(from, &answer(&offered, status, "bob"))
            }
            Some(_) | None if !desk.fetches.is_empty() && dice.chance(85) => answer_one(desk, dice),
            Some(_) | None if dice.chance(8) => desk.say(CARRIER, &cancel(&invite)),
            Some(_) | None => desk.pass(dice.millis(2_000, 6_000)),
        };
    }
    None
}

/// Who is called by what the edge says, and the INVITE.
fn offers(said: &[Said]) -> Vec<(SocketAddr, Msg)> {
    let lines = ladder(said).into_iter().zip(said);
    let offers = lines.filter(|(line, _)| line.starts_with('b') && line.ends_with(" INVITE"));
    offers
        .map(|(_, one)| (one.to, one.message.clone()))
        .collect()
}

/// Somebody was called in vain, and may not know it yet.
fn lose(desk: &mut Desk, dice: &mut Dice, (from, offered): (SocketAddr, Msg)) {
    let status = dice.pick(&[0, 180, 200, 486]);
    if status == 0 {
        return;
    }
    let said = desk.say_from(from, &answer(&offered, status, "bob"));
    let is_cancel = |one: &&Said| one.message.summary() == "CANCEL";
    if let Some(cancelled) = said.iter().find(is_cancel) {
        desk.say_from(from, &cancelled.message.reply(200, "bob"));
        desk.say_from(from, &answer(&offered, 487, "bob"));
    }
}

/// Somebody says something of the caller's calls.
fn post(desk: &mut Desk, dice: &mut Dice) {
    let forms = [
        "product=loan",
        "age=20&geo=us-ca",
        "accepted=yes",
        "converted=true&revenue=9",
        "converted=false&product=car",
        "payout=1.5",
    ];
    let mut posting = Posting::default();
    let form = dice.pick(&forms);
    posting.read_form(form.as_bytes()).expect("a form");
    let pass = Pass {
        company: "company".into(),
        campaigns: [].into(),
        grants: Grants::ALL,
    };
    let caller = Number::from_e164(b"+15555550199").expect("a number");
    let about = About::Caller(caller);
    let post = Post {
        about,
        pass,
        posting,
    };
    assert!(desk.tell(Input::Posted(&post)).is_empty());
}

/// The final answer to the caller's INVITE.
fn to_carrier(said: &[Said]) -> Option<Msg> {
    let lines = ladder(said).into_iter().zip(said);
    let mut finals = lines.filter(|(line, one)| {
        let is_final = !one.message.is_request() && one.message.status() >= 200;
        is_final && line.starts_with("carrier ") && line.ends_with(" INVITE")
    });
    finals.next().map(|(_, one)| one.message.clone())
}

fn answer_fetches(desk: &mut Desk, dice: &mut Dice) {
    while !desk.fetches.is_empty() {
        answer_one(desk, dice);
    }
}

fn answer_one(desk: &mut Desk, dice: &mut Dice) -> Vec<Said> {
    let (ticket, _) = desk.fetches.remove(0);
    let (product, accepted) = (
        dice.pick(&["loan", "car"]),
        dice.pick(&["yes", "yes", "no"]),
    );
    let geo = dice.pick(&["us-10101", "us-ca", "310", "ca"]);
    let bodies = [
        "{}".to_owned(),
        format!(r#"{{"product":"{product}"}}"#),
        format!(r#"{{"product":["car","{product}"],"geo":"{geo}"}}"#),
        format!(r#"{{"accepted":"{accepted}","age":{}}}"#, dice.below(90)),
        format!(r#"{{"accepted":"yes","geo":["{geo}","us-ny"]}}"#),
    ];
    let status = if dice.chance(90) { 200 } else { 500 };
    let body = Bytes::from(dice.pick(&bodies));
    let reply = Reply {
        answer: Ok((status, body)),
        took: Duration::from_millis(40),
    };
    desk.tell(Input::Fetched { ticket, reply })
}

// --- policies

/// Who comes onto a list, and leaves it again.
fn guests(dice: &mut Dice) -> Guests {
    let fill = dice.pick(&[
        None,
        Some(Fill::Attempted),
        Some(Fill::Connected),
        Some(Fill::NotConnected),
        Some(Fill::Converted),
    ]);
    Guests::new("list", Duration::from_secs(600), fill, [].into())
}

/// Calls of this caller in the last two hours.
fn earlier(dice: &mut Dice, now: i64) -> Memory {
    let mut memory = Memory::default();
    for call in 0..u8::try_from(dice.below(3)).expect("few") {
        let minutes = i64::try_from(dice.below(120)).expect("few");
        let at = Moment::from_millis(now - 60_000 * minutes);
        let place = dice.below(5);
        memory.add(Remembered {
            answered: Some((format!("c0b{place}").into(), at)),
            converted: dice.chance(50).then(|| ("paid-2".into(), at)),
            fired: vec![("0-5".into(), at)],
            ..Remembered::new(CallUuid::from_bytes([call; 16]), "campaign-0".into())
        });
    }
    memory
}

fn spec(place: usize) -> BuyerSpec {
    BuyerSpec::new(&format!("c0b{place}"), buyer(place))
}

fn campaign(policy: &mut Policy, place: usize) -> &mut Campaign {
    let campaign = &mut policy.directory.campaigns[place];
    Arc::get_mut(campaign).expect("nobody else has it")
}

/// Two campaigns, the first of which may hand its calls to the second.
fn drawn(dice: &mut Dice) -> Arc<Policy> {
    let buyers = 1 + usize::try_from(dice.below(5)).expect("few");
    let spec = PolicySpec {
        lines: vec![(0..buyers).map(spec).collect(), vec![spec(6), spec(7)]],
        ..PolicySpec::default()
    };
    let mut policy = spec.build();
    let inner = Arc::get_mut(&mut policy).expect("nobody else has it");
    let group = Arc::new(Group {
        id: "group".into(),
        caps: Caps {
            max_calls: Some(1 + u32::try_from(dice.below(2)).expect("small")),
            max_cps: None,
        },
        quota: None,
    });
    let mut hooks = Vec::new();
    for place in 0..2 {
        let campaign = campaign(inner, place);
        campaign.place = CampaignId(u32::try_from(place).expect("small"));
        let members = campaign.route.buyers().to_vec();
        let mut members: Vec<_> = members
            .iter()
            .map(|plain| Arc::new(buyer_of(dice, plain, &group)))
            .collect();
        if place == 0 {
            let exits = &mut campaign.exits;
            let other = || Exit::Campaign(CampaignId(1));
            let reject = || {
                Exit::Reject(Answer {
                    status: Some(480),
                    reason: Some("sorry".into()),
                    suppress: None,
                })
            };
            exits.no_answer = dice.chance(40).then(other);
            exits.all_capped = dice.chance(30).then(other);
            exits.no_match = dice.chance(30).then(other);
            exits.all_closed = dice.chance(30).then(reject);
            if members.len() > 2 && dice.chance(40) {
                let last = members.split_off(members.len() - dice.pick(&[1, 2]));
                exits.no_answer = Some(Exit::Dial(route(dice, last)));
            }
        }
        campaign.repeat = Repeat {
            policy: dice.pick(&[
                RepeatPolicy::Normal,
                RepeatPolicy::Original,
                RepeatPolicy::OriginalFirst,
                RepeatPolicy::Different,
            ]),
            after: dice.pick(&[After::Answer, After::Conversion]),
            within: HOUR,
        };
        campaign.waiting = dice.chance(25).then(|| Waiting {
            time: dice.millis(4_000, 40_000),
            most: 10,
            signal: Signal::None,
        });
        if dice.chance(10) {
            campaign.settle = Duration::from_secs(30);
        }
        campaign.route = route(dice, members);
        let webhooks = webhooks(dice, place);
        let groups = (0..dice.below(3)).map(|place| Arc::new(paid(place)));
        hooks.push(CampaignHooks::new(webhooks, groups.collect()));
    }
    inner.hooks = Hooks::new(hooks);
    inner.tickets = Some(tickets());
    inner.hooks.open_to_posts();
    inner.directory.terms.push(Terms {
        tags: tags(dice),
        hours: dice.chance(10).then(schedule),
        quota: dice.chance(15).then(|| Arc::new(quota(dice))),
        ..Terms::USUAL
    });
    for line in inner.directory.numbers.values_mut() {
        line.terms = TermsId(1);
    }
    policy
}

/// A route on which nobody is called with others, or all of a priority, or some with others.
fn route(dice: &mut Dice, mut members: Vec<Arc<Buyer>>) -> Route {
    match dice.below(4) {
        0 => Route::by_priority(members.into_iter().map(Part::One).collect()),
        1 => {
            let rest = members.split_off(members.len().min(2));
            let together = Together {
                id: "together".into(),
                priority: i32::try_from(dice.below(3)).expect("small"),
                weight: dice.chance(50).then_some(2),
                members,
            };
            let rest = rest.into_iter().map(Part::One);
            Route::of([Part::Together(together)].into_iter().chain(rest).collect())
        }
        _ => Route::new(members),
    }
}

fn quota(dice: &mut Dice) -> Quota {
    Quota {
        most: Most {
            hour: Some(1),
            ..Most::default()
        },
        on: dice.pick(&[CapOn::Attempt, CapOn::Answer, CapOn::Conversion]),
        zone: Zone::utc(),
    }
}

fn buyer_of(dice: &mut Dice, plain: &Buyer, group: &Arc<Group>) -> Buyer {
    let wanted = [
        "product:loan",
        "product:!=car",
        "age:<40",
        "geo:us",
        "publisher_id:=~pub",
    ];
    let conditions = wanted.into_iter().filter(|_| dice.chance(12));
    let conditions = Conditions::parse(conditions.collect::<Vec<_>>()).expect("conditions");
    let forward = dice.chance(20).then_some("accepted:yes");
    let mut callers = Lists::default();
    if dice.chance(16) {
        let mut numbers = NumberSet::default();
        let is_fixed = dice.chance(50);
        assert!(numbers.insert(if is_fixed { "+1555*" } else { "+1444*" }));
        let id = "list".into();
        let guests = (!is_fixed).then(|| guests(dice));
        callers.suppressed.push(Arc::new(CallerList {
            id,
            numbers,
            guests,
        }));
    }
    let phone = Number::from_e164(b"+18885550100").expect("a number");
    let phone = Arc::new(Gateway::telephone(phone));
    let gateways = match dice.below(20) {
        0 => vec![phone],
        1 => [plain.gateways.clone(), vec![phone]].concat(),
        _ => plain.gateways.clone(),
    };
    Buyer {
        priority: i32::try_from(dice.below(3)).expect("small"),
        weight: dice
            .chance(50)
            .then(|| 1 + u32::try_from(dice.below(4)).expect("small")),
        caps: Caps {
            max_calls: dice.chance(25).then_some(1),
            max_cps: None,
        },
        rules: Rules {
            is_paused: dice.chance(5),
            hours: dice.chance(15).then(schedule),
            conditions,
            forward: Conditions::parse(forward).expect("conditions"),
            callers,
            quota: dice.chance(15).then(|| Arc::new(quota(dice))),
            groups: dice
                .chance(20)
                .then(|| Arc::clone(group))
                .into_iter()
                .collect(),
            once: dice.chance(15).then(|| Once {
                within: HOUR,
                after: dice.pick(&[After::Answer, After::Conversion]),
            }),
            timer_offset: dice.pick(&[Duration::ZERO, Duration::from_secs(7)]),
        },
        ..Buyer::new(&plain.id, gateways)
    }
}

fn schedule() -> Schedule {
    let blocks: Blocks = "mon-fri 09:00-17:00".parse().expect("hours");
    Schedule {
        hours: Hours::of(&blocks.0).expect("not always"),
        zone: Zone::named("America/New_York").expect("a zone"),
    }
}

fn webhooks(dice: &mut Dice, campaign: usize) -> Vec<Arc<Webhook>> {
    let mut webhooks = Vec::new();
    for (place, trigger) in Trigger::ALL.into_iter().cycle().take(14).enumerate() {
        if !dice.chance(35) {
            continue;
        }
        let wanted = [
            "product:loan",
            "age:>=40",
            "geo:us-ca",
            "call_status:completed",
        ];
        let matches = dice.chance(30).then(|| dice.pick(&wanted));
        webhooks.push(Arc::new(Webhook {
            id: format!("{campaign}-{place}").into(),
            trigger,
            matches: Conditions::parse(matches).expect("conditions"),
            method: Method::Get,
            url: Template::parse("http://crm.example/?b=[buyer_id]"),
            headers: Vec::new(),
            body: None,
            fire_order: i32::try_from(dice.below(3)).expect("small"),
            dedupe: dice.chance(25).then_some(HOUR),
            after: Duration::from_secs(dice.pick(&[0, 0, 10, 30])),
            holds_call: trigger == Trigger::Selected && dice.chance(60),
            timeout: Duration::from_secs(5),
            redirects: 0,
            output: Output::default(),
            is_idempotent: false,
            secret: None,
        }));
    }
    webhooks
}

fn paid(place: u64) -> Paid {
    let worth = |units| Worth {
        payout: Money::from_units(units),
        revenue: Money::from_units(2 * units),
    };
    let tier = |after, units| Tier {
        after: Duration::from_secs(after),
        worth: worth(units),
    };
    Paid {
        id: format!("paid-{place}").into(),
        matches: Conditions::parse((place > 0).then_some("product:loan")).expect("conditions"),
        criterion: match place {
            1 => Criterion::Postback {
                worth: worth(30_000),
                wait: Duration::from_secs(60),
            },
            _ => Criterion::Timer(vec![tier(1, 10_000), tier(20, 20_000)]),
        },
        payout_dedupe: (place == 2).then_some(HOUR),
        revenue_dedupe: None,
    }
}

fn tags(dice: &mut Dice) -> Tags {
    let mut tags = Tags::default();
    for (key, values) in [
        ("product", ["loan", "car"]),
        ("age", ["35", "66"]),
        ("geo", ["us-10101", "310"]),
    ] {
        if dice.chance(50) {
            let value = dice.pick(&values);
            tags.add(key, value, Origin::Number).expect("a tag");
        }
    }
    tags
}
