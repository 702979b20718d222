//! Offers before the call is answered (trap 7): in PRACK, and in UPDATE of either side.

use super::*;

const MORE: &str = "v=0\r\no=ann 1 2 IN IP4 192.0.2.10\r\ns=-\r\n";
const YES: &str = "v=0\r\no=bob 1 2 IN IP4 198.51.100.10\r\ns=-\r\n";

/// A call whose first exchange is done: the caller has the answer of a reliable 183.
struct Early {
    desk: Desk,
    invite: Msg,
    offered: Msg,
    /// The 183 as the caller got it.
    ringing: Msg,
}

impl Early {
    /// The caller has acknowledged the 183.
    fn new(desk: Desk) -> Self {
        let mut early = Self::unacknowledged(desk, "INVITE, UPDATE");
        let said = early.caller_says(&early.prack(2));
        assert_eq!(ladder(&said), ["carrier 200 PRACK"]);
        early
    }

    /// The caller is yet to do so; `allow` is what the buyer takes.
    fn unacknowledged(mut desk: Desk, allow: &str) -> Self {
        let invite = able(invite()).with("Supported", "100rel");
        let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
        let answer = reliably(&offered, 183, 5).with("Allow", allow);
        let said = desk.say_from(buyer(0), &answer.with_sdp(ANSWER));
        let ringing = find(&said, "carrier 183 INVITE");
        let ours = find(&said, "b0 PRACK");
        desk.say_from(buyer(0), &ours.reply(200, "bob"));
        Self {
            desk,
            invite,
            offered,
            ringing,
        }
    }

    fn prack(&self, cseq: u32) -> Msg {
        let rack = format!("{} 1 INVITE", self.ringing.value("RSeq"));
        caller_request("PRACK", cseq, &self.invite, &self.ringing).with("RAck", rack)
    }

    fn caller(&self, method: &str, cseq: u32) -> Msg {
        caller_request(method, cseq, &self.invite, &self.ringing)
    }

    fn buyer(&self, method: &str, cseq: u32) -> Msg {
        buyer_request(method, cseq, &self.offered, "bob")
    }

    fn caller_says(&mut self, message: &Msg) -> Vec<Said> {
        self.desk.say(CARRIER, message)
    }

    fn buyer_says(&mut self, message: &Msg) -> Vec<Said> {
        self.desk.say_from(buyer(0), message)
    }

    /// The buyer's 200, without a description, and what is said to it.
    fn pick_up(&mut self) -> Vec<Said> {
        let ok = answer(&self.offered, 200, "bob");
        self.buyer_says(&ok)
    }

    /// The call is answered, and over: nothing is left of it.
    fn ends_well(mut self, ok: &Msg, cseq: u32) {
        let ack = caller_request("ACK", 1, &self.invite, ok);
        self.caller_says(&ack);
        let bye = caller_request("BYE", cseq, &self.invite, ok);
        let said = self.caller_says(&bye);
        assert_eq!(ladder(&said), ["carrier 200 BYE", "b0 BYE"]);
        let ours = find(&said, "b0 BYE");
        self.buyer_says(&ours.reply(200, "bob"));
        assert_eq!(self.desk.rest(), Gauges::default());
    }
}

/// Somebody who takes UPDATE.
fn able(message: Msg) -> Msg {
    message.with("Allow", "INVITE, ACK, BYE, PRACK, UPDATE")
}

fn reliably(offered: &Msg, status: u16, rseq: u32) -> Msg {
    answer(offered, status, "bob")
        .with("Require", "100rel")
        .with("RSeq", rseq.to_string())
}

