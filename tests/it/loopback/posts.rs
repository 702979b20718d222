//! Postbacks and data writing over HTTP: to a call that lasts, to one that is over, and who may.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use strowger::edge::Edge;
use strowger::net::clock;

use super::client::{Client, READER, Reply, open};
use super::process::{Process, awaits};
use super::site::{Buyer, Carrier, Site, header};

const CRM: &str = "crm-0123456789abcdef";
const SCOPED: &str = "scoped-0123456789abcdef";
const NUMBER: &str = "+12125550101";

#[test]
fn a_postback_of_a_call_that_lasts_gives_it_tags_and_converts_it_at_its_end() {
    let bench = Bench::new(1);
    let edge = bench.site.start();
    let client = web(&edge);
    let mut carrier = Carrier::new(edge.addresses()[0]);
    carrier.call(NUMBER);
    let (uuid, key) = bench.key();

    let told = client.get(&format!(
        "/calls/{uuid}/postback?key={key}&age=66&product=a&product=b&converted=true&revenue=75&call_status=x"
    ));

    assert_eq!(told.status, 200, "{}", told.body);
    let json = told.json();
    assert_eq!(json["status"], "call in progress found, tags applied");
    assert_eq!(json["call_uuid"], uuid);
    assert_eq!(json["tag_values"]["product"], serde_json::json!(["a", "b"]));
    assert_eq!(json["refused"]["call_status"], "reserved");
    carrier.hang_up();
    bench
        .hook
        .awaits(&["/postback?r=75.00&a=66", "/conversion?r=75.00&a=66"]);
    edge.stop();
    let record = &bench.site.records()[0];
    let routing = &record["routing"];
    assert_eq!(routing["tags"][0]["key"], "age");
    assert_eq!(routing["tags"][0]["origin"], "postback");
    assert_eq!(routing["conversion"]["verdict"], "converted");
    assert_eq!(routing["conversion"]["converted"]["payout"], "40.00");
    bench.balances();
}

