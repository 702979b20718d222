//! What the watch keeps of one leg: one Call-ID, its dialogs, what was asked and answered in them.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use bytes::Bytes;

/// One Call-ID.
pub(crate) struct Leg {
    pub(crate) call: usize,
    pub(crate) is_caller: bool,
    /// The edge's tag.
    pub(crate) own_tag: String,
    /// Bodies that this side sent.
    pub(crate) bodies: HashSet<String>,
    /// By CSeq: the edge's INVITEs.
    pub(crate) invites: BTreeMap<u32, Invite>,
    /// By CSeq and method: what the edge answered to the peer's requests.
    pub(crate) answers: BTreeMap<(u32, String), Answered>,
    /// By the peer's tag.
    pub(crate) dialogs: BTreeMap<String, Dialog>,
    /// CSeq of the last INVITE of the peer's that begins a call.
    pub(crate) first_cseq: u32,
    /// RSeqs of the edge's reliable responses that the caller is yet to acknowledge.
    pub(crate) rseqs: HashSet<u32>,
    /// CSeqs of this side's offers in UPDATE and PRACK that the edge is yet to answer.
    pub(crate) offers: HashSet<u32>,
    /// The caller took its INVITE back, or ended the early dialog.
    pub(crate) is_given_up: bool,
}

pub(crate) struct Invite {
    pub(crate) has_offer: bool,
    pub(crate) is_first: bool,
    /// Final status heard.
    pub(crate) status: u16,
    /// When the first 2xx was heard: 64·T1 later the transaction is over (timer M).
    pub(crate) ok_at: Option<Instant>,
}

pub(crate) struct Answered {
    pub(crate) tag: Option<String>,
    pub(crate) status: u16,
    pub(crate) bytes: Bytes,
}

#[derive(Default)]
pub(crate) struct Dialog {
    /// A 2xx for the INVITE that began it went one way or the other.
    pub(crate) is_up: bool,
    /// CSeqs of the edge's ACKs.
    pub(crate) acked: HashSet<u32>,
    /// CSeqs of the peer's ACKs.
    pub(crate) acks_heard: HashSet<u32>,
    /// CSeqs of the edge's BYEs.
    pub(crate) byes: HashSet<u32>,
    /// The edge's last BYE was challenged: one more may follow.
    pub(crate) may_repeat_bye: bool,
    pub(crate) is_bye_heard: bool,
    /// CSeqs of the peer's INVITEs that the edge answered with 2xx.
    pub(crate) oks: HashSet<u32>,
    /// When the edge said 2xx to the INVITE that began it.
    pub(crate) ok_at: Option<Instant>,
}

impl Leg {
    pub(crate) fn new(call: usize, is_caller: bool) -> Self {
        Self {
            call,
            is_caller,
            own_tag: String::new(),
            bodies: HashSet::new(),
            invites: BTreeMap::new(),
            answers: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            first_cseq: 0,
            rseqs: HashSet::new(),
            offers: HashSet::new(),
            is_given_up: false,
        }
    }

    /// The edge's tag: that of its ringing, until it has answered.
    pub(crate) fn own_tag(&self) -> &str {
        let first = (self.first_cseq, "INVITE".to_owned());
        let rung = self.answers.get(&first).and_then(|one| one.tag.as_deref());
        if self.own_tag.is_empty() {
            rung.unwrap_or_default()
        } else {
            &self.own_tag
        }
    }
}
