//! What only a buyer may do that nobody can be called after: the media of others would be one answer or one offer too many for
//! the caller (RFC 3261 §13.2.1).

use std::sync::Arc;
use std::time::Duration;

use strowger::call::output::Gauges;
use strowger::routing::campaign::{Answer, Campaign, Exit, Route, Signal};

use super::desk::{
    ANSWER, Desk, OFFER, Said, Talk, ack_of_failure, answer, buyer, caller_request, find, invite,
    ladder, specs,
};
use super::media;
use super::policy::{CARRIER, PolicySpec};
use super::text::Msg;
use super::waiting::{self, room};

const NOTHING: [&str; 0] = [];
/// Of another buyer.
const OTHER: &str = "v=0\r\no=eve 1 1 IN IP4 198.51.100.11\r\ns=-\r\n";

/// Buyer 0 for those who call; `change` has a route to buyer 1.
fn desk(change: impl FnOnce(&mut Campaign, Route)) -> Desk {
    let spec = PolicySpec {
        lines: specs(2).into_iter().map(|one| vec![one]).collect(),
        ..PolicySpec::default()
    };
    Desk::changed(&spec, |policy| {
        let route = policy.directory.campaigns[1].route.clone();
        let campaign = Arc::get_mut(&mut policy.directory.campaigns[0]);
        change(campaign.expect("nobody else has it"), route);
    })
}

fn reject() -> Option<Exit> {
    Some(Exit::Reject(Answer {
        status: Some(480),
        reason: None,
        suppress: None,
    }))
}

/// What the caller hears of a 183 with a description.
fn early(desk: &mut Desk, place: usize, offered: &Msg, sdp: &str) -> (Vec<String>, String) {
    let said = desk.say_from(buyer(place), &answer(offered, 183, "bob").with_sdp(sdp));
    (ladder(&said), said[0].message.body.clone())
}

fn is_told_nothing((ladder, body): (Vec<String>, String)) {
    assert_eq!(ladder, ["carrier 180 INVITE"]);
    assert_eq!(body, "");
}

fn without_offer() -> Msg {
    let mut invite = invite().without("Content-Type").with("Supported", "100rel");
    invite.body.clear();
    invite
}

/// A call of the first of two buyers, who take one each.
fn with_room() -> Talk {
    let mut talk = Talk::unacknowledged(waiting::desk(2, |_| {}));
    let ack = talk.caller("ACK", 1);
    assert_eq!(ladder(&talk.caller_says(&ack)), NOTHING);
    talk
}