#[test]
fn trap_07_an_offer_of_the_callers_passes_as_update_and_its_answer_comes_back() {
    let mut early = Early::new(Desk::new(1));
    let update = early.caller("UPDATE", 3).with_sdp(MORE);

    let said = early.caller_says(&update);

    assert_eq!(ladder(&said), ["b0 UPDATE"]);
    let asked = find(&said, "b0 UPDATE");
    assert_eq!(asked.body, MORE);
    // After our PRACK, in the same row.
    assert_eq!(asked.value("CSeq"), "3 UPDATE");
    assert_eq!(asked.tag_in_to(), Some("bob"));
    assert_eq!(asked.value("Max-Forwards"), "69");
    assert!(asked.contact().is_some());
    let said = early.buyer_says(&answer(&asked, 200, "bob").with_sdp(YES));
    assert_eq!(ladder(&said), ["carrier 200 UPDATE"]);
    assert_eq!(said[0].message.body, YES);
    // The 200 repeats neither answer: the first one does not hold, the second one is none to the INVITE.
    let said = early.pick_up();
    assert_eq!(ladder(&said), ["b0 ACK", "carrier 200 INVITE"]);
    let ok = find(&said, "carrier 200 INVITE");
    assert_eq!((ok.body.as_str(), ok.first("Content-Type")), ("", None));
    early.ends_well(&ok, 4);
}

#[test]
fn trap_07_an_offer_of_the_buyers_passes_as_update_and_its_answer_comes_back() {
    let mut early = Early::new(Desk::new(1));
    let update = early.buyer("UPDATE", 1).with_sdp(MORE);

    let said = early.buyer_says(&update);

    assert_eq!(ladder(&said), ["carrier UPDATE"]);
    let asked = find(&said, "carrier UPDATE");
    assert_eq!(
        (asked.body.as_str(), asked.value("CSeq")),
        (MORE, "1 UPDATE")
    );
    assert_eq!(asked.tag_in_from(), early.ringing.tag_in_to().unwrap());
    assert_eq!(asked.tag_in_to(), Some("ann"));
    let said = early.caller_says(&asked.reply(200, "ann").with_sdp(YES));
    assert_eq!(ladder(&said), ["b0 200 UPDATE"]);
    assert_eq!(said[0].message.body, YES);
    // The next one goes on in the row, and so does what follows the answer.
    let update = early.buyer("UPDATE", 2).with_sdp(MORE);
    let asked = find(&early.buyer_says(&update), "carrier UPDATE");
    assert_eq!(asked.value("CSeq"), "2 UPDATE");
    early.caller_says(&asked.reply(200, "ann").with_sdp(YES));
    let ok = find(&early.pick_up(), "carrier 200 INVITE");
    let ack = caller_request("ACK", 1, &early.invite, &ok);
    early.caller_says(&ack);
    let info = early.buyer("INFO", 3);
    let asked = find(&early.buyer_says(&info), "carrier INFO");
    assert_eq!(asked.value("CSeq"), "3 INFO");
    early.caller_says(&asked.reply(200, "ann"));
    early.ends_well(&ok, 4);
}

#[test]
fn trap_07_an_offer_in_prack_is_answered_in_its_200() {
    let mut early = Early::unacknowledged(Desk::new(1), "INVITE, UPDATE");
    let prack = early.prack(2).with_sdp(MORE);

    let said = early.caller_says(&prack);

    assert_eq!(ladder(&said), ["b0 UPDATE"]);
    let asked = find(&said, "b0 UPDATE");
    assert_eq!((asked.body.as_str(), asked.first("RAck")), (MORE, None));
    // It counts as acknowledged: the 183 does not come again.
    assert_eq!(ladder(&early.desk.pass_millis(400)), NOTHING);
    let said = early.buyer_says(&answer(&asked, 200, "bob").with_sdp(YES));
    assert_eq!(ladder(&said), ["carrier 200 PRACK"]);
    assert_eq!(said[0].message.body, YES);
    let again = early.caller_says(&prack);
    assert_eq!(ladder(&again), ["carrier 200 PRACK"]);
    assert_eq!(again[0].bytes, said[0].bytes);
    let ok = find(&early.pick_up(), "carrier 200 INVITE");
    early.ends_well(&ok, 3);
}

/// A buyer that knows no UPDATE cannot be asked, and PRACK is nothing that could come again later.
#[test]
fn trap_07_an_offer_that_cannot_pass_is_488_in_prack_and_500_in_update() {
    let mut early = Early::unacknowledged(Desk::new(1), "INVITE, ACK, BYE, PRACK");

    let said = early.caller_says(&early.prack(2).with_sdp(MORE));
    assert_eq!(ladder(&said), ["carrier 488 PRACK"]);
    assert_eq!(ladder(&early.desk.pass_millis(600)), NOTHING);
    let update = early.caller("UPDATE", 3).with_sdp(MORE);
    let said = early.caller_says(&update);

    assert_eq!(ladder(&said), ["carrier 500 UPDATE"]);
    assert!(said[0].message.first("Retry-After").is_some());
    // The first answer holds, and goes with the 200.
    let ok = find(&early.pick_up(), "carrier 200 INVITE");
    assert_eq!(ok.body, ANSWER);
    early.ends_well(&ok, 4);
}

