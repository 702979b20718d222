//! What judges and we say of the same.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use strowger::sip::retreaver::{Profile, RetreaverHeaders};
use strowger::twilio::access_token::{Issuer, VoiceGrant};
use strowger::twilio::connect::{Claim, Companies, CompanyKey, HandOff, Refusal, Standing};
use strowger::twilio::form::Form;
use strowger::twilio::jwt::{self, TokenFault};
use strowger::twilio::mac::Rotating;
use strowger::twilio::notification::{Binding, Channel, IdentityGrammar, Notification};
use strowger::twilio::numbers::{Mode, set_up};
use strowger::twilio::public_url::PublicUrl;
use strowger::twilio::rest::{Api, HOST, Listing, Method, NUMBERS, Request as ApiRequest, Wish};
use strowger::twilio::sid::{AccountSid, ApplicationSid, CallSid, KeySid, NumberSid};
use strowger::twilio::signature::{Algorithm, SignatureFault, sign};
use strowger::twilio::sip_uri::{Credentials, SipUri, Transport};
use strowger::twilio::twiml::{Dial, Rejection, Response, Target, hangup, reject};
use strowger::types::moment::Moment;
use strowger::types::number::Number;
use strowger::types::secret::Secret;

use super::judge::Judge;
use super::requests::{Dice, Request};
use crate::collection::shared_corpus;
use crate::process::show;

pub(super) const ACCOUNT: &str = "AC00000000000000000000000000000001";
const APPLICATION: &str = "AP0123456789abcdef0123456789abcdef";

#[test]
fn what_the_libraries_sign_we_believe_and_what_they_refuse_we_refuse() {
    for mut judge in Judge::both() {
        let mut dice = Dice::new(1);
        for round in 0..ROUNDS {
            let request = match round % 4 {
                0 => Request::drawn_json(&mut dice),
                _ => Request::drawn(&mut dice),
            };
            let signature = judge.ask("sign", request.question("HMAC_SHA1"));
            let signature = signature.as_str().expect("a signature");
            let about = format!("{}: {}", judge.name(), request.question(""));

            assert_eq!(
                request.verdict(signature, Algorithm::Sha1),
                Ok(()),
                "{about}"
            );
            let form = request.body.is_none().then(|| request.form());
            let secret = Secret::new(request.secret.as_bytes());
            assert_eq!(
                sign(&request.url(), form.as_ref(), &secret, Algorithm::Sha1),
                signature,
                "{about}"
            );

            let other = request.changed(&mut dice);
            assert!(
                other.verdict(signature, Algorithm::Sha1).is_err(),
                "{about}"
            );
            for (request, is_right) in [(&request, true), (&other, false)] {
                let mut question = request.question("HMAC_SHA1");
                question["signature"] = signature.into();
                assert_eq!(judge.ask("validate", question), is_right, "{about}");
            }
        }
    }
}

/// Only the library for Python knows keys that are shared for webhooks alone.
#[test]
fn what_is_signed_with_a_shared_key_we_believe() {
    let mut judge = Judge::python();
    let mut dice = Dice::new(2);
    for _ in 0..ROUNDS / 4 {
        let request = Request::drawn(&mut dice);
        let signature = judge.ask("sign", request.question("HMAC_SHA256"));
        let signature = signature.as_str().expect("a signature");

        assert_eq!(request.verdict(signature, Algorithm::Sha256), Ok(()));
        assert!(request.verdict(signature, Algorithm::Sha1).is_err());
        let other = request.changed(&mut dice);
        assert_eq!(
            other.verdict(signature, Algorithm::Sha256),
            Err(SignatureFault::Wrong)
        );
    }
}

#[test]
fn a_signature_holds_with_and_without_the_port() {
    for mut judge in Judge::both() {
        let mut dice = Dice::new(3);
        for (base, signed) in [
            ("https://e.example.com", "https://e.example.com:443"),
            ("https://e.example.com:8443", "https://e.example.com"),
            ("http://e.example.com:8080", "http://e.example.com:8080"),
            ("http://e.example.com", "http://e.example.com:80"),
        ] {
            let request = Request {
                base: base.to_owned(),
                ..Request::drawn(&mut dice)
            };
            let asked = Request {
                base: signed.to_owned(),
                ..request.clone()
            };
            let signature = judge.ask("sign", asked.question("HMAC_SHA1"));

            let verdict =
                request.verdict(signature.as_str().expect("a signature"), Algorithm::Sha1);

            assert_eq!(verdict, Ok(()), "{base} {signed}");
        }
    }
}

