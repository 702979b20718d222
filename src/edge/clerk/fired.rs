//! What later calls of a caller are to know of what has come of one that is over.

use crate::call::late::{Change, Late};
use crate::edge::clerk::Work;
use crate::store::entry::{Fired, Past, Remembered};
use crate::store::{Entry, Refused};
use crate::types::moment::Moment;

impl Work {
    /// Has it remembered which webhooks do not fire again, and tells those calls that want to know.
    pub(super) fn remember(
        &mut self,
        late: &Late,
        now: Moment,
        change: &Change,
    ) -> Result<(), Refused> {
        if let Some(was) = late.whereabouts().filter(|_| !change.fired.is_empty()) {
            let fired = change
                .fired
                .iter()
                .map(|(hook, at)| Fired { hook, at: *at });
            self.lane.append(&Entry::Remembered(Remembered {
                uuid: late.uuid(),
                ended: late.ended(),
                past: Past {
                    company: was.company,
                    caller: &was.caller.to_string(),
                    number: &was.dialled.to_string(),
                    campaign: was.campaign,
                    afid: Some(was.afid),
                    buyer: was.buyer,
                    answered: was.answered,
                    fired: fired.collect::<Vec<_>>().into(),
                },
            }))?;
        }
        if let Some(news) = late.news(now, change) {
            self.teller.tell(&news);
        }
        Ok(())
    }
}
