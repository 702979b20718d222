//! The tools over a real edge: its records replayed by the program, its counters explained, broken configurations while it runs.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use serde_json::{Value, json};
use strowger::config;
use strowger::edge::Disk;

use super::client::{Client, READER, WRITER, open};
use super::process::{Process, strowger};
use super::site::{Buyer, Carrier, Site};
use crate::broken;

#[test]
fn the_records_of_a_running_edge_are_replayed_without_a_difference() {
    let (first, second, web) = (Buyer::start(), Buyer::start(), Crm::start());
    let site = Site::with_buyer(2, first.address);
    let text = fs::read_to_string(&site.config).unwrap();
    fs::write(
        &site.config,
        text.replace("buyers = [\"sunny\"]", "buyers = [\"sunny\", \"moony\"]"),
    )
    .unwrap();
    site.append(&rules(second.address, web.address));
    let edge = site.start();
    let address = edge.addresses()[0];

    let mut busy = Vec::new();
    for call in 0..30 {
        let mut carrier = Carrier::new(address);
        carrier.call("+12125550101");
        // Some last, so that the first buyer has no place for others.
        if call % 7 == 0 {
            busy.push(carrier);
        } else {
            carrier.hang_up();
        }
    }
    busy.iter_mut().for_each(Carrier::hang_up);
    let stranger = Carrier::new(address);
    stranger.send(&stranger.invite("+12125550999"));
    stranger.receive_where(|answer| answer.starts_with("SIP/2.0 404 "));
    edge.stop();

    let records = site.records();
    assert_eq!(records.len(), 31);
    let has = |key: &str| {
        records
            .iter()
            .filter(|one| !one["routing"][key].is_null())
            .count()
    };
    assert_eq!(has("conversion"), 30);
    let is_full = |one: &&Value| one["skipped"][0]["limit"]["kind"] == "concurrency";
    assert!(records.iter().filter(is_full).count() > 3, "{records:?}");
    assert!(web.asked.load(Ordering::Relaxed) >= 30);
    let path = site.folder.path().join("records.jsonl");
    let path = path.to_str().unwrap();
    let same = strowger(&site, &["replay", path]);
    let said = String::from_utf8(same.stdout).unwrap();
    assert_eq!(same.status.code(), Some(0), "{said}");
    assert!(
        said.ends_with("31 calls, 0 changed, 0 cut off, 0 lines that are no records\n"),
        "{said}"
    );

    // Another line, one that is none, and another configuration.
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(b"{\"uuid\": 1}\n").unwrap();
    let bad = strowger(&site, &["replay", path]);
    let said = String::from_utf8(bad.stdout).unwrap();
    assert_eq!(bad.status.code(), Some(1));
    assert!(
        said.starts_with(&format!("{path}:32: is no call record: ")),
        "{said}"
    );
    let text = fs::read_to_string(&site.config).unwrap();
    fs::write(
        &site.config,
        text.replace("payout = \"2.50\"", "payout = \"3.00\""),
    )
    .unwrap();
    let dearer = strowger(&site, &["replay", path, "--json"]);
    assert_eq!(dearer.status.code(), Some(1));
    let value: Value = serde_json::from_slice(&dearer.stdout).unwrap();
    assert_eq!(value["changed"].as_array().unwrap().len(), 30, "{value}");
    assert_eq!(
        value["changed"][0]["conversion"]["now"]["converted"]["payout"],
        "3.00"
    );
    let payout = &value["summary"]["campaigns"]["solar"]["payout"];
    assert_eq!(
        *payout,
        json!({ "was": "75.00", "now": "90.00", "supposed": "90.00" })
    );
    assert_eq!(value["summary"]["bad_lines"][0]["line"], 32);

    assert_eq!(
        strowger(&site, &["replay", "/nowhere"]).status.code(),
        Some(1)
    );
    assert_eq!(strowger(&site, &["replay"]).status.code(), Some(64));
    fs::write(&site.config, "[node\n").unwrap();
    assert_eq!(strowger(&site, &["replay", path]).status.code(), Some(64));
}

