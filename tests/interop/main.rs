//! Real peers: the built edge between clients and servers that others wrote.
//!
//! ```text
//!   carrier: SIPp, baresip,       the edge            buyers: SIPp, baresip
//!   linphonec, Kamailio                               behind Kamailio
//!   127.x.y.2 ------- SIP ------> 127.x.y.1 --- SIP ---> 127.x.y.8, .9, ...
//! ```
//!
//! Each test starts an edge of its own on loopback addresses of its own, so the tests run beside one
//! another. What the peers do is in `sipp/*.xml`; what the edge makes of it is asserted here by the peers'
//! exit codes, by what went over the wire (SIPp's message trace), by the call records, and by the gauge of
//! calls, which returns to zero. `tests/run` installs what is needed.
//!
//! In `twilio` the peers are Twilio's own libraries, and are asked what they think of what we sign, read and write.

#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "peers are real processes: waiting for them needs the real clock"
)]

mod alone;
mod audio;
mod baresip;
mod calls;
mod campaigns;
#[path = "../support/canary.rs"]
mod canary;
mod cancel;
mod caps;
mod captures;
#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/collection.rs"]
mod collection;
mod corpus;
mod dialog;
mod edge;
mod forged;
mod hunt;
mod kamailio;
mod kept;
mod linphone;
mod postbacks;
mod process;
mod proxies;
mod refusals;
mod repeats;
mod rest;
mod rtpengine;
mod scanners;
mod sipp;
mod site;
mod streams;
mod stunnel;
mod talk;
mod taps;
mod trace;
mod twilio;
#[expect(
    dead_code,
    reason = "tests/it has things go wrong there; here nothing does"
)]
#[path = "../support/twilio_api/mod.rs"]
mod twilio_api;
mod web;
mod wires;
mod witness;
