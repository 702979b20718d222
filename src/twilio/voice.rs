//! A call that comes in by `voice` or `ivr-menu`: from a telephone, by SIP, from a soft phone, or handed over by another
//! application. What it is, and what we answer so that it comes to our own edge.
//!
//! ```text
//! To                                        From
//! +18005551234   a number of the account    +14155550123, or one of the numbers that stand for "not told"
//! sip:+1800...@acme.sip.twilio.com          sip:..., with SipDomain; the number is the user part
//! whatever the phone asked for              client:NAME
//! AP..., or what the parent call dialled    whoever called the other application: a hand-off
//! ```

use std::time::Duration;

use thiserror::Error;

use crate::twilio::connect::is_hand_off;
use crate::twilio::form::Form;
use crate::twilio::mac::Rotating;
use crate::twilio::sid::{AccountSid, CallSid};
use crate::twilio::sip_uri::{SipUri, UriFault};
use crate::twilio::ticket::{HEADER, Ticket};
use crate::twilio::twiml::{Dial, Response, Target};
use crate::types::number::{NotANumber, Number, NumberPlan};

/// A call that comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Its leg.
    pub leg: CallSid,
    /// The account whose call it is, as the request says. It was looked up by this name for its keys.
    pub account: AccountSid,
    /// How it came.
    pub way: Way,
    /// Who calls; `None`: somebody without a number, or who does not tell it.
    pub caller: Option<Number>,
    /// What Twilio says of the caller's right to that number.
    pub attestation: Attestation,
}

/// How a call came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Another application hands it over: see [`crate::twilio::connect`].
    HandOff,
    /// Somebody dialled this number.
    Dialled(Result<Number, NotANumber>),
    /// A soft phone of this name asks for this.
    SoftPhone {
        /// The name.
        identity: Box<str>,
        /// What it asks for.
        wanted: Result<Number, NotANumber>,
    },
}

/// What the caller's carrier answers for (STIR/SHAKEN).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Attestation {
    /// Nobody says anything.
    #[default]
    None,
    /// The caller may use the number.
    A,
    /// The caller is known, the number not.
    B,
    /// Neither is known.
    C,
    /// What was said is false.
    Failed,
}

impl Attestation {
    /// Reads `StirVerstat`, by how it begins: what else may stand there tells how the call was diverted.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let passed = text.strip_prefix("TN-Validation-Passed-");
        match passed.and_then(|rest| rest.bytes().next()) {
            Some(b'A') => Self::A,
            Some(b'B') => Self::B,
            Some(b'C') => Self::C,
            _ if text.starts_with("TN-Validation-Failed") => Self::Failed,
            _ => Self::None,
        }
    }

    /// Its name in records.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::A => "a",
            Self::B => "b",
            Self::C => "c",
            Self::Failed => "failed",
        }
    }
}

/// Why it is no call (400).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IncomingFault {
    /// `CallSid` is missing, twice, or none.
    #[error("no CallSid")]
    Leg,
    /// `AccountSid` is missing, twice, or none.
    #[error("no AccountSid")]
    Account,
    /// `From` or `To` is there twice, with two values.
    #[error("From or To is there twice")]
    Twice,
}

impl IncomingFault {
    /// Its name in records and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Leg => "voice_no_call",
            Self::Account => "voice_no_account",
            Self::Twice => "voice_twice",
        }
    }
}

impl Incoming {
    /// Reads it. Numbers are read as `plan` says.
    pub fn read(form: &Form, plan: &NumberPlan) -> Result<Self, IncomingFault> {
        let one = |name: &str| form.one(name).ok().flatten();
        let leg = one("CallSid").and_then(CallSid::parse);
        let account = one("AccountSid").and_then(AccountSid::parse);
        let side = |name: &str| form.one(name).map_err(|_| IncomingFault::Twice);
        let from = side("From")?.unwrap_or_default();
        let to = side("To")?.unwrap_or_default();
        let number = |text: &str| plan.normalize(text.as_bytes());
        let way = if is_hand_off(form) {
            Way::HandOff
        } else if let Some(identity) = from.strip_prefix("client:") {
            Way::SoftPhone {
                identity: identity.into(),
                wanted: number(to),
            }
        } else {
            Way::Dialled(number(to))
        };
        Ok(Self {
            leg: leg.ok_or(IncomingFault::Leg)?,
            account: account.ok_or(IncomingFault::Account)?,
            way,
            caller: caller(from, plan),
            attestation: Attestation::read(form.first("StirVerstat").unwrap_or_default()),
        })
    }
}

