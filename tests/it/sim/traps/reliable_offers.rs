//! An INVITE without offer of a caller that takes reliable provisional responses (traps 6 and 7): the buyer's offer comes in one,
//! and the answer in a PRACK.

use strowger::call::output::Event;
use strowger::media::plan::Party;

use super::*;
use crate::sim::media::{buyer_media, ends_well, heard_at, last_plan, open, remote, sdp};
use crate::sim::policy::addr;

/// A call whose buyer has made its offer.
struct Late {
    desk: Desk,
    invite: Msg,
    offered: Msg,
    /// The 183 as the caller got it.
    ringing: Msg,
}

impl Late {
    fn new(mut desk: Desk, header: &str, offer: &str) -> Self {
        let invite = bare_invite(header);
        let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
        let said = desk.say_from(buyer(0), &reliably(&offered, 183, 5, "bob").with_sdp(offer));
        // No PRACK: it would have to bring the answer.
        assert_eq!(ladder(&said), ["carrier 183 INVITE"]);
        Self {
            ringing: said[0].message.clone(),
            desk,
            invite,
            offered,
        }
    }

    fn prack(&self, cseq: u32) -> Msg {
        let rack = format!("{} 1 INVITE", self.ringing.value("RSeq"));
        caller_request("PRACK", cseq, &self.invite, &self.ringing).with("RAck", rack)
    }

    /// The caller answers: our PRACK to the buyer.
    fn answers(&mut self, sdp: &str) -> Msg {
        let prack = self.prack(2).with_sdp(sdp);
        let said = self.desk.say(CARRIER, &prack);
        assert_eq!(ladder(&said), ["carrier 200 PRACK", "b0 PRACK"]);
        find(&said, "b0 PRACK")
    }

    /// The buyer picks up: our 200 to the caller.
    fn pick_up(&mut self) -> Msg {
        let said = self
            .desk
            .say_from(buyer(0), &answer(&self.offered, 200, "bob"));
        assert_eq!(ladder(&said), ["b0 ACK", "carrier 200 INVITE"]);
        assert_eq!(find(&said, "b0 ACK").body, "");
        find(&said, "carrier 200 INVITE")
    }

    fn hangs_up(&mut self, ok: &Msg, cseq: u32) {
        let ack = caller_request("ACK", 1, &self.invite, ok);
        assert_eq!(ladder(&self.desk.say(CARRIER, &ack)), NOTHING);
        let bye = caller_request("BYE", cseq, &self.invite, ok);
        let said = self.desk.say(CARRIER, &bye);
        self.desk
            .say_from(buyer(0), &find(&said, "b0 BYE").reply(200, "bob"));
    }
}

fn bare_invite(header: &str) -> Msg {
    let mut invite = invite().without("Content-Type").with(header, "100rel");
    invite.body.clear();
    invite
}

fn reliably(offered: &Msg, status: u16, rseq: u32, tag: &str) -> Msg {
    answer(offered, status, tag)
        .with("Require", "100rel")
        .with("RSeq", rseq.to_string())
}

#[test]
fn trap_07_the_offer_of_a_reliable_183_is_answered_by_prack() {
    for header in ["Supported", "Require"] {
        let mut late = Late::new(Desk::new(1), header, OFFER);
        assert_eq!(late.offered.value("Supported"), "100rel");
        assert_eq!(late.ringing.body, OFFER);
        assert!(late.ringing.all("Require").eq(["100rel"]));
        // What the buyer sends again, because it has no PRACK, is known; ours is sent again by us.
        let again = reliably(&late.offered, 183, 5, "bob").with_sdp(OFFER);
        assert_eq!(ladder(&late.desk.say_from(buyer(0), &again)), NOTHING);
        assert_eq!(
            timed(&late.desk.pass_millis(600)),
            ["500 carrier 183 INVITE"]
        );

        let prack = late.answers(ANSWER);

        assert_eq!(
            (prack.body.as_str(), prack.value("RAck")),
            (ANSWER, "5 1 INVITE")
        );
        assert_eq!(prack.value("Content-Type"), "application/sdp");
        assert_eq!(prack.value("CSeq"), "2 PRACK");
        late.desk.say_from(buyer(0), &prack.reply(200, "bob"));
        let ok = late.pick_up();
        assert_eq!((ok.body.as_str(), ok.first("Content-Type")), ("", None));
        late.hangs_up(&ok, 3);
        assert_eq!(late.desk.recorded(), "completed 200 by caller: answered");
        assert_eq!(late.desk.rest(), Gauges::default());
    }
}

