//! A trunk: the way by which one carrier sends us calls.

use std::fmt;
use std::sync::Arc;

use crate::types::number::NumberPlan;

/// One trunk, as configured.
pub struct Trunk {
    /// Its id in the configuration.
    pub id: Arc<str>,
    /// The company whose numbers it may dial.
    pub company: CompanyId,
    /// How its numbers are read.
    pub plan: NumberPlan,
    /// Names of headers that may pass from it to buyers besides the safe ones, in lower case.
    pub pass_headers: Vec<Box<str>>,
    /// Final status of its own for an outcome (`number_unknown`, `all_busy`, ...), by label.
    pub answers: Vec<(Box<str>, u16)>,
}

impl fmt::Debug for Trunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trunk").field(&self.id).finish()
    }
}

/// Place of a company in [`Directory::companies`](crate::routing::directory::Directory).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CompanyId(pub u16);
