//! What the product is made from, sentence by sentence.

mod application_connect;
mod webhooks;
