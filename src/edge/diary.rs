//! What a shard writes down before the world sees it: that a call was let in, that it was answered, what counts against whose
//! limit, what is to be delivered.
//!
//! The shard commits before the messages of a wake-up leave, so what a carrier or a buyer has heard is in the journal, whatever
//! becomes of the process; what happens when it cannot commit is told in `exits`. The end of a call is not here: its record goes by way of the thread that writes records, and a call
//! without one is ended at the next start.

use std::borrow::Cow;
use std::mem;

use tracing::error;

use crate::call::output::Event;
use crate::call::story::Delivery;
use crate::edge::journal;
use crate::hooks::postback::Posting;
use crate::routing::book::Counted;
use crate::store::entry::{
    Admitted, Answered, Counted as Kept, KnownTag, Posted, Queued, Spent, Tagged, Used, WaitingTag,
};
use crate::store::{self, Entry, Lane, List};
use crate::twilio::ticket::Pass;
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;
use crate::types::tag::Tags;

/// One shard's lane of the journal.
pub(super) struct Diary {
    lane: Lane,
    /// The last commit has failed, and it was said.
    is_stuck: bool,
    /// Something was refused since the last commit.
    has_lost: bool,
}

impl Diary {
    pub(super) fn new(lane: Lane) -> Self {
        Self {
            lane,
            is_stuck: false,
            has_lost: false,
        }
    }

    /// Whether calls may be let in: what happens to them can be kept. If the last commit has failed, tries again.
    pub(super) fn is_open(&mut self) -> bool {
        if self.is_stuck {
            self.commit();
        }
        self.lane.is_open()
    }

    /// Takes down what belongs into the journal.
    pub(super) fn handle_event(&mut self, now: Moment, event: &Event) {
        if let Event::Started {
            uuid,
            trunk,
            dialled,
            call_id,
            origin,
            ..
        } = event
        {
            let (dialled, caller) = (
                dialled.as_ref().map(ToString::to_string),
                origin.caller.as_ref().map(ToString::to_string),
            );
            self.append(&Entry::Admitted(Admitted {
                uuid: *uuid,
                at: now,
                generation: origin.generation,
                trunk,
                user: origin.user.as_deref(),
                company: origin.company.as_deref(),
                campaign: origin.campaign.as_deref(),
                afid: origin.afid.as_deref(),
                sid: origin.sid.as_deref(),
                dialled: dialled.as_deref(),
                caller: caller.as_deref(),
                call_id,
                note: &[],
            }));
        } else if let Event::Answered { uuid, buyer, .. } = event {
            self.append(&Entry::Answered(Answered {
                uuid: *uuid,
                at: now,
                buyer: &buyer.id,
                claims: List::default(),
                note: &[],
            }));
        } else if let Event::TagsTaken {
            of, campaign, tags, ..
        } = event
        {
            let tags = tags.iter().map(|tag| WaitingTag {
                key: &tag.key,
                value: &tag.value,
                until: tag.until,
            });
            let tags: Vec<_> = tags.collect();
            let caller = of.caller.to_string();
            let company = Cow::Borrowed(&*of.company);
            for realm in [company, store::realm(&of.company, campaign)] {
                self.append(&Entry::Used(Used {
                    company: &realm,
                    caller: &caller,
                    tags: List::from(&tags[..]),
                }));
            }
        }
    }

    /// Takes down what counts in windows from now on.
    pub(super) fn count(&mut self, now: Moment, uuid: CallUuid, counted: &[Counted]) {
        if counted.is_empty() {
            return;
        }
        let names: Vec<_> = counted.iter().map(journal::window_names).collect();
        let claims = journal::claims(counted, &names, now);
        self.append(&Entry::Counted(Kept {
            uuid,
            claims: claims.into(),
        }));
    }

    /// Takes down that a ticket was used.
    pub(super) fn spend(&mut self, pass: Pass) {
        self.append(&Entry::Spent(Spent {
            realm: journal::TICKETS,
            token: &format!("{:032x}", pass.uuid),
            until: pass.expires,
        }));
    }

    /// Takes down what is known of a call that goes on.
    pub(super) fn keep(&mut self, uuid: CallUuid, tags: &Tags) {
        let tags = tags.iter().map(|tag| KnownTag {
            key: &tag.key,
            value: &tag.value,
            origin: tag.origin.label(),
        });
        let tags: Vec<_> = tags.collect();
        self.append(&Entry::Tagged(Tagged {
            uuid,
            tags: tags.into(),
        }));
    }

    /// Takes down what is to be delivered while a call lasts.
    pub(super) fn queue(&mut self, now: Moment, call: CallUuid, deliveries: &[Delivery]) {
        let headers: Vec<_> = deliveries.iter().map(journal::headers).collect();
        let kept = deliveries.iter().zip(&headers);
        let kept: Vec<_> = kept
            .map(|(delivery, headers)| journal::kept(delivery, headers, now))
            .collect();
        self.append(&Entry::Queued(Queued {
            call,
            at: now,
            deliveries: kept.into(),
        }));
    }

    /// Takes down what somebody has said of calls.
    pub(super) fn post(&mut self, now: Moment, calls: &[CallUuid], posting: &Posting) {
        let tags = journal::stored_tags(posting);
        let (payout, revenue) = journal::amounts(&posting.posted);
        for uuid in calls {
            self.append(&Entry::Posted(Posted {
                uuid: *uuid,
                at: now,
                tags: List::from(&tags[..]),
                said: journal::said(&posting.posted, &payout, &revenue),
                deliveries: List::default(),
            }));
        }
    }

    /// Hands what was taken down to the kernel. `false`: it does not take it, and what was taken down stays and is tried again the next
    /// time; or something found no room.
    pub(super) fn commit(&mut self) -> bool {
        let result = self.lane.commit();
        let has_lost = mem::take(&mut self.has_lost);
        let is_kept = result.is_ok() && !has_lost;
        match result {
            Ok(()) => self.is_stuck = false,
            Err(error) => {
                if !self.is_stuck {
                    error!(%error, "the journal cannot be written: no call is let in");
                }
                self.is_stuck = true;
            }
        }
        is_kept
    }

    #[cfg(test)]
    pub(super) fn lane(&mut self) -> &mut Lane {
        &mut self.lane
    }

    fn append(&mut self, entry: &Entry<'_>) {
        if let Err(refused) = self.lane.append(entry) {
            self.has_lost = true;
            if !self.is_stuck {
                // The store counts it.
                error!(%refused, "something that has happened is not kept");
            }
        }
    }
}
