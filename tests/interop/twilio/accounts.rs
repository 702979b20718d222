//! The edge that orgs and soft phones find, judged from both sides: Twilio's library speaks with the server that stands in for
//! the API as with Twilio, reads the tokens that the edge makes, and its sample answers notifications as the edge does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use strowger::config;
use strowger::edge::{Disk, Edge};
use strowger::twilio::jwt;
use strowger::twilio::mac;
use strowger::twilio::signature::{Algorithm, sign};
use strowger::types::secret::Secret;

use super::judge::Judge;
use super::judged::notification;
use super::requests::Dice;
use crate::canary;
use crate::twilio_api::{ACCOUNT, TOKEN, TwilioApi, description};

const BASE: &str = "https://edge.example.com";
const JWT_SECRET: &str = "canary-jwt-secret-0123456789";
const KEY: &str = "SK0123456789abcdef0123456789abcdef";
const KEY_SECRET: &str = "canary-api-key-secret-0123456789";
const OTHER: &str = "AC00000000000000000000000000000002";
const OTHER_TOKEN: &str = "canary-other-auth-token-0123456789";

#[test]
fn the_description_has_the_parameters_that_the_libraries_send() {
    for mut judge in Judge::both() {
        let theirs = judge.ask("parameters", json!({"account": ACCOUNT}));

        let mut compared = 0;
        for operation in description()["operations"].as_array().unwrap() {
            let name = operation["name"].as_str().unwrap();
            let Some(sent) = theirs.get(name).and_then(Value::as_object) else {
                continue;
            };
            let known = operation.get("form").or(operation.get("query")).unwrap();
            let known = known.as_object().unwrap();
            let names = |map: &Map<String, Value>| {
                let names = map.keys().cloned();
                names.collect::<BTreeSet<String>>()
            };
            assert_eq!(names(known), names(sent), "{name}, {}", judge.name());
            // What a value is stands in the library for Python only.
            for (parameter, kind) in sent.iter().filter(|(_, kind)| *kind != "any") {
                let ours = match known[parameter].as_str().unwrap() {
                    "boolean" => "bool",
                    "integer" | "page_size" => "int",
                    // Words of a list are any words here.
                    "text" if kind == "other" => "other",
                    _ => "str",
                };
                assert_eq!(kind, ours, "{name}: {parameter}");
            }
            compared += 1;
        }
        assert_eq!(compared, 3, "{}", judge.name());
    }
}

#[test]
fn the_libraries_take_the_stand_in_for_twilio() {
    for mut judge in Judge::both() {
        let api = TwilioApi::start(2);
        for last in 1..=5 {
            api.own(&format!("+1800555000{last}"));
        }

        let said = judge.ask(
            "live",
            json!({"url": api.url(), "account": ACCOUNT, "token": TOKEN}),
        );

        assert_eq!(said["listed"], 5, "{said}");
        assert_eq!(said["bought"], "+14155550100");
        assert_eq!(said["changed"], "https://edge.example.com/voice");
        assert_eq!(said["found"], 1);
        assert_eq!(said["left"], 5);
        assert_eq!(said["missing"], 20404);
        assert_eq!(said["refused"], 20003);
        assert_eq!(api.violations(), Vec::<String>::new());
    }
}

#[test]
fn tokens_of_the_edge_are_read_by_the_library() {
    let office = Office::new();
    let made = office.post("/phone/token", &json!({"identity": "user:bob@example.com"}));
    let token = made["token"].as_str().expect("a token");

    for mut judge in Judge::both() {
        let read = judge.ask("decode", json!({"token": token, "secret": KEY_SECRET}));

        let payload = &read["payload"];
        assert_eq!(payload["sub"], ACCOUNT, "{}", judge.name());
        assert_eq!(payload["iss"], KEY);
        assert_eq!(payload["grants"]["identity"], "user:bob@example.com");
        let voice = &payload["grants"]["voice"];
        assert_eq!(
            voice["outgoing"]["application_sid"],
            "AP0123456789abcdef0123456789abcdef"
        );
        assert_eq!(voice["incoming"]["allow"], true);
    }
    office.close();
}