/// The number of who calls; `None`: there is none, or it stands for a caller who does not tell.
#[must_use]
pub fn caller(from: &str, plan: &NumberPlan) -> Option<Number> {
    let user = from.strip_prefix("sip:").unwrap_or(from);
    let user = user.split('@').next().unwrap_or_default();
    let digits = user.strip_prefix('+').unwrap_or(user);
    if from.starts_with("client:") || NOT_TOLD.contains(&digits) {
        return None;
    }
    plan.normalize(from.as_bytes()).ok()
}

/// How calls come from Twilio to our own edge.
#[derive(Clone)]
pub struct EdgeRoute {
    /// Our edge as Twilio calls it: host, port, transport, credentials. User and ticket are filled in for each call.
    pub address: SipUri,
    /// What tickets are signed with.
    pub tickets: Rotating,
    /// For how long it may ring before the edge gives an answer: longer than all buyers together.
    pub ringing: Duration,
    /// For how long they may talk.
    pub time_limit: Duration,
}

impl EdgeRoute {
    /// The document that sends a call to our edge, which finds its buyers there. `action` is where Twilio asks what is next,
    /// `status` where it tells how the leg gets on.
    pub fn document(
        &self,
        ticket: &Ticket,
        action: &str,
        status: Option<&str>,
    ) -> Result<Response, UriFault> {
        let mut address = self.address.clone();
        address.user = ticket.number.to_string().into();
        address
            .headers
            .push((HEADER.into(), ticket.mint(&self.tickets)));
        let caller = ticket.caller.map(|caller| caller.to_string());
        let dial = Dial {
            target: &Target::Sip(address),
            caller_id: caller.as_deref(),
            timeout: self.ringing,
            time_limit: self.time_limit,
            action,
            status,
        };
        Ok(Response::of(dial.verb()?))
    }
}

