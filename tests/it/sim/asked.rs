//! What one side may ask of the other within a call, and what of the edge outside one.

use strowger::routing::trunk::Refer;

use super::desk::{ANSWER, Desk, Talk, answer, buyer, find, invite, ladder, request, specs};
use super::policy::{CARRIER, PolicySpec, number};
use super::text::Msg;

/// A call whose caller, or whose buyer, may send REFER.
fn referring_talk(caller: Refer, of_buyer: Refer) -> Talk {
    let mut buyers = specs(1);
    buyers[0].refer = of_buyer;
    let mut talk = Talk::unacknowledged(Desk::with(&PolicySpec {
        lines: vec![buyers],
        refer: caller,
        ..PolicySpec::default()
    }));
    let ack = talk.caller("ACK", 1);
    talk.caller_says(&ack);
    talk
}

fn referring(request: Msg, to: &str) -> Msg {
    request
        .with("Refer-To", to)
        .with("Referred-By", "<sip:ann@carrier.example.net>")
        .with("Refer-Sub", "true")
        .with("X-Private", "1")
}

#[test]
fn refer_is_handed_on_untouched_with_its_progress_where_that_is_allowed() {
    let to = "<sip:+15555550142@elsewhere.example.com?Replaces=a%3Bto-tag%3Db>";
    let mut talk = referring_talk(Refer::Relay, Refer::Refuse);
    assert!(talk.ok.all("Allow").any(|allow| allow == "REFER"));
    assert!(talk.offered.all("Allow").all(|allow| allow != "REFER"));

    let asked = referring(talk.caller("REFER", 2), to);
    let said = talk.caller_says(&asked);

    assert_eq!(ladder(&said), ["b0 REFER"]);
    let asked = &said[0].message;
    assert_eq!(asked.value("Refer-To"), to);
    assert_eq!(asked.value("Referred-By"), "<sip:ann@carrier.example.net>");
    assert_eq!(asked.value("Refer-Sub"), "true");
    assert_eq!(asked.first("X-Private"), None);
    assert!(asked.contact().is_some());
    let said = talk.buyer_says(&answer(asked, 202, "bob"));
    assert_eq!(ladder(&said), ["carrier 202 REFER"]);
    assert!(said[0].message.contact().is_some());
    let progress = talk
        .buyer("NOTIFY", 1)
        .with("Event", "refer;id=2")
        .with("Subscription-State", "active;expires=60")
        .with_body("message/sipfrag;version=2.0", "SIP/2.0 100 Trying\r\n");
    let said = talk.buyer_says(&progress);
    assert_eq!(ladder(&said), ["carrier NOTIFY"]);
    let told = &said[0].message;
    for name in ["Event", "Subscription-State", "Content-Type"] {
        assert_eq!(told.value(name), progress.value(name));
    }
    assert_eq!(told.body, progress.body);
    let said = talk.caller_says(&told.reply(200, "x"));
    assert_eq!(ladder(&said), ["b0 200 NOTIFY"]);
}

#[test]
fn refer_is_603_for_whom_it_is_not_allowed_and_nobody_hears_of_it() {
    for (caller, of_buyer) in [
        (Refer::Refuse, Refer::Refuse),
        (Refer::Relay, Refer::Refuse),
        (Refer::Refuse, Refer::Relay),
    ] {
        let mut talk = referring_talk(caller, of_buyer);
        let to = "<sip:+882990000000@elsewhere.example.com>";
        let from_caller = referring(talk.caller("REFER", 2), to);
        let from_buyer = referring(talk.buyer("REFER", 1), to);
        let heard = |refer, asked: &'static str, refused: &'static str| match refer {
            Refer::Relay => [asked],
            Refer::Refuse | Refer::Terminate => [refused],
        };

        let said = ladder(&talk.caller_says(&from_caller));
        assert_eq!(said, heard(caller, "b0 REFER", "carrier 603 REFER"));
        let said = ladder(&talk.buyer_says(&from_buyer));
        assert_eq!(said, heard(of_buyer, "carrier REFER", "b0 603 REFER"));
    }
}

/// The names of a call of ours are those of one leg: the other side would ask for them in vain. Calls of others pass.
#[test]
fn a_transfer_that_replaces_a_call_of_ours_is_refused() {
    let mut talk = referring_talk(Refer::Relay, Refer::Relay);
    let (ours, theirs) = (
        talk.ok.tag_in_to().unwrap().to_owned(),
        talk.offered
            .value("From")
            .rsplit("tag=")
            .next()
            .unwrap()
            .to_owned(),
    );
    let mut cseq = 1;
    for (replaced, status) in [
        (
            format!("Replaces=a%40b%3Bto-tag%3D{ours}%3Bfrom-tag%3D1"),
            Some(603),
        ),
        (
            format!("Require=replaces&r%65PLACES=a;from-tag={theirs};to-tag=2"),
            Some(603),
        ),
        (
            format!("Replaces=a%3Bto-tag%3D{}%3Bfrom-tag%3D1", "0".repeat(42)),
            None,
        ),
        (format!("Subject=a%3Bto-tag%3D{ours}"), None),
    ] {
        cseq += 1;
        let to = format!("\"Who? Eve\" <sip:eve@elsewhere.example.com?{replaced}>");
        let asked = referring(talk.caller("REFER", cseq), &to);
        let said = talk.caller_says(&asked);
        match status {
            Some(status) => {
                assert_eq!(ladder(&said), [format!("carrier {status} REFER")], "{to}");
            }
            None => {
                assert_eq!(ladder(&said), ["b0 REFER"], "{to}");
                assert_eq!(said[0].message.value("Refer-To"), to);
                talk.buyer_says(&answer(&said[0].message, 202, "bob"));
            }
        }
    }
}

