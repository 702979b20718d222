//! Session descriptions (RFC 8866): read without losing a byte, and written again with our own addresses in them.
//!
//! | question | room |
//! |---|---|
//! | which lines there are, and the gate | [`read`] |
//! | what one media line says | [`media`] |
//! | which codec a payload type is | [`mod@format`] |
//! | SRTP keys in attributes | [`crypto`] |
//! | what goes on to the other party | [`mod@write`] |
//! | what another media plane gets to see | [`trim`] |

pub mod crypto;
pub mod format;
pub mod media;
pub mod read;
pub mod trim;
pub mod write;
