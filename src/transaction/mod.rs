//! Transactions (RFC 3261 §17 with RFC 6026): what makes one request and its responses reliable.
//!
//! One file per machine, each with its drawing. [`layer`] keeps many of them, finds the one that a
//! message belongs to, and runs their timers; the TU (transaction user) is the call engine.
//!
//! ```text
//!   request in                            response in
//!       |                                      |
//!   Layer::receive                    Layer::receive_response
//!       | key (hash)                           | Mark (slot number)
//!       v                                      v
//!   ServerInvite | ServerNonInvite    ClientInvite | ClientNonInvite
//!       |                                      |
//!       +--- Effect::Transmit, TimedOut, ... --+--- Incoming, Answer ---> TU
//! ```
//!
//! Timers carry their RFC letters: A, B, D and M in [`client_invite`]; E, F, K in
//! [`client_non_invite`]; G, H, I, L in [`server_invite`]; J in [`server_non_invite`]. (C is a
//! proxy's, and a B2BUA is none.)

use bytes::Bytes;

use crate::sip::flow::Flow;

pub mod client_invite;
pub mod client_non_invite;
pub mod key;
pub mod layer;
pub mod server_invite;
pub mod server_non_invite;
pub mod timing;
pub mod wheel;

mod by_flow;
mod clients;
mod servers;
mod step;

pub use self::key::ServerKey;
pub use self::layer::{Answer, ClientId, Effect, Incoming, Layer, ServerId, Sink};
pub use self::timing::Timing;

#[cfg(test)]
mod tests;

/// A message and the way that it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The way.
    pub flow: Flow,
    /// The whole message.
    pub bytes: Bytes,
}

/// What one machine wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Send(Packet),
    /// Send this once more: it went before, as it is.
    Resend(Packet),
    /// Tell the TU that the peer did not answer: timer B, F or H, or 64·T1 after a CANCEL.
    TimedOut,
}

/// Whether `taken` of `limit` places are so many that no new work should be begun: an eighth of them is kept
/// for what ends work, and needs a place to do it.
fn is_crowded(taken: usize, limit: usize) -> bool {
    taken >= limit - limit / 8
}
