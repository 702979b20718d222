//! What orgs do with their account: connect it, get numbers and tokens, and have their soft phones told of calls.

mod kept;
mod numbers;
pub(crate) mod phones;
mod purchases;
mod pushes;
mod service;
mod stand_in;

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use strowger::edge::Edge;
use strowger::net::clock;
use strowger::twilio::jwt;
use strowger::twilio::mac;
use strowger::twilio::signature::{Algorithm, sign};
use strowger::types::secret::Secret;

use super::client::{Client, Reply};
use super::process::Process;
use super::site::Site;
use crate::twilio_api::{ACCOUNT, TOKEN, TwilioApi};

/// Secrets of this site. No answer, log, metric, record or file of the store may hold any of them.
pub(crate) const CANARIES: [&str; 6] = [
    "canary-auth-token",
    "canary-api-secret",
    "canary-jwt-secret",
    "canary-seal-key",
    "canary-address",
    "canary-bridge",
];

pub(crate) const API_SECRET: &str = "canary-api-secret-0123456789";
const JWT_SECRET: &str = "canary-jwt-secret-0123456789";
const BASE: &str = "https://edge.example.com";

/// A site with an org that may connect its account.
pub(crate) struct Office {
    pub(crate) site: Site,
    pub(crate) api: TwilioApi,
}

impl Office {
    pub(crate) fn new(page: usize) -> Self {
        Self::with(page, "", "")
    }

    /// With more in `[http_client]`, and more behind `[twilio]`.
    pub(crate) fn with(page: usize, client: &str, more: &str) -> Self {
        let (site, api) = (Site::new(1), TwilioApi::start(page));
        let text = std::fs::read_to_string(&site.config).unwrap();
        let text = text.replacen("[node]", "[node]\ndata_dir = \"data\"", 1);
        std::fs::write(&site.config, text).unwrap();
        let url = api.url();
        site.append(&format!(
            r#"
[[http.listen]]
bind = "127.0.0.1:0"
serves = "vendors"

[http_client]
allow = ["127.0.0.0/8"]
{client}

[twilio]
self_check = false
public_url = "{BASE}"
sip = "sip.example.com:5060"
transport = "udp"
api_url = "{url}"
{SEAL_KEYS}
[[twilio.org]]
id = "my-org"
company = "acme"
company_id = 1234
jwt_secret = "{JWT_SECRET}"

[[twilio.org]]
id = "other-org"
company = "acme"
company_id = 1235
jwt_secret = "canary-jwt-secret-of-another"

[[twilio.org]]
id = "third-org"
company = "acme"
company_id = 1236
account_sid = "AC00000000000000000000000000000003"
auth_token = "canary-auth-token-of-a-third"
{more}
"#
        ));
        Self { site, api }
    }

    /// Has other keys seal.
    pub(crate) fn set_keys(&self, keys: &str) {
        let text = std::fs::read_to_string(&self.site.config).unwrap();
        let (head, tail) = text.split_once("[[twilio.seal_key]]").unwrap();
        let (_, tail) = tail.split_once("[[twilio.org]]").unwrap();
        let text = format!("{head}{keys}\n[[twilio.org]]{tail}");
        std::fs::write(&self.site.config, text).unwrap();
    }

    /// Every file of the store and of the records, one after another.
    pub(crate) fn files(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut folders = vec![self.site.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path != self.site.config {
                    all.extend(std::fs::read(path).unwrap_or_default());
                }
            }
        }
        all
    }
}

/// The key that seals unless a test says otherwise.
const SEAL_KEYS: &str = r#"
[[twilio.seal_key]]
id = "old"
secret = "canary-seal-key-0123456789abcdef-0123456789abcdef"
"#;

/// Somebody of an org.
#[derive(Clone, Copy)]
pub(crate) struct Member {
    pub(crate) client: Client,
    pub(crate) org: &'static str,
}

impl Member {
    /// A program of `my-org`.
    pub(crate) fn of(edge: &Edge) -> Self {
        Self::at(*edge.http_addresses().last().unwrap())
    }

