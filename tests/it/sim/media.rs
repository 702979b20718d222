//! Media that goes through our relay: what each side is told of it, and what the relay is told.

use std::net::SocketAddr;
use std::time::Duration;

use strowger::call::input::{Input, MediaLost};
use strowger::call::output::{Event, Refusal};
use strowger::call::policy::{Media, Mouth};
use strowger::call::record::MediaAt;
use strowger::media::plan::{Party, Plan};
use strowger::media::vigil::Quiet;
use strowger::routing::trunk::Refer;

use super::desk::{
    Desk, Said, Talk, answer, buyer, buyer_request, caller_request, find, invite, ladder, specs,
};
use super::policy::{CARRIER, PolicySpec, addr, number};
use super::text::Msg;

/// Where the caller and the buyers hear media.
const CALLER_MEDIA: &str = "192.0.2.10:30000";

pub(crate) fn sdp(who: &str, media: &str, attributes: &str) -> String {
    let media = addr(media);
    format!(
        "v=0\r\no={who} 7 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0 8\r\n{attributes}",
        ip = media.ip(),
        port = media.port(),
    )
}

fn offer() -> Msg {
    invite().with_sdp(&sdp("ann", CALLER_MEDIA, ""))
}

pub(crate) fn buyer_media(place: usize) -> String {
    format!("198.51.100.{}:4000{place}", 10 + place)
}

fn answered(offered: &Msg, status: u16, place: usize) -> Msg {
    answer(offered, status, "bob").with_sdp(&sdp("bob", &buyer_media(place), ""))
}

pub(crate) fn open(first: u16, last: u16) -> Media {
    Media {
        v4: Some(Mouth {
            bind: "10.0.0.1".parse().unwrap(),
            advertise: "203.0.113.5".parse().unwrap(),
        }),
        ports: first..=last,
        ..Media::default()
    }
}

fn desk(buyers: usize) -> Desk {
    Desk::with(&PolicySpec {
        lines: vec![specs(buyers)],
        media: open(20_000, 20_099),
        ..PolicySpec::default()
    })
}

/// Where a session description says that media is heard.
pub(crate) fn heard_at(sdp: &str) -> SocketAddr {
    let value = |key: &str| {
        let line = sdp.lines().rev().find(|line| line.starts_with(key));
        line.unwrap_or_else(|| panic!("no {key} in {sdp}"))
            .to_owned()
    };
    let ip = value("c=").rsplit(' ').next().unwrap().to_owned();
    let port = value("m=").split(' ').nth(1).unwrap().to_owned();
    addr(&format!("{ip}:{port}"))
}

fn origin(sdp: &str) -> String {
    let line = sdp.lines().find(|line| line.starts_with("o="));
    line.expect("an origin").to_owned()
}

pub(crate) fn last_plan(desk: &Desk) -> &Plan {
    &desk.plans.last().expect("a plan").1
}

pub(crate) fn remote(plan: &Plan, party: Party) -> Option<SocketAddr> {
    let end = &plan.streams[0].ends[party.index()];
    end.remote.map(|remote| remote.rtp)
}

/// A call that is up.
fn talk() -> Talk {
    let mut desk = desk(1);
    let invite = offer();
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let said = desk.say_from(buyer(0), &answered(&offered, 200, 0));
    let ok = find(&said, "carrier 200 INVITE");
    desk.say(CARRIER, &caller_request("ACK", 1, &invite, &ok));
    Talk {
        desk,
        invite,
        ok,
        offered,
    }
}

pub(crate) fn ends_well(desk: &mut Desk) {
    let gauges = desk.rest();
    assert_eq!(gauges.media_ports.in_use, 0, "ports are still taken");
    assert_eq!(gauges.calls_talking + gauges.calls_ringing, 0);
}