#[test]
fn a_running_edge_explains_by_what_counts_now() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    let text = fs::read_to_string(&site.config).unwrap();
    fs::write(
        &site.config,
        text.replace("id = \"sunny\"", "id = \"sunny\"\nmax_calls = 1"),
    )
    .unwrap();
    open(&site, "");
    let process = Process::start(&site);
    let url = format!("http://{}", process.web[0]);
    let token = site.folder.path().join("token");
    fs::write(&token, format!("{READER}\n")).unwrap();
    let ask = |more: &[&str]| {
        let token = token.to_str().unwrap();
        let ask = [
            "explain",
            "--to",
            "+12125550101",
            "--edge",
            &url,
            "--token-file",
            token,
        ];
        let output = strowger(&site, &[&ask[..], more].concat());
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };

    let before = ask(&[]);
    let mut carrier = Carrier::new(process.sip);
    carrier.call("+12125550101");
    let during = ask(&["--json"]);
    let stated = ask(&["--calls", "sunny=0", "--counted", "sunny.day=7"]);
    carrier.hang_up();
    let after = ask(&[]);

    assert_eq!(before.0, Some(0), "{}", before.1);
    assert!(before.1.contains("\n1. sunny"), "{}", before.1);
    let value: Value = serde_json::from_str(&during.1).unwrap();
    assert_eq!(
        value["looks"][0]["buyers"][0]["verdict"], "concurrency",
        "{value}"
    );
    assert_eq!(
        value["refused"],
        json!({ "status": 486, "reason": "all_capped" })
    );
    assert!(stated.1.contains("\n1. sunny"), "{}", stated.1);
    assert!(after.1.contains("\n1. sunny"), "{}", after.1);
    let (code, said) = ask(&["--at", "today"]);
    assert_eq!(code, Some(64));
    assert!(said.contains("422: `today` is no time"), "{said}");
    fs::write(&token, "nobody's").unwrap();
    let (code, said) = ask(&[]);
    assert_eq!(code, Some(64));
    assert!(said.contains("401: this is no token of ours"), "{said}");

    let client = Client::of(&process, WRITER);
    let body = br#"{"to": "+12125550101", "form": "x"}"#;
    let refused = client.ask("POST", "/v1/explain", &[], body);
    assert_eq!(refused.status, 400, "{}", refused.body);
    let closed = format!("http://{}", super::site::closed_port());
    let nobody = strowger(&site, &["explain", "--to", "+1", "--edge", &closed]);
    assert_eq!(nobody.status.code(), Some(1));
    let wrong = strowger(&site, &["explain", "--to", "+1", "--edge", "ftp://x"]);
    assert_eq!(wrong.status.code(), Some(1));
}

#[test]
fn counters_and_answers_of_webhooks_may_be_given_to_explain() {
    let site = Site::new(1);
    let text = fs::read_to_string(&site.config).unwrap();
    let limits =
        "id = \"sunny\"\ncaps = { day = 5 }\ntime_zone = \"UTC\"\ntags = [\"product:loan\"]";
    fs::write(&site.config, text.replace("id = \"sunny\"", limits)).unwrap();
    site.append("[[webhook]]\nid = \"crm\"\ncampaign = \"solar\"\ntrigger = \"start\"\nurl = \"https://crm.example.com/\"\n");
    let ask = |more: &[&str]| {
        let ask = [&["explain", "--to", "+12125550101"], more].concat();
        let output = strowger(&site, &ask);
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };

    let loan = "crm={\"product\": \"loan\"}";
    let (_, said) = ask(&["--answer", loan, "--counted", "sunny.day=4"]);
    assert!(said.contains("\n1. sunny"), "{said}");
    let (_, said) = ask(&["--answer", loan, "--counted", "sunny.day=5"]);
    assert!(
        said.contains("sunny                cap_day: wants below 5, has 5"),
        "{said}"
    );
    let (_, said) = ask(&["--calls", "sunny=1"]);
    assert!(
        said.contains("tag_mismatch: wants product:==loan, has "),
        "{said}"
    );
    for wrong in [
        ["--calls", "sunnny=1"],
        ["--counted", "sunny.week=1"],
        ["--counted", "sunny=1"],
        ["--answer", "crm"],
    ] {
        assert_eq!(ask(&wrong).0, Some(64), "{wrong:?}");
    }
}

