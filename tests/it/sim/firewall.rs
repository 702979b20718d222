//! What passes from one leg to the other, and what does not: headers, hosts, and who calls.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use strowger::call::output::Gauges;

use super::desk::{
    ANSWER, Desk, OFFER, Said, Talk, ack_of_failure, answer, buyer, buyer_request, caller_request,
    cancel, find, invite, ladder, specs,
};
use super::policy::{CARRIER, PolicySpec, STRANGER, TrustSpec, addr, number};
use super::text::{Msg, param};

/// Hosts of the carrier's and of the buyer's network; the other side must never read of them.
const CARRIERS: &str = "sbc7.carrier-canary.example";
const BUYERS: &str = "pbx3.buyer-canary.example";

// --- topology

/// Puts a host of the sender's wherever one fits, but for what describes the body and what is signed.
fn marked(message: Msg, host: &str) -> Msg {
    let mut marked = message;
    for name in [
        "User-Agent",
        "Server",
        "Organization",
        "Subject",
        "Priority",
    ] {
        marked = marked.with(name, host);
    }
    for name in [
        "Alert-Info",
        "Call-Info",
        "Error-Info",
        "Diversion",
        "History-Info",
        "Remote-Party-ID",
        "P-Asserted-Identity",
        "P-Preferred-Identity",
        "P-Charge-Info",
        "P-Called-Party-ID",
        "Reply-To",
        "Referred-By",
        "Path",
        "Service-Route",
        "Geolocation",
        "X-Carrier-Node",
    ] {
        marked = marked.with(name, format!("<sip:node@{host}>"));
    }
    for (name, value) in [
        ("Warning", format!("399 {host} \"no reason\"")),
        ("Reason", format!("SIP;cause=503;text=\"from {host}\"")),
        ("Reason", format!("{host};cause=1")),
        ("Reason", format!("Q.850;cause=16;via={host}")),
        ("Date", host.to_owned()),
        ("In-Reply-To", format!("1@{host}")),
        ("Accept", format!("application/{host}")),
        ("Accept-Language", host.to_owned()),
        ("Accept-Encoding", host.to_owned()),
        ("Allow-Events", host.to_owned()),
        ("Event", host.to_owned()),
        ("Subscription-State", format!("active;reason={host}")),
        ("Supported", host.to_owned()),
        ("Retry-After", format!("5 ({host})")),
        ("Timestamp", "54".to_owned()),
        ("Via", format!("SIP/2.0/UDP {host};branch=z9hG4bKold")),
        ("Record-Route", format!("<sip:{host};lr>")),
        ("P-Access-Network-Info", host.to_owned()),
        ("User-to-User", host.to_owned()),
        ("Session-ID", host.to_owned()),
        ("Info-Package", host.to_owned()),
        ("Recv-Info", host.to_owned()),
    ] {
        marked = marked.with(name, value);
    }
    marked
}

/// Counts the messages to one side; none of them names a host of the other's.
fn assert_unseen(said: &[Said], to: SocketAddr) -> usize {
    let hidden = if to == addr(CARRIER) {
        BUYERS
    } else {
        CARRIERS
    };
    let theirs: Vec<&Said> = said.iter().filter(|one| one.to == to).collect();
    for one in &theirs {
        let text = String::from_utf8_lossy(&one.bytes);
        assert!(!text.contains(hidden), "{text}");
    }
    theirs.len()
}

