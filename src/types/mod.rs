//! What every floor speaks of: identifiers, numbers, tags, moments, secrets.

pub mod geo;
pub(crate) mod hex;
pub mod ids;
pub mod moment;
pub mod number;
pub mod range;
pub mod secret;
pub mod tag;
