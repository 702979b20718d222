//! What the product is made from, sentence by sentence.

mod webhooks;
