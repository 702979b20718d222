//! What happened in the runs, counted: to see that they are not all the same.

use std::collections::BTreeMap;

/// Counts by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    pub(crate) fn add(&mut self, name: &'static str) {
        *self.0.entry(name).or_default() += 1;
    }

    pub(crate) fn take_in(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            *self.0.entry(name).or_default() += count;
        }
    }

    pub(crate) fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// One line for each name.
    pub(crate) fn table(&self) -> String {
        let lines = self
            .0
            .iter()
            .map(|(name, count)| format!("{count:>9} {name}"));
        lines.collect::<Vec<_>>().join("\n")
    }
}
