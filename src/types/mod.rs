//! What every floor speaks of: identifiers, numbers, tags, conditions on them, moments, secrets.

pub(crate) mod base64;
pub mod condition;
pub mod geo;
pub(crate) mod hex;
pub mod ids;
pub mod moment;
pub mod money;
pub mod number;
pub mod range;
pub mod secret;
pub mod tag;
pub mod template;
