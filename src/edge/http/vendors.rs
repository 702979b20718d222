//! The table of routes for outside callers, who sign what they send. None of them is served to administrators, and none of
//! theirs here.

use axum::http::{Method, StatusCode};

use crate::edge::http::front_door;
use crate::edge::http::phones;
use crate::edge::http::table::{Access, Reads, Route, SHORT};
use crate::twilio::notification::MOST_BYTES;

const FORM: Reads = Reads {
    kinds: &["application/x-www-form-urlencoded"],
    is_needed: true,
    schema: "object",
    most: 64 * 1_024,
};

const JSON: Reads = Reads {
    kinds: &["application/json"],
    is_needed: true,
    schema: "object",
    most: MOST_BYTES,
};

const NOTIFIED: &[(StatusCode, &str)] = &[
    (
        StatusCode::OK,
        "Every soft phone of the callee is being told.",
    ),
    (StatusCode::NOT_FOUND, "The callee has none."),
    (StatusCode::BAD_REQUEST, "It is no notification."),
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "Too much is under way; send it again.",
    ),
];

const ORG: &[(&str, &str)] = &[("orgid", "The organisation; it must be the account's.")];

const SIGNATURE: &[(&str, &str)] = &[
    (
        "X-Twilio-Signature",
        "Over the URL and the parameters, with a secret of the account.",
    ),
    (
        "X-Twilio-Webhooks-Signature-Settings",
        "Which shared key made it, where it was not the auth token.",
    ),
];

const ANSWERED: &[(StatusCode, &str)] = &[
    (StatusCode::OK, "A document (TwiML): what happens next."),
    (StatusCode::NO_CONTENT, "It is written down."),
    (StatusCode::NOT_FOUND, "There is no such vendor or service."),
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "It could not be written down; send it again.",
    ),
    (StatusCode::BAD_REQUEST, "It cannot be read."),
];

/// Every route there is.
pub(super) const VENDORS: &[Route] = &[
    Route {
        method: Method::POST,
        path: "/calls/notificationWebhook",
        name: "call_notification",
        summary: "Takes a notification of a call to a soft phone, and hands it on as it came.",
        access: Access::Vendor,
        body: Some(JSON),
        query: ORG,
        headers: SIGNATURE,
        time: SHORT,
        answers: NOTIFIED,
        run: |office, asked| Box::pin(async move { phones::notify(&office, &asked) }),
    },
    Route {
        method: Method::POST,
        path: "/calls/notificationWebhook/{secret}",
        name: "call_notification_at_secret",
        summary: "The same, where `notification_path` is configured.",
        access: Access::Vendor,
        body: Some(JSON),
        query: ORG,
        headers: SIGNATURE,
        time: SHORT,
        answers: NOTIFIED,
        run: |office, asked| Box::pin(async move { phones::notify(&office, &asked) }),
    },
    Route {
        method: Method::POST,
        path: "/connect/webhook/{vendor}",
        name: "voice_webhook",
        summary: "Takes a webhook of a vendor about a call that comes in.",
        access: Access::Vendor,
        body: Some(FORM),
        query: ORG,
        headers: SIGNATURE,
        time: SHORT,
        answers: ANSWERED,
        run: |office, asked| Box::pin(async move { front_door::answer(&office, asked).await }),
    },
    Route {
        method: Method::POST,
        path: "/connect/webhook/{vendor}/{service}",
        name: "webhook",
        summary: "Takes a webhook of a vendor: a call, what became of one, or what a caller has entered.",
        access: Access::Vendor,
        body: Some(FORM),
        query: ORG,
        headers: SIGNATURE,
        time: SHORT,
        answers: ANSWERED,
        run: |office, asked| Box::pin(async move { front_door::answer(&office, asked).await }),
    },
    Route {
        method: Method::GET,
        path: "/connect/webhook/{vendor}/{service}",
        name: "webhook_by_get",
        summary: "Takes the same, with all that it says in the query.",
        access: Access::Vendor,
        body: None,
        query: ORG,
        headers: SIGNATURE,
        time: SHORT,
        answers: ANSWERED,
        run: |office, asked| Box::pin(async move { front_door::answer(&office, asked).await }),
    },
];