#[test]
fn each_side_is_told_of_us_and_the_relay_of_both() {
    let mut talk = talk();

    let (to_buyer, to_caller) = (talk.offered.body.clone(), talk.ok.body.clone());
    for (told, others) in [(&to_buyer, "192.0.2.10"), (&to_caller, "198.51.100.10")] {
        assert_eq!(heard_at(told).ip(), addr("203.0.113.5:1").ip(), "{told}");
        assert!((20_000..20_100).contains(&heard_at(told).port()), "{told}");
        assert!(!told.contains(others), "{told}");
        assert!(!told.contains("10.0.0.1"), "{told}");
    }
    assert_ne!(heard_at(&to_buyer), heard_at(&to_caller));
    let plan = last_plan(&talk.desk);
    assert!(plan.patience.is_answered);
    assert_eq!(plan.patience.silence, Some(Duration::from_secs(30)));
    assert_eq!(remote(plan, Party::Caller), Some(addr(CALLER_MEDIA)));
    assert_eq!(remote(plan, Party::Buyer), Some(addr(&buyer_media(0))));
    let gates = plan.streams[0].ends.each_ref().map(|end| end.gate.port);
    assert_eq!(
        gates,
        [heard_at(&to_caller).port(), heard_at(&to_buyer).port()]
    );

    let bye = talk.caller("BYE", 2);
    talk.caller_says(&bye);
    let media = MediaAt::Relay(talk.desk.plans[0].0);
    assert_eq!(talk.desk.records[0].media, Some(media));
    ends_well(&mut talk.desk);
}

/// Trap 14: early media from one buyer ends nothing, and the caller's answer stays what it was.
#[test]
fn trap_14_the_caller_keeps_its_answer_when_the_next_buyer_takes_over() {
    let mut desk = desk(2);
    let invite = offer();
    let first = find(&desk.say(CARRIER, &invite), "b0 INVITE");

    let said = desk.say_from(buyer(0), &answered(&first, 183, 0));
    let early = find(&said, "carrier 183 INVITE");
    let said = desk.say_from(buyer(0), &answer(&first, 486, "bob"));
    let second = find(&said, "b1 INVITE");
    let ok = answer(&second, 200, "eve").with_sdp(&sdp("eve", &buyer_media(1), ""));
    let said = desk.say_from(buyer(1), &ok);
    let ok = find(&said, "carrier 200 INVITE");

    assert_eq!(heard_at(&early.body), heard_at(&ok.body));
    assert_eq!(origin(&early.body), origin(&ok.body));
    assert_ne!(origin(&first.body), origin(&second.body), "to each its own");
    assert_eq!(
        remote(last_plan(&desk), Party::Buyer),
        Some(addr(&buyer_media(1)))
    );
    desk.say(CARRIER, &caller_request("ACK", 1, &invite, &ok));
    desk.say(CARRIER, &caller_request("BYE", 2, &invite, &ok));
    assert_eq!(desk.recorded(), "completed 200 by caller: busy, answered");
    ends_well(&mut desk);
}

#[test]
fn hold_and_resume_pass_and_stop_what_is_not_wanted() {
    let mut talk = talk();

    let hold = talk
        .caller("INVITE", 2)
        .with_sdp(&sdp("ann", CALLER_MEDIA, "a=sendonly\r\n").replace("ann 7 1", "ann 7 2"));
    let asked = find(&talk.caller_says(&hold), "b0 INVITE");
    assert!(asked.body.contains("a=sendonly\r\n"), "{}", asked.body);
    assert_eq!(heard_at(&asked.body), heard_at(&talk.offered.body));
    assert_ne!(
        origin(&asked.body),
        origin(&talk.offered.body),
        "a new version"
    );

    let held = answer(&asked, 200, "bob")
        .with_sdp(&sdp("bob", &buyer_media(0), "a=recvonly\r\n").replace("bob 7 1", "bob 7 2"));
    let ok = find(&talk.buyer_says(&held), "carrier 200 INVITE");
    assert!(ok.body.contains("a=recvonly\r\n"), "{}", ok.body);
    let sends = |plan: &Plan| plan.streams[0].ends.each_ref().map(|end| end.sends);
    assert_eq!(sends(last_plan(&talk.desk)), [true, false]);

    let ack = talk.caller("ACK", 2);
    talk.caller_says(&ack);
    let bye = talk.caller("BYE", 3);
    talk.caller_says(&bye);
    ends_well(&mut talk.desk);
}

