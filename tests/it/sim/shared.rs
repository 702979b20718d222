//! Calls that share media ports: what a side is told whose address turns out to be somebody else's there.

use std::time::Duration;

use strowger::call::policy::Media;
use strowger::media::plan::{Gate, Party};
use strowger::routing::trunk::{MediaTerms, Plane};

use super::desk::{Desk, Talk, answer, buyer, caller_request, find, invite, ladder, specs};
use super::media::{buyer_media, open, sdp};
use super::policy::{BUYER_REALM, CARRIER, PolicySpec};
use super::text::Msg;

/// Where the caller hears media, and, in most of these tests, the buyer as well.
const MEDIA: &str = "192.0.2.10:30000";

fn shared() -> MediaTerms {
    let mut terms = MediaTerms {
        plane: Plane::Relay,
        ..MediaTerms::default()
    };
    terms.terms.is_shared = true;
    terms
}

fn desk_with(change: impl FnOnce(&mut PolicySpec)) -> Desk {
    let mut buyers = specs(1);
    for buyer in &mut buyers {
        buyer.media = shared();
    }
    let mut spec = PolicySpec {
        lines: vec![buyers],
        media: Media {
            shared_ports: Some(19_000..=19_003),
            ..open(20_000, 20_099)
        },
        trunk_media: shared(),
        ..PolicySpec::default()
    };
    change(&mut spec);
    Desk::with(&spec)
}

fn offer() -> Msg {
    invite().with_sdp(&sdp("ann", MEDIA, ""))
}

fn port(sdp: &str) -> u16 {
    let line = sdp.lines().find(|line| line.starts_with("m=audio "));
    let port = line.and_then(|line| line.split(' ').nth(1));
    port.expect("a media line").parse().expect("a port")
}

/// Our ports towards a party, as the relay was told last.
fn gate(desk: &Desk, party: Party) -> Gate {
    let (_, plan) = desk.plans.last().expect("a plan");
    plan.streams[0].ends[party.index()].gate
}

/// A call whose buyer answers with the caller's own address, so that it is asked to send elsewhere: that re-INVITE.
fn moved(mut desk: Desk) -> (Talk, Msg) {
    let invite = offer();
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    assert_eq!(port(&offered.body), 19_000);
    let ok = answer(&offered, 200, "bob").with_sdp(&sdp("bob", MEDIA, ""));
    let said = desk.say_from(buyer(0), &ok);
    assert_eq!(
        ladder(&said),
        ["b0 ACK", "carrier 200 INVITE", "b0 INVITE"],
        "at once, whatever the caller does"
    );
    let asked = find(&said, "b0 INVITE");
    let ok = find(&said, "carrier 200 INVITE");
    desk.say(CARRIER, &caller_request("ACK", 1, &invite, &ok));
    let talk = Talk {
        desk,
        invite,
        ok,
        offered,
    };
    (talk, asked)
}

fn agreed(asked: &Msg, at: &str) -> Msg {
    answer(asked, 200, "bob").with_sdp(&sdp("bob", at, "").replace("bob 7 1", "bob 7 2"))
}

/// The caller hangs up, and nothing is left.
fn ends_well(mut talk: Talk) {
    let bye = talk.caller("BYE", 2);
    talk.caller_says(&bye);
    leaves_nothing(&mut talk.desk);
}

fn leaves_nothing(desk: &mut Desk) {
    let gauges = desk.rest();
    assert_eq!(gauges.media_ports.in_use, 0, "ports are still taken");
    assert_eq!(
        gauges.media_shared.claims, 0,
        "addresses are still somebody's"
    );
    assert_eq!(gauges.calls_talking + gauges.calls_ringing, 0);
    assert_eq!((gauges.client_transactions, gauges.timers), (0, 0));
}

#[test]
fn both_sides_of_many_calls_go_by_one_port() {
    let mut desk = desk_with(|_| ());
    let mut calls = Vec::new();
    for number in 0..5 {
        let invite = invite()
            .set(
                "Via",
                format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK-n{number};rport"),
            )
            .set("Call-ID", format!("n{number}@carrier.example.net"))
            .with_sdp(&sdp("ann", &format!("192.0.2.10:3000{}", 2 * number), ""));
        let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
        let at = format!("198.51.100.10:4000{}", 2 * number);
        let answered = answer(&offered, 200, "bob").with_sdp(&sdp("bob", &at, ""));
        let said = desk.say_from(buyer(0), &answered);
        assert_eq!(ladder(&said), ["b0 ACK", "carrier 200 INVITE"]);
        let ok = find(&said, "carrier 200 INVITE");
        desk.say(CARRIER, &caller_request("ACK", 1, &invite, &ok));
        assert_eq!([port(&offered.body), port(&ok.body)], [19_000, 19_000]);
        calls.push((invite, ok));
    }
    let gauges = desk.gauges();
    assert_eq!(gauges.media_ports.in_use, 0);
    assert_eq!(gauges.media_shared.claims, 20);

    for (invite, ok) in calls {
        desk.say(CARRIER, &caller_request("BYE", 2, &invite, &ok));
    }
    leaves_nothing(&mut desk);
}