#[test]
fn our_tokens_are_read_by_the_libraries_and_theirs_by_us() {
    let secret = Secret::new(*b"api-key-secret-0123456789abcdefgh");
    let text = str::from_utf8(secret.expose()).expect("text");
    let issuer = Issuer {
        account: AccountSid::parse(ACCOUNT).expect("an account"),
        key: KeySid::from_bits(1),
        secret: secret.clone(),
        region: Some("ie1".into()),
    };
    let grant = VoiceGrant {
        incoming: true,
        outgoing: ApplicationSid::parse(APPLICATION),
        parameters: Map::from_iter([("campaign".to_owned(), json!("c1"))]),
        push_credential: Some("CR0123456789abcdef0123456789abcdef".into()),
    };
    let ours = issuer
        .mint(
            now(),
            "user:bob@example.com",
            &grant,
            Duration::from_secs(600),
        )
        .expect("a token");

    for mut judge in Judge::both() {
        let read = judge.ask("decode", json!({"token": ours, "secret": text}));
        assert_eq!(
            read["payload"]["grants"]["identity"],
            "user:bob@example.com",
            "{}",
            judge.name()
        );
        let voice = &read["payload"]["grants"]["voice"];
        assert_eq!(voice["incoming"]["allow"], true);
        assert_eq!(
            voice["outgoing"],
            json!({"application_sid": APPLICATION, "params": {"campaign": "c1"}})
        );
        assert_eq!(
            voice["push_credential_sid"],
            "CR0123456789abcdef0123456789abcdef"
        );
        let wrong = judge.try_ask("decode", json!({"token": ours, "secret": "other"}));
        assert!(wrong.get("error").is_some(), "{wrong}");

        let key = KeySid::from_bits(1).to_string();
        let question = json!({"account": ACCOUNT, "key": key, "secret": text, "identity": "alice", "application": APPLICATION});
        let theirs = judge.ask("mint", question);
        let theirs = theirs.as_str().expect("a token");
        let later = now().after(Duration::from_secs(2));
        let (_, claims) = jwt::verify(later, theirs, &secret).expect("claims");
        assert_eq!(
            claims["grants"]["voice"]["outgoing"]["application_sid"],
            APPLICATION
        );
        let fault = jwt::verify(now().after(Duration::from_secs(7200)), theirs, &secret);
        assert_eq!(fault, Err(TokenFault::Expired));
    }
}

#[test]
fn hand_offs_that_the_libraries_write_are_routed() {
    let mut reader = Judge::python();
    for mut judge in Judge::both() {
        for (to, number, company) in [
            ("+14155550123", "+18005551234", "1234"),
            ("client:al:ice", "+442071838750", "1"),
            ("sip:a@b;c=\"d\"<&>'", "+18005551234", "9223372036854775807"),
        ] {
            let document = judge.ask(
                "hand_off",
                json!({
                    "original_to": to,
                    "original_call": "CA1234567890abcdef1234567890abcdef",
                    "number": number,
                    "company": company,
                    "secret": "company secret",
                    "application": APPLICATION,
                }),
            );

            let hand_off = play(
                &mut reader,
                document.as_str().expect("a document"),
                "company secret",
            )
            .expect("a hand-off");

            assert_eq!(&*hand_off.original_to, to, "{}", judge.name());
            assert_eq!(hand_off.number.to_string(), number);
            assert_eq!(hand_off.company.0.to_string(), company);
            assert_eq!(
                play(
                    &mut reader,
                    document.as_str().unwrap_or_default(),
                    "another"
                ),
                Err(Refusal::Forged)
            );
        }
    }
}

