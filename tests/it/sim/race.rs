//! Several buyers who are called at once: whoever answers first has the call, and nothing is left of the others.

use std::num::NonZeroU8;
use std::time::Duration;

use strowger::call::input::{Input, Which};
use strowger::call::output::{Event, Gauges};
use strowger::call::places::Verdict;
use strowger::call::record::Attempt;
use strowger::routing::caps::{Caps, Party};
use strowger::routing::trunk::Refer;

use super::desk::{
    ANSWER, Desk, OFFER, Said, Talk, ack_of_failure, buyer, caller_request, cancel, find, invite,
    ladder, request, specs,
};
use super::digest;
use super::limits::give;
use super::media;
use super::policy::{BUYER_REALM, BuyerSpec, CARRIER, PASSWORD, PolicySpec, number};
use super::text::Msg;
use super::traps::challenge;

const NOTHING: [&str; 0] = [];

/// So many buyers, who are called at once.
fn site(buyers: usize) -> PolicySpec {
    PolicySpec {
        lines: vec![specs(buyers)],
        together: vec![0],
        ..PolicySpec::default()
    }
}

/// A call under way.
struct Race {
    desk: Desk,
    invite: Msg,
    /// What each buyer was offered.
    offered: Vec<Msg>,
}

impl Race {
    fn new(spec: &PolicySpec) -> Self {
        Self::of(spec, invite())
    }

    fn of(spec: &PolicySpec, invite: Msg) -> Self {
        let mut desk = Desk::with(spec);
        let said = desk.say(CARRIER, &invite);
        let offered = said.into_iter().map(|one| one.message).skip(1).collect();
        Self {
            desk,
            invite,
            offered,
        }
    }

    /// What buyer `place` says to its INVITE.
    fn says(&mut self, place: usize, status: u16) -> Vec<Said> {
        let answer = answer(&self.offered[place], status, place);
        let answer = match status {
            200 => answer.with_sdp(ANSWER),
            _ => answer,
        };
        self.desk.say_from(buyer(place), &answer)
    }

    /// Its 487 to our CANCEL, and the 200 of that.
    fn obeys(&mut self, place: usize, cancelled: &Msg) {
        let said = self
            .desk
            .say_from(buyer(place), &cancelled.reply(200, &tag(place)));
        assert_eq!(ladder(&said), NOTHING);
        let said = self.says(place, 487);
        assert_eq!(ladder(&said), [format!("b{place} ACK")]);
    }

    /// The caller acknowledges, and hangs up; `place` has won.
    fn ends(&mut self, place: usize, ok: &Msg) {
        let ack = caller_request("ACK", 1, &self.invite, ok);
        assert_eq!(ladder(&self.desk.say(CARRIER, &ack)), NOTHING);
        let bye = caller_request("BYE", 9, &self.invite, ok);
        let said = self.desk.say(CARRIER, &bye);
        assert_eq!(
            ladder(&said),
            ["carrier 200 BYE".to_owned(), format!("b{place} BYE")]
        );
        let ours = find(&said, &format!("b{place} BYE"));
        self.desk
            .say_from(buyer(place), &ours.reply(200, &tag(place)));
    }

    fn rest(&mut self) {
        let mut gauges = self.desk.rest();
        gauges.media_ports.free = 0;
        gauges.media_ports.resting = 0;
        assert_eq!(gauges, Gauges::default(), "nothing is left");
    }
}

/// An answer of buyer `place`, with its Contact.
fn answer(offered: &Msg, status: u16, place: usize) -> Msg {
    let reply = offered.reply(status, &tag(place));
    match status {
        101..300 => reply.with("Contact", format!("<sip:bob@{}>", buyer(place))),
        _ => reply,
    }
}

/// Who was called at the same time has the same number; 0: nobody.
fn number_of(attempt: &Attempt) -> u8 {
    attempt.together.map_or(0, NonZeroU8::get)
}

fn tag(place: usize) -> String {
    format!("bob{place}")
}

// --- the first 2xx

