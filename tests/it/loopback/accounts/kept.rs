//! What was acknowledged outlives `kill -9`, and what is sealed is sealed anew when the key changes.

use serde_json::json;

use super::super::process::Process;
use super::phones::{Phone, voice};
use super::{CANARIES, Member, Office, SEAL_KEYS, integration};
use crate::twilio_api::TOKEN;

const FCM: &str = r#"
[twilio.apns]
topic = "com.example.app.voip"
team = "ABCDE12345"
key_id = "ABC123DEFG"
key = { file = "apns.p8" }
"#;

const NEW_KEY: &str = r#"
[[twilio.seal_key]]
id = "new"
secret = "canary-seal-key-fedcba9876543210-fedcba9876543210"
"#;

#[test]
fn kill_9_loses_no_binding_no_number_and_no_credential() {
    let office = office();
    let process = Process::start(&office.site);
    let member = Member::of_process(&process);
    assert_eq!(member.connect().status, 200);
    let bought = member
        .post("/phone/numbers", &json!({"areaCode": "415"}))
        .json();
    kill(process);
    let (mut said, mut gone): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for round in 0..4 {
        let process = Process::start(&office.site);
        let member = Member::of_process(&process);
        // Everything that was acknowledged is there, and nothing that was taken away.
        let page = member.get("/calls/bindings?limit=1000").json();
        let there = page["items"].as_array().unwrap().clone();
        let has = |id: &String| there.iter().any(|one| one["id"] == **id);
        assert!(said.iter().all(has), "{said:?} {page}");
        assert!(!gone.iter().any(has), "{gone:?} {page}");
        assert_eq!(
            member.get("/phone/numbers").json()["items"],
            json!([bought])
        );
        let path = "/upstream/test/TwilioProvider/listPhoneNumbers";
        assert_eq!(member.post(path, &json!({})).status, 200);
        for number in 0..8 {
            let body = binding(&format!("user:{round}:{number}"), "a");
            let bound = member.post("/calls/bindings", &body);
            assert_eq!(bound.status, 201, "{}", bound.body);
            said.push(bound.json()["id"].as_str().unwrap().to_owned());
        }
        let id = said.remove(0);
        let path = format!("/calls/bindings/{id}");
        assert_eq!(member.ask("DELETE", &path, b"").status, 204);
        gone.push(id);
        kill(process);
    }
    assert_eq!((said.len(), gone.len()), (28, 4));
}

/// Ends it at once, and waits until it is gone.
fn kill(process: Process) {
    process.signal(libc::SIGKILL);
    drop(process);
}

#[test]
fn kill_9_has_no_phone_told_twice_of_a_call() {
    let office = office();
    let process = Process::start(&office.site);
    let member = Member::of_process(&process);
    assert_eq!(member.connect().status, 200);
    let body = |message| super::notification("client:user:bob", message);
    let mut phone = Phone::open(voice(&member, "user:bob"));
    assert_eq!(super::notify(&member, &body("WB1")).status, 200);
    assert_eq!(phone.read(), body("WB1").as_bytes());

    kill(process);
    let process = Process::start(&office.site);
    let member = Member::of_process(&process);
    let mut phone = Phone::open(voice(&member, "user:bob"));

    // The answer did not reach Twilio, say, so it tells it again.
    for message in ["WB1", "WB2"] {
        assert_eq!(super::notify(&member, &body(message)).status, 200);
    }
    assert_eq!(phone.read(), body("WB2").as_bytes());
}

