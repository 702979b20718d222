//! Webhooks drawn by dice, for judges and for us.

use serde_json::{Value, json};
use strowger::twilio::form::Form;
use strowger::twilio::mac::{Rotating, hash_hex};
use strowger::twilio::public_url::PublicUrl;
use strowger::twilio::signature::{Algorithm, Content, Keys, SharedKey, SignatureFault, Webhook};
use strowger::types::secret::Secret;

/// Random bits that are the same in each run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % end
    }

    /// One of them.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Up to `most` pieces, one after another.
    pub(crate) fn text(&mut self, pieces: &[&str], most: usize) -> String {
        (0..self.below(most + 1))
            .map(|_| *self.pick(pieces))
            .collect()
    }
}

/// A webhook.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) secret: String,
    pub(crate) base: String,
    pub(crate) target: String,
    /// Parameters of a form.
    pub(crate) fields: Vec<(String, String)>,
    /// A body of JSON, in place of a form.
    pub(crate) body: Option<String>,
}

impl Request {
    /// One of a form.
    pub(crate) fn drawn(dice: &mut Dice) -> Self {
        let base = *dice.pick(&[
            "https://edge.example.com",
            "http://Edge.example.com",
            "https://e-1.example.com",
        ]);
        let target = ["/", dice.text(LETTERS, 8).as_str()].concat();
        let query = dice.text(LETTERS, 6);
        let target = if query.is_empty() {
            target
        } else {
            format!("{target}?orgid=a&{query}")
        };
        let fields = (0..dice.below(12))
            .map(|_| ((*dice.pick(NAMES)).to_owned(), dice.text(PIECES, 6)))
            .collect();
        Self {
            secret: format!("{:032x}", dice.below(usize::MAX)),
            base: base.to_owned(),
            target,
            fields,
            body: None,
        }
    }

    /// One of JSON, whose hash is in its address.
    pub(crate) fn drawn_json(dice: &mut Dice) -> Self {
        let body =
            json!({dice.text(PIECES, 3): dice.text(PIECES, 9), "twi_to": "client:bob"}).to_string();
        let drawn = Self::drawn(dice);
        let hash = hash_hex(body.as_bytes());
        let hash = String::from_utf8_lossy(&hash).into_owned();
        let joint = if drawn.target.contains('?') { '&' } else { '?' };
        Self {
            target: format!("{}{joint}bodySHA256={hash}", drawn.target),
            fields: Vec::new(),
            body: Some(body),
            ..drawn
        }
    }

    /// With one thing changed.
    pub(crate) fn changed(&self, dice: &mut Dice) -> Self {
        let mut other = self.clone();
        match (dice.below(4), &mut other.body) {
            (0, _) => other.secret.push('0'),
            (1, _) => other.target.insert(1, 'z'),
            (_, Some(body)) => body.push(' '),
            (2, None) => other.fields.push(("Zz".to_owned(), String::new())),
            (_, None) => match other.fields.pop() {
                Some((name, value)) => other.fields.push((name, value + "'")),
                None => other.fields.push(("CallSid".to_owned(), "CA1".to_owned())),
            },
        }
        other
    }

    pub(crate) fn url(&self) -> String {
        [&*self.base, &*self.target].concat()
    }

    /// As a judge is asked.
    pub(crate) fn question(&self, algorithm: &str) -> Value {
        let mut question =
            json!({"secret": self.secret, "url": self.url(), "algorithm": algorithm});
        match &self.body {
            Some(body) => question["body"] = body.as_str().into(),
            None => question["params"] = json!(self.fields),
        }
        question
    }

    pub(crate) fn form(&self) -> Form {
        let fields = self.fields.iter();
        let form: Form = fields.map(|(name, value)| (&**name, &**value)).collect();
        // As it comes over the wire.
        Form::parse(form.encoded().as_bytes()).expect("a form")
    }

    /// What we say of a signature.
    pub(crate) fn verdict(
        &self,
        signature: &str,
        algorithm: Algorithm,
    ) -> Result<(), SignatureFault> {
        let base = PublicUrl::parse(&self.base).expect("a base");
        let secret = Secret::new(self.secret.as_bytes());
        let (keys, settings) = match algorithm {
            Algorithm::Sha1 => {
                let auth_token = Some(Rotating::new(secret));
                (
                    Keys {
                        auth_token,
                        shared: Vec::new(),
                    },
                    None,
                )
            }
            Algorithm::Sha256 => {
                let key = SharedKey {
                    id: "webhooks_sharedkey_1".into(),
                    secret,
                    algorithm,
                };
                let settings = "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256";
                (
                    Keys {
                        auth_token: None,
                        shared: vec![key],
                    },
                    Some(settings.as_bytes()),
                )
            }
        };
        let form = self.form();
        let content = match &self.body {
            Some(body) => Content::Json(body.as_bytes()),
            None => Content::Form(&form),
        };
        let webhook = Webhook {
            base: &base,
            target: &self.target,
            signature: Some(signature.as_bytes()),
            settings,
            content,
        };
        webhook.verify(Some(&keys))
    }
}

/// What addresses are made of.
const LETTERS: &[&str] = &[
    "a", "b", "1", "-", "_", "~", ".", "%20", "%2F", "+", "=", "x=1",
];

const NAMES: &[&str] = &[
    "CallSid",
    "Call",
    "From",
    "FromCity",
    "a",
    "Z",
    "_",
    "SipHeader_X-PH-RetreaverUUID",
    "Param_OriginalTo",
    "Digits",
    "S\u{e3}o",
];

/// What values are made of.
const PIECES: &[&str] = &[
    "a",
    "B",
    "1",
    " ",
    "+",
    "%",
    "&",
    "=",
    "\"",
    "'",
    "<",
    "\u{e9}",
    "\u{1f600}",
    "\n",
    "\t",
    ";",
    ":",
    "%41",
    "client:",
];
