//! Which webhooks fire for a call that is over, and for whom they do not fire again for a while.

use std::sync::Arc;

use crate::call::late::Late;
use crate::call::story::Delivery;
use crate::hooks::after::Firing;
use crate::hooks::model::{CampaignHooks, Webhook};
use crate::hooks::past::Past;
use crate::hooks::request::{DeliveryId, Request};
use crate::types::moment::Moment;

impl Late {
    /// Webhooks that have fired since it was read and do not again for this caller for a while: their ids, and when.
    #[must_use]
    pub fn fired(&self) -> &[(Arc<str>, Moment)] {
        &self.fired
    }

    /// The same, without so many.
    pub(super) fn fired_since(&self, before: usize) -> Vec<(Arc<str>, Moment)> {
        self.fired.get(before..).unwrap_or_default().to_vec()
    }

    /// What is sent because of something; `turn` tells apart the times that a webhook fires.
    pub(super) fn fire(
        &mut self,
        now: Moment,
        past: &dyn Past,
        turn: u32,
        due: impl FnOnce(Firing<'_>, &CampaignHooks) -> Vec<Arc<Webhook>>,
    ) -> Vec<Delivery> {
        let Some(hooks) = &self.story.hooks else {
            return Vec::new();
        };
        let seen = self.story.seen();
        let firing = Firing {
            facts: &seen,
            caller: self.story.facts.caller,
            past,
            now,
        };
        let mut deliveries = Vec::new();
        for webhook in due(firing, hooks) {
            let delivery = DeliveryId::new(&self.story.facts.uuid, &webhook.id, turn);
            // One that would be too long is not sent, as while a call lasts.
            let Ok(request) = Request::build(&webhook, &seen, &delivery) else {
                continue;
            };
            let trigger = webhook.trigger;
            deliveries.push(Delivery { trigger, request });
            if webhook.dedupe.is_some() {
                self.fired.push((Arc::clone(&webhook.id), now));
            }
        }
        deliveries
    }
}