/// Unchanged but for nothing: its secret and its names serve as well as any.
#[test]
fn the_samples_of_the_documentation_hand_calls_over() {
    let Some(samples) = samples() else {
        return;
    };
    let mut reader = Judge::python();
    for (mut judge, code) in samples {
        let document = judge.ask("sample", json!({"code": code}));

        let hand_off = play(
            &mut reader,
            document.as_str().expect("a document"),
            "YOUR_RETREAVER_TWILIO_APP_CONNECT_SECRET",
        );

        let hand_off = hand_off.expect("a hand-off");
        assert_eq!(
            hand_off.canonical(),
            "+14155550123:CA1234567890abcdef1234567890abcdef:+18005551234:1234"
        );
    }
}

/// The samples of the documentation, each with who runs it; `None`, which is told: they are not at hand.
pub(super) fn samples() -> Option<[(Judge, String); 2]> {
    let Some(shared) = shared_corpus() else {
        show("../shared is missing: its samples were NOT run; set STROWGER_SHARED to its path");
        return None;
    };
    let folder = shared.parent().expect("its folder").join("seeds");
    let mut seeds = std::fs::read_dir(folder).expect("the seeds").flatten();
    let seed = seeds.find(|file| file.file_name().to_string_lossy().starts_with("000_"));
    let text = std::fs::read_to_string(seed.expect("the seed").path()).expect("text");
    let between = |start: &str, end: &str| {
        let from = text.find(start).expect("its start");
        let to = text[from..].find(end).expect("its end") + from;
        text[from..to].to_owned()
    };
    let python = between("from twilio.twiml", "Node.js\nconst crypto");
    let node = between("const crypto", "Ruby\nrequire");
    Some([(Judge::python(), python), (Judge::node(), node)])
}

#[test]
fn our_documents_are_read_by_a_reader_of_xml() {
    let mut judge = Judge::python();
    let odd = "a&b<c>\"d'e\u{e9}\u{1f600}\n\t]]>";
    let headers = RetreaverHeaders {
        uuid: b"8f14e45f-ceea-467f-a1c8-6c9a2f4b0d11",
        key: b"KEY",
        afid: odd,
        sid: Some("s&id"),
        profile: Profile::Raw,
    };
    let target = Target::Sip(SipUri {
        user: "+18005551234".into(),
        host: "sip.example.com".into(),
        port: Some(5061),
        transport: Transport::Secure,
        edge: None,
        headers: headers
            .fields()
            .map(|(name, value)| (name.into(), value))
            .collect(),
        credentials: None,
    });
    let dial = Dial {
        target: &target,
        caller_id: Some("+14155550123"),
        timeout: Duration::from_secs(60),
        time_limit: Duration::from_secs(14_400),
        action: "https://e.example.com/next?a=1&b=2",
        status: None,
    };

    let mut tree = |response: Response| {
        let xml = response.write().expect("a document");
        judge.ask("tree", json!({"xml": xml}))
    };

    let refusal = tree(Response::of(reject(Rejection::Busy, Some(odd))));
    let parameter = json!(["Parameter", {"name": "error", "value": odd}, "", []]);
    assert_eq!(
        refusal,
        json!(["Response", {}, "", [["Reject", {"reason": "busy"}, "", [parameter]]]])
    );
    let dialled = tree(Response::of(dial.verb().expect("a verb")));
    assert_eq!(
        dialled[3][0][1]["action"],
        "https://e.example.com/next?a=1&b=2"
    );
    let uri = dialled[3][0][3][0][2].as_str().expect("an address");
    assert!(
        uri.contains("?X-PH-RetreaverUUID=8f14e45f") && uri.contains("&X-PH-RetreaverSID=s%2526id"),
        "{uri}"
    );
    assert_eq!(
        tree(Response::default().then(hangup([])))[3][0][0],
        "Hangup"
    );
}

