//! Hand-offs: a call that somebody else's Twilio application sends us by `<Dial><Application>`, with a payload that says to
//! which number and whose company it belongs, signed with that company's secret.
//!
//! ```text
//! RetreaverSignature = hex( HMAC-SHA256(secret, "OriginalTo:OriginalCallSid:RetreaverPhoneNumber:RetreaverCompanyId") )
//!
//! fields there, once --> each of its own grammar --> signature --> number is theirs --> not used too often --> routed
//! ```
//!
//! Twilio hands `<Parameter name="X">` to us as `Param_X`. The text that is signed has no more structure than its colons, so
//! the grammar is judged first: only `OriginalTo` can hold one, and what is signed can be read in one way only. The payload
//! has no time in it: that is made up for by counting how often, and for how long, one `OriginalCallSid` is handed over.

use std::time::Duration;

use thiserror::Error;

use crate::twilio::form::Form;
use crate::twilio::mac::{self, Rotating};
use crate::twilio::sid::CallSid;
use crate::types::hex::{read_hex, write_hex};
use crate::types::moment::Moment;
use crate::types::number::Number;
use crate::types::secret::Secret;

/// What a company's id in a payload looks like: a number from 1, without leading zeros, of up to 19 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CompanyKey(pub u64);

/// A payload as it came, each field of its own grammar. Nothing of it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    hand_off: HandOff,
    signature: [u8; 32],
}

/// A payload that its company has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandOff {
    /// What the caller dialled: a number, or a `sip:` or `client:` address.
    pub original_to: Box<str>,
    /// The leg on which the caller came to the application.
    pub original_call: CallSid,
    /// The campaign number to route to.
    pub number: Number,
    /// Whose.
    pub company: CompanyKey,
}

/// What the directory knows of companies.
pub trait Companies {
    /// What the company signs its hand-offs with.
    fn secret(&self, company: CompanyKey) -> Standing<'_>;
    /// Whether the number is the company's.
    fn owns(&self, company: CompanyKey, number: Number) -> bool;
}

/// How a company stands to hand-offs.
#[derive(Clone, Copy)]
pub enum Standing<'d> {
    /// Nobody has this id.
    Unknown,
    /// It may hand nothing over.
    Disabled,
    /// It signs with this.
    Enabled(&'d Rotating),
}

/// How often one `OriginalCallSid` of a company was handed over, as the store remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When first.
    pub first: Moment,
    /// The legs on which it came to us, each once; at most [`Limits::legs`].
    pub legs: Vec<CallSid>,
}

/// How often one `OriginalCallSid` may be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// On how many legs.
    pub legs: usize,
    /// For how long after the first.
    pub window: Duration,
    /// How long the store remembers it, from the first.
    pub remembered: Duration,
}

impl Default for Limits {
    /// A call may come back a few times, within the longest call of Twilio's default. A call lives a day at most, so a
    /// payload that turns up a month later is no call's any more; until then it is remembered.
    fn default() -> Self {
        Self {
            legs: 5,
            window: Duration::from_secs(4 * 3600),
            remembered: Duration::from_secs(30 * 86_400),
        }
    }
}

/// How a hand-off goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It is a call. The store remembers the leg first.
    New,
    /// This leg was answered already, and gets the same answer.
    Same,
}

/// A field of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// What the caller dialled.
    OriginalTo,
    /// The leg on which the caller came.
    OriginalCallSid,
    /// The campaign number.
    RetreaverPhoneNumber,
    /// The company.
    RetreaverCompanyId,
    /// The signature.
    RetreaverSignature,
}

