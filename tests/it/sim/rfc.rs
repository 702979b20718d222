//! What RFC 3261 and its kin ask of the edge, outside the traps: each a short course of messages.

use std::time::Duration;

use strowger::call::input::{Input, Which};
use strowger::call::output::{Event, Gauges, Refusal};
use strowger::call::policy::Strangers;
use strowger::routing::buyer::XPhProfile;

use super::desk::{
    ANSWER, Desk, OFFER, Said, Talk, ack_of_failure, answer, buyer, find, invite, invite_to,
    ladder, request, specs, timed,
};
use super::digest;
use super::policy::{CARRIER, EDGE, PASSWORD, PolicySpec, ROAMER, STRANGER, USER, number};
use super::text::Msg;

const NOTHING: [&str; 0] = [];

// --- a call, from end to end

#[test]
fn a_call_from_end_to_end() {
    let mut desk = Desk::new(1);
    let invite = invite();
    let said = desk.say(CARRIER, &invite);
    assert_eq!(ladder(&said), ["carrier 100 INVITE", "b0 INVITE"]);
    assert_eq!(said[0].message.tag_in_to(), None);
    let offered = find(&said, "b0 INVITE");

    let said = desk.say_from(buyer(0), &answer(&offered, 180, "bob"));
    assert_eq!(ladder(&said), ["carrier 180 INVITE"]);
    let ringing = find(&said, "carrier 180 INVITE");
    assert_eq!(ringing.contact(), Some(&*format!("sip:{EDGE}")));
    let said = desk.say_from(buyer(0), &answer(&offered, 200, "bob").with_sdp(ANSWER));
    assert_eq!(ladder(&said), ["b0 ACK", "carrier 200 INVITE"]);
    let mut talk = Talk {
        ok: find(&said, "carrier 200 INVITE"),
        desk,
        invite,
        offered,
    };
    assert_eq!(talk.ok.tag_in_to(), ringing.tag_in_to());
    let ack = talk.caller("ACK", 1);
    assert_eq!(ladder(&talk.caller_says(&ack)), NOTHING);
    assert_eq!(talk.desk.gauges().calls_talking, 1);

    let bye = talk.caller("BYE", 2);
    let said = talk.caller_says(&bye);
    assert_eq!(ladder(&said), ["carrier 200 BYE", "b0 BYE"]);
    let ours = find(&said, "b0 BYE");
    assert_eq!(ours.value("CSeq"), "2 BYE");
    assert_eq!(ladder(&talk.buyer_says(&ours.reply(200, "bob"))), NOTHING);

    assert_eq!(talk.desk.recorded(), "completed 200 by caller: answered");
    assert_eq!(talk.desk.rest(), Gauges::default());
}

#[test]
fn the_buyers_invite_is_a_new_call_with_the_callers_body_and_our_headers() {
    let mut desk = Desk::new(1);
    let invite = invite()
        .with("Subject", "windows")
        .with("X-Private", "1")
        .with("P-Asserted-Identity", "<sip:1@example.com>")
        .with("Record-Route", "<sip:192.0.2.44;lr>")
        .with("Supported", "100rel, timer");
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");

    assert_eq!(offered.uri(), format!("sip:c0b0@{}", buyer(0)));
    assert_eq!(offered.value("Via").matches(EDGE).count(), 1);
    assert_eq!(offered.all("Via").count(), 1);
    assert_eq!(offered.contact(), Some(&*format!("sip:{EDGE}")));
    assert_ne!(offered.call_id(), invite.call_id());
    assert_ne!(offered.tag_in_from(), invite.tag_in_from());
    assert!(
        offered
            .value("From")
            .starts_with("\"Ann\" <sip:+15555550199@")
    );
    assert!(!offered.value("From").contains("carrier.example.net"));
    assert_eq!(offered.body, OFFER);
    assert_eq!(offered.value("Content-Type"), "application/sdp");
    assert_eq!(offered.value("Subject"), "windows");
    assert_eq!(offered.value("X-PH-RetreaverAFID"), "pub%2012");
    assert_eq!(offered.value("X-PH-RetreaverSID"), "sub-7");
    assert_eq!(offered.value("X-PH-RetreaverKey").len(), 26);
    assert_eq!(offered.value("X-Buyer"), "one");
    assert_eq!(offered.value("Supported"), "100rel");
    for name in [
        "X-Private",
        "P-Asserted-Identity",
        "Record-Route",
        "Require",
    ] {
        assert_eq!(offered.first(name), None, "{name}");
    }
}

