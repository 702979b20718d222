//! What comes after the answer, and after the end, of a call that is walked again.

use std::sync::Arc;
use std::time::Duration;

use crate::call::replay::walk::Walk;
use crate::call::replay::{End, Replayed};
use crate::hooks::after::{self, Firing};
use crate::hooks::conversion::{Conversion, Ended, Talk};
use crate::hooks::trigger::Trigger;

impl Walk<'_> {
    /// What comes after the answer, and after the end.
    pub(super) fn conclude(&mut self, end: &End, replayed: &mut Replayed) {
        let last = &self.call.last;
        let talk = match end {
            End::Taken(_) | End::Unknown(_) => last.talk,
            End::Refused { .. } | End::AsItDid => None,
        };
        if let (Some(talk), End::Taken(_)) = (talk, end) {
            self.answer(talk);
        }
        self.go_to(self.call.at.after(last.total), usize::MAX);
        let began = self.call.at;
        let progress = &mut self.story.progress;
        if let (Some(talk), Some(answered)) = (talk, &mut progress.answered) {
            *answered = began.after(last.total.saturating_sub(talk));
        }
        progress.status = Some(match talk {
            Some(_) => "completed",
            None => "not_connected",
        });
        progress.reason = Some(match end {
            End::Refused { outcome, .. } => Arc::from(*outcome),
            End::Taken(_) | End::Unknown(_) | End::AsItDid => Arc::clone(&last.outcome),
        });
        progress.sip_code = Some(match end {
            End::Refused { status, .. } => *status,
            End::Taken(_) | End::Unknown(_) | End::AsItDid => last.status,
        });
        progress.ended = Some(self.now);
        progress.duration = talk;
        progress.total = Some(last.total);
        progress.ringing = self.known.ringing;
        progress.hung_up_by = last.hung_up_by;
        let (conversion, due) = self.settle(talk);
        match end {
            End::Unknown(_) => replayed.supposed = conversion,
            End::Taken(_) | End::Refused { .. } | End::AsItDid => {
                self.webhooks.extend(due);
                replayed.supposed.clone_from(&conversion);
                replayed.conversion = conversion;
            }
        }
    }

    /// A buyer has answered, and they talk for so long.
    fn answer(&mut self, talk: Duration) {
        let state = self.known.answer.map_or(self.state, usize::from);
        let total = self.call.last.total;
        let answered = self.call.at.after(total.saturating_sub(talk));
        let (heard, known_for) = self.known.answer_known.unwrap_or((answered, talk));
        self.go_to(heard, state);
        self.story.progress.answered = Some(heard);
        self.story.progress.status = Some("answered");
        let Some(hooks) = self.story.hooks.clone() else {
            return;
        };
        self.ping(Trigger::Answered);
        for (after, hook) in after::timers(&hooks, self.story.offset) {
            if after > talk.max(known_for) {
                break;
            }
            // What was due before anybody knew of the answer, or of how long they talked, fires with the end.
            let is_late = after > known_for;
            let due = match is_late {
                true => self.call.at.after(total),
                false => heard.after(after),
            };
            let state = if is_late {
                usize::MAX
            } else if after.is_zero() {
                state
            } else {
                let over = self.known.states.iter();
                over.take_while(|held| held.until.is_some_and(|until| until <= due))
                    .count()
            };
            self.go_to(due, state);
            let fires = self.due(Trigger::Timer);
            if fires.iter().any(|(id, _)| *id == hook.id) {
                self.fire(Arc::clone(&hook.id), Trigger::Timer);
            }
        }
    }

    /// What the call comes to, and what fires because of that.
    fn settle(&mut self, talk: Option<Duration>) -> (Option<Conversion>, Vec<(Arc<str>, Trigger)>) {
        let Some(hooks) = self.story.hooks.clone() else {
            return (None, Vec::new());
        };
        if talk.is_some() && !self.story.facts.campaign.settle.is_zero() {
            // That is found out later, and no record tells it.
            return (None, Vec::new());
        }
        let buyer = self.story.progress.buyer.clone();
        let talk = talk.map(|time| Talk {
            buyer: buyer.as_deref().unwrap_or_default(),
            time,
            offset: self.story.offset,
        });
        let conversion = {
            let seen = self.story.seen();
            let ended = Ended {
                facts: &seen,
                talk,
                caller: self.story.facts.caller,
                posted: self.known.posted,
                now: self.now,
            };
            Conversion::of(&hooks.groups, &ended, &self.remembers())
        };
        self.story.note_conversion(&hooks, &conversion);
        let seen = self.story.seen();
        let firing = Firing {
            facts: &seen,
            caller: self.story.facts.caller,
            past: &self.remembers(),
            now: self.now,
        };
        let due = firing.after_call(&hooks, talk.is_some(), &conversion);
        let due = due.into_iter();
        let due = due
            .map(|hook| (Arc::clone(&hook.id), hook.trigger))
            .collect();
        ((!hooks.groups.is_empty()).then_some(conversion), due)
    }
}