/// What has Twilio call a buyer is what the libraries write of the same.
#[test]
fn our_documents_that_call_buyers_are_those_of_the_libraries() {
    let action =
        "https://e.example.com/connect/webhook/twilio/dial-action?orgid=acme&u=8f14e45f&a=2";
    let status = "https://e.example.com/connect/webhook/twilio/status?orgid=acme&u=8f14e45f&a=2";
    let address = "sip:sales@198.51.100.20:5060;transport=udp\
        ?X-PH-RetreaverUUID=8f14e45f-ceea-467f-a1c8-6c9a2f4b0d11&X-PH-RetreaverAFID=pub%252012";
    let number = Target::Number {
        number: Number::from_e164(b"+18885550100").expect("a number"),
        send_digits: None,
    };
    let sip = Target::Sip(SipUri {
        user: "sales".into(),
        host: "198.51.100.20".into(),
        port: Some(5060),
        transport: Transport::Udp,
        edge: None,
        headers: vec![
            (
                "X-PH-RetreaverUUID".into(),
                "8f14e45f-ceea-467f-a1c8-6c9a2f4b0d11".to_owned(),
            ),
            ("X-PH-RetreaverAFID".into(), "pub%2012".to_owned()),
        ],
        credentials: Some(Credentials {
            username: "acme".into(),
            password: Secret::new(*b"a&b\"c"),
        }),
    });
    let [mut python, mut node] = Judge::both();
    for (target, noun) in [(&number, "number"), (&sip, "sip")] {
        let dial = Dial {
            target,
            caller_id: None,
            timeout: Duration::from_secs(20),
            time_limit: Duration::from_secs(14_400),
            action,
            status: Some(status),
        };
        let ours = Response::of(dial.verb().expect("a verb")).write();
        let ours = ours.expect("a document");
        let called = match noun {
            "number" => "+18885550100",
            _ => address,
        };
        let login = match noun {
            "number" => ("", ""),
            _ => (
                "username='acme', password='a&b\"c', ",
                "username: 'acme', password: 'a&b\"c', ",
            ),
        };
        let in_python = format!(
            "from twilio.twiml.voice_response import VoiceResponse, Dial\n\
             response = VoiceResponse()\n\
             dial = Dial(answer_on_bridge=True, action='{action}', method='POST', timeout=20, time_limit=14400)\n\
             dial.{noun}('{called}', {}status_callback='{status}', status_callback_event='initiated ringing answered completed')\n\
             response.append(dial)\n\
             print(str(response))\n",
            login.0
        );
        let in_node = format!(
            "const twilio = require('twilio');\n\
             const twiml = new twilio.twiml.VoiceResponse();\n\
             const dial = twiml.dial({{answerOnBridge: true, action: '{action}', method: 'POST', timeout: 20, timeLimit: 14400}});\n\
             dial.{noun}({{{}statusCallback: '{status}', statusCallbackEvent: 'initiated ringing answered completed'}}, '{called}');\n\
             console.log(twiml.toString());\n",
            login.1
        );
        let theirs = [
            python.ask("sample", json!({ "code": in_python })),
            node.ask("sample", json!({ "code": in_node })),
        ];
        let ours = python.ask("tree", json!({ "xml": ours }));
        for theirs in theirs {
            let theirs = python.ask("tree", json!({ "xml": theirs }));
            assert_eq!(ours, theirs);
        }
    }
}

#[test]
fn we_ask_of_the_api_what_the_library_asks() {
    let mut judge = Judge::python();
    let api = Api {
        account: AccountSid::parse(ACCOUNT).expect("an account"),
    };
    let number = NumberSid::from_bits(1);
    let call = CallSid::from_bits(5);
    let application = ApplicationSid::parse(APPLICATION).expect("an application");
    let base = PublicUrl::parse("https://edge.example.com").expect("a base");
    let routed = set_up(&base, "my-org", Mode::Ivr);
    let values = json!({
        "voice_url": routed.first("VoiceUrl"),
        "voice_method": "POST",
        "sms_url": routed.first("SmsUrl"),
        "sms_method": "POST",
        "status_callback": routed.first("StatusCallback"),
        "status_callback_method": "POST",
        "trunk_sid": "",
        "voice_application_sid": "",
        "sms_application_sid": "",
    });
    let mut bought = values.clone();
    bought["phone_number"] = "+18005550009".into();
    let wish = Wish::Number(Number::from_e164(b"+18005550009").expect("a number"));
    let open = json!({"voice_url": "https://e.example.com/v", "voice_method": "POST", "public_application_connect_enabled": true});
    for (what, sid, values, ours) in [
        (
            "list",
            String::new(),
            json!({"page_size": 100}),
            api.numbers(100),
        ),
        (
            "buy",
            String::new(),
            bought,
            api.buy_number(wish, routed.clone()),
        ),
        (
            "set",
            number.to_string(),
            values,
            api.set_number(number, routed),
        ),
        ("fetch", number.to_string(), json!({}), api.number(number)),
        ("account", ACCOUNT.to_owned(), json!({}), api.account()),
        (
            "release",
            number.to_string(),
            json!({}),
            api.release_number(number),
        ),
        (
            "call",
            call.to_string(),
            json!({"status": "completed"}),
            api.end_call(call),
        ),
        (
            "call",
            call.to_string(),
            json!({"url": "https://e.example.com/v", "method": "POST"}),
            api.redirect_call(call, "https://e.example.com/v"),
        ),
        (
            "application",
            application.to_string(),
            open,
            api.open_application(application, "https://e.example.com/v"),
        ),
    ] {
        let question = json!({"account": ACCOUNT, "secret": "auth-token", "what": what, "sid": sid, "values": values});
        let theirs = judge.ask("rest", question);
        assert_eq!(asked(&ours), told(&theirs), "{what}: {theirs}");
    }
}

