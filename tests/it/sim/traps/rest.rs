//! Loops, correlation, signed callers, overload, leaks (traps 11, 12, 13, 16 and 17).

use std::net::SocketAddr;

use strowger::routing::caps::Caps;

use super::*;
use crate::sim::desk::Said;
use crate::sim::policy::addr;
use crate::sim::world::flow;

// --- 11: loops

#[test]
fn trap_11_our_own_token_that_comes_back_is_a_loop() {
    let mut desk = Desk::new(1);
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");

    // A buyer's system sends the call back to us, as another call.
    let back = invite()
        .set("Call-ID", "two@elsewhere.example.com")
        .set("Via", format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bKother"))
        .with("X-Strowger-Hop", offered.value("X-Strowger-Hop"));
    let said = desk.say(CARRIER, &back);

    assert_eq!(ladder(&said), ["carrier 482 INVITE"]);
    assert_eq!(desk.records.len(), 0);
}

#[test]
fn trap_11_max_forwards_is_counted_down_over_the_seam() {
    let mut desk = Desk::new(1);

    let offered = find(
        &desk.say(CARRIER, &invite().set("Max-Forwards", "7")),
        "b0 INVITE",
    );

    assert_eq!(offered.value("Max-Forwards"), "6");
}

// --- 12: correlation

#[test]
fn trap_12_the_record_names_both_call_ids_and_the_uuid_that_the_buyer_got() {
    let mut talk = Talk::new();
    let bye = talk.caller("BYE", 2);
    talk.caller_says(&bye);

    let record = &talk.desk.records[0];

    assert_eq!(&*record.call_id, talk.invite.call_id().as_bytes());
    assert_eq!(
        &*record.attempts[0].call_id,
        talk.offered.call_id().as_bytes()
    );
    assert_ne!(talk.invite.call_id(), talk.offered.call_id());
    assert_eq!(
        record.uuid.to_string(),
        talk.offered.value("X-PH-RetreaverUUID")
    );
}

// --- 13: signed callers

/// What a signature holds for reaches each buyer as it was signed, also after a challenge and a failure.
#[test]
fn trap_13_a_signature_and_what_it_signs_reach_every_buyer_byte_for_byte() {
    let signed = [
        "eyJhbGciOiJFUzI1NiIsInBwdCI6InNoYWtlbiJ9.eyJhdHRlc3QiOiJBIn0.MEUCIQ==;info=<https://certs.example.org/a.pem>;alg=ES256;ppt=\"shaken\"",
        "a.b.c ; Info=<https://b.example.org/;x>  ;alg=\"ES256\"",
    ];
    let date = "Sat, 21 Nov 2026 10:00:00 GMT";
    let mut buyers = specs(2);
    buyers[0].has_login = true;
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![buyers],
        ..PolicySpec::default()
    });
    let dialled = invite()
        .with("Identity", signed[0])
        .with("y", signed[1])
        .with("Date", date);

    let first = find(&desk.say(CARRIER, &dialled), "b0 INVITE");
    let said = desk.say_from(buyer(0), &challenge(&first, BUYER_REALM, &["MD5"]));
    let again = find(&said, "b0 INVITE");
    let said = desk.say_from(buyer(0), &answer(&again, 503, "bob"));
    let second = find(&said, "b1 INVITE");

    for offered in [&first, &again, &second] {
        assert!(offered.all("Identity").eq(signed), "{offered:?}");
        assert!(offered.all("Date").eq([date]));
        assert!(
            offered
                .value("From")
                .starts_with("\"Ann\" <sip:+15555550199@")
        );
        let number = dialled.uri().split(['@']).next().expect("a user");
        assert!(offered.value("To").starts_with(&format!("<{number}@")));
    }
}

/// We sign nothing, so we add nothing that somebody may take for signed.
#[test]
fn trap_13_without_a_signature_no_date_and_no_identity_is_made_up() {
    let mut desk = Desk::new(1);

    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");

    assert_eq!(offered.first("Identity"), None);
    assert_eq!(offered.first("Date"), None);
}

