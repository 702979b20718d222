//! What `[twilio]` says of the accounts of orgs: where Twilio's API is, with which keys credentials are sealed, how soft phones
//! are told of calls.

use std::collections::HashSet;
use std::sync::Arc;

use aws_lc_rs::rsa;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map, Value};

use crate::config::desk::Desk;
use crate::config::keys;
use crate::config::raw::{Section, Spot};
use crate::config::routes;
use crate::twilio::mac::Rotating;
use crate::twilio::notification::IdentityGrammar;
use crate::twilio::rest;
use crate::types::secret::Secret;

/// What is said of the accounts of orgs.
#[derive(Clone)]
pub struct Accounts {
    /// Where Twilio's REST API is: scheme and host, no slash at the end.
    pub api: Box<str>,
    /// Keys that credentials are sealed with, each with its name: the first one seals, all of them open.
    pub seal_keys: Vec<(Box<str>, Secret)>,
    /// Whether it is looked at the start how the numbers of accounts are set up there.
    pub is_checked: bool,
    /// How the callee's name in a call notification is read.
    pub identity: IdentityGrammar,
    /// What the path of call notifications ends with, so that others cannot guess it; `None`: nothing.
    pub path: Option<Secret>,
    /// Firebase Cloud Messaging; `None`: no phone is reached by it.
    pub fcm: Option<Fcm>,
    /// Apple's push service; `None`: no phone is reached by it.
    pub apns: Option<Apns>,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            api: rest::HOST.into(),
            seal_keys: Vec::new(),
            is_checked: true,
            identity: IdentityGrammar::default(),
            path: None,
            fcm: None,
            apns: None,
        }
    }
}

/// Firebase Cloud Messaging (HTTP v1).
#[derive(Clone)]
pub struct Fcm {
    /// Where messages of the project are sent to.
    pub url: Box<str>,
    /// Who we are there.
    pub account: Arc<ServiceAccount>,
}

/// A service account of Google's: what its file says.
pub struct ServiceAccount {
    /// Its name (`client_email`).
    pub email: Box<str>,
    /// Where it gets its tokens (`token_uri`).
    pub token_url: Box<str>,
    /// What it signs with.
    pub key: rsa::KeyPair,
}

/// Apple's push service (HTTP/2).
#[derive(Clone)]
pub struct Apns {
    /// Scheme and host, no slash at the end.
    pub url: Box<str>,
    /// The app: `com.example.app.voip`.
    pub topic: Box<str>,
    /// The team that the key is of.
    pub team: Box<str>,
    /// The name of the key.
    pub key_id: Box<str>,
    /// What its tokens are signed with.
    pub key: Arc<EcdsaKeyPair>,
}

/// Reads what `[twilio]` says of them.
pub(super) fn read(section: &Section<'_>, desk: &mut Desk<'_>) -> Accounts {
    let default = Accounts::default();
    let is_strict = section.flag("strict_identity", false, desk);
    Accounts {
        api: url(section, "api_url", desk).unwrap_or(default.api),
        seal_keys: seal_keys(section, desk),
        is_checked: section.flag("self_check", default.is_checked, desk),
        identity: match is_strict {
            true => IdentityGrammar::TwoParts,
            false => IdentityGrammar::AfterFirstColon,
        },
        path: path(section, desk),
        fcm: fcm(section, desk),
        apns: apns(section, desk),
    }
}

/// What the tokens of an org are signed with.
pub(super) fn tokens(section: &Section<'_>, desk: &mut Desk<'_>) -> Option<Rotating> {
    let current = long(section, "jwt_secret", desk);
    let previous = long(section, "previous_jwt_secret", desk);
    if current.is_none() && previous.is_some() && !section.has("jwt_secret") {
        section.missing("jwt_secret", "the one that replaces the previous", desk);
    }
    current.map(|current| Rotating { current, previous })
}

/// A secret of 16 bytes and more.
pub(super) fn long(
    section: &Section<'_>,
    key: &'static str,
    desk: &mut Desk<'_>,
) -> Option<Secret> {
    let secret = section.secret(key, desk)?;
    if secret.value.expose().len() < 16 {
        desk.fault(secret.place, "is too short", SECRET);
    }
    Some(secret.value)
}

fn seal_keys(section: &Section<'_>, desk: &mut Desk<'_>) -> Vec<(Box<str>, Secret)> {
    let mut keys = Vec::new();
    let mut ids = HashSet::new();
    for section in section.sections("seal_key", &keys::TWILIO_SEAL_KEY, desk) {
        let id = routes::id(&section, "id", "2026", desk);
        let secret = section.secret("secret", desk);
        if !section.has("secret") {
            section.missing("secret", LONG, desk);
        }
        if let Some(secret) = &secret
            && secret.value.expose().len() < 32
        {
            desk.fault(secret.place, "is too short", LONG);
        }
        if let Some(id) = id
            && !ids.insert(id.value)
        {
            desk.fault(
                id.place,
                format!("`{}` is taken", id.value),
                "each key needs a name of its own",
            );
        }
        if let (Some(id), Some(secret)) = (id, secret) {
            keys.push((id.value.into(), secret.value));
        }
    }
    keys
}