/// What stands for a number that is not told: letters on the keys of a telephone, ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN
/// and UNAVAILABLE.
const NOT_TOLD: [&str; 5] = [
    "266696687",
    "7378742833",
    "2562533",
    "8566696",
    "86282452253",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twilio::connect::CompanyKey;
    use crate::twilio::sip_uri::Transport;
    use crate::twilio::tests::{shared, tree};
    use crate::types::moment::Moment;
    use crate::types::secret::Secret;

    const LEG: (&str, &str) = ("CallSid", "CA00000000000000000000000000000001");
    const ACCOUNT: (&str, &str) = ("AccountSid", "AC00000000000000000000000000000001");

    #[test]
    fn a_call_is_what_it_says_from_whom_and_to_whom() {
        let way = |from: &str, to: &str| {
            read(&[LEG, ACCOUNT, ("From", from), ("To", to)]).map(|call| (call.way, call.caller))
        };
        let toll_free = number("+18005551234");
        let caller = number("+14155550123").ok();

        assert_eq!(
            way("+14155550123", "+18005551234"),
            Ok((Way::Dialled(toll_free), caller))
        );
        assert_eq!(
            way(
                "sip:+14155550123@192.0.2.1",
                "sip:+18005551234@acme.sip.twilio.com;transport=tls"
            ),
            Ok((Way::Dialled(toll_free), caller))
        );
        assert_eq!(
            way("client:user:bob", "+18005551234"),
            Ok((
                Way::SoftPhone {
                    identity: "user:bob".into(),
                    wanted: toll_free
                },
                None
            ))
        );
        assert_eq!(
            way("sip:carrier@192.0.2.1", "x"),
            Ok((Way::Dialled(Err(NotANumber::Invalid)), None))
        );
        assert_eq!(
            way("", ""),
            Ok((Way::Dialled(Err(NotANumber::Invalid)), None))
        );
    }

    #[test]
    fn who_does_not_tell_the_number_has_none() {
        for from in [
            "+266696687",
            "266696687",
            "+7378742833",
            "+2562533",
            "+8566696",
            "+86282452253",
            "sip:+266696687@x",
        ] {
            assert_eq!(caller(from, &plan()), None, "{from}");
        }
        assert_eq!(caller("anonymous", &plan()), None);
    }

    #[test]
    fn a_payload_makes_a_hand_off_whatever_was_dialled() {
        let call = read(&[
            LEG,
            ACCOUNT,
            ("From", "+14155550123"),
            ("To", "AP0123456789abcdef0123456789abcdef"),
            ("Param_RetreaverCompanyId", "1"),
        ]);

        let call = call.unwrap();
        assert_eq!(
            (call.way, call.caller),
            (Way::HandOff, number("+14155550123").ok())
        );
    }

    #[test]
    fn what_names_no_call_is_none() {
        assert_eq!(read(&[ACCOUNT]), Err(IncomingFault::Leg));
        assert_eq!(
            read(&[ACCOUNT, ("CallSid", "CA1")]),
            Err(IncomingFault::Leg)
        );
        assert_eq!(read(&[LEG]), Err(IncomingFault::Account));
        assert_eq!(
            read(&[
                LEG,
                ACCOUNT,
                ("AccountSid", "AC00000000000000000000000000000002")
            ]),
            Err(IncomingFault::Account)
        );
        assert_eq!(
            read(&[LEG, ACCOUNT, ("To", "1"), ("To", "2")]),
            Err(IncomingFault::Twice)
        );
    }

    #[test]
    fn attestations_are_told_by_how_they_begin() {
        for (text, attestation) in [
            ("TN-Validation-Passed-A", Attestation::A),
            ("TN-Validation-Passed-A-Diverted", Attestation::A),
            ("TN-Validation-Passed-B-Passthrough", Attestation::B),
            ("TN-Validation-Passed-C", Attestation::C),
            ("TN-Validation-Passed-", Attestation::None),
            ("TN-Validation-Failed", Attestation::Failed),
            ("TN-Validation-Failed-A", Attestation::Failed),
            ("No-TN-Validation", Attestation::None),
            ("", Attestation::None),
        ] {
            assert_eq!(Attestation::read(text), attestation, "{text}");
        }
    }

    #[test]
    fn a_call_is_sent_to_our_edge_with_a_ticket_that_says_all_of_it() {
        let now = Moment::from_millis(1_767_225_600_000);
        let ticket = Ticket {
            uuid: 7,
            number: number("+18005551234").unwrap(),
            company: CompanyKey(1234),
            caller: number("+14155550123").ok(),
            leg: CallSid::from_bits(1),
            expires: now.after(Duration::from_secs(30)),
            tags: Form::default(),
        };

        let document = route()
            .document(&ticket, "https://e.example.com/next", None)
            .unwrap();

        let tree = tree(&document.write().unwrap());
        let dial = &tree[3][0];
        assert_eq!(dial[1]["callerId"], "+14155550123");
        assert_eq!(dial[1]["answerOnBridge"], "true");
        let uri = dial[3][0][2].as_str().unwrap();
        let (address, token) = uri.split_once("?X-Strowger-Ticket=").unwrap();
        assert_eq!(
            address,
            "sip:+18005551234@sip.example.com:5061;transport=tls;secure=true"
        );
        assert_eq!(
            Ticket::check(now, token.as_bytes(), &route().tickets),
            Ok(ticket.clone())
        );
        assert_eq!(dial[3][0][1]["username"], serde_json::Value::Null);

        let nobody = Ticket {
            caller: None,
            ..ticket
        };
        let document = route()
            .document(&nobody, "https://e.example.com/next", None)
            .unwrap();
        assert!(!document.write().unwrap().contains("callerId"));
    }

    #[test]
    fn the_calls_of_the_vectors_are_read() {
        let Some(vectors) = shared() else {
            return;
        };
        let mut ways = Vec::new();
        for vector in vectors["signatures"].as_array().unwrap() {
            let id = vector["id"].as_str().unwrap();
            if id.starts_with("wh_voice") || id.starts_with("wh_app") {
                let form = Form::parse(vector["body"].as_str().unwrap().as_bytes()).unwrap();
                ways.push(Incoming::read(&form, &plan()).unwrap().way);
            }
        }
        let dialled = Way::Dialled(number("+18882223333"));
        assert_eq!(ways, [dialled, Way::HandOff, Way::HandOff]);
    }

    fn read(fields: &[(&str, &str)]) -> Result<Incoming, IncomingFault> {
        Incoming::read(&fields.iter().copied().collect(), &plan())
    }

    fn route() -> EdgeRoute {
        EdgeRoute {
            address: SipUri {
                user: "".into(),
                host: "sip.example.com".into(),
                port: Some(5061),
                transport: Transport::Secure,
                edge: None,
                headers: Vec::new(),
                credentials: None,
            },
            tickets: Rotating::new(Secret::new(*b"ticket secret")),
            ringing: Duration::from_secs(120),
            time_limit: Duration::from_secs(14_400),
        }
    }

    fn number(text: &str) -> Result<Number, NotANumber> {
        plan().normalize(text.as_bytes())
    }

    fn plan() -> NumberPlan {
        NumberPlan {
            country: "1".into(),
            tech_prefix: None,
            assume_e164: false,
        }
    }
}
