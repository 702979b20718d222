//! Session timers, each leg's its own (trap 8).

use strowger::call::policy::Terms;

use super::*;

const TERMS: Terms = Terms {
    expires: 600,
    min: 120,
};

fn timed_desk() -> Desk {
    let mut buyers = specs(1);
    buyers[0].has_login = true;
    Desk::with(&PolicySpec {
        lines: vec![buyers],
        session: Some(TERMS),
        ..PolicySpec::default()
    })
}

/// A call that is up. `caller` and `buyer` are headers of the caller's INVITE and of the buyer's 200.
fn timed_talk(caller: &[(&str, &str)], buyer_says: &[(&str, &str)]) -> Talk {
    let mut desk = timed_desk();
    let with = |message: Msg, headers: &[(&str, &str)]| {
        let add = |message: Msg, (name, value): &(&str, &str)| message.with(name, *value);
        headers.iter().fold(message, add)
    };
    let invite = with(invite(), caller);
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let ok = with(answer(&offered, 200, "bob"), buyer_says).with_sdp(ANSWER);
    let said = desk.say_from(buyer(0), &ok);
    let ok = find(&said, "carrier 200 INVITE");
    desk.say(CARRIER, &caller_request("ACK", 1, &invite, &ok));
    Talk {
        desk,
        invite,
        ok,
        offered,
    }
}

fn seconds(talk: &mut Talk, seconds: u64) -> Vec<Said> {
    talk.desk.pass(Duration::from_secs(seconds))
}

const UPDATE: (&str, &str) = ("Allow", "INVITE, ACK, BYE, UPDATE");
const TIMER: (&str, &str) = ("Supported", "timer");

