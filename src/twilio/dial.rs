//! What became of a leg that Twilio called for us, and whom to call next.
//!
//! Twilio asks at the `action` of `<Dial>`, and what we answer is all that still happens to the caller: a document is due
//! whatever came of the leg.

use std::time::Duration;

use crate::twilio::form::Form;
use crate::twilio::sid::CallSid;
use crate::twilio::twiml::{Dial, Response, Target, hangup, redirect};

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

/// What a caller gets who is offered to one buyer after another by Twilio itself.
#[derive(Clone, Copy)]
pub struct Plan<'p> {
    /// The buyers, in order, each with how long it rings.
    pub legs: &'p [Leg],
    /// Whom buyers see as the caller; `None`: who really calls.
    pub caller_id: Option<&'p str>,
    /// For how long they may talk.
    pub time_limit: Duration,
    /// Where Twilio tells how legs get on.
    pub status: Option<&'p str>,
    /// Where the caller goes if nobody takes the call; `None`: it is hung up.
    pub fallback: Option<&'p str>,
}

/// One buyer of a [`Plan`].
#[derive(Clone)]
pub struct Leg {
    /// Whom to call.
    pub target: Target,
    /// For how long.
    pub ringing: Duration,
}

impl Plan<'_> {
    /// The document for the attempt of this number (from 0), or for the next one that can be called at all; and the number
    /// of the attempt that it is, `None` if nobody is left. `action` makes the URL at which that attempt's outcome is asked
    /// for.
    #[must_use]
    pub fn document(
        &self,
        attempt: usize,
        action: &dyn Fn(usize) -> String,
    ) -> (Response, Option<usize>) {
        let legs = self
            .legs
            .iter()
            .enumerate()
            .take(MOST_ATTEMPTS)
            .skip(attempt);
        for (number, leg) in legs {
            let action = action(number);
            let dial = Dial {
                target: &leg.target,
                caller_id: self.caller_id,
                timeout: leg.ringing,
                time_limit: self.time_limit,
                action: &action,
                status: self.status,
            };
            // What cannot be written cannot be called; `check` tells the operator.
            if let Ok(verb) = dial.verb() {
                return (Response::of(verb), Some(number));
            }
        }
        let end = self.fallback.map_or_else(|| hangup([]), redirect);
        (Response::of(end), None)
    }

    /// The document that follows the outcome of this attempt.
    #[must_use]
    pub fn after(
        &self,
        attempt: usize,
        outcome: &Outcome,
        action: &dyn Fn(usize) -> String,
    ) -> (Response, Option<usize>) {
        match outcome.next() {
            Next::Another(_) => self.document(attempt.saturating_add(1), action),
            Next::Finish | Next::Stop => (Response::of(hangup([])), None),
            Next::Gone => (Response::default(), None),
        }
    }
}

/// Buyers that one caller is offered to.
pub const MOST_ATTEMPTS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twilio::sip_uri::{SipUri, Transport};
    use crate::twilio::tests::tree;
    use crate::types::number::Number;

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
    fn one_buyer_is_called_after_another_until_nobody_is_left() {
        let legs = [leg("+18885550100"), unwritable(), leg("+18885550101")];
        let plan = plan(&legs);
        let action = |attempt: usize| format!("https://e.example.com/next?a={attempt}");

        let (first, number) = plan.document(0, &action);
        assert_eq!(
            (called(&first), number),
            ("+18885550100".to_owned(), Some(0))
        );
        let (second, number) = plan.after(0, &busy(), &action);
        assert_eq!(
            (called(&second), number),
            ("+18885550101".to_owned(), Some(2))
        );
        assert_eq!(
            tree(&second.write().unwrap())[3][0][1]["action"],
            "https://e.example.com/next?a=2"
        );

        assert_eq!(
            plan.after(2, &busy(), &action),
            (Response::of(hangup([])), None)
        );
        assert_eq!(plan.after(usize::MAX, &busy(), &action).1, None);
        let kind = Plan {
            fallback: Some("https://e.example.com/sorry"),
            ..plan
        };
        assert_eq!(
            kind.after(2, &busy(), &action).0,
            Response::of(redirect("https://e.example.com/sorry"))
        );
    }

    #[test]
    fn a_call_that_is_over_calls_nobody() {
        let legs = [leg("+18885550100"), leg("+18885550101")];
        let after = |fields: &[(&str, &str)]| {
            let form: Form = fields.iter().copied().collect();
            plan(&legs).after(0, &Outcome::read(&form), &|_| String::new())
        };

        let done = [("DialCallStatus", "completed"), ("DialBridged", "true")];
        assert_eq!(after(&done), (Response::of(hangup([])), None));
        assert_eq!(
            after(&[("DialCallStatus", "canceled")]),
            (Response::of(hangup([])), None)
        );
        let gone = [("DialCallStatus", "no-answer"), ("CallStatus", "completed")];
        assert_eq!(after(&gone), (Response::default(), None));
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

    #[test]
    fn no_list_is_so_long_that_a_caller_rings_for_ever() {
        let legs: Vec<_> = (0..50).map(|_| leg("+18885550100")).collect();

        let attempts = (0..50).filter(|at| {
            plan(&legs)
                .after(*at, &busy(), &|_| String::new())
                .1
                .is_some()
        });

        assert_eq!(attempts.count(), MOST_ATTEMPTS - 1);
    }

    fn plan(legs: &[Leg]) -> Plan<'_> {
        Plan {
            legs,
            caller_id: None,
            time_limit: Duration::from_secs(3600),
            status: None,
            fallback: None,
        }
    }

    fn leg(number: &str) -> Leg {
        let number = Number::from_e164(number.as_bytes()).unwrap();
        Leg {
            target: Target::Number {
                number,
                send_digits: None,
            },
            ringing: Duration::from_secs(20),
        }
    }

    fn unwritable() -> Leg {
        let uri = SipUri {
            user: "a".into(),
            host: "no host".into(),
            port: None,
            transport: Transport::Udp,
            edge: None,
            headers: Vec::new(),
            credentials: None,
        };
        Leg {
            target: Target::Sip(uri),
            ringing: Duration::from_secs(20),
        }
    }

    fn busy() -> Outcome {
        Outcome::read(&[("DialCallStatus", "busy")].into_iter().collect())
    }

    fn called(response: &Response) -> String {
        let tree = tree(&response.write().unwrap());
        tree[3][0][3][0][2].as_str().unwrap().to_owned()
    }
}