#[test]
fn the_sid_is_sent_only_if_set_and_plivo_gets_letters_only() {
    let mut buyers = specs(1);
    buyers[0].profile = XPhProfile::Plivo;
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![buyers],
        sid: None,
        ..PolicySpec::default()
    });

    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");

    assert_eq!(offered.first("X-PH-RetreaverSID"), None);
    let uuid = offered.value("X-PH-RetreaverUUID");
    assert!(
        uuid.chars().all(|c| c.is_ascii_alphanumeric() || c == '%'),
        "{uuid}"
    );
}

#[test]
fn provisional_responses_pass_but_100_and_199() {
    let mut desk = Desk::new(1);
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    let mut relayed = Vec::new();
    for status in [100, 180, 181, 182, 183, 199] {
        relayed.extend(desk.say_from(buyer(0), &answer(&offered, status, "bob")));
    }

    let expected = [180, 181, 182, 183].map(|status| format!("carrier {status} INVITE"));
    assert_eq!(ladder(&relayed), expected);
}

#[test]
fn early_media_comes_from_the_last_buyer_only() {
    let mut desk = Desk::new(2);
    let first = find(&desk.say(CARRIER, &invite()), "b0 INVITE");

    for status in [180, 183] {
        let early = answer(&first, status, "bob").with_sdp(ANSWER);
        let said = desk.say_from(buyer(0), &early);
        assert_eq!(ladder(&said), ["carrier 180 INVITE"]);
        assert_eq!(said[0].message.body, "");
        assert_eq!(said[0].message.first("Content-Type"), None);
    }
    let said = desk.say_from(buyer(0), &answer(&first, 183, "bob"));
    assert_eq!(ladder(&said), ["carrier 183 INVITE"]);

    let said = desk.say_from(buyer(0), &answer(&first, 486, "bob"));
    let second = find(&said, "b1 INVITE");
    let early = answer(&second, 183, "eve").with_sdp(ANSWER);
    let said = desk.say_from(buyer(1), &early);
    assert_eq!(ladder(&said), ["carrier 183 INVITE"]);
    assert_eq!(said[0].message.body, ANSWER);
    assert_eq!(said[0].message.value("Content-Type"), "application/sdp");
}

#[test]
fn a_repeated_invite_gets_the_last_response_and_makes_no_second_call() {
    let mut desk = Desk::new(1);
    let invite = invite();
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    assert_eq!(ladder(&desk.say(CARRIER, &invite)), ["carrier 100 INVITE"]);
    desk.say_from(buyer(0), &answer(&offered, 180, "bob"));
    assert_eq!(ladder(&desk.say(CARRIER, &invite)), ["carrier 180 INVITE"]);
    desk.say_from(buyer(0), &answer(&offered, 486, "bob"));

    assert_eq!(ladder(&desk.say(CARRIER, &invite)), ["carrier 486 INVITE"]);
    assert_eq!(desk.records.len(), 1);
}

#[test]
fn the_invite_goes_out_again_and_a_silent_buyer_makes_room_for_the_next() {
    let mut desk = Desk::new(2);
    desk.say(CARRIER, &invite());

    let said = desk.pass(Duration::from_secs(4));

    assert_eq!(
        timed(&said),
        [
            "500 b0 INVITE",
            "1500 b0 INVITE",
            "3000 carrier 180 INVITE",
            "3500 b0 INVITE",
            "4000 b1 INVITE"
        ]
    );
}

#[test]
fn a_failure_goes_out_again_until_its_ack() {
    let mut desk = Desk::new(1);
    let invite = invite();
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let said = desk.say_from(buyer(0), &answer(&offered, 486, "bob"));
    let refused = find(&said, "carrier 486 INVITE");

    let again = desk.pass(Duration::from_millis(3600));
    let times = [500, 1500, 3500].map(|at| format!("{at} carrier 486 INVITE"));
    assert_eq!(timed(&again), times);
    desk.say(CARRIER, &ack_of_failure(&invite, &refused));

    assert_eq!(ladder(&desk.pass(Duration::from_secs(40))), NOTHING);
}

