//! With a data directory: calls that are kept, and the command that says so.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::str;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use strowger::edge::Edge;
use strowger::net::clock;
use strowger::store::entry::{Admitted, Answered, Class, Delivery, KnownTag, Queued, Tagged};
use strowger::store::{Entry, List, Options, Store};
use strowger::types::ids::CallUuid;
use strowger::types::moment::Moment;

use super::client;
use super::client::Client;
use super::process::{Process, awaits};
use super::site::{Buyer, Carrier, Site, http_get};

#[test]
fn records_go_through_the_store_and_the_ledger_balances() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    let data = keep(&site);
    for _ in 0..2 {
        let edge = site.start();
        let mut carrier = Carrier::new(edge.addresses()[0]);
        carrier.call("+12125550101");
        carrier.hang_up();

        let running = ledger(&data, &[]);
        assert_eq!(running.status.code(), Some(1));
        let said = String::from_utf8(running.stderr).unwrap();
        assert!(said.contains("is in use by process"), "{said}");
        edge.stop();
    }

    let records = site.records();
    assert_eq!(records.len(), 2);
    assert_eq!(records[1]["outcome"], "completed");
    let plain = ledger(&data, &[]);
    let text = String::from_utf8(plain.stdout).unwrap();
    assert_eq!(plain.status.code(), Some(0));
    assert!(text.contains("2 admitted"), "{text}");
    assert!(text.ends_with("everything balances\n"), "{text}");
    let json = ledger(&data, &["--json"]);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&value["records"], &value["lines"]), (&2.into(), &2.into()));

    // A record that somebody took out is missed.
    let path = data.with_file_name("records.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let (first, _) = text.split_once('\n').unwrap();
    fs::write(&path, format!("{first}\n")).unwrap();
    let short = ledger(&data, &[]);
    assert_eq!(short.status.code(), Some(1));
    let text = String::from_utf8(short.stdout).unwrap();
    assert!(text.contains("records in files: 1, should be 2"), "{text}");
}

#[test]
fn a_call_that_the_last_edge_has_left_gets_its_record_at_the_start() {
    let site = Site::new(1);
    let data = keep(&site);
    let uuid = CallUuid::from_bytes([7; 16]);
    let options = Options {
        records: Some(data.with_file_name("records.jsonl")),
        ..Options::default()
    };
    let began = Moment::from_millis(1_767_323_044_500);
    let mut store = Store::open(&data, 1, options, began).unwrap();
    let admitted = Entry::Admitted(Admitted {
        uuid,
        at: began,
        generation: 4,
        trunk: "carrier",
        user: None,
        company: Some("acme"),
        campaign: Some("solar"),
        afid: None,
        sid: None,
        dialled: Some("+12125550101"),
        caller: None,
        call_id: b"1@192.0.2.1",
        note: &[],
    });
    store.lanes[0].append(&admitted).unwrap();
    store.lanes[0].commit().unwrap();
    drop(store);

    let edge = site.start();
    edge.stop();

    let records = site.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["uuid"], uuid.to_string());
    assert_eq!(records[0]["outcome"], "edge_restarted");
    assert_eq!(records[0]["began"], "2026-01-02T03:04:04.500Z");
    assert_eq!(records[0]["node"], "loopback");
    assert_eq!(ledger(&data, &[]).status.code(), Some(0));
}

#[test]
fn callers_stay_on_a_list_when_the_edge_is_killed() {
    let buyer = Buyer::start();
    let site = with_list(buyer.address, "connected");
    let edge = Process::start(&site);
    let mut carrier = Carrier::new(edge.sip);
    carrier.call("+12125550101");
    carrier.hang_up();

    bars_after_a_kill(&site, edge);
}

#[test]
fn callers_whose_call_was_cut_off_are_on_the_lists_of_those_who_called() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let site = with_list(silent.local_addr().unwrap(), "attempted");
    let edge = Process::start(&site);
    let carrier = Carrier::new(edge.sip);
    carrier.send(&carrier.invite("+12125550101"));
    silent.recv(&mut [0; 2048]).unwrap();

    bars_after_a_kill(&site, edge);
}

/// A site whose campaign takes nobody who is on a list that fills itself so.
fn with_list(buyer: SocketAddr, fill: &str) -> Site {
    let site = Site::with_buyer(1, buyer);
    keep(&site);
    let text = fs::read_to_string(&site.config).unwrap();
    let campaign = "buyers = [\"sunny\"]";
    let text = text.replace(campaign, &format!("{campaign}\nsuppressed = [\"had\"]"));
    let list = format!("[[caller_list]]\nid = \"had\"\nttl = \"30d\"\nfill = \"{fill}\"\n");
    fs::write(&site.config, text + &list).unwrap();
    site
}

