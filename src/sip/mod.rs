//! SIP messages (RFC 3261 §7, §25): bytes in, typed views, bytes out.
//!
//! ```text
//! frame ──> scan ──> message ──> header, uri          in: borrowed from the datagram, nothing copied
//!                                                     out: build <── retreaver
//! ```

pub mod body;
pub mod brief;
pub mod build;
mod chars;
#[cfg(test)]
mod differential;
pub mod error;
mod essentials;
pub mod extensions;
pub mod flow;
pub mod frame;
pub mod glance;
pub mod header;
pub mod locate;
pub mod message;
pub mod name;
pub mod reason;
pub mod reply;
pub mod retreaver;
pub mod rules;
pub mod scan;
pub mod uri;
