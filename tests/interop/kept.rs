//! What outlives the edge: it is killed in the middle of calls, again and again, and nothing is lost or doubled.

use std::collections::HashSet;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::calls::call;
use crate::edge::Edge;
use crate::process::eventually;
use crate::sipp::Sipp;
use crate::site::Site;
use crate::web::Web;

#[test]
fn an_edge_that_is_killed_loses_no_call_no_webhook_and_no_count() {
    let mut site = Site::new();
    let address = site.next_buyer();
    site.buyer_with("first", address, |buyer| {
        buyer.rules = "caps = { day = 100000 }\ncap_on = \"answer\"";
    });
    let web = Web::start(site.buyers_proxy(), Vec::new());
    site.keeps = true;
    site.more = format!(
        r#"
[http_client]
allow = ["127.0.0.0/8"]

[[webhook]]
id = "report"
campaign = "sales"
trigger = "always"
url = "{}/report?u=[call_uuid]"
"#,
        web.url()
    );
    let (mut acknowledged, mut answered) = (0, 0);
    for millis in [400, 700, 1000, 1300] {
        let mut edge = Edge::start(&site);
        let mut buyer = Sipp::buyer("buyer_answers", address)
            .calls(1000)
            .start(site.folder());
        let mut carrier = call(&site, "carrier_call")
            .calls(1000)
            .arguments(&["-r", "40"])
            .start(site.folder());
        thread::sleep(Duration::from_millis(millis));
        edge.kills();
        carrier.stop();
        buyer.stop();
        acknowledged += buyer.received("ACK").len();
        answered += buyer.sent("SIP/2.0 200").len();
    }

    // It makes what is left to be delivered, and then nothing is.
    let mut edge = Edge::start(&site);
    let records = edge.records_now();
    let due: HashSet<String> = records
        .iter()
        .map(|record| record["uuid"].as_str().expect("a UUID").to_owned())
        .collect();
    assert!(due.len() > 10, "{} calls came to an end", due.len());
    // Some were delivered before a kill and are again, so it is the calls that count.
    let mut missing = HashSet::new();
    eventually(Duration::from_secs(20), || {
        let asked = web.asked().into_iter();
        let of = |target: String| target.strip_prefix("/report?u=").map(str::to_owned);
        let reported: HashSet<_> = asked.filter_map(|asked| of(asked.target)).collect();
        missing = &due - &reported;
        missing.is_empty()
    });
    assert!(missing.is_empty(), "never reported: {missing:?}");
    edge.stops();

    let books = ledger(&site);
    let count = |name: &str| {
        let value = books[name].as_u64().expect("a count");
        usize::try_from(value).expect("a small count")
    };
    assert_eq!(count("open"), 0);
    assert_eq!(count("records"), count("admitted"));
    assert_eq!(count("lines"), count("records"));
    assert_eq!(count("waiting") + count("dead"), 0);
    // What the buyer was told is counted, and no more than the buyer has said.
    assert_eq!(count("counted"), count("answered"));
    assert!(
        (acknowledged..=answered).contains(&count("counted")),
        "{acknowledged} to {answered}: {books}"
    );
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
