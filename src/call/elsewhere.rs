//! INVITEs that another shard must judge, because it gave out the nonce they answer.
//!
//! What belongs to such an INVITE comes the way that it came, to us: its repetitions, its CANCEL, the
//! ACK of a failure. None of them says whose it is, so it is remembered.
//!
//! ```text
//!   INVITE ──> us: the nonce is shard 1's ──> shard 1: 401, or the call
//!   CANCEL ──> us: remembered             ──> shard 1
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::call::policy::Policy;
use crate::transaction::key::{KeyMap, ServerKey};
use crate::types::ids::ShardId;

/// How long after the last buyer was tried a caller may cancel: what RFC 3261 §16.6 gives a proxy's
/// INVITE to be answered (Timer C).
const RINGING: Duration = Duration::from_secs(180);

/// INVITEs that were handed on, and to whom. There are no more of them than calls of a shard: what
/// comes beyond pushes out the oldest.
pub(super) struct HandedOn {
    limit: usize,
    /// How long a call may be unanswered.
    patience: Duration,
    owners: KeyMap<ShardId>,
    /// The same keys, the oldest first, with the time until which each is kept.
    queue: VecDeque<(Instant, ServerKey)>,
}

impl HandedOn {
    pub(super) fn new(policy: &Policy) -> Self {
        Self::with(policy.limits.calls, patience(policy))
    }

    fn with(limit: usize, patience: Duration) -> Self {
        Self {
            limit,
            patience,
            owners: KeyMap::default(),
            queue: VecDeque::new(),
        }
    }

    pub(super) fn set_policy(&mut self, policy: &Policy) {
        self.limit = policy.limits.calls;
        self.patience = patience(policy);
    }

    /// Whether there is nothing to look for.
    pub(super) fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// Whom the INVITE of this transaction was handed to.
    pub(super) fn owner(&self, key: ServerKey) -> Option<ShardId> {
        self.owners.get(&key).copied()
    }

    /// Notes an INVITE.
    pub(super) fn note(&mut self, now: Instant, key: ServerKey, owner: ShardId) {
        while let Some((until, _)) = self.queue.front()
            && (*until <= now || self.queue.len() >= self.limit)
        {
            if let Some((_, oldest)) = self.queue.pop_front() {
                self.owners.remove(&oldest);
            }
        }
        if self.owners.insert(key, owner).is_none() {
            self.queue.push_back((now + self.patience, key));
        }
    }
}

/// How long a call of this policy may be unanswered: a hunt, and where campaigns have calls wait, that and another hunt.
fn patience(policy: &Policy) -> Duration {
    let hunt = policy.hunt.time + RINGING;
    let campaigns = policy.directory.campaigns.iter();
    let waiting = campaigns.filter_map(|campaign| campaign.waiting);
    let longest = waiting.map(|waiting| waiting.time).max();
    longest.map_or(hunt, |longest| hunt + longest + hunt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock;
    use crate::sip::message::{Message, parse};
    use crate::transaction::layer::Layer;

    const PATIENCE: Duration = Duration::from_secs(300);
    const OTHER: ShardId = ShardId(1);

    #[test]
    fn the_oldest_gives_way_when_there_is_no_room() {
        let (mut handed, now) = (HandedOn::with(2, PATIENCE), clock::now());
        let keys = [1, 2, 3].map(key);

        // A repetition takes no place of its own.
        for place in [0, 1, 1, 2] {
            handed.note(now, keys[place], OTHER);
        }

        let owners = keys.map(|key| handed.owner(key));
        assert_eq!(owners, [None, Some(OTHER), Some(OTHER)]);
    }

    #[test]
    fn one_that_can_ring_no_more_is_forgotten_with_the_next() {
        let (mut handed, now) = (HandedOn::with(9, PATIENCE), clock::now());
        let later = now + PATIENCE;

        handed.note(now, key(1), OTHER);
        handed.note(later, key(2), OTHER);

        assert_eq!(
            [key(1), key(2)].map(|key| handed.owner(key)),
            [None, Some(OTHER)]
        );
        assert_eq!(handed.queue.len(), 1);
    }

    fn key(cseq: u32) -> ServerKey {
        let text = format!(
            "INVITE sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
             From: <sip:b@example.com>;tag=b\r\nTo: <sip:a@example.com>\r\nCall-ID: c\r\n\
             CSeq: {cseq} INVITE\r\nMax-Forwards: 70\r\n\r\n"
        );
        let Ok(Message::Request(request)) = parse(text.as_bytes()) else {
            panic!("{text}");
        };
        let layer = Layer::<()>::new(ShardId(0), [0; 16], 1);
        layer.invite_key(&request.essentials().unwrap())
    }
}