#[test]
fn whoever_answers_first_has_the_call_and_the_others_are_taken_back() {
    let mut desk = Desk::with(&site(3));
    let invite = invite();
    let said = desk.say(CARRIER, &invite);
    assert_eq!(
        ladder(&said),
        ["carrier 100 INVITE", "b0 INVITE", "b1 INVITE", "b2 INVITE"]
    );
    let offered: Vec<_> = said.into_iter().map(|one| one.message).skip(1).collect();
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        assert_ne!(offered[one].call_id(), offered[other].call_id());
        assert_ne!(offered[one].tag_in_from(), offered[other].tag_in_from());
    }
    let mut race = Race {
        desk,
        invite,
        offered,
    };
    assert_eq!(ladder(&race.says(0, 180)), ["carrier 180 INVITE"]);
    assert_eq!(ladder(&race.says(1, 180)), NOTHING, "it rings already");

    let said = race.says(1, 200);

    assert_eq!(
        ladder(&said),
        ["b0 CANCEL", "b1 ACK", "carrier 200 INVITE"],
        "the third has not said anything yet (RFC 3261 §9.1)"
    );
    let cancelled = find(&said, "b0 CANCEL");
    let elsewhere = "SIP;cause=200;text=\"Call completed elsewhere\"";
    assert_eq!(cancelled.value("Reason"), elsewhere);
    let ok = find(&said, "carrier 200 INVITE");
    assert_eq!(ok.body, ANSWER);
    race.obeys(0, &cancelled);
    let said = race.says(2, 180);
    let cancelled = find(&said, "b2 CANCEL");
    assert_eq!(cancelled.value("Reason"), elsewhere);
    race.obeys(2, &cancelled);
    race.ends(1, &ok);
    race.rest();
    assert_eq!(
        race.desk.recorded(),
        "completed 200 by caller: lost_race, answered, lost_race"
    );
    let attempts = &race.desk.records[0].attempts;
    assert!(attempts.iter().all(|one| number_of(one) == 1));
}

#[test]
fn two_answer_in_the_same_instant_and_the_second_is_acknowledged_and_ended() {
    let mut race = Race::new(&site(2));
    let said = race.says(1, 200);
    let ok = find(&said, "carrier 200 INVITE");

    let said = race.says(0, 200);

    assert_eq!(ladder(&said), ["b0 ACK", "b0 BYE"]);
    let bye = find(&said, "b0 BYE");
    assert_eq!(bye.tag_in_to(), Some("bob0"));
    race.desk.say_from(buyer(0), &bye.reply(200, "bob0"));
    // And again, should the ACK have been lost.
    assert_eq!(ladder(&race.says(0, 200)), ["b0 ACK"]);
    race.ends(1, &ok);
    race.rest();
    assert_eq!(
        race.desk.recorded(),
        "completed 200 by caller: lost_race, answered"
    );
}

#[test]
fn a_loser_answers_after_our_cancel_and_its_bye_is_challenged() {
    let mut spec = site(2);
    spec.lines[0][0].has_login = true;
    let mut race = Race::new(&spec);
    race.says(0, 180);
    let said = race.says(1, 200);
    assert_eq!(ladder(&said)[0], "b0 CANCEL");
    let ok = find(&said, "carrier 200 INVITE");

    let said = race.says(0, 200);

    assert_eq!(ladder(&said), ["b0 ACK", "b0 BYE"]);
    let bye = find(&said, "b0 BYE");
    let said = race
        .desk
        .say_from(buyer(0), &challenge(&bye, BUYER_REALM, &["MD5"]));
    let again = find(&said, "b0 BYE");
    assert!(digest::is_right(
        again.value("Authorization"),
        PASSWORD,
        "BYE"
    ));
    race.desk.say_from(buyer(0), &again.reply(200, "bob0"));
    race.ends(1, &ok);
    race.rest();
}