fn path(section: &Section<'_>, desk: &mut Desk<'_>) -> Option<Secret> {
    let path = section.secret("notification_path", desk)?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    let bytes = path.value.expose();
    if !(8..=128).contains(&bytes.len()) || !bytes.iter().all(is_plain) {
        desk.fault(
            path.place,
            "is no segment of a path that nobody guesses",
            "8 to 128 letters, digits, `-` or `_`; `openssl rand -hex 16` writes a good one",
        );
    }
    Some(path.value)
}

fn fcm(section: &Section<'_>, desk: &mut Desk<'_>) -> Option<Fcm> {
    let section = section.section("fcm", &keys::TWILIO_FCM, desk)?;
    let base = url(&section, "url", desk);
    if !section.has("service_account") {
        let file =
            "service_account = { file = \"firebase.json\" }, as the Firebase console writes it";
        section.missing("service_account", file, desk);
    }
    let text = section.secret("service_account", desk)?;
    let Some((project, account)) = service_account(&text.value) else {
        desk.fault(
            text.place,
            "is no service account",
            "the JSON file of a service account, with project_id, client_email, private_key and token_uri",
        );
        return None;
    };
    let base = base.unwrap_or_else(|| FCM.into());
    Some(Fcm {
        url: format!(
            "{base}/v1/projects/{}/messages:send",
            rest::segment(&project)
        )
        .into(),
        account: Arc::new(account),
    })
}

fn service_account(text: &Secret) -> Option<(String, ServiceAccount)> {
    let members: Map<String, Value> = serde_json::from_slice(text.expose()).ok()?;
    let text = |name: &str| {
        let text = members.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty() && !text.contains(char::is_control))
    };
    let pem = members.get("private_key").and_then(Value::as_str)?;
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).ok()?;
    let account = ServiceAccount {
        email: text("client_email")?.into(),
        token_url: text("token_uri")?.into(),
        key: rsa::KeyPair::from_pkcs8(key.secret_pkcs8_der()).ok()?,
    };
    Some((text("project_id")?.to_owned(), account))
}

fn apns(section: &Section<'_>, desk: &mut Desk<'_>) -> Option<Apns> {
    let section = section.section("apns", &keys::TWILIO_APNS, desk)?;
    let base = url(&section, "url", desk);
    let topic = section.need("topic", "com.example.app.voip", desk);
    let team = section.need("team", "ABCDE12345", desk);
    let key_id = section.need("key_id", "ABC123DEFG", desk);
    for text in [topic, team, key_id].into_iter().flatten() {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if !text.value.bytes().all(is_plain) {
            desk.fault(
                text.place,
                format!("`{}` is no name of Apple's", text.value.escape_debug()),
                "letters, digits, `-`, `.` and `_`",
            );
        }
    }
    if !section.has("key") {
        section.missing("key", "key = { file = \"AuthKey.p8\" }", desk);
    }
    let pem = section.secret("key", desk)?;
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.value.expose()).ok();
    let key = key.and_then(|key| {
        let der = key.secret_pkcs8_der();
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).ok()
    });
    if key.is_none() {
        desk.fault(
            pem.place,
            "is no private key of P-256",
            "the .p8 file of a key for the Apple Push Notifications service",
        );
    }
    Some(Apns {
        url: base.unwrap_or_else(|| APNS.into()),
        topic: topic?.value.into(),
        team: team?.value.into(),
        key_id: key_id?.value.into(),
        key: Arc::new(key?),
    })
}

/// Scheme and host, perhaps a port.
fn url(section: &Section<'_>, key: &'static str, desk: &mut Desk<'_>) -> Option<Box<str>> {
    let text: Spot<&str> = section.text(key, desk)?;
    let parsed = url::Url::parse(text.value).ok();
    let is_right = parsed.is_some_and(|url| {
        matches!(url.scheme(), "https" | "http")
            && url.host_str().is_some()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && !text.value.ends_with('/')
    });
    if !is_right {
        desk.fault(
            text.place,
            format!("`{}` is no address of a service", text.value.escape_debug()),
            "for example \"https://api.twilio.com\", without a path",
        );
        return None;
    }
    Some(text.value.into())
}