/// Whoever wants all of them reliable hears nothing that brings no offer; then all of it.
#[test]
fn trap_07_ringing_before_the_offer_and_after_it() {
    for (header, before, after) in [
        ("Supported", &["carrier 180 INVITE"][..], false),
        ("Require", &[], true),
    ] {
        let mut desk = Desk::new(1);
        let invite = bare_invite(header);
        let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
        assert_eq!(
            ladder(&desk.say_from(buyer(0), &answer(&offered, 180, "bob"))),
            before
        );
        // A description that does not come reliably is no offer.
        let said = desk.say_from(buyer(0), &answer(&offered, 183, "bob").with_sdp(OFFER));
        assert!(
            said.iter().all(|one| one.message.body.is_empty()),
            "{said:?}"
        );
        let said = desk.say_from(buyer(0), &reliably(&offered, 183, 1, "bob").with_sdp(OFFER));
        let mut late = Late {
            ringing: find(&said, "carrier 183 INVITE"),
            desk,
            invite,
            offered,
        };
        late.answers(ANSWER);

        let said = late
            .desk
            .say_from(buyer(0), &answer(&late.offered, 180, "bob"));

        assert_eq!(ladder(&said), ["carrier 180 INVITE"]);
        assert_eq!(said[0].message.first("RSeq").is_some(), after);
    }
}

/// An answer cannot be taken back, so only the last buyer may have one before the call is its.
#[test]
fn trap_07_only_the_last_buyer_may_bring_its_offer_early() {
    let mut desk = Desk::new(2);
    let invite = bare_invite("Supported");
    let first = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    assert_eq!(first.first("Supported"), None);
    let said = desk.say_from(buyer(0), &answer(&first, 486, "bob"));
    let last = find(&said, "b1 INVITE");
    assert_eq!(last.value("Supported"), "100rel");

    let said = desk.say_from(buyer(1), &reliably(&last, 183, 9, "bob").with_sdp(OFFER));
    assert_eq!(ladder(&said), ["carrier 183 INVITE"]);
    let said = desk.say_from(buyer(1), &answer(&last, 480, "bob"));

    assert_eq!(ladder(&said), ["b1 ACK", "carrier 603 INVITE"]);
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn trap_07_a_buyer_that_gets_no_100rel_is_not_offered_it_without_an_offer_either() {
    let mut buyers = specs(1);
    buyers[0].offers_reliable = false;
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![buyers],
        ..PolicySpec::default()
    });

    let offered = find(&desk.say(CARRIER, &bare_invite("Supported")), "b0 INVITE");

    assert_eq!(offered.first("Supported"), None);
    let ok = answer(&offered, 200, "bob").with_sdp(OFFER);
    let said = desk.say_from(buyer(0), &ok);
    assert_eq!(find(&said, "carrier 200 INVITE").body, OFFER);
}

/// A 200 with the offer, as before: the ACK brings the answer.
#[test]
fn trap_06_an_offer_that_comes_with_the_200_is_answered_by_the_ack() {
    let mut desk = Desk::new(1);
    let invite = bare_invite("Supported");
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let said = desk.say_from(buyer(0), &answer(&offered, 200, "bob").with_sdp(OFFER));
    assert_eq!(ladder(&said), ["carrier 200 INVITE"]);
    let ok = find(&said, "carrier 200 INVITE");

    let said = desk.say(
        CARRIER,
        &caller_request("ACK", 1, &invite, &ok).with_sdp(ANSWER),
    );

    assert_eq!(ladder(&said), ["b0 ACK"]);
    assert_eq!(said[0].message.body, ANSWER);
}