/// A caller who is withheld takes the signature along, for that would tell the number.
#[test]
fn trap_13_a_signature_stays_behind_with_a_caller_who_is_withheld() {
    let mut desk = Desk::new(1);
    let dialled = invite()
        .with("Identity", "a.b.c;info=<https://c.example.org>")
        .with("Privacy", "user");

    let offered = find(&desk.say(CARRIER, &dialled), "b0 INVITE");

    assert_eq!(offered.first("Identity"), None);
    assert!(offered.value("From").contains("anonymous"));
}

// --- 16: overload

/// In overload new calls get 503 and leave nothing; whatever belongs to a call is served as ever.
#[test]
fn trap_16_new_calls_are_shed_first_and_what_belongs_to_a_call_never_is() {
    let mut talk = Talk::unacknowledged(Desk::new(1));
    let before = talk.desk.gauges();

    let fresh = invite()
        .set("Call-ID", "two@carrier.example.net")
        .set("Via", format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bKnew"));
    let said = shed(&mut talk.desk, addr(CARRIER), &fresh);
    assert_eq!(ladder(&said), ["carrier 503 INVITE"]);
    assert_eq!(said[0].message.value("Retry-After"), "3");
    assert_eq!(talk.desk.gauges(), before);

    // ACK, re-INVITE and its answer, INFO, BYE and its answer.
    let ack = talk.caller("ACK", 1);
    assert_eq!(ladder(&shed(&mut talk.desk, addr(CARRIER), &ack)), NOTHING);
    let reinvite = talk.caller("INVITE", 2).with_sdp(OFFER);
    let said = shed(&mut talk.desk, addr(CARRIER), &reinvite);
    let asked = find(&said, "b0 INVITE");
    let agreed = answer(&asked, 200, "bob").with_sdp(ANSWER);
    let said = shed(&mut talk.desk, buyer(0), &agreed);
    assert_eq!(ladder(&said), ["carrier 200 INVITE", "b0 ACK"]);
    let ack = talk.caller("ACK", 2);
    assert_eq!(ladder(&shed(&mut talk.desk, addr(CARRIER), &ack)), NOTHING);
    let info = talk.buyer("INFO", 7);
    let said = shed(&mut talk.desk, buyer(0), &info);
    assert_eq!(ladder(&said), ["carrier INFO"]);
    let heard = find(&said, "carrier INFO").reply(200, "ann");
    let said = shed(&mut talk.desk, addr(CARRIER), &heard);
    assert_eq!(ladder(&said), ["b0 200 INFO"]);
    let bye = talk.buyer("BYE", 8);
    let said = shed(&mut talk.desk, buyer(0), &bye);
    assert_eq!(ladder(&said), ["b0 200 BYE", "carrier BYE"]);
    let gone = find(&said, "carrier BYE").reply(200, "ann");
    assert_eq!(ladder(&shed(&mut talk.desk, addr(CARRIER), &gone)), NOTHING);

    assert_eq!(talk.desk.rest(), Gauges::default());
    assert_eq!(talk.desk.records.len(), 1);
}

/// A repetition is one of the call that it began, or gets the answer that was given, however it is written; what is refused again gets the
/// same tag, so that one ACK is of both.
#[test]
fn trap_16_an_invite_that_comes_again_in_overload_gets_what_it_got() {
    let mut desk = Desk::new(1);
    desk.say(CARRIER, &invite());
    assert_eq!(
        ladder(&shed(&mut desk, addr(CARRIER), &invite())),
        ["carrier 100 INVITE"]
    );

    let plain = numbered(1);
    // Not to be had at a glance, so it is read.
    let folded = numbered(1).with("Subject", "one\r\n two");
    let refused = [&plain, &folded, &plain].map(|message| {
        find(
            &shed(&mut desk, addr(CARRIER), message),
            "carrier 503 INVITE",
        )
    });
    for again in &refused {
        assert_eq!(again.bytes(), refused[0].bytes());
    }
    let text = String::from_utf8(refused[0].bytes().to_vec()).unwrap();
    assert!(
        text.contains(";tag=shed") && text.contains("\r\nRetry-After: 3\r\n"),
        "{text}"
    );
}

/// A call that was ringing when the overload began can be taken back, and answered.
#[test]
fn trap_16_a_call_that_rings_is_answered_or_cancelled_in_overload_too() {
    for is_cancelled in [true, false] {
        let mut desk = Desk::new(1);
        let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
        desk.say_from(buyer(0), &answer(&offered, 180, "bob"));

        let said = if is_cancelled {
            shed(&mut desk, addr(CARRIER), &cancel(&invite()))
        } else {
            let ok = answer(&offered, 200, "bob").with_sdp(ANSWER);
            shed(&mut desk, buyer(0), &ok)
        };

        let wanted = if is_cancelled {
            &["carrier 200 CANCEL", "b0 CANCEL", "carrier 487 INVITE"][..]
        } else {
            &["b0 ACK", "carrier 200 INVITE"]
        };
        assert_eq!(ladder(&said), wanted);
    }
}

/// Tables have an end. New calls are refused while there is still room for what ends the others.
#[test]
fn trap_16_a_full_table_takes_no_new_call_and_ends_those_that_are_there() {
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        transactions: 64,
        ..PolicySpec::default()
    });
    let mut ringing = Vec::new();
    let mut refused = 0;
    for count in 0..100 {
        let fresh = numbered(count);
        let said = desk.say(CARRIER, &fresh);
        if ladder(&said).contains(&"b0 INVITE".to_owned()) {
            ringing.push(fresh);
        } else {
            assert_eq!(ladder(&said), ["carrier 503 INVITE"]);
            refused += 1;
        }
    }
    assert_eq!((ringing.len(), refused), (56, 44), "an eighth is kept");

    // Each is ended by a CANCEL, which needs a transaction of its own or is answered without one.
    for call in &ringing {
        let said = ladder(&desk.say(CARRIER, &cancel(call)));
        assert_eq!(said[0], "carrier 200 CANCEL");
        assert!(said.contains(&"carrier 487 INVITE".to_owned()), "{said:?}");
    }

    assert_eq!(desk.rest(), Gauges::default());
    assert_eq!(desk.records.len(), 56);
}