#[test]
fn the_caller_hangs_up_while_three_ring() {
    let mut race = Race::new(&site(3));
    for place in 0..3 {
        race.says(place, 180);
    }
    let gone = cancel(&race.invite).with("Reason", "SIP;cause=487;text=\"gone\"");

    let said = race.desk.say(CARRIER, &gone);

    assert_eq!(
        ladder(&said),
        [
            "carrier 200 CANCEL",
            "b0 CANCEL",
            "b1 CANCEL",
            "b2 CANCEL",
            "carrier 487 INVITE"
        ]
    );
    let refused = find(&said, "carrier 487 INVITE");
    race.desk
        .say(CARRIER, &ack_of_failure(&race.invite, &refused));
    for place in 0..3 {
        let cancelled = find(&said, &format!("b{place} CANCEL"));
        assert_eq!(cancelled.value("Reason"), "SIP;cause=487;text=\"gone\"");
        race.obeys(place, &cancelled);
    }
    race.rest();
    assert_eq!(
        race.desk.recorded(),
        "caller_hung_up 487 by caller: cancelled, cancelled, cancelled"
    );
}

#[test]
fn the_operator_ends_the_call_while_two_ring() {
    let mut race = Race::new(&site(2));
    race.says(0, 180);

    let said = race.desk.tell(Input::Hangup(Which::All));

    assert_eq!(ladder(&said), ["b0 CANCEL", "carrier 503 INVITE"]);
    let refused = find(&said, "carrier 503 INVITE");
    race.desk
        .say(CARRIER, &ack_of_failure(&race.invite, &refused));
    race.rest();
    assert_eq!(
        race.desk.recorded(),
        "stopped 503 by edge: cancelled, cancelled"
    );
}

// --- each is on its own

#[test]
fn one_challenges_and_wins_with_its_own_credentials() {
    let mut spec = site(3);
    spec.lines[0][1].has_login = true;
    let mut race = Race::new(&spec);
    race.says(0, 180);

    let asked = challenge(&race.offered[1], BUYER_REALM, &["SHA-256"]);
    let said = race.desk.say_from(buyer(1), &asked);

    assert_eq!(ladder(&said), ["b1 ACK", "b1 INVITE"]);
    let repeat = find(&said, "b1 INVITE");
    let credentials = repeat.value("Authorization");
    assert!(digest::is_right(credentials, PASSWORD, "INVITE"));
    assert_eq!(repeat.call_id(), race.offered[1].call_id());
    race.offered[1] = repeat;
    let said = race.says(1, 200);
    assert_eq!(ladder(&said), ["b0 CANCEL", "b1 ACK", "carrier 200 INVITE"]);
    let ok = find(&said, "carrier 200 INVITE");
    race.ends(1, &ok);
    race.obeys(0, &find(&said, "b0 CANCEL"));
    race.rest();
}

#[test]
fn one_is_busy_and_the_others_ring_on() {
    let mut race = Race::new(&site(3));
    assert_eq!(ladder(&race.says(0, 486)), ["b0 ACK"]);
    assert_eq!(ladder(&race.says(2, 180)), ["carrier 180 INVITE"]);

    let said = race.says(2, 200);

    let ok = find(&said, "carrier 200 INVITE");
    assert_eq!(ladder(&said), ["b2 ACK", "carrier 200 INVITE"]);
    race.ends(2, &ok);
    assert_eq!(
        race.desk.recorded(),
        "completed 200 by caller: busy, lost_race, answered"
    );
    race.rest();
}

#[test]
fn all_fail_and_those_of_the_next_priority_have_their_turn() {
    let mut spec = site(4);
    for late in [2, 3] {
        spec.lines[0][late].priority = 2;
    }
    let mut race = Race::new(&spec);
    assert_eq!(race.offered.len(), 2);
    assert_eq!(ladder(&race.says(0, 486)), ["b0 ACK"]);

    let said = race.says(1, 603);

    assert_eq!(ladder(&said), ["b1 ACK", "b2 INVITE", "b3 INVITE"]);
    race.offered.push(find(&said, "b2 INVITE"));
    race.offered.push(find(&said, "b3 INVITE"));
    race.says(3, 480);
    let said = race.says(2, 486);
    assert_eq!(ladder(&said), ["b2 ACK", "carrier 603 INVITE"]);
    let refused = find(&said, "carrier 603 INVITE");
    assert_eq!(refused.value("Reason"), "SIP;cause=603;text=\"no_answer\"");
    race.desk
        .say(CARRIER, &ack_of_failure(&race.invite, &refused));
    race.rest();
    assert_eq!(
        race.desk.recorded(),
        "no_answer 603 by edge: busy, declined, busy, no_answer"
    );
    let together = race.desk.records[0].attempts.iter();
    let together: Vec<_> = together.map(number_of).collect();
    assert_eq!(together, [1, 1, 2, 2]);
}

