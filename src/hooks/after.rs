//! What fires once a call is answered, and once it is over.
//!
//! ```text
//! answer ── timer ── timer ──────────> over ── connect ── conversion | non-conversion ── always
//!                                       postback awaited:  connect ── always ┄┄┄ conversion | non-conversion
//! ```

use std::sync::Arc;
use std::time::Duration;

use crate::hooks::conversion::{Conversion, Verdict};
use crate::hooks::model::{CampaignHooks, Webhook};
use crate::hooks::past::Past;
use crate::hooks::trigger::Trigger;
use crate::types::moment::Moment;
use crate::types::number::Number;
use crate::types::tag::Lookup;

/// Who asks which webhooks fire.
#[derive(Clone, Copy)]
pub struct Firing<'c> {
    /// What is known of the call.
    pub facts: &'c dyn Lookup,
    /// Who called, if that is known.
    pub caller: Option<Number>,
    /// What is remembered of the caller.
    pub past: &'c dyn Past,
    /// When this is asked.
    pub now: Moment,
}

impl<'c> Firing<'c> {
    /// The webhooks of one trigger that fire, in their order: their conditions hold, and they have not fired for this caller a
    /// short while ago.
    pub fn due(
        self,
        hooks: &'c CampaignHooks,
        trigger: Trigger,
    ) -> impl Iterator<Item = &'c Arc<Webhook>> {
        hooks
            .matching(trigger, self.facts)
            .filter(move |hook| !self.is_duplicate(hook))
    }

    /// Those of a call that is over, in their order, each trigger to be done with before the next. While a postback is
    /// awaited neither conversion nor non-conversion fires.
    #[must_use]
    pub fn after_call(
        self,
        hooks: &'c CampaignHooks,
        was_answered: bool,
        conversion: &Conversion,
    ) -> Vec<&'c Arc<Webhook>> {
        let connect = was_answered.then_some(Trigger::Connect);
        let triggers = [connect, settled(conversion), Some(Trigger::Always)];
        let triggers = triggers.into_iter().flatten();
        triggers.flat_map(|one| self.due(hooks, one)).collect()
    }

    /// Those that fire once a conversion that was awaited is settled, by a postback or because none came.
    #[must_use]
    pub fn once_settled(
        self,
        hooks: &'c CampaignHooks,
        conversion: &Conversion,
    ) -> Vec<&'c Arc<Webhook>> {
        let trigger = settled(conversion).into_iter();
        trigger.flat_map(|one| self.due(hooks, one)).collect()
    }

    fn is_duplicate(self, hook: &Webhook) -> bool {
        let (Some(dedupe), Some(caller)) = (hook.dedupe, self.caller) else {
            return false;
        };
        // What may have been told is not told twice.
        if !self.past.is_known() {
            return true;
        }
        let last = self.past.last_fired(&hook.id, caller);
        last.is_some_and(|last| self.now.since(last) < dedupe)
    }
}

/// What the verdict triggers, once there is one.
fn settled(conversion: &Conversion) -> Option<Trigger> {
    match conversion.verdict {
        Verdict::Converted(_) => Some(Trigger::Conversion),
        Verdict::Missed => Some(Trigger::NonConversion),
        Verdict::Awaited(_) => None,
    }
}

/// The timers of a call that was answered, the earliest first, each with its time from the answer on. Whether its conditions hold
/// is asked when it is due: the tags may be others by then.
#[must_use]
pub fn timers(hooks: &CampaignHooks, offset: Duration) -> Vec<(Duration, Arc<Webhook>)> {
    let mut timers: Vec<_> = hooks
        .all_of(Trigger::Timer)
        .iter()
        .map(|hook| {
            // At once is at once, whatever the buyer's timers have on top.
            let offset = if hook.after.is_zero() {
                hook.after
            } else {
                offset
            };
            (hook.after.saturating_add(offset), Arc::clone(hook))
        })
        .collect();
    timers.sort_by_key(|(after, _)| *after);
    timers
}

#[cfg(test)]
mod tests;
