//! What outside callers find, and what they do not.

use std::collections::BTreeSet;
use std::path::Path;

use strowger::edge::Edge;
use strowger::twilio::form::Form;
use strowger::twilio::front_door::{self, DOCUMENT, Service};
use strowger::twilio::signature::{Algorithm, sign};
use strowger::types::secret::Secret;

use super::client::{Client, READER, Reply, open};
use super::site::Site;

/// What is secret in [`TWILIO`], and no answer, log or metric may hold.
pub(crate) const TOKEN: &str = "canary-auth-token-0123456789";
pub(crate) const BASE: &str = "https://edge.example.com";
pub(crate) const ACCOUNT: &str = "AC00000000000000000000000000000001";

/// What a site needs besides, so that Twilio's webhooks are taken.
pub(crate) const TWILIO: &str = r#"
[[http.listen]]
bind = "127.0.0.1:0"
serves = "vendors"

[twilio]
self_check = false
public_url = "https://edge.example.com"
sip = "sip.example.com:5060"
transport = "udp"

[[twilio.org]]
id = "my-org"
company = "acme"
company_id = 1234
hand_off_secret = "canary-hand-off-0123456789"
account_sid = "AC00000000000000000000000000000001"
auth_token = "canary-auth-token-0123456789"

[[twilio.org.shared_key]]
id = "webhooks_sharedkey_1"
secret = "canary-shared-key-0123456789"

[[twilio.org]]
id = "other-org"
company = "acme"
company_id = 1235
account_sid = "AC00000000000000000000000000000002"
auth_token = "canary-other-token-0123456789"
"#;

/// Somebody with an auth token.
#[derive(Clone, Copy)]
pub(crate) struct Sender {
    pub(crate) client: Client,
    pub(crate) token: &'static str,
}

impl Sender {
    /// Twilio itself.
    pub(crate) fn of(edge: &Edge) -> Self {
        let client = Client {
            address: *edge.http_addresses().last().unwrap(),
            token: None,
        };
        Self {
            client,
            token: TOKEN,
        }
    }

    /// Posts a form, signed as Twilio does.
    pub(crate) fn post<V: AsRef<str>>(&self, target: &str, fields: &[(&str, V)]) -> Reply {
        let form: Form = fields
            .iter()
            .map(|(name, value)| (*name, value.as_ref()))
            .collect();
        let url = format!("{BASE}{target}");
        let secret = Secret::new(self.token.as_bytes());
        let signature = sign(&url, Some(&form), &secret, Algorithm::Sha1);
        self.post_signed(target, fields, &[("X-Twilio-Signature", &signature)])
    }

    /// Posts a form with these headers.
    pub(crate) fn post_signed<V: AsRef<str>>(
        &self,
        target: &str,
        fields: &[(&str, V)],
        headers: &[(&str, &str)],
    ) -> Reply {
        let form: Form = fields
            .iter()
            .map(|(name, value)| (*name, value.as_ref()))
            .collect();
        let kind = [("Content-Type", "application/x-www-form-urlencoded")];
        let headers = [headers, &kind].concat();
        self.client
            .ask("POST", target, &headers, form.encoded().as_bytes())
    }
}

const STATUS: &[(&str, &str)] = &[
    ("AccountSid", ACCOUNT),
    ("CallSid", "CA00000000000000000000000000000009"),
    ("CallStatus", "ringing"),
];

