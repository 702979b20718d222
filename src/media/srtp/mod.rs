//! SRTP: what a crypto suite is.
//!
//! | question | room |
//! |---|---|
//! | what a crypto suite is called and how long its parts are | [`suite`] |

pub mod suite;
