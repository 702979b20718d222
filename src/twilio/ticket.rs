//! Tickets: how our SIP side knows the call that our HTTP side sent to it.
//!
//! The answer to a webhook lets Twilio call us by SIP, with one header that holds a ticket. Twilio's addresses are shared by
//! all its customers and its leg has another name by then, so the ticket is what tells a call of ours from one of anybody's.
//! It is short-lived, holds once, and says all that routing needs, so that nothing has to be looked up.
//!
//! ```text
//! v1.  base64url(  uuid  number  company  caller  leg   expires   tags     HMAC-SHA256/128  )
//!                  16    8       8        8       16    8 (ms)    0..480   16                  = 80 bytes, 107 characters
//! ```                                                                                             and 640 more for tags

use std::collections::BTreeSet;
use std::time::Duration;

use thiserror::Error;

use crate::twilio::connect::CompanyKey;
use crate::twilio::form::Form;
use crate::twilio::mac::{self, Rotating};
use crate::twilio::sid::CallSid;
use crate::types::base64;
use crate::types::moment::Moment;
use crate::types::number::Number;

/// What a ticket says of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The call's own id, minted when the webhook came.
    pub uuid: u128,
    /// The campaign number to route to.
    pub number: Number,
    /// Whose.
    pub company: CompanyKey,
    /// Who calls; `None`: a caller without a number.
    pub caller: Option<Number>,
    /// The leg that the webhook was about.
    pub leg: CallSid,
    /// Until when it holds.
    pub expires: Moment,
    /// What is known of the call besides: its tags, as many as fit.
    pub tags: Form,
}

/// What makes a ticket hold once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pass {
    /// Until when it is remembered that it was used.
    pub expires: Moment,
    /// The ticket's call.
    pub uuid: u128,
}

/// Why a ticket is refused (403).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TicketFault {
    /// It is none.
    #[error("not a ticket")]
    Malformed,
    /// We have not made it.
    #[error("a forged ticket")]
    Forged,
    /// It holds no more.
    #[error("an expired ticket")]
    Expired,
    /// It was used.
    #[error("a used ticket")]
    Used,
    /// It is for another number, or for a company that is not there any more.
    #[error("a ticket for something else")]
    Foreign,
    /// There are so many in use that this one could not be remembered.
    #[error("too many tickets")]
    TooMany,
}

impl TicketFault {
    /// Its name in records and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Malformed => "ticket_malformed",
            Self::Forged => "ticket_forged",
            Self::Expired => "ticket_expired",
            Self::Used => "ticket_used",
            Self::Foreign => "ticket_foreign",
            Self::TooMany => "ticket_too_many",
        }
    }
}

impl Ticket {
    /// Writes it, signed with the current secret.
    #[must_use]
    pub fn mint(&self, secrets: &Rotating) -> String {
        let mut bytes = self.to_bytes().to_vec();
        bytes.extend(self.written_tags().as_bytes());
        let mac = mac::sha256(&secrets.current, &[PURPOSE, &bytes]);
        bytes.extend(mac.iter().take(MAC));
        [VERSION, &base64::encode_url(&bytes)].concat()
    }

    /// Reads one that came in a header: ours, not expired, and not good for longer than we make them.
    pub fn check(now: Moment, text: &[u8], secrets: &Rotating) -> Result<Self, TicketFault> {
        let coded = text
            .strip_prefix(VERSION.as_bytes())
            .filter(|coded| (CODED..=MOST_CODED).contains(&coded.len()))
            .ok_or(TicketFault::Malformed)?;
        let bytes = base64::decode_url(coded).ok_or(TicketFault::Malformed)?;
        let (said, given) = bytes
            .split_last_chunk::<MAC>()
            .ok_or(TicketFault::Malformed)?;
        let (facts, tags) = said
            .split_first_chunk::<FACTS>()
            .ok_or(TicketFault::Malformed)?;
        let mut is_right = mac::is_same(b"0", b"1");
        for secret in secrets.iter() {
            let mac = mac::sha256(secret, &[PURPOSE, said]);
            is_right |= mac::is_same(mac.get(..MAC).unwrap_or_default(), given);
        }
        if !bool::from(is_right) {
            return Err(TicketFault::Forged);
        }
        let tags = Form::parse(tags).map_err(|_| TicketFault::Malformed)?;
        let ticket = Self::from_bytes(facts, tags).ok_or(TicketFault::Malformed)?;
        let is_now = now < ticket.expires && ticket.expires <= now.after(LONGEST);
        is_now.then_some(ticket).ok_or(TicketFault::Expired)
    }

    /// What makes it hold once.
    #[must_use]
    pub fn pass(&self) -> Pass {
        Pass {
            expires: self.expires,
            uuid: self.uuid,
        }
    }