const FCM: &str = "https://fcm.googleapis.com";
const APNS: &str = "https://api.push.apple.com";
const SECRET: &str = "at least 16 bytes; `openssl rand -hex 32` writes a good one";
const LONG: &str =
    "at least 32 letters, digits and signs; `openssl rand -hex 32` writes a good one";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Texts};

    #[test]
    fn nothing_is_needed_and_the_api_is_twilios() {
        let accounts = read("").expect("no fault");

        assert_eq!(&*accounts.api, "https://api.twilio.com");
        assert!(accounts.seal_keys.is_empty() && accounts.path.is_none());
        assert!(accounts.fcm.is_none() && accounts.apns.is_none());
        assert_eq!(accounts.identity, IdentityGrammar::AfterFirstColon);
    }

    #[test]
    fn all_of_it_is_read() {
        let accounts = read(
            "api_url = \"http://127.0.0.1:8080\"\nstrict_identity = true\nnotification_path = \"canary-path\"\n\
             [[twilio.seal_key]]\nid = \"new\"\nsecret = \"canary-0123456789abcdef-0123456789abcdef\"\n\
             [[twilio.seal_key]]\nid = \"old\"\nsecret = \"canary-fedcba9876543210-fedcba9876543210\"\n\
             [twilio.fcm]\nservice_account = { file = \"firebase.json\" }\n\
             [twilio.apns]\ntopic = \"com.example.app.voip\"\nteam = \"ABCDE12345\"\nkey_id = \"ABC123DEFG\"\n\
             key = { file = \"apns.p8\" }\n",
        )
        .expect("no fault");

        assert_eq!(&*accounts.api, "http://127.0.0.1:8080");
        assert_eq!(accounts.identity, IdentityGrammar::TwoParts);
        let names: Vec<_> = accounts.seal_keys.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["new", "old"]);
        let fcm = accounts.fcm.expect("a service");
        assert_eq!(
            &*fcm.url,
            "https://fcm.googleapis.com/v1/projects/my-project/messages:send"
        );
        assert_eq!(&*fcm.account.email, "edge@example.com");
        let apns = accounts.apns.expect("a service");
        assert_eq!(&*apns.url, "https://api.push.apple.com");
    }

    #[test]
    fn every_fault_is_told_and_no_secret() {
        let faults = read(
            "api_url = \"https://api.twilio.com/2010\"\nnotification_path = \"canary/path\"\n\
             [[twilio.seal_key]]\nid = \"new\"\nsecret = \"canary-short\"\n\
             [[twilio.seal_key]]\nid = \"new\"\n\
             [twilio.fcm]\nservice_account = \"canary\"\nurl = \"ftp://example.com\"\n\
             [twilio.apns]\ntopic = \"a b\"\nkey = \"canary\"\n",
        )
        .err()
        .expect("faults");

        for fault in [
            "twilio.api_url: `https://api.twilio.com/2010` is no address of a service",
            "twilio.notification_path: is no segment of a path that nobody guesses",
            "twilio.seal_key.secret: is too short",
            "twilio.seal_key.secret: is missing",
            "twilio.seal_key.id: `new` is taken",
            "twilio.fcm.service_account: is no service account",
            "twilio.fcm.url: `ftp://example.com` is no address of a service",
            "twilio.apns.topic: `a b` is no name of Apple's",
            "twilio.apns.team: is missing",
            "twilio.apns.key_id: is missing",
            "twilio.apns.key: is no private key of P-256",
        ] {
            assert!(faults.contains(fault), "{fault}: {faults}");
        }
        assert_eq!(faults.lines().count(), 11, "{faults}");
        assert!(!faults.contains("canary"), "{faults}");
    }

    fn read(text: &str) -> Result<Accounts, String> {
        let twilio = "[[http.listen]]\nbind = \"127.0.0.1:9062\"\nserves = \"vendors\"\n\
             [twilio]\npublic_url = \"https://edge.example.com\"\nsip = \"sip.example.com:5061\"\n";
        let org = "[[twilio.org]]\nid = \"acme\"\ncompany = \"acme\"\ncompany_id = 1\n";
        let minimal = include_str!("../../conf/minimal.toml");
        let apple = rcgen::KeyPair::generate().expect("a key");
        let size = rcgen::RsaKeySize::_2048;
        let google =
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size).expect("a key");
        let account = serde_json::json!({
            "project_id": "my-project",
            "client_email": "edge@example.com",
            "private_key": google.serialize_pem(),
            "token_uri": "https://oauth2.googleapis.com/token",
        });
        let source = Texts::of("strowger.toml", [minimal, twilio, text, org].concat())
            .and("firebase.json", account.to_string())
            .and("apns.p8", apple.serialize_pem());
        let settings = config::load(Path::new("strowger.toml"), &source, 1);
        settings
            .map(|settings| (*settings.twilio.expect("a section").accounts).clone())
            .map_err(|faults| faults.to_string())
    }
}
