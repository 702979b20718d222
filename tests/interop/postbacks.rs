//! What others say of a call once it is over: its webhook arrives, once, also if the edge is killed in between.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::calls::call;
use crate::edge::Edge;
use crate::process::eventually;
use crate::sipp::Sipp;
use crate::site::Site;
use crate::web::Web;

#[test]
fn a_postback_of_a_finished_call_makes_its_conversion_webhook_arrive_across_a_kill() {
    let mut site = Site::new();
    let first = site.buyer("first");
    let web = Web::start(site.buyers_proxy(), Vec::new());
    site.keeps = true;
    site.more = format!(
        r#"
[[http.listen]]
bind = "{edge}:9443"

[http_client]
allow = ["127.0.0.0/8"]

[[webhook]]
id = "sold"
campaign = "sales"
trigger = "conversion"
url = "{url}/sold?u=[call_uuid]&r=[revenue]&p=[product]"

[[conversion_group]]
id = "sale"
campaign = "sales"
criterion = "postback"
payout = "40"
revenue = "60"
"#,
        edge = site.edge(),
        url = web.url()
    );
    let mut edge = Edge::start(&site);
    let mut due = HashSet::new();
    for revenue in ["75", "85"] {
        let mut buyer = Sipp::buyer("buyer_answers", first).start(site.folder());
        let mut carrier = call(&site, "carrier_call").start(site.folder());
        carrier.passes();
        buyer.passes();
        let invites = buyer.received("INVITE");
        let of_call = |name: &str| invites[0].one(name).to_owned();
        let uuid = of_call("X-PH-RetreaverUUID");
        let body = format!(
            "key={}&converted=true&revenue={revenue}&product=boat",
            of_call("X-PH-RetreaverKey")
        );

        let (status, said) = post(&site, &format!("/calls/{uuid}/postback"), &body);
        assert_eq!(status, 200, "{said}");
        due.insert(format!("/sold?u={uuid}&r={revenue}.00&p=boat"));
        if revenue == "75" {
            web.awaits(1);
        }
    }

    // What was answered with 200 a moment ago is delivered by another process.
    edge.kills();
    let mut edge = Edge::start(&site);
    let is_told = eventually(Duration::from_secs(10), || told(&web).is_superset(&due));
    assert!(is_told, "{due:?}: {:?}", told(&web));
    edge.stops();

    assert_eq!(told(&web), due);
    let books = ledger(&site);
    let count = |name: &str| books[name].as_u64().expect("a count");
    assert_eq!(
        (count("admitted"), count("records"), count("open")),
        (2, 2, 0)
    );
    assert_eq!((count("queued"), count("delivered")), (2, 2), "{books}");
}

fn told(web: &Web) -> HashSet<String> {
    let asked = web.asked().into_iter();
    asked.map(|asked| asked.target).collect()
}

fn post(site: &Site, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect((site.edge(), 9443)).expect("it listens");
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: edge.example.com\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.expect("a status"), answer)
}

/// What `strowger ledger` says; it must say that everything balances.
fn ledger(site: &Site) -> Value {
    let said = Command::new(env!("CARGO_BIN_EXE_strowger"))
        .args(["ledger", "--json", "--data-dir"])
        .arg(site.data_dir())
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{text}");
    serde_json::from_str(&text).expect("JSON")
}
