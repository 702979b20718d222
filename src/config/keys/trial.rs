//! The keys of files of route tests.

use crate::config::raw::Shape;

pub(in crate::config) const TRIALS: Shape = Shape {
    name: "",
    keys: &["case"],
};

pub(in crate::config) const CASE: Shape = Shape {
    name: "case",
    keys: &[
        "name", "to", "from", "trunk", "at", "uuid", "tags", "calls", "counted", "down", "answer",
        "past", "expect",
    ],
};

pub(in crate::config) const CASE_ANSWER: Shape = Shape {
    name: "case.answer",
    keys: &["webhook", "status", "json"],
};

pub(in crate::config) const CASE_PAST: Shape = Shape {
    name: "case.past",
    keys: &["campaign", "buyer", "ago", "converted"],
};

pub(in crate::config) const CASE_EXPECT: Shape = Shape {
    name: "case.expect",
    keys: &[
        "campaign", "afid", "sid", "buyer", "order", "status", "reason", "verdicts", "tags",
        "headers", "webhooks", "silent",
    ],
};
