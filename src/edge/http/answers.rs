//! What the routes of routing data answer, by status, for the description.

use axum::http::StatusCode;

pub(super) const FOUND: &[(StatusCode, &str)] = &[
    (StatusCode::OK, "It."),
    (
        StatusCode::NOT_MODIFIED,
        "It is still the version that is known.",
    ),
    NONE,
    (
        StatusCode::CONFLICT,
        "Its file was changed by hand, and is not loaded.",
    ),
];

pub(super) const PUT: &[(StatusCode, &str)] = &[
    (StatusCode::OK, "It was changed."),
    (StatusCode::CREATED, "It is there now."),
    (StatusCode::NOT_FOUND, "There is no such kind."),
    CONFLICT,
    STALE,
    UNSAID,
    WRONG,
    BUSY,
    DISK,
];

pub(super) const DELETE: &[(StatusCode, &str)] = &[
    (StatusCode::NO_CONTENT, "It is gone."),
    NONE,
    CONFLICT,
    STALE,
    UNSAID,
    WRONG,
    BUSY,
    DISK,
    (StatusCode::BAD_REQUEST, "The conditions cannot be read."),
];

const NONE: (StatusCode, &str) = (StatusCode::NOT_FOUND, "There is none of this name.");
const CONFLICT: (StatusCode, &str) = (
    StatusCode::CONFLICT,
    "It stands in a file of the operator's, or its file was changed by hand; the answer says which.",
);
const STALE: (StatusCode, &str) = (
    StatusCode::PRECONDITION_FAILED,
    "It is another version, or is there, or is not.",
);
const UNSAID: (StatusCode, &str) = (
    StatusCode::PRECONDITION_REQUIRED,
    "It is there, so `If-Match` is needed.",
);
const WRONG: (StatusCode, &str) = (
    StatusCode::UNPROCESSABLE_ENTITY,
    "The configuration would be wrong; the answer has every fault.",
);
const BUSY: (StatusCode, &str) = (
    StatusCode::SERVICE_UNAVAILABLE,
    "Too many changes wait for their turn, or the edge is going down.",
);
const DISK: (StatusCode, &str) = (
    StatusCode::INSUFFICIENT_STORAGE,
    "It cannot be written to the disk.",
);