#[test]
fn no_host_of_one_side_is_seen_on_the_other() {
    let (carrier, b0) = (addr(CARRIER), buyer(0));
    let mut desk = Desk::new(1);
    let dialled = marked(invite(), CARRIERS)
        .set("From", format!("<sip:+15555550199@{CARRIERS}>;tag=ann"))
        .set("To", format!("<sip:{}@{CARRIERS}>", number(0)))
        .set("Call-ID", format!("one@{CARRIERS}"))
        .set("Contact", format!("<sip:ann@{CARRIERS}>"));
    let mut seen = 0;

    let said = desk.say(CARRIER, &dialled);
    seen += assert_unseen(&said, b0);
    let offered = find(&said, "b0 INVITE");
    let theirs = |status, tag: &str| {
        let reply = answer(&offered, status, tag).set("Contact", format!("<sip:bob@{BUYERS}>"));
        marked(reply, BUYERS)
    };
    seen += assert_unseen(&desk.say_from(b0, &theirs(180, "bob")), carrier);
    let said = desk.say_from(b0, &theirs(200, "bob").with_sdp(ANSWER));
    seen += assert_unseen(&said, carrier);
    let ok = find(&said, "carrier 200 INVITE");

    let ours = |method: &str, cseq| {
        let request = caller_request(method, cseq, &dialled, &ok);
        marked(
            request.set("Contact", format!("<sip:ann@{CARRIERS}>")),
            CARRIERS,
        )
    };
    assert_unseen(&desk.say(CARRIER, &ours("ACK", 1)), b0);
    for (cseq, method) in [(2, "INVITE"), (3, "INFO"), (4, "UPDATE"), (5, "MESSAGE")] {
        let said = desk.say(CARRIER, &ours(method, cseq).with_sdp(OFFER));
        seen += assert_unseen(&said, b0);
        let asked = find(&said, &format!("b0 {method}"));
        // The first is refused, so that failures are seen, too.
        let status = if cseq == 2 { 488 } else { 200 };
        let reply = marked(asked.reply(status, "bob"), BUYERS);
        let said = desk.say_from(b0, &reply);
        seen += assert_unseen(&said, carrier);
        if cseq == 2 {
            let refused = find(&said, "carrier 488 INVITE");
            assert_eq!(refused.value("Retry-After"), "5");
            let ack = ack_of_failure(&ours(method, cseq), &refused);
            desk.say(CARRIER, &ack);
        }
    }
    let theirs = |method: &str, cseq| {
        let request = buyer_request(method, cseq, &offered, "bob");
        marked(
            request.set("Contact", format!("<sip:bob@{BUYERS}>")),
            BUYERS,
        )
    };
    for (cseq, method) in [(7, "INVITE"), (8, "NOTIFY")] {
        let said = desk.say_from(b0, &theirs(method, cseq).with_sdp(OFFER));
        seen += assert_unseen(&said, carrier);
        let asked = find(&said, &format!("carrier {method}"));
        let reply = marked(
            asked.reply(if cseq == 7 { 488 } else { 200 }, "ann"),
            CARRIERS,
        );
        seen += assert_unseen(&desk.say(CARRIER, &reply), b0);
    }
    seen += assert_unseen(&desk.say(CARRIER, &ours("BYE", 9)), b0);

    let mut desk = Desk::new(1);
    let said = desk.say(CARRIER, &dialled);
    let offered = find(&said, "b0 INVITE");
    desk.say_from(b0, &answer(&offered, 180, "bob"));
    seen += assert_unseen(&desk.say(CARRIER, &marked(cancel(&dialled), CARRIERS)), b0);
    assert_eq!(seen, 17, "messages that crossed");
}

/// Where the operator lets them pass, their hosts still stay.
#[test]
fn listed_addresses_pass_at_our_own_host() {
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        pass_headers: ["Diversion", "history-info", "REMOTE-PARTY-ID"]
            .map(str::to_owned)
            .to_vec(),
        ..PolicySpec::default()
    });
    let said = desk.say(
        CARRIER,
        &invite()
            .with(
                "Diversion",
                format!(
                    "\"Tom\" <sip:+15555550111@{CARRIERS};user=phone>;reason=unconditional,\r\n <tel:+15555550112>;reason=no-answer"
                ),
            )
            .with(
                "History-Info",
                format!("<sip:+15555550113@{CARRIERS}?Reason=SIP%3Bcause%3D302>;index=1.1"),
            )
            .with(
                "Remote-Party-ID",
                format!("<sip:+15555550114@{CARRIERS}>;party=calling;privacy=off"),
            ),
    );

    let offered = find(&said, "b0 INVITE");
    let diversions: Vec<_> = offered.all("Diversion").collect();
    assert_eq!(
        diversions,
        [
            "\"Tom\" <sip:+15555550111@192.0.2.1:5060;user=phone>;reason=unconditional",
            "<sip:+15555550112@192.0.2.1:5060;user=phone>;reason=no-answer"
        ]
    );
    assert_eq!(
        offered.value("History-Info"),
        "<sip:+15555550113@192.0.2.1:5060?Reason=SIP%3Bcause%3D302>;index=1.1"
    );
    assert_eq!(
        offered.value("Remote-Party-ID"),
        "<sip:+15555550114@192.0.2.1:5060>;party=calling;privacy=off"
    );
    assert_unseen(&said, buyer(0));
}

