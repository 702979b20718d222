//! Soft phones: bound, listed, told of calls, and gone again.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::json;
use strowger::net::clock;

use super::super::client::Client;
use super::{JWT_SECRET, Member, Office, notification, notify, notify_at};
use crate::twilio_api::{ACCOUNT, TOKEN};

#[test]
fn a_notification_is_answered_as_the_sample_does() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    member.connect();
    let phone = Phone::open(voice(&member, "user:bob"));

    let told = notify(&member, &notification("client:user:bob", "WB1"));
    assert_eq!((told.status, &*told.body), (200, ""));
    assert!(told.header("content-type").starts_with("text/plain"));
    let nobody = notify(&member, &notification("client:alice", "WB2"));
    assert_eq!((nobody.status, &*nobody.body), (404, "Not found"));
    let wrong = notify(&member, &notification("bob", "WB3"));
    assert_eq!(
        (wrong.status, &*wrong.body),
        (400, "Invalid callee identity")
    );
    for body in ["", "{", "[]", "null", "twi_to=client%3Abob", "{}"] {
        assert_eq!(notify(&member, body).status, 400, "{body}");
    }
    drop(phone);
}

#[test]
fn what_twilio_has_not_signed_is_not_believed() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    member.connect();
    let _phone = Phone::open(voice(&member, "user:bob"));
    let body = notification("client:user:bob", "WB1");
    let path = "/calls/notificationWebhook";

    assert_eq!(notify_at(&member, path, &body, "another-token").status, 403);
    let client = Client {
        token: None,
        ..member.client
    };
    let kind = [("Content-Type", "application/json")];
    assert_eq!(client.ask("POST", path, &kind, body.as_bytes()).status, 403);
    // Another account has signed it.
    let foreign = body.replace(ACCOUNT, "AC00000000000000000000000000000003");
    assert_eq!(notify(&member, &foreign).status, 403);
    let third = notify_at(&member, path, &foreign, "canary-auth-token-of-a-third");
    assert_eq!((third.status, &*third.body), (404, "Not found"));
    // A path that nobody has configured.
    assert_eq!(
        notify_at(&member, &format!("{path}/secret12"), &body, TOKEN).status,
        403
    );
    assert_eq!(notify(&member, &body).status, 200);
}

#[test]
fn the_path_may_hold_a_secret() {
    let office = Office::with(1000, "", "");
    let text = std::fs::read_to_string(&office.site.config).unwrap();
    let text = text.replacen(
        "[twilio]",
        "[twilio]\nnotification_path = \"canary-path\"",
        1,
    );
    std::fs::write(&office.site.config, text).unwrap();
    let edge = office.site.start();
    let member = Member::of(&edge);
    member.connect();
    let body = notification("client:user:bob", "WB1");

    let at = |path| notify_at(&member, path, &body, TOKEN).status;

    assert_eq!(at("/calls/notificationWebhook"), 403);
    assert_eq!(at("/calls/notificationWebhook/canary-paths"), 403);
    assert_eq!(at("/calls/notificationWebhook/canary-path"), 404);
}

#[test]
fn a_web_socket_gets_the_exact_bytes_and_each_message_once() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    member.connect();
    let token = voice(&member, "user:bob");
    let (mut one, mut other) = (Phone::open(token), Phone::open_as_a_browser(token));
    let body = format!(
        "{{ \"twi_params\":\"a=1&b=%20\",\"twi_to\":\"client:user:b\\u006fb\",\n\"x\":1.50, \"twi_account_sid\":\"{ACCOUNT}\",\"twi_message_id\":\"WB1\"}}\n"
    );

    assert_eq!(notify(&member, &body).status, 200);
    assert_eq!(notify(&member, &body).status, 200);
    let last = notification("client:user:bob", "WB2");
    assert_eq!(notify(&member, &last).status, 200);

    for phone in [&mut one, &mut other] {
        assert_eq!(phone.read(), body.as_bytes());
        assert_eq!(phone.read(), last.as_bytes());
    }
    let connected = member.get("/calls/bindings?identity=user%3Abob").json();
    assert_eq!(connected["connected"], 2);
    drop((one, other));
    let deadline = clock::now() + Duration::from_secs(5);
    while notify(&member, &notification("client:user:bob", "WB3")).status != 404 {
        assert!(clock::now() < deadline, "they are still there");
        thread::sleep(Duration::from_millis(10));
    }
    let metrics = edge.metrics();
    assert!(metrics.contains("strowger_phone_sockets 0\n"), "{metrics}");
}

