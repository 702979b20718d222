//! Calls that go well: by address, by digest, and what the buyer is told.

use std::time::Duration;

use md5::Digest as _;
use serde_json::Value;

use crate::edge::Edge;
use crate::sipp::Running;
use crate::sipp::Sipp;
use crate::site::BY_ADDRESS;
use crate::site::BY_DIGEST;
use crate::site::BY_EITHER_DIGEST;
use crate::site::NUMBER;
use crate::site::REALM;
use crate::site::Site;
use crate::site::USER;

#[test]
fn a_listed_carrier_reaches_the_buyer_and_hangs_up() {
    let mut site = Site::new();
    let buyer = site.buyer("first");
    let edge = Edge::start(&site);

    let mut buyer = Sipp::buyer("buyer_answers", buyer).start(site.folder());
    let mut carrier = call(&site, "carrier_call").start(site.folder());
    carrier.passes();
    buyer.passes();

    let record = edge.record();
    is_completed(&record, "first", "caller");
    assert_eq!(record["dialled"], NUMBER);
    assert_eq!(record["caller"], "+12125550142");
    assert_eq!(record["afid"], "1001");
    assert_eq!(record["sid"], "sub7");
    buyer_was_told(&buyer, &record);
    legs_are_apart(&carrier, &buyer);
    edge.holds_no_call();
}

#[test]
fn the_buyer_hangs_up() {
    let mut site = Site::new();
    let buyer = site.buyer("first");
    let edge = Edge::start(&site);

    let mut buyer = Sipp::buyer("buyer_hangs_up", buyer).start(site.folder());
    let mut carrier = call(&site, "carrier_call_ended").start(site.folder());
    carrier.passes();
    buyer.passes();

    is_completed(&edge.record(), "first", "buyer");
    edge.holds_no_call();
}

#[test]
fn a_carrier_is_let_in_by_sipps_own_digest() {
    let mut site = Site::new();
    let buyer = site.buyer("first");
    let edge = Edge::start(&site);

    let mut buyer = Sipp::buyer("buyer_answers", buyer).start(site.folder());
    let mut carrier = digest_call(&site, "carrier_digest", BY_DIGEST, USER.1).start(site.folder());
    carrier.passes();
    buyer.passes();

    let record = edge.record();
    is_completed(&record, "first", "caller");
    assert_eq!(record["user"], USER.0);
    let invites = buyer.received("INVITE");
    for name in ["Authorization", "Proxy-Authorization"] {
        assert!(invites[0].all(name).is_empty(), "{name} reached the buyer");
    }
    edge.holds_no_call();
}

/// SIPp 3.6.1 knows MD5 only and takes the first challenge, so this domain names MD5 first.
#[test]
fn two_algorithms_are_offered_with_one_nonce() {
    let mut site = Site::new();
    let buyer = site.buyer("first");
    let edge = Edge::start(&site);

    let mut buyer = Sipp::buyer("buyer_answers", buyer).start(site.folder());
    let mut carrier =
        digest_call(&site, "carrier_digest", BY_EITHER_DIGEST, USER.1).start(site.folder());
    carrier.passes();
    buyer.passes();

    let challenge = carrier.received_one("SIP/2.0 401");
    let offers = challenge.all("WWW-Authenticate");
    assert_eq!(offers.len(), 2, "{}", challenge.text);
    assert_eq!(part(offers[0], "algorithm"), Some("MD5"));
    assert_eq!(part(offers[1], "algorithm"), Some("SHA-256"));
    for offer in &offers {
        assert_eq!(part(offer, "realm"), Some(REALM));
        assert_eq!(part(offer, "qop"), Some("auth"));
    }
    assert_eq!(part(offers[0], "nonce"), part(offers[1], "nonce"));
    is_completed(&edge.record(), "first", "caller");
    edge.holds_no_call();
}

#[test]
fn a_buyer_that_challenges_with_401_gets_the_headers_twice_and_the_right_digest() {
    let verify = r#"<verifyauth assign_to="good" username="strowger" password="buyer-secret"/>"#;
    a_buyer_challenges(401, "WWW-Authenticate", "Authorization", verify);
}