#[test]
fn a_change_that_is_refused_changes_nothing() {
    let mut talk = talk();
    let before = last_plan(&talk.desk).clone();

    let moved = talk
        .caller("INVITE", 2)
        .with_sdp(&sdp("ann", "192.0.2.11:31000", "").replace("ann 7 1", "ann 7 2"));
    let asked = find(&talk.caller_says(&moved), "b0 INVITE");
    let said = talk.buyer_says(&answer(&asked, 488, "bob"));

    find(&said, "carrier 488 INVITE");
    assert_eq!(*last_plan(&talk.desk), before);
    let bye = talk.caller("BYE", 3);
    talk.caller_says(&bye);
    ends_well(&mut talk.desk);
}

#[test]
fn an_answer_to_a_change_that_cannot_be_told_ends_the_call() {
    let mut talk = talk();
    let hold = talk
        .caller("INVITE", 2)
        .with_sdp(&sdp("ann", CALLER_MEDIA, "a=sendonly\r\n").replace("ann 7 1", "ann 7 2"));
    let asked = find(&talk.caller_says(&hold), "b0 INVITE");

    let broken = answer(&asked, 200, "bob").with_sdp("v=0\r\nno description\r\n");
    let said = talk.buyer_says(&broken);

    // The caller's own offer was in order: nothing is said against it.
    assert_eq!(
        ladder(&said),
        ["carrier 500 INVITE", "b0 ACK", "carrier BYE", "b0 BYE"]
    );
    assert_eq!(talk.desk.recorded(), "media_failed 200 by edge: answered");
    ends_well(&mut talk.desk);
}

#[test]
fn a_late_answer_that_cannot_be_told_ends_the_call() {
    let mut desk = desk(1);
    let mut invite = invite().without("Content-Type");
    invite.body.clear();
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let said = desk.say_from(buyer(0), &answered(&offered, 200, 0));
    let ok = find(&said, "carrier 200 INVITE");

    let ack = caller_request("ACK", 1, &invite, &ok).with_sdp("v=0\r\nno description\r\n");
    let said = desk.say(CARRIER, &ack);

    let ladder = ladder(&said);
    assert_eq!(ladder, ["b0 ACK", "carrier BYE", "b0 BYE"]);
    assert_eq!(find(&said, "b0 ACK").body, "");
    assert_eq!(desk.recorded(), "media_failed 200 by edge: answered");
    ends_well(&mut desk);
}

#[test]
fn who_moves_is_heard_from_there_once_the_other_has_agreed() {
    let mut talk = talk();

    let moved = talk
        .buyer("INVITE", 1)
        .with_sdp(&sdp("bob", "198.51.100.77:41000", "").replace("bob 7 1", "bob 7 2"));
    let asked = find(&talk.buyer_says(&moved), "carrier INVITE");
    assert_eq!(
        remote(last_plan(&talk.desk), Party::Buyer),
        Some(addr(&buyer_media(0)))
    );
    let agreed = asked
        .reply(200, "ann")
        .with("Contact", format!("<sip:ann@{CARRIER}>"))
        .with_sdp(&sdp("ann", CALLER_MEDIA, ""));
    find(&talk.caller_says(&agreed), "b0 200 INVITE");

    assert_eq!(
        remote(last_plan(&talk.desk), Party::Buyer),
        Some(addr("198.51.100.77:41000"))
    );
    let ack = talk.buyer("ACK", 1);
    talk.buyer_says(&ack);
    let bye = talk.buyer("BYE", 2);
    talk.buyer_says(&bye);
    ends_well(&mut talk.desk);
}