impl Field {
    /// All of them, in the order of the payload.
    pub const ALL: [Self; 5] = [
        Self::OriginalTo,
        Self::OriginalCallSid,
        Self::RetreaverPhoneNumber,
        Self::RetreaverCompanyId,
        Self::RetreaverSignature,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OriginalTo => "OriginalTo",
            Self::OriginalCallSid => "OriginalCallSid",
            Self::RetreaverPhoneNumber => "RetreaverPhoneNumber",
            Self::RetreaverCompanyId => "RetreaverCompanyId",
            Self::RetreaverSignature => "RetreaverSignature",
        }
    }

    /// Its value: that of `Param_X`, or of plain `X` if there is no `Param_X`. Where both are, they agree.
    fn read(self, form: &Form) -> Result<&str, Refusal> {
        let twice = |_| Refusal::Twice(self);
        let prefixed = form.one(&["Param_", self.name()].concat()).map_err(twice)?;
        let bare = form.one(self.name()).map_err(twice)?;
        match (prefixed, bare) {
            (Some(one), Some(other)) if one != other => Err(Refusal::Twice(self)),
            (Some(value), _) | (None, Some(value)) => Ok(value),
            (None, None) => Err(Refusal::Missing(self)),
        }
    }
}

/// Why a hand-off is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// A field is not there.
    #[error("{} is missing", .0.name())]
    Missing(Field),
    /// A field is there twice, with two values.
    #[error("{} is there twice", .0.name())]
    Twice(Field),
    /// A field is not what it should be.
    #[error("{} is not well-formed", .0.name())]
    Malformed(Field),
    /// Nobody has this company id.
    #[error("no such company")]
    UnknownCompany,
    /// The company may hand nothing over.
    #[error("the company hands nothing over")]
    Disabled,
    /// It was not signed with the company's secret.
    #[error("wrong signature")]
    Forged,
    /// The number is not the company's, or nobody's.
    #[error("the number is not the company's")]
    ForeignNumber,
    /// It was handed over too often.
    #[error("handed over too often")]
    UsedUp,
    /// It was handed over first too long ago.
    #[error("handed over too late")]
    TooLate,
}

impl Refusal {
    /// Its name in records and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing(_) => "hand_off_missing_field",
            Self::Twice(_) => "hand_off_field_twice",
            Self::Malformed(_) => "hand_off_malformed_field",
            Self::UnknownCompany => "hand_off_unknown_company",
            Self::Disabled => "hand_off_disabled",
            Self::Forged => "hand_off_forged",
            Self::ForeignNumber => "hand_off_foreign_number",
            Self::UsedUp => "hand_off_used_up",
            Self::TooLate => "hand_off_too_late",
        }
    }

    /// What the sender is told. Who cannot sign does not learn which companies there are.
    #[must_use]
    pub fn told(self) -> &'static str {
        match self {
            Self::Missing(_) => "missing_parameter",
            Self::Twice(_) => "conflicting_parameter",
            Self::Malformed(_) => "malformed_parameter",
            Self::UnknownCompany | Self::Disabled | Self::Forged => "bad_signature",
            Self::ForeignNumber => "unknown_number",
            Self::UsedUp | Self::TooLate => "already_used",
        }
    }

    /// The field that is at fault.
    #[must_use]
    pub fn field(self) -> Option<Field> {
        match self {
            Self::Missing(field) | Self::Twice(field) | Self::Malformed(field) => Some(field),
            Self::UnknownCompany
            | Self::Disabled
            | Self::Forged
            | Self::ForeignNumber
            | Self::UsedUp
            | Self::TooLate => None,
        }
    }
}

/// Whether the request is a hand-off at all: it names one of the payload's own fields. `OriginalTo` and `OriginalCallSid`
/// alone could be anybody's.
#[must_use]
pub fn is_hand_off(form: &Form) -> bool {
    form.iter()
        .map(|(name, _)| name.strip_prefix("Param_").unwrap_or(name))
        .any(|name| name.starts_with("Retreaver"))
}

impl Claim {
    /// Reads the payload of a request.
    pub fn read(form: &Form) -> Result<Self, Refusal> {
        let [to, call, number, company, signature] = {
            let mut values = [""; 5];
            for (value, field) in values.iter_mut().zip(Field::ALL) {
                *value = field.read(form)?;
            }
            values
        };
        let hand_off = HandOff {
            original_to: address(to).ok_or(Refusal::Malformed(Field::OriginalTo))?,
            original_call: CallSid::parse(call)
                .ok_or(Refusal::Malformed(Field::OriginalCallSid))?,
            number: e164(number).ok_or(Refusal::Malformed(Field::RetreaverPhoneNumber))?,
            company: CompanyKey::parse(company)
                .ok_or(Refusal::Malformed(Field::RetreaverCompanyId))?,
        };
        let signature =
            read_hex(signature.as_bytes()).ok_or(Refusal::Malformed(Field::RetreaverSignature))?;
        Ok(Self {
            hand_off,
            signature,
        })
    }