/// RFC 3311 §5.2: who has an offer of its own under way gets 491, and who has one of its peer's 500.
#[test]
fn trap_07_offers_before_the_answer_do_not_cross() {
    let mut early = Early::new(Desk::new(1));
    let first = early.caller("UPDATE", 3).with_sdp(MORE);
    let asked = find(&early.caller_says(&first), "b0 UPDATE");

    let second = early.caller("UPDATE", 4).with_sdp(MORE);
    let said = early.caller_says(&second);
    assert_eq!(ladder(&said), ["carrier 500 UPDATE"]);
    assert!(said[0].message.first("Retry-After").is_some());
    let other = early.buyer("UPDATE", 1).with_sdp(YES);
    assert_eq!(ladder(&early.buyer_says(&other)), ["b0 491 UPDATE"]);

    // The buyer saw glare, too; then each may come again.
    let said = early.buyer_says(&asked.reply(491, "bob"));
    assert_eq!(ladder(&said), ["carrier 491 UPDATE"]);
    let other = early.buyer("UPDATE", 2).with_sdp(YES);
    let asked = find(&early.buyer_says(&other), "carrier UPDATE");
    let said = early.caller_says(&asked.reply(200, "ann").with_sdp(MORE));
    assert_eq!(ladder(&said), ["b0 200 UPDATE"]);
}

/// Neither side may offer before the INVITE's own offer is answered, reliably on both legs.
#[test]
fn trap_07_an_offer_before_the_first_answer_is_refused_and_the_next_buyer_sees_the_first_offer() {
    let mut desk = Desk::new(2);
    let invite = invite().with("Require", "100rel");
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let said = desk.say_from(buyer(0), &reliably(&offered, 183, 5).with_sdp(ANSWER));
    // The answer of a buyer that is not the last one stays here.
    let ringing = find(&said, "carrier 180 INVITE");
    assert_eq!(ringing.body, "");
    let rack = format!("{} 1 INVITE", ringing.value("RSeq"));
    let prack = caller_request("PRACK", 2, &invite, &ringing).with("RAck", rack);
    let said = desk.say(CARRIER, &prack.with_sdp(MORE));
    assert_eq!(ladder(&said), ["carrier 488 PRACK"]);

    let update = caller_request("UPDATE", 3, &invite, &ringing).with_sdp(MORE);
    assert_eq!(ladder(&desk.say(CARRIER, &update)), ["carrier 500 UPDATE"]);
    let update = buyer_request("UPDATE", 1, &offered, "bob").with_sdp(MORE);
    assert_eq!(ladder(&desk.say_from(buyer(0), &update)), ["b0 500 UPDATE"]);
    let said = desk.say_from(buyer(0), &answer(&offered, 486, "bob"));

    assert_eq!(ladder(&said), ["b0 ACK", "b1 INVITE"]);
    let next = find(&said, "b1 INVITE");
    assert_eq!(next.body, OFFER);
    // Its offer crosses ours.
    let ringing = reliably(&next, 180, 1).set("Contact", format!("<sip:bob@{}>", buyer(1)));
    desk.say_from(buyer(1), &ringing);
    let update = buyer_request("UPDATE", 1, &next, "bob").with_sdp(MORE);
    assert_eq!(ladder(&desk.say_from(buyer(1), &update)), ["b1 491 UPDATE"]);
}

#[test]
fn trap_07_the_200_waits_for_the_answer_to_an_offer() {
    for status in [200, 488] {
        let mut early = Early::new(Desk::new(1));
        let update = early.caller("UPDATE", 3).with_sdp(MORE);
        let asked = find(&early.caller_says(&update), "b0 UPDATE");

        assert_eq!(ladder(&early.pick_up()), NOTHING);
        let said = early.buyer_says(&asked.reply(status, "bob").with_sdp(YES));

        let answer = format!("carrier {status} UPDATE");
        assert_eq!(ladder(&said), [&answer, "b0 ACK", "carrier 200 INVITE"]);
        let ok = find(&said, "carrier 200 INVITE");
        let expected = if status == 200 { "" } else { ANSWER };
        assert_eq!(ok.body, expected);
        early.ends_well(&ok, 4);
    }
}

