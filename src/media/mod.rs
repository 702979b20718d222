//! Media: what is agreed in SDP, and what is done with each packet, as decisions without a socket.
//!
//! | question | room |
//! |---|---|
//! | what the relay is told of a call | [`plan`] |
//! | what becomes of each packet | [`passage`] |
//! | from where a party's packets are taken | [`source`] |
//! | what a packet is | [`rtp`], [`rtcp`] |
//! | how a stream was, and how it sounded | [`watch`], [`quality`] |
//! | who has been quiet for too long | [`vigil`] |
//! | which ports a call gets | [`ports`], and on those that it shares, who is who [`commons`] |
//! | what is known of a call's media when it is over | [`figures`] |
//! | what a party says of its media, and how that is passed on | [`sdp`] |
//! | what is agreed with both parties of a call | [`session`], of one at an rtpengine [`session::far`] |
//! | how packets are kept secret and whole | [`srtp`], [`seal`] |
//! | what rtpengine is asked, and what it answers | [`ng`], in [`bencode`] |

pub mod bencode;
pub mod commons;
pub mod figures;
pub mod ng;
pub mod passage;
pub mod plan;
pub mod ports;
pub mod quality;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod seal;
pub mod session;
mod side;
pub mod source;
pub mod srtp;
pub mod vigil;
pub mod watch;
