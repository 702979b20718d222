//! Who may call: allowlists and digest; and who may not even ask.

pub mod allowlist;
pub mod ban;
pub mod bucket;
pub mod digest;
pub mod found;
pub mod gate;
pub mod guess;
pub mod nonce;
pub mod source;
