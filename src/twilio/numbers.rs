//! The numbers of an account: what is set up at Twilio for each of them, and how that differs from what we have written down.
//!
//! ```text
//! POST /phone/numbers, /phone/numbers/add, /phone/numbers/{id}/routing:   the set-up is sent
//! POST /phone/verify:                                                     what is there is compared with it
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::twilio::form::Form;
use crate::twilio::front_door::Service;
use crate::twilio::public_url::PublicUrl;
use crate::twilio::sid::NumberSid;
use crate::types::number::Number;

/// What becomes of calls to a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// They are routed.
    #[default]
    Voice,
    /// They come to a menu first.
    Ivr,
}

impl Mode {
    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "voice" => Some(Self::Voice),
            "ivr" => Some(Self::Ivr),
            _ => None,
        }
    }

    /// The word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Voice => "voice",
            Self::Ivr => "ivr",
        }
    }

    fn service(self) -> Service {
        match self {
            Self::Voice => Service::Voice,
            Self::Ivr => Service::IvrMenu,
        }
    }
}

/// A number as we have written it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Twilio's name of it.
    pub sid: NumberSid,
    /// The number.
    pub number: Number,
    /// What becomes of its calls.
    pub mode: Mode,
}

/// A number as Twilio has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Twilio's name of it.
    pub sid: NumberSid,
    /// The number.
    pub number: Number,
    /// What is set up for it, in the order of [`FIELDS`]; nothing is an empty text.
    values: [Box<str>; FIELDS.len()],
}

impl Remote {
    /// Reads it from a list of numbers; `None`: it is no number.
    #[must_use]
    pub fn read(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        Some(Self {
            sid: text("sid").and_then(NumberSid::parse)?,
            number: Number::from_e164(text("phone_number")?.as_bytes())?,
            values: FIELDS.map(|(_, name)| text(name).unwrap_or_default().into()),
        })
    }

    /// What is set up under this name, as answers call it; empty: nothing.
    #[must_use]
    pub fn value(&self, field: &str) -> &str {
        let mut values = FIELDS.iter().zip(&self.values);
        let found = values.find(|((_, name), _)| *name == field);
        found.map_or("", |(_, value)| value)
    }
}

/// What is sent to Twilio for a number of an org: three addresses, and that no application and no trunk stands before them.
#[must_use]
pub fn set_up(base: &PublicUrl, org: &str, mode: Mode) -> Form {
    let values = wanted(base, org, mode);
    let fields = FIELDS.iter().zip(&values);
    fields.map(|((name, _), value)| (*name, &**value)).collect()
}

fn wanted(base: &PublicUrl, org: &str, mode: Mode) -> [String; FIELDS.len()] {
    let post = || "POST".to_owned();
    [
        mode.service().url(base, org, &[]),
        post(),
        Service::Sms.url(base, org, &[]),
        post(),
        Service::Status.url(base, org, &[]),
        post(),
        String::new(),
        String::new(),
        String::new(),
    ]
}

/// How Twilio's numbers differ from ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta {
    /// Numbers of ours that Twilio does not have.
    pub missing_remote: Vec<Line>,
    /// Numbers at Twilio that we have not written down.
    pub unknown_local: Vec<(NumberSid, Number)>,
    /// Numbers that are set up otherwise.
    pub mismatch: Vec<Mismatch>,
}

/// A number that is set up otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Twilio's name of it.
    pub sid: NumberSid,
    /// The number.
    pub number: Number,
    /// What differs.
    pub fields: Vec<Difference>,
    /// What stands before its address, so that calls never come to us: `trunk_sid` or `voice_application_sid`.
    pub shadowed_by: Option<&'static str>,
}

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which, as Twilio's answers call it.
    pub field: &'static str,
    /// What we have written down.
    pub local: Box<str>,
    /// What Twilio has.
    pub remote: Box<str>,
}

impl Delta {
    /// Compares what Twilio has with what an org has written down. Numbers are told apart by their `sid`.
    #[must_use]
    pub fn between(remotes: &[Remote], lines: &[Line], base: &PublicUrl, org: &str) -> Self {
        let mut delta = Self::default();
        // An account may have a hundred thousand: each side is looked up, not gone through.
        let theirs: BTreeMap<_, _> = remotes.iter().map(|one| (one.sid, one)).collect();
        let ours: BTreeSet<_> = lines.iter().map(|line| line.sid).collect();
        for line in lines {
            match theirs.get(&line.sid) {
                Some(remote) => delta.mismatch.extend(compare(remote, line, base, org)),
                None => delta.missing_remote.push(line.clone()),
            }
        }
        let unknown = remotes.iter().filter(|remote| !ours.contains(&remote.sid));
        delta
            .unknown_local
            .extend(unknown.map(|remote| (remote.sid, remote.number)));
        delta
    }

