//! What the tests of all machines share: an origin of time, flows, and packets on them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;

use super::{Output, Packet};
use crate::sip::flow::{Flow, ListenerId, PeerId, Transport};

/// Some moment to count from; tests look at differences only.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant cannot be had otherwise; nothing waits for it"
)]
pub(super) fn origin() -> Instant {
    Instant::now()
}

/// A flow to 192.0.2.1.
pub(super) fn flow(transport: Transport) -> Flow {
    Flow {
        transport,
        listener: ListenerId(0),
        remote: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 5060)),
        peer: PeerId::NOBODY,
    }
}

/// `text` sent for the first time.
pub(super) fn send(transport: Transport, text: &'static str) -> Output {
    Output::Send(packet(transport, text))
}

/// `text` sent again.
pub(super) fn resend(transport: Transport, text: &'static str) -> Output {
    Output::Resend(packet(transport, text))
}

/// `text` on its way to 192.0.2.1.
pub(super) fn packet(transport: Transport, text: &'static str) -> Packet {
    Packet {
        flow: flow(transport),
        bytes: Bytes::from_static(text.as_bytes()),
    }
}
