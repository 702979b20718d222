//! The traps of a B2BUA, one by one: each a short course of messages, and exactly what the edge says. The
//! number in a name is that of the trap.

mod acks;
mod answers;
mod cancel;
mod challenges;
mod early_offers;
mod reliable;
mod reliable_offers;
mod rest;
mod session;
mod within;

use std::time::Duration;

use strowger::call::input::{Input, Which};
use strowger::call::output::Gauges;

use super::desk::{
    ANSWER, Desk, OFFER, Said, Talk, ack_of_failure, answer, buyer, buyer_request, caller_request,
    cancel, find, invite, ladder, specs, timed,
};
use super::digest;
use super::policy::{BUYER_REALM, CARRIER, PASSWORD, PolicySpec};
use super::text::{Msg, bare};

const NOTHING: [&str; 0] = [];

/// A desk whose one buyer gets credentials.
fn with_login() -> Desk {
    let mut buyers = specs(1);
    buyers[0].has_login = true;
    Desk::with(&PolicySpec {
        lines: vec![buyers],
        ..PolicySpec::default()
    })
}

pub(crate) fn challenge(request: &Msg, realm: &str, algorithms: &[&str]) -> Msg {
    algorithms.iter().fold(request.reply(401, "bob"), |reply, algorithm| {
        let value =
            format!("Digest realm=\"{realm}\", nonce=\"n1\", qop=\"auth,auth-int\", algorithm={algorithm}");
        reply.with("WWW-Authenticate", value)
    })
}