    /// Whether there is no difference.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What `POST /phone/verify` answers.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let name = |sid: NumberSid, number: Number| json!({"sid": sid.to_string(), "phone_number": number.to_string()});
        let mismatch = self.mismatch.iter().map(|mismatch| {
            let mut value = name(mismatch.sid, mismatch.number);
            let fields = mismatch.fields.iter().map(|difference| {
                let Difference {
                    field,
                    local,
                    remote,
                } = difference;
                json!({"field": field, "local": local, "remote": remote})
            });
            if let Some(value) = value.as_object_mut() {
                value.insert("fields".to_owned(), fields.collect());
                value.insert("shadowed_by".to_owned(), mismatch.shadowed_by.into());
            }
            value
        });
        let missing = self.missing_remote.iter();
        let unknown = self.unknown_local.iter();
        json!({
            "in_sync": self.is_empty(),
            "missing_remote": missing.map(|line| name(line.sid, line.number)).collect::<Value>(),
            "unknown_local": unknown.map(|(sid, number)| name(*sid, *number)).collect::<Value>(),
            "mismatch": mismatch.collect::<Value>(),
        })
    }
}

fn compare(remote: &Remote, line: &Line, base: &PublicUrl, org: &str) -> Option<Mismatch> {
    let wanted = wanted(base, org, line.mode);
    let mut fields = Vec::new();
    if remote.number != line.number {
        fields.push(Difference {
            field: "phone_number",
            local: line.number.to_string().into(),
            remote: remote.number.to_string().into(),
        });
    }
    for (((_, field), local), remote) in FIELDS.iter().zip(wanted).zip(&remote.values) {
        if same_host(&local) != same_host(remote) {
            fields.push(Difference {
                field,
                local: local.into(),
                remote: remote.clone(),
            });
        }
    }
    let shadows = fields.iter().map(|difference| difference.field);
    let shadowed_by = shadows
        .into_iter()
        .find(|field| matches!(*field, "trunk_sid" | "voice_application_sid"));
    (!fields.is_empty()).then_some(Mismatch {
        sid: line.sid,
        number: line.number,
        fields,
        shadowed_by,
    })
}

/// An address with scheme and host in lower case; all else counts as it stands.
fn same_host(url: &str) -> String {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url
        .get(host..)
        .and_then(|rest| rest.find(['/', '?', '#']))
        .map_or(url.len(), |at| host + at);
    match (host, url.split_at_checked(end)) {
        (1.., Some((head, tail))) => [&head.to_ascii_lowercase(), tail].concat(),
        _ => url.to_owned(),
    }
}