#[test]
fn check_runs_route_tests_and_is_strict_if_asked() {
    let site = Site::new(1);
    let tests = site.config.with_extension("route.toml");
    let case = |buyer: &str| {
        format!(
            "[[case]]\nname = \"x\"\nto = \"+12125550101\"\nat = \"2024-11-04T09:00:00Z\"\n[case.expect]\nbuyer = \"{buyer}\"\n"
        )
    };
    let check = |more: &[&str]| {
        let output = strowger(&site, &[&["check"], more].concat());
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };

    fs::write(&tests, case("sunny")).unwrap();
    let (code, said) = check(&["--strict"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.starts_with("1 route tests in 1 files are met\n"),
        "{said}"
    );
    fs::write(&tests, case("moony")).unwrap();
    let (code, said) = check(&[]);
    assert_eq!(code, Some(64));
    let expected = ":6:9: case.expect.buyer: case `x`: it is `sunny`; the test expects `moony`\n";
    assert_eq!(said, format!("{}{expected}", tests.display()));
    let (code, said) = check(&["--json"]);
    assert_eq!(code, Some(64));
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()[0]["line"], 6);

    fs::remove_file(&tests).unwrap();
    site.append("[[buyer]]\nid = \"idle\"\ncompany = \"acme\"\nuri = \"sip:x@192.0.2.9\"\n");
    let (code, said) = check(&[]);
    assert_eq!(code, Some(0));
    assert!(said.contains("warning: buyer.id: gets no call"), "{said}");
    assert_eq!(check(&["--strict"]).0, Some(64));
}

#[test]
fn an_edge_under_load_goes_on_with_what_is_right_whatever_it_is_told_to_read() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(2, buyer.address);
    let mut edge = site.start();
    let (address, disk) = (edge.addresses()[0], Disk::new().unwrap());
    let right = fs::read_to_string(&site.config).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let is_over = Arc::clone(&is_over);
            // Whichever call fails ends the thread with a panic.
            thread::spawn(move || {
                let mut calls = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let mut carrier = Carrier::new(address);
                    carrier.call("+12125550101");
                    carrier.hang_up();
                    calls += 1;
                }
                calls
            })
        })
        .collect();

    let mut refused = 0;
    for mistake in broken::mistakes(Path::new("strowger.toml"), &right)
        .into_iter()
        .step_by(2)
    {
        let Some(text) = mistake.text else {
            continue;
        };
        fs::write(&site.config, text).unwrap();
        if config::load(&site.config, &disk, 1).is_ok() {
            // What is right all the same is not what this is about.
            continue;
        }
        edge.reload(&site.config, &disk).unwrap_err();
        refused += 1;
    }
    assert_eq!(edge.generation(), 1);
    fs::remove_file(&site.config).unwrap();
    edge.reload(&site.config, &disk).unwrap_err();
    is_over.store(true, Ordering::Relaxed);
    let calls: u32 = callers
        .into_iter()
        .map(|caller| caller.join().unwrap())
        .sum();
    edge.stop();

    assert!(refused >= 36, "{refused}");
    let records = site.records();
    assert_eq!(records.len(), usize::try_from(calls).unwrap());
    assert!(calls > 20, "{calls}");
    assert!(
        records
            .iter()
            .all(|record| record["outcome"] == "completed")
    );
}

/// What makes routing more than one buyer: weights, a limit, a webhook whose answer decides, a conversion.
fn rules(second: SocketAddr, web: SocketAddr) -> String {
    format!(
        r#"
[[buyer]]
id = "moony"
company = "acme"
uri = "sip:sales@moon.example.com"
address = "{second}"
priority = 2
tags = ["product:loan"]

[[buyer_group]]
id = "pool"
company = "acme"
members = ["sunny"]
max_calls = 1

[[webhook]]
id = "crm"
campaign = "solar"
trigger = "start"
url = "http://{web}/?n=[caller_number]"

[[webhook]]
id = "pixel"
campaign = "solar"
trigger = "connect"
matches = ["product:loan"]
url = "http://{web}/pixel"

[[conversion_group]]
id = "any"
campaign = "solar"
criterion = "timer"
after = "0s"
payout = "2.50"
revenue = "5.00"

[http_client]
allow = ["127.0.0.0/8"]
"#
    )
}

/// A server that says the same to everybody.
struct Crm {
    address: SocketAddr,
    asked: Arc<AtomicU32>,
}

impl Crm {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&asked);
        // It ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else {
                    return;
                };
                let mut request = [0; 4096];
                if stream.read(&mut request).is_ok_and(|length| length > 0) {
                    counted.fetch_add(1, Ordering::Relaxed);
                    let body = "{\"product\":\"loan\",\"geo\":\"us-10101\"}";
                    let length = body.len();
                    // Whoever does not want it any more shows in the test.
                    let _ = write!(
                        stream,
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
                         Connection: close\r\n\r\n{body}"
                    );
                }
            }
        });
        Self { address, asked }
    }
}