#[test]
fn all_are_busy_and_so_hears_the_caller() {
    let mut race = Race::new(&site(3));
    race.says(2, 486);
    race.says(0, 600);

    let said = race.says(1, 486);

    assert_eq!(ladder(&said), ["b1 ACK", "carrier 486 INVITE"]);
    assert_eq!(
        race.desk.recorded(),
        "all_busy 486 by edge: busy, busy, busy"
    );
}

#[test]
fn each_rings_for_its_own_time() {
    let mut spec = site(3);
    for (place, seconds) in [(0, 5), (1, 12), (2, 8)] {
        spec.lines[0][place].ring = Duration::from_secs(seconds);
    }
    let mut race = Race::new(&spec);
    for place in 0..3 {
        race.says(place, 180);
    }

    let mut at = Vec::new();
    for _ in 0..13 {
        let said = race.desk.pass(Duration::from_secs(1));
        for one in &said {
            at.push(format!(
                "{} {}",
                one.at,
                ladder(std::slice::from_ref(one))[0]
            ));
        }
        for place in 0..3 {
            if ladder(&said).contains(&format!("b{place} CANCEL")) {
                race.obeys(place, &find(&said, &format!("b{place} CANCEL")));
            }
        }
    }

    assert_eq!(
        at,
        [
            "5000 b0 CANCEL",
            "8000 b2 CANCEL",
            "12000 b1 CANCEL",
            "12000 carrier 603 INVITE",
            "12500 carrier 603 INVITE"
        ]
    );
    assert_eq!(
        race.desk.recorded(),
        "no_answer 603 by edge: no_answer, no_answer, no_answer"
    );
}

#[test]
fn one_that_says_nothing_is_left_alone_and_another_gateway_of_its_is_tried() {
    let mut spec = site(2);
    spec.lines[0][0].others = vec![buyer(5)];
    let mut race = Race::new(&spec);
    race.says(1, 180);

    let said = race.desk.pass(Duration::from_secs(4));

    let lines = ladder(&said);
    assert_eq!(
        lines.last().map(String::as_str),
        Some("b5 INVITE"),
        "{lines:?}"
    );
    let second = find(&said, "b5 INVITE");
    assert_ne!(second.call_id(), race.offered[0].call_id());
    let said = race
        .desk
        .say_from(buyer(5), &answer(&second, 200, 5).with_sdp(ANSWER));
    assert_eq!(ladder(&said), ["b1 CANCEL", "b5 ACK", "carrier 200 INVITE"]);
    let ok = find(&said, "carrier 200 INVITE");
    race.obeys(1, &find(&said, "b1 CANCEL"));
    let bye = caller_request("BYE", 2, &race.invite, &ok);
    race.desk
        .say(CARRIER, &caller_request("ACK", 1, &race.invite, &ok));
    let said = race.desk.say(CARRIER, &bye);
    race.desk
        .say_from(buyer(5), &find(&said, "b5 BYE").reply(200, "bob5"));
    race.rest();
    assert_eq!(
        race.desk.recorded(),
        "completed 200 by caller: unreachable, lost_race, answered"
    );
}

// --- places

