//! Purchases whose end nobody waits for: they come to it, and are shown until it is known.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use strowger::net::clock;

use super::super::process::Process;
use super::{Member, Office};
use crate::twilio_api::Trouble;

const BUY: &str = "POST /2010-04-01/Accounts/";

#[test]
fn a_purchase_goes_on_when_the_client_hangs_up() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    member.connect();
    office.api.trouble(&[Trouble::Held]);
    let wish = json!({"phoneNumber": "+14155550123", "mode": "ivr", "users": ["user:bob"]});

    let asked = member.send("/phone/numbers", &wish);
    office.api.await_asked(BUY);
    drop(asked);

    // It is seen while it lasts, and the same number is not bought twice.
    let open = numbers(&member)["purchases"].clone();
    assert_eq!(open[0]["wish"], "+14155550123");
    assert_eq!(open[0]["state"], "under_way");
    // The server sees that somebody has hung up.
    thread::sleep(Duration::from_millis(200));
    let again = member.post("/phone/numbers", &wish);
    assert_eq!(
        (again.status, &again.json()["error"]),
        (409, &json!("under_way"))
    );

    office.api.let_go();
    let all = await_end(&member);
    assert_eq!(all["items"][0]["phoneNumber"], "+14155550123");
    assert_eq!(all["items"][0]["mode"], "ivr");
    assert_eq!(all["items"][0]["users"], json!(["user:bob"]));
    assert_eq!(all["purchases"], json!([]));
    assert_eq!(
        member.post("/phone/verify", &json!({})).json()["in_sync"],
        true
    );
    assert_eq!(office.api.count(), 1);
}

#[test]
fn a_set_up_goes_on_when_the_client_hangs_up() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    member.connect();
    let sid = office.api.own("+18005550001");
    office.api.trouble(&[Trouble::Held]);

    let asked = member.send("/phone/numbers/add", &json!({"sid": sid}));
    office.api.await_asked(BUY);
    drop(asked);
    thread::sleep(Duration::from_millis(200));
    office.api.let_go();

    assert_eq!(await_end(&member)["items"][0]["id"], json!(sid));
}

#[test]
fn what_may_be_bought_is_shown_until_the_vendors_list_was_read() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    member.connect();
    office.api.trouble(&[Trouble::Silence]);

    let wish = json!({"areaCode": "415"});
    let doubtful = member.post("/phone/numbers", &wish).json();

    assert_eq!(doubtful["error"], "doubtful");
    let open = numbers(&member)["purchases"].clone();
    assert_eq!(
        (&open[0]["wish"], &open[0]["state"], &open[0]["why"]),
        (&json!("415"), &json!("doubtful"), &json!("no_answer"),)
    );
    let id = open[0]["id"].as_str().unwrap();
    assert!(
        doubtful["what"].as_str().unwrap().contains(id),
        "{doubtful}"
    );
    let told = member.post("/phone/verify", &json!({})).json();
    assert_eq!(told["unknown_local"].as_array().map(Vec::len), Some(1));
    assert_eq!(numbers(&member)["purchases"], json!([]));
    // What the vendor refuses is over.
    let refused = json!({"phoneNumber": told["unknown_local"][0]["phone_number"]});
    assert_eq!(member.post("/phone/numbers", &refused).status, 422);
    assert_eq!(numbers(&member)["purchases"], json!([]));
}

#[test]
fn a_purchase_that_kill_9_cuts_off_is_doubtful_afterwards() {
    let office = Office::new(1000);
    let process = Process::start(&office.site);
    let member = Member::of_process(&process);
    member.connect();
    office.api.trouble(&[Trouble::Held]);
    let asked = member.send("/phone/numbers", &json!({"areaCode": "415"}));
    office.api.await_asked(BUY);

    process.signal(libc::SIGKILL);
    drop((process, asked));

    let process = Process::start(&office.site);
    let member = Member::of_process(&process);
    let open = numbers(&member)["purchases"].clone();
    assert_eq!(open[0]["state"], "doubtful");
    assert_eq!(open[0]["why"], "edge_ended");
    office.api.let_go();
    // What was told of it is told once: it does not come back.
    assert_eq!(member.post("/phone/verify", &json!({})).status, 200);
    process.signal(libc::SIGKILL);
    drop(process);
    let process = Process::start(&office.site);
    assert_eq!(
        numbers(&Member::of_process(&process))["purchases"],
        json!([])
    );
}

fn numbers(member: &Member) -> Value {
    member.get("/phone/numbers").json()
}

/// The numbers, as soon as there are some.
fn await_end(member: &Member) -> Value {
    let deadline = clock::now() + Duration::from_secs(10);
    loop {
        let all = numbers(member);
        if all["items"] != json!([]) {
            return all;
        }
        assert!(clock::now() < deadline, "{all}");
        thread::sleep(Duration::from_millis(10));
    }
}
