//! The B2BUA: one call, its two legs, what happens next.

pub mod input;
pub mod output;
pub mod policy;
pub mod record;
