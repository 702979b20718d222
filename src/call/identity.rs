//! Who the caller is, and what a buyer may know of it (RFC 3323, RFC 3325).
//!
//! | the trunk says | the buyer is | From | P-Asserted-Identity | Privacy |
//! |---|---|---|---|---|
//! | nothing | trusted or not | as it came | none | - |
//! | an asserted identity, and is trusted | trusted | as it came | the asserted one | as it came |
//! | an asserted identity | not trusted, or the trunk is not | as it came | none | - |
//! | `Privacy: id` or `user` | trusted | as it came | as above | as it came |
//! | `Privacy: id` or `user` | not trusted | anonymous | none | - |
//! | a number that is not among its `caller_ids` | trusted or not | anonymous | none | - |
//!
//! `Privacy: header` costs nothing: routes, Contacts and Call-IDs of one leg never reach the other. `session` would want the
//! caller's media addresses hidden, which pass in its session description: it is not met, and a caller that calls it
//! `critical`, or asks for what we do not know, is refused (RFC 3323 §5).
//!
//! As it came: display name and user, at an address of ours. P-Preferred-Identity never passes: it is a
//! wish of the caller's, not the carrier's word.

use crate::routing::buyer::Buyer;
use crate::routing::trunk::Trunk;
use crate::sip::build::{Writer, unfold_into};
use crate::sip::header::{NameAddr, name_addrs};
use crate::sip::message::{Essentials, Head, Name};
use crate::sip::retreaver;
use crate::sip::rules::NameSet;
use crate::sip::uri::Uri;
use crate::types::number::Number;

/// The caller as its trunk brings it.
pub(crate) struct CallerId<'t, 'm> {
    trunk: &'t Trunk,
    head: &'t Head<'m>,
    from: &'t NameAddr<'m>,
    privacy: Privacy,
    standing: Standing,
}

/// What the trunk's `caller_ids` say to From.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The trunk may send what it likes.
    Free,
    /// One of its numbers.
    Listed(Number),
    /// None of them.
    Refused,
}

impl<'t, 'm> CallerId<'t, 'm> {
    pub(crate) fn new(trunk: &'t Trunk, head: &'t Head<'m>, from: &'t NameAddr<'m>) -> Self {
        let standing = match &trunk.caller_ids {
            None => Standing::Free,
            Some(listed) => number_of(trunk, from.uri)
                .filter(|number| listed.contains(*number))
                .map_or(Standing::Refused, Standing::Listed),
        };
        Self {
            trunk,
            head,
            from,
            privacy: Privacy::of(head),
            standing,
        }
    }

    /// Whether the caller is none of the trunk's `caller_ids`.
    pub(crate) fn is_refused(&self) -> bool {
        self.standing == Standing::Refused
    }

    /// The caller's number, for the record: the asserted one of a trusted trunk, or else that in From.
    /// `None`: there is none, or it is withheld.
    pub(crate) fn number(&self) -> Option<Number> {
        if self.is_refused() || self.privacy.is_anonymous() {
            return None;
        }
        let asserted = self.asserted().find_map(|(_, number)| number);
        asserted.or_else(|| number_of(self.trunk, self.from.uri))
    }

    /// Whether this buyer must not learn who calls.
    pub(crate) fn is_withheld_from(&self, buyer: &Buyer) -> bool {
        self.is_refused() || (self.privacy.is_anonymous() && !buyer.is_trusted)
    }

    /// Headers that would tell this buyer what it must not know.
    pub(crate) fn withheld_from(&self, buyer: &Buyer) -> NameSet {
        if self.is_withheld_from(buyer) {
            TELLING
        } else if self.privacy.hides_history() && !buyer.is_trusted {
            NameSet::of(&[Name::HistoryInfo])
        } else {
            NameSet::default()
        }
    }

    /// Writes From: the caller as the buyer sees it, so that the carrier's network stays hidden.
    pub(crate) fn write_from(
        &self,
        writer: &mut Writer<'_>,
        buyer: &Buyer,
        advertise: &str,
        tag: &[u8],
    ) {
        if self.is_withheld_from(buyer) {
            let anonymous = b"\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=";
            writer.parts("From", &[anonymous, tag]);
            return;
        }
        let mut shown = Shown::of(self.from, advertise.as_bytes());
        let mut digits = itoa::Buffer::new();
        if let Standing::Listed(number) = self.standing {
            shown.take_number(digits.format(u64::from_be_bytes(number.to_bytes())));
        }
        shown.write(writer, "From", &[b";tag=", tag]);
    }

