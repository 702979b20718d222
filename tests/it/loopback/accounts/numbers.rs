//! Connections and numbers, with a server that stands in for Twilio's API and refuses what that would.

use std::thread;
use std::time::Duration;

use serde_json::json;
use strowger::net::clock;
use strowger::twilio::jwt;
use strowger::twilio::numbers::{Delta, Line, Mode, Remote};
use strowger::twilio::public_url::PublicUrl;
use strowger::twilio::sid::NumberSid;
use strowger::types::moment::Moment;
use strowger::types::number::Number;
use strowger::types::secret::Secret;

use super::super::client::reply;
use super::{API_SECRET, CANARIES, JWT_SECRET, Member, Office, integration};
use crate::twilio_api::{ACCOUNT, TOKEN, Trouble};

#[test]
fn an_account_is_connected_tried_out_and_never_shown_again() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    let path = "/upstream/test/TwilioProvider/listPhoneNumbers";

    assert_eq!(member.post(path, &json!({})).status, 409);
    let saved = member.connect();
    assert_eq!(saved.status, 200, "{}", saved.body);
    assert_eq!(saved.json()["config"]["accountSid"], ACCOUNT);
    let empty = member.ask("POST", path, b"");
    assert_eq!((empty.status, empty.json()), (200, json!([])));
    office.api.own("+18005550001");
    let tried = member.post(path, &json!({}));
    assert_eq!(tried.json()[0]["phone_number"], "+18005550001");
    let shown = member.get("/upstream/integrations").json();
    assert_eq!(shown["items"][0]["name"], "Acme Twilio");

    assert_eq!(
        member
            .post("/upstream/test/Vonage/listPhoneNumbers", &json!({}))
            .status,
        404
    );
    assert_eq!(
        member
            .post("/upstream/test/TwilioProvider/drop", &json!({}))
            .status,
        404
    );
    office.api.set_token("canary-auth-token-that-is-new-now");
    let refused = member.post(path, &json!({}));
    assert_eq!(refused.status, 409);
    assert_eq!(refused.json()["error"], "credentials");
    let renewed = integration("canary-auth-token-that-is-new-now");
    let saved = member.post("/upstream/save-integration", &renewed);
    assert_eq!(saved.json()["rotating"], true);
    assert_eq!(member.post(path, &json!({})).status, 200);
    assert_eq!(office.api.violations(), Vec::<String>::new());
}

#[test]
fn an_account_is_connected_by_whom_the_vendor_knows_and_by_nobody_else() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    let save = |token| member.post("/upstream/save-integration", &integration(token));

    let guessed = save("canary-auth-token-that-is-guessed");
    assert_eq!(
        (guessed.status, &guessed.json()["error"]),
        (409, &json!("credentials"))
    );
    // Nobody says yes, and nobody says anything.
    office.api.trouble(&[Trouble::After(404)]);
    assert_eq!(save(TOKEN).status, 404);
    office.api.trouble(&[Trouble::Silence; 4]);
    assert_eq!(save(TOKEN).status, 502);
    assert_eq!(
        member.get("/upstream/integrations").json()["items"],
        json!([])
    );
    let path = "/upstream/test/TwilioProvider/listPhoneNumbers";
    assert_eq!(member.post(path, &json!({})).status, 409);

    assert_eq!(save(TOKEN).status, 200);
    // What is there stays if what is to take its place is wrong.
    assert_eq!(save("canary-auth-token-that-is-guessed").status, 409);
    assert_eq!(member.post(path, &json!({})).status, 200);
    assert_eq!(office.api.violations(), Vec::<String>::new());
}

#[test]
fn an_org_has_one_account_and_an_account_one_org() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    let mut other = member.with(&json!({}), "canary-jwt-secret-of-another");
    other.org = "other-org";

    assert_eq!(member.connect().status, 200);
    let taken = other.connect();
    assert_eq!(
        (taken.status, &taken.json()["error"]),
        (409, &json!("account_taken"))
    );
    let mut third = integration(TOKEN);
    third["config"]["accountSid"] = "AC00000000000000000000000000000003".into();
    let taken = other.post("/upstream/save-integration", &third);
    assert_eq!(taken.status, 409);

    for (name, value) in [
        ("accountSid", "AC1"),
        ("authToken", ""),
        ("auth_token", "x"),
    ] {
        let mut wrong = integration(TOKEN);
        wrong["config"][name] = value.into();
        assert_eq!(other.post("/upstream/save-integration", &wrong).status, 400);
    }
}

