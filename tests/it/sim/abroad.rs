//! Calls that a vendor carries: it calls whom we name, and tells what came of it. All else is as with every call.

use std::collections::HashMap;
use std::time::Duration;

use strowger::call::abroad::TRUNK;
use strowger::call::errand::{Beginning, Closing, Leg, Said, Step};
use strowger::call::input::{Input, Which};
use strowger::call::output::{Gauges, Refusal};
use strowger::call::policy::{Policy, Tickets};
use strowger::call::record::{AttemptResult, Outcome, Record, Side};
use strowger::hooks::conversion::{Criterion, Group, Tier, Worth};
use strowger::hooks::trigger::Trigger;
use strowger::routing::caps::Caps;
use strowger::routing::trunk::CompanyId;
use strowger::twilio::connect::CompanyKey;
use strowger::twilio::dial::Why;
use strowger::twilio::mac::Rotating;
use strowger::twilio::sid::CallSid;
use strowger::twilio::ticket::Ticket;
use strowger::twilio::twiml::Target;
use strowger::types::condition::Conditions;
use strowger::types::ids::CallUuid;
use strowger::types::moment::Moment;
use strowger::types::number::Number;
use strowger::types::secret::Secret;

use super::campaigns;
use super::desk::{Desk, invite, ladder, specs};
use super::policy::{CARRIER, PASSWORD, PolicySpec, USER, number};