#[test]
fn a_list_of_several_pages_is_read_as_the_library_reads_it() {
    let account = AccountSid::parse(ACCOUNT).expect("an account");
    let api = Api { account };
    let uri = |page: usize| {
        format!(
            "/2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers.json?PageSize=2&Page={page}&PageToken=PAPN{page}"
        )
    };
    let number = |last: usize| json!({"sid": format!("PN{last:032x}"), "phone_number": format!("+1800555000{last}")});
    let pages: Vec<_> = (0..4)
        .map(|page| {
            let next = (page < 3).then(|| uri(page + 1));
            json!({"incoming_phone_numbers": [number(2 * page), number(2 * page + 1)], "next_page_uri": next})
        })
        .collect();
    let theirs = Judge::python().ask(
        "pages",
        json!({"account": ACCOUNT, "secret": "auth-token", "pages": pages}),
    );

    let mut listing = Listing::new(api, NUMBERS);
    let mut asked = Vec::new();
    for page in &pages {
        let next = listing.take(page).expect("a page");
        asked.extend(next.map(|next| [HOST, &*next.target].concat()));
    }
    let found: Vec<_> = listing
        .into_items()
        .iter()
        .map(|number| number["sid"].clone())
        .collect();

    assert_eq!(theirs["found"], json!(found));
    // The first one is asked for with its parameters apart.
    assert_eq!(
        theirs["asked"].as_array().expect("addresses").get(1..),
        Some(&json!(asked).as_array().expect("addresses")[..])
    );
    assert_eq!(asked.len(), 3);
}

/// The sample of the documentation breaks (500) where a member is missing; we refuse (400).
#[test]
fn notifications_are_answered_as_the_sample_answers_them() {
    let mut judge = Judge::python();
    let mut dice = Dice::new(4);
    let mut seen = std::collections::BTreeMap::<u64, usize>::new();
    for _ in 0..200 {
        let body = notification(&mut dice);
        let bound: Vec<_> = (0..dice.below(4))
            .map(|_| {
                (
                    (*dice.pick(&["bob", "alice", "b\u{e9}"])).to_owned(),
                    (*dice.pick(&[ACCOUNT, "AC2"])).to_owned(),
                )
            })
            .collect();
        let theirs = judge.ask("notify", json!({"body": body, "bound": bound}));
        let bindings: Vec<_> = bound
            .iter()
            .map(|(identity, account)| binding(identity, account))
            .collect();

        let ours = match Notification::read(body.as_bytes(), IdentityGrammar::TwoParts) {
            Ok(notification) => {
                let answer = notification.answer(Moment::from_millis(0), &bindings, false);
                json!({"status": answer.status, "text": answer.text, "sent": answer.receivers.len()})
            }
            Err(_) => json!({"status": 400, "sent": 0}),
        };

        let status = match theirs["status"].as_u64() {
            Some(500) => 400,
            status => status.unwrap_or_default(),
        };
        assert_eq!(ours["status"], status, "{body} {bound:?} {theirs}");
        assert_eq!(ours["sent"], theirs["sent"], "{body} {bound:?}");
        if let Some(text) = ours["text"].as_str() {
            assert_eq!(theirs["text"], text);
        }
        *seen.entry(status).or_default() += 1;
    }
    assert!(
        [200, 400, 404]
            .iter()
            .all(|status| seen.get(status).is_some_and(|times| *times >= 20)),
        "{seen:?}"
    );
}

