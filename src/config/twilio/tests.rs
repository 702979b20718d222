use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Twilio;
use crate::config::{self, Texts};
use crate::routing::trunk::Tickets;
use crate::twilio::connect::CompanyKey;
use crate::twilio::sid::AccountSid;

const HEARD: &str = "[http]\n[[http.listen]]\nbind = \"127.0.0.1:9062\"\nserves = \"vendors\"\n";

#[test]
fn where_twilio_reaches_us_and_whose_its_calls_are_is_read() {
    let twilio = read(&format!(
        "{HEARD}[twilio]\npublic_url = \"https://edge.example.com\"\nsip = \"sip.example.com:5061\"\n\
         ticket_time = \"20s\"\nhand_off_legs = 3\n\
         [[twilio.org]]\nid = \"my-org\"\ncompany = \"acme\"\ncompany_id = 1234\n\
         hand_off_secret = \"0123456789abcdef\"\nprevious_hand_off_secret = {{ env = \"OLD\" }}\n\
         account_sid = \"AC00000000000000000000000000000001\"\nauth_token = \"new\"\n\
         previous_auth_token = \"old\"\n\
         [[twilio.org.shared_key]]\nid = \"webhooks_sharedkey_1\"\nsecret = \"fedcba9876543210\"\n\
         [[twilio.org]]\nid = \"other\"\ncompany = \"acme\"\ncompany_id = 7\n"
    ))
    .expect("no fault");

    assert_eq!(twilio.base.as_str(), "https://edge.example.com");
    assert_eq!(twilio.ticket_time, Duration::from_secs(20));
    assert_eq!(twilio.limits.legs, 3);
    assert!(!twilio.takes_missing_body_hash);
    let org = twilio.org("my-org").expect("an organisation");
    assert_eq!(org.key, CompanyKey(1234));
    let hand_off = org.hand_off.as_ref().expect("a secret");
    assert!(
        hand_off
            .previous
            .as_ref()
            .unwrap()
            .is_equal(b"once-0123456789x")
    );
    let account = AccountSid::from_bits(1);
    assert!(
        twilio
            .org_of(account)
            .is_some_and(|found| found.id == org.id)
    );
    let keys = &org.account.as_ref().unwrap().keys;
    assert_eq!(keys.auth_token.as_ref().unwrap().iter().count(), 2);
    assert_eq!(keys.shared.len(), 1);
    let other = twilio.org_by_key(CompanyKey(7)).expect("the other one");
    assert!(other.account.is_none() && other.hand_off.is_none());
}

#[test]
fn with_sha256_alone_an_auth_token_verifies_nothing() {
    let text = format!(
        "{HEARD}{BASE}require_sha256 = true\n[[twilio.org]]\nid = \"a\"\ncompany = \"acme\"\n\
         company_id = 1\naccount_sid = \"AC00000000000000000000000000000001\"\nauth_token = \"t\"\n"
    );
    let key = "[[twilio.org.shared_key]]\nid = \"k\"\nsecret = \"fedcba9876543210\"\n";

    let faults = read(&text).err().expect("a fault");
    let twilio = read(&(text + key)).expect("no fault");

    assert!(faults.contains("add [[twilio.org.shared_key]]"), "{faults}");
    let keys = &twilio.orgs[0].account.as_ref().unwrap().keys;
    assert!(keys.auth_token.is_none());
}

