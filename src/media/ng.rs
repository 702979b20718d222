//! rtpengine's `ng` protocol: what it is asked about a call, and what its answers mean.
//!
//! ```text
//!   3f09_17 d7:command4:pinge                  a cookie, a space, a dictionary (bencode)
//!   3f09_17 d6:result4:ponge                   the same cookie: a request that is sent again is not done again
//! ```
//!
//! It rewrites SDP by itself. What it is asked for keeps the rules of our own relay: packets from the announced address
//! only, no learning, no DTLS, no ICE, no suite that does not encrypt; and the port that the caller was told stays while
//! one buyer after another is tried.

pub mod ask;
mod reply;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::media::bencode;
use crate::media::bencode::Writer;
use crate::media::figures::Figures;
use crate::media::plan::{Party, Suite};

/// Longest request, in bytes: it is one datagram.
pub const MOST_REQUEST: usize = 60_000;

/// What rtpengine calls a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// Of all of the call: `call-id`.
    pub call: Arc<str>,
    /// Of the caller's side: a tag.
    pub caller: Arc<str>,
    /// Of this attempt's buyer: a tag of its own, so that the next buyer gets other ports.
    pub buyer: Arc<str>,
}

impl Names {
    fn tag(&self, party: Party) -> &str {
        match party {
            Party::Caller => &self.caller,
            Party::Buyer => &self.buyer,
        }
    }
}

/// What it is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// To say that it is there.
    Ping,
    /// To take an offer and say what the other party is to be offered.
    Offer(Exchange),
    /// To take the answer and say what the offerer is to be answered.
    Answer(Exchange),
    /// To forget one attempt, or the whole call.
    Delete(Names, Scope),
    /// To say what came from whom so far.
    Query(Names),
}

/// How much of a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// This buyer's side; the caller's stays for the next, if that was offered before: alone, the caller's side goes
    /// too, and with it the port that the caller was told.
    Attempt,
    /// All of it.
    Call,
}

/// An SDP body on its way from one party to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Which call and attempt.
    pub names: Names,
    /// Who made the offer, of which this is one half.
    pub offerer: Party,
    /// Whether it is the first of this attempt: the other party is not known yet. Means nothing in an answer.
    pub is_first: bool,
    /// The body.
    pub sdp: Bytes,
    /// From where the packets of whoever wrote the body may come.
    pub sources: Sources,
    /// What whoever gets the body is to see.
    pub shape: Shape,
}

/// From where packets are taken: see [`plan::Sources`](crate::media::plan::Sources).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sources {
    /// From where the SDP says, and nowhere else.
    Announced,
    /// From where the first come, expected at the address that its SIP came from: it is behind NAT.
    Learned(IpAddr),
}

/// What the one who gets a body is to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// RTP or SRTP; `None`: as it is.
    pub protocol: Option<Protocol>,
    /// The family of rtpengine's address; `None`: as it is.
    pub family: Option<Family>,
    /// The suites that may be agreed; empty: all of [`Suite::ALL`].
    pub suites: SmallVec<[Suite; 6]>,
    /// Its interfaces towards the one who wrote the body and the one who gets it; `None`: its first. It counts in the
    /// first offer of a call.
    pub interfaces: Option<[Arc<str>; 2]>,
}

/// RTP in the clear or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `RTP/AVP`.
    Rtp,
    /// `RTP/SAVP`, with keys by SDES.
    Srtp,
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `IP4`.
    V4,
    /// `IP6`.
    V6,
}

/// What it did.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// It is there.
    Pong,
    /// The body for the other party.
    Sdp(Bytes),
    /// The attempt or call is gone; with what came from whom if that is known and it was the whole call.
    Deleted(Option<Box<Figures>>),
    /// What came from whom so far.
    Figures(Box<Figures>),
}

/// Why it did not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No request of one datagram.
    #[error("request is too long")]
    TooLong,
    /// What came back is not bencode.
    #[error("reply {0}")]
    Unreadable(#[from] bencode::Fault),
    /// What came back lacks what was asked for.
    #[error("reply lacks its {0}")]
    Missing(&'static str),
    /// It has no room: another may have.
    #[error("rtpengine has no room: {0}")]
    Full(Words),
    /// It refuses, in its own words.
    #[error("rtpengine refuses: {0}")]
    Refused(Words),
}

impl Fault {
    /// Its name in metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Unreadable(_) => "unreadable",
            Self::Missing(_) => "incomplete",
            Self::Full(_) => "full",
            Self::Refused(_) => "refused",
        }
    }
}

/// What rtpengine said, cut to a line that can be written anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(Box<str>);

impl Words {
    fn new(text: &[u8]) -> Self {
        let clean = |byte: &u8| match *byte {
            byte @ b' '..=b'~' => char::from(byte),
            _ => '.',
        };
        Self(text.iter().take(MOST_WORDS).map(clean).collect())
    }
}

impl std::fmt::Display for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Most bytes of its words that are kept.
const MOST_WORDS: usize = 200;