#[test]
fn what_is_signed_is_believed_and_nothing_else_is() {
    let (site, edge) = start();
    let twilio = Sender::of(&edge);
    let target = "/connect/webhook/twilio/status?orgid=my-org";

    assert_eq!(twilio.post(target, STATUS).status, 204);
    assert_eq!(
        twilio.post("/connect/webhook/twilio/status", STATUS).status,
        204
    );
    let nobody = twilio.post_signed(target, STATUS, &[]);
    assert_eq!((nobody.status, &*nobody.body), (403, ""));
    let stranger = Sender {
        token: "another",
        ..twilio
    };
    assert_eq!(stranger.post(target, STATUS).status, 403);
    // The other organisation's own token does not sign for this account, nor this account for the other organisation.
    let other = Sender {
        token: "canary-other-token-0123456789",
        ..twilio
    };
    assert_eq!(other.post(target, STATUS).status, 403);
    let foreign = "/connect/webhook/twilio/status?orgid=other-org";
    assert_eq!(twilio.post(foreign, STATUS).status, 403);
    let unknown = [("AccountSid", "AC00000000000000000000000000000003")];
    assert_eq!(twilio.post(target, &unknown).status, 403);
    // Signed for another service, and a header too many.
    let url = format!("{BASE}/connect/webhook/twilio/sms?orgid=my-org");
    let form: Form = STATUS.iter().copied().collect();
    let signature = sign(
        &url,
        Some(&form),
        &Secret::new(TOKEN.as_bytes()),
        Algorithm::Sha1,
    );
    let header = ("X-Twilio-Signature", &*signature);
    assert_eq!(twilio.post_signed(target, STATUS, &[header]).status, 403);
    assert_eq!(
        twilio.post_signed(target, STATUS, &[header, header]).status,
        403
    );
    let metrics = edge.metrics();
    for why in [
        "signature_missing",
        "signature_wrong",
        "signature_unknown_account",
        "signature_malformed",
        "foreign_org",
    ] {
        let line = format!("strowger_vendor_refused_total{{why=\"{why}\"}}");
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
    edge.stop();
    no_canary(site.folder.path());
}

#[test]
fn a_shared_key_signs_and_a_request_does_not_choose_how() {
    let (_site, edge) = start();
    let twilio = Sender::of(&edge);
    let target = "/connect/webhook/twilio/status";
    let form: Form = STATUS.iter().copied().collect();
    let url = format!("{BASE}{target}");
    let key = Secret::new(*b"canary-shared-key-0123456789");
    let post = |algorithm, named: &str| {
        let signature = sign(&url, Some(&form), &key, algorithm);
        let settings = format!("key=webhooks_sharedkey_1,algorithm={named}");
        let headers = [
            ("X-Twilio-Signature", &*signature),
            ("X-Twilio-Webhooks-Signature-Settings", &*settings),
        ];
        twilio.post_signed(target, STATUS, &headers).status
    };

    assert_eq!(post(Algorithm::Sha256, "HMAC_SHA256"), 204);
    assert_eq!(post(Algorithm::Sha1, "HMAC_SHA1"), 403);
    assert_eq!(post(Algorithm::Sha1, "HMAC_SHA256"), 403);
}

#[test]
fn each_side_has_its_own_routes_and_none_of_the_others() {
    let (_site, edge) = start();
    let [admin, vendors] = *edge.http_addresses() else {
        panic!("two listeners");
    };
    let token = Some(READER);
    let (admin, vendors) = (
        Client {
            address: admin,
            token,
        },
        Client {
            address: vendors,
            token,
        },
    );
    let ours = admin.get("/openapi.json").json();
    let theirs = admin.get("/openapi-vendors.json").json();

    assert_eq!(theirs["servers"][0]["url"], BASE);
    let paths = |description: &serde_json::Value| {
        let paths = description["paths"].as_object().unwrap().clone();
        paths.into_iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys().cloned();
            let methods: Vec<_> = methods
                .map(|method| (method.to_uppercase(), path.clone()))
                .collect();
            methods
        })
    };
    // Whoever has the key of a call, or one that was handed out, may come from anywhere.
    let others: BTreeSet<_> = paths(&theirs).collect();
    let shared: BTreeSet<_> = paths(&ours).filter(|one| others.contains(one)).collect();
    let is_posting = |path: &str| path.starts_with("/calls/") || path.starts_with("/data_writing");
    assert!(
        shared.iter().all(|(_, path)| is_posting(path)),
        "{shared:?}"
    );
    assert_eq!(shared.len(), 6);
    let own = |one: &(String, String)| !shared.contains(one);
    for (method, path) in paths(&ours).filter(own) {
        let path = path.replace("{kind}", "buyer").replace("{id}", "sunny");
        let path = path.replace("{name}", "none");
        assert_eq!(vendors.ask(&method, &path, &[], b"").status, 404, "{path}");
    }
    let mut count = 0;
    for (method, path) in paths(&theirs).filter(own) {
        let path = path
            .replace("{vendor}", "twilio")
            .replace("{service}", "voice");
        assert_eq!(admin.ask(&method, &path, &[], b"").status, 404, "{path}");
        // Without a signature, or without a token.
        let status = vendors.ask(&method, &path, &[], b"").status;
        assert!(matches!(status, 401 | 403), "{path}: {status}");
        count += 1;
    }
    assert!(count >= 3);
    let long = vec![b'a'; 70_000];
    let long = vendors.ask("POST", "/connect/webhook/twilio/voice", &[], &long);
    assert_eq!(long.status, 413);
    let twilio = Sender::of(&edge);
    assert_eq!(
        twilio.post("/connect/webhook/twilio/voices", STATUS).status,
        404
    );
    assert_eq!(
        twilio.post("/connect/webhook/acme/voice", STATUS).status,
        404
    );
    assert_eq!(twilio.post("/connect/webhook/twilio", STATUS).status, 200);
}

/// A site that takes Twilio's webhooks.
pub(crate) fn start() -> (Site, Edge) {
    let site = Site::new(1);
    open(&site, "");
    site.append(TWILIO);
    let edge = site.start();
    (site, edge)
}

/// Looks into all files below `folder` but the configuration for what is secret.
pub(crate) fn no_canary(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            no_canary(&path);
        } else if path.extension().is_none_or(|end| end != "toml") {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(7).any(|window| window == b"canary-");
            assert!(!found, "{}", path.display());
        }
    }
}

/// A 4xx would play an error to the caller, so a service that there is answers whatever it is told.
#[test]
fn every_service_answers_whatever_it_is_told() {
    let (_site, edge) = start();
    let twilio = Sender::of(&edge);
    let leg = ("CallSid", "CA00000000000000000000000000000009");
    for service in Service::ALL {
        let target = format!("/connect/webhook/twilio/{}?orgid=my-org", service.name());
        for fields in [
            &[("AccountSid", ACCOUNT), leg][..],
            &[("AccountSid", ACCOUNT), leg, ("Digits", "1"), ("step", "x")],
            &[("AccountSid", ACCOUNT), leg, ("DialCallStatus", "busy")],
            &[("AccountSid", ACCOUNT), leg, ("CallStatus", "nonsense")],
        ] {
            let answer = twilio.post(&target, fields);
            let name = service.name();
            match service.reply(&fields.iter().copied().collect()) {
                front_door::Reply::Nothing => assert_eq!(answer.status, 204, "{name}"),
                front_door::Reply::Document | front_door::Reply::Acknowledgement => {
                    assert_eq!(answer.status, 200, "{name}: {}", answer.head);
                    assert_eq!(answer.header("content-type"), DOCUMENT, "{name}");
                    assert!(answer.body.contains("<Response"), "{name}: {}", answer.body);
                }
            }
        }
    }
}