/// SIPp 3.6.1 verifies Authorization only, so the digest is left to us here.
#[test]
fn a_buyer_that_challenges_with_407_gets_the_headers_twice_and_the_right_digest() {
    let any = r#"<ereg regexp="." search_in="msg" assign_to="good"/>"#;
    a_buyer_challenges(407, "Proxy-Authenticate", "Proxy-Authorization", any);
}

fn a_buyer_challenges(status: u16, challenge: &str, answer: &str, verify: &str) {
    let mut site = Site::new();
    let address = site.next_buyer();
    site.buyer_with("first", address, |buyer| {
        buyer.login = Some(("strowger", "buyer-secret", "buyer.example.com"));
    });
    let edge = Edge::start(&site);

    let mut buyer = Sipp::buyer("buyer_challenges", address)
        .blank("status", status)
        .blank("challenge", challenge)
        .blank("answer", answer)
        .blank("verify", verify)
        .start(site.folder());
    let mut carrier = call(&site, "carrier_call").start(site.folder());
    carrier.passes();
    buyer.passes();

    let record = edge.record();
    is_completed(&record, "first", "caller");
    buyer_was_told(&buyer, &record);
    let invites = buyer.received("INVITE");
    assert_eq!(invites.len(), 2);
    assert_eq!(invites[0].one("Call-ID"), invites[1].one("Call-ID"));
    assert!(cseq(invites[0].one("CSeq")) < cseq(invites[1].one("CSeq")));
    is_right_digest(invites[1].one(answer), "buyer-secret");
    for name in [
        "X-PH-RetreaverUUID",
        "X-PH-RetreaverKey",
        "X-PH-RetreaverAFID",
        "X-PH-RetreaverSID",
    ] {
        assert_eq!(invites[0].one(name), invites[1].one(name));
    }
    assert!(
        carrier.received("SIP/2.0 4").is_empty(),
        "{}",
        carrier.flow()
    );
    edge.holds_no_call();
}

#[test]
fn two_hundred_calls_survive_one_percent_loss_on_both_sides() {
    let mut site = Site::new();
    let buyer = site.buyer("first");
    let mut edge = Edge::start(&site);

    let mut buyer = Sipp::buyer("buyer_answers_lossy", buyer)
        .calls(250)
        .arguments(&["-lost", "1"])
        .start(site.folder());
    let mut carrier = call(&site, "carrier_call")
        .calls(250)
        .talks(Duration::from_secs(4))
        .arguments(&["-r", "50", "-l", "1000", "-lost", "1"])
        .start(site.folder());
    carrier.passes();
    buyer.passes();

    for record in edge.records(250) {
        is_completed(&record, "first", "caller");
    }
    // What was lost was sent again, by us or by them.
    let ours = edge.sum_of("strowger_retransmissions_total ");
    let theirs = edge.sum_of("strowger_repeated_total ");
    assert!(ours + theirs > 0.0);
    edge.holds_no_call();
    edge.stops();
}

/// A carrier's call to the number that is known, by address.
pub(crate) fn call(site: &Site, scenario: &str) -> Sipp {
    Sipp::carrier(scenario, site.carrier(), site.edge())
        .key("number", NUMBER)
        .key("domain", BY_ADDRESS)
}

/// A carrier's call to the number that is known, by digest, from an address that is not listed.
pub(crate) fn digest_call(site: &Site, scenario: &str, domain: &str, password: &str) -> Sipp {
    Sipp::carrier(scenario, site.stranger(), site.edge())
        .key("number", NUMBER)
        .key("domain", domain)
        .arguments(&["-au", USER.0, "-ap", password])
        .arguments(&["-auth_uri", &format!("{NUMBER}@{domain}")])
}

