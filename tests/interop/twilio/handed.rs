//! A hand-off from end to end: the samples of the documentation write the TwiML, a little player does what Twilio would do with
//! it, signed by the official libraries, and the call that follows arrives at a buyer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use strowger::twilio::form::Form;

use super::judge::Judge;
use super::judged::samples;
use crate::calls::{buyer_was_told, is_completed};
use crate::canary;
use crate::edge::Edge;
use crate::sipp::Sipp;
use crate::site::{BY_ADDRESS, Site};

pub(super) const ACCOUNT: &str = "AC00000000000000000000000000000001";
pub(super) const TOKEN: &str = "canary-auth-token";
const BASE: &str = "https://edge.example.com";
/// The number of the samples.
const NUMBER: &str = "+18005551234";
/// Where the samples' own call came in.
const ORIGINAL: &str = "CA1234567890abcdef1234567890abcdef";

#[test]
fn the_samples_calls_arrive_at_a_buyer_as_one_call_each() {
    let Some(samples) = samples() else {
        return;
    };
    let mut reader = Judge::python();
    for (mut judge, code) in samples {
        let mut site = Site::new().taking_tickets();
        site.keeps = true;
        let buyer = site.buyer("first");
        site.more = configuration(&site);
        let edge = Edge::start(&site);
        let document = judge.ask("sample", json!({ "code": code }));
        let document = document.as_str().expect("a document");

        let answer = player(&site, &mut judge, &mut reader, document);

        let dial = &reader.ask("tree", json!({ "xml": answer }))[3][0];
        assert_eq!(dial[1]["answerOnBridge"], "true", "{answer}");
        let address = dial[3][0][2].as_str().expect("an address");
        let (_, ticket) = address.split_once("?X-Strowger-Ticket=").expect("a ticket");
        let mut buyer = Sipp::buyer("buyer_answers", buyer).start(site.folder());
        let call = Sipp::carrier("carrier_shows_ticket", site.carrier(), site.edge());
        let call = call.key("number", NUMBER).key("domain", BY_ADDRESS);
        let mut caller = call.key("ticket", ticket).start(site.folder());
        caller.passes();
        buyer.passes();

        let record = edge.record();
        is_completed(&record, "first", "caller");
        buyer_was_told(&buyer, &record);
        assert_eq!(record["dialled"], NUMBER);
        let tags = record["routing"]["tags"].to_string();
        assert!(
            tags.contains(ORIGINAL) && tags.contains("+14155550123"),
            "{tags}"
        );
        let (_, text) = ask(&site, "POST", &action(&mut judge, &site), "");
        assert!(text.contains("connected"), "{text}");
        // One call from webhook to buyer, and nothing else.
        edge.holds_no_call();
        assert_eq!(edge.records(1).len(), 1);
        let metrics = edge.metrics();
        drop(edge);
        let books = ledger(&site);
        let count = |name: &str| books[name].as_u64();
        let calls = ["admitted", "records", "lines", "open"].map(count);
        assert_eq!(calls, [Some(1), Some(1), Some(1), Some(0)], "{books}");
        no_canary(&site, &metrics);
    }
}

/// What the books say of a site where no edge runs; they balance.
pub(super) fn ledger(site: &Site) -> Value {
    let said = Command::new(env!("CARGO_BIN_EXE_strowger"))
        .args(["ledger", "--json", "--data-dir"])
        .arg(site.data_dir())
        .output()
        .expect("it runs");
    assert!(said.status.success(), "{said:?}");
    serde_json::from_slice(&said.stdout).expect("JSON")
}

