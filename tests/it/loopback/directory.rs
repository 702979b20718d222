//! Routing data changed over HTTP: what is taken, what is refused, and that calls go by it at once.

use std::fs;
use std::thread;

use serde_json::{Value, json};

use super::client::{Client, READER, WRITER, file, open};
use super::process::Process;
use super::site::{Buyer, Carrier, Site};

const SUNNY: &str = "/v1/directory/buyer/sunny";
const MOONY: &str = "/v1/directory/buyer/moony";
const NEW: (&str, &str) = ("If-None-Match", "*");

#[test]
fn what_is_put_takes_the_next_call_and_is_there_after_a_restart() {
    let buyer = Buyer::start();
    let site = Site::new(1);
    open(&site, "");
    let mut process = Process::start(&site);
    let client = Client::of(&process, WRITER);

    let made = client.put(MOONY, NEW, &moony(&buyer));
    assert_eq!(
        (made.status, made.header("strowger-generation")),
        (201, "2"),
        "{}",
        made.body
    );
    let campaign = json!({ "company": "acme", "buyers": ["moony"], "name": "Moon \"roofs\"" });
    assert_eq!(
        client
            .put("/v1/directory/campaign/moon", NEW, &campaign)
            .status,
        201
    );
    let number = json!({ "campaign": "moon", "afid": "bright-leads" });
    let number = client.put("/v1/directory/number/+12125550177", NEW, &number);
    assert_eq!(number.status, 201, "{}", number.body);
    assert_eq!(number.json()["number"], "+12125550177");
    let mut carrier = Carrier::new(process.sip);
    carrier.call("+12125550177");
    carrier.hang_up();
    process.signal(libc::SIGTERM);
    assert_eq!(process.exit_code(), Some(0));

    assert_eq!(site.records()[0]["attempts"][0]["buyer"], "moony");
    let process = Process::start(&site);
    let again = Client::of(&process, READER).get(MOONY);
    assert_eq!(again.status, 200);
    assert_eq!(again.json()["id"], "moony");
    let text = fs::read_to_string(file(&site, "campaign/moon.toml")).unwrap();
    let expected = "[[campaign]]\nid = \"moon\"\ncompany = \"acme\"\nname = 'Moon \"roofs\"'\nbuyers = [\"moony\"]\n";
    assert!(text.ends_with(expected), "{text}");
    let mut carrier = Carrier::new(process.sip);
    carrier.call("+12125550177");
    carrier.hang_up();
}

#[test]
fn a_change_names_the_version_that_it_is_about() {
    let buyer = Buyer::start();
    let site = Site::new(1);
    open(&site, "");
    let process = Process::start(&site);
    let client = Client::of(&process, WRITER);
    let first = client
        .put(MOONY, NEW, &moony(&buyer))
        .header("etag")
        .to_owned();
    let mut changed = moony(&buyer);
    changed["max_calls"] = json!(7);

    assert_eq!(client.put(MOONY, NEW, &changed).status, 412);
    assert_eq!(client.put(MOONY, ("X-None", ""), &changed).status, 428);
    let other = "\"00000000000000000000000000000000\"";
    assert_eq!(client.put(MOONY, ("If-Match", other), &changed).status, 412);
    assert_eq!(
        client
            .put("/v1/directory/buyer/none", ("If-Match", "*"), &changed)
            .status,
        412
    );
    let both = format!("{other}, {first}");
    let replaced = client.put(MOONY, ("If-Match", &both), &changed);

    assert_eq!(replaced.status, 200, "{}", replaced.body);
    let second = replaced.header("etag").to_owned();
    assert_ne!(first, second);
    assert_eq!(
        client.put(MOONY, ("If-Match", &first), &changed).status,
        412
    );
    let known = client.ask("GET", MOONY, &[("If-None-Match", &second)], b"");
    assert_eq!((known.status, &*known.body), (304, ""));
    let unsaid = client.ask("DELETE", MOONY, &[], b"");
    assert_eq!(unsaid.status, 428);
    let gone = client.ask("DELETE", MOONY, &[("If-Match", &second)], b"");
    assert_eq!(gone.status, 204);
    assert!(!file(&site, "buyer/moony.toml").exists());
    assert_eq!(client.get(MOONY).status, 404);
    assert_eq!(client.ask("DELETE", MOONY, &[], b"").status, 404);
}