#[test]
fn a_call_that_lasts_too_long_is_ended_with_a_reason() {
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        call_time: Duration::from_secs(90),
        ..PolicySpec::default()
    });
    let invite = invite();
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let said = desk.say_from(buyer(0), &answer(&offered, 200, "bob").with_sdp(ANSWER));
    let mut talk = Talk {
        ok: find(&said, "carrier 200 INVITE"),
        desk,
        invite,
        offered,
    };
    let ack = talk.caller("ACK", 1);
    talk.caller_says(&ack);

    assert_eq!(
        ladder(&talk.desk.pass(Duration::from_millis(89_999))),
        NOTHING
    );
    let said = talk.desk.pass_millis(1);

    assert_eq!(timed(&said), ["90000 carrier BYE", "90000 b0 BYE"]);
    assert_eq!(
        said[0].message.value("Reason"),
        "SIP;cause=200;text=\"time_limit\""
    );
    assert_eq!(talk.desk.recorded(), "time_limit 200 by edge: answered");
    assert_eq!(talk.desk.rest(), Gauges::default());
}

#[test]
fn nothing_is_left_of_a_call_a_minute_after_its_end() {
    let mut talk = Talk::new();
    talk.desk.pass(Duration::from_secs(10));
    let bye = talk.caller("BYE", 2);
    let ours = find(&talk.caller_says(&bye), "b0 BYE");
    talk.buyer_says(&ours.reply(200, "bob"));

    talk.desk.pass(Duration::from_secs(61));

    assert_eq!(talk.desk.gauges(), Gauges::default());
}

// --- within a call

#[test]
fn requests_within_a_call_pass_both_ways_with_their_bodies() {
    let mut talk = Talk::new();
    for (cseq, method) in [
        (2, "INFO"),
        (3, "UPDATE"),
        (4, "MESSAGE"),
        (5, "OPTIONS"),
        (6, "NOTIFY"),
    ] {
        let asked = talk
            .caller(method, cseq)
            .with_body("text/plain", format!("{method}!"));
        let said = talk.caller_says(&asked);
        assert_eq!(ladder(&said), [format!("b0 {method}")]);
        assert_eq!(said[0].message.body, format!("{method}!"));
        assert_eq!(said[0].message.value("Content-Type"), "text/plain");
        let reply = said[0]
            .message
            .reply(200, "bob")
            .with_body("text/plain", "yes");
        let said = talk.buyer_says(&reply);
        assert_eq!(ladder(&said), [format!("carrier 200 {method}")]);
        assert_eq!(said[0].message.body, "yes");
        assert_eq!(said[0].message.cseq(), cseq);
    }
    let info = talk.buyer("INFO", 1);
    assert_eq!(ladder(&talk.buyer_says(&info)), ["carrier INFO"]);
}

#[test]
fn a_cseq_that_goes_back_is_500() {
    let mut talk = Talk::new();
    let (first, second) = (talk.caller("INFO", 5), talk.caller("INFO", 4));
    talk.caller_says(&first);

    assert_eq!(ladder(&talk.caller_says(&second)), ["carrier 500 INFO"]);
}

#[test]
fn a_moved_peer_is_followed() {
    let mut talk = Talk::new();
    let moved = talk
        .caller("INVITE", 2)
        .set("Contact", "<sip:ann@192.0.2.10:5070>")
        .with_sdp(OFFER);
    let asked = find(&talk.caller_says(&moved), "b0 INVITE");
    let said = talk.buyer_says(&answer(&asked, 200, "bob").with_sdp(ANSWER));
    assert_eq!(ladder(&said), ["carrier 200 INVITE", "b0 ACK"]);
    let ack = talk.caller("ACK", 2);
    talk.caller_says(&ack);

    let bye = talk.buyer("BYE", 1);
    let said = talk.buyer_says(&bye);

    assert_eq!(ladder(&said), ["b0 200 BYE", "192.0.2.10:5070 BYE"]);
    assert_eq!(said[1].message.uri(), "sip:ann@192.0.2.10:5070");
}

