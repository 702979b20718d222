//! Media: what is agreed in SDP, and what is done with each packet, as decisions without a socket.
//!
//! | question | room |
//! |---|---|
//! | what the relay is told of a call | [`plan`] |
//! | what is known of a call's media when it is over | [`figures`] |
//! | what a party says of its media, and how that is passed on | [`sdp`] |
//! | what is agreed with both parties of a call | [`session`] |
//! | how packets are kept secret and whole | [`srtp`] |

pub mod figures;
pub mod plan;
pub mod sdp;
pub mod session;
pub mod srtp;