#[test]
fn a_buyer_where_somebody_else_is_is_told_of_another_port_and_the_caller_hears_nothing_of_it() {
    let (mut talk, asked) = moved(desk_with(|_| ()));
    assert_eq!(port(&asked.body), 19_002);
    let stays = |body: &str| body.replace("m=audio 19002", "m=audio 19000");
    let (first, second) = (&talk.offered.body, stays(&asked.body));
    let rest = |body: &str| body.lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rest(first), rest(&second));
    assert_eq!(gate(&talk.desk, Party::Buyer).port, 19_002);
    assert_eq!(gate(&talk.desk, Party::Caller).port, 19_000);

    let said = talk.buyer_says(&agreed(&asked, MEDIA));

    assert_eq!(ladder(&said), ["b0 ACK"]);
    assert_eq!(gate(&talk.desk, Party::Buyer).port, 19_002);
    let shared = talk.desk.gauges().media_shared;
    assert_eq!((shared.clashes, shared.none), (1, 0));
    ends_well(talk);
}

#[test]
fn with_no_other_shared_port_it_gets_a_pair_of_its_own() {
    let desk = desk_with(|spec| spec.media.shared_ports = Some(19_000..=19_001));

    let (mut talk, asked) = moved(desk);

    assert!(
        (20_000..20_100).contains(&port(&asked.body)),
        "{}",
        asked.body
    );
    assert!(!gate(&talk.desk, Party::Buyer).is_shared);
    talk.buyer_says(&agreed(&asked, MEDIA));
    assert_eq!(talk.desk.gauges().media_ports.in_use, 1);
    let shared = talk.desk.gauges().media_shared;
    assert_eq!((shared.clashes, shared.none), (1, 1));
    ends_well(talk);
}

#[test]
fn who_confirms_from_another_address_is_heard_from_there() {
    let (mut talk, asked) = moved(desk_with(|_| ()));

    talk.buyer_says(&agreed(&asked, &buyer_media(0)));

    let (_, plan) = talk.desk.plans.last().unwrap();
    let remote = plan.streams[0].ends[Party::Buyer.index()].remote.unwrap();
    assert_eq!(remote.rtp.to_string(), buyer_media(0));
    assert_eq!(talk.desk.gauges().media_shared.claims, 4);
    ends_well(talk);
}

#[test]
fn a_glare_is_tried_again_after_a_while() {
    let (mut talk, asked) = moved(desk_with(|_| ()));

    let said = talk.buyer_says(&answer(&asked, 491, "bob"));
    assert_eq!(ladder(&said), ["b0 ACK"]);
    let again = find(&talk.desk.pass(Duration::from_secs(4)), "b0 INVITE");

    assert_eq!(port(&again.body), 19_002);
    assert_eq!(again.value("Call-ID"), asked.value("Call-ID"));
    assert_eq!(ladder(&talk.buyer_says(&agreed(&again, MEDIA))), ["b0 ACK"]);
    ends_well(talk);
}

#[test]
fn a_buyer_that_never_agrees_loses_the_call() {
    let (mut talk, mut asked) = moved(desk_with(|_| ()));

    for _ in 0..4 {
        talk.buyer_says(&answer(&asked, 500, "bob"));
        asked = find(&talk.desk.pass(Duration::from_secs(3)), "b0 INVITE");
    }
    let said = talk.buyer_says(&answer(&asked, 500, "bob"));

    assert_eq!(ladder(&said), ["b0 ACK", "carrier BYE", "b0 BYE"]);
    assert_eq!(talk.desk.recorded(), "media_failed 200 by buyer: answered");
    leaves_nothing(&mut talk.desk);
}

#[test]
fn a_buyer_that_does_not_answer_is_lost() {
    let (mut talk, _) = moved(desk_with(|_| ()));

    talk.desk.pass(Duration::from_secs(33));

    assert_eq!(talk.desk.recorded(), "leg_lost 200 by buyer: answered");
    leaves_nothing(&mut talk.desk);
}