#[test]
fn soft_phones_are_the_orgs_and_not_of_whoever_has_its_account_next() {
    let office = office();
    let edge = office.site.start();
    let member = Member::of(&edge);
    assert_eq!(member.connect().status, 200);
    let bound = member.post("/calls/bindings", &binding("user:bob", "a"));
    assert_eq!(bound.status, 201, "{}", bound.body);
    let mut phone = Phone::open(voice(&member, "user:bob"));
    let mut other = member.with(&json!({}), "canary-jwt-secret-of-another");
    other.org = "other-org";
    let mut left = integration(TOKEN);
    left["config"]["accountSid"] = "AC00000000000000000000000000000009".into();
    office.api.add_account("AC00000000000000000000000000000009");

    // The org goes to another account, and another org comes to this one.
    let moved = member.post("/upstream/save-integration", &left);
    assert_eq!(moved.status, 200, "{}", moved.body);
    assert_eq!(other.connect().status, 200);

    assert!(phone.is_closed());
    let listed = other.get("/calls/bindings").json();
    assert_eq!(listed["items"], json!([]));
    let body = super::notification("client:user:bob", "WB1");
    assert_eq!(super::notify(&other, &body).status, 404);
    edge.stop();
    let edge = office.site.start();
    let mut other = Member::of(&edge).with(&json!({}), "canary-jwt-secret-of-another");
    other.org = "other-org";
    let listed = other.get("/calls/bindings").json();
    assert_eq!(listed["items"], json!([]));
}

#[test]
fn a_new_key_seals_anew_and_the_old_one_can_go() {
    let office = office();
    let edge = office.site.start();
    assert_eq!(Member::of(&edge).connect().status, 200);
    edge.stop();
    let path = "/upstream/test/TwilioProvider/listPhoneNumbers";
    let status = |keys: &str| {
        office.set_keys(keys);
        let edge = office.site.start();
        let status = Member::of(&edge).post(path, &json!({})).status;
        edge.stop();
        status
    };

    // Without the key that has sealed them, nobody knows them; and nothing is lost for that.
    assert_eq!(status(NEW_KEY), 409);
    assert_eq!(status(&[NEW_KEY, SEAL_KEYS].concat()), 200);
    assert_eq!(status(NEW_KEY), 200);
    assert_eq!(status(SEAL_KEYS), 409);

    office.set_keys("");
    let edge = office.site.start();
    let refused = Member::of(&edge).connect();
    assert_eq!(
        (refused.status, &refused.json()["error"]),
        (503, &json!("no_seal_key"))
    );
}

#[test]
fn nothing_is_taken_that_could_not_be_kept() {
    let office = office();
    let text = std::fs::read_to_string(&office.site.config).unwrap();
    std::fs::write(
        &office.site.config,
        text.replacen("data_dir = \"data\"", "", 1),
    )
    .unwrap();
    let edge = office.site.start();

    let refused = Member::of(&edge).connect();

    assert_eq!(
        (refused.status, &refused.json()["error"]),
        (503, &json!("no_store"))
    );
}

#[test]
fn no_secret_is_in_the_log_however_much_is_logged() {
    let office = office();
    let text = std::fs::read_to_string(&office.site.config).unwrap();
    let text = text.replacen("log = \"info\"", "log = \"trace\"", 1);
    std::fs::write(&office.site.config, text).unwrap();
    let mut process = Process::start(&office.site);
    let member = Member::of_process(&process);
    member.connect();
    member.post("/upstream/test/TwilioProvider/listPhoneNumbers", &json!({}));
    member.post("/phone/token", &json!({"identity": "user:bob"}));
    member.post("/calls/bindings", &binding("user:bob", "canary-address-1"));
    super::notify(&member, &super::notification("client:user:bob", "WB1"));
    member.post("/phone/numbers", &json!({"areaCode": "415"}));

    process.signal(libc::SIGTERM);
    let said = process.read_until("stopping").concat();

    assert!(said.contains("save_integration"), "{said}");
    for canary in CANARIES {
        assert!(!said.contains(canary), "{canary}: {said}");
    }
}

fn office() -> Office {
    let office = Office::with(1000, "", FCM);
    let key = rcgen::KeyPair::generate().unwrap();
    let path = office.site.folder.path().join("apns.p8");
    std::fs::write(path, key.serialize_pem()).unwrap();
    office
}

fn binding(identity: &str, address: &str) -> serde_json::Value {
    json!({
        "identity": identity,
        "account_sid": crate::twilio_api::ACCOUNT,
        "channel": "apns",
        "address": address,
    })
}