    /// The company that it names.
    #[must_use]
    pub fn company(&self) -> CompanyKey {
        self.hand_off.company
    }

    /// Checks who signed it, and that the number is theirs. What is signed is what it says now, and an unknown company takes
    /// as long as a wrong signature.
    pub fn verify(self, companies: &dyn Companies) -> Result<HandOff, Refusal> {
        let standing = companies.secret(self.company());
        let nobodys = Rotating::new(Secret::new(*b"nobody hands over with this."));
        let (secrets, fault) = match standing {
            Standing::Enabled(secrets) => (secrets, None),
            Standing::Unknown => (&nobodys, Some(Refusal::UnknownCompany)),
            Standing::Disabled => (&nobodys, Some(Refusal::Disabled)),
        };
        let text = self.hand_off.canonical();
        let mut is_right = mac::is_same(b"0", b"1");
        for secret in secrets.iter() {
            is_right |= mac::is_same(&mac::sha256(secret, &[text.as_bytes()]), &self.signature);
        }
        if let Some(fault) = fault {
            return Err(fault);
        }
        if !bool::from(is_right) {
            return Err(Refusal::Forged);
        }
        if !companies.owns(self.hand_off.company, self.hand_off.number) {
            return Err(Refusal::ForeignNumber);
        }
        Ok(self.hand_off)
    }
}

impl HandOff {
    /// The text that is signed.
    #[must_use]
    pub fn canonical(&self) -> String {
        let Self {
            original_to,
            original_call,
            number,
            company,
        } = self;
        format!("{original_to}:{original_call}:{number}:{}", company.0)
    }

    /// Signs it as senders do: 64 digits.
    #[must_use]
    pub fn sign(&self, secret: &Secret) -> String {
        let mut digits = [0; 64];
        write_hex(
            mac::sha256(secret, &[self.canonical().as_bytes()]),
            &mut digits,
        );
        String::from_utf8_lossy(&digits).into_owned()
    }

    /// Decides whether it may be used by this leg, given what the store remembers of its company and `original_call`. The
    /// same leg gets the same answer however often and however late it asks: Twilio repeats requests that went wrong.
    pub fn admit(
        now: Moment,
        leg: CallSid,
        seen: Option<&Seen>,
        limits: Limits,
    ) -> Result<Use, Refusal> {
        let Some(seen) = seen else {
            return Ok(Use::New);
        };
        if seen.legs.contains(&leg) {
            return Ok(Use::Same);
        }
        if now.since(seen.first) > limits.window {
            return Err(Refusal::TooLate);
        }
        if seen.legs.len() >= limits.legs {
            return Err(Refusal::UsedUp);
        }
        Ok(Use::New)
    }
}

impl CompanyKey {
    /// Reads the id; `None` for anything that could be written otherwise, too.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = text.len() <= 19
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && !text.starts_with('0');
        text.parse().ok().filter(|_| is_plain).map(Self)
    }
}

/// Reads a number in the one form in which it is signed: `+` and digits.
fn e164(text: &str) -> Option<Number> {
    text.strip_prefix('+')
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| Number::from_e164(digits.as_bytes()))
}

/// Reads what was dialled: anything that can be printed.
fn address(text: &str) -> Option<Box<str>> {
    let is_printable = !text.is_empty() && !text.chars().any(char::is_control);
    let fits = text.chars().take(MOST_ADDRESS + 1).count() <= MOST_ADDRESS;
    (is_printable && fits).then(|| text.into())
}

/// Characters of what was dialled.
const MOST_ADDRESS: usize = 256;

#[cfg(test)]
mod tests;
