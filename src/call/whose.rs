//! Which call has a name, and whose media is whose: for whoever looks on from outside.

use crate::call::Engine;
use crate::call::core::CallKey;
use crate::call::media::Anchored;
use crate::media::plan::SessionId;
use crate::types::ids::CallUuid;

impl Engine {
    /// Whether a call of this name is here. Looks at all calls.
    #[must_use]
    pub fn has_call(&self, uuid: CallUuid) -> bool {
        self.registry.named(uuid).is_some()
    }

    /// A call's media at our relay; `None`: there is none yet, or no such call. Looks at all calls.
    #[must_use]
    pub fn media_of(&self, uuid: CallUuid) -> Option<SessionId> {
        let key = self.registry.named(uuid)?;
        match &self.registry.peek(key)?.media {
            Anchored::Relay(anchor) => Some(anchor.id),
            Anchored::Direct | Anchored::Rtpengine(_) => None,
        }
    }

    /// The call whose media has this name.
    #[must_use]
    pub fn whose_media(&self, id: SessionId) -> Option<CallUuid> {
        let call = self.registry.peek(CallKey::of_session(id))?;
        Some(call.uuid)
    }
}