// --- lists

#[test]
fn each_side_may_list_and_each_side_may_remove() {
    let mut spec = specs(1);
    spec[0].pass_from = vec!["X-Agent".to_owned(), "X-Secret".to_owned()];
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![spec],
        pass_headers: vec!["X-Acme-*".to_owned(), "Call-Info".to_owned()],
        trust: TrustSpec {
            pass_to: vec!["P-Early-Media".to_owned()],
            remove: vec!["subject".to_owned(), "X-Secret".to_owned()],
            ..TrustSpec::default()
        },
        ..PolicySpec::default()
    });
    let dialled = invite()
        .with("x-acme-CALL", "7")
        .with("X-Agent", "of the caller, not listed")
        .with(
            "Call-Info",
            "<http://pictures.example.com/ann>;purpose=icon",
        )
        .with("s", "roofs")
        .with("P-Other", "no");

    let offered = find(&desk.say(CARRIER, &dialled), "b0 INVITE");
    assert_eq!(offered.value("X-Acme-Call"), "7");
    assert!(offered.value("Call-Info").contains("pictures"));
    for name in ["X-Agent", "Subject", "s", "P-Other"] {
        assert_eq!(offered.first(name), None, "{name}");
    }

    let ok = answer(&offered, 200, "bob")
        .with("X-Agent", "kate")
        .with("X-Secret", "no")
        .with("X-Acme-Call", "no")
        .with("P-Early-Media", "sendonly")
        .with("P-Charge-Info", "no")
        .with_sdp(ANSWER);
    let heard = find(&desk.say_from(buyer(0), &ok), "carrier 200 INVITE");
    assert_eq!(heard.value("X-Agent"), "kate");
    assert_eq!(heard.value("P-Early-Media"), "sendonly");
    for name in ["X-Secret", "X-Acme-Call", "P-Charge-Info"] {
        assert_eq!(heard.first(name), None, "{name}");
    }
}

#[test]
fn listed_headers_pass_within_the_call_and_in_its_last_words() {
    let mut spec = specs(1);
    spec[0].pass_from = vec!["X-Agent".to_owned()];
    let desk = Desk::with(&PolicySpec {
        lines: vec![spec],
        pass_headers: vec!["User-to-User".to_owned()],
        ..PolicySpec::default()
    });
    let mut talk = Talk::unacknowledged(desk);
    talk.caller_says(&talk.caller("ACK", 1));

    let info = talk
        .buyer("INFO", 5)
        .with("X-Agent", "kate")
        .with("User-to-User", "no");
    let asked = find(&talk.buyer_says(&info), "carrier INFO");
    assert_eq!(asked.value("X-Agent"), "kate");
    assert_eq!(asked.first("User-to-User"), None);

    let bye = talk
        .caller("BYE", 2)
        .with("User-to-User", "04c3;encoding=hex");
    let ended = find(&talk.caller_says(&bye), "b0 BYE");
    assert_eq!(ended.value("User-to-User"), "04c3;encoding=hex");
}

#[test]
fn what_only_twilio_can_set_passes_from_its_addresses_only() {
    let heard = |twilio: &[&str]| {
        let mut desk = Desk::with(&PolicySpec {
            lines: vec![specs(1)],
            pass_headers: vec!["X-Twilio-*".to_owned()],
            trust: TrustSpec {
                twilio: twilio.iter().map(|one| addr(one).ip()).collect(),
                ..TrustSpec::default()
            },
            ..PolicySpec::default()
        });
        let dialled = invite()
            .with("x-twilio-CallSid", "CA1")
            .with("X-Twilio-To", "b");
        let offered = find(&desk.say(CARRIER, &dialled), "b0 INVITE");
        ["X-Twilio-CallSid", "X-Twilio-To"].map(|name| offered.first(name).map(str::to_owned))
    };

    assert_eq!(heard(&[]), [None, None]);
    assert_eq!(heard(&[STRANGER]), [None, None]);
    assert_eq!(
        heard(&[CARRIER]),
        [Some("CA1".to_owned()), Some("b".to_owned())]
    );
}