#[test]
fn a_side_that_has_lost_the_call_ends_it_for_both() {
    let mut talk = Talk::new();
    let info = talk.caller("INFO", 2);
    let asked = find(&talk.caller_says(&info), "b0 INFO");

    let said = talk.buyer_says(&asked.reply(481, "bob"));

    assert_eq!(ladder(&said), ["carrier 481 INFO", "carrier BYE", "b0 BYE"]);
    assert_eq!(talk.desk.recorded(), "leg_lost 200 by buyer: answered");
}

#[test]
fn a_buyer_that_does_not_answer_a_request_is_lost_after_64_t1() {
    let mut talk = Talk::new();
    let info = talk.caller("INFO", 2);
    talk.caller_says(&info);

    let said = talk.desk.pass(Duration::from_secs(32));

    let (last, sent) = said.split_at(said.len() - 3);
    assert!(last.iter().all(|one| one.message.method() == "INFO"));
    assert_eq!(
        timed(sent),
        [
            "32000 carrier 408 INFO",
            "32000 carrier BYE",
            "32000 b0 BYE"
        ]
    );
    assert_eq!(talk.desk.recorded(), "leg_lost 200 by buyer: answered");
    assert_eq!(talk.desk.rest(), Gauges::default());
}

#[test]
fn a_request_with_a_tag_that_is_not_ours_is_481() {
    let mut talk = Talk::new();
    for tag in ["nonsense", "00000000000000000000000000000000000000000a"] {
        let to = format!("<sip:x@ip.example.com>;tag={tag}");
        for method in ["BYE", "INFO", "INVITE"] {
            let stray = talk.caller(method, 2).set("To", to.clone());
            let said = ladder(&talk.caller_says(&stray));
            assert_eq!(said, [format!("carrier 481 {method}")]);
        }
        let ack = talk.caller("ACK", 2).set("To", to);
        assert_eq!(ladder(&talk.caller_says(&ack)), NOTHING);
    }
    // Our tag, but of another dialog.
    let stray = talk.caller("BYE", 2).set("Call-ID", "another");
    assert_eq!(ladder(&talk.caller_says(&stray)), ["carrier 481 BYE"]);
}

// --- what does not become a call

#[test]
fn what_the_edge_does_not_do_is_refused_as_the_rfc_says() {
    let uri = format!("sip:{}@ip.example.com", number(0));
    let odd = |name: &str, value: &str| invite().with(name, value);
    let table = [
        (invite().set("Max-Forwards", "0"), "carrier 483 INVITE"),
        (odd("Require", "replaces"), "carrier 420 INVITE"),
        (odd("Proxy-Require", "privacy"), "carrier 420 INVITE"),
        (invite_to("urn:service:sos"), "carrier 416 INVITE"),
        (request("FROBNICATE", &uri), "carrier 501 FROBNICATE"),
        (request("REGISTER", &uri), "carrier 405 REGISTER"),
        (request("SUBSCRIBE", &uri), "carrier 405 SUBSCRIBE"),
        (request("BYE", &uri), "carrier 481 BYE"),
        (request("OPTIONS", &uri), "carrier 200 OPTIONS"),
        (
            invite_to("sip:+15555559999@ip.example.com"),
            "carrier 404 INVITE",
        ),
        (invite_to("sip:+1555@ip.example.com"), "carrier 484 INVITE"),
        (invite_to("sip:frank@ip.example.com"), "carrier 404 INVITE"),
        (
            invite_to("sip:+15555550100@elsewhere.example.com"),
            "carrier 403 INVITE",
        ),
    ];
    for (message, expected) in table {
        let mut desk = Desk::new(1);
        let said = desk.say(CARRIER, &message);
        let finals: Vec<_> = said
            .into_iter()
            .filter(|one| one.message.status() != 100)
            .collect();
        assert_eq!(ladder(&finals), [expected], "{}", message.line);
        desk.pass(Duration::from_secs(40));
        assert_eq!(desk.rest(), Gauges::default(), "{}", message.line);
    }
}