#[test]
fn every_fault_is_told_and_no_secret() {
    let faults = read(&format!(
        "{HEARD}[twilio]\npublic_url = \"edge.example.com\"\nsip = \"sip.example.com\"\n\
         ticket_time = \"61s\"\nhand_off_window = \"8h\"\nhand_off_memory = \"1h\"\n\
         password = \"canary\"\nticket_secret = \"canary\"\nmissing_body_hash = \"maybe\"\n\
         [[twilio.org]]\nid = \"a\"\ncompany = \"acne\"\nhand_off_secret = \"canary\"\n\
         account_sid = \"AC1\"\n\
         [[twilio.org]]\nid = \"a\"\ncompany = \"acme\"\ncompany_id = 1\nauth_token = \"canary\"\n\
         [[twilio.org]]\nid = \"b\"\ncompany = \"acme\"\ncompany_id = 1\n\
         account_sid = \"AC00000000000000000000000000000001\"\n"
    ))
    .err()
    .expect("faults");

    for fault in [
        "twilio.public_url: begins with neither https:// nor http://",
        "twilio.sip: names no port",
        "twilio.ticket_time: 61s is out of range",
        "twilio.hand_off_memory: is shorter than hand_off_window",
        "twilio.username: is missing",
        "twilio.ticket_secret: is too short",
        "twilio.missing_body_hash: `maybe` is not known",
        "twilio.org.company: there is no company `acne`",
        "twilio.org.company_id: is missing",
        "twilio.org.hand_off_secret: is too short",
        "twilio.org.account_sid: `AC1` is no account SID",
        "twilio.org.id: `a` is taken",
        "twilio.org.account_sid: is missing",
        "twilio.org.company_id: is taken",
        "twilio.org.auth_token: is missing",
    ] {
        assert!(faults.contains(fault), "{fault}: {faults}");
    }
    assert_eq!(faults.lines().count(), 15, "{faults}");
    assert!(!faults.contains("canary"), "{faults}");
}

#[test]
fn a_side_without_the_other_is_a_fault() {
    let unheard = read(&format!("[http]\nbind = \"127.0.0.1:9060\"\n{BASE}{ORG}"));
    let unserved = read(HEARD);

    let faults = unheard.err().expect("a fault");
    assert!(faults.contains("twilio: is heard nowhere"), "{faults}");
    let faults = unserved.err().expect("a fault");
    assert!(
        faults.contains("serves \"vendors\", and there are none"),
        "{faults}"
    );
}

#[test]
fn the_public_url_of_http_will_do() {
    let heard = HEARD.replacen(
        "[http]",
        "[http]\npublic_url = \"https://a.example.com\"",
        1,
    );
    let base = BASE.replacen("public_url = \"https://edge.example.com\"\n", "", 1);

    let twilio = read(&format!("{heard}{base}{ORG}")).expect("no fault");

    assert_eq!(twilio.base.as_str(), "https://a.example.com");
    assert!(twilio.edge.tickets.previous.is_none());
}

const BASE: &str =
    "[twilio]\npublic_url = \"https://edge.example.com\"\nsip = \"sip.example.com:5061\"\n";
const ORG: &str = "[[twilio.org]]\nid = \"a\"\ncompany = \"acme\"\ncompany_id = 1\n";

fn read(text: &str) -> Result<Arc<Twilio>, String> {
    let text = include_str!("../../../conf/minimal.toml").to_owned() + text;
    let mut source = Texts::of("strowger.toml", text);
    let old = ("OLD".to_owned(), "once-0123456789x".to_owned());
    source.env.extend([old]);
    match config::load(Path::new("strowger.toml"), &source, 1) {
        Ok(settings) => settings.twilio.ok_or_else(|| "nothing".to_owned()),
        Err(faults) => Err(faults.to_string()),
    }
}