    /// Writes P-Asserted-Identity and Privacy, where the trunk's word counts and the buyer may have it.
    pub(crate) fn write_asserted(&self, writer: &mut Writer<'_>, buyer: &Buyer, advertise: &str) {
        if !buyer.is_trusted || self.is_refused() {
            return;
        }
        let may_assert = !buyer.headers.set_names.known().has(Name::PAssertedIdentity);
        for (address, number) in self.asserted().filter(|_| may_assert) {
            let mut shown = Shown::of(&address, advertise.as_bytes());
            let mut digits = itoa::Buffer::new();
            if let (Some(_), Some(number)) = (&self.trunk.caller_ids, number) {
                shown.take_number(digits.format(u64::from_be_bytes(number.to_bytes())));
            }
            shown.write(writer, Name::PAssertedIdentity.text(), &[]);
        }
        if !buyer.headers.set_names.known().has(Name::Privacy) {
            self.privacy.write(writer);
        }
    }

    /// The identities that the trunk asserts, if it is trusted, with their numbers: two at most, one `sip:`
    /// and one `tel:` (RFC 3325 §9.1).
    fn asserted(&self) -> impl Iterator<Item = (NameAddr<'m>, Option<Number>)> {
        let values = self.head.all(Name::PAssertedIdentity);
        values
            .filter(|_| self.trunk.is_trusted)
            .flat_map(|value| name_addrs(value).filter_map(Result::ok))
            .map(|address| (address, number_of(self.trunk, address.uri)))
            .filter(|(_, number)| match &self.trunk.caller_ids {
                None => true,
                Some(listed) => number.is_some_and(|number| listed.contains(number)),
            })
            .take(MOST_ASSERTED)
    }
}

/// What an INVITE says of its caller: the number for the record, and whether the trunk's `caller_ids`
/// refuse it.
pub(crate) fn judge(
    trunk: &Trunk,
    head: &Head<'_>,
    essentials: &Essentials<'_>,
) -> (Option<Number>, bool) {
    let caller = CallerId::new(trunk, head, &essentials.from);
    (caller.number(), caller.is_refused())
}

/// Whether an INVITE must be refused, because its caller cannot do without a privacy that we cannot give.
pub(crate) fn asks_too_much(head: &Head<'_>) -> bool {
    Privacy::of(head).is_beyond_us()
}

/// The number that a URI names, as the trunk writes numbers.
fn number_of(trunk: &Trunk, uri: &[u8]) -> Option<Number> {
    let uri = Uri::parse(uri).ok()?;
    trunk.plan.normalize(uri.dialled()?).ok()
}

/// One address, as one side of a call sees that of the other: its host is ours.
pub(crate) struct Shown<'a> {
    display: &'a [u8],
    user: &'a [u8],
    host: &'a [u8],
    is_number: bool,
    plus: &'static [u8],
    /// The URI's own parameters and headers, where they are kept.
    tail: &'a [u8],
}

impl<'a> Shown<'a> {
    pub(crate) fn of(address: &NameAddr<'a>, ours: &'a [u8]) -> Self {
        let (user, host, is_number): (&[u8], &[u8], bool) = match Uri::parse(address.uri) {
            Ok(Uri::Sip(uri)) => {
                let phone = uri.params.get("user").flatten();
                let is_phone = phone.is_some_and(|value| value.eq_ignore_ascii_case(b"phone"));
                let host = if is_anonymous(uri.host_text) {
                    uri.host_text
                } else {
                    ours
                };
                (uri.user.unwrap_or(ANONYMOUS), host, is_phone)
            }
            Ok(Uri::Tel(uri)) => (uri.number, ours, true),
            Ok(Uri::Other { .. }) | Err(_) => (ANONYMOUS, ours, false),
        };
        Self {
            display: address.display,
            user,
            host,
            is_number,
            plus: b"",
            tail: b"",
        }
    }

    /// Keeps what is behind the host in the URI.
    pub(crate) fn with_tail(mut self, tail: &'a [u8]) -> Self {
        self.tail = tail;
        self
    }

    /// Puts the number as we read it into the place of what the peer wrote, so that nobody reads another
    /// one; a display name that could be taken for a number goes.
    fn take_number(&mut self, digits: &'a str) {
        (self.plus, self.user) = (b"+", digits.as_bytes());
        let looks = self.display.iter().filter(|byte| byte.is_ascii_digit());
        if looks.count() >= LOOKS_LIKE_A_NUMBER {
            self.display = b"";
        }
    }