#[test]
fn one_buyer_after_another_is_named_until_one_answers() {
    let mut desk = desk(&plain(3));

    desk.begin(1);
    let first = desk.named();
    assert_eq!((first.attempt, first.ringing), (1, secs(30)));
    let uri = address(&first);
    let (who, headers) = uri.split_once('?').unwrap();
    assert_eq!(who, "sip:c0b0@198.51.100.10:5060;transport=udp");
    let names: Vec<_> = headers
        .split('&')
        .map(|one| one.split_once('=').unwrap().0)
        .collect();
    assert_eq!(
        names,
        [
            "X-PH-RetreaverUUID",
            "X-PH-RetreaverKey",
            "X-PH-RetreaverAFID",
            "X-PH-RetreaverSID",
            "X-Strowger-Hop",
            "X-Buyer"
        ]
    );
    assert!(headers.contains("X-PH-RetreaverUUID=00000000-0000-0000-0000-000000000001"));
    assert!(headers.contains("X-PH-RetreaverAFID=pub%252012"));
    desk.pass(secs(3));
    desk.say(1, Said::Left(1, Why::Busy, Some(486)));
    assert_eq!(desk.named().attempt, 2);
    desk.pass(secs(5));
    desk.say(1, Said::Answered(2));
    desk.pass(secs(60));
    desk.say(1, Said::Over(2, secs(59), Side::Caller));

    assert_eq!(desk.step(), "End(completed, 200)");
    let record = desk.record();
    assert_eq!(told(&record), ["b0 busy 486", "b1 answered 200"]);
    assert_eq!((&*record.trunk, record.status), (TRUNK, 200));
    assert_eq!(&*record.call_id, b"CA00000000000000000000000000000001");
    assert_eq!(record.hung_up_by, Side::Caller);
    assert_eq!(record.ended - record.answered.unwrap(), secs(59));
    assert_eq!(record.caller, Number::from_e164(b"+14155550123"));
    let tags = &record.story.as_ref().unwrap().facts.tags;
    assert!(tags.iter().any(|tag| *tag.key == *"original_to"));
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn what_became_of_a_leg_is_an_attempt_like_any_other() {
    use AttemptResult::{
        BuyerAuth, BuyerError, BuyerRejected, Declined, MediaMismatch, NoAnswer, Unreachable,
    };
    for (why, status, result) in [
        (Why::Busy, None, AttemptResult::Busy),
        (Why::Busy, Some(600), AttemptResult::Busy),
        (Why::NoAnswer, None, NoAnswer),
        (Why::NoAnswer, Some(480), NoAnswer),
        (Why::Declined, Some(200), Declined),
        (Why::Credentials, Some(407), BuyerAuth),
        (Why::Refused, Some(404), BuyerRejected),
        (Why::Refused, Some(484), BuyerRejected),
        (Why::Refused, Some(488), MediaMismatch),
        (Why::Refused, Some(606), MediaMismatch),
        (Why::Refused, Some(603), Declined),
        (Why::Broken, Some(503), BuyerError),
        (Why::Broken, None, Unreachable),
    ] {
        let mut desk = desk(&plain(2));
        desk.begin(1);
        desk.named();
        desk.say(1, Said::Left(1, why, status));
        assert_eq!(desk.named().attempt, 2, "{why:?} {status:?}");
        desk.say(1, Said::Left(2, Why::Busy, None));

        assert_eq!(
            desk.record().attempts[0].result,
            result,
            "{why:?} {status:?}"
        );
        assert_eq!(desk.rest(), Gauges::default());
    }
}

#[test]
fn nobody_left_is_told_as_the_hunt_came_to() {
    let mut desk = desk(&plain(2));
    desk.begin(1);
    desk.named();
    desk.say(1, Said::Left(1, Why::Busy, None));
    desk.named();
    desk.say(1, Said::Left(2, Why::Busy, None));

    assert_eq!(desk.step(), "End(all_busy, 486)");
    assert_eq!(desk.record().outcome, Outcome::AllBusy);
    desk.say(1, Said::Left(2, Why::Busy, None));
    assert_eq!(desk.step(), "Unknown", "it is over");
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn what_comes_twice_or_late_changes_nothing() {
    let mut desk = desk(&plain(3));
    desk.begin(1);
    desk.begin(1);
    desk.named();
    for _ in 0..2 {
        desk.say(1, Said::Left(1, Why::Busy, None));
    }
    desk.named();
    desk.say(1, Said::Answered(1));
    desk.say(1, Said::Over(1, secs(9), Side::Buyer));
    desk.say(1, Said::Left(7, Why::Busy, None));
    assert!(desk.desk.steps.is_empty(), "{:?}", desk.desk.steps);
    for _ in 0..2 {
        desk.say(1, Said::Answered(2));
    }
    desk.say(1, Said::Left(2, Why::Busy, None));
    desk.say(1, Said::Over(2, secs(0), Side::Buyer));

    let record = desk.record();
    assert_eq!(told(&record), ["b0 busy", "b1 answered 200"]);
    assert_eq!(record.outcome, Outcome::Completed);
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn an_answer_that_nobody_told_is_known_from_the_end() {
    let mut desk = desk(&plain(1));
    desk.begin(1);
    desk.named();
    desk.pass(secs(40));

    desk.say(1, Said::Over(1, secs(30), Side::Buyer));

    let record = desk.record();
    assert_eq!(record.ended - record.answered.unwrap(), secs(30));
    assert_eq!(told(&record), ["b0 answered 200"]);
    // Nobody talks before he was called.
    desk.begin(2);
    desk.named();
    desk.say(2, Said::Over(1, secs(9), Side::Buyer));
    let record = desk.record();
    assert_eq!(record.answered, Some(record.attempts[0].began));
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn who_is_told_nothing_gives_up_in_time() {
    let mut desk = desk(&limited());
    desk.begin(1);
    desk.named();
    desk.pass(secs(89));
    assert!(desk.desk.records.is_empty(), "not yet");
    desk.pass(secs(2));
    assert_eq!(desk.step(), "End(vendor_silent, 504)");
    assert_eq!(told(&desk.record()), ["b0 no_answer"]);

    // Of those who talk, too: the place comes back.
    desk.begin(2);
    desk.named();
    desk.say(2, Said::Answered(1));
    desk.begin(3);
    assert_eq!(desk.named().buyer, "c0b1".into(), "the first is full");
    desk.pass(LIMIT + secs(61));
    let ended = desk.desk.records.iter();
    let mut ended: Vec<_> = ended.map(|one| one.outcome.label()).collect();
    ended.sort_unstable();
    assert_eq!(ended, ["time_limit", "vendor_silent"]);
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn an_end_of_which_only_a_leg_tells_is_waited_for_and_then_taken_for_it() {
    let buyer = |talked| Closing {
        talked: Some(secs(talked)),
        by: None,
    };
    let caller = Closing {
        talked: None,
        by: Some(Side::Caller),
    };
    // Answered; the buyer's leg has ended, and then the caller's.
    let mut desk = desk(&plain(1));
    desk.begin(1);
    desk.named();
    desk.say(1, Said::Answered(1));
    desk.pass(secs(20));
    desk.say(1, Said::Closing(1, buyer(19)));
    desk.say(1, Said::Closing(1, caller));
    desk.pass(secs(14));
    assert!(desk.desk.records.is_empty(), "not yet");
    desk.pass(secs(2));
    let record = desk.record();
    assert_eq!(record.ended - record.answered.unwrap(), secs(19));
    assert_eq!(record.hung_up_by, Side::Caller);
    // The word itself counts more, while it may come.
    desk.begin(2);
    desk.named();
    desk.say(2, Said::Closing(1, buyer(19)));
    desk.pass(secs(20).saturating_sub(secs(10)));
    desk.say(2, Said::Left(1, Why::Declined, Some(200)));
    assert_eq!(desk.record().outcome, Outcome::NoAnswer);
    // Nobody has told of an answer.
    desk.begin(3);
    desk.named();
    desk.pass(secs(25));
    desk.say(3, Said::Closing(1, buyer(7)));
    desk.pass(secs(16));
    let record = desk.record();
    assert_eq!(record.outcome, Outcome::Completed);
    assert_eq!(record.ended - record.answered.unwrap(), secs(7));
    // The caller has left while it rang.
    desk.begin(4);
    desk.named();
    desk.say(4, Said::Closing(1, caller));
    desk.pass(secs(16));
    assert_eq!(desk.record().outcome, Outcome::CallerHungUp);
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn a_caller_who_leaves_ends_it() {
    let mut desk = desk(&limited());
    desk.begin(1);
    desk.named();
    desk.say(1, Said::Gone);
    assert_eq!(desk.step(), "End(caller_hung_up, 487)");
    assert_eq!(told(&desk.record()), ["b0 cancelled"]);
    desk.begin(2);
    desk.named();
    desk.say(2, Said::Answered(1));
    desk.pass(secs(4));
    desk.say(2, Said::Gone);
    let record = desk.record();
    assert_eq!(
        (record.outcome, record.hung_up_by),
        (Outcome::Completed, Side::Caller)
    );
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn places_are_taken_and_given_back_as_by_every_call() {
    let mut desk = desk(&limited());
    desk.begin(1);
    assert_eq!(desk.named().buyer, "c0b0".into());
    desk.begin(2);
    assert_eq!(desk.named().buyer, "c0b1".into());
    // By SIP, too.
    let said = desk.desk.say(CARRIER, &invite());
    assert_eq!(ladder(&said), ["carrier 100 INVITE", "b1 INVITE"]);
    desk.say(1, Said::Left(1, Why::NoAnswer, None));
    assert_eq!(desk.named().buyer, "c0b1".into());
    desk.begin(3);
    assert_eq!(desk.named().buyer, "c0b0".into());
    for call in 1..=3 {
        desk.say(call, Said::Gone);
    }
    desk.pass(secs(300));
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn a_telephone_is_called_by_a_vendor_and_by_nobody_else() {
    let mut spec = plain(2);
    spec.lines[0][0].phone = Some("+18885550100".to_owned());
    let mut desk = desk(&spec);

    desk.begin(1);
    let leg = desk.named();
    let Target::Number { number, .. } = leg.target else {
        panic!("no telephone");
    };
    assert_eq!(number.to_string(), "+18885550100");
    desk.say(1, Said::Gone);
    let record = desk.record();
    assert_eq!(&*record.attempts[0].gateway.name, "+18885550100");

    let said = desk.desk.say(CARRIER, &invite());
    assert_eq!(ladder(&said), ["carrier 100 INVITE", "b1 INVITE"]);
    desk.pass(secs(300));
    let record = desk.record();
    assert_eq!(record.skipped[0].why.label(), "phone_only");
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn credentials_are_shown_to_a_vendor_only_where_that_is_said() {
    let mut spec = plain(2);
    spec.lines[0][0].has_login = true;
    spec.lines[0][1].has_login = true;
    spec.lines[0][1].shares_login = true;
    let mut desk = desk(&spec);

    desk.begin(1);

    let leg = desk.named();
    assert_eq!((leg.attempt, &*leg.buyer), (2, "c0b1"));
    let Target::Sip(uri) = &leg.target else {
        panic!("no address");
    };
    let login = uri.credentials.as_ref().unwrap();
    assert_eq!(
        (&*login.username, login.password.expose()),
        (USER, PASSWORD.as_bytes())
    );
    assert!(!format!("{:?}", Step::Call(Box::new(leg))).contains(PASSWORD));
    desk.say(1, Said::Gone);
    assert_eq!(told(&desk.record()), ["b0 buyer_auth", "b1 cancelled"]);
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn webhooks_are_asked_and_told_as_of_every_call() {
    let campaign = campaigns::desk(2, |site| {
        site.hook(Trigger::Start, "http://crm.example/start");
        site.hook(Trigger::Connect, "http://crm.example/connect");
        site.hook(Trigger::Conversion, "http://crm.example/sold");
        site.hook(Trigger::Always, "http://crm.example/over");
        site.wants(0, &["product:loan"]);
        site.wants(1, &["product:car"]);
        site.groups.push(Group {
            id: "paid".into(),
            matches: Conditions::default(),
            criterion: Criterion::Timer(vec![Tier {
                after: secs(90),
                worth: Worth::default(),
            }]),
            payout_dedupe: None,
            revenue_dedupe: None,
        });
    });
    let mut desk = Abroad { desk: campaign };

    desk.begin(1);
    assert!(desk.desk.steps.is_empty(), "nobody is named yet");
    let (ticket, _) = campaigns::asked(&mut desk.desk);
    let answer = campaigns::reply(ticket, 200, r#"{"product": "car"}"#);
    desk.desk.tell(answer);
    assert_eq!(desk.named().buyer, "c0b1".into());
    // How long they talked is what the vendor says, whenever it is said.
    desk.pass(secs(30));
    desk.say(1, Said::Answered(1));
    desk.pass(secs(80));
    desk.say(1, Said::Over(1, secs(90), Side::Buyer));

    let record = desk.record();
    let story = record.story.as_ref().unwrap();
    let fired: Vec<_> = story.deliveries.iter().map(|one| one.trigger).collect();
    assert_eq!(
        fired,
        [Trigger::Connect, Trigger::Conversion, Trigger::Always]
    );
    let conversion = story.conversion.as_ref().unwrap();
    assert!(conversion.converted().is_some());
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn buyers_that_were_tried_before_are_not_tried_again() {
    let mut desk = desk(&plain(3));
    let mut beginning = beginning(1);
    beginning.tried = vec!["c0b0".into(), "c0b1".into()];

    desk.say(1, Said::Begin(Box::new(beginning)));

    assert_eq!(desk.named().buyer, "c0b2".into());
    desk.say(1, Said::Gone);
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn a_call_that_cannot_be_taken_is_refused_and_one_that_is_stopped_is_over() {
    let mut desk = desk(&plain(1));
    desk.say(9, Said::Answered(1));
    assert_eq!(desk.step(), "Unknown");
    desk.begin(1);
    desk.named();
    desk.say(1, Said::Answered(1));
    assert_eq!(desk.desk.gauges().calls_talking, 1);
    desk.desk.tell(Input::Hangup(Which::One(uuid(1))));
    assert_eq!(desk.step(), "End(stopped, 200)");
    assert_eq!(desk.record().outcome, Outcome::Stopped);
    desk.desk.tell(Input::Drain(true));
    desk.begin(2);
    let refused = desk.desk.steps.pop().unwrap().1;
    assert!(matches!(refused, Step::Refused(Refusal::Draining)));
    desk.desk.tell(Input::Drain(false));
    let mut nobodys = beginning(3);
    nobodys.ticket.company = CompanyKey(99);
    desk.say(3, Said::Begin(Box::new(nobodys)));
    assert_eq!(desk.step(), "Refused(internal)");
    assert_eq!(desk.rest(), Gauges::default());
}

/// A desk for calls that a vendor carries.
pub(super) struct Abroad {
    pub(super) desk: Desk,
}

impl Abroad {
    pub(super) fn say(&mut self, call: u8, said: Said) {
        let said = self.desk.tell(Input::Abroad(uuid(call), said));
        assert_eq!(ladder(&said), [""; 0], "no SIP");
    }

    pub(super) fn begin(&mut self, call: u8) {
        self.say(call, Said::Begin(Box::new(beginning(call))));
    }

    /// The buyer that the vendor is to call.
    pub(super) fn named(&mut self) -> Leg {
        let steps = std::mem::take(&mut self.desk.steps);
        match <[_; 1]>::try_from(steps) {
            Ok([(_, Step::Call(leg))]) => *leg,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn step(&mut self) -> String {
        let steps = std::mem::take(&mut self.desk.steps);
        assert_eq!(steps.len(), 1, "{steps:?}");
        format!("{:?}", steps[0].1)
    }

    pub(super) fn record(&mut self) -> Record {
        self.desk.steps.clear();
        assert_eq!(self.desk.records.len(), 1);
        self.desk.records.pop().unwrap()
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.desk.pass(time);
    }

    pub(super) fn rest(&mut self) -> Gauges {
        self.desk.rest()
    }
}

pub(super) fn desk(spec: &PolicySpec) -> Abroad {
    let change = |policy: &mut Policy| policy.tickets = Some(tickets());
    Abroad {
        desk: Desk::changed(spec, change),
    }
}

/// What is known of tickets: the company of all lines.
pub(super) fn tickets() -> Tickets {
    Tickets {
        secrets: Rotating::new(Secret::new(*b"ticket secret")),
        companies: HashMap::from([(CompanyKey(1234), CompanyId(0))]),
    }
}

/// Line 0 with so many buyers.
pub(super) fn plain(buyers: usize) -> PolicySpec {
    PolicySpec {
        lines: vec![specs(buyers)],
        ..PolicySpec::default()
    }
}

/// Two buyers, of whom the first takes one call.
pub(super) fn limited() -> PolicySpec {
    let mut spec = plain(2);
    spec.lines[0][0].caps = Caps {
        max_calls: Some(1),
        max_cps: None,
    };
    spec
}

pub(super) fn beginning(call: u8) -> Beginning {
    Beginning {
        ticket: Ticket {
            uuid: call.into(),
            number: Number::from_e164(number(0).as_bytes()).unwrap(),
            company: CompanyKey(1234),
            caller: Number::from_e164(b"+14155550123"),
            leg: CallSid::from_bits(call.into()),
            expires: Moment::default(),
            tags: [("original_to", "+14155550199")].into_iter().collect(),
        },
        tried: Vec::new(),
        limit: LIMIT,
    }
}

pub(super) fn uuid(call: u8) -> CallUuid {
    CallUuid::from_bytes(u128::from(call).to_be_bytes())
}

fn address(leg: &Leg) -> String {
    match &leg.target {
        Target::Sip(uri) => uri.write().unwrap(),
        Target::Number { number, .. } => number.to_string(),
    }
}

pub(super) fn told(record: &Record) -> Vec<String> {
    let attempts = record.attempts.iter().map(|one| {
        let status = one.status.map(|status| format!(" {status}"));
        let (buyer, result) = (&one.buyer.id["c0".len()..], one.result.label());
        format!("{buyer} {result}{}", status.unwrap_or_default())
    });
    attempts.collect()
}

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) const LIMIT: Duration = Duration::from_secs(3600);