/// Kills the edge, and asserts that the next one does not let the caller in again.
fn bars_after_a_kill(site: &Site, mut edge: Process) {
    edge.signal(libc::SIGKILL);
    edge.exit_code();
    let mut edge = Process::start(site);
    let mut carrier = Carrier::new(edge.sip);
    let invite = carrier.invite("+12125550101");
    let answer = carrier.try_by(&invite);

    assert!(answer.starts_with("SIP/2.0 603 "), "{answer}");
    assert!(answer.contains("caller_blocked"), "{answer}");
    edge.signal(libc::SIGTERM);
    edge.exit_code();
}

#[test]
fn a_delivery_that_waits_is_made_until_it_is_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let answer = |status| -> String {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                request.read_line(&mut head).unwrap();
            }
            let mut body = [0; 7];
            request.read_exact(&mut body).unwrap();
            write!(
                stream,
                "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            .unwrap();
            head.to_lowercase() + str::from_utf8(&body).unwrap()
        };
        [503, 200].map(answer)
    });
    let site = Site::new(1);
    let data = keep(&site);
    site.append("[http_client]\nallow = [\"127.0.0.1/32\"]\n");
    let call = CallUuid::from_bytes([7; 16]);
    let mut store = Store::open(&data, 1, Options::default(), Moment::default()).unwrap();
    let url = format!("http://{address}/paid?call=7");
    let delivery = Delivery {
        hook: "pixel",
        phase: 0,
        class: Class::Ping,
        not_before: Moment::default(),
        is_idempotent: false,
        method: "POST",
        url: &url,
        headers: List::default(),
        body: b"paid=12",
    };
    let queued = Entry::Queued(Queued {
        call,
        at: Moment::default(),
        deliveries: vec![delivery].into(),
    });
    store.lanes[0].append(&queued).unwrap();
    store.lanes[0].commit().unwrap();
    drop(store);

    let edge = site.start();
    let requests = server.join().unwrap();
    edge.stop();

    for request in requests {
        assert!(
            request.starts_with("post /paid?call=7 http/1.1\r\n"),
            "{request}"
        );
        let key = format!("x-strowger-delivery: {call}-0\r\n");
        assert!(request.contains(&key), "{request}");
        assert!(request.ends_with("\r\n\r\npaid=12"), "{request}");
    }
    let json = ledger(&data, &["--json"]);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&value["delivered"], &value["waiting"]),
        (&1.into(), &0.into())
    );
}

#[test]
fn a_call_that_was_cut_off_is_reported_and_converts_once_as_if_it_had_ended_then() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, requests) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = BufReader::new(stream.try_clone().unwrap());
            let (mut first, mut line) = (String::new(), String::new());
            request.read_line(&mut first).unwrap();
            while line != "\r\n" {
                line.clear();
                request.read_line(&mut line).unwrap();
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer).unwrap();
            if asked.send(first).is_err() {
                return;
            }
        }
    });
    let site = Site::new(1);
    let data = keep(&site);
    site.append(&format!(
        r#"
[http_client]
allow = ["127.0.0.1/32"]

[[conversion_group]]
id = "long"
campaign = "solar"
criterion = "timer"
after = "60s"
revenue = "20"

[[webhook]]
id = "sale"
campaign = "solar"
trigger = "conversion"
matches = ["age:>=65"]
url = "http://{address}/sale?age=[age]&revenue=[revenue]"

[[webhook]]
id = "report"
campaign = "solar"
trigger = "always"
url = "http://{address}/report?reason=[reason]&talk=[call_duration]&buyer=[buyer_id]"
"#
    ));
    let began = clock::moment().before(MINUTES);
    let uuid = CallUuid::from_bytes([7; 16]);
    let mut store = Store::open(&data, 1, Options::default(), began).unwrap();
    for entry in [
        Entry::Admitted(Admitted {
            uuid,
            at: began,
            generation: 4,
            trunk: "carrier",
            user: None,
            company: Some("acme"),
            campaign: Some("solar"),
            afid: Some("bright-leads"),
            sid: None,
            dialled: Some("+12125550101"),
            caller: Some("+12125550199"),
            call_id: b"1@192.0.2.1",
            note: &[],
        }),
        Entry::Tagged(Tagged {
            uuid,
            tags: vec![KnownTag {
                key: "age",
                value: "66",
                origin: "hook",
            }]
            .into(),
        }),
        Entry::Answered(Answered {
            uuid,
            at: began.after(Duration::from_secs(5)),
            buyer: "sunny",
            claims: List::default(),
            note: &[],
        }),
    ] {
        store.lanes[0].append(&entry).unwrap();
    }
    store.lanes[0].commit().unwrap();
    drop(store);
    let alive = began.after(Duration::from_secs(95)).millis();
    fs::write(data.join("alive"), alive.to_string()).unwrap();

    let edge = site.start();
    let patience = Duration::from_secs(10);
    let said = [(); 2].map(|()| requests.recv_timeout(patience).unwrap());
    edge.stop();
    // The next start has nothing to add.
    site.start().stop();

    assert_eq!(
        said,
        [
            "GET /sale?age=66&revenue=20.00 HTTP/1.1\r\n",
            "GET /report?reason=edge_restarted&talk=90&buyer=sunny HTTP/1.1\r\n"
        ]
    );
    assert!(requests.try_recv().is_err());
    let records = site.records();
    assert_eq!(records.len(), 1);
    assert_eq!(
        (&records[0]["talk_ms"], &records[0]["total_ms"]),
        (&90_000.into(), &95_000.into())
    );
    assert_eq!(ledger(&data, &[]).status.code(), Some(0));
    let options = Options {
        records: Some(data.with_file_name("records.jsonl")),
        ..Options::default()
    };
    let store = Store::open(&data, 0, options, began).unwrap();
    let known = store.shelf.caller("acme", "+12125550199", began).unwrap();
    let call = &known.earlier[0];
    assert_eq!(call.answered, Some(began.after(Duration::from_secs(5))));
    let conversion = call.conversion.as_ref().unwrap();
    assert!(conversion.is_converted);
    assert_eq!(conversion.revenue.as_deref(), Some("20.00"));
}

