//! Who may call: allowlists and digest.

pub mod allowlist;
pub mod digest;
pub mod gate;
pub mod nonce;