#[test]
fn from_twilios_addresses_only_the_trunks_own_accounts_may_call() {
    let account = "AC0123456789abcdef0123456789abcdef";
    let other = "ACffffffffffffffffffffffffffffffff";
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        trust: TrustSpec {
            twilio: vec![addr(CARRIER).ip()],
            twilio_accounts: vec![account.to_owned()],
            ..TrustSpec::default()
        },
        ..PolicySpec::default()
    });
    let named = |names: &[&str]| {
        let place = names.len().to_string() + names.first().copied().unwrap_or_default();
        let via = format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK-{place}");
        let dialled = invite().set("Via", via).set("Call-ID", place);
        let add = |message: Msg, name: &&str| message.with("X-Twilio-AccountSid", *name);
        names.iter().fold(dialled, add)
    };

    for (names, first) in [
        (&[][..], "carrier 403 INVITE"),
        (&[other], "carrier 403 INVITE"),
        (&[account, other], "carrier 403 INVITE"),
        (&[account], "carrier 100 INVITE"),
    ] {
        let said = desk.say(CARRIER, &named(names));
        assert_eq!(ladder(&said)[0], first, "{names:?}");
    }
}

// --- why a call ends

#[test]
fn the_reason_of_a_bye_reaches_the_other_side() {
    let reason = "Q.850;cause=16;text=\"Normal call clearing\"";
    let mut talk = Talk::new();
    let bye = talk.caller("BYE", 2).with("Reason", reason);
    assert_eq!(
        find(&talk.caller_says(&bye), "b0 BYE").value("Reason"),
        reason
    );

    let mut talk = Talk::new();
    let bye = talk.buyer("BYE", 2).with(
        "Reason",
        "SIP;cause=480, Q.850 ;cause=17;text=\"on 10.1.2.3\"",
    );
    let ended = find(&talk.buyer_says(&bye), "carrier BYE");
    assert!(ended.all("Reason").eq(["SIP;cause=480", "Q.850;cause=17"]));

    let mut talk = Talk::new();
    let ended = find(&talk.caller_says(&talk.caller("BYE", 2)), "b0 BYE");
    assert_eq!(ended.first("Reason"), None);
}

/// A callee must not send BYE before the ACK (RFC 3261 §15): the reason waits with it.
#[test]
fn the_reason_of_a_bye_waits_for_the_ack() {
    let mut talk = Talk::unacknowledged(Desk::new(1));
    let bye = talk.buyer("BYE", 2).with("Reason", "Q.850;cause=38");
    let said = talk.buyer_says(&bye);
    assert_eq!(ladder(&said), ["b0 200 BYE"]);

    let ended = find(&talk.caller_says(&talk.caller("ACK", 1)), "carrier BYE");
    assert_eq!(ended.value("Reason"), "Q.850;cause=38");
}

#[test]
fn the_reason_of_a_cancel_reaches_the_buyer_at_once_or_with_its_first_answer() {
    let reason = "SIP;cause=200;text=\"Call completed elsewhere\"";
    for is_heard_before in [true, false] {
        let mut desk = Desk::new(1);
        let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
        let ringing = answer(&offered, 180, "bob");
        if is_heard_before {
            desk.say_from(buyer(0), &ringing);
        }
        let mut said = desk.say(CARRIER, &cancel(&invite()).with("Reason", reason));
        if !is_heard_before {
            said = desk.say_from(buyer(0), &ringing);
        }
        let cancelled = find(&said, "b0 CANCEL");
        assert_eq!(cancelled.value("Reason"), reason, "{is_heard_before}");
    }
}