impl Request {
    /// The command's name, which is also its name in metrics.
    #[must_use]
    pub fn command(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Offer(_) => "offer",
            Self::Answer(_) => "answer",
            Self::Delete(..) => "delete",
            Self::Query(_) => "query",
        }
    }

    /// What the call is called; `None` of a ping.
    #[must_use]
    pub fn names(&self) -> Option<&Names> {
        match self {
            Self::Ping => None,
            Self::Offer(exchange) | Self::Answer(exchange) => Some(&exchange.names),
            Self::Delete(names, _) | Self::Query(names) => Some(names),
        }
    }

    /// Whether another rtpengine could do it as well, if nothing of the call is anywhere yet.
    #[must_use]
    pub fn begins_a_call(&self) -> bool {
        match self {
            Self::Offer(exchange) => exchange.is_first,
            Self::Ping | Self::Answer(_) | Self::Delete(..) | Self::Query(_) => false,
        }
    }

    /// Writes it behind `cookie`, which has no space.
    ///
    /// # Errors
    ///
    /// [`Fault::TooLong`].
    pub fn write(&self, cookie: &str) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(cookie.as_bytes());
        out.push(b' ');
        Writer::new(&mut out).dictionary(|w| match self {
            Self::Ping => {
                w.text("command").text("ping");
            }
            Self::Offer(exchange) => write_exchange(w, exchange, true),
            Self::Answer(exchange) => write_exchange(w, exchange, false),
            Self::Delete(names, scope) => write_delete(w, names, *scope),
            Self::Query(names) => {
                w.text("call-id").text(&*names.call);
                w.text("command").text("query");
            }
        });
        if out.len() > MOST_REQUEST {
            return Err(Fault::TooLong);
        }
        Ok(out)
    }

    /// Reads what was replied to it, without the cookie.
    ///
    /// # Errors
    ///
    /// [`Fault`], also for a reply that refuses.
    pub fn read_reply(&self, body: &[u8]) -> Result<Reply, Fault> {
        reply::read(self, body)
    }
}

/// The cookie and the rest of a datagram; `None`: it has none.
#[must_use]
pub fn split_cookie(datagram: &[u8]) -> Option<(&[u8], &[u8])> {
    let reach = datagram.get(..LONGEST_COOKIE + 1).unwrap_or(datagram);
    let at = memchr::memchr(b' ', reach)?;
    let (cookie, rest) = datagram.split_at_checked(at)?;
    Some((cookie, rest.get(1..)?))
}

/// Longest cookie, in bytes; ours are shorter.
const LONGEST_COOKIE: usize = 64;

/// Keys in the order of their bytes, as bencode wants them.
fn write_exchange(w: &mut Writer<'_>, exchange: &Exchange, is_offer: bool) {
    let (names, offerer, shape) = (&exchange.names, exchange.offerer, &exchange.shape);
    let writer = if is_offer { offerer } else { offerer.other() };
    w.text("DTLS").text("off");
    w.text("ICE").text("remove");
    w.text("SDES").list(|w| write_suites(w, &shape.suites));
    if let Some(family) = shape.family {
        w.text("address family").text(match family {
            Family::V4 => "IP4",
            Family::V6 => "IP6",
        });
    }
    w.text("call-id").text(&*names.call);
    w.text("command")
        .text(if is_offer { "offer" } else { "answer" });
    if let Some([from, towards]) = shape.interfaces.as_ref().filter(|_| is_offer) {
        w.text("direction").list(|w| {
            w.text(&**from).text(&**towards);
        });
    }
    w.text("flags").list(|w| {
        // The caller was told a port, and keeps it whoever answers.
        w.text("port-latching");
        match exchange.sources {
            Sources::Announced => w
                .text("trust-address")
                .text("asymmetric")
                .text("strict-source"),
            Sources::Learned(_) => w.text("SIP-source-address").text("strict-source"),
        };
    });
    w.text("from-tag").text(names.tag(offerer));
    w.text("label").text(label(writer));
    if let Sources::Learned(address) = exchange.sources {
        w.text("received-from").list(|w| {
            w.text(if address.is_ipv4() { "IP4" } else { "IP6" });
            w.text(address.to_string());
        });
    }
    w.text("replace").list(|w| {
        w.text("origin").text("session-connection");
    });
    w.text("sdp").text(&exchange.sdp);
    if !(is_offer && exchange.is_first) {
        w.text("to-tag").text(names.tag(offerer.other()));
    }
    if let Some(protocol) = shape.protocol {
        w.text("transport-protocol").text(match protocol {
            Protocol::Rtp => "RTP/AVP",
            Protocol::Srtp => "RTP/SAVP",
        });
    }
    if offerer == Party::Caller {
        write_branch(w, names);
    }
}

/// Each attempt is a branch of its own, named as its buyer's side is.
fn write_branch(w: &mut Writer<'_>, names: &Names) {
    w.text("via-branch").text(&*names.buyer);
}

fn write_delete(w: &mut Writer<'_>, names: &Names, scope: Scope) {
    w.text("call-id").text(&*names.call);
    w.text("command").text("delete");
    // At once: by itself it goes on for half a minute.
    w.text("delete delay").integer(0);
    // It says what came from whom only to who names a tag.
    w.text("from-tag").text(&*names.caller);
    match scope {
        Scope::Call => {}
        Scope::Attempt => {
            w.text("to-tag").text(&*names.buyer);
            write_branch(w, names);
        }
    }
}

/// It would offer all that it knows, among them suites that do not encrypt; and leave out the `=` at the end of keys, without
/// which some peers cannot read them.
fn write_suites(w: &mut Writer<'_>, allowed: &[Suite]) {
    w.text("pad");
    for name in FOREIGN_SUITES {
        w.text(format!("no-{name}"));
    }
    for suite in Suite::ALL {
        if !allowed.is_empty() && !allowed.contains(&suite) {
            w.text(format!("no-{}", suite.name()));
        }
    }
}

/// Suites that it knows and we do not.
const FOREIGN_SUITES: [&str; 6] = [
    "AES_192_CM_HMAC_SHA1_80",
    "AES_192_CM_HMAC_SHA1_32",
    "F8_128_HMAC_SHA1_80",
    "F8_128_HMAC_SHA1_32",
    "NULL_HMAC_SHA1_80",
    "NULL_HMAC_SHA1_32",
];

/// What its own logs and statistics call a party.
fn label(party: Party) -> &'static str {
    match party {
        Party::Caller => "caller",
        Party::Buyer => "buyer",
    }
}

#[cfg(test)]
mod tests;