/// It is meant to take a call over, so it must not become one more (row 28 of the threats: toll fraud).
#[test]
fn row_28_an_invite_that_replaces_a_call_begins_none() {
    let mut talk = referring_talk(Refer::Terminate, Refer::Terminate);
    let tag = talk.ok.tag_in_to().unwrap().to_owned();
    let call = talk.ok.value("Call-ID").to_owned();
    for replaced in [
        format!("{call};to-tag={tag};from-tag=1"),
        "nobody@example.com;to-tag=7;from-tag=8".to_owned(),
        String::new(),
    ] {
        let asked = invite()
            .set("Call-ID", "other@carrier.example.net")
            .set(
                "Via",
                format!(
                    "SIP/2.0/UDP {CARRIER};branch=z9hG4bK-{};rport",
                    replaced.len()
                ),
            )
            .with("Replaces", replaced.as_str());

        let said = talk.desk.say(CARRIER, &asked);

        assert_eq!(ladder(&said), ["carrier 481 INVITE"], "{replaced}");
        let why = "SIP;cause=481;text=\"replaces\"";
        assert_eq!(said[0].message.value("Reason"), why);
    }
    assert_eq!(talk.desk.gauges().calls_ringing, 0);
    assert_eq!(talk.desk.gauges().calls_talking, 1);
}

/// However much a REFER names numbers and hosts of others, no call of ours goes there (row 28 of the threats: toll
/// fraud).
#[test]
fn row_28_a_thousand_refers_make_the_edge_call_nobody() {
    let mut talk = referring_talk(Refer::Relay, Refer::Relay);
    for place in 0..1000 {
        let to = format!("<sip:+88299{place:07}@198.51.100.{}>", place % 256);
        let asked = referring(talk.caller("REFER", 2 + place), &to);
        let said = talk.caller_says(&asked);
        let asked = find(&said, "b0 REFER");
        talk.buyer_says(&answer(&asked, 202, "bob"));
        assert_eq!(said.len(), 1);
    }
    assert_eq!(talk.desk.gauges().calls_ringing, 0);
    assert_eq!(talk.desk.gauges().calls_talking, 1);
}

#[test]
fn a_method_that_nobody_knows_passes_within_a_call_and_is_501_outside() {
    let mut talk = Talk::new();
    let asked = talk.caller("FROBNICATE", 2).with_body("text/plain", "x");
    let said = talk.caller_says(&asked);
    assert_eq!(ladder(&said), ["b0 FROBNICATE"]);
    assert_eq!(said[0].message.body, "x");
    let said = talk.buyer_says(&said[0].message.reply(501, "bob"));
    assert_eq!(ladder(&said), ["carrier 501 FROBNICATE"]);

    let uri = format!("sip:{}@ip.example.com", number(0));
    let said = Desk::new(1).say(CARRIER, &request("FROBNICATE", &uri));
    assert_eq!(ladder(&said), ["carrier 501 FROBNICATE"]);
    assert!(said[0].message.value("Allow").contains("PRACK"));
}

#[test]
fn what_concerns_no_call_is_405_within_one_too() {
    let mut talk = Talk::new();
    for method in ["REGISTER", "SUBSCRIBE", "PUBLISH"] {
        let asked = talk.buyer(method, 1);
        let said = talk.buyer_says(&asked);
        assert_eq!(ladder(&said), [format!("b0 405 {method}")]);
        assert!(said[0].message.first("Allow").is_some());
    }
}

/// RFC 3261 §11: within a dialog OPTIONS asks the other end, outside it asks us.
#[test]
fn options_is_answered_outside_a_call_and_relayed_within() {
    let uri = format!("sip:{}@ip.example.com", number(0));
    let said = Desk::new(1).say(CARRIER, &request("OPTIONS", &uri));
    assert_eq!(ladder(&said), ["carrier 200 OPTIONS"]);
    let allow = said[0].message.value("Allow");
    assert!(
        allow.contains("PRACK") && allow.contains("UPDATE"),
        "{allow}"
    );
    assert_eq!(said[0].message.value("Accept"), "application/sdp");

    let mut talk = Talk::new();
    let asked = talk.buyer("OPTIONS", 1);
    assert_eq!(ladder(&talk.buyer_says(&asked)), ["carrier OPTIONS"]);
}

/// Before the answer there is nobody to ask; it may come again.
#[test]
fn a_request_in_an_early_dialog_is_500_with_retry_after() {
    let mut desk = Desk::new(1);
    let invite = invite();
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let said = desk.say_from(buyer(0), &answer(&offered, 183, "bob").with_sdp(ANSWER));
    let early = find(&said, "carrier 183 INVITE");
    for (cseq, method) in [(2, "INFO"), (3, "MESSAGE"), (4, "INVITE"), (5, "OPTIONS")] {
        let asked = super::desk::caller_request(method, cseq, &invite, &early);
        let said = desk.say(CARRIER, &asked);
        assert_eq!(ladder(&said), [format!("carrier 500 {method}")]);
        assert_eq!(said[0].message.value("Retry-After"), "2");
    }
}
