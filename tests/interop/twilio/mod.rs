//! Twilio's own libraries judge ours: they sign what we believe, refuse what we refuse, read what we write, and ask of the
//! API what we ask.

mod accounts;
mod direct;
mod handed;
mod judge;
mod judged;
mod phones;
mod readme;
mod requests;