    pub(in crate::loopback) fn of_process(process: &Process) -> Self {
        Self::at(process.web[0])
    }

    fn at(address: std::net::SocketAddr) -> Self {
        let client = Client {
            address,
            token: Some(token(&json!({}), JWT_SECRET)),
        };
        Self {
            client,
            org: "my-org",
        }
    }

    /// With other claims, or another secret.
    pub(crate) fn with(self, claims: &Value, secret: &str) -> Self {
        Self {
            client: Client {
                token: Some(token(claims, secret)),
                ..self.client
            },
            ..self
        }
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.ask("POST", path, body.to_string().as_bytes())
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, b"")
    }

    /// Sends it off, and leaves the answer to whoever wants to wait for it.
    pub(crate) fn send(&self, path: &str, body: &Value) -> TcpStream {
        let headers = [("orgid", self.org), ("Content-Type", "application/json")];
        let body = body.to_string();
        let request = self.client.request("POST", path, &headers, body.as_bytes());
        let mut stream = self.client.connect();
        stream.write_all(&request).unwrap();
        stream
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        let headers = [("orgid", self.org), ("Content-Type", "application/json")];
        let reply = self.client.ask(method, path, &headers, body);
        for canary in CANARIES {
            assert!(!reply.head.contains(canary), "{}", reply.head);
            assert!(!reply.body.contains(canary), "{}", reply.body);
        }
        reply
    }

    /// Connects the account that the API serves.
    pub(crate) fn connect(&self) -> Reply {
        self.post("/upstream/save-integration", &integration(TOKEN))
    }
}

/// What the seed shows to be saved.
pub(crate) fn integration(auth_token: &str) -> Value {
    json!({
        "type": "TwilioProvider",
        "name": "Acme Twilio",
        "config": {
            "accountSid": ACCOUNT,
            "authToken": auth_token,
            "appSid": "AP0123456789abcdef0123456789abcdef",
            "apiKey": "SK0123456789abcdef0123456789abcdef",
            "apiKeySecret": API_SECRET,
        },
    })
}

/// A token of an org; it holds for an hour unless the claims say otherwise.
pub(crate) fn token(claims: &Value, secret: &str) -> &'static str {
    let mut claims = claims.clone();
    if claims.get("exp").is_none() {
        claims["exp"] = (clock::wall() + Duration::from_secs(3600)).as_secs().into();
    }
    let header = json!({"alg": "HS256", "typ": "JWT"});
    jwt::sign(&header, &claims, &Secret::new(secret.as_bytes())).leak()
}

/// A notification as the seed shows it.
pub(crate) fn notification(to: &str, message: &str) -> String {
    json!({
        "twi_account_sid": ACCOUNT,
        "twi_bridge_token": "canary-bridge-token-eyJra",
        "twi_call_sid": "CA0123456789abcdef0123456789abcdef",
        "twi_from": "client:alice",
        "twi_message_id": message,
        "twi_message_type": "twilio.voice.call",
        "twi_to": to,
    })
    .to_string()
}

/// Posts a notification, signed as Twilio signs what is no form.
pub(crate) fn notify(member: &Member, body: &str) -> Reply {
    notify_at(member, "/calls/notificationWebhook", body, TOKEN)
}

pub(crate) fn notify_at(member: &Member, path: &str, body: &str, auth_token: &str) -> Reply {
    let hash = mac::hash_hex(body.as_bytes());
    let hash = std::str::from_utf8(&hash).unwrap();
    let target = format!("{path}?bodySHA256={hash}");
    let secret = Secret::new(auth_token.as_bytes());
    let signature = sign(&format!("{BASE}{target}"), None, &secret, Algorithm::Sha1);
    let client = Client {
        token: None,
        ..member.client
    };
    let headers = [
        ("X-Twilio-Signature", &*signature),
        ("Content-Type", "application/json"),
    ];
    client.ask("POST", &target, &headers, body.as_bytes())
}
