//! Twilio's calls on their way to our own edge, and what is told of them: what each signed webhook is answered.
//!
//! ```text
//!  voice ──> hand-off? claim, signature, reuse ──┐
//!            dialled? the account's own company ─┴─> number of theirs? ──> ticket ──> <Dial><Sip> to our own edge
//!  dial-action ──> the end                            the same ticket for the same leg, while it holds
//!  status, recording ... ──> the call's own notes; a leg never goes backwards
//! ```
//!
//! Calls of a campaign that says so go from Twilio to the buyers instead: see `direct`.
//!
//! What is decided is written down before it is answered, so that neither a hand-off nor a call is another one after
//! `kill -9`. The SIP side decides who gets the call, by what the ticket says.

mod aging;
mod direct;
mod guest_call;
mod ivr;
mod left;
mod voice;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::call::errand::Said;
use crate::config::twilio::{Org, Twilio};
use crate::edge::abroad::Correspondence;
use crate::edge::notebook::{NotKept, Notebook};
use crate::edge::reception::aging::{Aging, Full};
use crate::store::Entry;
use crate::store::entry::Noted;
use crate::telemetry::record::Told;
use crate::twilio::callback::{Callback, News};
use crate::twilio::connect::{CompanyKey, Seen};
use crate::twilio::sid::CallSid;
use crate::types::ids::{CallUuid, Entropy};
use crate::types::moment::Moment;

pub(in crate::edge) use self::direct::Made;
pub(in crate::edge) use self::guest_call::GuestCall;
pub(in crate::edge) use self::left::{Left, Whose};
pub(in crate::edge) use self::voice::{Asked, Turned};

/// Where Twilio's calls are received.
pub(in crate::edge) struct Reception {
    notebook: Arc<Notebook>,
    /// The way to calls that Twilio carries itself.
    abroad: Correspondence,
    book: Mutex<Book>,
}

/// What is remembered.
struct Book {
    /// By the leg on which the caller came to Twilio.
    calls: Aging<CallSid, GuestCall>,
    /// By company and the leg that it handed over.
    hand_offs: Aging<(CompanyKey, CallSid), Seen>,
    /// By the leg: what the caller has entered, keys and values.
    entered: Aging<CallSid, Entered>,
    /// Keys of callbacks.
    heard: Aging<Box<str>, ()>,
    entropy: Entropy,
}

/// A key and a value.
type Pair = (Box<str>, Box<str>);

/// What a caller has entered.
type Entered = Vec<Pair>;

/// Why something is not taken in (503): it is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::edge) enum Shut {
    /// It cannot be written down.
    NotKept,
    /// There are too many calls.
    Full,
    /// The process is going down: the next one takes it in.
    Leaving,
}

impl Shut {
    /// Its name in metrics.
    pub(in crate::edge) fn label(self) -> &'static str {
        match self {
            Self::NotKept => "not_kept",
            Self::Full => "too_many_calls",
            Self::Leaving => "draining",
        }
    }
}

impl From<NotKept> for Shut {
    fn from(_: NotKept) -> Self {
        Self::NotKept
    }
}

impl From<Full> for Shut {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

impl Reception {
    /// What is remembered beyond the process.
    pub(in crate::edge) fn notebook(&self) -> &Notebook {
        &self.notebook
    }

    /// With what was remembered when this process began; `seed`: 256 unpredictable bits.
    pub(in crate::edge) fn new(
        now: Moment,
        (notebook, abroad): (Arc<Notebook>, Correspondence),
        seed: [u8; 32],
    ) -> Self {
        let mut book = Book {
            calls: Aging::default(),
            hand_offs: Aging::default(),
            entered: Aging::default(),
            heard: Aging::default(),
            entropy: Entropy::from_seed(seed),
        };
        for note in notebook.notes(now, CALLS) {
            let call = serde_json::from_slice(&note.value).ok();
            if let Some((leg, call)) = CallSid::parse(&note.key).zip(call) {
                book.calls.insert(note.until, leg, call);
            }
        }
        for note in notebook.notes(now, HAND_OFFS) {
            if let Some((key, seen)) = read_key(&note.key).zip(read_seen(&note.value)) {
                book.hand_offs.insert(note.until, key, seen);
            }
        }
        for note in notebook.notes(now, ENTERED) {
            let entered = serde_json::from_slice(&note.value).ok();
            if let Some((leg, entered)) = CallSid::parse(&note.key).zip(entered) {
                book.entered.insert(note.until, leg, entered);
            }
        }
        for note in notebook.notes(now, HEARD) {
            book.heard.insert(note.until, note.key, ());
        }
        Self {
            notebook,
            abroad,
            book: Mutex::new(book),
        }
    }

    /// What is known of the call of this leg.
    pub(in crate::edge) fn call(&self, now: Moment, leg: CallSid) -> Option<GuestCall> {
        self.book().calls.get(now, &leg).cloned()
    }

    /// What was told of the call of this leg, if it is this one.
    pub(in crate::edge) fn told(&self, now: Moment, leg: &str, uuid: CallUuid) -> Vec<Told> {
        let Some(leg) = CallSid::parse(leg) else {
            return Vec::new();
        };
        let book = self.book();
        let call = book.calls.get(now, &leg);
        let call = call.filter(|call| call.uuid().to_be_bytes() == *uuid.as_bytes());
        call.map(GuestCall::told).unwrap_or_default()
    }