#[test]
fn a_late_offer_is_answered_by_the_ack() {
    let mut desk = desk(1);
    let mut invite = invite().without("Content-Type");
    invite.body.clear();
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    assert_eq!(offered.body, "");

    let said = desk.say_from(buyer(0), &answered(&offered, 200, 0));
    let ok = find(&said, "carrier 200 INVITE");
    assert_eq!(heard_at(&ok.body).ip(), addr("203.0.113.5:1").ip());
    let ack = caller_request("ACK", 1, &invite, &ok).with_sdp(&sdp("ann", CALLER_MEDIA, ""));
    let acked = find(&desk.say(CARRIER, &ack), "b0 ACK");

    assert_eq!(heard_at(&acked.body).ip(), addr("203.0.113.5:1").ip());
    assert!(!acked.body.contains("192.0.2.10"));
    assert_eq!(
        remote(last_plan(&desk), Party::Caller),
        Some(addr(CALLER_MEDIA))
    );
    desk.say_from(buyer(0), &buyer_request("BYE", 1, &offered, "bob"));
    ends_well(&mut desk);
}

#[test]
fn a_buyer_whose_answer_cannot_be_told_is_left_for_the_next() {
    let mut desk = desk(2);
    let invite = offer();
    let first = find(&desk.say(CARRIER, &invite), "b0 INVITE");

    let broken = answer(&first, 200, "bob").with_sdp("v=0\r\nno description\r\n");
    let said = desk.say_from(buyer(0), &broken);

    assert_eq!(ladder(&said), ["b0 ACK", "b0 BYE", "b1 INVITE"]);
    assert!(desk.events.iter().any(|event| matches!(
        event,
        Event::MediaUnfit {
            why: "sdp_malformed",
            ..
        }
    )));
    let second = find(&said, "b1 INVITE");
    // The first one says it again, and is acknowledged again.
    assert_eq!(ladder(&desk.say_from(buyer(0), &broken)), ["b0 ACK"]);
    desk.say_from(buyer(1), &answer(&second, 603, "eve"));
    assert_eq!(
        desk.recorded(),
        "no_answer 603 by edge: media_mismatch, declined"
    );
    ends_well(&mut desk);
}

#[test]
fn what_no_buyer_can_be_offered_gets_to_none() {
    for body in ["v=0\r\nnonsense\r\n", "v=0\r\n\0\r\n"] {
        let mut desk = desk(2);
        let said = desk.say(CARRIER, &invite().with_sdp(body));
        assert_eq!(ladder(&said), ["carrier 100 INVITE", "carrier 603 INVITE"]);
        assert_eq!(
            desk.recorded(),
            "no_answer 603 by edge: media_mismatch, media_mismatch"
        );
        ends_well(&mut desk);
    }
}

#[test]
fn in_a_body_of_several_parts_only_the_description_changes() {
    let mut desk = desk(1);
    let parts = format!(
        "--b\r\nContent-Type: application/sdp\r\n\r\n{}\r\n--b\r\nContent-Type: application/isup\r\n\r\nxyz\r\n--b--\r\n",
        sdp("ann", CALLER_MEDIA, "")
    );
    let invite = invite()
        .without("Content-Type")
        .with_body("multipart/mixed;boundary=b", parts);

    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");

    assert_eq!(offered.value("Content-Type"), "multipart/mixed;boundary=b");
    assert!(
        offered
            .body
            .ends_with("\r\n--b\r\nContent-Type: application/isup\r\n\r\nxyz\r\n--b--\r\n")
    );
    assert!(!offered.body.contains("192.0.2.10"), "{}", offered.body);
    desk.say_from(buyer(0), &answer(&offered, 486, "bob"));
    ends_well(&mut desk);
}

#[test]
fn without_ports_calls_are_refused_and_then_taken_again() {
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        // Five pairs: with less than four left, there is no room for a call.
        media: open(20_000, 20_009),
        ..PolicySpec::default()
    });
    let again = |n: u32| {
        offer()
            .set(
                "Via",
                format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK-n{n};rport"),
            )
            .set("Call-ID", format!("n{n}@carrier.example.net"))
    };
    let offered = find(&desk.say(CARRIER, &again(1)), "b0 INVITE");

    let said = desk.say(CARRIER, &again(2));

    assert_eq!(ladder(&said), ["carrier 503 INVITE"]);
    assert!(desk.events.iter().any(|event| matches!(
        event,
        Event::Refused {
            why: Refusal::Overload,
            ..
        }
    )));
    desk.say_from(buyer(0), &answer(&offered, 486, "bob"));
    // The ports rest for a while.
    assert_eq!(
        ladder(&desk.say(CARRIER, &again(3)))[0],
        "carrier 503 INVITE"
    );
    desk.pass(Duration::from_secs(31));
    find(&desk.say(CARRIER, &again(4)), "b0 INVITE");
}

