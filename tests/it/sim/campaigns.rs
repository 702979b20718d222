//! Calls whose campaigns have a say: who gets them, which webhooks are asked, what counts, what is delivered at the end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use strowger::call::input::Input;
use strowger::call::output::Gauges;
use strowger::call::places::Ticket;
use strowger::call::record::Outcome;
use strowger::call::story::{FiredResult, Reply};
use strowger::hooks::conversion::{Criterion, Group, Tier, Worth};
use strowger::hooks::keys::{PostKey, PostKeys};
use strowger::hooks::model::{CampaignHooks, Hooks, Method, Webhook};
use strowger::hooks::reply::Output;
use strowger::hooks::trigger::Trigger;
use strowger::routing::buyer::Buyer;
use strowger::routing::campaign::{Answer, Exit, Route};
use strowger::routing::caps::{CapOn, Most, Quota};
use strowger::routing::directory::{Terms, TermsId};
use strowger::routing::route::Part;
use strowger::routing::rules::Rules;
use strowger::routing::zone::Zone;
use strowger::types::condition::Conditions;
use strowger::types::template::Template;

use super::abroad;
use super::desk::{Desk, Talk, ack_of_failure, answer, buyer, find, invite, ladder, specs};
use super::policy::{CARRIER, PolicySpec};
use super::text::Msg;

/// A campaign with so many buyers, changed.
pub(super) fn desk(buyers: usize, change: impl Fn(&mut Site)) -> Desk {
    let spec = PolicySpec {
        lines: vec![specs(buyers)],
        ..PolicySpec::default()
    };
    let mut site = Site {
        rules: Vec::new(),
        hooks: Vec::new(),
        groups: Vec::new(),
        refusal: None,
        keys: Vec::new(),
        is_together: false,
        quota: None,
    };
    change(&mut site);
    Desk::changed(&spec, |policy| {
        let directory = &mut policy.directory;
        let campaign = Arc::get_mut(&mut directory.campaigns[0]).expect("nobody else has it");
        let mut members = campaign.route.buyers().to_vec();
        for (place, rules) in &site.rules {
            let plain = &members[*place];
            members[*place] = Arc::new(Buyer {
                rules: rules.clone(),
                ..Buyer::new(&plain.id, plain.gateways.clone())
            });
        }
        let all = members.iter().map(|one| (one.id.clone(), Arc::clone(one)));
        directory.buyers = all.collect();
        campaign.route = match site.is_together {
            true => Route::by_priority(members.into_iter().map(Part::One).collect()),
            false => Route::new(members),
        };
        if let Some(answer) = &site.refusal {
            campaign.exits.no_match = Some(Exit::Reject(answer.clone()));
        }
        if site.quota.is_some() {
            directory.terms = vec![Terms {
                quota: site.quota.clone(),
                ..Terms::USUAL
            }];
            for line in directory.numbers.values_mut() {
                line.terms = TermsId(1);
            }
        }
        let hooks = site.hooks.iter().map(|hook| Arc::new(webhook(hook)));
        let groups = site.groups.iter().cloned().map(Arc::new);
        policy.hooks = Hooks::new(vec![CampaignHooks::new(hooks.collect(), groups.collect())]);
        policy.hooks.open_to_posts();
        policy.tickets = Some(abroad::tickets());
        policy.hooks.set_keys(PostKeys::new(site.keys.clone()));
    })
}

pub(super) struct Site {
    rules: Vec<(usize, Rules)>,
    hooks: Vec<Hook>,
    pub(super) groups: Vec<Group>,
    /// How a call is refused that nobody wants.
    refusal: Option<Answer>,
    /// Keys of others who write of calls and callers.
    pub(super) keys: Vec<PostKey>,
    /// Its buyers are called at once.
    is_together: bool,
    /// How many calls its number takes.
    quota: Option<Arc<Quota>>,
}

impl Site {
    /// What a buyer wants to be known.
    pub(super) fn wants(&mut self, place: usize, conditions: &[&str]) {
        let rules = Rules {
            conditions: Conditions::parse(conditions.iter().copied()).expect("conditions"),
            ..Default::default()
        };
        self.rules.push((place, rules));
    }

    pub(super) fn hook(&mut self, trigger: Trigger, url: &'static str) {
        self.hooks.push(Hook {
            trigger,
            url,
            holds: false,
            after: 0,
        });
    }
}

#[derive(Clone, Copy)]
struct Hook {
    trigger: Trigger,
    url: &'static str,
    holds: bool,
    after: u64,
}

