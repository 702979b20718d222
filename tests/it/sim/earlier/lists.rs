//! Lists onto which callers come by what became of their calls, and which they leave again.

use std::sync::Arc;
use std::time::Duration;

use strowger::call::output::Gauges;
use strowger::routing::buyer::Buyer;
use strowger::routing::callers::{CallerList, Fill, Guests};
use strowger::routing::campaign::{Answer, Campaign, Exit, Route};

use super::{ack_of_failure, answer, buyer, call, desk, find, invite_of, ladder, no_hooks, talk};
use crate::sim::desk::{Desk, Said};
use crate::sim::policy::CARRIER;

const TTL: Duration = Duration::from_secs(600);

fn list(fill: Option<Fill>, campaigns: &[&str]) -> Arc<CallerList> {
    let campaigns = campaigns.iter().map(|id| Arc::from(*id)).collect();
    Arc::new(CallerList {
        id: "had".into(),
        numbers: Default::default(),
        guests: Some(Guests::new("had", TTL, fill, campaigns)),
    })
}

/// Keeps those on the list out of the campaign.
fn suppressing(list: Arc<CallerList>) -> impl FnOnce(&mut Campaign) {
    move |campaign| {
        let guests = list.guests.as_ref().expect("guests");
        if [true, false]
            .iter()
            .any(|how| guests.marks(&campaign.id, *how))
        {
            campaign.fills = vec![Arc::clone(&list)];
        }
        campaign.callers.suppressed = vec![list];
    }
}

/// A call that nobody takes.
fn refused(desk: &mut Desk, number: usize) -> Vec<Said> {
    let invite = invite_of(number);
    let mut said = desk.say(CARRIER, &invite);
    for place in 0..3 {
        let line = format!("b{place} INVITE");
        if ladder(&said).contains(&line) {
            let offered = find(&said, &line);
            said = desk.say_from(buyer(place), &answer(&offered, 603, "bob"));
        }
    }
    let end = find(&said, "carrier 603 INVITE");
    desk.say(CARRIER, &ack_of_failure(&invite, &end));
    said
}

fn is_blocked(desk: &mut Desk, number: usize) -> bool {
    let invite = invite_of(number);
    let said = desk.say(CARRIER, &invite);
    let is_blocked = ladder(&said).contains(&"carrier 603 INVITE".to_owned());
    if is_blocked {
        let end = find(&said, "carrier 603 INVITE");
        assert!(end.value("Reason").contains("caller_blocked"), "{end:?}");
        desk.say(CARRIER, &ack_of_failure(&invite, &end));
    }
    is_blocked
}

#[test]
fn who_was_connected_is_kept_out_for_a_while_and_then_let_in() {
    let list = list(Some(Fill::Connected), &[]);
    let (_, mut talk) = talk(desk(suppressing(list), no_hooks()), 1);
    assert!(is_blocked(&mut talk.desk, 2), "while it goes on, too");
    let mut desk = super::hang_up(talk, 0);

    desk.pass(TTL - Duration::from_secs(5));
    assert!(is_blocked(&mut desk, 3));
    desk.pass(Duration::from_secs(10));
    let (_, mut desk) = call(desk, 4, 5);

    let outcomes: Vec<_> = desk.records.iter().map(|one| one.outcome.label()).collect();
    let expected = ["caller_blocked", "completed", "caller_blocked", "completed"];
    assert_eq!(outcomes, expected);
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn calls_of_other_campaigns_do_not_fill_a_list_that_names_its_own() {
    let list = list(Some(Fill::Connected), &["campaign-1"]);
    let (_, mut desk) = call(desk(suppressing(list), no_hooks()), 1, 5);

    assert!(!is_blocked(&mut desk, 2));
}

#[test]
fn a_buyer_takes_only_those_who_are_on_its_list() {
    let list = list(Some(Fill::Connected), &[]);
    let accepting = |campaign: &mut Campaign| {
        let mut buyers = campaign.route.buyers().to_vec();
        let plain = &buyers[0];
        let mut first = Buyer::new(&plain.id, plain.gateways.clone());
        first.rules.callers.accepted = vec![list];
        buyers[0] = Arc::new(first);
        campaign.route = Route::new(buyers);
    };
    let (first, desk) = call(desk(accepting, no_hooks()), 1, 5);
    let (second, desk) = call(desk, 2, 5);

    assert_eq!((first, second), (1, 0));
    let story = desk.records[0].story.as_ref().expect("a story");
    let looks = story.decisions[0].looks[0].iter();
    let verdicts: Vec<_> = looks.map(|(_, verdict)| verdict.label()).collect();
    assert_eq!(verdicts, ["list_denied", "fits", "fits"]);
}

#[test]
fn who_is_not_connected_comes_onto_a_list_at_the_end_of_its_call() {
    for (fill, after_talk) in [(Fill::NotConnected, false), (Fill::Attempted, true)] {
        let list = list(Some(fill), &[]);
        let (_, mut desk) = call(desk(suppressing(list), no_hooks()), 1, 5);
        assert_eq!(is_blocked(&mut desk, 2), after_talk, "{fill:?}");

        let list = self::list(Some(fill), &[]);
        let mut desk = super::desk(suppressing(list), no_hooks());
        refused(&mut desk, 1);
        assert!(is_blocked(&mut desk, 2), "{fill:?}");
        // Who is refused for that was here, too.
        desk.pass(TTL + Duration::from_secs(1));
        assert!(!is_blocked(&mut desk, 3), "{fill:?}");
    }
}

#[test]
fn an_exit_puts_the_caller_onto_a_list_that_keeps_it_out() {
    let list = list(None, &[]);
    let exit = |campaign: &mut Campaign| {
        campaign.exits.no_answer = Some(Exit::Reject(Answer {
            status: Some(603),
            reason: Some("no_more".into()),
            suppress: Some(Arc::clone(&list)),
        }));
        campaign.callers.suppressed = vec![list];
    };
    let mut desk = desk(exit, no_hooks());

    let said = refused(&mut desk, 1);

    let end = find(&said, "carrier 603 INVITE");
    assert!(end.value("Reason").contains("no_more"), "{end:?}");
    assert!(is_blocked(&mut desk, 2));
    assert!(
        is_blocked(&mut desk, 3),
        "being kept out does not tell anew"
    );
    desk.pass(TTL);
    assert!(!is_blocked(&mut desk, 4));
}

#[test]
fn where_nobody_knows_of_earlier_calls_a_campaign_goes_on_and_a_buyer_is_passed_over() {
    let list = list(Some(Fill::Connected), &[]);
    let both = |campaign: &mut Campaign| {
        let mut buyers = campaign.route.buyers().to_vec();
        let plain = &buyers[0];
        let mut first = Buyer::new(&plain.id, plain.gateways.clone());
        first.rules.callers.suppressed = vec![Arc::clone(&list)];
        buyers[0] = Arc::new(first);
        campaign.route = Route::new(buyers);
        campaign.callers.suppressed = vec![list];
    };
    let mut desk = desk(both, no_hooks());
    desk.recalls = Some(Vec::new());

    desk.say(CARRIER, &invite_of(1));
    let said = desk.pass(Duration::from_millis(501));

    assert_eq!(ladder(&said), ["b1 INVITE"]);
}