#[test]
fn the_reason_of_an_answer_reaches_the_caller() {
    let mut desk = Desk::new(1);
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    let progress = answer(&offered, 183, "bob").with("Reason", "Q.850;cause=127;location=LN");

    let heard = find(&desk.say_from(buyer(0), &progress), "carrier 183 INVITE");

    assert_eq!(heard.value("Reason"), "Q.850;cause=127;location=LN");
}

// --- signed callers

/// RFC 8224: the signature holds for From's number, To's number and Date, so those stay as they are.
#[test]
fn a_signed_caller_passes_byte_for_byte() {
    let signed = "eyJhbGciOiJFUzI1NiJ9.eyJhdHRlc3QiOiJBIn0.c2ln;info=<https://certs.example.org/a.pem>;alg=ES256;ppt=\"shaken\"";
    let mut desk = Desk::new(1);
    let dialled = invite()
        .with("y", signed)
        .with("Identity", "second;info=<https://b.example.org>")
        .with("Date", "Sat, 21 Nov 2026 10:00:00 GMT")
        .set(
            "From",
            "\"Ann\" <sip:+15555550199@carrier.example.net;user=phone>;tag=ann",
        );

    let offered = find(&desk.say(CARRIER, &dialled), "b0 INVITE");

    assert!(
        offered
            .all("Identity")
            .eq([signed, "second;info=<https://b.example.org>"])
    );
    assert_eq!(offered.value("Date"), "Sat, 21 Nov 2026 10:00:00 GMT");
    assert!(
        offered
            .value("From")
            .starts_with("\"Ann\" <sip:+15555550199@192.0.2.1:5060;user=phone>")
    );
    assert_eq!(
        offered.value("To"),
        format!("<sip:{}@{}>", number(0), buyer(0).ip())
    );
    // Without a signature To is the buyer's own.
    let plain = find(&Desk::new(1).say(CARRIER, &invite()), "b0 INVITE");
    assert_eq!(plain.value("To"), format!("<sip:c0b0@{}>", buyer(0)));
}

#[test]
fn a_signature_does_not_pass_with_a_caller_who_is_withheld() {
    let mut desk = Desk::new(1);
    let dialled = invite()
        .with("Identity", "a.b.c;info=<https://c>")
        .with("Privacy", "id");

    let offered = find(&desk.say(CARRIER, &dialled), "b0 INVITE");

    assert_eq!(offered.first("Identity"), None);
    assert_eq!(offered.value("To"), format!("<sip:c0b0@{}>", buyer(0)));
}

// --- who calls

#[test]
fn privacy_is_kept_by_what_it_asks_for() {
    for (privacy, is_anonymous) in [
        ("none", false),
        ("header", false),
        ("session", false),
        ("history", false),
        ("critical", false),
        ("nonsense", false),
        ("id", true),
        ("ID", true),
        ("user", true),
        ("header; id ;critical", true),
        ("none;id", true),
    ] {
        let mut desk = Desk::with(&PolicySpec {
            lines: vec![specs(1)],
            pass_headers: vec!["History-Info".to_owned(), "Reply-To".to_owned()],
            ..PolicySpec::default()
        });
        let dialled = invite()
            .with("Privacy", privacy)
            .with("Reply-To", "<sip:+15555550199@example.com>")
            .with("History-Info", "<sip:+15555550199@example.com>;index=1");
        let offered = find(&desk.say(CARRIER, &dialled), "b0 INVITE");
        let text = format!("{offered:?}");

        assert_eq!(
            !text.contains("5555550199"),
            is_anonymous,
            "{privacy}: {text}"
        );
        assert_eq!(
            offered.value("From").contains("anonymous.invalid"),
            is_anonymous
        );
        let hides_history = is_anonymous || matches!(privacy, "header" | "history");
        assert_eq!(
            offered.first("History-Info").is_none(),
            hides_history,
            "{privacy}"
        );
        assert_eq!(offered.first("Privacy"), None);
        desk.say_from(buyer(0), &answer(&offered, 486, "bob"));
        desk.rest();
        assert_eq!(desk.records[0].caller.is_none(), is_anonymous, "{privacy}");
    }
}