/// A PRACK without the answer leaves the buyer without one for ever.
#[test]
fn trap_07_a_prack_without_an_answer_ends_the_call() {
    let mut late = Late::new(Desk::new(1), "Supported", OFFER);

    let prack = late.prack(2);
    let said = late.desk.say(CARRIER, &prack);

    assert_eq!(
        ladder(&said),
        ["carrier 200 PRACK", "b0 CANCEL", "carrier 503 INVITE"]
    );
    late.desk
        .say_from(buyer(0), &answer(&late.offered, 487, "bob"));
    assert_eq!(
        late.desk.recorded(),
        "media_failed 503 by caller: cancelled"
    );
    assert_eq!(late.desk.rest(), Gauges::default());
}

#[test]
fn trap_07_an_offer_that_nobody_acknowledges_is_given_up() {
    let mut buyers = specs(1);
    buyers[0].ring = Duration::from_secs(60);
    let desk = Desk::with(&PolicySpec {
        lines: vec![buyers],
        ..PolicySpec::default()
    });
    let mut late = Late::new(desk, "Require", OFFER);

    let said = late.desk.pass(Duration::from_secs(32));

    let (_, last) = said.split_at(said.len() - 2);
    assert_eq!(timed(last), ["32000 b0 CANCEL", "32000 carrier 504 INVITE"]);
    late.desk
        .say_from(buyer(0), &answer(&late.offered, 487, "bob"));
    assert_eq!(late.desk.rest(), Gauges::default());
}

#[test]
fn trap_07_who_hangs_up_before_the_answer_is_heard() {
    let mut late = Late::new(Desk::new(1), "Supported", OFFER);

    let said = late.desk.say(CARRIER, &cancel(&late.invite));

    assert_eq!(
        ladder(&said),
        ["carrier 200 CANCEL", "b0 CANCEL", "carrier 487 INVITE"]
    );
    late.desk
        .say_from(buyer(0), &answer(&late.offered, 487, "bob"));
    assert_eq!(late.desk.rest(), Gauges::default());
}

/// Trap 5: the offer of another fork is not heard, and its 200 cannot be told.
#[test]
fn trap_05_the_first_fork_that_offers_has_the_answer() {
    let mut late = Late::new(Desk::new(1), "Supported", OFFER);
    let fork = reliably(&late.offered, 183, 70, "eve").with_sdp(OFFER);
    assert_eq!(ladder(&late.desk.say_from(buyer(0), &fork)), NOTHING);
    let prack = late.answers(ANSWER);
    assert_eq!(prack.tag_in_to(), Some("bob"));
    assert_eq!(ladder(&late.desk.say_from(buyer(0), &fork)), NOTHING);

    let ok = answer(&late.offered, 200, "eve").with_sdp(OFFER);
    let said = late.desk.say_from(buyer(0), &ok);

    assert_eq!(ladder(&said), ["b0 ACK", "b0 BYE", "carrier 603 INVITE"]);
    assert!(
        said[..2]
            .iter()
            .all(|one| one.message.tag_in_to() == Some("eve"))
    );
    late.desk
        .say_from(buyer(0), &said[1].message.reply(200, "eve"));
    assert_eq!(late.desk.rest(), Gauges::default());
}

/// A challenge to our PRACK is met, with the answer in it.
#[test]
fn trap_10_a_challenge_to_the_prack_that_answers_is_met_with_the_answer() {
    let mut late = Late::new(with_login(), "Supported", OFFER);
    let prack = late.answers(ANSWER);

    let said = late
        .desk
        .say_from(buyer(0), &challenge(&prack, BUYER_REALM, &["MD5"]));

    assert_eq!(ladder(&said), ["b0 PRACK"]);
    assert_eq!(said[0].message.body, ANSWER);
    let given = said[0].message.value("Authorization");
    assert!(digest::is_right(given, PASSWORD, "PRACK"), "{given}");
}

/// After the exchange the call is bound: a challenge of the INVITE would have it begin anew.
#[test]
fn trap_10_a_challenge_after_the_answer_ends_the_attempt() {
    let mut late = Late::new(with_login(), "Supported", OFFER);
    late.answers(ANSWER);

    let refused = challenge(&late.offered, BUYER_REALM, &["MD5"]);
    let said = late.desk.say_from(buyer(0), &refused);

    assert_eq!(ladder(&said), ["b0 ACK", "carrier 603 INVITE"]);
    assert_eq!(late.desk.rest(), Gauges::default());
}

