//! One number, and several who set it up at once: what was answered last is what Twilio has, and what we have.

use std::thread;

use serde_json::{Value, json};
use strowger::types::moment::Moment;

use super::{Member, Office};
use crate::loopback::process::awaits;
use crate::sim::dice::Dice;
use crate::twilio_api::Trouble;

#[test]
fn pushes_at_once_leave_one_state_at_both_sides() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    assert_eq!(member.connect().status, 200);
    let sids = ["+18005550001", "+18005550002"].map(|number| office.api.own(number));
    for sid in &sids {
        let added = member.post("/phone/numbers/add", &json!({ "sid": sid }));
        assert_eq!(added.status, 201, "{}", added.body);
    }
    office.api.be_slow();

    let answers: Vec<Value> = thread::scope(|scope| {
        let pushers: Vec<_> = (0..8)
            .map(|pusher| {
                scope.spawn({
                    let sids = &sids;
                    move || pushes(member, sids, pusher)
                })
            })
            .collect();
        let verifier = scope.spawn(move || {
            for _ in 0..6 {
                assert_eq!(member.post("/phone/verify", &json!({})).status, 200);
            }
        });
        let answers = pushers.into_iter().flat_map(|one| one.join().unwrap());
        let answers = answers.collect();
        verifier.join().unwrap();
        answers
    });

    assert_eq!(office.api.clashes(), Vec::<String>::new());
    let shown = member.get("/phone/numbers").json();
    for sid in &sids {
        let shown = shown["items"].as_array().unwrap();
        let shown = shown.iter().find(|one| one["id"] == **sid).unwrap();
        // The last one that was written down was answered, and by the same as whoever asks now.
        let own = answers.iter().filter(|one| one["id"] == **sid);
        let when = |one: &Value| one["changed"].as_str().unwrap().parse::<Moment>().unwrap();
        let last = own.max_by_key(|one| when(one));
        let last = last.unwrap();
        assert_eq!(last["mode"], shown["mode"]);
        assert_eq!(last["users"], shown["users"]);
        let url = office.api.field(sid, "voice_url");
        let service = match shown["mode"].as_str() {
            Some("ivr") => "ivr-menu",
            _ => "voice",
        };
        let expected =
            format!("https://edge.example.com/connect/webhook/twilio/{service}?orgid=my-org");
        assert_eq!(url, expected, "{shown}");
        assert_eq!(shown["drift"], "in_sync");
    }
    let delta = member.post("/phone/verify", &json!({})).json();
    assert_eq!(delta["mismatch"], json!([]), "{delta}");
    assert_eq!(office.api.violations(), Vec::<String>::new());
}

/// Sets the numbers up one way or the other, again and again; what was answered.
fn pushes(member: Member, sids: &[String; 2], pusher: u64) -> Vec<Value> {
    let mut dice = Dice::new(pusher + 1);
    let pushes = (0..6).map(|push| {
        let sid = &sids[usize::from(dice.chance(30))];
        let mode = dice.pick(&["voice", "ivr"]);
        let user = format!("user-{pusher}-{push}");
        let order = json!({ "mode": mode, "users": [user] });
        let answer = member.post(&format!("/phone/numbers/{sid}/routing"), &order);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let answer = answer.json();
        assert_eq!(
            (&answer["mode"], &answer["users"]),
            (&json!(mode), &json!([user]))
        );
        answer
    });
    pushes.collect()
}

/// A push that says nothing of the mode keeps the one that whoever was before has set, and not the one that was there when it was asked.
#[test]
fn a_push_that_waits_goes_by_what_it_finds_then() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    assert_eq!(member.connect().status, 200);
    let sid = office.api.own("+18005550001");
    member.post("/phone/numbers/add", &json!({ "sid": sid }));
    let path = format!("/phone/numbers/{sid}/routing");
    let target = format!("POST /2010-04-01/Accounts/{}", crate::twilio_api::ACCOUNT);
    let asked = |office: &Office| {
        let asked = office.api.asked();
        let asked = asked.iter().filter(|line| line.starts_with(&target));
        asked.count()
    };
    let before = asked(&office);
    office.api.trouble(&[Trouble::Held]);

    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| member.post(&path, &json!({ "mode": "ivr" })));
        awaits("Twilio is asked", || asked(&office) > before);
        let second = scope.spawn(|| member.post(&path, &json!({ "users": ["user:bob"] })));
        // It waits: nobody asks Twilio for it.
        thread::sleep(std::time::Duration::from_millis(100));
        assert_eq!(asked(&office), before + 1);
        office.api.let_go();
        (first.join().unwrap(), second.join().unwrap())
    });

    assert_eq!(first.json()["mode"], "ivr");
    assert_eq!(second.json()["mode"], "ivr", "{}", second.body);
    assert_eq!(second.json()["users"], json!(["user:bob"]));
    let url = office.api.field(&sid, "voice_url");
    assert!(url.as_str().unwrap().contains("/ivr-menu?"), "{url}");
}

/// Twilio has sold it, and somebody takes it over before we hear of that.
#[test]
fn who_takes_a_number_over_while_it_is_bought_is_not_set_back() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    assert_eq!(member.connect().status, 200);
    office.api.trouble(&[Trouble::Held]);
    let number = "+14155550100";

    let (bought, added) = thread::scope(|scope| {
        let order = json!({ "phoneNumber": number, "mode": "voice" });
        let buyer = scope.spawn(move || member.post("/phone/numbers", &order));
        awaits("it is bought", || office.api.count() > 0);
        let order = json!({ "phoneNumber": number, "mode": "ivr" });
        let added = member.post("/phone/numbers/add", &order);
        office.api.let_go();
        (buyer.join().unwrap(), added)
    });

    assert_eq!((bought.status, added.status), (201, 201), "{}", bought.body);
    let shown = member.get("/phone/numbers").json();
    assert_eq!(shown["items"].as_array().map(Vec::len), Some(1), "{shown}");
    assert_eq!(shown["items"][0]["mode"], "ivr");
    assert_eq!(bought.json()["mode"], "ivr", "as it is now");
    let sid = added.json()["id"].as_str().unwrap().to_owned();
    let url = office.api.field(&sid, "voice_url");
    assert!(url.as_str().unwrap().contains("/ivr-menu?"), "{url}");
    assert_eq!(shown["purchases"], json!([]));
}
