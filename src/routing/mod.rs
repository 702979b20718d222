//! Which buyer gets the call.

pub mod buyer;
pub mod caps;
pub mod decide;
pub mod directory;
pub mod trunk;
pub mod weight;
