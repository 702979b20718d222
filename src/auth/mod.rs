//! Who may call: allowlists and digest.

pub mod allowlist;
pub mod digest;
mod hex;
pub mod nonce;
