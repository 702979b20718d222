//! SIP messages (RFC 3261 §7, §25): bytes in, typed views, bytes out.

pub mod flow;