#[test]
fn a_web_socket_is_for_who_shows_a_token_and_no_longer_than_it_holds() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    member.connect();
    let token = voice(&member, "user:bob");

    let status = |token: Option<&'static str>, headers: &[(&str, &str)]| {
        let client = Client {
            token,
            ..member.client
        };
        let mut stream = client.connect();
        let mut all = UPGRADE.to_vec();
        all.extend(headers);
        stream
            .write_all(&client.request("GET", "/calls/socket", &all, b""))
            .unwrap();
        status_of(&mut stream)
    };
    assert_eq!(status(Some(token), &[]), 101);
    assert_eq!(status(None, &[]), 401);
    assert_eq!(status(Some("nonsense"), &[]), 401);
    assert_eq!(status(member.client.token, &[]), 401);
    // The org's own token says for whom it is, or is for nobody.
    assert_eq!(status(member.client.token, &[("orgid", "my-org")]), 403);
    let user = member.with(&json!({"identity": "user:bob"}), JWT_SECRET);
    assert_eq!(status(user.client.token, &[("orgid", "my-org")]), 101);
    let plain = Client {
        token: Some(token),
        ..member.client
    };
    let plain = plain.get("/calls/socket");
    assert_eq!((plain.status, plain.header("upgrade")), (426, "websocket"));

    let exp = (clock::wall() + Duration::from_secs(2)).as_secs();
    let short = member.with(&json!({"identity": "user:bob", "exp": exp}), JWT_SECRET);
    let mut phone = Phone::open_with(
        short.client.token.unwrap(),
        &[("orgid", "my-org")],
        member.client,
    );
    assert_eq!(phone.read_frame(), (8, 1000_u16.to_be_bytes().to_vec()));
}

#[test]
fn phones_are_told_when_the_edge_goes_down() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    member.connect();
    let mut phone = Phone::open(voice(&member, "user:bob"));

    edge.stop();

    assert_eq!(phone.read_frame(), (8, 1001_u16.to_be_bytes().to_vec()));
}

#[test]
fn phones_are_registered_listed_and_unregistered_by_whom_they_are() {
    let office = Office::with(1000, "", APNS);
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(
        office.site.folder.path().join("apns.p8"),
        key.serialize_pem(),
    )
    .unwrap();
    let edge = office.site.start();
    let member = Member::of(&edge);
    let body = |identity: &str, address: &str| json!({"identity": identity, "account_sid": ACCOUNT, "channel": "apns", "address": address});
    assert_eq!(
        member
            .post("/calls/bindings", &body("user:bob", "a"))
            .status,
        409
    );
    member.connect();

    let first = member.post("/calls/bindings", &body("user:bob", "canary-address-1"));
    assert_eq!(first.status, 201, "{}", first.body);
    let again = member.post("/calls/bindings", &body("user:bob", "canary-address-1"));
    assert_eq!(again.json()["id"], first.json()["id"]);
    for number in 2..=20 {
        let address = format!("canary-address-{number}");
        assert_eq!(
            member
                .post("/calls/bindings", &body("user:bob", &address))
                .status,
            201
        );
    }
    let many = member.post("/calls/bindings", &body("user:bob", "canary-address-21"));
    assert_eq!(
        (many.status, &many.json()["error"]),
        (409, &json!("binding_too_many"))
    );
    assert_eq!(
        member
            .post("/calls/bindings", &body("user:carol", "c"))
            .status,
        201
    );
    // A phone's own token is good for its own user.
    let token = voice(&member, "user:carol");
    let carol = Client {
        token: Some(token),
        ..member.client
    };
    let own = carol.get("/calls/bindings").json();
    assert_eq!(own["items"].as_array().unwrap().len(), 1);
    assert_eq!(carol.get("/calls/bindings?identity=user%3Abob").status, 403);
    let foreign = body("user:bob", "x").to_string();
    assert_eq!(
        carol
            .ask("POST", "/calls/bindings", &[], foreign.as_bytes())
            .status,
        403
    );
    let id = first.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        carol
            .ask("DELETE", &format!("/calls/bindings/{id}"), &[], b"")
            .status,
        404
    );
    // Page by page, all of them.
    let page = member.get("/calls/bindings?limit=15").json();
    let after = page["after"].as_str().unwrap();
    let rest = member
        .get(&format!("/calls/bindings?limit=15&after={after}"))
        .json();
    let count = |page: &serde_json::Value| page["items"].as_array().unwrap().len();
    assert_eq!(
        (count(&page), count(&rest), &rest["after"]),
        (15, 6, &json!(null))
    );

    assert_eq!(
        member
            .ask("DELETE", &format!("/calls/bindings/{id}"), b"")
            .status,
        204
    );
    assert_eq!(
        member
            .ask("DELETE", &format!("/calls/bindings/{id}"), b"")
            .status,
        404
    );
    let shown = member.get("/calls/bindings?identity=user%3Abob").json();
    assert_eq!(count(&shown), 19);
    for (name, value) in [
        ("channel", "websocket"),
        ("channel", "sms"),
        ("address", ""),
    ] {
        let mut wrong = body("user:bob", "x");
        wrong[name] = value.into();
        assert_eq!(
            member.post("/calls/bindings", &wrong).status,
            400,
            "{value}"
        );
    }
    let mut other = body("user:bob", "x");
    other["account_sid"] = "AC00000000000000000000000000000003".into();
    assert_eq!(member.post("/calls/bindings", &other).status, 403);
    let mut fcm = body("user:bob", "x");
    fcm["channel"] = "fcm".into();
    assert_eq!(
        member.post("/calls/bindings", &fcm).json()["error"],
        "no_service"
    );
    // Nobody is told who was there until a second ago.
    let mut short = body("user:dave", "d");
    short["ttl_seconds"] = 1.into();
    assert_eq!(member.post("/calls/bindings", &short).status, 201);
    thread::sleep(Duration::from_millis(1100));
    assert_eq!(
        notify(&member, &notification("client:user:dave", "WB9")).status,
        404
    );
}

