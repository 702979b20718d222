//! Strowger: a SIP edge for pay-per-call.
//!
//! A carrier's INVITE comes in, is authenticated, mapped to a campaign and offered to the campaign's
//! buyers in turn; the one that answers gets the call. Strowger is a B2BUA (RFC 3261 §6): one
//! [`call`] owns two legs, and each leg is a dialog of its own.
//!
//! # Floors
//!
//! A module may use lower floors only; `tests/architecture.rs` enforces it.
//!
//! ```text
//! 10  main.rs                    arguments, exit codes
//!  9  edge                       puts it together: shards, effects, reload, drain, admin, demo   I/O shell
//!  8  net  store                 sockets, connections, TLS, DNS, the media relay, clock / what outlives the process
//!  7  telemetry                  metric names, log set-up, call records
//! ───────────────────────────── sans-IO line: below it no socket, file, clock, lock, thread or random source
//!  6  config                     text -> checked, compiled settings
//!  5  call                       the B2BUA: one call, its two legs, what happens next            core
//!  4  auth  routing  hooks       who may call / which buyer / what others are told and asked
//!     twilio                     calls that Twilio brings
//!  3  dialog                     RFC 3261 §12
//!  2  transaction                RFC 3261 §17 with RFC 6026
//!  1  sip  media                 messages / SDP, RTP, relay decisions
//!  0  types                      ids, numbers, secrets
//! ```
//!
//! # The engine's contract
//!
//! The core takes `(now, input)` and returns outputs; it never asks the time, draws a random number
//! or opens a file, so every behaviour is tested in virtual time:
//!
//! ```text
//! engine.handle(now, Input)           one mutation
//! engine.poll_output() -> Option      drain all of them; their order is part of the contract
//! engine.poll_timeout() -> Option     when to call handle(now, Input::Timeout) next
//! ```

pub mod types;

pub mod media;
pub mod sip;

pub mod transaction;

pub mod dialog;

pub mod auth;
pub mod hooks;
pub mod routing;
pub mod twilio;

pub mod call;

pub mod config;

pub mod telemetry;

pub mod net;
pub mod store;

pub mod edge;

#[cfg(test)]
#[path = "../tests/support/shared.rs"]
mod shared;
