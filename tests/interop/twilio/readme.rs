//! What the README says of Twilio, done as a new user does it: its configuration in an empty folder, its commands in a shell, and
//! a server that stands in for Twilio. Nothing but addresses, paths and credentials is other than it stands there.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::canary;
use crate::process::{Process, eventually};
use crate::sipp::Sipp;
use crate::site::Site;
use crate::twilio_api::{TOKEN, TwilioApi};

const CALL: &str = "CA00000000000000000000000000000001";
const OTHER: &str = "AC00000000000000000000000000000009";
const JWT_SECRET: &str = "canary-jwt-secret-0123456789abcdef";
const READER: &str = "canary-operator-token-0123456789";

#[test]
fn a_new_user_connects_twilio_by_the_readme() {
    let mut site = Site::new();
    let buyer = site.buyer("sunny");
    let (edge, twilio) = (site.edge(), site.carrier());
    let api = TwilioApi::start(50);
    let readme = readme();
    let part = |start: &str| readme.find(start).expect("it is there");
    let (connect, accounts) = (
        part("#### Connect Twilio in five minutes"),
        part("### Numbers and soft phones at Twilio"),
    );

    // 1. The configuration.
    let [whole, webhooks, orgs] = [0, connect, accounts].map(|from| block(&readme, "toml", from));
    let routing = block(&readme, "", part("Routing data can be changed over HTTP"));
    let networks = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/twilio-cidrs.toml");
    let networks = fs::read_to_string(networks).expect("Twilio's addresses");
    let networks = changed(&networks, &[("54.172.60.0/30", format!("{twilio}/32"))]);
    let folder = site.folder().to_owned();
    let cidrs = folder.join("twilio-cidrs.toml");
    fs::write(&cidrs, networks).expect("it is written");
    let node = "[node]\ndata_dir = \"/var/lib/strowger\"\ndirectory = [\"/etc/strowger/twilio-cidrs.toml\"]\n";
    for line in node.lines().skip(1) {
        assert!(readme.contains(line), "{line} is not in the README");
    }
    let text = [node, whole, webhooks, orgs, routing].concat();
    let text = changed(
        &text,
        &[
            (
                "/var/lib/strowger",
                folder.join("data").display().to_string(),
            ),
            (
                "/etc/strowger/twilio-cidrs.toml",
                cidrs.display().to_string(),
            ),
            ("0.0.0.0:5060", format!("{edge}:5060")),
            ("203.0.113.5:5060", format!("{edge}:5060")),
            ("127.0.0.1:9060", format!("{edge}:9060")),
            ("127.0.0.1:9061", format!("{edge}:9061")),
            ("127.0.0.1:9062", format!("{edge}:9062")),
            ("sip:sales@192.0.2.20", format!("sip:sales@{buyer}")),
            (
                "[twilio]\n",
                format!("[twilio]\napi_url = \"{}\"\n", api.url()),
            ),
        ],
    );
    let text = text + "\n[http_client]\nallow = [\"127.0.0.0/8\"]\n";
    let file = folder.join("strowger.toml");
    fs::write(&file, text).expect("it is written");
    // 2. The number at Twilio.
    let sid = api.own("+12125550101");
    api.add_account(OTHER);
    let base = "https://edge.example.com/connect/webhook/twilio/";
    let voice = format!("{base}voice?orgid=my-org");
    assert!(readme[connect..].contains(&voice));
    api.edit(&sid, "voice_url", &voice);
    api.edit(
        &sid,
        "status_callback",
        &format!("{base}status?orgid=my-org"),
    );
    let mut process = start(&file, edge);
    let is_looked_at = "the set-up at Twilio is looked at org=my-org numbers=1 wrong=0";
    let looked = eventually(Duration::from_secs(10), || {
        process.said().contains(is_looked_at)
    });
    assert!(looked, "{}", process.said());

    // 3. The question that Twilio will ask.
    let question = block(&readme, "sh", connect);
    let here = [("http://127.0.0.1:9062", format!("http://{edge}:9062"))];
    let question = changed(question, &here);
    let answer = shell(&question, TOKEN);
    let begin = "<Dial answerOnBridge=\"true\"";
    assert!(
        answer.contains(begin) && readme[connect..].contains(begin),
        "{answer}"
    );
    let way = ">sip:+12125550101@ip.example.com:5060;transport=udp?X-Strowger-Ticket=";
    let (_, ticket) = answer.split_once(way).expect(&answer);
    assert!(readme[connect..].contains(&way[1..]));
    let (ticket, _) = ticket.split_once('<').expect(&answer);
    assert!(ticket.starts_with("v1"), "{ticket}");
    assert_eq!(
        shell(&question, "canary-another-token"),
        "",
        "a 403 without a word"
    );
    let refused = get(edge, 9060, "/metrics", "");
    assert!(
        refused.contains("strowger_vendor_refused_total{"),
        "{refused}"
    );
    let said_why = eventually(Duration::from_secs(10), || process.said().contains("why="));
    assert!(said_why, "{}", process.said());

    // 4. The call.
    let mut called = Sipp::buyer("buyer_answers", buyer).start(&folder);
    let call = Sipp::carrier("carrier_shows_ticket", twilio, edge).key("number", "+12125550101");
    let call = call.key("domain", "ip.example.com").key("ticket", ticket);
    let mut caller = call.start(&folder);
    caller.passes();
    called.passes();
    let records = folder.join("calls.jsonl");
    let mut line = String::new();
    eventually(Duration::from_secs(10), || {
        line = fs::read_to_string(&records).unwrap_or_default();
        line.ends_with('\n')
    });
    let record: Value = serde_json::from_str(line.trim()).expect("one record");
    let invite = called.received_one("INVITE");
    assert_eq!(invite.one("X-PH-RetreaverUUID"), record["uuid"]);
    assert_eq!(
        (&record["trunk"], &record["outcome"]),
        (&"twilio".into(), &"completed".into())
    );
    let tags = record["routing"]["tags"].to_string();
    assert!(
        tags.contains("twilio_call_sid") && tags.contains(CALL),
        "{tags}"
    );
    let bearer = format!("Authorization: Bearer {READER}");
    let told = get(edge, 9061, &format!("/v1/twilio/calls/{CALL}"), &bearer);
    assert!(
        told.contains(record["uuid"].as_str().expect("a UUID")),
        "{told}"
    );

    // An account of another org's.
    let script = block(&readme, "sh", accounts);
    let script = changed(
        script,
        &[
            ("https://edge.example.com", format!("http://{edge}:9062")),
            ("\"AC...\"", format!("\"{OTHER}\"")),
            (
                "\"authToken\": \"...\"",
                format!("\"authToken\": \"{TOKEN}\""),
            ),
            (
                "\"AP...\"",
                "\"AP0123456789abcdef0123456789abcdef\"".to_owned(),
            ),
            (
                "\"SK...\"",
                "\"SK0123456789abcdef0123456789abcdef\"".to_owned(),
            ),
            (
                "\"apiKeySecret\": \"...\"",
                "\"apiKeySecret\": \"canary-api-key-secret\"".to_owned(),
            ),
        ],
    );
    let said = shell(&script, TOKEN);
    assert!(
        said.contains(OTHER) && said.contains("+12125550101"),
        "{said}"
    );

    process.terminate();
    assert_eq!(
        process.wait(Duration::from_secs(20)),
        0,
        "{}",
        process.said()
    );
    let found = canary::files(&folder);
    assert_eq!(found, Vec::<PathBuf>::new());
    for text in [&answer, &refused, &told, &said] {
        assert!(!canary::is_in(text.as_bytes()), "{text}");
    }
}

