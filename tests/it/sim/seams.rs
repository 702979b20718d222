//! Where a call's parts meet what goes wrong around them: answers that cannot be written, a transport
//! that fails, tables that are nearly full, buyers that say nothing.

use std::time::Duration;

use strowger::call::output::Event;

use super::desk::{Talk, find, ladder};
use super::policy::CARRIER;

const NOTHING: [&str; 0] = [];

// --- answers that cannot be written

#[test]
fn a_folded_reason_comes_through_on_one_line() {
    let mut talk = Talk::new();
    let info = talk.caller("INFO", 2);
    let asked = find(&talk.caller_says(&info), "b0 INFO");

    let reason = "Q.850\r\n ;cause=16";
    let said = talk.buyer_says(&asked.reply(488, "bob").with("Reason", reason));

    assert_eq!(ladder(&said), ["carrier 488 INFO"]);
    assert_eq!(said[0].message.value("Reason"), "Q.850 ;cause=16");
}

#[test]
fn an_answer_that_would_be_too_long_is_500_and_leaves_nothing_behind() {
    let mut talk = Talk::new();
    let mut info = talk.caller("INFO", 2);
    for _ in 0..6 {
        info = info.with(
            "Via",
            format!("SIP/2.0/UDP {CARRIER};x={}", "x".repeat(7000)),
        );
    }
    let asked = find(&talk.caller_says(&info), "b0 INFO");

    let long = asked
        .reply(200, "bob")
        .with_body("text/plain", "y".repeat(40_000));
    let said = talk.buyer_says(&long);

    assert_eq!(ladder(&said), ["carrier 500 INFO"]);
    assert_eq!(ladder(&talk.caller_says(&info)), ["carrier 500 INFO"]);
    let unbuildable = |event: &&Event| matches!(event, Event::Unbuildable);
    assert_eq!(talk.desk.events.iter().filter(unbuildable).count(), 1);
    assert_eq!(ladder(&talk.desk.pass(Duration::from_secs(40))), NOTHING);
    assert_eq!(talk.desk.gauges().server_transactions, 0);
}
