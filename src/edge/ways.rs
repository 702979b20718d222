//! The ways out of a shard: what its effects are done by.

use std::sync::Arc;

use crate::edge::abroad::AbroadDesk;
use crate::edge::inbox::Mailbox;
use crate::edge::media::MediaDesk;
use crate::edge::postroom::Postroom;
use crate::edge::recall::RecallDesk;
use crate::edge::rtpengine::RtpengineDesk;
use crate::edge::webhooks::WebhookDesk;
use crate::net::resolver::Asker;
use crate::net::streams::Lines;
use crate::net::udp::Port;

/// The ways out of a shard.
pub(super) struct Ways {
    /// Over UDP, one per listener that speaks it.
    pub(super) ports: Vec<Port>,
    /// Over TCP and TLS; `None`: nobody listens there.
    pub(super) lines: Option<Arc<Lines<Postroom>>>,
    /// To all shards, the own one included.
    pub(super) shards: Vec<Mailbox>,
    /// To the relay; `None`: no media is relayed.
    pub(super) media: Option<MediaDesk>,
    /// To rtpengine; `None`: there is none.
    pub(super) rtpengine: Option<RtpengineDesk>,
    /// To those who have webhooks.
    pub(super) webhooks: WebhookDesk,
    /// To what is remembered of callers.
    pub(super) recall: RecallDesk,
    /// To those who ask what is next with calls that a vendor carries.
    pub(super) abroad: AbroadDesk,
    /// To DNS; `None`: names are not looked up.
    pub(super) asker: Option<Asker>,
}