/// RFC 3261 §16.3, §8.2: Max-Forwards bounds what is sent on, not what is for ourselves.
#[test]
fn without_hops_left_only_what_would_be_sent_on_is_refused() {
    let uri = format!("sip:{}@ip.example.com", number(0));
    for (method, status) in [("OPTIONS", 200), ("REGISTER", 405), ("BYE", 481)] {
        let last = request(method, &uri).set("Max-Forwards", "0");
        let said = ladder(&Desk::new(1).say(CARRIER, &last));
        assert_eq!(said, [format!("carrier {status} {method}")]);
    }

    let mut talk = Talk::new();
    for (cseq, method) in [(2, "INFO"), (3, "OPTIONS"), (4, "INVITE")] {
        let last = talk.caller(method, cseq).set("Max-Forwards", "0");
        let said = ladder(&talk.caller_says(&last));
        assert_eq!(said, [format!("carrier 483 {method}")]);
    }
    let bye = talk.caller("BYE", 5).set("Max-Forwards", "0");
    let said = talk.caller_says(&bye);
    assert_eq!(ladder(&said), ["carrier 200 BYE", "b0 BYE"]);
    assert_eq!(said[1].message.value("Max-Forwards"), "70");
}

/// RFC 3261 §21.4.6: 405 says what is allowed there.
#[test]
fn allow_never_names_the_method_that_is_refused() {
    let uri = format!("sip:{}@ip.example.com", number(0));
    let mut talk = Talk::new();
    for method in ["REGISTER", "SUBSCRIBE", "PUBLISH", "MESSAGE", "NOTIFY"] {
        let said = Desk::new(1).say(CARRIER, &request(method, &uri));
        assert_eq!(ladder(&said), [format!("carrier 405 {method}")]);
        let allow = said[0].message.value("Allow");
        assert_eq!(
            allow,
            "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, INFO, UPDATE"
        );
        // Within a call, the last two are relayed.
        let within = talk.caller(method, 2);
        let said = talk.caller_says(&within);
        if let Some(refused) = said.iter().find(|one| one.message.status() == 405) {
            let allow = refused.message.value("Allow").to_owned();
            assert!(allow.ends_with("INFO, MESSAGE, NOTIFY, UPDATE"), "{allow}");
            assert!(!allow.contains(method), "{allow}");
        }
    }
}

#[test]
fn unsupported_names_what_was_required() {
    let mut desk = Desk::new(1);

    let said = desk.say(CARRIER, &invite().with("Require", "100rel, replaces"));

    assert_eq!(said[0].message.value("Unsupported"), "replaces");
}

#[test]
fn the_same_request_on_a_second_way_is_482() {
    let mut desk = Desk::new(1);
    let invite = invite();
    desk.say(CARRIER, &invite);

    let merged = invite.set("Via", format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bKother"));

    assert_eq!(ladder(&desk.say(CARRIER, &merged)), ["carrier 482 INVITE"]);
}

#[test]
fn an_address_that_is_not_listed_gets_403_or_silence() {
    let mut desk = Desk::new(1);
    let said = desk.say(STRANGER, &invite());
    assert_eq!(ladder(&said), ["stranger 403 INVITE"]);
    assert_eq!(desk.gauges(), Gauges::default());

    let mut desk = Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        strangers: Strangers::Silent,
        ..PolicySpec::default()
    });
    assert_eq!(ladder(&desk.say(STRANGER, &invite())), NOTHING);
    let refused = |event: &Event| {
        matches!(
            event,
            Event::Refused {
                why: Refusal::UnknownAddress,
                status: None,
                ..
            }
        )
    };
    assert!(desk.events.iter().any(refused));
}

#[test]
fn draining_refuses_new_calls_and_lets_the_others_be() {
    let mut talk = Talk::new();
    talk.desk.tell(Input::Drain(true));

    let fresh = invite()
        .set("Call-ID", "two")
        .set("Via", "SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK2");
    let said = talk.caller_says(&fresh);
    assert_eq!(ladder(&said), ["carrier 503 INVITE"]);
    assert!(said[0].message.first("Retry-After").is_some());
    let info = talk.caller("INFO", 2);
    assert_eq!(ladder(&talk.caller_says(&info)), ["b0 INFO"]);
    talk.desk.tell(Input::Drain(false));

    let third = fresh
        .set("Call-ID", "three")
        .set("Via", "SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK3");
    assert_eq!(
        ladder(&talk.caller_says(&third)),
        ["carrier 100 INVITE", "b0 INVITE"]
    );
}

#[test]
fn a_full_table_refuses_new_calls_only() {
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        calls: 1,
        ..PolicySpec::default()
    });
    let first = invite();
    desk.say(CARRIER, &first);

    let second = invite()
        .set("Call-ID", "two")
        .set("Via", "SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK2");

    assert_eq!(ladder(&desk.say(CARRIER, &second)), ["carrier 503 INVITE"]);
}