/// Asserts that the call was answered by `buyer` at the first try and ended by `side`.
pub(crate) fn is_completed(record: &Value, buyer: &str, side: &str) {
    assert_eq!(record["outcome"], "completed", "{record:#}");
    assert_eq!(record["status"], 200, "{record:#}");
    assert_eq!(record["hung_up_by"], side, "{record:#}");
    assert_eq!(attempts(record), [(buyer, "answered")], "{record:#}");
}

/// Buyer and result of each attempt.
pub(crate) fn attempts(record: &Value) -> Vec<(&str, &str)> {
    let attempts = record["attempts"].as_array().expect("attempts");
    attempts
        .iter()
        .map(|attempt| {
            let buyer = attempt["buyer"].as_str().expect("buyer");
            (buyer, attempt["result"].as_str().expect("result"))
        })
        .collect()
}

/// Asserts that every INVITE carries the four headers, spelled exactly, once, and nothing like them besides.
pub(crate) fn buyer_was_told(buyer: &Running, record: &Value) {
    let invites = buyer.received("INVITE");
    assert!(!invites.is_empty());
    for invite in invites {
        let mut names: Vec<&str> = invite
            .headers()
            .map(|(name, _)| name)
            .filter(|name| name.to_ascii_lowercase().starts_with("x-ph"))
            .collect();
        names.sort_unstable();
        let wanted = [
            "X-PH-RetreaverAFID",
            "X-PH-RetreaverKey",
            "X-PH-RetreaverSID",
            "X-PH-RetreaverUUID",
        ];
        assert_eq!(names, wanted, "{}", invite.text);
        assert_eq!(invite.one("X-PH-RetreaverUUID"), record["uuid"]);
        assert_eq!(invite.one("X-PH-RetreaverAFID"), "1001");
        assert_eq!(invite.one("X-PH-RetreaverSID"), "sub7");
        let key = invite.one("X-PH-RetreaverKey");
        assert_eq!(key.len(), 26, "{key}");
        assert!(
            !record.to_string().contains(key),
            "the key is in the record"
        );
    }
}

/// Asserts that nothing of the one leg shows on the other.
fn legs_are_apart(carrier: &Running, buyer: &Running) {
    let ours = carrier.sent("INVITE").remove(0);
    let theirs = buyer.received_one("INVITE");
    assert_ne!(ours.one("Call-ID"), theirs.one("Call-ID"));
    assert_eq!(theirs.all("Via").len(), 1);
    assert!(theirs.all("Record-Route").is_empty());
    let carrier_tag = ours.one("From").rsplit("tag=").next().expect("tag");
    assert!(!theirs.text.contains(carrier_tag), "{}", theirs.text);
    assert_eq!(theirs.body(), ours.body(), "SDP goes through unchanged");
    let forwards = theirs.one("Max-Forwards").parse::<u8>();
    assert!(forwards.is_ok_and(|count| count < 70), "{}", theirs.text);
}

/// A parameter of a challenge, without quotes.
fn part<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let parameters = challenge.strip_prefix("Digest ")?;
    parameters.split(',').find_map(|parameter| {
        let (own, value) = parameter.trim().split_once('=')?;
        (own == name).then(|| value.trim_matches('"'))
    })
}

/// Asserts that an answer to a challenge with MD5 and `qop=auth` fits its own parameters (RFC 7616 §3.4.1).
fn is_right_digest(answer: &str, password: &str) {
    let of = |name| part(answer, name).unwrap_or_else(|| panic!("{name} in {answer}"));
    let secret = md5(&format!("{}:{}:{password}", of("username"), of("realm")));
    let request = md5(&format!("INVITE:{}", of("uri")));
    let (nonce, count, cnonce) = (of("nonce"), of("nc"), of("cnonce"));
    let response = md5(&format!("{secret}:{nonce}:{count}:{cnonce}:auth:{request}"));
    assert_eq!(of("response"), response, "{answer}");
}

fn md5(text: &str) -> String {
    let hash = md5::Md5::digest(text.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn cseq(value: &str) -> u32 {
    let number = value.split(' ').next().expect("a number");
    number.parse().expect("a number")
}
