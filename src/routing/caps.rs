//! How many calls a trunk brings, or a buyer takes.

/// Limits of one trunk or buyer, for the whole process. `None`: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Caps {
    /// Calls at once; at least 1.
    pub max_calls: Option<u32>,
    /// Calls per second: so many may come at once, and so many are added in a second; at least 1.
    pub max_cps: Option<u32>,
}

impl Caps {
    /// Whether there is any.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.max_calls.is_some() || self.max_cps.is_some()
    }
}
