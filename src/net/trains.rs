//! What is sent as a train: datagrams of one length to one address, which the kernel takes as one and cuts apart where they leave
//! (`UDP_SEGMENT`, generic segmentation offload). On the wire nothing tells them from others; the way through the kernel, most of
//! what it costs to send, is gone once for all of them.
//!
//! ```text
//!   said:   100 a   INVITE x   180 b   100 c   INVITE y   100 d        (a to d, x and y: calls)
//!   sent:   [100 a  100 c  100 d]   INVITE x  INVITE y   180 b
//! ```
//!
//! A message may overtake others, but never one of its own call to the same address. An INVITE overtakes nothing but INVITEs there:
//! who takes so many calls at once hears of the end of one before the next one begins.

use std::net::SocketAddr;

use memchr::memmem::Finder;

/// Fewer are sent one by one: that hardly saves anything, and whoever captures on this machine sees a train as one datagram.
pub(super) const LEAST: usize = 3;

/// More than any kernel refuses, and together never longer than a datagram may be.
pub(super) const MOST: usize = 32;

/// Longest datagram of a train, in bytes: one that is sent whole along every path (RFC 8200 §5), for a train's datagrams cannot be cut
/// into fragments.
pub(super) const LONGEST: usize = 1280 - 40 - 8;

/// How many trains a message looks at for its place, from the last one on.
const WITHIN: usize = 32;

/// Entries of the table of calls; a power of two.
const CALLS: usize = 64;

/// How a Call-ID begins in all that we write.
const ID: &[u8] = b"\r\nCall-ID: ";

/// Messages side by side that are alike.
pub(super) struct Run {
    remote: SocketAddr,
    /// Of each message, in bytes.
    pub(super) length: usize,
    pub(super) count: usize,
    /// Of the remote address as the kernel reads it, in bytes.
    pub(super) room: libc::socklen_t,
}

impl Run {
    /// One message.
    pub(super) fn new(remote: SocketAddr, length: usize, room: libc::socklen_t) -> Self {
        Self {
            remote,
            length,
            count: 1,
            room,
        }
    }

    /// Whether a message goes with those that are here.
    pub(super) fn takes(&self, remote: SocketAddr, length: usize) -> bool {
        self.length == length
            && self.remote == remote
            && self.count < MOST
            && (1..=LONGEST).contains(&length)
    }
}

/// Puts messages in order, so that those of one train stand side by side.
pub(super) struct Marshal {
    trains: Vec<Train>,
    /// By a hash of the call: the last train that has a message of such a call.
    last: [u32; CALLS],
    /// Finds a message's Call-ID.
    id: Finder<'static>,
}

struct Train {
    remote: SocketAddr,
    length: usize,
    count: usize,
    is_invite: bool,
}

impl Marshal {
    pub(super) fn new() -> Self {
        Self {
            trains: Vec::with_capacity(WITHIN),
            last: [0; CALLS],
            id: Finder::new(ID),
        }
    }

    /// The number of the train of the next message; they are sent in the order of their numbers.
    pub(super) fn place(&mut self, remote: SocketAddr, bytes: &[u8]) -> u32 {
        let length = bytes.len();
        // Of two calls that share an entry one may wait for the other.
        let mut nowhere = 0;
        let call = call(&self.id, bytes);
        let last = self.last.get_mut(call).unwrap_or(&mut nowhere);
        let mut first = self.trains.len().saturating_sub(WITHIN).max(*last as usize);
        let is_invite = bytes.starts_with(b"INVITE ");
        if is_invite {
            let ahead = |train: &Train| train.remote == remote && !train.is_invite;
            let behind = self.trains.iter().rposition(ahead).map_or(0, |at| at + 1);
            first = first.max(behind);
        }
        let open = |train: &Train| {
            train.length == length
                && train.remote == remote
                && train.is_invite == is_invite
                && train.count < MOST
        };
        let place = self.trains.iter().skip(first).position(open);
        let place = place.map_or(self.trains.len(), |place| first + place);
        match self.trains.get_mut(place) {
            Some(train) => train.count += 1,
            None => self.trains.push(Train {
                remote,
                length,
                count: 1,
                is_invite,
            }),
        }
        *last = place as u32;
        *last
    }

