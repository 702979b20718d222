//! Which buyer gets the call.

pub mod book;
pub mod buyer;
pub mod caps;
pub mod decide;
pub mod directory;
pub mod hours;
pub mod trunk;
pub mod weight;
pub mod window;
pub mod zone;
