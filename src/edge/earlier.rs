//! What a caller's other calls have come to, for one that is over and may convert yet.

use std::sync::Arc;

use crate::hooks::past::Past;
use crate::store::Earlier;
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;
use crate::types::number::Number;

/// Conversions of a caller's other calls, by group and buyer, and the webhooks that fired for them.
#[derive(Default)]
pub(super) struct Conversions {
    conversions: Vec<(Arc<str>, Arc<str>, Moment)>,
    /// Webhooks, and when they fired.
    fired: Vec<(Box<str>, Moment)>,
    /// Some of its calls are left out.
    is_cut: bool,
}

impl Conversions {
    pub(super) fn add(&mut self, group: Arc<str>, buyer: &str, at: Moment) {
        self.conversions.push((group, buyer.into(), at));
    }

    /// Not all is known.
    pub(super) fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Adds webhooks that fired for one of them, or for the call itself.
    pub(super) fn add_fired(&mut self, fired: &[(Arc<str>, Moment)]) {
        let fired = fired.iter().map(|(hook, at)| ((**hook).into(), *at));
        self.fired.extend(fired);
    }

    /// Adds all, but for the conversion of the call itself.
    pub(super) fn add_all(&mut self, own: CallUuid, earlier: Vec<Earlier>) {
        for call in earlier {
            self.fired.extend(call.fired);
            if call.uuid != own
                && let (Some(buyer), Some(conversion)) = (call.buyer, call.conversion)
                && conversion.is_converted
            {
                self.conversions
                    .push((conversion.group.into(), buyer.into(), conversion.at));
            }
        }
    }
}

impl Past for Conversions {
    fn is_known(&self) -> bool {
        !self.is_cut
    }

    fn last_fired(&self, webhook: &str, _: Number) -> Option<Moment> {
        let fired = self.fired.iter().filter(|(one, _)| **one == *webhook);
        fired.map(|(_, at)| *at).max()
    }

    fn last_converted(&self, group: &str, buyer: &str, _: Number) -> Option<Moment> {
        let meant = self.conversions.iter();
        let meant = meant.filter(|(one, other, _)| **one == *group && **other == *buyer);
        meant.map(|(_, _, at)| *at).max()
    }
}