#[test]
fn the_preset_takes_twilios_addresses_and_none_but_tickets() {
    let with = |more: &str| {
        let trunk = format!(
            "[[network]]\nname = \"twilio\"\nprefixes = [\"192.0.2.128/30\"]\n\
             [[trunk]]\nid = \"twilio\"\ncompany = \"acme\"\ndomains = [\"sip.example.com\"]\n{more}"
        );
        let base = format!("{HEARD}{BASE}{ORG}");
        let text = include_str!("../../../conf/minimal.toml").to_owned() + &base + &trunk;
        let settings = config::load(
            Path::new("strowger.toml"),
            &Texts::of("strowger.toml", text),
            1,
        );
        let settings = settings.map_err(|faults| faults.to_string())?;
        let trunk = settings.policy.trunks.last().unwrap().clone();
        assert!(settings.policy.tickets.is_some());
        let place = settings.policy.trunks.len() - 1;
        let domain = &settings.policy.domains["sip.example.com"];
        let found = domain.allow.longest_match("192.0.2.129".parse().unwrap());
        assert_eq!(found.map(|found| found.0 as usize), Some(place));
        Ok::<_, String>(trunk)
    };

    let preset = "preset = \"twilio\"\n";
    let alone = with(preset).expect("no fault");
    assert_eq!(alone.tickets, Tickets::Required);
    let accounts = "twilio_accounts = [\"AC00000000000000000000000000000001\"]\n";
    let known = with(&format!("{preset}{accounts}")).expect("no fault");
    assert_eq!(known.tickets, Tickets::Taken);
    let open = with(&format!("{preset}tickets = \"taken\"\n")).expect_err("a fault");
    assert!(open.contains("lets all customers of Twilio's in"), "{open}");
    let telnyx = with("preset = \"telnyx\"\nallow = [\"192.0.2.128/30\"]\n").expect("no fault");
    assert!(telnyx.answers.contains(&("no_buyer".into(), 603)));
    let plivo = with("preset = \"plivo\"\nallow = [\"192.0.2.128/30\"]\n").expect("no fault");
    assert_eq!((plivo.tickets, plivo.answers.len()), (Tickets::Ignored, 0));
    let bandwidth = with("preset = \"bandwidth\"\nallow = [\"192.0.2.128/30\"]\n");
    let bandwidth = bandwidth.expect("no fault");
    assert_eq!(
        (bandwidth.tickets, bandwidth.answers.len()),
        (Tickets::Ignored, 0)
    );
    for preset in ["plivo", "bandwidth"] {
        let nowhere = with(&format!("preset = \"{preset}\"\n")).expect_err("a fault");
        assert!(nowhere.contains("allow"), "{nowhere}");
    }
    let unknown = with("preset = \"twilo\"\nallow = [\"192.0.2.128/30\"]\n").expect_err("a fault");
    assert!(unknown.contains("`twilo` is not known"), "{unknown}");
}

#[test]
fn an_edge_that_is_called_by_no_domain_of_ours_is_a_fault() {
    let base = BASE.replacen("sip.example.com", "edge.example.com", 1);

    let faults = read(&format!("{HEARD}{base}{ORG}")).err().expect("a fault");

    let fault = "twilio: `sip` calls us `edge.example.com`, which is no domain";
    assert!(faults.contains(fault), "{faults}");
}

#[test]
fn a_flow_that_leads_nowhere_is_a_fault() {
    let org = format!("{HEARD}{BASE}{ORG}assistant = \"http://a\"\nhold = \"ftp://a\"\n");
    let step = |more: &str| format!("{org}[[twilio.org.step]]\nid = \"a\"\n{more}");
    for (more, fault) in [
        (
            "next = \"b\"\n",
            "step \"a\" leads to \"b\", which is not there",
        ),
        ("next = \"a\"\n", "step \"a\" leads in a circle"),
        ("", "twilio.org.step.next: is missing"),
        (
            "input = \"digits\"\nnext = \"connect\"\n",
            "twilio.org.step.tag: is missing",
        ),
        (
            "input = \"digits\"\nrecord = \"5s\"\ntag = \"x\"\nnext = \"hangup\"\n",
            "asks for several things at once",
        ),
        (
            "say = \"a\"\nplay = \"https://a/b\"\nnext = \"connect\"\n",
            "is one prompt too many",
        ),
        ("[[twilio.org.step.choice]]\nkey = \"12\"\n", "is no key"),
        (
            "[[twilio.org.step.choice]]\nkey = \"1\"\ntag = \"x\"\n",
            "sets half a tag",
        ),
    ] {
        let faults = read(&step(more)).err().expect("a fault");
        assert!(faults.contains(fault), "{fault}: {faults}");
        assert!(
            faults.contains("twilio.org.assistant: an assistant is at"),
            "{faults}"
        );
        assert!(
            faults.contains("twilio.org.hold: is no address"),
            "{faults}"
        );
    }
}
