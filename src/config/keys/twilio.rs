//! The keys of `[twilio]`.

use crate::config::raw::Shape;

pub(in crate::config) const TWILIO: Shape = Shape {
    name: "twilio",
    keys: &[
        "public_url",
        "sip",
        "transport",
        "edge",
        "username",
        "password",
        "ticket_time",
        "ticket_secret",
        "previous_ticket_secret",
        "ringing",
        "time_limit",
        "hand_off_legs",
        "hand_off_window",
        "hand_off_memory",
        "calls",
        "require_sha256",
        "missing_body_hash",
        "api_url",
        "self_check",
        "seal_key",
        "strict_identity",
        "notification_path",
        "fcm",
        "apns",
        "org",
    ],
};

pub(in crate::config) const TWILIO_ORG: Shape = Shape {
    name: "twilio.org",
    keys: &[
        "id",
        "company",
        "company_id",
        "jwt_secret",
        "previous_jwt_secret",
        "hand_off_secret",
        "previous_hand_off_secret",
        "account_sid",
        "auth_token",
        "previous_auth_token",
        "shared_key",
        "assistant",
        "hold",
        "hold_time",
        "step",
    ],
};

pub(in crate::config) const TWILIO_STEP: Shape = Shape {
    name: "twilio.org.step",
    keys: &[
        "id",
        "say",
        "voice",
        "language",
        "play",
        "choice",
        "input",
        "digits",
        "tag",
        "record",
        "next",
        "timeout",
        "tries",
        "otherwise",
    ],
};

pub(in crate::config) const TWILIO_CHOICE: Shape = Shape {
    name: "twilio.org.step.choice",
    keys: &["key", "tag", "value", "next"],
};

pub(in crate::config) const TWILIO_SHARED_KEY: Shape = Shape {
    name: "twilio.org.shared_key",
    keys: &["id", "secret", "algorithm"],
};