#[test]
fn a_postback_after_the_call_converts_it_and_its_webhooks_arrive_once() {
    let bench = Bench::new(2);
    let edge = bench.site.start();
    let client = web(&edge);
    let mut carrier = Carrier::new(edge.addresses()[0]);
    carrier.call(NUMBER);
    let (uuid, key) = bench.key();
    carrier.hang_up();

    // At once: its record is on its way.
    let path = format!("/calls/{uuid}/postback");
    let body = format!(r#"{{"key": "{key}", "revenue": 75.5, "age": 66}}"#);
    let json = [("Content-Type", "application/json")];
    let told = client.ask("POST", &path, &json, body.as_bytes());
    assert_eq!(told.status, 200, "{}", told.body);
    assert_eq!(told.json()["status"], "completed call found, tags applied");
    let again = client.ask("POST", &path, &json, body.as_bytes());
    assert_eq!(again.status, 200, "{}", again.body);

    bench.hook.awaits(&[
        "/postback?r=75.50&a=66",
        "/conversion?r=75.50&a=66",
        "/postback?r=75.50&a=66",
    ]);
    edge.stop();
    let record = &bench.site.records()[0];
    assert_eq!(record["routing"]["conversion"]["verdict"], "awaited");
    let books = bench.balances();
    assert_eq!(books["claimed"], 1, "{books}");

    // Another process knows the same.
    let edge = bench.site.start();
    let reader = Client {
        token: Some(READER),
        ..web(&edge)
    };
    let shown = reader.get(&format!("/v1/calls/{uuid}")).json();
    assert_eq!(shown["record"]["uuid"], uuid);
    assert_eq!(shown["conversion"]["verdict"], "converted");
    assert_eq!(shown["conversion"]["revenue"], "75.50");
    assert_eq!(
        (&shown["postbacks"], &shown["tags"][0]["value"]),
        (&2.into(), &"66".into())
    );
    let told = web(&edge).get(&format!("{path}?key={key}&revenue=80"));
    assert_eq!(told.status, 200, "{}", told.body);
    bench.hook.awaits(&[
        "/postback?r=75.50&a=66",
        "/conversion?r=75.50&a=66",
        "/postback?r=75.50&a=66",
        "/postback?r=80.00&a=66",
    ]);
    edge.stop();
    assert_eq!(bench.balances()["claimed"], 1);
}

#[test]
fn who_shows_no_right_key_learns_nothing_and_is_shut_out_after_some_tries() {
    let bench = Bench::new(1);
    let edge = bench.site.start();
    let client = web(&edge);
    let mut carrier = Carrier::new(edge.addresses()[0]);
    carrier.call(NUMBER);
    let (uuid, key) = bench.key();
    let ask = |uuid: &str, key: &str| client.get(&format!("/calls/{uuid}/postback?key={key}&a=1"));

    let none = client.get(&format!("/calls/{uuid}/postback?a=1"));
    assert_eq!(none.status, 401);
    assert_eq!(none.header("www-authenticate"), "Bearer realm=\"strowger\"");
    let other = "01234567-89ab-4def-8123-456789abcdef";
    let wrong = "A".repeat(26);
    let answers = [
        ask(&uuid, &wrong),
        ask(other, &wrong),
        ask(other, &key),
        ask("nobody", &key),
        client.get(&format!("/data_writing/{wrong}?call_uuid={uuid}&a=1")),
        client.get(&format!(
            "/data_writing/{key}?caller_number=%2B12125550199&a=1"
        )),
    ];
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (404, &answers[0].body));
    }
    // A header says the same as the query.
    let path = format!("/calls/{uuid}/postback?a=1");
    let shown = [("Authorization", &*format!("Bearer {key}"))];
    assert_eq!(client.ask("GET", &path, &shown, b"").status, 200);
    // The right one excuses no wrong ones: after ten of them, nobody is listened to.
    let guesses = (0..10).take_while(|_| ask(&uuid, &wrong).status == 404);
    assert!(guesses.count() < 10);
    let locked = ask(&uuid, &key);
    assert_eq!((locked.status, locked.header("retry-after")), (429, "60"));
    let metrics = edge.metrics();
    for line in [
        "strowger_postbacks_total{result=\"live\"} 1",
        "strowger_postbacks_total{result=\"locked\"} 2",
        "strowger_postbacks_total{result=\"no_key\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[test]
fn a_key_that_was_handed_out_reaches_what_it_is_for_so_often_and_no_more() {
    let bench = Bench::new(1);
    let edge = bench.site.start();
    let client = web(&edge);
    let mut carrier = Carrier::new(edge.addresses()[0]);
    carrier.call(NUMBER);
    let (uuid, _) = bench.key();
    let post =
        |key: &str, said: &str| client.get(&format!("/calls/{uuid}/postback?key={key}&{said}"));

    assert_eq!(post(CRM, "age=66").status, 200);
    // It is for another campaign.
    assert_eq!(post(SCOPED, "converted=true").status, 404);
    let tags = post(SCOPED, "age=66");
    assert_eq!(
        (tags.status, &tags.json()["error"]),
        (403, &Value::from("key_scope"))
    );
    let many: Vec<u16> = (0..8)
        .map(|_| post(SCOPED, "converted=true").status)
        .collect();
    assert!(many.contains(&429), "{many:?}");
}

#[test]
fn bodies_are_read_as_what_they_are_and_within_bounds() {
    let bench = Bench::new(1);
    let edge = bench.site.start();
    let client = web(&edge);
    let mut carrier = Carrier::new(edge.addresses()[0]);
    carrier.call(NUMBER);
    let (uuid, _) = bench.key();
    let path = format!("/calls/{uuid}/postback?key={CRM}");
    let post = |kind: &str, body: &[u8]| client.ask("POST", &path, &[("Content-Type", kind)], body);
    let value = |reply: Reply| {
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()["tag_values"]["city"][0].clone()
    };

    assert_eq!(
        value(post("application/x-www-form-urlencoded", b"city=New+York")),
        "New York"
    );
    assert_eq!(
        value(post(
            "application/json; charset=utf-8",
            br#"{"city": "Rome"}"#
        )),
        "Rome"
    );
    assert_eq!(
        value(post("application/vnd.crm+json", br#"{"city": ["Ulm"]}"#)),
        "Ulm"
    );
    assert_eq!(value(post("text/plain", br#" {"city": "Oslo"}"#)), "Oslo");
    let statuses = [
        post("multipart/form-data", b"city=Bonn").status,
        post("application/json", b"[1]").status,
        post("application/json", br#"{"city": {"name": "Bonn"}}"#).status,
        post("application/json", &[b' '; 70_000]).status,
        post("application/x-www-form-urlencoded", b"converted=maybe").status,
        post("application/x-www-form-urlencoded", b"revenue=-1").status,
        post(
            "application/x-www-form-urlencoded",
            "a=1&".repeat(101).as_bytes(),
        )
        .status,
    ];
    assert_eq!(statuses, [415, 400, 400, 413, 422, 422, 413]);
}

#[test]
fn more_tags_than_may_wait_for_a_caller_are_refused_and_none_of_them_is_taken() {
    let bench = Bench::new(1);
    let edge = bench.site.start();
    let client = web(&edge);
    let write = |from: usize| {
        let tags: Vec<String> = (from..from + 90).map(|tag| format!("t{tag}=1")).collect();
        let tags = tags.join("&");
        client.get(&format!(
            "/data_writing/{CRM}?caller_number=%2B12125550199&{tags}"
        ))
    };

    let statuses = [0, 90, 180, 0].map(|from| write(from).status);

    assert_eq!(
        statuses,
        [200, 200, 429, 200],
        "those that wait may be renewed"
    );
    assert_eq!(write(180).json()["error"], "too_many");
}

#[test]
fn data_for_a_caller_goes_to_the_call_under_way_and_else_waits_for_the_next() {
    let bench = Bench::new(2);
    let edge = bench.site.start();
    let client = web(&edge);
    let write = |more: &str| client.get(&format!("/data_writing/{CRM}?{more}"));

    let waits = write("caller_number=12125550199&first_name=Jason");
    assert_eq!(waits.status, 200, "{}", waits.body);
    assert_eq!(waits.json()["status"], "call not found, tags stored");
    assert_eq!(waits.json()["caller_number"], "+12125550199");
    let mut carrier = Carrier::new(edge.addresses()[0]);
    carrier.call(NUMBER);
    let live = write("caller_number=%2B12125550199&age=66");
    assert_eq!(
        live.json()["status"],
        "call in progress found, tags applied"
    );
    carrier.hang_up();
    // It has taken what waited, and the tables know a moment later: by its end, what has happened before is in them.
    let reader = Client {
        token: Some(READER),
        ..web(&edge)
    };
    let (uuid, _) = bench.key();
    awaits("the tables have the call", || {
        let shown = reader.get(&format!("/v1/calls/{uuid}"));
        shown.status == 200 && shown.json()["record"]["uuid"] == uuid
    });
    carrier = Carrier::new(edge.addresses()[0]);
    carrier.call(NUMBER);
    carrier.hang_up();

    assert_eq!(write("age=66").status, 422);
    assert_eq!(write("caller_number=x&age=66").status, 422);
    edge.stop();
    let records = bench.site.records();
    let tags = records[0]["routing"]["tags"].as_array().unwrap();
    let shown: Vec<_> = tags
        .iter()
        .map(|tag| {
            (
                tag["value"].as_str().unwrap(),
                tag["origin"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(shown, [("66", "postback"), ("Jason", "stored")]);
    assert!(records[1]["routing"]["tags"].as_array().unwrap().is_empty());
    bench.balances();
}

#[test]
fn a_campaign_that_settles_later_hears_what_is_said_until_then() {
    let bench = Bench::with(1, "settle = \"1s\"", "matches = [\"age:>60\"]");
    let edge = bench.site.start();
    let client = web(&edge);
    let mut carrier = Carrier::new(edge.addresses()[0]);
    carrier.call(NUMBER);
    let (uuid, key) = bench.key();
    carrier.hang_up();

    let told = client.get(&format!(
        "/calls/{uuid}/postback?key={key}&age=66&converted=true"
    ));

    assert_eq!(told.json()["status"], "completed call found, tags applied");
    bench
        .hook
        .awaits(&["/postback?r=&a=66", "/conversion?r=60.00&a=66"]);
    edge.stop();
    assert_eq!(bench.balances()["claimed"], 1);
}

#[test]
fn what_was_answered_with_200_outlives_a_kill() {
    let bench = Bench::new(1);
    bench.hook.refuse(true);
    let process = Process::start(&bench.site);
    let client = Client {
        address: process.web[0],
        token: None,
    };
    let (mut over, mut live) = (Carrier::new(process.sip), Carrier::new(process.sip));
    over.call(NUMBER);
    let (first, _) = bench.key();
    live.call(NUMBER);
    let (second, _) = bench.key();
    over.hang_up();
    for (uuid, revenue) in [(&first, 75), (&second, 85)] {
        let path = format!("/calls/{uuid}/postback?key={CRM}&converted=true&revenue={revenue}");
        let told = client.get(&path);
        assert_eq!(told.status, 200, "{}", told.body);
    }

    process.signal(libc::SIGKILL);
    drop(process);
    bench.hook.refuse(false);
    let edge = bench.site.start();

    bench
        .hook
        .awaits_all(&["/conversion?r=75.00&a=", "/conversion?r=85.00&a="]);
    edge.stop();
    let outcomes: Vec<_> = bench
        .site
        .records()
        .iter()
        .map(|one| one["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["completed", "edge_restarted"]);
    assert_eq!(bench.balances()["claimed"], 2);
}

/// A site with a store, keys, a buyer, and somebody who is told.
struct Bench {
    site: Site,
    buyer: Buyer,
    hook: Hook,
}

impl Bench {
    fn new(shards: usize) -> Self {
        Self::with(shards, "", "")
    }

    fn with(shards: usize, campaign: &str, group: &str) -> Self {
        let buyer = Buyer::start();
        let site = Site::with_buyer(shards, buyer.address);
        open(&site, "");
        let text = std::fs::read_to_string(&site.config).unwrap();
        let text = text
            .replacen("[[campaign]]\n", &format!("[[campaign]]\n{campaign}\n"), 1)
            .replacen(
                "[[buyer]]\n",
                "[[buyer]]\ncap_on = \"conversion\"\ncaps = { day = 1000 }\n",
                1,
            );
        std::fs::write(&site.config, text).unwrap();
        let hook = Hook::start();
        let address = hook.address;
        for trigger in ["postback", "conversion"] {
            site.append(&format!(
                "[[webhook]]\nid = \"{trigger}\"\ncampaign = \"solar\"\ntrigger = \"{trigger}\"\n\
                 url = \"http://{address}/{trigger}?r=[revenue]&a=[age]\"\n"
            ));
        }
        site.append(&format!(
            "[http_client]\nallow = [\"127.0.0.0/8\"]\n\
             [[conversion_group]]\nid = \"sale\"\ncampaign = \"solar\"\ncriterion = \"postback\"\n\
             payout = \"40\"\nrevenue = \"60\"\n{group}\n\
             [[campaign]]\nid = \"roofs\"\ncompany = \"acme\"\nbuyers = [\"sunny\"]\n\
             [[postback_key]]\nid = \"crm\"\ncompany = \"acme\"\nsecret = \"{CRM}\"\n\
             [[postback_key]]\nid = \"roofs\"\ncompany = \"acme\"\nsecret = \"{SCOPED}\"\n\
             campaigns = [\"roofs\"]\nmay = [\"conversion\"]\nrate = 2\n"
        ));
        Self { site, buyer, hook }
    }

    /// Name and key of the call that the buyer got last.
    fn key(&self) -> (String, String) {
        let invites = self.buyer.invites.lock().unwrap();
        let invite = invites.last().expect("a call");
        let value = |name| header(invite, name).to_owned();
        (value("X-PH-RetreaverUUID"), value("X-PH-RetreaverKey"))
    }

    /// The ledger of the edge that has ended.
    fn balances(&self) -> Value {
        let data = self.site.config.with_file_name("data");
        let output = Command::new(env!("CARGO_BIN_EXE_strowger"))
            .args(["ledger", "--json", "--data-dir"])
            .arg(data)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{text}");
        serde_json::from_str(&text).unwrap()
    }
}

fn web(edge: &Edge) -> Client {
    Client {
        address: edge.http_addresses()[0],
        token: None,
    }
}

/// Whoever webhooks tell.
struct Hook {
    address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
struct Heard {
    targets: Vec<String>,
    refuses: bool,
}

impl Hook {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let notes = Arc::clone(&heard);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                if lines.read_line(&mut line).is_err() {
                    continue;
                }
                let mut head = String::new();
                while head != "\r\n" {
                    head.clear();
                    if lines.read_line(&mut head).unwrap_or(0) == 0 {
                        break;
                    }
                }
                let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
                let mut heard = notes.lock().unwrap();
                let status = if heard.refuses { 503 } else { 200 };
                if !heard.refuses {
                    heard.targets.push(target);
                }
                drop(heard);
                let answer = format!(
                    "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                // Whoever is gone does not wait for it.
                let _ = stream.write_all(answer.as_bytes());
                let _ = stream.flush();
                let _ = lines.into_inner().read(&mut [0; 1]);
            }
        });
        Self { address, heard }
    }

    fn refuse(&self, refuses: bool) {
        self.heard.lock().unwrap().refuses = refuses;
    }

    /// Waits until these were told, and nothing else: those of one request in this order.
    fn awaits(&self, wanted: &[&str]) {
        let mut heard = self.heard_of(wanted.len());
        assert_eq!(heard.first().map(String::as_str), wanted.first().copied());
        thread::sleep(Duration::from_millis(300));
        let mut after = self.heard.lock().unwrap().targets.clone();
        let mut wanted = wanted.to_vec();
        for list in [&mut heard, &mut after] {
            list.sort();
        }
        wanted.sort_unstable();
        assert_eq!(heard, wanted);
        assert_eq!(after, wanted, "and nothing else");
    }

    /// Waits until each of these was told, among others.
    fn awaits_all(&self, wanted: &[&str]) {
        let until = clock::now() + PATIENCE;
        loop {
            let heard = self.heard.lock().unwrap().targets.clone();
            if wanted
                .iter()
                .all(|one| heard.iter().any(|other| other == one))
            {
                for one in wanted {
                    let count = heard.iter().filter(|other| other == one).count();
                    assert_eq!(count, 1, "{heard:?}");
                }
                return;
            }
            assert!(clock::now() < until, "{heard:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn heard_of(&self, count: usize) -> Vec<String> {
        let until = clock::now() + PATIENCE;
        loop {
            let heard = self.heard.lock().unwrap().targets.clone();
            if heard.len() >= count || clock::now() > until {
                return heard;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