/// RFC 3323 §5: what is critical and cannot be given is refused; what is only wished for is not.
#[test]
fn a_call_whose_critical_privacy_cannot_be_given_is_refused() {
    for (privacy, is_refused) in [
        ("session", false),
        ("session;id", false),
        ("nonsense", false),
        ("critical", false),
        ("id;user;header;history;critical", false),
        ("none;critical", false),
        ("session;critical", true),
        ("CRITICAL ; id; Session", true),
        ("nonsense;critical", true),
    ] {
        let mut desk = Desk::new(1);

        let said = desk.say(CARRIER, &invite().with("Privacy", privacy));

        let expected = if is_refused {
            &["carrier 500 INVITE"][..]
        } else {
            &["carrier 100 INVITE", "b0 INVITE"]
        };
        assert_eq!(ladder(&said), expected, "{privacy}");
        if is_refused {
            let reason = said[0].message.value("Reason");
            assert_eq!(reason, "SIP;cause=500;text=\"privacy\"");
            assert_eq!(desk.rest(), Gauges::default());
            assert_eq!(desk.records.len(), 0);
        }
    }
}

#[test]
fn among_those_who_are_trusted_identity_and_privacy_pass() {
    let mut spec = specs(1);
    spec[0].is_trusted = true;
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![spec],
        trust: TrustSpec {
            is_trusted: true,
            ..TrustSpec::default()
        },
        ..PolicySpec::default()
    });
    let dialled = invite()
        .set(
            "From",
            "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=ann",
        )
        .with("Privacy", "id;user")
        .with(
            "P-Asserted-Identity",
            "\"Ann\" <sip:+15555550199@sbc.example.net>, <tel:+15555550199>",
        )
        .with("P-Asserted-Identity", "<sip:+15555550177@sbc.example.net>")
        .with("P-Preferred-Identity", "<sip:+15555550188@sbc.example.net>");

    let offered = find(&desk.say(CARRIER, &dialled), "b0 INVITE");

    assert!(offered.all("P-Asserted-Identity").eq([
        "\"Ann\" <sip:+15555550199@192.0.2.1:5060>",
        "<sip:+15555550199@192.0.2.1:5060;user=phone>"
    ]));
    assert_eq!(offered.value("Privacy"), "id;user");
    assert_eq!(offered.first("P-Preferred-Identity"), None);
    assert!(offered.value("From").contains("anonymous.invalid"));
}

