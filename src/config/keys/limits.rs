//! Keys of times and bounds.

use crate::config::raw::Shape;

pub(in crate::config) const TIMERS: Shape = Shape {
    name: "timers",
    keys: &["t1", "t2", "t4"],
};

pub(in crate::config) const LIMITS: Shape = Shape {
    name: "limits",
    keys: &["calls", "transactions", "nonces", "call_time"],
};

pub(in crate::config) const GUARD: Shape = Shape {
    name: "guard",
    keys: &[
        "refusals",
        "window",
        "ban",
        "longest_ban",
        "rate",
        "burst",
        "strangers",
        "senders",
        "guesses",
        "lock",
        "half_open",
    ],
};

pub(in crate::config) const OVERLOAD: Shape = Shape {
    name: "overload",
    keys: &["target", "stale"],
};