#[test]
fn a_place_is_refused_to_one_and_the_others_ring() {
    let mut spec = site(3);
    let one_call = Caps {
        max_calls: Some(1),
        max_cps: None,
    };
    for buyer in &mut spec.lines[0] {
        buyer.caps = one_call;
    }
    spec.lines.push(vec![spec.lines[0][1].clone()]);
    let mut desk = Desk::with(&spec);
    // Somebody else has the second one's only place.
    let other = invite()
        .set("Call-ID", "other@carrier.example.net".to_owned())
        .set("Via", format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK-other"));
    let line = other.line.replace("0100@", "0101@");
    let other = Msg { line, ..other };
    assert_eq!(ladder(&desk.say(CARRIER, &other))[1], "b1 INVITE");

    let said = desk.say(CARRIER, &invite());

    assert_eq!(
        ladder(&said),
        ["carrier 100 INVITE", "b0 INVITE", "b2 INVITE"]
    );
    let taken = |desk: &Desk, name: &str| {
        let taken = desk.ledger.taken();
        taken.get(&Party::Buyer(name.into())).copied().unwrap_or(0)
    };
    assert_eq!(
        [0, 1, 2].map(|n| taken(&desk, &format!("c0b{n}"))),
        [1, 1, 1]
    );
    let third = find(&said, "b2 INVITE");
    let said = desk.say_from(buyer(2), &answer(&third, 200, 2).with_sdp(ANSWER));
    find(&said, "carrier 200 INVITE");
    // The winner's place is kept, and the loser's is free at once.
    assert_eq!(
        [0, 1, 2].map(|n| taken(&desk, &format!("c0b{n}"))),
        [0, 1, 1]
    );
    desk.tell(Input::Hangup(Which::All));
    assert!(desk.ledger.taken().is_empty());
}

#[test]
fn nobody_has_a_place_and_that_is_why() {
    let mut spec = site(2);
    for buyer in &mut spec.lines[0] {
        buyer.caps = Caps {
            max_calls: Some(0),
            max_cps: None,
        };
    }
    let mut desk = Desk::with(&spec);

    let said = desk.say(CARRIER, &invite());

    assert_eq!(ladder(&said), ["carrier 100 INVITE", "carrier 486 INVITE"]);
    assert_eq!(desk.recorded(), "all_capped 486 by edge: ");
}

#[test]
fn a_place_that_is_granted_after_another_has_answered_goes_back() {
    let mut spec = site(2);
    spec.lines[0][0].caps.max_calls = Some(1);
    let mut desk = Desk::with(&spec);
    desk.questions = Some(Vec::new());
    let said = desk.say(CARRIER, &invite());
    assert_eq!(ladder(&said), ["carrier 100 INVITE", "b1 INVITE"]);
    let offered = find(&said, "b1 INVITE");
    let said = desk.say_from(buyer(1), &answer(&offered, 200, 1).with_sdp(ANSWER));
    assert_eq!(ladder(&said), ["b1 ACK", "carrier 200 INVITE"]);

    let said = give(&mut desk, Verdict::Granted);

    assert_eq!(ladder(&said), NOTHING);
    assert!(desk.ledger.taken().is_empty(), "it went back");
}

#[test]
fn so_many_at_once_and_the_others_after_them() {
    let spec = PolicySpec {
        at_once: 2,
        ..site(3)
    };
    let mut race = Race::new(&spec);
    assert_eq!(race.offered.len(), 2);
    race.says(0, 486);

    let said = race.says(1, 486);

    assert_eq!(ladder(&said), ["b1 ACK", "b2 INVITE"]);
    race.offered.push(find(&said, "b2 INVITE"));
    race.says(2, 486);
    let together = race.desk.records[0].attempts.iter();
    let together: Vec<_> = together.map(number_of).collect();
    assert_eq!(together, [1, 1, 0]);
}

// --- before the answer

fn reliably(offered: &Msg, status: u16, place: usize, rseq: u32) -> Msg {
    answer(offered, status, place)
        .with("Require", "100rel")
        .with("RSeq", rseq.to_string())
}

#[test]
fn two_ring_reliably_and_each_gets_its_own_prack() {
    let invite = invite().with("Require", "100rel");
    let mut race = Race::of(&site(2), invite);

    let ringing = reliably(&race.offered[0], 180, 0, 7);
    let said = race.desk.say_from(buyer(0), &ringing);
    assert_eq!(ladder(&said), ["b0 PRACK", "carrier 180 INVITE"]);
    assert_eq!(find(&said, "b0 PRACK").value("RAck"), "7 1 INVITE");
    let heard = find(&said, "carrier 180 INVITE");
    let ringing = reliably(&race.offered[1], 183, 1, 900).with_sdp(ANSWER);
    let said = race.desk.say_from(buyer(1), &ringing);
    assert_eq!(ladder(&said), ["b1 PRACK"]);
    assert_eq!(find(&said, "b1 PRACK").value("RAck"), "900 1 INVITE");

    // The caller has not acknowledged its 180 yet, so the answer waits (RFC 3262 §3), and so does the race's end.
    assert_eq!(ladder(&race.says(1, 200)), NOTHING);
    let said = race.says(0, 200);
    assert_eq!(ladder(&said), ["b0 ACK", "b0 BYE"]);
    race.desk
        .say_from(buyer(0), &find(&said, "b0 BYE").reply(200, "bob0"));
    let rack = format!("{} 1 INVITE", heard.value("RSeq"));
    let prack = caller_request("PRACK", 2, &race.invite, &heard).with("RAck", rack);
    let said = race.desk.say(CARRIER, &prack);
    assert_eq!(
        ladder(&said),
        ["carrier 200 PRACK", "b1 ACK", "carrier 200 INVITE"]
    );
    let ok = find(&said, "carrier 200 INVITE");
    race.ends(1, &ok);
    race.rest();
    assert_eq!(
        race.desk.recorded(),
        "completed 200 by caller: lost_race, answered"
    );
}

#[test]
fn an_answer_of_the_winner_that_came_reliably_before_is_the_callers() {
    let mut race = Race::new(&site(2));
    let early = reliably(&race.offered[0], 183, 0, 1).with_sdp(ANSWER);
    let said = race.desk.say_from(buyer(0), &early);
    assert_eq!(ladder(&said), ["b0 PRACK", "carrier 180 INVITE"]);
    assert_eq!(find(&said, "carrier 180 INVITE").body, "");
    race.desk
        .say_from(buyer(0), &find(&said, "b0 PRACK").reply(200, "bob0"));

    let bare = answer(&race.offered[0], 200, 0);
    let said = race.desk.say_from(buyer(0), &bare);

    assert_eq!(find(&said, "carrier 200 INVITE").body, ANSWER);
}

#[test]
fn of_early_media_from_two_the_caller_hears_ringing_and_of_the_last_one_all() {
    let spec = PolicySpec {
        media: media::open(20_000, 20_099),
        ..site(2)
    };
    let mut race = Race::new(&spec);
    let offers: Vec<_> = race.offered.iter().map(|one| one.body.clone()).collect();
    assert_ne!(offers[0], offers[1], "each has ports of its own");
    assert!(race.desk.plans.is_empty(), "nobody is heard yet");
    let early = |offered: &Msg, place: usize| {
        let sdp = media::sdp("bob", &media::buyer_media(place), "");
        answer(offered, 183, place).with_sdp(&sdp)
    };

    for place in 0..2 {
        let said = race
            .desk
            .say_from(buyer(place), &early(&race.offered[place], place));
        let expected: &[&str] = if place == 0 {
            &["carrier 180 INVITE"]
        } else {
            &[]
        };
        assert_eq!(ladder(&said), expected);
        assert!(said.iter().all(|one| one.message.body.is_empty()));
    }
    race.says(0, 486);
    let said = race.desk.say_from(buyer(1), &early(&race.offered[1], 1));
    assert_eq!(ladder(&said), ["carrier 183 INVITE"]);
    let told = find(&said, "carrier 183 INVITE").body;
    assert!(told.contains("203.0.113.5"), "{told}");

    let sdp = media::sdp("bob", &media::buyer_media(1), "");
    let ok = answer(&race.offered[1], 200, 1).with_sdp(&sdp);
    let said = race.desk.say_from(buyer(1), &ok);
    let ok = find(&said, "carrier 200 INVITE");
    assert_eq!(ok.body, told, "what the caller was told stays");
    race.ends(1, &ok);
    race.rest();
}

#[test]
fn the_winners_media_is_relayed_and_the_ports_of_the_others_go_back() {
    let spec = PolicySpec {
        media: media::open(20_000, 20_099),
        ..site(3)
    };
    let mut race = Race::new(&spec);
    let sdp = media::sdp("bob", &media::buyer_media(2), "");
    let ok = answer(&race.offered[2], 200, 2).with_sdp(&sdp);

    let said = race.desk.say_from(buyer(2), &ok);

    let ok = find(&said, "carrier 200 INVITE");
    assert!(ok.body.contains("203.0.113.5"), "{}", ok.body);
    let in_use = race.desk.gauges().media_ports.in_use;
    assert_eq!(in_use, 2, "one pair for each side of the call");
    race.ends(2, &ok);
    race.rest();
}

#[test]
fn a_late_offer_of_one_of_several_is_answered_by_the_callers_ack() {
    let bare = request("INVITE", &format!("sip:{}@ip.example.com", number(0)));
    let invite = bare.with("Contact", format!("<sip:ann@{CARRIER}>"));
    let mut race = Race::of(&site(2), invite);

    let said = race.says(0, 200);

    assert_eq!(ladder(&said), ["carrier 200 INVITE"], "the ACK waits");
    let ok = find(&said, "carrier 200 INVITE");
    let ack = caller_request("ACK", 1, &race.invite, &ok).with_sdp(OFFER);
    let said = race.desk.say(CARRIER, &ack);
    assert_eq!(find(&said, "b0 ACK").body, OFFER);
    assert_eq!(ladder(&race.says(1, 200)), ["b1 ACK", "b1 BYE"]);
}

#[test]
fn an_update_of_one_of_several_is_to_come_again_later() {
    let mut race = Race::new(&site(2));
    let ringing = reliably(&race.offered[0], 183, 0, 3).with_sdp(ANSWER);
    race.desk.say_from(buyer(0), &ringing);
    let offered = &race.offered[0];
    let update = super::desk::buyer_request("UPDATE", 1, offered, "bob0").with_sdp(OFFER);

    let said = race.desk.say_from(buyer(0), &update);

    let refused = find(&said, "b0 500 UPDATE");
    assert!(refused.first("Retry-After").is_some());
}

#[test]
fn only_the_winner_is_told_of_as_the_one_who_answered() {
    let mut race = Race::new(&site(3));
    race.says(0, 180);
    race.says(1, 200);

    let mut answered = Vec::new();
    for event in &race.desk.events {
        if let Event::Answered { buyer, .. } = event {
            answered.push(buyer.id.to_string());
        }
    }
    assert_eq!(answered, ["c0b1"]);
}

#[test]
fn a_transfer_to_several_is_joined_to_whoever_answers_first() {
    let mut spec = site(1);
    spec.lines[0][0].refer = Refer::Terminate;
    let others = [1, 2].map(|place| BuyerSpec {
        caps: Caps {
            max_calls: Some(1),
            max_cps: None,
        },
        ..BuyerSpec::new(&format!("c1b{place}"), buyer(place))
    });
    spec.lines.push(others.to_vec());
    spec.together = vec![1];
    let mut talk = Talk::unacknowledged(Desk::with(&spec));
    let ack = talk.caller("ACK", 1);
    talk.caller_says(&ack);
    let to = format!("<sip:{}@ip.example.com>", number(1));
    let refer = talk.buyer("REFER", 1).with("Refer-To", to);
    let said = talk.buyer_says(&refer);
    assert_eq!(
        ladder(&said),
        ["b0 202 REFER", "b0 NOTIFY", "b1 INVITE", "b2 INVITE"]
    );
    let offered = [1, 2].map(|place| find(&said, &format!("b{place} INVITE")));
    let desk = &mut talk.desk;
    desk.say_from(buyer(1), &answer(&offered[0], 180, 1));

    let said = desk.say_from(buyer(2), &answer(&offered[1], 200, 2).with_sdp(OFFER));

    assert_eq!(ladder(&said), ["b1 CANCEL", "carrier INVITE"]);
    let offer = find(&said, "carrier INVITE");
    let ok = offer
        .reply(200, "ann")
        .with("Contact", format!("<sip:ann@{CARRIER}>"))
        .with_sdp(ANSWER);
    let said = desk.say(CARRIER, &ok);
    assert_eq!(find(&said, "b2 ACK").body, ANSWER);
    find(&said, "b0 BYE");
    let taken = desk.ledger.taken();
    let of = |name: &str| taken.get(&Party::Buyer(name.into())).copied();
    assert_eq!((of("c1b1"), of("c1b2")), (None, Some(1)));
}