/// A webhook that fires so many seconds after its trigger.
pub(super) fn hook(trigger: Trigger, after: u64) -> Webhook {
    webhook(&Hook {
        trigger,
        url: "http://crm.example/",
        holds: false,
        after,
    })
}

fn webhook(hook: &Hook) -> Webhook {
    Webhook {
        id: hook.trigger.label().into(),
        trigger: hook.trigger,
        matches: Conditions::default(),
        method: Method::Get,
        url: Template::parse(hook.url),
        headers: Vec::new(),
        body: None,
        fire_order: 0,
        dedupe: None,
        after: Duration::from_secs(hook.after),
        holds_call: hook.holds,
        timeout: Duration::from_secs(5),
        redirects: 0,
        output: Output::default(),
        is_idempotent: false,
        secret: None,
    }
}

/// The oldest webhook that waits for an answer, and its URL.
pub(super) fn asked(desk: &mut Desk) -> (Ticket, String) {
    assert!(!desk.fetches.is_empty(), "nobody is asked");
    let (ticket, request) = desk.fetches.remove(0);
    (ticket, request.url.to_string())
}

pub(super) fn reply(ticket: Ticket, status: u16, body: &'static str) -> Input<'static> {
    Input::Fetched {
        ticket,
        reply: Reply {
            answer: Ok((status, Bytes::from_static(body.as_bytes()))),
            took: Duration::from_millis(40),
        },
    }
}

// --- who gets the call

#[test]
fn tags_of_a_start_ping_decide_who_gets_the_call() {
    let mut desk = desk(2, |site| {
        site.hook(Trigger::Start, "http://crm.example/?n=[caller_number]");
        site.wants(0, &["product:loan"]);
        site.wants(1, &["product:car"]);
    });

    let said = desk.say(CARRIER, &invite());
    assert_eq!(
        ladder(&said),
        ["carrier 100 INVITE"],
        "nobody is called yet"
    );
    let (ticket, url) = asked(&mut desk);
    assert!(url.starts_with("http://crm.example/?n="), "{url}");

    let said = desk.tell(reply(ticket, 200, r#"{"product": ["car", "boat"]}"#));

    assert_eq!(ladder(&said), ["b1 INVITE"]);
    // Should nobody live to see the end of the call, they are known all the same.
    let kept: Vec<_> = desk.kept.iter().map(|tags| tags.len()).collect();
    assert_eq!(kept, [2]);
    assert_eq!(
        desk.kept[0].values("product").collect::<Vec<_>>(),
        ["car", "boat"]
    );
}

#[test]
fn a_start_ping_is_waited_for_five_seconds_and_what_comes_later_is_nothing() {
    for (millis, expected) in [(4_900, "b0 INVITE"), (5_100, "b1 INVITE")] {
        let mut desk = desk(2, |site| {
            site.hook(Trigger::Start, "http://crm.example/");
            site.wants(0, &["product:loan"]);
        });
        desk.say(CARRIER, &invite());
        let (ticket, _) = asked(&mut desk);

        let mut said = desk.pass_millis(millis);
        said.extend(desk.tell(reply(ticket, 200, r#"{"product": "loan"}"#)));

        let called: Vec<_> = ladder(&said)
            .into_iter()
            .filter(|line| line.ends_with(" INVITE") && line.starts_with('b'))
            .collect();
        assert_eq!(called[0], expected, "{millis} ms");
    }
}

#[test]
fn the_answers_of_start_pings_count_in_the_order_of_the_webhooks_whoever_is_first() {
    let mut desk = desk(1, |site| {
        site.hook(Trigger::Start, "http://one.example/");
        site.hook(Trigger::Start, "http://two.example/");
    });
    desk.say(CARRIER, &invite());
    let (first, _) = asked(&mut desk);
    let (second, _) = asked(&mut desk);

    let said = desk.tell(reply(second, 200, r#"{"who": "two"}"#));
    assert!(said.is_empty(), "the other one is waited for");
    let said = desk.tell(reply(first, 200, r#"{"who": "one"}"#));

    let offered = find(&said, "b0 INVITE");
    desk.say_from(buyer(0), &answer(&offered, 486, "bob"));
    let story = desk.records[0].story.as_ref().expect("its number is known");
    let values: Vec<_> = story.facts.tags.values("who").collect();
    assert_eq!(values, ["one", "two"]);
}

#[test]
fn what_comes_with_an_error_is_no_tag() {
    let mut desk = desk(2, |site| {
        site.hook(Trigger::Start, "http://crm.example/");
        site.wants(0, &["product:loan"]);
    });
    desk.say(CARRIER, &invite());
    let (ticket, _) = asked(&mut desk);

    let said = desk.tell(reply(ticket, 500, r#"{"product": "loan"}"#));

    assert_eq!(ladder(&said), ["b1 INVITE"]);
}

#[test]
fn a_call_that_nobody_wants_is_refused_as_its_campaign_says() {
    let mut desk = desk(1, |site| {
        site.wants(0, &["product:loan"]);
        site.refusal = Some(Answer {
            status: Some(480),
            reason: Some("not_today".into()),
            suppress: None,
        });
    });

    let said = desk.say(CARRIER, &invite());

    let refused = find(&said, "carrier 480 INVITE");
    assert_eq!(refused.value("Reason"), "SIP;cause=480;text=\"not_today\"");
    assert_eq!(desk.records[0].outcome, Outcome::NoMatch);
    desk.say(CARRIER, &ack_of_failure(&invite(), &refused));
    assert_eq!(desk.rest(), Gauges::default());
}

// --- what counts

#[test]
fn a_cap_on_answers_holds_a_place_while_it_rings_and_gives_it_back_if_nobody_answers() {
    let mut desk = desk(1, |site| {
        let rules = Rules {
            quota: one_answer(),
            ..Default::default()
        };
        site.rules.push((0, rules));
    });
    let first = find(&desk.say(CARRIER, &call(1)), "b0 INVITE");
    let said = desk.say(CARRIER, &call(2));
    find(&said, "carrier 486 INVITE");
    assert_eq!(desk.records[0].skipped[0].why.label(), "cap_total");

    desk.say_from(buyer(0), &answer(&first, 486, "bob"));
    let third = find(&desk.say(CARRIER, &call(3)), "b0 INVITE");
    desk.say_from(buyer(0), &answer(&third, 200, "bob"));

    assert_eq!(
        desk.ledger.counted.len(),
        1,
        "it was answered, so it counts"
    );
    find(&desk.say(CARRIER, &call(4)), "carrier 486 INVITE");
}

#[test]
fn a_number_with_a_limit_is_full_for_all_buyers_and_a_call_that_hunts_on_counts_once() {
    let mut desk = desk(2, |site| site.quota = one_answer());
    let first = find(&desk.say(CARRIER, &call(1)), "b0 INVITE");
    let said = desk.say(CARRIER, &call(2));
    find(&said, "carrier 486 INVITE");
    let skipped = &desk.records[0].skipped;
    let why: Vec<_> = skipped.iter().map(|skip| skip.why.label()).collect();
    assert_eq!(why, ["number_cap", "number_cap"]);
    assert_eq!(desk.records[0].outcome, Outcome::AllCapped);

    let said = desk.say_from(buyer(0), &answer(&first, 486, "bob"));
    let second = find(&said, "b1 INVITE");
    desk.say_from(buyer(1), &answer(&second, 200, "bob"));

    let counted = desk.ledger.counted.iter();
    let counted: Vec<_> = counted.map(|one| one.party.kind()).collect();
    assert_eq!(counted, ["number"], "one call, though two were asked");
    find(&desk.say(CARRIER, &call(3)), "carrier 486 INVITE");
}

fn one_answer() -> Option<Arc<Quota>> {
    Some(Arc::new(Quota {
        most: Most {
            total: Some(1),
            ..Most::default()
        },
        on: CapOn::Answer,
        zone: Zone::utc(),
    }))
}

fn call(number: usize) -> Msg {
    invite()
        .set("Call-ID", format!("{number}@carrier.example.net"))
        .set(
            "Via",
            format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK-{number}"),
        )
}

// --- webhooks about a buyer

#[test]
fn a_selected_ping_that_holds_the_call_is_waited_for_and_the_buyer_may_look_at_its_tags() {
    let mut desk = desk(2, |site| {
        site.hooks.push(Hook {
            trigger: Trigger::Selected,
            url: "http://crm.example/?b=[buyer_id]",
            holds: true,
            after: 0,
        });
        let rules = Rules {
            forward: Conditions::parse(["accepted:yes"]).expect("conditions"),
            ..Default::default()
        };
        site.rules.push((0, rules.clone()));
        site.rules.push((1, rules));
    });
    assert_eq!(
        ladder(&desk.say(CARRIER, &invite())),
        ["carrier 100 INVITE"]
    );
    let (ticket, url) = asked(&mut desk);
    assert_eq!(url, "http://crm.example/?b=c0b0");

    let said = desk.tell(reply(ticket, 200, r#"{"accepted": "no"}"#));
    assert!(said.is_empty(), "the first one is passed over");
    let (ticket, url) = asked(&mut desk);
    assert_eq!(
        url, "http://crm.example/?b=c0b1",
        "it fires once for each buyer"
    );
    let said = desk.tell(reply(ticket, 200, r#"{"accepted": "yes"}"#));

    assert_eq!(ladder(&said), ["b1 INVITE"]);
}

#[test]
fn of_several_at_once_each_waits_for_its_own_ping_and_only_the_winner_is_told_of_as_answered() {
    let mut desk = desk(3, |site| {
        site.is_together = true;
        site.hooks.push(Hook {
            trigger: Trigger::Selected,
            url: "http://crm.example/?b=[buyer_id]",
            holds: true,
            after: 0,
        });
        site.hook(Trigger::Answered, "http://crm.example/won?b=[buyer_id]");
    });
    let said = desk.say(CARRIER, &invite());
    assert_eq!(ladder(&said), ["carrier 100 INVITE"]);
    let asked: Vec<_> = (0..3).map(|_| asked(&mut desk)).collect();
    let urls: Vec<_> = asked.iter().map(|(_, url)| url.as_str()).collect();
    let expected = ["c0b0", "c0b1", "c0b2"].map(|id| format!("http://crm.example/?b={id}"));
    assert_eq!(urls, expected, "one for each, all at once");

    let said = desk.tell(reply(asked[1].0, 200, "{}"));
    assert_eq!(ladder(&said), ["b1 INVITE"], "the others wait for theirs");
    let second = find(&said, "b1 INVITE");
    let said = desk.tell(reply(asked[0].0, 200, "{}"));
    assert_eq!(ladder(&said), ["b0 INVITE"]);
    desk.say_from(buyer(0), &answer(&find(&said, "b0 INVITE"), 180, "eve"));
    let said = desk.say_from(buyer(1), &answer(&second, 200, "bob"));

    assert_eq!(
        ladder(&said),
        ["b0 CANCEL", "b0 ACK", "carrier 200 INVITE"],
        "the ACK goes to the Contact, which all have in common here"
    );
    let (_, url) = self::asked(&mut desk);
    assert_eq!(url, "http://crm.example/won?b=c0b1");
    assert!(desk.fetches.is_empty());
    // The third one's ping is of no use any more.
    assert!(desk.tell(reply(asked[2].0, 200, "{}")).is_empty());
    assert!(desk.pass_millis(6_000).iter().all(|one| one.to != buyer(2)));
}

#[test]
fn a_selected_ping_that_does_not_hold_the_call_is_asked_and_not_waited_for() {
    let mut desk = desk(1, |site| {
        site.hook(Trigger::Selected, "http://crm.example/")
    });

    let said = desk.say(CARRIER, &invite());

    assert_eq!(ladder(&said), ["carrier 100 INVITE", "b0 INVITE"]);
    let (ticket, _) = asked(&mut desk);
    assert!(
        desk.tell(reply(ticket, 200, r#"{"late": "fine"}"#))
            .is_empty()
    );
}

#[test]
fn an_answered_ping_fires_once_and_its_tags_are_kept_for_the_record() {
    let mut talk = Talk::unacknowledged(desk(1, |site| {
        site.hook(Trigger::Answered, "http://crm.example/[buyer_id]");
    }));
    let (ticket, url) = asked(&mut talk.desk);
    assert_eq!(url, "http://crm.example/c0b0");
    assert!(talk.desk.fetches.is_empty());

    talk.desk.tell(reply(ticket, 200, r#"{"agent": "ann"}"#));
    let ack = talk.caller("ACK", 1);
    talk.caller_says(&ack);
    let bye = talk.caller("BYE", 2);
    talk.caller_says(&bye);

    let story = talk.desk.records[0].story.as_ref().expect("a story");
    assert_eq!(
        story.facts.tags.values("agent").collect::<Vec<_>>(),
        ["ann"]
    );
    assert_eq!(story.fired[0].result, FiredResult::Answered(200));
}

// --- after the answer, after the end

#[test]
fn timers_fire_from_the_answer_on_and_stop_with_the_call() {
    let desk = desk(1, |site| {
        for after in [0, 30, 90] {
            site.hooks.push(Hook {
                trigger: Trigger::Timer,
                url: "http://pixel.example/",
                holds: false,
                after,
            });
        }
    });
    let mut talk = Talk::unacknowledged(desk);
    let ack = talk.caller("ACK", 1);
    talk.caller_says(&ack);
    assert_eq!(talk.desk.deliveries.len(), 1, "that of the first second");
    talk.desk.pass(Duration::from_secs(31));
    assert_eq!(talk.desk.deliveries.len(), 2);
    let bye = talk.caller("BYE", 2);
    talk.caller_says(&bye);

    talk.desk.pass(Duration::from_secs(120));

    assert_eq!(talk.desk.deliveries.len(), 2);
}

#[test]
fn the_timers_of_a_buyer_have_its_offset_on_top_and_webhooks_are_told_where_it_is() {
    let desk = desk(1, |site| {
        let rules = Rules {
            timer_offset: Duration::from_secs(10),
            ..Rules::default()
        };
        site.rules.push((0, rules));
        site.hooks.push(Hook {
            trigger: Trigger::Timer,
            url: "http://pixel.example/?n=[buyer_number]&s=[call_status]",
            holds: false,
            after: 30,
        });
    });
    let mut talk = Talk::unacknowledged(desk);
    let ack = talk.caller("ACK", 1);
    talk.caller_says(&ack);

    talk.desk.pass(Duration::from_secs(39));
    assert!(talk.desk.deliveries.is_empty());
    talk.desk.pass(Duration::from_secs(2));

    let url = &talk.desk.deliveries[0].request.url;
    assert!(
        url.contains("?n=c0b0%40") && url.ends_with("&s=answered"),
        "{url}"
    );
}

#[test]
fn a_call_that_talks_long_enough_converts_and_its_webhooks_are_delivered_in_their_order() {
    for (seconds, second) in [(91, "conversion"), (89, "non-conversion")] {
        let desk = desk(1, |site| {
            for trigger in [
                Trigger::Always,
                Trigger::NonConversion,
                Trigger::Conversion,
                Trigger::Connect,
            ] {
                site.hook(
                    trigger,
                    "http://pixel.example/?d=[call_duration]&p=[payout]",
                );
            }
            site.groups.push(Group {
                id: "paid".into(),
                matches: Conditions::default(),
                criterion: Criterion::Timer(vec![Tier {
                    after: Duration::from_secs(90),
                    worth: Worth::default(),
                }]),
                payout_dedupe: None,
                revenue_dedupe: None,
            });
        });
        let mut talk = Talk::unacknowledged(desk);
        let ack = talk.caller("ACK", 1);
        talk.caller_says(&ack);
        talk.desk.pass(Duration::from_secs(seconds));
        let bye = talk.caller("BYE", 2);
        talk.caller_says(&bye);

        let story = talk.desk.records[0].story.as_ref().expect("a story");
        let fired: Vec<_> = story
            .deliveries
            .iter()
            .map(|one| one.trigger.label())
            .collect();
        assert_eq!(fired, ["connect", second, "always"], "{seconds} s");
        let url = &story.deliveries[0].request.url;
        assert!(url.contains(&format!("d={seconds}")), "{url}");
    }
}

#[test]
fn a_call_that_nobody_answers_has_no_connect_and_its_caller_need_not_be_known() {
    let mut desk = desk(1, |site| {
        site.hook(Trigger::Connect, "http://pixel.example/");
        site.hook(Trigger::Always, "http://crm.example/?r=[reason]");
    });
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    desk.say_from(buyer(0), &answer(&offered, 486, "bob"));

    let story = desk.records[0].story.as_ref().expect("a story");
    let urls: Vec<_> = story
        .deliveries
        .iter()
        .map(|one| &*one.request.url)
        .collect();
    assert_eq!(urls, ["http://crm.example/?r=all_busy"]);
}

#[test]
fn a_caller_who_gives_up_while_a_ping_is_out_leaves_nothing_behind() {
    let mut desk = desk(1, |site| site.hook(Trigger::Start, "http://crm.example/"));
    desk.say(CARRIER, &invite());
    let (ticket, _) = asked(&mut desk);

    let said = desk.say(CARRIER, &super::desk::cancel(&invite()));
    let refused = find(&said, "carrier 487 INVITE");
    desk.say(CARRIER, &ack_of_failure(&invite(), &refused));
    assert!(desk.tell(reply(ticket, 200, "{}")).is_empty());

    assert_eq!(desk.records.len(), 1);
    assert_eq!(desk.records[0].outcome, Outcome::CallerHungUp);
    assert_eq!(desk.rest(), Gauges::default());
}