#[test]
fn of_many_writers_of_one_version_one_is_heard() {
    let buyer = Buyer::start();
    let site = Site::new(1);
    open(&site, "");
    let process = Process::start(&site);
    let client = Client::of(&process, WRITER);
    let mut version = client
        .put(MOONY, NEW, &moony(&buyer))
        .header("etag")
        .to_owned();

    for round in 0..3 {
        let writers: Vec<_> = (0..6)
            .map(|writer| {
                let (mut object, version) = (moony(&buyer), version.clone());
                object["max_calls"] = json!(1 + writer + 10 * round);
                thread::spawn(move || {
                    let reply = client.put(MOONY, ("If-Match", &version), &object);
                    (reply.status, reply.header("etag").to_owned(), object)
                })
            })
            .collect();
        let replies: Vec<_> = writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect();

        let statuses: Vec<u16> = replies.iter().map(|(status, _, _)| *status).collect();
        let (won, lost): (Vec<_>, Vec<_>) = replies
            .into_iter()
            .partition(|(status, _, _)| *status == 200);
        assert_eq!(won.len(), 1, "{statuses:?}");
        assert!(
            lost.iter().all(|(status, _, _)| *status == 412),
            "{statuses:?}"
        );
        let there = client.get(MOONY);
        assert_eq!(there.header("etag"), won[0].1);
        assert_eq!(there.json()["max_calls"], won[0].2["max_calls"]);
        version.clone_from(&won[0].1);
    }
}

#[test]
fn what_an_operator_wrote_is_seen_but_changed_in_its_file() {
    let site = Site::new(1);
    open(&site, "");
    fs::write(
        site.folder.path().join("n.csv"),
        "# many\n+12125550150,solar,bright-leads,tv\n",
    )
    .unwrap();
    site.append("\n[[numbers]]\nfile = \"n.csv\"\n");
    let process = Process::start(&site);
    let client = Client::of(&process, WRITER);

    let seen = client.get(SUNNY);
    let put = client.put(SUNNY, ("If-Match", seen.header("etag")), &seen.json());
    let deleted = client.ask("DELETE", SUNNY, &[("If-Match", "*")], b"");

    assert_eq!(seen.json()["uri"], "sip:sales@buyer.example.com");
    let text = fs::read_to_string(&site.config).unwrap();
    let line = 1 + text.lines().position(|line| line == "[[buyer]]").unwrap();
    for refused in [put, deleted] {
        assert_eq!(refused.status, 409, "{}", refused.body);
        let home = &refused.json()["home"];
        assert_eq!(home["file"], site.config.display().to_string());
        assert_eq!(home["line"], line);
    }
    let number = "/v1/directory/number/+12125550150";
    let expected = json!({
        "number": "+12125550150", "campaign": "solar", "afid": "bright-leads", "sid": "tv",
    });
    assert_eq!(client.get(number).json(), expected);
    let refused = client.put(number, NEW, &expected);
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert_eq!(refused.json()["home"]["line"], 2);
    assert_eq!(client.get("/v1/directory/number/+12125550151").status, 404);
}

