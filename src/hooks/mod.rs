//! What a campaign tells others, asks them, and earns: webhooks, their answers, conversions, postbacks.
//!
//! ```text
//! number matched ── start pings ──> window, 5 s ──> tags ──> routing ── selected ──> INVITE ── answered ──> timers
//! postback ── tags, conversion ──> postback hooks
//! call over ── conversion ──> connect, conversion or non-conversion, always ──> outbox
//! ```
//!
//! Nothing here sends anything: a [`request::Request`] is what the shell is to send, and its answer comes back as bytes.

pub mod after;
pub mod conversion;
mod json;
pub mod keys;
pub mod model;
pub mod past;
pub mod postback;
pub mod reply;
pub mod request;
pub mod trigger;
pub mod window;