/// What we set up: as requests call it, and as answers do.
const FIELDS: [(&str, &str); 9] = [
    ("VoiceUrl", "voice_url"),
    ("VoiceMethod", "voice_method"),
    ("SmsUrl", "sms_url"),
    ("SmsMethod", "sms_method"),
    ("StatusCallback", "status_callback"),
    ("StatusCallbackMethod", "status_callback_method"),
    ("TrunkSid", "trunk_sid"),
    ("VoiceApplicationSid", "voice_application_sid"),
    ("SmsApplicationSid", "sms_application_sid"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_up_is_three_addresses_and_nothing_before_them() {
        let fields: Vec<_> = set_up(&base(), "my-org", Mode::Voice)
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();

        assert_eq!(
            fields,
            [
                "VoiceUrl=https://edge.example.com/connect/webhook/twilio/voice?orgid=my-org",
                "VoiceMethod=POST",
                "SmsUrl=https://edge.example.com/connect/webhook/twilio/sms?orgid=my-org",
                "SmsMethod=POST",
                "StatusCallback=https://edge.example.com/connect/webhook/twilio/status?orgid=my-org",
                "StatusCallbackMethod=POST",
                "TrunkSid=",
                "VoiceApplicationSid=",
                "SmsApplicationSid=",
            ]
        );
        let menu = set_up(&base(), "my-org", Mode::Ivr);
        let url = "https://edge.example.com/connect/webhook/twilio/ivr-menu?orgid=my-org";
        assert_eq!(menu.first("VoiceUrl"), Some(url));
        assert_eq!(Mode::parse("ivr").map(Mode::name), Some("ivr"));
        assert_eq!(Mode::parse("voice").map(Mode::name), Some("voice"));
        assert_eq!(Mode::parse("fax"), None);
    }

    #[test]
    fn what_was_set_up_is_in_sync() {
        let remote = remote(&[]);

        let delta = Delta::between(&[remote], &[line(1, Mode::Voice)], &base(), "my-org");

        assert!(delta.is_empty());
        assert_eq!(delta.to_json()["in_sync"], true);
    }

    #[test]
    fn what_somebody_changed_in_the_console_is_told() {
        let changed = remote(&[
            ("voice_url", json!("https://other.example.com/voice")),
            ("voice_method", json!("GET")),
            ("sms_url", Value::Null),
            ("trunk_sid", json!("TK00000000000000000000000000000001")),
        ]);

        let delta = Delta::between(&[changed], &[line(1, Mode::Voice)], &base(), "my-org");

        let told = delta.to_json();
        assert_eq!(told["in_sync"], false);
        assert_eq!(told["mismatch"][0]["shadowed_by"], "trunk_sid");
        assert_eq!(told["mismatch"][0]["phone_number"], "+18005550001");
        let fields = told["mismatch"][0]["fields"].as_array().unwrap();
        let names: Vec<_> = fields
            .iter()
            .map(|field| field["field"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["voice_url", "voice_method", "sms_url", "trunk_sid"]);
        assert_eq!(fields[2]["remote"], "");
        assert_eq!(
            fields[2]["local"],
            "https://edge.example.com/connect/webhook/twilio/sms?orgid=my-org"
        );
    }

    #[test]
    fn a_host_in_capitals_is_the_same_and_a_path_is_not() {
        let url = |url: &str| {
            let remote = remote(&[("voice_url", json!(url))]);
            Delta::between(&[remote], &[line(1, Mode::Voice)], &base(), "my-org").is_empty()
        };

        assert!(url(
            "HTTPS://Edge.EXAMPLE.com/connect/webhook/twilio/voice?orgid=my-org"
        ));
        assert!(!url(
            "https://edge.example.com/connect/webhook/twilio/Voice?orgid=my-org"
        ));
        assert!(!url(
            "https://edge.example.com/connect/webhook/twilio/voice?orgid=My-org"
        ));
        assert!(!url(
            "https://edge.example.com/connect/webhook/twilio/voice/?orgid=my-org"
        ));
        assert!(!url(""));
        assert!(!url("/connect/webhook/twilio/voice?orgid=my-org"));
    }

    #[test]
    fn numbers_that_only_one_side_has_are_told() {
        let delta = Delta::between(&[remote(&[])], &[line(2, Mode::Ivr)], &base(), "my-org");

        assert_eq!(delta.missing_remote, [line(2, Mode::Ivr)]);
        assert_eq!(delta.unknown_local, [(NumberSid::from_bits(1), number(1))]);
        let told = delta.to_json();
        assert_eq!(
            told["missing_remote"][0]["sid"],
            "PN00000000000000000000000000000002"
        );
        assert_eq!(told["unknown_local"][0]["phone_number"], "+18005550001");
        assert!(told["mismatch"].as_array().unwrap().is_empty());
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        assert_eq!(Remote::read(&json!({})), None);
        assert_eq!(
            Remote::read(&json!({"sid": "PN1", "phone_number": "+18005550001"})),
            None
        );
        let short = json!({"sid": "PN00000000000000000000000000000001", "phone_number": "12345"});
        assert_eq!(Remote::read(&short), None);
    }

    /// Number 1 as it was set up, with changes.
    fn remote(changes: &[(&str, Value)]) -> Remote {
        let mut value =
            json!({"sid": "PN00000000000000000000000000000001", "phone_number": "+18005550001"});
        let set_up = set_up(&base(), "my-org", Mode::Voice);
        for ((name, field), (other, text)) in FIELDS.iter().zip(set_up.iter()) {
            assert_eq!(*name, other);
            // Twilio writes nothing as nothing.
            value[*field] = if text.is_empty() {
                Value::Null
            } else {
                text.into()
            };
        }
        for (field, change) in changes {
            value[*field] = change.clone();
        }
        Remote::read(&value).unwrap()
    }

    fn line(sid: u128, mode: Mode) -> Line {
        Line {
            sid: NumberSid::from_bits(sid),
            number: number(sid),
            mode,
        }
    }

    fn number(last: u128) -> Number {
        Number::from_e164(format!("+1800555000{last}").as_bytes()).unwrap()
    }

    fn base() -> PublicUrl {
        PublicUrl::parse("https://edge.example.com").unwrap()
    }
}