/// What follows may be changed by UPDATE, as after any first exchange.
#[test]
fn trap_07_an_update_may_follow_the_answer() {
    let mut desk = Desk::new(1);
    let invite = bare_invite("Supported").with("Allow", "INVITE, ACK, BYE, PRACK, UPDATE");
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let offer = reliably(&offered, 183, 5, "bob").with("Allow", "INVITE, UPDATE");
    let said = desk.say_from(buyer(0), &offer.with_sdp(OFFER));
    let mut late = Late {
        ringing: find(&said, "carrier 183 INVITE"),
        desk,
        invite,
        offered,
    };
    late.answers(ANSWER);

    let update = buyer_request("UPDATE", 7, &late.offered, "bob").with_sdp(OFFER);
    let said = late.desk.say_from(buyer(0), &update);

    assert_eq!(ladder(&said), ["carrier UPDATE"]);
    let agreed = said[0].message.reply(200, "").with_sdp(ANSWER);
    assert_eq!(ladder(&late.desk.say(CARRIER, &agreed)), ["b0 200 UPDATE"]);
    let ok = late.pick_up();
    assert_eq!(ok.body, "");
}

/// Through our relay each side is told of us, and early media flows both ways.
#[test]
fn trap_07_the_relay_knows_both_sides_after_the_prack() {
    let desk = Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        media: open(20_000, 20_099),
        ..PolicySpec::default()
    });
    let mut late = Late::new(desk, "Supported", &sdp("bob", &buyer_media(0), ""));
    assert_eq!(
        heard_at(&late.ringing.body).ip(),
        addr("203.0.113.5:1").ip()
    );

    let caller = "192.0.2.10:30000";
    let prack = late.answers(&sdp("ann", caller, ""));

    assert_eq!(heard_at(&prack.body).ip(), addr("203.0.113.5:1").ip());
    let plan = last_plan(&late.desk);
    assert_eq!(remote(plan, Party::Caller), Some(addr(caller)));
    assert_eq!(remote(plan, Party::Buyer), Some(addr(&buyer_media(0))));
    // A buyer that says its offer again in the 200 changes nothing.
    let again = answer(&late.offered, 200, "bob").with_sdp(&sdp("bob", &buyer_media(0), ""));
    let said = late.desk.say_from(buyer(0), &again);
    assert_eq!(ladder(&said), ["b0 ACK", "carrier 200 INVITE"]);
    let ok = find(&said, "carrier 200 INVITE");
    assert_eq!(ok.body, "");
    assert!(last_plan(&late.desk).patience.is_answered);
    late.hangs_up(&ok, 3);
    ends_well(&mut late.desk);
}

/// What the relay cannot make an offer of goes to nobody.
#[test]
fn trap_07_an_offer_or_answer_that_cannot_be_told_ends_the_attempt() {
    let relayed = || {
        Desk::with(&PolicySpec {
            lines: vec![specs(1)],
            media: open(20_000, 20_099),
            ..PolicySpec::default()
        })
    };
    let mut desk = relayed();
    let offered = find(&desk.say(CARRIER, &bare_invite("Supported")), "b0 INVITE");
    let unfit = reliably(&offered, 183, 5, "bob").with_sdp("v=1\r\n");
    let said = desk.say_from(buyer(0), &unfit);
    assert_eq!(ladder(&said), ["b0 CANCEL", "carrier 603 INVITE"]);
    desk.say_from(buyer(0), &answer(&offered, 487, "bob"));
    ends_well(&mut desk);

    let mut late = Late::new(relayed(), "Supported", &sdp("bob", &buyer_media(0), ""));
    let prack = late.prack(2).with_sdp("v=1\r\n");
    let said = late.desk.say(CARRIER, &prack);
    assert_eq!(
        ladder(&said),
        ["carrier 200 PRACK", "b0 CANCEL", "carrier 503 INVITE"]
    );
    let is_told = |event: &Event| matches!(event, Event::MediaUnfit { .. });
    assert!(late.desk.events.iter().any(is_told));
    late.desk
        .say_from(buyer(0), &answer(&late.offered, 487, "bob"));
    ends_well(&mut late.desk);
}