#[test]
fn who_is_not_of_the_org_is_not_served() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    let path = "/phone/numbers";
    let status = |claims, secret, org| {
        let mut asker = member.with(&claims, secret);
        asker.org = org;
        asker.get(path).status
    };

    assert_eq!(status(json!({}), JWT_SECRET, "my-org"), 200);
    assert_eq!(
        status(json!({"orgid": "my-org"}), JWT_SECRET, "my-org"),
        200
    );
    for (claims, secret, org) in [
        (json!({}), JWT_SECRET, "other-org"),
        (json!({}), "canary-jwt-secret-of-another", "my-org"),
        (json!({}), JWT_SECRET, "third-org"),
        (json!({}), JWT_SECRET, "nobody"),
        (json!({"orgid": "other-org"}), JWT_SECRET, "my-org"),
        (json!({"exp": 1_767_225_600}), JWT_SECRET, "my-org"),
        (json!({"nbf": 4_000_000_000_u64}), JWT_SECRET, "my-org"),
        (json!({"identity": 7}), JWT_SECRET, "my-org"),
    ] {
        assert_eq!(status(claims.clone(), secret, org), 401, "{claims} {org}");
    }
    assert_eq!(
        status(json!({"identity": "user:bob"}), JWT_SECRET, "my-org"),
        403
    );
    let without = member.client.ask("GET", path, &[], b"");
    assert_eq!(
        (without.status, &without.json()["error"]),
        (401, &json!("no_org"))
    );
    let nobody = super::Client {
        token: None,
        ..member.client
    };
    let nobody = nobody.ask("GET", path, &[("orgid", "my-org")], b"");
    assert_eq!(nobody.status, 401);
    let twice = [("orgid", "my-org"), ("orgid", "my-org")];
    assert_eq!(member.client.ask("GET", path, &twice, b"").status, 401);
}

#[test]
fn numbers_are_bought_and_taken_over_and_three_webhooks_are_set_up() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    assert_eq!(
        member
            .post("/phone/numbers", &json!({"areaCode": "415"}))
            .status,
        409
    );
    member.connect();
    let there = office.api.own("+18005550001");
    office
        .api
        .edit(&there, "trunk_sid", "TK0123456789abcdef0123456789abcdef");

    let bought = member.post(
        "/phone/numbers",
        &json!({"phoneNumber": "+14155550123", "users": ["user:bob"], "friendlyName": "Sales"}),
    );
    assert_eq!(bought.status, 201, "{}", bought.body);
    let by_code = member.post("/phone/numbers", &json!({"areaCode": "212", "mode": "ivr"}));
    assert_eq!(by_code.status, 201, "{}", by_code.body);
    let added = member.post(
        "/phone/numbers/add",
        &json!({"phoneNumber": "+18005550001"}),
    );
    assert_eq!(
        (added.status, &added.json()["id"]),
        (201, &json!(there)),
        "{}",
        added.body
    );

    let base = "https://edge.example.com/connect/webhook/twilio";
    for (number, voice) in [
        (&bought, "voice"),
        (&by_code, "ivr-menu"),
        (&added, "voice"),
    ] {
        let sid = number.json()["id"].as_str().unwrap().to_owned();
        let field = |name| office.api.field(&sid, name);
        assert_eq!(field("voice_url"), format!("{base}/{voice}?orgid=my-org"));
        assert_eq!(field("sms_url"), format!("{base}/sms?orgid=my-org"));
        assert_eq!(
            field("status_callback"),
            format!("{base}/status?orgid=my-org")
        );
        for name in ["voice_method", "sms_method", "status_callback_method"] {
            assert_eq!(field(name), "POST");
        }
        assert!(field("trunk_sid").is_null() && field("voice_application_sid").is_null());
    }
    let listed = member.get("/phone/numbers").json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 3);
    for (path, body) in [
        ("/phone/numbers", json!({"phoneNumber": "4155550123"})),
        ("/phone/numbers", json!({"areaCode": "41"})),
        (
            "/phone/numbers",
            json!({"areaCode": "415", "phoneNumber": "+14155550124"}),
        ),
        ("/phone/numbers", json!({"areaCode": "415", "mode": "fax"})),
        (
            "/phone/numbers",
            json!({"areaCode": "415", "users": ["a b"]}),
        ),
        ("/phone/numbers", json!({"areaCode": "415", "Mode": "ivr"})),
        ("/phone/numbers/add", json!({})),
        ("/phone/numbers/add", json!({"sid": "PN1"})),
    ] {
        assert_eq!(member.post(path, &body).status, 400, "{body}");
    }
    let unknown = json!({"phoneNumber": "+18005550009"});
    assert_eq!(member.post("/phone/numbers/add", &unknown).status, 404);
    let taken = member.post("/phone/numbers", &json!({"phoneNumber": "+14155550123"}));
    assert_eq!(
        (taken.status, &taken.json()["error"]),
        (422, &json!("refused"))
    );
    assert_eq!(office.api.violations(), Vec::<String>::new());
}

