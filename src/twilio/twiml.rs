//! What we answer Twilio with: documents of verbs that it executes one after another.
//!
//! `<Dial>` is always `answerOnBridge`: else Twilio answers the caller at once, who is billed and hears a ringing tone that
//! nobody rings with. It always has an `action`, since Twilio asks there what is next when the leg has ended; nothing of the
//! document behind it is executed.

use std::time::Duration;

use thiserror::Error;

use crate::twilio::sip_uri::{SipUri, UriFault};
use crate::twilio::xml::Element;
use crate::types::number::Number;

/// A document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    verbs: Vec<Element>,
}

/// A document that Twilio would not take: more than [`MOST_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a document of {0} bytes")]
pub struct TooLong(pub usize);

impl Response {
    /// A document of one verb.
    #[must_use]
    pub fn of(verb: Element) -> Self {
        Self { verbs: vec![verb] }
    }

    /// With a verb more.
    #[must_use]
    pub fn then(mut self, verb: Element) -> Self {
        self.verbs.push(verb);
        self
    }

    /// With the verbs of another one behind its own.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.verbs.extend(other.verbs);
        self
    }

    /// Writes it.
    pub fn write(&self) -> Result<String, TooLong> {
        let response = Element::new("Response").children(self.verbs.iter().cloned());
        let text = response.document();
        if text.len() > MOST_BYTES {
            return Err(TooLong(text.len()));
        }
        Ok(text)
    }
}

/// Whom `<Dial>` calls.
#[derive(Clone)]
pub enum Target {
    /// A telephone, through Twilio.
    Number {
        /// Its number.
        number: Number,
        /// Keys that are pressed when it answers: digits, `*`, `#`, and `w` for half a second.
        send_digits: Option<Box<str>>,
    },
    /// An address of SIP.
    Sip(SipUri),
}

/// One leg that Twilio is to call.
#[derive(Clone, Copy)]
pub struct Dial<'d> {
    /// Whom.
    pub target: &'d Target,
    /// Whom it shows as the caller; `None`: who really calls.
    pub caller_id: Option<&'d str>,
    /// For how long it rings.
    pub timeout: Duration,
    /// For how long they may talk.
    pub time_limit: Duration,
    /// Where Twilio asks what is next.
    pub action: &'d str,
    /// Where it tells how the leg gets on.
    pub status: Option<&'d str>,
}

impl Dial<'_> {
    /// The verb.
    pub fn verb(&self) -> Result<Element, UriFault> {
        let dial = Element::new("Dial")
            .with("answerOnBridge", "true")
            .with("action", self.action)
            .with("method", "POST")
            .with("timeout", seconds(self.timeout, MOST_RINGING))
            .with("timeLimit", seconds(self.time_limit, MOST_TALKING))
            .with_some("callerId", self.caller_id);
        let (noun, text) = match self.target {
            Target::Number {
                number,
                send_digits,
            } => {
                let noun = Element::new("Number").with_some("sendDigits", send_digits.as_deref());
                (noun, number.to_string())
            }
            Target::Sip(uri) => {
                let mut noun = Element::new("Sip");
                if let Some(credentials) = &uri.credentials {
                    let (username, password) = credentials.texts()?;
                    noun = noun.with("username", username).with("password", password);
                }
                (noun, uri.write()?)
            }
        };
        let noun = noun
            .with_some("statusCallback", self.status)
            .with_some("statusCallbackEvent", self.status.map(|_| EVENTS));
        Ok(dial.child(noun.text(text)))
    }
}

/// How a caller is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// The number is not in service; a caller of SIP gets 404.
    Rejected,
    /// Busy; a caller of SIP gets 486.
    Busy,
}

/// `<Reject>`: refuses the call before it is answered, so that nobody pays. Only as the first verb. The sender of a hand-off
/// reads `error` as `ReturnParam_error`.
#[must_use]
pub fn reject(how: Rejection, error: Option<&str>) -> Element {
    let reason = match how {
        Rejection::Rejected => "rejected",
        Rejection::Busy => "busy",
    };
    Element::new("Reject")
        .with("reason", reason)
        .children(error.map(|error| parameter("error", error)))
}

/// `<Hangup>`: ends the call. The sender of a hand-off reads the results as `ReturnParam_NAME`.
#[must_use]
pub fn hangup<'r>(results: impl IntoIterator<Item = (&'r str, &'r str)>) -> Element {
    let results = results.into_iter();
    Element::new("Hangup").children(results.map(|(name, value)| parameter(name, value)))
}

/// `<Parameter>`.
#[must_use]
pub fn parameter(name: &str, value: &str) -> Element {
    Element::new("Parameter")
        .with("name", name)
        .with("value", value)
}

/// `<Redirect>`: goes on with another document.
#[must_use]
pub fn redirect(url: &str) -> Element {
    Element::new("Redirect").with("method", "POST").text(url)
}

/// `<Pause>`.
#[must_use]
pub fn pause(time: Duration) -> Element {
    Element::new("Pause").with("length", seconds(time, Duration::from_secs(600)))
}

/// `<Connect><Stream>`: hands the caller's voice to a WebSocket. What the other side is told stands in parameters.
#[must_use]
pub fn stream<'p>(url: &str, parameters: impl IntoIterator<Item = (&'p str, &'p str)>) -> Element {
    let parameters = parameters.into_iter();
    let stream = Element::new("Stream")
        .with("url", url)
        .children(parameters.map(|(name, value)| parameter(name, value)));
    Element::new("Connect").child(stream)
}

/// Whole seconds, from 1 to `most`.
pub(in crate::twilio) fn seconds(time: Duration, most: Duration) -> String {
    time.clamp(Duration::from_secs(1), most)
        .as_secs()
        .to_string()
}

/// Bytes of a document that Twilio takes.
pub const MOST_BYTES: usize = 64 * 1024;

const EVENTS: &str = "initiated ringing answered completed";
/// Twilio lets nobody ring longer.
const MOST_RINGING: Duration = Duration::from_secs(600);
/// Twilio lets no call last longer than a day.
const MOST_TALKING: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests;
