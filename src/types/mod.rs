//! What every floor speaks of: identifiers, numbers, secrets.

pub(crate) mod hex;
pub mod ids;
pub mod number;
pub mod range;
pub mod secret;