#[test]
fn drift_is_told_number_by_number_and_a_push_brings_it_back() {
    // Two numbers a page, so the list has several pages.
    let office = Office::new(2);
    let edge = office.site.start();
    let member = Member::of(&edge);
    member.connect();
    let sids: Vec<String> = (1..=5)
        .map(|last| office.api.own(&format!("+1800555000{last}")))
        .collect();
    for last in 1..=4 {
        let body = json!({"phoneNumber": format!("+1800555000{last}")});
        assert_eq!(member.post("/phone/numbers/add", &body).status, 201);
    }
    let verify = || member.ask("POST", "/phone/verify", b"").json();
    let first = verify();
    assert_eq!(first["unknown_local"][0]["sid"], sids[4]);
    assert_eq!(first["mismatch"], json!([]));

    office
        .api
        .edit(&sids[0], "voice_url", "https://elsewhere.example.com/");
    office.api.edit(
        &sids[1],
        "voice_application_sid",
        "AP00000000000000000000000000000001",
    );
    office.api.release(&sids[2]);
    let told = verify();

    assert_eq!(told["in_sync"], false);
    assert_eq!(told["missing_remote"][0]["phone_number"], "+18005550003");
    let changed: Vec<_> = told["mismatch"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["sid"].clone())
        .collect();
    assert_eq!(changed, [json!(sids[0]), json!(sids[1])]);
    assert_eq!(told["mismatch"][1]["shadowed_by"], "voice_application_sid");
    let drifts: Vec<_> = member.get("/phone/numbers").json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["drift"].clone())
        .collect();
    assert_eq!(
        drifts,
        ["mismatch", "mismatch", "missing_remote", "in_sync"]
    );

    // By Twilio's name and by its digits; what is not said stays as it is written down.
    let pushed = member.ask("POST", &format!("/phone/numbers/{}/routing", sids[0]), b"");
    assert_eq!(pushed.status, 200, "{}", pushed.body);
    let pushed = member.post(
        "/phone/numbers/+18005550002/routing",
        &json!({"mode": "ivr"}),
    );
    assert_eq!(pushed.json()["mode"], "ivr");
    let gone = member.post("/phone/numbers/+18005550003/routing", &json!({}));
    assert_eq!(
        (gone.status, &gone.json()["error"]),
        (404, &json!("not_found"))
    );
    assert_eq!(
        member
            .post("/phone/numbers/+18005550009/routing", &json!({}))
            .status,
        404
    );
    assert_eq!(verify()["mismatch"], json!([]));
    let pages = office.api.asked();
    let pages = pages
        .iter()
        .filter(|line| line.contains("PageToken="))
        .count();
    assert!(pages >= 2, "{pages}");
    assert_eq!(office.api.violations(), Vec::<String>::new());
}