    /// Writes it as a header; `params` stand behind it.
    pub(crate) fn write(&self, writer: &mut Writer<'_>, name: &'static str, params: &[&[u8]]) {
        let mut unfolded = Vec::new();
        let display = if memchr::memchr(b'\r', self.display).is_some() {
            unfold_into(&mut unfolded, self.display);
            &unfolded
        } else {
            self.display
        };
        // The caller's text must not be mistaken for a header of ours, however carelessly it is read.
        let display = without_ours(display, b"");
        let user = without_ours(self.user, ANONYMOUS);
        let space: &[u8] = if display.is_empty() { b"" } else { b" " };
        let phone: &[u8] = if self.is_number && self.tail.is_empty() {
            b";user=phone"
        } else {
            b""
        };
        let [first, second] = match params {
            [] => [&b""[..]; 2],
            [one] => [*one, b""],
            [one, two, ..] => [*one, *two],
        };
        writer.parts(
            name,
            &[
                display, space, b"<sip:", self.plus, user, b"@", self.host, phone, self.tail, b">",
                first, second,
            ],
        );
    }
}

/// `text`, or `instead` if it names one of our headers.
pub(crate) fn without_ours<'a>(text: &'a [u8], instead: &'a [u8]) -> &'a [u8] {
    if retreaver::names_ours(text) {
        instead
    } else {
        text
    }
}

/// `anonymous.invalid` (RFC 3323 §4.1.1.3) says that the caller is withheld, and must go on saying so.
fn is_anonymous(host: &[u8]) -> bool {
    host.eq_ignore_ascii_case(b"anonymous.invalid")
}

/// What the caller wants hidden (RFC 3323 §4.2, RFC 3325 §9.3, RFC 7044 §10.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Privacy(u8);

impl Privacy {
    const ID: u8 = 1;
    const USER: u8 = 2;
    const HEADER: u8 = 4;
    const HISTORY: u8 = 8;
    const SESSION: u8 = 16;
    const CRITICAL: u8 = 32;
    const NONE: u8 = 64;
    /// A word that we do not know.
    const OTHER: u8 = 128;

    const WORDS: [(&'static [u8], u8); 7] = [
        (b"id", Self::ID),
        (b"user", Self::USER),
        (b"header", Self::HEADER),
        (b"history", Self::HISTORY),
        (b"session", Self::SESSION),
        (b"critical", Self::CRITICAL),
        (b"none", Self::NONE),
    ];

    fn of(head: &Head<'_>) -> Self {
        let mut found = 0;
        for value in head.all(Name::Privacy) {
            let words = value.split(|byte| matches!(byte, b';' | b','));
            for word in words
                .map(<[u8]>::trim_ascii)
                .filter(|word| !word.is_empty())
            {
                let known = Self::WORDS
                    .iter()
                    .find(|(known, _)| known.eq_ignore_ascii_case(word));
                found |= known.map_or(Self::OTHER, |(_, bit)| *bit);
            }
        }
        Self(found)
    }

    /// Whether nobody outside the carriers' circle may know who calls. `none` beside another word is a
    /// contradiction, and counts for nothing.
    fn is_anonymous(self) -> bool {
        self.0 & (Self::ID | Self::USER) != 0
    }

    /// Whether it asks, come what may, for something that is not ours to give.
    fn is_beyond_us(self) -> bool {
        self.0 & Self::CRITICAL != 0 && self.0 & (Self::SESSION | Self::OTHER) != 0
    }

    fn hides_history(self) -> bool {
        self.0 & (Self::HISTORY | Self::HEADER) != 0
    }

    fn write(self, writer: &mut Writer<'_>) {
        let mut pieces: [&[u8]; 14] = [&[]; 14];
        let mut places = pieces.iter_mut();
        let asked = Self::WORDS.iter().filter(|(_, bit)| self.0 & bit != 0);
        for (word, _) in asked {
            let is_first = places.len() == 14;
            if let (Some(between), Some(place)) = (places.next(), places.next()) {
                *between = if is_first { b"" } else { b";" };
                *place = word;
            }
        }
        if self.0 & !Self::OTHER != 0 {
            writer.parts(Name::Privacy.text(), &pieces);
        }
    }
}

/// What names the caller, or tells of it, besides From (RFC 3323 §5.3).
const TELLING: NameSet = NameSet::of(&[
    Name::CallInfo,
    Name::HistoryInfo,
    Name::Identity,
    Name::InReplyTo,
    Name::Organization,
    Name::PChargeInfo,
    Name::RemotePartyId,
    Name::ReplyTo,
    Name::Subject,
]);

const ANONYMOUS: &[u8] = b"anonymous";

/// Asserted identities of a call at most.
const MOST_ASSERTED: usize = 2;

/// Digits from which on a display name may be taken for a number.
const LOOKS_LIKE_A_NUMBER: usize = 7;