/// Starts the edge as a user does, and waits until it is ready.
fn start(file: &Path, edge: Ipv4Addr) -> Process {
    let folder = file.parent().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_strowger"));
    command.args(["run", "--config"]).arg(file);
    for (name, value) in [
        ("CARRIER_PASSWORD", "canary-carrier-password"),
        ("SOLARIS_PASSWORD", "canary-solaris-password"),
        ("KEY_SECRET", "canary-key-secret-0123456789"),
        ("TWILIO_AUTH_TOKEN", TOKEN),
        ("HAND_OFF_SECRET", "canary-hand-off-secret-0123456789"),
        ("SEAL_KEY", "canary-seal-key-0123456789abcdef-0123456789"),
        ("JWT_SECRET", JWT_SECRET),
        ("STROWGER_TOKEN", READER),
    ] {
        command.env(name, value);
    }
    let mut process = Process::start("edge-readme", &mut command, folder, "strowger");
    let is_ready = eventually(Duration::from_secs(10), || {
        !process.is_running() || ask(edge, 9060, "/readyz", "").contains("HTTP/1.1 200")
    });
    assert!(is_ready && process.is_running(), "{}", process.said());
    process
}

/// What a script prints.
fn shell(script: &str, token: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", script])
        .env("TWILIO_AUTH_TOKEN", token)
        .env("JWT_SECRET", JWT_SECRET)
        .output()
        .expect("a shell");
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{script}: {said}");
    said
}

/// The answer's body.
fn get(edge: Ipv4Addr, port: u16, path: &str, header: &str) -> String {
    let answer = ask(edge, port, path, header);
    let (_, body) = answer.split_once("\r\n\r\n").expect("an answer");
    body.to_owned()
}

/// The answer, empty if there is none.
fn ask(edge: Ipv4Addr, port: u16, path: &str, header: &str) -> String {
    let url = format!("http://{edge}:{port}{path}");
    let output = Command::new("curl")
        .args(["-s", "-i", "-H", header, &url])
        .output();
    let output = output.expect("cannot start curl; install it with: apt-get install curl");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn readme() -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    fs::read_to_string(readme).expect("README.md")
}

/// The first block of a kind from there on.
fn block<'r>(readme: &'r str, kind: &str, from: usize) -> &'r str {
    let fence = format!("\n```{kind}\n");
    let (_, rest) = readme[from..].split_once(&fence).expect("a block");
    let (block, _) = rest.split_once("```").expect("its end");
    block
}

/// With these parts changed, each of which is there.
fn changed(text: &str, parts: &[(&str, String)]) -> String {
    parts.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in: {text}");
        text.replace(from, to)
    })
}