    /// Whether this tag fits besides those that are there: whoever adds tags drops what does not.
    #[must_use]
    pub fn has_room_for(&self, key: &str, value: &str) -> bool {
        let mut tags = self.tags.clone();
        tags.push(key, value);
        tags.encoded().len() <= MOST_TAGS
    }

    /// The tags, those that fit.
    fn written_tags(&self) -> String {
        let mut tags = Form::default();
        for (key, value) in self.tags.iter() {
            let mut more = tags.clone();
            more.push(key, value);
            if more.encoded().len() <= MOST_TAGS {
                tags = more;
            }
        }
        tags.encoded()
    }

    fn to_bytes(&self) -> [u8; FACTS] {
        let caller = self.caller.map_or([0; 8], |caller| caller.to_bytes());
        let fields: [&[u8]; 6] = [
            &self.uuid.to_be_bytes(),
            &self.number.to_bytes(),
            &self.company.0.to_be_bytes(),
            &caller,
            &self.leg.bits().to_be_bytes(),
            &self.expires.millis().to_be_bytes(),
        ];
        let mut bytes = [0; FACTS];
        let values = fields.into_iter().flatten();
        bytes
            .iter_mut()
            .zip(values)
            .for_each(|(to, from)| *to = *from);
        bytes
    }

    fn from_bytes(bytes: &[u8; FACTS], tags: Form) -> Option<Self> {
        let (uuid, rest) = bytes.split_first_chunk::<16>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (company, rest) = rest.split_first_chunk::<8>()?;
        let (caller, rest) = rest.split_first_chunk::<8>()?;
        let (leg, rest) = rest.split_first_chunk::<16>()?;
        let (expires, _) = rest.split_first_chunk::<8>()?;
        Some(Self {
            uuid: u128::from_be_bytes(*uuid),
            number: read_number(*number)?,
            company: CompanyKey(u64::from_be_bytes(*company)),
            caller: read_number(*caller),
            leg: CallSid::from_bits(u128::from_be_bytes(*leg)),
            expires: Moment::from_millis(i64::from_be_bytes(*expires)),
            tags,
        })
    }
}

/// The tickets that were used and have not expired, so that each holds once. Bounded; what does not fit is refused.
#[derive(Debug, Clone)]
pub struct Used {
    capacity: usize,
    /// By their end, so that the expired ones are found first.
    tickets: BTreeSet<Pass>,
}

impl Used {
    /// An empty book that remembers so many at once. At 100 calls a second and 60 s each, that is 6,000.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            tickets: BTreeSet::new(),
        }
    }

    /// Takes a ticket that was checked: once.
    pub fn take(&mut self, now: Moment, pass: Pass) -> Result<(), TicketFault> {
        while self
            .tickets
            .first()
            .is_some_and(|first| first.expires <= now)
        {
            self.tickets.pop_first();
        }
        if self.tickets.contains(&pass) {
            return Err(TicketFault::Used);
        }
        if pass.expires <= now {
            return Err(TicketFault::Expired);
        }
        if self.tickets.len() >= self.capacity {
            return Err(TicketFault::TooMany);
        }
        self.tickets.insert(pass);
        Ok(())
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tickets.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }
}