/// Plays a document as Twilio does, as far as it hands a call over; what we make of the request that follows.
fn play(reader: &mut Judge, document: &str, secret: &str) -> Result<HandOff, Refusal> {
    let tree = reader.ask("tree", json!({"xml": document}));
    let application = &tree[3][0][3][0];
    assert_eq!(
        (&tree[3][0][0], &application[0]),
        (&json!("Dial"), &json!("Application"))
    );
    let mut form = Form::default();
    form.push("To", application[2].as_str().expect("the application"));
    for parameter in application[3].as_array().expect("parameters") {
        let text = |name: &str| parameter[1][name].as_str().expect("text").to_owned();
        form.push(&format!("Param_{}", text("name")), &text("value"));
    }
    let form = Form::parse(form.encoded().as_bytes()).expect("a form");
    Claim::read(&form)?.verify(&Everybody(Rotating::new(Secret::new(secret.as_bytes()))))
}

/// Every company signs with one secret, and owns every number.
struct Everybody(Rotating);

impl Companies for Everybody {
    fn secret(&self, _: CompanyKey) -> Standing<'_> {
        Standing::Enabled(&self.0)
    }

    fn owns(&self, _: CompanyKey, _: Number) -> bool {
        true
    }
}

/// Method, address, parameters of the query, and those of the body.
type Asked = (String, String, Vec<(String, String)>, Vec<(String, String)>);

/// A request of ours.
fn asked(request: &ApiRequest) -> Asked {
    let method = match request.method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Delete => "DELETE",
    };
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    let query = Form::parse(query.as_bytes()).expect("a query");
    (
        method.to_owned(),
        [HOST, path].concat(),
        sorted(&query),
        sorted(&request.form),
    )
}

/// The same of the library's.
fn told(request: &Value) -> Asked {
    let text = |name: &str| request[name].as_str().expect("text").to_owned();
    let values = |name: &str| {
        let mut form = Form::default();
        for (name, value) in request[name].as_object().expect("an object") {
            let plain = value.to_string();
            form.push(name, value.as_str().unwrap_or(&plain));
        }
        sorted(&form)
    };
    (
        text("method"),
        text("url"),
        values("params"),
        values("data"),
    )
}

fn sorted(form: &Form) -> Vec<(String, String)> {
    let mut fields: Vec<_> = form
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    fields.sort();
    fields
}

/// A body that is a notification more often than not.
pub(super) fn notification(dice: &mut Dice) -> String {
    if dice.below(12) == 0 {
        return (*dice.pick(&["", "{", "[]", "null", "1", "twi_to=client%3Abob", "\"x\""]))
            .to_owned();
    }
    let mut members = json!({
        "twi_bridge_token": "eyJ",
        "twi_from": "client:alice",
        "twi_message_id": format!("WB{}", dice.below(9)),
        "twi_message_type": "twilio.voice.call",
    });
    let to = *dice.pick(&[
        "client:bob",
        "client:bob",
        "client:alice",
        "client:b\u{e9}",
        "client:",
        "bob",
        "sip:bob",
        ":bob",
        "client:user:bob",
        "",
    ]);
    for (name, value) in [
        ("twi_to", to),
        (
            "twi_account_sid",
            *dice.pick(&[ACCOUNT, ACCOUNT, "AC2", ""]),
        ),
    ] {
        if dice.below(15) != 0 {
            members[name] = value.into();
        }
    }
    if dice.below(3) == 0 {
        members["twi_params"] = "a=1&b=2".into();
    }
    members.to_string()
}

fn binding(identity: &str, account: &str) -> Binding {
    Binding {
        identity: identity.into(),
        account: account.into(),
        channel: Channel::WebSocket,
        address: "1".into(),
        expires: Moment::from_millis(1),
    }
}

fn now() -> Moment {
    let time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Moment::from_millis(i64::try_from(time.as_millis()).unwrap_or_default())
}

/// Webhooks that are drawn for each judge.
const ROUNDS: usize = 200;