#[test]
fn a_call_whose_media_is_lost_ends_on_both_sides() {
    let table = [
        (
            MediaLost::Quiet(Quiet::OneWay(Party::Buyer)),
            "media_silent 200 by buyer: answered",
        ),
        (
            MediaLost::Quiet(Quiet::Both),
            "media_silent 200 by edge: answered",
        ),
        (MediaLost::Unbound, "media_failed 200 by edge: answered"),
    ];
    for (lost, record) in table {
        let mut talk = talk();
        let id = talk.desk.plans[0].0;

        let said = talk.desk.tell(Input::Media { id, lost });

        assert_eq!(ladder(&said), ["carrier BYE", "b0 BYE"]);
        let reason = |said: &Said| said.message.value("Reason").to_owned();
        assert!(reason(&said[0]).contains("media_"), "{}", reason(&said[0]));
        assert_eq!(talk.desk.recorded(), record);
        // Once is enough.
        assert_eq!(ladder(&talk.desk.tell(Input::Media { id, lost })), [""; 0]);
        ends_well(&mut talk.desk);
    }
}

#[test]
fn ports_that_cannot_be_opened_end_the_call_before_it_is_answered() {
    let mut desk = desk(2);
    let offered = find(&desk.say(CARRIER, &offer()), "b0 INVITE");
    desk.say_from(buyer(0), &answer(&offered, 180, "bob"));
    let id = desk.plans[0].0;

    let lost = MediaLost::Unbound;
    let said = desk.tell(Input::Media { id, lost });

    assert_eq!(ladder(&said), ["b0 CANCEL", "carrier 503 INVITE"]);
    assert_eq!(desk.recorded(), "media_failed 503 by edge: cancelled");
}

#[test]
fn a_call_that_both_sides_want_direct_is_left_alone() {
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        ..PolicySpec::default()
    });

    let offered = find(&desk.say(CARRIER, &offer()), "b0 INVITE");

    assert_eq!(offered.body, offer().body);
    assert!(desk.plans.is_empty());
}

/// What would move the media while it cannot be moved is refused: an offer before the answer, and a transfer of ours.
#[test]
fn what_the_relay_could_not_follow_is_refused() {
    let mut buyers = specs(1);
    buyers[0].refer = Refer::Terminate;
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![buyers],
        media: open(20_000, 20_099),
        ..PolicySpec::default()
    });
    let allow = "INVITE, PRACK, UPDATE";
    let invite = offer().with("Supported", "100rel").with("Allow", allow);
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let ringing = answered(&offered, 183, 0)
        .with("Require", "100rel")
        .with("RSeq", "1")
        .with("Allow", allow);
    let rung = find(&desk.say_from(buyer(0), &ringing), "carrier 183 INVITE");
    let rack = format!("{} 1 INVITE", rung.value("RSeq"));
    let more = sdp("ann", CALLER_MEDIA, "a=sendonly\r\n");
    let prack = caller_request("PRACK", 2, &invite, &rung).with("RAck", rack);
    let said = desk.say(CARRIER, &prack.with_sdp(&more));
    assert_eq!(ladder(&said), ["carrier 488 PRACK"]);
    let update = caller_request("UPDATE", 3, &invite, &rung).with_sdp(&more);
    assert_eq!(ladder(&desk.say(CARRIER, &update)), ["carrier 500 UPDATE"]);
    let said = desk.say_from(buyer(0), &answered(&offered, 200, 0));
    let ok = find(&said, "carrier 200 INVITE");
    desk.say(CARRIER, &caller_request("ACK", 1, &invite, &ok));

    let to = format!("<sip:{}@ip.example.com>", number(0));
    let refer = buyer_request("REFER", 1, &offered, "bob").with("Refer-To", to);

    assert_eq!(ladder(&desk.say_from(buyer(0), &refer)), ["b0 603 REFER"]);
}
