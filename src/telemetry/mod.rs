//! What one sees: metrics, log lines, call records.

pub mod accounts;
pub mod connections;
mod hooks;
pub mod http;
mod labels;
pub mod log;
pub mod media;
pub mod metrics;
pub mod reading;
pub mod record;
pub mod rtpengine;
pub mod store;
mod story;
pub mod tally;