#[test]
fn what_changes_while_the_list_is_read_is_no_drift() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    member.connect();
    let bought = member
        .post("/phone/numbers", &json!({"areaCode": "415"}))
        .json();
    let path = format!("/phone/numbers/{}/routing", bought["id"].as_str().unwrap());
    office.api.trouble(&[Trouble::Held]);

    let mut asked = member.send("/phone/verify", &json!({}));
    let list = format!("GET /2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers.json?PageSize");
    office.api.await_asked(&list);
    assert_eq!(member.post(&path, &json!({"mode": "ivr"})).status, 200);
    let more = member.post("/phone/numbers", &json!({"areaCode": "415"}));
    assert_eq!(more.status, 201);
    office.api.let_go();
    let told = reply(&mut asked).json();

    // The list is older than both, so it tells nothing of them.
    assert_eq!(told["in_sync"], true, "{told}");
    let listed = member.get("/phone/numbers").json();
    let said = |place: usize, name: &str| listed["items"][place][name].clone();
    assert_eq!(said(0, "mode"), "ivr");
    assert_eq!(
        (said(0, "drift"), said(1, "drift")),
        (json!("in_sync"), json!("in_sync"))
    );
}

#[test]
fn the_numbers_of_a_large_account_are_compared_at_once() {
    let base = PublicUrl::parse("https://edge.example.com").unwrap();
    let lines: Vec<Line> = (0..100_000_u32)
        .map(|last| Line {
            sid: NumberSid::from_bits(last.into()),
            number: Number::from_e164(format!("+1800{:07}", 2_000_000 + last).as_bytes()).unwrap(),
            mode: Mode::Voice,
        })
        .collect();
    let remotes: Vec<Remote> = lines
        .iter()
        .map(|line| {
            let value = json!({
                "sid": NumberSid::from_bits(line.sid.bits() + 50_000).to_string(),
                "phone_number": line.number.to_string(),
            });
            Remote::read(&value).unwrap()
        })
        .collect();

    let began = clock::now();
    let delta = Delta::between(&remotes, &lines, &base, "my-org");
    let took = clock::now() - began;

    assert_eq!(delta.missing_remote.len(), 50_000);
    assert_eq!(delta.unknown_local.len(), 50_000);
    assert_eq!(delta.mismatch.len(), 50_000);
    // Two seconds; a minute and more when each is looked for among all others.
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn what_does_no_harm_is_asked_again_and_what_costs_money_is_not() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    member.connect();
    let posts = || {
        office
            .api
            .asked()
            .iter()
            .filter(|line| line.starts_with("POST"))
            .count()
    };

    // Not looked at: again, whatever it is.
    office.api.trouble(&[Trouble::TooMany, Trouble::TooMany]);
    let bought = member.post("/phone/numbers", &json!({"areaCode": "415"}));
    assert_eq!((bought.status, posts()), (201, 3), "{}", bought.body);
    // Perhaps carried out: never again for money.
    for trouble in [Trouble::After(503), Trouble::Silence] {
        let (before, owned) = (posts(), office.api.count());
        office.api.trouble(&[trouble]);
        let doubtful = member.post("/phone/numbers", &json!({"areaCode": "415"}));
        assert_eq!(
            (doubtful.status, &doubtful.json()["error"]),
            (502, &json!("doubtful"))
        );
        assert_eq!(posts(), before + 1);
        // It was bought, and the comparison says so.
        assert_eq!(office.api.count(), owned + 1);
    }
    let told = member.ask("POST", "/phone/verify", b"").json();
    assert_eq!(told["unknown_local"].as_array().unwrap().len(), 2);
    // Setting up twice is setting up once.
    let before = posts();
    office.api.trouble(&[Trouble::After(503)]);
    let id = bought.json()["id"].as_str().unwrap().to_owned();
    let pushed = member.post(&format!("/phone/numbers/{id}/routing"), &json!({}));
    assert_eq!(
        (pushed.status, posts()),
        (200, before + 2),
        "{}",
        pushed.body
    );
    // There is an end to it.
    office.api.trouble(&[Trouble::TooMany; 4]);
    let over = member.ask("POST", "/phone/verify", b"");
    assert_eq!((over.status, over.header("retry-after")), (503, "5"));
    assert_eq!(office.api.violations(), Vec::<String>::new());
}

