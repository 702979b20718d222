//! The keys of what `[twilio]` says of orgs' accounts.

use crate::config::raw::Shape;

pub(in crate::config) const TWILIO_SEAL_KEY: Shape = Shape {
    name: "twilio.seal_key",
    keys: &["id", "secret"],
};

pub(in crate::config) const TWILIO_FCM: Shape = Shape {
    name: "twilio.fcm",
    keys: &["service_account", "url"],
};

pub(in crate::config) const TWILIO_APNS: Shape = Shape {
    name: "twilio.apns",
    keys: &["topic", "team", "key_id", "key", "url"],
};