#[test]
fn a_wrong_object_is_refused_with_every_fault_and_nothing_changes() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    open(&site, "");
    let process = Process::start(&site);
    let client = Client::of(&process, WRITER);
    let wrong = json!({
        "company": "acne",
        "uri": "sip:m@203.0.113.9",
        "username": "m",
        "password": "canary",
        "prioritty": 2,
        "max_calls": -1,
        "ring_timeout": "soon",
        "headers": { "set": { "Via": "x" } },
    });

    let refused = client.put(MOONY, NEW, &wrong);

    assert_eq!(refused.status, 422, "{}", refused.body);
    let faults = refused.json();
    let list = faults["faults"].as_array().unwrap();
    let mut places: Vec<&str> = list
        .iter()
        .map(|fault| fault["at"].as_str().unwrap())
        .collect();
    places.sort_unstable();
    let expected = [
        "/company",
        "/headers/set/Via",
        "/max_calls",
        "/prioritty",
        "/ring_timeout",
    ];
    assert_eq!(places, expected, "{}", refused.body);
    let company = list.iter().find(|fault| fault["at"] == "/company").unwrap();
    assert_eq!(company["key"], "buyer.company");
    assert_eq!(company["what"], "there is no company `acne`");
    assert_eq!(company["instead"], "did you mean `acme`?");
    assert_eq!(faults["elsewhere"], json!([]));
    assert!(!refused.body.contains("canary"), "{}", refused.body);
    assert_eq!(client.get("/v1/generation").json()["generation"], 1);
    assert!(!file(&site, "buyer").exists());
    for (body, status) in [("[1]", 400), ("{", 400), ("{\"company\": null}", 422)] {
        assert_eq!(
            client.ask("PUT", MOONY, &[NEW], body.as_bytes()).status,
            status,
            "{body}"
        );
    }
    // What others need cannot go, and the answer says who.
    let publisher = "/v1/directory/publisher/used";
    client.put(publisher, NEW, &json!({ "company": "acme" }));
    let number = json!({ "campaign": "solar", "afid": "used" });
    client.put("/v1/directory/number/+12125550160", NEW, &number);
    let needed = client.ask("DELETE", publisher, &[("If-Match", "*")], b"");
    assert_eq!(needed.status, 422, "{}", needed.body);
    let elsewhere = &needed.json()["elsewhere"][0];
    assert_eq!(elsewhere["key"], "number.afid");
    let whose = elsewhere["file"].as_str().unwrap();
    assert!(whose.ends_with("number/+12125550160.toml"), "{whose}");
    let mut carrier = Carrier::new(process.sip);
    carrier.call("+12125550101");
    carrier.hang_up();
}

#[test]
fn secrets_go_in_and_never_out() {
    let buyer = Buyer::start();
    let site = Site::new(1);
    open(&site, "");
    let mut process = Process::start(&site);
    let client = Client::of(&process, WRITER);
    let mut object = moony(&buyer);
    object["username"] = json!("m");
    object["password"] = json!("canary-password");

    let made = client.put(MOONY, NEW, &object);
    let seen = client.get(MOONY);
    let mut changed = seen.json();
    changed["max_calls"] = json!(3);
    let kept = client.put(MOONY, ("If-Match", seen.header("etag")), &changed);
    let listed = client.get("/v1/directory/buyer");
    let companies = client.get("/v1/directory/company");

    assert_eq!(kept.status, 200, "{}", kept.body);
    assert_eq!(seen.json()["password"], json!({ "secret": "kept" }));
    let file = file(&site, "buyer/moony.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("password = \"canary-password\"\n"), "{text}");
    process.signal(libc::SIGTERM);
    let log = process.read_until("stopping").concat();
    for said in [
        &made.body,
        &seen.body,
        &kept.body,
        &listed.body,
        &companies.body,
        &log,
    ] {
        assert!(!said.contains("canary"), "{said}");
        assert!(!said.contains("loopback-0123456789abcdef"), "{said}");
    }
    assert!(
        log.contains("kind=\"buyer\" id=\"moony\" is_put=true token=\"writer\""),
        "{log}"
    );
}

