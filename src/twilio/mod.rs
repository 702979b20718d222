//! Calls that Twilio brings, and what it asks and tells on the way. Pure: bytes and facts in, decisions and texts out; the
//! HTTP side, the store and the clock are the shell's.
//!
//! ```text
//!  webhook --> signature --> front_door --+--> voice ----> connect (hand-offs) --> ticket --> twiml: <Dial><Sip>, our own edge
//!  (form)                                 +--> dial:       what a leg came to -> the next buyer, or the end
//!                                         +--> ivr:        a small flow of prompts -> tags
//!                                         +--> assistant:  a stream to whoever talks to the caller
//!                                         +--> callback, progress: what happened; never backwards
//!  JSON -----> signature --> notification: 200, 404 or 400, and who gets it (binding)
//!  users ----> access_token (jwt)
//!  accounts -> integration --> rest, numbers --> self_check
//!
//!  form, public_url, sid, sip_uri, xml, mac: what all of these are written in
//! ```
//!
//! Whoever wires a webhook: find the place ([`front_door::find`]), read the form, look the keys of its `AccountSid` up,
//! [`signature::Webhook::verify`], and only then read anything else of it.

pub mod access_token;
pub mod assistant;
pub mod binding;
pub mod callback;
pub mod connect;
pub mod dial;
pub mod form;
pub mod front_door;
pub mod integration;
pub mod ivr;
pub mod jwt;
pub mod mac;
pub mod notification;
pub mod numbers;
pub mod progress;
pub mod public_url;
pub mod rest;
pub mod self_check;
pub mod sid;
pub mod signature;
pub mod sip_uri;
pub mod ticket;
pub mod twiml;
pub mod voice;
pub mod xml;

#[cfg(test)]
mod tests;
