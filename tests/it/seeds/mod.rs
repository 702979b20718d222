//! What the product is made from, sentence by sentence.

mod accounts;
mod application_connect;
mod call_notification;
mod front_door;
mod hand_off;
mod one_account;
mod postbacks;
mod webhooks;
