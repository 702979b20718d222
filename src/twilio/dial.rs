//! What became of a leg that Twilio called for us, and what is next.
//!
//! Twilio asks at the `action` of `<Dial>`, and what we answer is all that still happens to the caller: a document is due
//! whatever came of the leg.

use std::time::Duration;

use crate::twilio::form::Form;
use crate::twilio::sid::CallSid;
use crate::twilio::twiml::{Response, hangup};

/// What Twilio tells of a leg at the `action` of `<Dial>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub status: Status,
    /// Whether caller and callee were joined.
    pub is_bridged: bool,
    /// The final SIP status, for a leg of SIP.
    pub sip_code: Option<u16>,
    /// The leg, if there was one.
    pub leg: Option<CallSid>,
    /// For how long they talked.
    pub talked: Duration,
    /// Whether the caller has hung up.
    pub has_caller_gone: bool,
}

/// `DialCallStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It was answered, and has ended.
    Completed,
    /// It was answered; somebody else goes on with it.
    Answered,
    /// Busy.
    Busy,
    /// Nobody answered in time.
    NoAnswer,
    /// It could not be called.
    Failed,
    /// It was called off while it rang.
    Canceled,
    /// A word that we do not know, or none.
    Unknown,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The call was connected and is over.
    Finish,
    /// Somebody else is tried, for this reason.
    Another(Why),
    /// Nobody is tried any more: the call was called off.
    Stop,
    /// The caller is gone: there is nobody to say anything to.
    Gone,
}

impl Next {
    /// Its name in records and metrics, and what the sender of a hand-off reads.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Finish => "connected",
            Self::Another(why) => why.label(),
            Self::Stop => "cancelled",
            Self::Gone => "caller_gone",
        }
    }
}

/// Why a leg came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// Somebody answered, and would not take the call.
    Declined,
    /// The buyer does not know us: someone should look at the credentials.
    Credentials,
    /// The buyer does not want this call, and would not want it a second time.
    Refused,
    /// The buyer's side is broken: others should not be sent there for a while.
    Broken,
}

impl Why {
    /// Its name in records and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Declined => "declined",
            Self::Credentials => "buyer_auth",
            Self::Refused => "buyer_rejected",
            Self::Broken => "unreachable",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(label: &str) -> Option<Self> {
        let all = [
            Self::Busy,
            Self::NoAnswer,
            Self::Declined,
            Self::Credentials,
            Self::Refused,
            Self::Broken,
        ];
        all.into_iter().find(|why| why.label() == label)
    }
}

impl Outcome {
    /// Reads it. What is not there, or is odd, counts as the worse case: nothing of it is refused, as a caller waits.
    #[must_use]
    pub fn read(form: &Form) -> Self {
        let first = |name: &str| form.first(name).unwrap_or_default();
        let status = match first("DialCallStatus") {
            "completed" => Status::Completed,
            "answered" => Status::Answered,
            "busy" => Status::Busy,
            "no-answer" => Status::NoAnswer,
            "failed" => Status::Failed,
            "canceled" => Status::Canceled,
            _ => Status::Unknown,
        };
        let seconds = first("DialCallDuration").parse::<u32>().unwrap_or_default();
        // Where Twilio does not say, whether they talked tells.
        let is_bridged = match first("DialBridged") {
            "true" => true,
            "false" => false,
            _ => matches!(status, Status::Completed | Status::Answered) && seconds > 0,
        };
        Self {
            status,
            is_bridged,
            sip_code: first("DialSipResponseCode").parse().ok(),
            leg: CallSid::parse(first("DialCallSid")),
            talked: Duration::from_secs(seconds.into()),
            has_caller_gone: first("CallStatus") == "completed",
        }
    }

    /// What follows from it.
    #[must_use]
    pub fn next(&self) -> Next {
        match self.status {
            Status::Completed | Status::Answered if self.is_bridged => Next::Finish,
            _ if self.has_caller_gone => Next::Gone,
            Status::Completed | Status::Answered => Next::Another(Why::Declined),
            Status::Busy => Next::Another(Why::Busy),
            Status::NoAnswer => Next::Another(Why::NoAnswer),
            Status::Canceled => Next::Stop,
            Status::Failed | Status::Unknown => Next::Another(self.failure()),
        }
    }