#[test]
fn a_list_brings_many_numbers_at_once() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    open(&site, "");
    let process = Process::start(&site);
    let client = Client::of(&process, WRITER);
    let lines = |from: u32| -> String {
        let line = |number| format!("+1212556{number:04},solar,bright-leads\n");
        "number,campaign,afid\n".to_owned() + &(from..from + 2_000).map(line).collect::<String>()
    };
    let put =
        |condition, text: &str| client.ask("PUT", "/v1/lists/tv", &[condition], text.as_bytes());

    let made = put(NEW, &lines(0));
    let wrong = put(
        ("If-Match", "*"),
        &(lines(0) + "+12125560001,solar,bright-leads\n+1,solar\n"),
    );
    let mut carrier = Carrier::new(process.sip);
    carrier.call("+12125561999");
    carrier.hang_up();
    let seen = client.get("/v1/lists/tv");
    let replaced = put(("If-Match", seen.header("etag")), &lines(3_000));

    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.json()["lines"], 2_001);
    assert_eq!(wrong.status, 422);
    let faults = wrong.json();
    let places: Vec<&Value> = faults["elsewhere"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| &fault["line"])
        .collect();
    assert_eq!(places, [2_002, 2_003], "{}", wrong.body);
    assert_eq!(seen.body, lines(0));
    assert_eq!(replaced.status, 200, "{}", replaced.body);
    let (old, new) = (
        "/v1/directory/number/+12125561999",
        "/v1/directory/number/+12125563001",
    );
    assert_eq!((client.get(old).status, client.get(new).status), (404, 200));
    assert_eq!(client.get("/v1/lists").json()["items"][0]["name"], "tv");
    assert_eq!(put(NEW, "").status, 412);
    let bad = client.ask("PUT", "/v1/lists/.tv", &[NEW], b"");
    assert_eq!(bad.status, 422);
    let gone = client.ask("DELETE", "/v1/lists/tv", &[("If-Match", "*")], b"");
    assert_eq!(gone.status, 204);
    assert_eq!(client.get("/v1/lists/tv").status, 404);
}

#[test]
fn what_was_changed_by_hand_is_not_written_over() {
    let buyer = Buyer::start();
    let site = Site::new(1);
    open(&site, "");
    let mut process = Process::start(&site);
    let client = Client::of(&process, WRITER);
    let made = client.put(MOONY, NEW, &moony(&buyer));
    let file = file(&site, "buyer/moony.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}max_calls = 9\n")).unwrap();

    let refused = client.put(MOONY, ("If-Match", made.header("etag")), &moony(&buyer));
    process.signal(libc::SIGHUP);
    process.read_until("configuration loaded");
    let loaded = client.get(MOONY);
    let taken = client.put(MOONY, ("If-Match", loaded.header("etag")), &moony(&buyer));

    assert_eq!(
        (refused.status, &refused.json()["error"]),
        (409, &json!("unloaded"))
    );
    assert_eq!(loaded.json()["max_calls"], 9);
    assert_eq!(taken.status, 200, "{}", taken.body);
}

#[test]
fn every_kind_is_listed_a_page_at_a_time() {
    let site = Site::new(1);
    open(&site, "");
    let process = Process::start(&site);
    let client = Client::of(&process, WRITER);
    for name in ["a", "b c/d", "zoë"] {
        let path = format!(
            "/v1/directory/publisher/{}",
            name.replace(' ', "%20")
                .replace('/', "%2F")
                .replace('ë', "%C3%AB")
        );
        let made = client.put(&path, NEW, &json!({ "company": "acme" }));
        assert_eq!(made.status, 201, "{}", made.body);
        assert_eq!(client.get(&path).json()["afid"], name);
    }

    let kinds = client.get("/v1/directory").json();
    for kind in [
        "network",
        "company",
        "publisher",
        "campaign",
        "number",
        "buyer",
    ] {
        assert!(kinds["kinds"][kind]["count"].is_number(), "{kinds}");
    }
    assert_eq!(kinds["kinds"]["publisher"]["count"], 4);
    assert_eq!(kinds["kinds"]["publisher"]["id"], "afid");
    let first = client.get("/v1/directory/publisher?limit=3").json();
    let ids = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&first), ["a", "b c/d", "bright-leads"]);
    assert_eq!(first["next"], "bright-leads");
    assert_eq!(first["items"][0]["writable"], true);
    assert_eq!(first["items"][2]["writable"], false);
    let rest = client
        .get("/v1/directory/publisher?limit=3&after=bright-leads")
        .json();
    assert_eq!(
        (ids(&rest), &rest["next"]),
        (vec!["zoë".to_owned()], &Value::Null)
    );
    assert_eq!(client.get("/v1/directory/trunk").status, 404);
}

/// A buyer who is not there yet.
fn moony(buyer: &Buyer) -> Value {
    json!({
        "company": "acme",
        "uri": "sip:moon@buyer.example.com",
        "address": buyer.address.to_string(),
    })
}