    /// Takes in what is told of a call: once, in whatever order it comes.
    ///
    /// # Errors
    ///
    /// When it cannot be written down.
    pub(in crate::edge) async fn hear(
        &self,
        now: Moment,
        whose: (&Twilio, &Org),
        callback: &Callback,
    ) -> Result<(), Shut> {
        if let Some((call, said)) = self.note_news(now, whose, callback)? {
            let told = self.abroad.tell(call, said).await;
            told.map_err(|_| Shut::NotKept)?;
        }
        Ok(())
    }

    /// Writes it down. `Some`: the call's shard is to hear of it.
    fn note_news(
        &self,
        now: Moment,
        (twilio, org): (&Twilio, &Org),
        callback: &Callback,
    ) -> Result<Option<(CallUuid, Said)>, Shut> {
        let mut book = self.book();
        // A key names what it is about and not whose it is.
        let key: Box<str> = format!("{}:{}", org.id, callback.key()).into();
        if book.heard.get(now, &key).is_some() {
            return Ok(None);
        }
        let most = twilio.calls.saturating_mul(HEARD_PER_CALL);
        book.heard.make_room(now, most, &key);
        let until = now.after(REMEMBERED);
        let heard = Noted {
            realm: HEARD,
            key: &key,
            until,
            value: &[],
        };
        let found = book.find(now, callback);
        let found = found.filter(|(_, call)| *call.org == *org.id);
        let Some((leg, mut call)) = found else {
            self.notebook.keep([Entry::Noted(heard)])?;
            book.heard.insert(until, key, ());
            return Ok(None);
        };
        call.hear(now, callback.leg, callback);
        let said = direct::news_of(leg, &call, callback);
        if let Some((direct, said)) = call.direct.as_mut().zip(said.as_ref()) {
            direct.hear(now, said);
        }
        let uuid = CallUuid::from_bytes(call.uuid().to_be_bytes());
        self.keep_call(until, leg, &call, &[Entry::Noted(heard)])?;
        book.calls.insert(until, leg, call);
        book.heard.insert(until, key, ());
        Ok(said.map(|said| (uuid, said)))
    }

    /// Writes down what a call is, and `more`.
    fn keep_call(
        &self,
        until: Moment,
        leg: CallSid,
        call: &GuestCall,
        more: &[Entry<'_>],
    ) -> Result<(), NotKept> {
        let value = serde_json::to_vec(call).map_err(|_| NotKept)?;
        let entry = Entry::Noted(Noted {
            realm: CALLS,
            key: &leg.to_string(),
            until,
            value: &value,
        });
        self.notebook
            .keep([entry].into_iter().chain(more.iter().cloned()))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// The call that a callback is about: that of its leg, or of the leg that this was called for.
    fn find(&self, now: Moment, callback: &Callback) -> Option<(CallSid, GuestCall)> {
        let parent = match &callback.news {
            News::Status { parent, .. } => *parent,
            News::Recording { .. }
            | News::Transcription { .. }
            | News::Payment { .. }
            | News::Message { .. } => None,
        };
        let legs = callback.leg.into_iter().chain(parent);
        let mut known = legs.filter_map(|leg| Some((leg, self.calls.get(now, &leg)?.clone())));
        known.next()
    }
}

/// The key of a hand-off in the store.
fn write_key((company, leg): (CompanyKey, CallSid)) -> String {
    format!("{}:{leg}", company.0)
}

fn read_key(text: &str) -> Option<(CompanyKey, CallSid)> {
    let (company, leg) = text.split_once(':')?;
    Some((CompanyKey::parse(company)?, CallSid::parse(leg)?))
}

/// When first, and each leg: 8 bytes and 16 for each.
fn write_seen(seen: &Seen) -> Vec<u8> {
    let mut bytes = seen.first.millis().to_be_bytes().to_vec();
    for leg in &seen.legs {
        bytes.extend(leg.bits().to_be_bytes());
    }
    bytes
}

fn read_seen(bytes: &[u8]) -> Option<Seen> {
    let (first, legs) = bytes.split_first_chunk::<8>()?;
    let (legs, rest) = legs.as_chunks::<16>();
    rest.is_empty().then(|| Seen {
        first: Moment::from_millis(i64::from_be_bytes(*first)),
        legs: legs
            .iter()
            .map(|bits| CallSid::from_bits(u128::from_be_bytes(*bits)))
            .collect(),
    })
}

/// The realm of calls, by leg.
const CALLS: &str = "twilio-call";
/// The realm of hand-offs, by company and leg.
const HAND_OFFS: &str = "hand-off";
/// The realm of what callers have entered, by leg.
const ENTERED: &str = "twilio-entered";
/// The realm of callbacks, by their keys.
const HEARD: &str = "callback";

/// A call lives a day at most, and what is told of it comes a little later.
const REMEMBERED: Duration = Duration::from_secs(2 * 86_400);

/// Callbacks that are remembered, for each call that may be.
const HEARD_PER_CALL: usize = 16;

/// Hand-offs that are remembered, for each call that may be: they are small, and kept for longer.
const HAND_OFFS_PER_CALL: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_over_reads_back() {
        let seen = Seen {
            first: Moment::from_millis(1_767_225_600_000),
            legs: vec![CallSid::from_bits(1), CallSid::from_bits(u128::MAX)],
        };
        assert_eq!(read_seen(&write_seen(&seen)), Some(seen));
        assert_eq!(read_seen(&[0; 9]), None);
        assert_eq!(read_seen(&[]), None);
        let key = (CompanyKey(1234), CallSid::from_bits(7));
        assert_eq!(read_key(&write_key(key)), Some(key));
        assert_eq!(read_key("0:CA1"), None);
    }
}