    /// All have left.
    pub(super) fn clear(&mut self) {
        self.trains.clear();
        self.last = [0; CALLS];
    }
}

/// Where in the table the call of a message stands.
fn call(finder: &Finder<'_>, bytes: &[u8]) -> usize {
    let id = finder.find(bytes).and_then(|at| bytes.get(at + ID.len()..));
    let id = id
        .unwrap_or_default()
        .iter()
        .take_while(|byte| **byte != b'\r');
    let hash = id.fold(0_u32, |hash, byte| {
        (hash.rotate_left(5) ^ u32::from(*byte)).wrapping_mul(0x9E37_79B9)
    });
    (hash >> 16) as usize % CALLS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alike_are_in_one_train_and_others_are_not() {
        let mut marshal = Marshal::new();
        let [here, there] = ["192.0.2.1:5060", "192.0.2.2:5060"].map(|at| at.parse().unwrap());

        let first = marshal.place(here, &message("a", 10));
        assert_eq!(marshal.place(here, &message("b", 10)), first);
        assert_ne!(marshal.place(here, &message("c", 11)), first);
        assert_ne!(marshal.place(there, &message("d", 10)), first);
        assert_eq!(marshal.place(here, &message("e", 10)), first);
        for _ in 3..MOST {
            assert_eq!(marshal.place(here, &message("e", 10)), first);
        }
        assert_ne!(marshal.place(here, &message("f", 10)), first, "it is full");

        marshal.clear();
        assert_eq!(marshal.place(here, &message("g", 11)), 0);
    }

    #[test]
    fn no_message_overtakes_another_of_its_call() {
        let mut marshal = Marshal::new();
        let remote: SocketAddr = "192.0.2.1:5060".parse().unwrap();
        let mut sent = Vec::new();
        let mut dice = 1_u32;
        for serial in 0..2000 {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (id, length) = (dice >> 24 & 15, 10 + (dice >> 16 & 7) as usize);
            let id = char::from(b'a' + id as u8).to_string();
            let train = marshal.place(remote, &message(&id, length));
            sent.push((train, id, serial));
        }

        sent.sort_by_key(|(train, ..)| *train);

        for id in b'a'..b'q' {
            let id = char::from(id).to_string();
            let own = sent.iter().filter(|(_, of, _)| *of == id);
            let serials: Vec<_> = own.map(|(.., serial)| *serial).collect();
            assert!(
                serials.len() > 50 && serials.is_sorted(),
                "{id}: {serials:?}"
            );
        }
        let trains = sent.last().map(|(train, ..)| train + 1);
        assert!(trains.is_some_and(|trains| trains < 1200), "{trains:?}");
    }

    #[test]
    fn an_invite_overtakes_nothing_but_invites_to_the_same_address() {
        let mut marshal = Marshal::new();
        let [here, there] = ["192.0.2.1:5060", "192.0.2.2:5060"].map(|at| at.parse().unwrap());
        let invite = |call: &str| format!("INVITE sip:a SIP/2.0\r\nCall-ID: {call}\r\n\r\n");
        let bye = |call: &str| format!("BYE sip:1234 SIP/2.0\r\nCall-ID: {call}\r\n\r\n");
        assert_eq!(invite("a").len(), bye("a").len());

        let first = marshal.place(here, invite("a").as_bytes());
        let other = marshal.place(there, bye("b").as_bytes());
        assert_eq!(marshal.place(here, invite("c").as_bytes()), first);
        let end = marshal.place(here, bye("d").as_bytes());
        let second = marshal.place(here, invite("e").as_bytes());

        assert!(first < other && other < end && end < second);
        assert_eq!(marshal.place(here, bye("d").as_bytes()), end);
        assert_eq!(marshal.place(here, invite("f").as_bytes()), second);
    }

    /// `more` bytes and the head of a message of the call.
    fn message(call: &str, more: usize) -> Vec<u8> {
        let rest = "x".repeat(more);
        format!("SIP/2.0 200 OK\r\nCall-ID: {call}\r\n\r\n{rest}").into()
    }
}
