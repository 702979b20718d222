//! Real peers: the built edge between clients and servers that others wrote.
//!
//! ```text
//!   carrier: SIPp, baresip        the edge            buyers: SIPp, baresip
//!   127.x.y.2 ------- SIP ------> 127.x.y.1 --- SIP ---> 127.x.y.8, .9, ...
//! ```
//!
//! Each test starts an edge of its own on loopback addresses of its own, so the tests run beside one
//! another. What the peers do is in `sipp/*.xml`; what the edge makes of it is asserted here by the peers'
//! exit codes, by what went over the wire (SIPp's message trace), by the call records, and by the gauge of
//! calls, which returns to zero. Debian: `apt-get install sip-tester baresip-core sipvicious`.

#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "peers are real processes: waiting for them needs the real clock"
)]

mod audio;
mod baresip;
mod calls;
mod cancel;
mod dialog;
mod edge;
mod hunt;
mod process;
mod refusals;
mod repeats;
mod rest;
mod scanners;
mod sipp;
mod site;
mod trace;