#[test]
fn a_description_that_is_none_ends_the_call() {
    for broken in ["", "v=0\r\nno description\r\n"] {
        let (mut talk, asked) = moved(desk_with(|_| ()));

        let said = talk.buyer_says(&answer(&asked, 200, "bob").with_sdp(broken));

        assert_eq!(ladder(&said), ["b0 ACK", "carrier BYE", "b0 BYE"]);
        assert_eq!(talk.desk.recorded(), "media_failed 200 by edge: answered");
        leaves_nothing(&mut talk.desk);
    }
}

#[test]
fn the_end_of_the_call_takes_it_back() {
    let (mut talk, asked) = moved(desk_with(|_| ()));
    talk.buyer_says(&asked.reply(100, "bob"));

    let bye = talk.caller("BYE", 2);
    let said = talk.caller_says(&bye);

    assert_eq!(ladder(&said), ["carrier 200 BYE", "b0 CANCEL", "b0 BYE"]);
    // It had agreed meanwhile.
    assert_eq!(ladder(&talk.buyer_says(&agreed(&asked, MEDIA))), ["b0 ACK"]);
    leaves_nothing(&mut talk.desk);
}

#[test]
fn what_either_side_offers_meanwhile_has_to_wait() {
    let (mut talk, asked) = moved(desk_with(|_| ()));

    let theirs = talk
        .buyer("INVITE", 1)
        .with_sdp(&sdp("bob", MEDIA, "").replace("bob 7 1", "bob 7 2"));
    find(&talk.buyer_says(&theirs), "b0 491 INVITE");
    let callers = talk
        .caller("INVITE", 2)
        .with_sdp(&sdp("ann", MEDIA, "").replace("ann 7 1", "ann 7 2"));
    find(&talk.caller_says(&callers), "carrier 491 INVITE");

    talk.buyer_says(&agreed(&asked, MEDIA));
    let bye = talk.caller("BYE", 3);
    talk.caller_says(&bye);
    leaves_nothing(&mut talk.desk);
}

#[test]
fn a_challenge_is_answered_once() {
    let desk = desk_with(|spec| spec.lines[0][0].has_login = true);
    let (mut talk, asked) = moved(desk);
    let challenge = format!("Digest realm=\"{BUYER_REALM}\", nonce=\"abc\", qop=\"auth\"");

    let refused = answer(&asked, 401, "bob").with("WWW-Authenticate", challenge);
    let said = talk.buyer_says(&refused);

    assert_eq!(ladder(&said), ["b0 ACK", "b0 INVITE"]);
    let again = find(&said, "b0 INVITE");
    assert!(again.value("Authorization").contains("nonce=\"abc\""));
    assert_eq!(again.body, asked.body);
    let acked = find(&talk.buyer_says(&agreed(&again, MEDIA)), "b0 ACK");
    assert!(acked.value("Authorization").contains("nonce=\"abc\""));
    ends_well(talk);
}

/// The caller's answer to a late offer comes with its ACK.
#[test]
fn a_caller_can_turn_out_to_be_where_somebody_else_is_too() {
    let mut desk = desk_with(|_| ());
    let mut invite = invite().without("Content-Type");
    invite.body.clear();
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let ok = answer(&offered, 200, "bob").with_sdp(&sdp("bob", MEDIA, ""));
    let ok = find(&desk.say_from(buyer(0), &ok), "carrier 200 INVITE");
    assert_eq!(port(&ok.body), 19_000);

    let ack = caller_request("ACK", 1, &invite, &ok).with_sdp(&sdp("ann", MEDIA, ""));
    let said = desk.say(CARRIER, &ack);

    assert_eq!(ladder(&said), ["b0 ACK", "carrier INVITE"]);
    let asked = find(&said, "carrier INVITE");
    assert_eq!(port(&asked.body), 19_002);
    let agreed = asked
        .reply(200, "ann")
        .with("Contact", format!("<sip:ann@{CARRIER}>"))
        .with_sdp(&sdp("ann", MEDIA, "").replace("ann 7 1", "ann 7 2"));
    assert_eq!(ladder(&desk.say(CARRIER, &agreed)), ["carrier ACK"]);
    assert_eq!(gate(&desk, Party::Caller).port, 19_002);
    desk.say(CARRIER, &caller_request("BYE", 2, &invite, &ok));
    leaves_nothing(&mut desk);
}