#[test]
fn what_the_edge_sets_up_is_what_the_library_finds() {
    let office = Office::new();
    let bought = office.post("/phone/numbers", &json!({"areaCode": "415"}));
    let sid = bought["id"].as_str().expect("a SID");

    let found = Judge::python().ask(
        "number",
        json!({"url": office.api.url(), "account": ACCOUNT, "token": TOKEN, "sid": sid}),
    );

    let url = |service| format!("{BASE}/connect/webhook/twilio/{service}?orgid=my-org");
    assert_eq!(found["voice_url"], url("voice"));
    assert_eq!(found["sms_url"], url("sms"));
    assert_eq!(found["status_callback"], url("status"));
    office.close();
}

/// The sample of the documentation breaks (500) where a member is missing; we refuse (400).
#[test]
fn the_edge_answers_notifications_over_http_as_the_sample_does() {
    let office = Office::new();
    let mut judge = Judge::python();
    let mut dice = Dice::new(14);
    let mut seen = BTreeMap::<u64, usize>::new();
    // Where they are for all of it; the sample is told of the same.
    let _phones: Vec<_> = ["bob", "b\u{e9}"].map(|name| office.open(name)).into();
    let bound = json!([["bob", ACCOUNT], ["b\u{e9}", ACCOUNT]]);
    for _ in 0..200 {
        // An account that is none could sign nothing; the other one is another org's.
        let body = notification(&mut dice)
            .replace("\"twi_account_sid\":\"\"", "\"twi_account_sid\":\"AC2\"")
            .replace(super::judged::ACCOUNT, ACCOUNT)
            .replace("\"AC2\"", &format!("\"{OTHER}\""));
        let theirs = judge.ask("notify", json!({"body": body, "bound": bound}));

        let (status, text) = office.notify(&body);

        let expected = match theirs["status"].as_u64() {
            Some(500) => 400,
            status => status.unwrap_or_default(),
        };
        assert_eq!(u64::from(status), expected, "{body} {theirs}");
        if matches!(expected, 200 | 404) {
            assert_eq!(theirs["text"], text, "{body}");
        }
        *seen.entry(expected).or_default() += 1;
    }
    let is_seen = |status| seen.get(&status).is_some_and(|times| *times >= 10);
    assert!([200, 400, 404].into_iter().all(is_seen), "{seen:?}");
    office.close();
}

/// An edge with an org that has connected the account.
pub(super) struct Office {
    api: TwilioApi,
    edge: Edge,
    folder: tempfile::TempDir,
}

impl Office {
    pub(super) fn new() -> Self {
        canary::listen();
        let api = TwilioApi::start(50);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("strowger.toml");
        let url = api.url();
        let text = format!(
            r#"
[node]
data_dir = "data"

[[listen]]
bind = "127.0.0.1:0"

[[http.listen]]
bind = "127.0.0.1:0"
serves = "vendors"

[http_client]
allow = ["127.0.0.0/8"]

[[domain]]
name = "sip.example.com"
require = "ip"

[[trunk]]
id = "carrier"
company = "acme"
domains = ["sip.example.com"]
allow = ["127.0.0.1/32"]

[[company]]
id = "acme"
key_secret = "canary-key-secret-0123456789abcdef"

[twilio]
self_check = false
public_url = "{BASE}"
sip = "sip.example.com:5060"
transport = "udp"
api_url = "{url}"
strict_identity = true

[[twilio.seal_key]]
id = "2026"
secret = "canary-seal-key-0123456789abcdef-0123456789abcdef"

[[twilio.org]]
id = "my-org"
company = "acme"
company_id = 1234
jwt_secret = "{JWT_SECRET}"

[[twilio.org]]
id = "other-org"
company = "acme"
company_id = 1235
account_sid = "{OTHER}"
auth_token = "{OTHER_TOKEN}"
"#
        );
        fs::write(&path, text).expect("the configuration is written");
        let disk = Disk::new().expect("random numbers");
        let settings = config::load(&path, &disk, 1).unwrap_or_else(|faults| panic!("{faults}"));
        let office = Self {
            api,
            edge: Edge::start(settings).expect("the edge starts"),
            folder,
        };
        let saved = office.post(
            "/upstream/save-integration",
            &json!({
                "type": "TwilioProvider",
                "name": "Acme Twilio",
                "config": {
                    "accountSid": ACCOUNT,
                    "authToken": TOKEN,
                    "appSid": "AP0123456789abcdef0123456789abcdef",
                    "apiKey": KEY,
                    "apiKeySecret": KEY_SECRET,
                },
            }),
        );
        assert_eq!(saved["name"], "Acme Twilio", "{saved}");
        office
    }

