//! Captures that an operator asks for, read by tcpdump.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::calls::call;
use crate::calls::is_completed;
use crate::collection::shared_corpus;
use crate::edge::Edge;
use crate::process::eventually;
use crate::process::show;
use crate::sipp::Sipp;
use crate::site::CAPTURE_TOKEN;
use crate::site::NUMBER;
use crate::site::Site;

/// Where the buyer's SIPp says that it hears media.
const MEDIA_PORT: u16 = 7000;

#[test]
fn tcpdump_reads_what_was_captured_of_a_call() {
    let Some(corpus) = shared_corpus() else {
        show("../shared is missing: its captures were NOT played; set STROWGER_SHARED to its path");
        return;
    };
    let mut site = Site::new().relayed("").capturing();
    let buyer = site.buyer("first");
    let (carrier, own) = (site.carrier(), site.edge());
    let edge = Edge::start(&site);
    let desk = Desk(own);

    // Of the number that is dialled next, and of a number that is not.
    let (status, next) = desk.ask("POST", "", &json!({ "number": NUMBER }));
    assert_eq!((status, &next["state"]), (201, &json!("waiting")), "{next}");
    let (status, never) = desk.ask("POST", "", &json!({ "number": "+18885550111" }));
    assert_eq!(status, 201, "{never}");
    let mut callee = Sipp::buyer("buyer_answers", buyer)
        .heard_at(MEDIA_PORT)
        .start(site.folder());
    let mut caller = call(&site, "carrier_call")
        .plays(&corpus.join("media/g711a.pcap"))
        .talks(Duration::from_secs(10))
        .start(site.folder());

    // Of a call that is up, by the UUID that the other one shows.
    let mut uuid = Value::Null;
    assert!(eventually(Duration::from_secs(10), || {
        let all = desk.ask("GET", "", &Value::Null).1;
        uuid = all["items"][0]["call"].clone();
        uuid.is_string()
    }));
    let (status, by_name) = desk.ask("POST", "", &json!({ "call": uuid, "packets": 3 }));
    assert_eq!((status, &by_name["call"]), (201, &uuid), "{by_name}");
    caller.passes();
    callee.passes();
    let record = edge.record();
    is_completed(&record, "first", "caller");
    assert_eq!(record["uuid"], uuid);

    let over = |id: &Value| {
        let all = desk.ask("GET", "", &Value::Null).1;
        let all = all["items"].as_array().expect("a list").clone();
        let one = all.into_iter().find(|one| one["id"] == *id);
        one.filter(|one| one["state"] == "over")
    };
    let mut ended = None;
    assert!(eventually(Duration::from_secs(5), || {
        ended = over(&next["id"]);
        ended.is_some()
    }));
    let ended = ended.expect("it is over");
    let sent = record["media"]["caller"]["packets"]
        .as_u64()
        .expect("a count");
    assert!(sent > 100, "{record}");
    assert_eq!(
        ended["packets"].as_u64(),
        Some(2 * sent),
        "in and out: {ended}"
    );
    assert_eq!(ended["lost"], 0);
    let file = site
        .captures()
        .join(ended["file"].as_str().expect("a name"));
    assert_eq!(packets(&file, ""), 2 * sent);
    assert_eq!(
        packets(&file, &format!("src {carrier} and dst {own}")),
        sent
    );
    let out = format!("src {own} and dst {buyer} and dst port {MEDIA_PORT}");
    assert_eq!(packets(&file, &out), sent);
    let length = fs::metadata(&file).expect("the file").len();
    assert_eq!(ended["bytes"].as_u64(), Some(length));

    // Three packets were asked for of the one by name.
    let mut ended = None;
    assert!(eventually(Duration::from_secs(5), || {
        ended = over(&by_name["id"]);
        ended.is_some()
    }));
    let ended = ended.expect("it is over");
    assert_eq!(ended["packets"], 3, "{ended}");
    let file = site
        .captures()
        .join(ended["file"].as_str().expect("a name"));
    assert_eq!(packets(&file, ""), 3);
    let (status, _) = desk.ask("DELETE", &format!("/{}", never["id"]), &Value::Null);
    assert_eq!(status, 204);
    assert!(eventually(Duration::from_secs(5), || over(&never["id"]).is_some()));
    let never = site
        .captures()
        .join(never["file"].as_str().expect("a name"));
    assert!(eventually(Duration::from_secs(5), || !never.exists()));
    edge.holds_no_call();
}

#[test]
fn wishes_that_cannot_be_are_refused_with_a_reason() {
    let mut site = Site::new().relayed("").capturing();
    site.buyer("first");
    let _edge = Edge::start(&site);
    let desk = Desk(site.edge());

    let unknown = "00000000-0000-4000-8000-000000000000";
    for (wish, status, why) in [
        (json!({ "call": unknown }), 404, "no_call"),
        (json!({ "trunk": "nobody" }), 404, "no_trunk"),
        (json!({ "call": "me" }), 422, "wrong"),
        (json!({ "number": "555" }), 422, "wrong"),
        (
            json!({ "number": NUMBER, "trunk": "carrier" }),
            422,
            "wrong",
        ),
        (json!({ "trunk": "carrier", "packets": 0 }), 422, "wrong"),
        (
            json!({ "trunk": "carrier", "bytes": 1_u64 << 40 }),
            422,
            "wrong",
        ),
        (json!({ "trunk": "carrier", "seconds": 4000 }), 422, "wrong"),
        (
            json!({ "trunk": "carrier", "folder": "/tmp" }),
            400,
            "unreadable",
        ),
    ] {
        let (found, answer) = desk.ask("POST", "", &wish);
        assert_eq!(
            (found, &answer["error"]),
            (status, &json!(why)),
            "{wish}: {answer}"
        );
    }
    for _ in 0..4 {
        assert_eq!(desk.ask("POST", "", &json!({ "trunk": "carrier" })).0, 201);
    }
    let (status, answer) = desk.ask("POST", "", &json!({ "trunk": "carrier" }));
    assert_eq!(
        (status, &answer["error"]),
        (429, &json!("too_many")),
        "{answer}"
    );
}

/// Packets of a file that meet a filter, as tcpdump counts them.
fn packets(file: &Path, filter: &str) -> u64 {
    let mut command = Command::new("tcpdump");
    command.args(["-nn", "-q", "-r"]).arg(file);
    if !filter.is_empty() {
        command.arg(filter);
    }
    let output = command
        .output()
        .expect("tcpdump starts; install it with: apt-get install tcpdump");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("bad"), "{said}");
    output.stdout.split(|byte| *byte == b'\n').count() as u64 - 1
}

/// The edge, as its operator asks it.
struct Desk(Ipv4Addr);

impl Desk {
    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let mut stream = (0..50)
            .find_map(|_| {
                let stream = TcpStream::connect((self.0, 9061)).ok();
                if stream.is_none() {
                    thread::sleep(Duration::from_millis(50));
                }
                stream
            })
            .expect("a connection");
        write!(
            stream,
            "{method} /v1/captures{path} HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {CAPTURE_TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).expect("a status");
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        (status.parse().expect("a number"), body)
    }
}
