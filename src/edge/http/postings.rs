//! The table of routes by which others say something of calls and callers, with a key: both sides of the service have them, for those who
//! do come from outside, and not only.

use axum::http::{Method, StatusCode};

use crate::edge::http::posts;
use crate::edge::http::table::{Access, Reads, Route, SHORT};
use crate::hooks::postback::MOST_BYTES;

/// What a postback says; a query says the same.
const SAID: Reads = Reads {
    kinds: &["application/json", "application/x-www-form-urlencoded"],
    is_needed: false,
    schema: "object",
    most: MOST_BYTES,
};

const POSTBACK: &[(&str, &str)] = &[
    KEY,
    ("converted", "\"true\" or \"false\"."),
    (
        "payout",
        "What the publisher gets: an amount such as 12.50.",
    ),
    ("revenue", "What the buyer pays."),
    TAG,
];

const DATA: &[(&str, &str)] = &[
    KEY,
    ("caller_number", "The caller that it is about."),
    ("call_uuid", "Or the call."),
    TAG,
];

const KEY: (&str, &str) = (
    "key",
    "The key of the call, or one of [[postback_key]]; `Authorization: Bearer KEY` says the same.",
);
const TAG: (&str, &str) = (
    "tag",
    "Any other name is the key of a tag, as often as it has values.",
);

const POSTED: &[(StatusCode, &str)] = &[
    (
        StatusCode::OK,
        "It counts, whatever happens to this process: tag_values, refused, status.",
    ),
    (
        StatusCode::NOT_FOUND,
        "The key is wrong, or there is no such call within its reach.",
    ),
    (
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "The body is of another type.",
    ),
    (
        StatusCode::UNPROCESSABLE_ENTITY,
        "Something that has a meaning cannot be read; the answer says what.",
    ),
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "It cannot be kept now; nothing counts unless 200 was said.",
    ),
];

/// Every route there is.
pub(super) const POSTINGS: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/calls/{uuid}/postback",
        name: "get_postback",
        summary: "Says whether a call converted, what it is worth, and its tags.",
        access: Access::Key,
        body: None,
        query: POSTBACK,
        headers: &[],
        time: SHORT,
        answers: POSTED,
        run: |office, asked| Box::pin(async move { posts::of_call(&office, &asked).await }),
    },
    Route {
        method: Method::POST,
        path: "/calls/{uuid}/postback",
        name: "post_postback",
        summary: "The same, in a body.",
        access: Access::Key,
        body: Some(SAID),
        query: POSTBACK,
        headers: &[],
        time: SHORT,
        answers: POSTED,
        run: |office, asked| Box::pin(async move { posts::of_call(&office, &asked).await }),
    },
    Route {
        method: Method::GET,
        path: "/data_writing",
        name: "get_data",
        summary: "Writes tags of a call, or of a caller: for the call under way, or the next one.",
        access: Access::Key,
        body: None,
        query: DATA,
        headers: &[],
        time: SHORT,
        answers: POSTED,
        run: |office, asked| Box::pin(async move { posts::of_anybody(&office, &asked).await }),
    },
    Route {
        method: Method::POST,
        path: "/data_writing",
        name: "post_data",
        summary: "The same, in a body.",
        access: Access::Key,
        body: Some(SAID),
        query: DATA,
        headers: &[],
        time: SHORT,
        answers: POSTED,
        run: |office, asked| Box::pin(async move { posts::of_anybody(&office, &asked).await }),
    },
    Route {
        method: Method::GET,
        path: "/data_writing/{key}",
        name: "get_data_by_key",
        summary: "The same with the key in the path.",
        access: Access::Key,
        body: None,
        query: DATA,
        headers: &[],
        time: SHORT,
        answers: POSTED,
        run: |office, asked| Box::pin(async move { posts::of_anybody(&office, &asked).await }),
    },
    Route {
        method: Method::POST,
        path: "/data_writing/{key}",
        name: "post_data_by_key",
        summary: "The same in a body, with the key in the path.",
        access: Access::Key,
        body: Some(SAID),
        query: DATA,
        headers: &[],
        time: SHORT,
        answers: POSTED,
        run: |office, asked| Box::pin(async move { posts::of_anybody(&office, &asked).await }),
    },
];