const MINUTES: Duration = Duration::from_secs(300);

/// A server that answers so, one request after the other; it ends with the last.
fn answers(statuses: &'static [u16]) -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        for status in statuses {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                request.read_line(&mut line).unwrap();
            }
            write!(
                stream,
                "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            .unwrap();
        }
    });
    (address, server)
}

/// Has a store hold deliveries to this server.
fn queue(data: &Path, server: SocketAddr, count: usize) {
    let mut store = Store::open(data, 1, Options::default(), Moment::default()).unwrap();
    let url = format!("http://{server}/k/canary?key=canary");
    let delivery = Delivery {
        hook: "pixel",
        phase: 0,
        class: Class::Ping,
        not_before: Moment::default(),
        is_idempotent: false,
        method: "GET",
        url: &url,
        headers: List::default(),
        body: b"",
    };
    let queued = Entry::Queued(Queued {
        call: CallUuid::from_bytes([7; 16]),
        at: Moment::default(),
        deliveries: vec![delivery; count].into(),
    });
    store.lanes[0].append(&queued).unwrap();
    store.lanes[0].commit().unwrap();
}

#[test]
fn what_is_kept_is_sent_within_the_time_and_the_redirects_of_its_webhook() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, requests) = mpsc::channel();
    thread::spawn(move || {
        let mut unanswered = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut first = String::new();
            let mut request = BufReader::new(stream.try_clone().unwrap());
            request.read_line(&mut first).unwrap();
            if first.contains("/moved") {
                let answer = b"HTTP/1.1 302 x\r\nLocation: /there\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                stream.write_all(answer).unwrap();
            } else {
                unanswered.push(stream);
            }
            if asked.send(first).is_err() {
                return;
            }
        }
    });
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    let data = keep(&site);
    site.append("[http_client]\nallow = [\"127.0.0.1/32\"]\n");
    for (id, more) in [("moved", "redirects = 0"), ("slow", "timeout = \"300ms\"")] {
        site.append(&format!(
            "[[webhook]]\nid = \"{id}\"\ncampaign = \"solar\"\ntrigger = \"always\"\nurl = \"http://{address}/{id}\"\n{more}\n"
        ));
    }
    let edge = site.start();
    let mut carrier = Carrier::new(edge.addresses()[0]);
    carrier.call("+12125550101");
    carrier.hang_up();
    let asked = || requests.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(asked().starts_with("GET /moved "));
    assert!(asked().starts_with("GET /slow "));
    awaits("no delivery waits", || {
        count(&edge, "strowger_deliveries{state=\"waiting\"}") == Some(0)
    });
    edge.stop();

    assert!(requests.try_recv().is_err());
    let json = outbox(&data, &["--json"]);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let why = |at: usize| value["deliveries"][at]["why"].clone();
    assert_eq!(
        (why(0), why(1)),
        ("302".into(), "timed_out".into()),
        "{value}"
    );
}

