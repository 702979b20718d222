//! What every floor speaks of: identifiers, numbers, secrets.

pub mod ids;
pub mod number;
pub mod secret;