/// Every kind of trunk and buyer, with every combination of what a caller may claim: only identities that
/// the trunk may send reach the buyer, and only to whom they may be told.
#[test]
fn row_29_caller_id_spoofing() {
    const OWN: &str = "+15555550199";
    const OTHER: &str = "+15555550150";
    const STOLEN: &str = "+18005550000";
    const FROMS: [&str; 6] = [
        "<sip:+15555550199@a.example>",
        "\"Ann\" <sip:5555550199@a.example>",
        "<sip:+18005550000@a.example>",
        "\"+1 800 555 0000\" <sip:+15555550199@a.example>",
        "<sip:ceo@bank.example>",
        "<sip:+15555550199;x=+18005550000@a.example>",
    ];
    const CLAIMS: [Option<&str>; 4] = [
        None,
        Some("<sip:+15555550150@a.example>"),
        Some("<tel:+18005550000>"),
        Some("<sip:+18005550000@a.example>, <tel:+15555550150>"),
    ];
    let mut cases = 0;
    let mut froms = BTreeSet::new();
    for trunk in 0..4 {
        let (is_trusted, is_bound) = (trunk & 1 != 0, trunk & 2 != 0);
        for is_buyer_trusted in [false, true] {
            let mut spec = specs(1);
            spec[0].is_trusted = is_buyer_trusted;
            let policy = PolicySpec {
                lines: vec![spec],
                // Even a trunk that is told to pass them does not.
                pass_headers: ["P-Asserted-Identity", "P-Preferred-Identity", "Privacy"]
                    .map(str::to_owned)
                    .to_vec(),
                trust: TrustSpec {
                    is_trusted,
                    caller_ids: is_bound.then(|| vec!["+155555501*".to_owned()]),
                    ..TrustSpec::default()
                },
                ..PolicySpec::default()
            };
            for from in FROMS {
                for asserted in CLAIMS {
                    for preferred in CLAIMS {
                        for privacy in [None, Some("id"), Some("none")] {
                            let mut dialled = invite().set("From", format!("{from};tag=ann"));
                            for (name, value) in [
                                ("P-Asserted-Identity", asserted),
                                ("p-preferred-identity", preferred),
                                ("Privacy", privacy),
                            ] {
                                if let Some(value) = value {
                                    dialled = dialled.with(name, value);
                                }
                            }
                            let mut desk = Desk::with(&policy);
                            let offered = find(&desk.say(CARRIER, &dialled), "b0 INVITE");
                            let text = format!("{offered:?}");
                            let case = format!("{trunk} {is_buyer_trusted} {dialled:?}\n{text}");
                            cases += 1;

                            assert_eq!(offered.first("P-Preferred-Identity"), None, "{case}");
                            if is_bound {
                                assert!(!text.contains(&STOLEN[2..]), "{case}");
                                assert!(!text.contains("800 555"), "{case}");
                                assert!(!text.contains("ceo"), "{case}");
                            }
                            let claims: Vec<_> = offered.all("P-Asserted-Identity").collect();
                            if !(is_trusted && is_buyer_trusted) {
                                assert_eq!(claims, [""; 0], "{case}");
                            } else if asserted == CLAIMS[1] && from != FROMS[2] && from != FROMS[4]
                            {
                                assert_eq!(claims.len(), 1, "{case}");
                                assert!(claims[0].contains(OTHER), "{case}");
                            }
                            let is_private = privacy == Some("id") && !is_buyer_trusted;
                            if is_private {
                                for number in [OWN, OTHER, STOLEN] {
                                    assert!(!text.contains(&number[2..]), "{case}");
                                }
                            }
                            let is_bad = is_bound && (from == FROMS[2] || from == FROMS[4]);
                            let is_anonymous = offered.value("From").contains("anonymous.invalid");
                            assert_eq!(is_anonymous, is_private || is_bad, "{case}");
                            let own = param(offered.value("From"), "tag").expect("a tag").len();
                            froms.insert(offered.value("From").len() - own);
                        }
                    }
                }
            }
        }
    }
    assert_eq!(cases, 4 * 2 * 6 * 4 * 4 * 3);
    assert!(froms.len() > 4, "callers differ: {froms:?}");
}

// --- toll fraud

/// Whatever a caller or a buyer names, nothing is sent to anybody but the two.
#[test]
fn row_28_toll_fraud_by_foreign_hosts() {
    let foreign = |number: usize| format!("sip:+88213{number:07}@premium{number}.example");
    let mut messages = 0;
    for place in 0..1000 {
        let mut desk = Desk::new(2);
        let target = foreign(place);
        let uri = match place % 4 {
            0 => target.clone(),
            1 => format!("sip:{}@ip.example.com;maddr=198.51.100.200", number(0)),
            2 => format!("sip:+88213{place:07}@ip.example.com"),
            _ => format!("sip:{}@ip.example.com", number(0)),
        };
        let dialled = super::desk::invite_to(&uri)
            .set("To", format!("<{target}>"))
            .with("Route", format!("<{target};lr>"))
            .with("Diversion", format!("<{target}>"))
            .with("P-Called-Party-ID", format!("<{target}>"))
            .with("Refer-To", format!("<{target}>"));
        let mut said = desk.say(CARRIER, &dialled);
        let offered = said.iter().find(|one| one.to == buyer(0)).cloned();
        if let Some(offered) = offered {
            let moved = offered
                .message
                .reply(302, "bob")
                .with("Contact", format!("<{target}>"));
            said.extend(desk.say_from(buyer(0), &moved));
        }
        for one in &said {
            let is_known = [addr(CARRIER), buyer(0), buyer(1)].contains(&one.to);
            assert!(is_known, "{:?}", one.message);
            let leaks = one.to != addr(CARRIER) && format!("{:?}", one.message).contains("88213");
            assert!(!leaks, "{:?}", one.message);
            messages += 1;
        }
    }
    assert!(messages > 2000, "{messages}");
}
