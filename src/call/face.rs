//! How we appear to one side of a call: what our Via and Contact say there.

use crate::call::policy::Policy;
use crate::call::record::Side;
use crate::routing::trunk::Trunk;
use crate::sip::flow::ListenerId;

/// How we appear to one side.
#[derive(Clone, Copy)]
pub(crate) struct Face<'p> {
    pub(crate) policy: &'p Policy,
    /// The trunk, if it is the caller's side, for it may know us by another address.
    trunk: Option<&'p Trunk>,
}

impl<'p> Face<'p> {
    /// Towards one side of a call that came by `trunk`.
    pub(crate) fn towards(side: Side, policy: &'p Policy, trunk: &'p Trunk) -> Self {
        Self {
            policy,
            trunk: match side {
                Side::Caller | Side::Edge => Some(trunk),
                Side::Buyer => None,
            },
        }
    }

    /// Towards buyers.
    pub(crate) fn to_buyer(policy: &'p Policy) -> Self {
        Self {
            policy,
            trunk: None,
        }
    }

    /// `host:port` for what comes to a listener.
    pub(crate) fn advertised(self, listener: ListenerId) -> &'p str {
        let own = self.trunk.and_then(|trunk| trunk.advertise.at(listener));
        own.unwrap_or_else(|| self.policy.advertised(listener))
    }
}