#[test]
fn the_operator_ends_a_call_in_any_state() {
    let mut talk = Talk::new();
    let said = talk.desk.tell(Input::Hangup(Which::All));
    assert_eq!(ladder(&said), ["carrier BYE", "b0 BYE"]);
    assert_eq!(talk.desk.recorded(), "stopped 200 by edge: answered");

    let mut desk = Desk::new(1);
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    desk.say_from(buyer(0), &answer(&offered, 180, "bob"));
    let said = desk.tell(Input::Hangup(Which::All));
    assert_eq!(ladder(&said), ["b0 CANCEL", "carrier 503 INVITE"]);
    assert_eq!(desk.recorded(), "stopped 503 by edge: cancelled");
}

#[test]
fn a_call_keeps_the_policy_it_began_with() {
    let mut desk = Desk::new(2);
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    let fewer = PolicySpec {
        lines: vec![specs(1)],
        generation: 2,
        ..PolicySpec::default()
    };
    desk.tell(Input::Policy(fewer.build()));

    let said = desk.say_from(buyer(0), &answer(&offered, 486, "bob"));

    assert_eq!(ladder(&said), ["b0 ACK", "b1 INVITE"]);
    desk.rest();
    assert_eq!(desk.records[0].generation, 1);
}

// --- callers that prove themselves by digest

/// An INVITE to a domain that asks for digest, with credentials for `challenge` if there is one.
fn digest_invite(cseq: u32, challenge: Option<(&str, u32)>) -> Msg {
    let uri = format!("sip:{}@digest.example.com", number(0));
    let invite = invite_to(&uri)
        .set("CSeq", format!("{cseq} INVITE"))
        .set("Via", format!("SIP/2.0/UDP {ROAMER};branch=z9hG4bK-{cseq}"));
    match challenge {
        Some((challenge, count)) => {
            let value = digest::answer(challenge, USER, PASSWORD, "INVITE", &uri, count);
            invite.with("Authorization", value)
        }
        None => invite,
    }
}

fn challenged(desk: &mut Desk) -> Vec<String> {
    let said = desk.say(ROAMER, &digest_invite(1, None));
    let refused = find(&said, "roamer 401 INVITE");
    refused.all("WWW-Authenticate").map(str::to_owned).collect()
}

#[test]
fn both_algorithms_are_offered_and_each_lets_in() {
    for place in [0, 1] {
        let mut desk = Desk::new(1);
        let challenges = challenged(&mut desk);
        let algorithms: Vec<_> = challenges
            .iter()
            .filter_map(|one| digest::value(one, "algorithm"))
            .collect();
        assert_eq!(algorithms, ["SHA-256", "MD5"]);
        assert_eq!(
            digest::value(&challenges[0], "qop").as_deref(),
            Some("auth")
        );

        let said = desk.say(ROAMER, &digest_invite(2, Some((&challenges[place], 1))));

        assert_eq!(ladder(&said), ["roamer 100 INVITE", "b0 INVITE"]);
        assert_eq!(find(&said, "b0 INVITE").first("Authorization"), None);
        desk.rest();
        assert_eq!(desk.records[0].user.as_deref(), Some(USER));
    }
}

/// Each nonce-count lets in once; greater ones at any time, skipped ones still within the window.
#[test]
fn a_nonce_count_is_good_for_one_request() {
    let mut desk = Desk::new(1);
    let challenge = challenged(&mut desk).remove(0);
    let mut cseq = 1;
    let mut dial = |desk: &mut Desk, count| {
        cseq += 1;
        let said = desk.say(ROAMER, &digest_invite(cseq, Some((&challenge, count))));
        said[0].message.clone()
    };

    assert_eq!(dial(&mut desk, 5).status(), 100);
    let replayed = dial(&mut desk, 5);
    assert_eq!(replayed.status(), 401);
    assert!(replayed.value("WWW-Authenticate").contains("stale=true"));
    assert_eq!(dial(&mut desk, 9).status(), 100);
    assert_eq!(dial(&mut desk, 7).status(), 100);
    assert_eq!(dial(&mut desk, 7).status(), 401);
    assert_eq!(dial(&mut desk, 200).status(), 100);
    assert_eq!(dial(&mut desk, 100).status(), 401);
}