fn read_number(bytes: [u8; 8]) -> Option<Number> {
    // A number has seven digits at least, so zero is none.
    let mut text = [0; 20];
    let mut rest = u64::from_be_bytes(bytes);
    let mut start = text.len();
    while rest > 0 {
        start -= 1;
        *text.get_mut(start)? = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    Number::from_e164(text.get(start..)?)
}

/// The header that holds a ticket.
pub const HEADER: &str = "X-Strowger-Ticket";
/// How long a ticket holds at most: Twilio calls within a second or two.
pub const LONGEST: Duration = Duration::from_secs(60);

const VERSION: &str = "v1.";
/// Bytes of what it says.
const FACTS: usize = 64;
/// Bytes of the signature.
const MAC: usize = 16;
/// Characters of both.
const CODED: usize = ((FACTS + MAC) * 8).div_ceil(6);
/// Bytes of tags: all headers of an address have less than 1024 characters.
const MOST_TAGS: usize = 480;
/// Characters with all of them.
const MOST_CODED: usize = ((FACTS + MOST_TAGS + MAC) * 8).div_ceil(6);
/// What keeps its signature apart from others that are made with the same secret.
const PURPOSE: &[u8] = b"twilio-ticket:v1:";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::secret::Secret;

    #[test]
    fn what_was_minted_says_the_same_on_the_other_side() {
        let tags = || [("original_to", "+14155550123"), ("a", "b c")];
        for (caller, tags) in [
            (None, Form::default()),
            (
                Number::from_e164(b"+14155550123"),
                tags().into_iter().collect(),
            ),
        ] {
            let length = if tags.is_empty() { 110 } else { 155 };
            let ticket = Ticket {
                caller,
                tags,
                ..ticket()
            };
            let text = ticket.mint(&secrets());

            assert_eq!(text.len(), length);
            assert!(
                text.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
            );
            assert_eq!(
                Ticket::check(start(), text.as_bytes(), &secrets()),
                Ok(ticket)
            );
        }
    }

    #[test]
    fn tags_that_do_not_fit_are_left_out_and_the_header_is_never_too_long() {
        let mut ticket = ticket();
        let long = "x".repeat(300);
        ticket.tags.push("first", &long);
        assert!(!ticket.has_room_for("second", &long));
        ticket.tags.push("second", &long);
        ticket.tags.push("third", "y");

        let text = ticket.mint(&secrets());
        let read = Ticket::check(start(), text.as_bytes(), &secrets()).expect("a ticket");

        let keys: Vec<_> = read.tags.iter().map(|(key, _)| key.to_owned()).collect();
        assert_eq!(keys, ["first", "third"]);
        assert!(text.len() <= 3 + MOST_CODED && MOST_CODED + HEADER.len() + 4 < 1024);
    }

    #[test]
    fn it_holds_for_its_time_and_no_ticket_holds_longer_than_we_make_them() {
        let text = ticket().mint(&secrets());
        let check = |seconds: i64, text: &str| {
            let now = Moment::from_millis(start().millis() + seconds * 1000);
            Ticket::check(now, text.as_bytes(), &secrets())
        };

        assert!(check(29, &text).is_ok());
        assert_eq!(check(30, &text), Err(TicketFault::Expired));
        let long = Ticket {
            expires: start().after(Duration::from_secs(61)),
            ..ticket()
        };
        assert_eq!(check(0, &long.mint(&secrets())), Err(TicketFault::Expired));
        let ever = Ticket {
            expires: Moment::from_millis(i64::MAX),
            ..ticket()
        };
        assert_eq!(check(0, &ever.mint(&secrets())), Err(TicketFault::Expired));
    }

    #[test]
    fn both_secrets_hold_while_one_replaces_the_other() {
        let old = ticket().mint(&Rotating::new(Secret::new(*b"old")));
        let both = Rotating {
            previous: Some(Secret::new(*b"old")),
            ..secrets()
        };

        assert_eq!(Ticket::check(start(), old.as_bytes(), &both), Ok(ticket()));
        assert_eq!(
            Ticket::check(start(), old.as_bytes(), &secrets()),
            Err(TicketFault::Forged)
        );
    }

    #[test]
    fn a_ticket_is_used_once() {
        let mut used = Used::new(2);
        let other = |uuid| Ticket { uuid, ..ticket() };

        assert_eq!(used.take(start(), ticket().pass()), Ok(()));
        let again = used.take(start(), ticket().pass());
        assert_eq!(again, Err(TicketFault::Used));
        assert_eq!(used.take(start(), other(2).pass()), Ok(()));
        let third = used.take(start(), other(3).pass());
        assert_eq!(third, Err(TicketFault::TooMany));

        let later = start().after(Duration::from_secs(30));
        let late = used.take(later, ticket().pass());
        assert_eq!(late, Err(TicketFault::Expired));
        assert!(used.is_empty());
        let fresh = Ticket {
            expires: later.after(LONGEST),
            ..ticket()
        };
        assert_eq!(used.take(later, fresh.pass()), Ok(()));
        assert_eq!(used.len(), 1);
    }

    proptest! {
        #[test]
        fn nothing_near_a_ticket_is_one(at in 0_usize..110, to in any::<u8>(), cut in 0_usize..110) {
            let text = ticket().mint(&secrets()).into_bytes();
            let mut changed = text.clone();
            changed[at] = to;
            prop_assume!(changed != text);

            prop_assert!(Ticket::check(start(), &changed, &secrets()).is_err());
            prop_assert!(Ticket::check(start(), &text[..cut], &secrets()).is_err());
            prop_assert!(Ticket::check(start(), &[&text[..], b"A"].concat(), &secrets()).is_err());
        }

        #[test]
        fn no_bytes_are_too_odd(bytes: Vec<u8>) {
            prop_assert!(Ticket::check(start(), &bytes, &secrets()).is_err());
        }
    }

    fn ticket() -> Ticket {
        Ticket {
            uuid: 0x8f14_e45f_ceea_467f_a1c8_6c9a_2f4b_0d11,
            number: Number::from_e164(b"+18005551234").unwrap(),
            company: CompanyKey(1234),
            caller: Number::from_e164(b"+14155550123"),
            leg: CallSid::from_bits(2),
            expires: start().after(Duration::from_secs(30)),
            tags: Form::default(),
        }
    }

    fn start() -> Moment {
        Moment::from_millis(1_767_225_600_000)
    }

    fn secrets() -> Rotating {
        Rotating::new(Secret::new(*b"ticket secret"))
    }
}