const APNS: &str = r#"
[twilio.apns]
topic = "com.example.app.voip"
team = "ABCDE12345"
key_id = "ABC123DEFG"
key = { file = "apns.p8" }
"#;

/// A voice token.
pub(crate) fn voice(member: &Member, identity: &str) -> &'static str {
    let made = member.post("/phone/token", &json!({ "identity": identity }));
    let token = made.json()["token"].as_str().unwrap().to_owned();
    let address = member.client.address;
    ADDRESS.with(|held| held.set(Some(address)));
    token.leak()
}

thread_local! {
    static ADDRESS: std::cell::Cell<Option<std::net::SocketAddr>> = const { std::cell::Cell::new(None) };
}

/// A soft phone with an open connection.
pub(crate) struct Phone(TcpStream);

const UPGRADE: [(&str, &str); 4] = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
];

impl Phone {
    pub(crate) fn open(token: &'static str) -> Self {
        let address = ADDRESS.with(std::cell::Cell::get).unwrap();
        let client = Client {
            address,
            token: None,
        };
        Self::open_with(token, &[], client)
    }

    /// With the token where a browser can put it.
    fn open_as_a_browser(token: &str) -> Self {
        let address = ADDRESS.with(std::cell::Cell::get).unwrap();
        let client = Client {
            address,
            token: None,
        };
        let protocols = format!("strowger.calls, bearer.{token}");
        let mut headers = UPGRADE.to_vec();
        headers.push(("Sec-WebSocket-Protocol", &protocols));
        let head = Self::handshake(client, &headers);
        assert!(
            head.1
                .contains("sec-websocket-protocol: strowger.calls\r\n"),
            "{}",
            head.1
        );
        head.0
    }

    fn open_with(token: &'static str, more: &[(&str, &str)], client: Client) -> Self {
        let client = Client {
            token: Some(token),
            ..client
        };
        let mut headers = UPGRADE.to_vec();
        headers.extend(more);
        let (phone, head) = Self::handshake(client, &headers);
        let accept = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        assert!(head.contains(accept), "{head}");
        phone
    }

    fn handshake(client: Client, headers: &[(&str, &str)]) -> (Self, String) {
        let mut stream = client.connect();
        let request = client.request("GET", "/calls/socket", headers, b"");
        // One connection header: ours.
        let request = String::from_utf8(request)
            .unwrap()
            .replace("Connection: close\r\n", "");
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        (Self(stream), head)
    }

    /// The next text.
    pub(crate) fn read(&mut self) -> Vec<u8> {
        let (opcode, body) = self.read_frame();
        assert_eq!(opcode, 1, "{body:?}");
        body
    }

    /// Whether the edge says farewell.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.read_frame().0 == 8
    }

    fn read_frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        let mut length = usize::from(head[1] & 0x7f);
        if length == 126 {
            let mut long = [0; 2];
            self.0.read_exact(&mut long).unwrap();
            length = usize::from(u16::from_be_bytes(long));
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (head[0] & 0x0f, body)
    }
}

fn status_of(stream: &mut TcpStream) -> u16 {
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    std::str::from_utf8(&head[9..]).unwrap().parse().unwrap()
}