/// Hands a message in as the valve does in overload.
fn shed(desk: &mut Desk, from: SocketAddr, message: &Msg) -> Vec<Said> {
    let (flow, bytes) = (flow(from), message.bytes());
    desk.tell(Input::Shed {
        flow,
        bytes: &bytes,
        retry_after: Some(3),
    })
}

fn numbered(count: u32) -> Msg {
    invite()
        .set("Call-ID", format!("{count}@carrier.example.net"))
        .set(
            "Via",
            format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK-{count}"),
        )
}

// --- 17: leaks

/// Calls of one soak, unless `STROWGER_SOAK_CALLS` says otherwise. `cargo bench --bench engine` does 200,000 of the usual kind, and
/// asks for the same at its end.
const SOAK: u32 = 10_000;

#[test]
fn trap_17_calls_of_every_kind_leave_nothing_behind() {
    let calls =
        std::env::var("STROWGER_SOAK_CALLS").map_or(SOAK, |text| text.parse().expect("a number"));
    let mut buyers = specs(2);
    buyers[1].has_login = true;
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![buyers],
        calls: 10_000,
        transactions: 100_000,
        caps: Caps {
            max_calls: Some(900),
            max_cps: None,
        },
        ..PolicySpec::default()
    });
    let mut most = Gauges::default();
    for count in 0..calls {
        soak_one(&mut desk, count);
        desk.pass_millis(20);
        if count % 512 == 0 {
            let now = desk.gauges();
            most.timers = most.timers.max(now.timers);
            most.server_transactions = most.server_transactions.max(now.server_transactions);
            // Records and events are the shell's; here they would only grow.
            desk.events.clear();
        }
    }

    assert_eq!(desk.rest(), Gauges::default());
    assert_eq!(desk.records.len(), calls as usize);
    // 20 ms a call, and nothing of a call stays for longer than 200 s: what is held does not depend on how many there were.
    assert!(
        most.server_transactions <= 20_000 && most.timers <= 60_000,
        "{most:?}"
    );
}