    fn failure(&self) -> Why {
        match self.sip_code {
            Some(401 | 407) => Why::Credentials,
            Some(486 | 600) => Why::Busy,
            Some(408 | 480 | 487) => Why::NoAnswer,
            Some(400..500 | 603..700) => Why::Refused,
            Some(_) | None => Why::Broken,
        }
    }
}

/// The document that follows a leg to our own edge, which has tried the buyers itself: the end. Whoever handed the call over
/// reads what became of it as `ReturnParam_disposition`.
#[must_use]
pub fn after_edge(outcome: &Outcome) -> Response {
    match outcome.next() {
        Next::Gone => Response::default(),
        Next::Finish | Next::Another(_) | Next::Stop => {
            let disposition = outcome.next().label();
            Response::of(hangup([("disposition", disposition)]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twilio::tests::tree;

    #[test]
    fn what_became_of_a_leg_says_what_is_next() {
        use Next::{Another, Finish, Gone, Stop};
        for (status, code, bridged, next) in [
            ("completed", "200", "true", Finish),
            ("answered", "", "true", Finish),
            ("completed", "200", "false", Another(Why::Declined)),
            ("completed", "", "", Another(Why::Declined)),
            ("busy", "486", "false", Another(Why::Busy)),
            ("no-answer", "408", "false", Another(Why::NoAnswer)),
            ("no-answer", "", "false", Another(Why::NoAnswer)),
            ("failed", "407", "false", Another(Why::Credentials)),
            ("failed", "401", "false", Another(Why::Credentials)),
            ("failed", "404", "false", Another(Why::Refused)),
            ("failed", "603", "false", Another(Why::Refused)),
            ("failed", "608", "false", Another(Why::Refused)),
            ("failed", "600", "false", Another(Why::Busy)),
            ("failed", "503", "false", Another(Why::Broken)),
            ("failed", "", "false", Another(Why::Broken)),
            ("failed", "12345678", "false", Another(Why::Broken)),
            ("canceled", "487", "false", Stop),
            ("transferred", "", "", Another(Why::Broken)),
        ] {
            let fields = [
                ("DialCallStatus", status),
                ("DialSipResponseCode", code),
                ("DialBridged", bridged),
            ];
            let form: Form = fields.into_iter().collect();
            assert_eq!(
                Outcome::read(&form).next(),
                next,
                "{status} {code} {bridged}"
            );

            let mut gone = form;
            gone.push("CallStatus", "completed");
            let next = if next == Finish { Finish } else { Gone };
            assert_eq!(
                Outcome::read(&gone).next(),
                next,
                "{status} {code}, and the caller is gone"
            );
        }
        assert_eq!(Outcome::read(&Form::default()).next(), Another(Why::Broken));
    }

    #[test]
    fn what_twilio_does_not_say_is_read_from_how_long_they_talked() {
        let form: Form = [
            ("DialCallStatus", "completed"),
            ("DialCallDuration", "12"),
            ("DialCallSid", "CA00000000000000000000000000000003"),
        ]
        .into_iter()
        .collect();

        let outcome = Outcome::read(&form);

        assert_eq!(outcome.next(), Next::Finish);
        assert_eq!(outcome.talked, Duration::from_secs(12));
        assert_eq!(outcome.leg, Some(CallSid::from_bits(3)));
    }

    #[test]
    fn who_handed_a_call_over_reads_what_became_of_it() {
        let after = |fields: &[(&str, &str)]| {
            let form: Form = fields.iter().copied().collect();
            tree(&after_edge(&Outcome::read(&form)).write().unwrap())[3].clone()
        };
        let told = |tree: serde_json::Value| tree[0][3][0][1]["value"].clone();

        assert_eq!(
            told(after(&[
                ("DialCallStatus", "completed"),
                ("DialBridged", "true")
            ])),
            "connected"
        );
        assert_eq!(told(after(&[("DialCallStatus", "busy")])), "busy");
        assert_eq!(told(after(&[("DialCallStatus", "canceled")])), "cancelled");
        assert_eq!(after(&[("CallStatus", "completed")]), serde_json::json!([]));
    }
}