#[test]
fn few_requests_of_an_account_are_under_way_at_once() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    member.connect();

    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let path = "/upstream/test/TwilioProvider/listPhoneNumbers";
                assert_eq!(member.post(path, &json!({})).status, 200);
            });
        }
    });

    assert!(
        office.api.most_under_way() <= 4,
        "{}",
        office.api.most_under_way()
    );
}

#[test]
fn a_voice_token_is_made_with_the_api_key_and_for_no_one_else() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    let body = json!({"identity": "user:bob@example.com"});
    assert_eq!(member.post("/phone/token", &body).status, 409);
    member.connect();
    let users = json!({"areaCode": "415", "users": ["user:bob@example.com"]});
    let number = member.post("/phone/numbers", &users).json();
    member.post(
        "/phone/numbers",
        &json!({"areaCode": "416", "users": ["user:carol"]}),
    );

    let made = member.post("/phone/token", &body).json();
    let secret = Secret::new(API_SECRET.as_bytes());
    let millis = i64::try_from(clock::wall().as_millis()).unwrap();
    let now = Moment::from_millis(millis);
    let (_, claims) = jwt::verify(now, made["token"].as_str().unwrap(), &secret).unwrap();
    assert_eq!(claims["sub"], ACCOUNT);
    assert_eq!(claims["grants"]["identity"], "user:bob@example.com");
    let outgoing = &claims["grants"]["voice"]["outgoing"]["application_sid"];
    assert_eq!(outgoing, "AP0123456789abcdef0123456789abcdef");
    let device = member.post("/phone/voice/register-device", &body).json();
    assert_eq!(device["phones"], json!([number]));

    let bob = member.with(&json!({"identity": "user:bob@example.com"}), JWT_SECRET);
    assert_eq!(
        bob.ask("POST", "/phone/token", b"").json()["identity"],
        "user:bob@example.com"
    );
    assert_eq!(
        bob.post("/phone/token", &json!({"identity": "user:carol"}))
            .status,
        403
    );
    assert_eq!(member.ask("POST", "/phone/token", b"").status, 400);
    assert_eq!(
        member
            .post("/phone/token", &json!({"identity": "a b"}))
            .status,
        400
    );
    let mut keyless = integration(TOKEN);
    keyless["config"]["apiKey"] = json!(null);
    keyless["config"]["apiKeySecret"] = json!(null);
    member.post("/upstream/save-integration", &keyless);
    assert_eq!(
        member.post("/phone/token", &body).json()["error"],
        "no_api_key"
    );
}

#[test]
fn no_secret_is_in_any_file_or_metric() {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    member.connect();
    member.post("/phone/numbers", &json!({"areaCode": "415"}));
    let metrics = edge.metrics();
    edge.stop();

    let files = office.files();
    assert!(
        files.windows(6).any(|window| window == b"my-org"),
        "the store was looked at"
    );
    for canary in CANARIES {
        assert!(!metrics.contains(canary), "{metrics}");
        assert!(
            !files
                .windows(canary.len())
                .any(|window| window == canary.as_bytes()),
            "{canary}"
        );
    }
}

#[test]
fn what_is_wrong_at_twilio_is_found_at_the_start() {
    let office = Office::new(1000);
    let edge = office.site.start();
    assert_eq!(Member::of(&edge).connect().status, 200);
    edge.stop();
    // One of a campaign's, and one that is nobody's here.
    office.api.own("+12125550101");
    office.api.own("+18005550001");
    let text = std::fs::read_to_string(&office.site.config).unwrap();
    let text = text.replace("self_check = false", "self_check = true");
    std::fs::write(&office.site.config, text).unwrap();

    let edge = office.site.start();

    let until = clock::now() + Duration::from_secs(20);
    let shows = |finding: &str| {
        let line = format!("strowger_vendor_self_check_total{{finding=\"{finding}\"}} 1");
        edge.metrics().lines().any(|shown| shown == line)
    };
    // The account in the configuration has another token than Twilio knows.
    while !(shows("unset") && shows("failed")) {
        assert!(clock::now() < until, "{}", edge.metrics());
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(office.api.violations(), Vec::<String>::new());
}