/// One call, which ends in one of ten ways, or is left to end by itself.
fn soak_one(desk: &mut Desk, count: u32) {
    let fresh = numbered(count);
    let said = desk.say(CARRIER, &fresh);
    let offered = find(&said, "b0 INVITE");
    match count % 10 {
        0 => drop(desk.say(CARRIER, &cancel(&fresh))),
        // The second buyer has its turn; it challenges, and is busy.
        1 => {
            let said = desk.say_from(buyer(0), &answer(&offered, 503, "bob"));
            let second = find(&said, "b1 INVITE");
            let said = desk.say_from(buyer(1), &challenge(&second, BUYER_REALM, &["MD5"]));
            let again = find(&said, "b1 INVITE");
            let said = desk.say_from(buyer(1), &answer(&again, 486, "bob"));
            let failure = find(&said, "carrier 603 INVITE");
            desk.say(CARRIER, &ack_of_failure(&fresh, &failure));
        }
        // Answered, and never acknowledged.
        2 => drop(desk.say_from(buyer(0), &answer(&offered, 200, "bob").with_sdp(ANSWER))),
        // Nobody ever answers.
        3 => {}
        // The answer crosses the CANCEL.
        4 => {
            desk.say_from(buyer(0), &answer(&offered, 180, "bob"));
            desk.say(CARRIER, &cancel(&fresh));
            desk.say_from(buyer(0), &answer(&offered, 200, "bob").with_sdp(ANSWER));
        }
        // Two forks answer.
        5 => {
            for tag in ["bob", "rob"] {
                desk.say_from(buyer(0), &answer(&offered, 200, tag).with_sdp(ANSWER));
            }
        }
        _ => {
            let said = desk.say_from(buyer(0), &answer(&offered, 200, "bob").with_sdp(ANSWER));
            let ok = find(&said, "carrier 200 INVITE");
            desk.say(CARRIER, &caller_request("ACK", 1, &fresh, &ok));
            let by_caller = count.is_multiple_of(2);
            let said = if by_caller {
                desk.say(CARRIER, &caller_request("BYE", 2, &fresh, &ok))
            } else {
                desk.say_from(buyer(0), &buyer_request("BYE", 7, &offered, "bob"))
            };
            let (name, from) = if by_caller {
                ("b0 BYE", buyer(0))
            } else {
                ("carrier BYE", addr(CARRIER))
            };
            // Every other BYE is never answered.
            if count % 4 < 2 {
                desk.say_from(from, &find(&said, name).reply(200, "x"));
            }
        }
    }
}

#[test]
fn trap_17_many_reinvites_do_not_pile_up_timers() {
    let mut talk = Talk::new();
    let mut most = 0;
    for round in 0..200 {
        let reinvite = talk.caller("INVITE", 2 + round).with_sdp(OFFER);
        let asked = find(&talk.caller_says(&reinvite), "b0 INVITE");
        talk.buyer_says(&answer(&asked, 200, "bob").with_sdp(ANSWER));
        let ack = talk.caller("ACK", 2 + round);
        talk.caller_says(&ack);
        talk.desk.pass_millis(70_000 / 4);
        most = most.max(talk.desk.gauges().timers);
    }

    assert!(most < 20, "{most} timers for one call");
}