    /// Stops the edge. No secret is in what it has answered, counted, logged or written down.
    pub(super) fn close(self) {
        let metrics = self.edge.metrics();
        self.edge.stop();
        assert!(!canary::is_in(metrics.as_bytes()), "{metrics}");
        let store = self.folder.path().join("data");
        assert!(store.join("store.redb").exists(), "it keeps something");
        assert_eq!(canary::files(self.folder.path()), Vec::<PathBuf>::new());
        assert_eq!(canary::heard(), Vec::<String>::new());
        assert_eq!(self.api.violations(), Vec::<String>::new());
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.edge.http_addresses()[0]
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Value {
        let token = jwt(&json!({}));
        let headers = format!("orgid: my-org\r\nAuthorization: Bearer {token}\r\n");
        let (status, text) = ask(self.address(), path, &headers, &body.to_string());
        assert!(matches!(status, 200..=299), "{path}: {status} {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    pub(super) fn notify(&self, body: &str) -> (u16, String) {
        let hash = mac::hash_hex(body.as_bytes());
        let hash = std::str::from_utf8(&hash).expect("hexadecimal");
        let target = format!("/calls/notificationWebhook?bodySHA256={hash}");
        let token = if body.contains(OTHER) {
            OTHER_TOKEN
        } else {
            TOKEN
        };
        let secret = Secret::new(token.as_bytes());
        let signature = sign(&format!("{BASE}{target}"), None, &secret, Algorithm::Sha1);
        let headers =
            format!("X-Twilio-Signature: {signature}\r\nContent-Type: application/json\r\n");
        ask(self.address(), &target, &headers, body)
    }

    /// A soft phone with an open connection.
    fn open(&self, identity: &str) -> TcpStream {
        let token = jwt(&json!({ "identity": identity }));
        let mut stream = TcpStream::connect(self.address()).expect("a connection");
        write!(
            stream,
            "GET /calls/socket HTTP/1.1\r\nHost: a\r\norgid: my-org\r\nAuthorization: Bearer {token}\r\n\
             Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .expect("it is sent");
        let mut head = [0; 12];
        stream.read_exact(&mut head).expect("an answer");
        assert_eq!(&head, b"HTTP/1.1 101");
        // It takes all that comes, and looks at nothing.
        let mut reader = stream.try_clone().expect("a second hand");
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while reader.read(&mut piece).is_ok_and(|count| count > 0) {}
        });
        stream
    }
}

fn jwt(claims: &Value) -> String {
    let mut claims = claims.clone();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let end = now.expect("it is later") + Duration::from_secs(3600);
    claims["exp"] = end.as_secs().into();
    let header = json!({"alg": "HS256", "typ": "JWT"});
    jwt::sign(&header, &claims, &Secret::new(JWT_SECRET.as_bytes()))
}

fn ask(address: SocketAddr, path: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(!canary::is_in(answer.as_bytes()), "{answer}");
    let (head, text) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.expect("a status"), text.to_owned())
}