/// The nonce-count was used up by the first, so the answer is kept for its repetitions.
#[test]
fn a_repeated_invite_with_credentials_gets_its_refusal_again() {
    let mut desk = Desk::new(1);
    let challenge = challenged(&mut desk).remove(0);
    desk.tell(Input::Drain(true));
    let dialled = digest_invite(2, Some((&challenge, 1)));

    let first = desk.say(ROAMER, &dialled);
    let again = desk.say(ROAMER, &dialled);

    assert_eq!(ladder(&first), ["roamer 503 INVITE"]);
    assert_eq!(ladder(&again), ["roamer 503 INVITE"]);
    assert_eq!(first[0].message, again[0].message);
}

#[test]
fn what_the_buyer_s_configuration_sets_the_caller_cannot_add_to() {
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        pass_headers: vec!["x-buyer".to_owned(), "x-carrier".to_owned()],
        ..PolicySpec::default()
    });

    let said = desk.say(
        CARRIER,
        &invite().with("x-buyer", "two").with("X-Carrier", "three"),
    );

    let offered = find(&said, "b0 INVITE");
    assert!(offered.all("X-Buyer").eq(["one"]));
    assert!(offered.all("X-Carrier").eq(["three"]));
}

#[test]
fn an_old_nonce_is_stale_and_the_next_one_lets_in() {
    let mut desk = Desk::new(1);
    let challenge = challenged(&mut desk).remove(0);
    desk.pass(Duration::from_secs(61));

    let said = desk.say(ROAMER, &digest_invite(2, Some((&challenge, 1))));
    let refused = find(&said, "roamer 401 INVITE");
    let fresh = refused.value("WWW-Authenticate");
    assert!(fresh.contains("stale=true"), "{fresh}");

    let said = desk.say(ROAMER, &digest_invite(3, Some((fresh, 1))));
    assert_eq!(said[0].message.status(), 100);
}

#[test]
fn wrong_credentials_get_the_same_answer_whatever_is_wrong_with_them() {
    let mut desk = Desk::new(1);
    let challenge = challenged(&mut desk).remove(0);
    let good = digest_invite(2, Some((&challenge, 1)));
    let credentials = good.value("Authorization").to_owned();
    let answers: Vec<Vec<Said>> = [
        credentials.replace("username=\"alice\"", "username=\"bob\""),
        credentials.replace("response=\"", "response=\"0"),
        credentials.replace(&number(0), &number(1)),
        "Digest nonsense".to_owned(),
    ]
    .into_iter()
    .enumerate()
    .map(|(place, wrong)| {
        let via = format!("SIP/2.0/UDP {ROAMER};branch=z9hG4bK-wrong-{place}");
        desk.say(
            ROAMER,
            &good.clone().set("Authorization", wrong).set("Via", via),
        )
    })
    .collect();

    for said in answers {
        assert_eq!(ladder(&said), ["roamer 401 INVITE"]);
        assert!(
            !said[0]
                .message
                .value("WWW-Authenticate")
                .contains("stale=true")
        );
    }
    // None of them used up the nonce-count.
    assert_eq!(desk.say(ROAMER, &good)[0].message.status(), 100);
}

#[test]
fn a_domain_may_ask_for_address_and_digest_or_for_either() {
    let to = |host: &str| invite_to(&format!("sip:{}@{host}", number(0)));

    let first = |from: &str, host: &str| {
        let said = Desk::new(1).say(from, &to(host));
        ladder(&said)[0].clone()
    };

    assert_eq!(first(CARRIER, "both.example.com"), "carrier 401 INVITE");
    assert_eq!(first(ROAMER, "both.example.com"), "roamer 403 INVITE");
    assert_eq!(first(CARRIER, "either.example.com"), "carrier 100 INVITE");
    assert_eq!(first(ROAMER, "either.example.com"), "roamer 401 INVITE");
    assert_eq!(first(CARRIER, "digest.example.com"), "carrier 401 INVITE");
    assert_eq!(first(CARRIER, "IP.Example.COM:5060"), "carrier 100 INVITE");
    assert_eq!(first(CARRIER, "192.0.2.1"), "carrier 100 INVITE");
}