/// The INVITE of another call.
fn another() -> Msg {
    invite()
        .set("Call-ID", "2@carrier.example.net")
        .set("Via", format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK-2"))
}

/// The first call is over, so that the other is offered to its buyer.
fn makes_place(talk: &mut Talk) -> Vec<Said> {
    let bye = talk.caller("BYE", 2);
    let ours = find(&talk.caller_says(&bye), "b0 BYE");
    talk.buyer_says(&ours.reply(200, "bob"));
    talk.desk.pass(Duration::from_secs(6))
}

#[test]
fn who_may_wait_after_it_has_the_answer_of_the_buyer_that_answers() {
    let mut talk = with_room();
    let offered = find(&talk.caller_says(&another()), "b1 INVITE");

    let told = early(&mut talk.desk, 1, &offered, OTHER);

    is_told_nothing(told);
    let said = talk.desk.say_from(buyer(1), &answer(&offered, 486, "bob"));
    assert_eq!(ladder(&said), ["b1 ACK", "carrier 182 INVITE"]);
    let offered = find(&makes_place(&mut talk), "b0 INVITE");
    let said = talk.buyer_says(&answer(&offered, 200, "bob").with_sdp(ANSWER));
    let ok = find(&said, "carrier 200 INVITE");
    assert_eq!(ok.body, ANSWER);
    let ack = caller_request("ACK", 1, &another(), &ok);
    talk.caller_says(&ack);
    let bye = caller_request("BYE", 2, &another(), &ok);
    let ours = find(&talk.caller_says(&bye), "b0 BYE");
    talk.buyer_says(&ours.reply(200, "bob"));
    assert_eq!(talk.desk.rest(), Gauges::default());
}

#[test]
fn where_the_edge_relays_early_media_passes_though_the_call_may_wait() {
    let spec = PolicySpec {
        lines: vec![specs(1)],
        media: media::open(20_000, 20_099),
        ..PolicySpec::default()
    };
    let mut desk = Desk::changed(&spec, |policy| {
        let campaign = Arc::get_mut(&mut policy.directory.campaigns[0]);
        campaign.expect("nobody else has it").waiting = Some(room(Signal::Queued));
    });
    let mut invite = invite();
    invite.body = media::sdp("ann", "192.0.2.10:30000", "");
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");

    let sdp = media::sdp("bob", &media::buyer_media(0), "");
    let (told, body) = early(&mut desk, 0, &offered, &sdp);

    assert_eq!(told, ["carrier 183 INVITE"]);
    assert!(body.contains("203.0.113.5"), "{body}");
}

#[test]
fn who_has_an_exit_after_it_has_the_answer_of_the_buyer_that_answers() {
    let mut desk = desk(|campaign, route| campaign.exits.no_answer = Some(Exit::Dial(route)));
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");

    let told = early(&mut desk, 0, &offered, ANSWER);

    is_told_nothing(told);
    let said = desk.say_from(buyer(0), &answer(&offered, 486, "bob"));
    let offered = find(&said, "b1 INVITE");
    // Nobody comes after this one.
    let told = early(&mut desk, 1, &offered, OTHER);
    assert_eq!(
        told,
        (vec!["carrier 183 INVITE".to_owned()], OTHER.to_owned())
    );
    let said = desk.say_from(buyer(1), &answer(&offered, 200, "bob").with_sdp(OTHER));
    assert_eq!(find(&said, "carrier 200 INVITE").body, OTHER);
}

#[test]
fn who_has_another_campaign_after_it_hears_ringing() {
    let mut desk = {
        let spec = PolicySpec {
            lines: specs(2).into_iter().map(|one| vec![one]).collect(),
            ..PolicySpec::default()
        };
        Desk::changed(&spec, |policy| {
            let next = policy.directory.campaigns[1].place;
            let campaign = Arc::get_mut(&mut policy.directory.campaigns[0]);
            let exits = &mut campaign.expect("nobody else has it").exits;
            exits.no_answer = Some(Exit::Campaign(next));
        })
    };
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");

    is_told_nothing(early(&mut desk, 0, &offered, ANSWER));
}

/// What was called comes to `no_answer`, and no other exit.
#[test]
fn who_has_no_buyer_after_it_hears_early_media() {
    for change in [
        (|_, _| {}) as fn(&mut Campaign, Route),
        |campaign, route| campaign.exits.all_capped = Some(Exit::Dial(route)),
        |campaign, _| {
            campaign.exits.no_answer = reject();
            campaign.waiting = Some(room(Signal::Queued));
        },
    ] {
        let mut desk = desk(change);
        let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");

        let told = early(&mut desk, 0, &offered, ANSWER);

        assert_eq!(
            told,
            (vec!["carrier 183 INVITE".to_owned()], ANSWER.to_owned())
        );
        let said = desk.say_from(buyer(0), &answer(&offered, 486, "bob"));
        let end = &said[1].message;
        desk.say(CARRIER, &ack_of_failure(&invite(), end));
        assert_eq!(desk.rest(), Gauges::default());
    }
}

#[test]
fn only_the_last_buyer_of_the_last_exit_may_bring_its_offer_early() {
    let mut desk = desk(|campaign, route| campaign.exits.no_answer = Some(Exit::Dial(route)));
    let first = find(&desk.say(CARRIER, &without_offer()), "b0 INVITE");
    assert_eq!(first.first("Supported"), None);

    let said = desk.say_from(buyer(0), &answer(&first, 486, "bob"));

    let last = find(&said, "b1 INVITE");
    assert_eq!(last.value("Supported"), "100rel");
    let ringing = answer(&last, 183, "eve")
        .with("Require", "100rel")
        .with("RSeq", "9")
        .with_sdp(OFFER);
    let said = desk.say_from(buyer(1), &ringing);
    assert_eq!(ladder(&said), ["carrier 183 INVITE"]);
}

#[test]
fn nobody_may_bring_its_offer_early_whose_caller_may_wait() {
    let mut desk = desk(|campaign, _| campaign.waiting = Some(room(Signal::Queued)));
    let offered = find(&desk.say(CARRIER, &without_offer()), "b0 INVITE");

    assert_eq!(offered.first("Supported"), None);

    let said = desk.say_from(buyer(0), &answer(&offered, 486, "bob"));
    assert_eq!(ladder(&said), ["b0 ACK", "carrier 182 INVITE"]);
}