#[test]
fn trap_08_a_short_interval_is_422_and_no_call() {
    let mut desk = timed_desk();
    let short = invite()
        .with("Supported", "timer")
        .with("Session-Expires", "119");

    let said = desk.say(CARRIER, &short);

    assert_eq!(ladder(&said), ["carrier 422 INVITE"]);
    assert_eq!(said[0].message.value("Min-SE"), "120");
    assert!(said[0].message.tag_in_to().is_some());
    assert_eq!(desk.records.len(), 0);
    // The interval of a proxy, whose caller would not understand: no timer.
    let old = invite()
        .set("Via", format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK-2"))
        .with("Session-Expires", "119");
    let said = desk.say(CARRIER, &old);
    assert_eq!(ladder(&said), ["carrier 100 INVITE", "b0 INVITE"]);
}

#[test]
fn trap_08_each_leg_has_a_timer_of_its_own_and_the_200_says_who_refreshes() {
    let table = [
        (&[][..], None, None),
        (&[TIMER][..], Some("600;refresher=uas"), Some("timer")),
        (
            &[TIMER, ("x", "300")],
            Some("300;refresher=uac"),
            Some("timer"),
        ),
        (
            &[TIMER, ("x", "300;refresher=uas"), ("Min-SE", "100")],
            Some("300;refresher=uas"),
            Some("timer"),
        ),
        (
            &[TIMER, ("x", "9999"), ("Min-SE", "900")],
            Some("900;refresher=uac"),
            Some("timer"),
        ),
        (&[("x", "300")], Some("300;refresher=uas"), None),
        (
            &[("Require", "timer")],
            Some("600;refresher=uas"),
            Some("timer"),
        ),
    ];
    for (headers, expires, require) in table {
        let talk = timed_talk(headers, &[("Session-Expires", "240;refresher=uas")]);

        assert_eq!(talk.ok.first("Session-Expires"), expires, "{headers:?}");
        assert_eq!(talk.ok.first("Require"), require, "{headers:?}");
        assert!(talk.offered.all("Supported").eq(["100rel, timer"]));
        assert_eq!(talk.offered.value("Session-Expires"), "600");
        assert_eq!(talk.offered.value("Min-SE"), "120");
    }
    let talk = Talk::new();
    assert_eq!(talk.offered.first("Session-Expires"), None);
    let required = invite().with("Require", "timer");
    let said = Desk::new(1).say(CARRIER, &required);
    assert_eq!(ladder(&said), ["carrier 420 INVITE"]);
}

/// RFC 4028 §7.3: once more with its Min-SE, twice at most; a challenge between is met.
#[test]
fn trap_08_a_buyers_422_raises_the_interval_but_not_for_ever() {
    let mut desk = timed_desk();
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    let too_short = |invite: &Msg, min: &str| invite.reply(422, "bob").with("Min-SE", min);
    let said = desk.say_from(buyer(0), &too_short(&offered, "1800"));
    assert_eq!(ladder(&said), ["b0 ACK", "b0 INVITE"]);
    let second = find(&said, "b0 INVITE");
    assert!(second.all("Session-Expires").eq(["1800"]));
    assert!(second.all("Min-SE").eq(["1800"]));
    assert_eq!(
        (second.value("CSeq"), second.call_id()),
        ("2 INVITE", offered.call_id())
    );
    assert_eq!(second.body, OFFER);

    let said = desk.say_from(buyer(0), &challenge(&second, BUYER_REALM, &["MD5"]));
    let third = find(&said, "b0 INVITE");
    assert!(third.first("Authorization").is_some());
    assert!(third.all("Session-Expires").eq(["1800"]));
    let said = desk.say_from(buyer(0), &too_short(&third, "3600"));
    let fourth = find(&said, "b0 INVITE");
    assert!(fourth.all("Session-Expires").eq(["3600"]));
    let said = desk.say_from(buyer(0), &too_short(&fourth, "7200"));

    assert_eq!(ladder(&said), ["b0 ACK", "carrier 603 INVITE"]);
    assert_eq!(desk.recorded(), "no_answer 603 by edge: buyer_rejected");
    for min in ["", "86401"] {
        let mut desk = timed_desk();
        let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
        let said = desk.say_from(buyer(0), &too_short(&offered, min));
        assert_eq!(ladder(&said), ["b0 ACK", "carrier 603 INVITE"]);
    }
}

#[test]
fn trap_08_we_refresh_by_update_where_the_peer_takes_it() {
    let mut talk = timed_talk(&[TIMER, UPDATE], &[("x", "400;refresher=uac"), UPDATE]);

    assert_eq!(ladder(&seconds(&mut talk, 199)), NOTHING);
    let said = seconds(&mut talk, 1);
    assert_eq!(timed(&said), ["200000 b0 UPDATE"]);
    let ours = &said[0].message;
    assert_eq!(ours.value("Session-Expires"), "400;refresher=uac");
    assert_eq!(ours.value("Supported"), "timer");
    assert_eq!((ours.body.as_str(), ours.value("CSeq")), ("", "2 UPDATE"));
    assert!(ours.contact().is_some());
    let ok = ours.reply(200, "bob").with("x", "400;refresher=uac");
    assert_eq!(ladder(&talk.buyer_says(&ok)), NOTHING);
    let said = seconds(&mut talk, 100);
    assert_eq!(timed(&said), ["300000 carrier UPDATE"]);
    let to_caller = &said[0].message;
    assert_eq!(to_caller.value("Session-Expires"), "600;refresher=uac");
    talk.caller_says(&to_caller.reply(200, "x"));

    // Again and again, as long as they are answered.
    assert_eq!(timed(&seconds(&mut talk, 100)), ["400000 b0 UPDATE"]);
    assert_eq!(talk.desk.gauges().calls_talking, 1);
}

/// RFC 4028 §7.4: with the very body that the leg had before, so that o= is the same, and nothing changes.
#[test]
fn trap_08_else_we_refresh_by_reinvite_with_the_last_sdp_of_that_leg() {
    let expires = ("x", "400;refresher=uac");
    let mut talk = timed_talk(&[], &[expires, ("Allow", "INVITE, ACK, BYE")]);
    let said = seconds(&mut talk, 200);
    assert_eq!(timed(&said), ["200000 b0 INVITE"]);
    let ours = find(&said, "b0 INVITE");
    assert_eq!(ours.body, OFFER);
    assert_eq!(ours.value("Content-Type"), "application/sdp");
    assert_eq!(ours.value("Session-Expires"), "400;refresher=uac");
    // Meanwhile no other INVITE passes, on either leg.
    let crossing = talk.buyer("INVITE", 1).with_sdp(OFFER);
    let said = ladder(&talk.buyer_says(&crossing));
    assert_eq!(said, ["b0 100 INVITE", "b0 491 INVITE"]);
    let crossing = talk.caller("INVITE", 2).with_sdp(OFFER);
    let said = ladder(&talk.caller_says(&crossing));
    assert_eq!(said, ["carrier 100 INVITE", "carrier 491 INVITE"]);

    let ok = answer(&ours, 200, "bob").with("x", "400").with_sdp(ANSWER);
    let said = talk.buyer_says(&ok);
    assert_eq!(ladder(&said), ["b0 ACK"]);
    assert_eq!(
        (said[0].message.value("CSeq"), said[0].message.body.as_str()),
        ("2 ACK", "")
    );
    assert_eq!(ladder(&talk.buyer_says(&ok)), ["b0 ACK"]);

    // A re-INVITE that passes is the last word from then on, and a refresh of both legs.
    let newer = OFFER.replace(" 1 1 ", " 1 2 ");
    let reinvite = talk.caller("INVITE", 3).with_sdp(&newer);
    let asked = find(&talk.caller_says(&reinvite), "b0 INVITE");
    assert_eq!(asked.value("Session-Expires"), "400;refresher=uac");
    let said = talk.buyer_says(&answer(&asked, 200, "bob").with_sdp(ANSWER));
    assert_eq!(ladder(&said), ["carrier 200 INVITE", "b0 ACK"]);
    let ack = talk.caller("ACK", 3);
    talk.caller_says(&ack);
    let refused = talk.caller("INVITE", 4).with_sdp("v=0\r\no=- 9 9\r\n");
    let asked = find(&talk.caller_says(&refused), "b0 INVITE");
    talk.buyer_says(&asked.reply(488, "bob"));
    let said = seconds(&mut talk, 200);
    assert_eq!(find(&said, "b0 INVITE").body, newer);
}

/// A leg whose peer takes no UPDATE was told the answer in our 200, or in the ACK of a late offer.
#[test]
fn trap_08_the_caller_is_refreshed_with_the_buyers_sdp() {
    let mut talk = timed_talk(&[TIMER], &[]);

    let said = seconds(&mut talk, 300);

    assert_eq!(timed(&said), ["300000 carrier INVITE"]);
    assert_eq!(said[0].message.body, ANSWER);
    // RFC 3261 §14.1: the Call-ID is the caller's, so we come again within 2 s.
    let glare = said[0].message.reply(491, "x");
    assert_eq!(ladder(&talk.caller_says(&glare)), ["carrier ACK"]);
    let said = seconds(&mut talk, 2);
    assert_eq!(ladder(&said)[0], "carrier INVITE");
    talk.caller_says(&said[0].message.reply(200, "x").with_sdp(OFFER));
    assert_eq!(talk.desk.gauges().calls_talking, 1);
}

/// RFC 3261 §14.1: towards a buyer the Call-ID is ours, so we wait 2.1 s to 4 s.
#[test]
fn trap_04_glare_with_a_refresh_of_ours_waits_as_the_owner_of_the_call_id() {
    let mut talk = timed_talk(&[], &[("x", "400;refresher=uac")]);
    let ours = find(&seconds(&mut talk, 200), "b0 INVITE");

    talk.buyer_says(&ours.reply(491, "bob"));

    assert_eq!(ladder(&talk.desk.pass_millis(2099)), NOTHING);
    let said = talk.desk.pass_millis(1901);
    assert_eq!(ladder(&said)[0], "b0 INVITE");
    let at = said[0].at - 200_000;
    assert!((2100..=4000).contains(&at) && at.is_multiple_of(10), "{at}");
    assert_eq!(said[0].message.body, OFFER);
}

#[test]
fn trap_08_a_side_that_does_not_answer_a_refresh_ends_the_call_for_both() {
    let mut talk = timed_talk(&[], &[("x", "400;refresher=uac"), UPDATE]);

    let said = seconds(&mut talk, 232);

    let (_, last) = said.split_at(said.len() - 2);
    assert_eq!(timed(last), ["232000 carrier BYE", "232000 b0 BYE"]);
    let reason = "SIP;cause=408;text=\"Session timer expired\"";
    let byes: Vec<_> = said
        .iter()
        .filter(|one| one.message.method() == "BYE")
        .collect();
    assert!(byes.iter().all(|bye| bye.message.value("Reason") == reason));
    assert_eq!(
        talk.desk.recorded(),
        "session_expired 200 by buyer: answered"
    );
    assert_eq!(talk.desk.rest(), Gauges::default());
}

#[test]
fn trap_08_a_side_that_does_not_refresh_ends_the_call_for_both() {
    let mut talk = timed_talk(
        &[TIMER, ("x", "300")],
        &[("x", "360;refresher=uas"), UPDATE],
    );
    // The buyer refreshes, with an UPDATE that is nobody's business but ours.
    seconds(&mut talk, 200);
    let refresh = talk
        .buyer("UPDATE", 1)
        .with("Supported", "timer")
        .with("Session-Expires", "360;refresher=uac");
    let said = talk.buyer_says(&refresh);
    assert_eq!(ladder(&said), ["b0 200 UPDATE"]);
    assert_eq!(
        said[0].message.value("Session-Expires"),
        "360;refresher=uac"
    );
    assert_eq!(said[0].message.value("Require"), "timer");

    // The caller does not: 300 s less the 32 s in which it should hang up itself.
    let said = seconds(&mut talk, 68);

    assert_eq!(timed(&said), ["268000 carrier BYE", "268000 b0 BYE"]);
    let reason = "SIP;cause=408;text=\"Session timer expired\"";
    assert!(said.iter().all(|one| one.message.value("Reason") == reason));
    assert_eq!(
        talk.desk.recorded(),
        "session_expired 200 by caller: answered"
    );
    assert_eq!(talk.desk.rest(), Gauges::default());
}

/// A refresh by re-INVITE is relayed, but not what it says of the timer.
#[test]
fn trap_08_session_expires_never_crosses() {
    let mut talk = timed_talk(&[TIMER, ("x", "300")], &[("x", "360;refresher=uas")]);
    let refresh = talk
        .caller("INVITE", 2)
        .with("Supported", "timer")
        .with("Session-Expires", "300;refresher=uac")
        .with("Min-SE", "130")
        .with_sdp(OFFER);

    let asked = find(&talk.caller_says(&refresh), "b0 INVITE");

    assert!(asked.all("Session-Expires").eq(["360;refresher=uas"]));
    assert_eq!(asked.first("Min-SE"), None);
    let ok = answer(&asked, 200, "bob")
        .with("Require", "timer")
        .with("x", "240;refresher=uas")
        .with_sdp(ANSWER);
    let said = talk.buyer_says(&ok);
    let told = find(&said, "carrier 200 INVITE");
    assert!(told.all("Session-Expires").eq(["300;refresher=uac"]));
    let ack = talk.caller("ACK", 2);
    talk.caller_says(&ack);
    // 240 s is what the buyer has now: it must come again by 208 s.
    let said = seconds(&mut talk, 208);
    assert_eq!(timed(&said), ["208000 carrier BYE", "208000 b0 BYE"]);

    // Within the call, too short is 422, and all goes on.
    let mut talk = timed_talk(&[TIMER], &[]);
    let short = talk
        .caller("UPDATE", 2)
        .with("Supported", "timer")
        .with("x", "60");
    let said = talk.caller_says(&short);
    assert_eq!(ladder(&said), ["carrier 422 UPDATE"]);
    assert_eq!(said[0].message.value("Min-SE"), "120");
}

#[test]
fn trap_08_a_refresh_is_repeated_with_credentials_or_with_a_longer_interval() {
    let mut talk = timed_talk(&[], &[("x", "400;refresher=uac")]);
    let ours = find(&seconds(&mut talk, 200), "b0 INVITE");
    let said = talk.buyer_says(&challenge(&ours, BUYER_REALM, &["MD5"]));
    assert_eq!(ladder(&said), ["b0 ACK", "b0 INVITE"]);
    let again = find(&said, "b0 INVITE");
    let given = again.value("Authorization").to_owned();
    assert!(digest::is_right(&given, PASSWORD, "INVITE"), "{given}");
    assert_eq!(
        (again.body.as_str(), again.value("CSeq")),
        (OFFER, "3 INVITE")
    );
    let said = talk.buyer_says(&answer(&again, 200, "bob").with_sdp(ANSWER));
    assert_eq!(find(&said, "b0 ACK").value("Authorization"), given);

    let mut talk = timed_talk(&[], &[("x", "400;refresher=uac"), UPDATE]);
    let mut ours = find(&seconds(&mut talk, 200), "b0 UPDATE");
    for min in ["700", "800"] {
        let said = talk.buyer_says(&ours.reply(422, "bob").with("Min-SE", min));
        ours = find(&said, "b0 UPDATE");
        assert_eq!(
            ours.value("Session-Expires"),
            format!("{min};refresher=uac")
        );
    }
    let said = talk.buyer_says(&ours.reply(422, "bob").with("Min-SE", "900"));
    assert_eq!(ladder(&said), NOTHING);
    assert_eq!(ladder(&seconds(&mut talk, 5)), ["b0 UPDATE"]);
}

/// A refusal says that the peer is there; only silence, or 481, ends the call.
#[test]
fn trap_08_a_refused_refresh_is_tried_again_until_the_session_is_over() {
    let mut talk = timed_talk(&[], &[("x", "400;refresher=uac"), UPDATE]);
    let ours = find(&seconds(&mut talk, 200), "b0 UPDATE");
    talk.buyer_says(&ours.reply(503, "bob"));
    let ours = find(&seconds(&mut talk, 5), "b0 UPDATE");
    // It says that it takes UPDATE, and does not: then all it does is live.
    talk.buyer_says(&ours.reply(405, "bob"));
    let said = seconds(&mut talk, 200);
    let ours = find(&said, "b0 UPDATE");
    let said = talk.buyer_says(&ours.reply(481, "bob"));
    assert_eq!(ladder(&said), ["carrier BYE", "b0 BYE"]);
    assert_eq!(talk.desk.recorded(), "leg_lost 200 by buyer: answered");
}

#[test]
fn trap_08_a_bye_that_crosses_a_refresh_leaves_nothing_behind() {
    for (allow, crossing) in [("UPDATE", "UPDATE"), ("BYE", "INVITE")] {
        for by_buyer in [true, false] {
            let mut talk = timed_talk(&[], &[("x", "400;refresher=uac"), ("Allow", allow)]);
            let ours = find(&seconds(&mut talk, 200), &format!("b0 {crossing}"));
            talk.buyer_says(&ours.reply(100, ""));
            if by_buyer {
                let bye = talk.buyer("BYE", 1);
                talk.buyer_says(&bye);
            } else {
                let bye = talk.caller("BYE", 2);
                talk.caller_says(&bye);
            }

            let said = talk.buyer_says(&answer(&ours, 200, "bob").with_sdp(ANSWER));

            let expected: &[&str] = if crossing == "INVITE" {
                &["b0 ACK"]
            } else {
                &[]
            };
            assert_eq!(ladder(&said), expected);
            assert_eq!(talk.desk.rest(), Gauges::default());
        }
    }
}

/// The interval of the other leg is ours, so the one who asks hears of no 422.
#[test]
fn trap_08_a_422_to_a_relayed_reinvite_does_not_cross() {
    let mut talk = timed_talk(&[], &[("x", "400;refresher=uac")]);
    let reinvite = talk.caller("INVITE", 2).with_sdp(OFFER);
    let asked = find(&talk.caller_says(&reinvite), "b0 INVITE");

    let said = talk.buyer_says(&asked.reply(422, "bob").with("Min-SE", "1000"));

    assert_eq!(ladder(&said), ["b0 ACK", "carrier 500 INVITE"]);
    let refused = find(&said, "carrier 500 INVITE");
    assert_eq!(refused.value("Retry-After"), "2");
    assert_eq!(refused.first("Min-SE"), None);
    talk.caller_says(&ack_of_failure(&reinvite, &refused));
    let again = talk.caller("INVITE", 3).with_sdp(OFFER);
    let asked = find(&talk.caller_says(&again), "b0 INVITE");
    assert_eq!(asked.value("Session-Expires"), "1000;refresher=uac");
}