/// What Twilio does with the samples' document: it asks our voice webhook about a call of its own.
pub(super) fn player(site: &Site, judge: &mut Judge, reader: &mut Judge, document: &str) -> String {
    let tree = reader.ask("tree", json!({ "xml": document }));
    let application = &tree[3][0][3][0];
    assert_eq!(application[0], "Application", "{document}");
    let mut fields = vec![
        ("AccountSid".to_owned(), ACCOUNT.to_owned()),
        ("ApiVersion".to_owned(), "2010-04-01".to_owned()),
        (
            "CallSid".to_owned(),
            "CA00000000000000000000000000000001".to_owned(),
        ),
        ("CallStatus".to_owned(), "ringing".to_owned()),
        ("From".to_owned(), "+12125550142".to_owned()),
        (
            "To".to_owned(),
            "AP0123456789abcdef0123456789abcdef".to_owned(),
        ),
    ];
    for parameter in application[3].as_array().expect("parameters") {
        let text = |name: &str| parameter[1][name].as_str().expect("text").to_owned();
        fields.push((format!("Param_{}", text("name")), text("value")));
    }
    let target = "/connect/webhook/twilio/voice?orgid=my-org";
    let (status, answer) = ask(site, "POST", &signed(judge, target, &fields), "");
    assert_eq!(status, 200, "{answer}");
    // The same, signed by somebody else, is nothing to us.
    let mut forged = signed(judge, target, &fields);
    forged.signature = "AAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned();
    assert_eq!(ask(site, "POST", &forged, "").0, 403);
    answer
}

/// What Twilio asks when the leg to our edge has ended.
fn action(judge: &mut Judge, _site: &Site) -> Request {
    let fields = [
        ("AccountSid", ACCOUNT),
        ("CallSid", "CA00000000000000000000000000000001"),
        ("DialCallSid", "CA00000000000000000000000000000077"),
        ("DialCallStatus", "completed"),
        ("DialBridged", "true"),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let target = "/connect/webhook/twilio/dial-action?orgid=my-org";
    signed(judge, target, &fields)
}

/// A request of Twilio's.
pub(super) struct Request {
    target: String,
    signature: String,
    body: String,
}

pub(super) fn signed(judge: &mut Judge, target: &str, fields: &[(String, String)]) -> Request {
    let question = json!({
        "secret": TOKEN,
        "url": format!("{BASE}{target}"),
        "params": fields,
        "algorithm": "HMAC_SHA1",
    });
    let signature = judge.ask("sign", question);
    let form: Form = fields
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    Request {
        target: target.to_owned(),
        signature: signature.as_str().expect("a signature").to_owned(),
        body: form.encoded(),
    }
}

/// Status and body of the answer.
pub(super) fn ask(site: &Site, method: &str, request: &Request, more: &str) -> (u16, String) {
    let mut stream = TcpStream::connect((site.edge(), 9092)).expect("a connection");
    let patience = Some(Duration::from_secs(10));
    stream.set_read_timeout(patience).expect("a time limit");
    let Request {
        target,
        signature,
        body,
    } = request;
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: a.proxy.example\r\nX-Twilio-Signature: {signature}\r\n{more}\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len(),
    )
    .expect("the request is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    assert!(!canary::is_in(answer.as_bytes()), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    (status.expect("a status"), body.to_owned())
}

pub(super) fn configuration(site: &Site) -> String {
    let edge = site.edge();
    format!(
        r#"
[[http.listen]]
bind = "{edge}:9092"
serves = "vendors"

[twilio]
self_check = false
public_url = "{BASE}"
sip = "{BY_ADDRESS}:5060"
transport = "udp"

[[twilio.org]]
id = "my-org"
company = "acme"
company_id = 1234
hand_off_secret = "YOUR_RETREAVER_TWILIO_APP_CONNECT_SECRET"
account_sid = "{ACCOUNT}"
auth_token = "{TOKEN}"

[[number]]
number = "{NUMBER}"
campaign = "sales"
afid = "1001"
sid = "sub7"
"#
    )
}

/// No secret is in anything that was written but the configuration: records, store, journal, log; nor in the metrics.
pub(super) fn no_canary(site: &Site, metrics: &str) {
    let sample = "YOUR_RETREAVER_TWILIO_APP_CONNECT_SECRET";
    let mut folders = vec![site.folder().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let is_ours = path.extension().is_some_and(|end| end == "toml");
            let bytes = std::fs::read(&path).unwrap_or_default();
            let found = memchr::memmem::find(&bytes, sample.as_bytes()).is_some();
            assert!(!found || is_ours, "{}", path.display());
        }
    }
    assert_eq!(canary::files(site.folder()), Vec::<PathBuf>::new());
    assert!(!canary::is_in(metrics.as_bytes()), "{metrics}");
    assert!(site.data_dir().join("store.redb").exists());
}