#[test]
fn deliveries_that_were_given_up_are_shown_tried_again_and_forgotten_by_command() {
    let (address, server) = answers(&[400, 410, 200]);
    let site = Site::new(1);
    let data = keep(&site);
    site.append("[http_client]\nallow = [\"127.0.0.1/32\"]\n");
    queue(&data, address, 2);
    let edge = site.start();
    awaits("no delivery waits", || {
        count(&edge, "strowger_deliveries{state=\"waiting\"}") == Some(0)
    });
    edge.stop();

    let json = outbox(&data, &["--json"]);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(value["deliveries"][0]["why"], "400", "{value}");
    assert_eq!(value["deliveries"][1]["why"], "410");
    assert_eq!(value["deliveries"][0]["to"], format!("http://{address}"));
    assert!(!String::from_utf8_lossy(&json.stdout).contains("canary"));
    let unknown = outbox(&data, &["retry", "7"]);
    assert_eq!(unknown.status.code(), Some(1));
    let dropped = outbox(&data, &["drop", "1"]);
    assert_eq!(dropped.status.code(), Some(0));
    let retried = outbox(&data, &["retry"]);
    let said = String::from_utf8(retried.stdout).unwrap();
    assert!(
        said.ends_with("1 are tried again at the next start\n"),
        "{said}"
    );
    let edge = site.start();
    server.join().unwrap();
    edge.stop();

    let none = outbox(&data, &[]);
    assert_eq!(String::from_utf8(none.stdout).unwrap(), "0 given up\n");
    let json = ledger(&data, &["--json"]);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&value["delivered"], &value["dead"]),
        (&1.into(), &0.into())
    );
}

#[test]
fn deliveries_that_were_given_up_are_shown_tried_again_and_forgotten_over_http() {
    let (address, server) = answers(&[400, 400]);
    let site = Site::new(1);
    client::open(&site, "");
    let data = site.folder.path().join("data");
    site.append("[http_client]\nallow = [\"127.0.0.1/32\"]\n");
    queue(&data, address, 1);
    let process = Process::start(&site);
    let reader = Client::of(&process, client::READER);
    let writer = Client::of(&process, client::WRITER);
    let given_up = || {
        for _ in 0..500 {
            let page = reader.get("/v1/outbox").json();
            if page["count"] == 1 {
                return page;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("nothing is given up");
    };

    let page = given_up();
    assert_eq!(page["deliveries"][0]["number"], 0, "{page}");
    assert_eq!(page["deliveries"][0]["webhook"], "pixel");
    assert!(!page.to_string().contains("canary"), "{page}");
    let denied = reader.ask("POST", "/v1/outbox/0/retry", &[], b"");
    assert_eq!(denied.status, 403);
    let unknown = writer.ask("POST", "/v1/outbox/9/retry", &[], b"");
    assert_eq!(unknown.status, 404);
    let retried = writer.ask("POST", "/v1/outbox/0/retry", &[], b"");
    assert_eq!(retried.status, 202);
    server.join().unwrap();

    given_up();
    let gone = writer.ask("DELETE", "/v1/outbox/0", &[], b"");
    assert_eq!(gone.status, 202);
    for _ in 0..500 {
        if reader.get("/v1/outbox").json()["count"] == 0 {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it is there still");
}

#[test]
fn two_edges_cannot_have_one_data_directory() {
    let site = Site::new(1);
    keep(&site);
    let edge = site.start();

    let output = Command::new(env!("CARGO_BIN_EXE_strowger"))
        .arg("--config")
        .arg(&site.config)
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("each edge needs a data_dir of its own"),
        "{said}"
    );
    let (status, text) = http_get(edge.http_address().unwrap(), "/metrics");
    assert_eq!(status, 200);
    assert!(text.contains("\nstrowger_store_shut 0\n"), "{text}");
}

#[test]
fn there_is_no_ledger_where_no_edge_has_been() {
    let folder = tempfile::tempdir().unwrap();

    let output = ledger(&folder.path().to_owned(), &[]);

    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no edge has kept anything there"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Gives the site a data directory.
fn keep(site: &Site) -> PathBuf {
    let text = fs::read_to_string(&site.config).unwrap();
    let node = "[node]\ndata_dir = \"data\"\n";
    fs::write(&site.config, text.replace("[node]\n", node)).unwrap();
    site.config.with_file_name("data")
}

/// The figure of this name that an edge shows.
pub(super) fn count(edge: &Edge, name: &str) -> Option<u64> {
    let text = edge.metrics();
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().parse().ok()
}

fn ledger(data: &PathBuf, arguments: &[&str]) -> Output {
    books("ledger", data, arguments)
}

fn outbox(data: &PathBuf, arguments: &[&str]) -> Output {
    books("outbox", data, arguments)
}

fn books(command: &str, data: &PathBuf, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_strowger"))
        .arg(command)
        .arg("--data-dir")
        .arg(data)
        .args(arguments)
        .output()
        .unwrap()
}