#[test]
fn trap_07_an_offer_whose_call_ends_is_481_and_no_buyer_follows() {
    for by_caller in [true, false] {
        let mut early = Early::new(Desk::new(1));
        let update = early.caller("UPDATE", 3).with_sdp(MORE);
        let asked = find(&early.caller_says(&update), "b0 UPDATE");

        let said = if by_caller {
            let cancel = cancel(&early.invite);
            early.caller_says(&cancel)
        } else {
            let busy = answer(&early.offered, 486, "bob");
            early.buyer_says(&busy)
        };

        let said = ladder(&said);
        assert!(said.contains(&"carrier 481 UPDATE".to_owned()), "{said:?}");
        let late = early.buyer_says(&asked.reply(200, "bob").with_sdp(YES));
        assert_eq!(ladder(&late), NOTHING);
        early.buyer_says(&answer(&early.offered, 487, "bob"));
        assert_eq!(early.desk.rest(), Gauges::default());
    }
}

#[test]
fn trap_07_an_offer_without_an_answer_is_500_and_the_call_goes_on() {
    let mut buyers = specs(1);
    buyers[0].ring = Duration::from_secs(60);
    let mut early = Early::new(Desk::with(&PolicySpec {
        lines: vec![buyers],
        ..PolicySpec::default()
    }));
    let update = early.buyer("UPDATE", 1).with_sdp(MORE);
    early.buyer_says(&update);

    let said = early.desk.pass(Duration::from_secs(33));

    let refused = find(&said, "b0 500 UPDATE");
    assert!(refused.first("Retry-After").is_some());
    let ok = find(&early.pick_up(), "carrier 200 INVITE");
    assert_eq!(ok.body, ANSWER);
    early.ends_well(&ok, 3);
}

#[test]
fn trap_07_a_challenge_to_an_offer_is_met_once() {
    let mut early = Early::new(with_login());
    let update = early.caller("UPDATE", 3).with_sdp(MORE);
    let asked = find(&early.caller_says(&update), "b0 UPDATE");

    let said = early.buyer_says(&challenge(&asked, BUYER_REALM, &["MD5"]));

    assert_eq!(ladder(&said), ["b0 UPDATE"]);
    let again = find(&said, "b0 UPDATE");
    assert_eq!(
        (again.value("CSeq"), again.body.as_str()),
        ("4 UPDATE", MORE)
    );
    let given = again.value("Authorization");
    assert!(digest::is_right(given, PASSWORD, "UPDATE"), "{given}");
    let said = early.buyer_says(&challenge(&again, BUYER_REALM, &["MD5"]));
    assert_eq!(ladder(&said), ["carrier 500 UPDATE"]);
    let ok = find(&early.pick_up(), "carrier 200 INVITE");
    early.ends_well(&ok, 4);
}

/// RFC 3311 §5.1: a target that moves with an offer has moved when the answer is there.
#[test]
fn trap_07_an_offer_moves_its_sender() {
    let mut early = Early::new(Desk::new(1));
    let update = early.caller("UPDATE", 3).with_sdp(MORE);
    let update = update.set("Contact", "<sip:ann@192.0.2.10:5070>");
    let asked = find(&early.caller_says(&update), "b0 UPDATE");
    let yes = answer(&asked, 200, "bob").with_sdp(YES);
    early.buyer_says(&yes.set("Contact", "<sip:bob@198.51.100.11:5060>"));

    let said = early.pick_up();

    assert_eq!(ladder(&said)[0], "b0 ACK");
    let ok = find(&said, "carrier 200 INVITE");
    let ack = caller_request("ACK", 1, &early.invite, &ok);
    early.caller_says(&ack);
    let said = early.buyer_says(&early.buyer("BYE", 1));
    assert_eq!(ladder(&said), ["b0 200 BYE", "192.0.2.10:5070 BYE"]);
}
