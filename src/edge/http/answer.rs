//! Answers: JSON, and faults that a program can tell apart.

use axum::body::Body;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{Response, StatusCode};
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

/// What a route answers.
pub(super) type Answer = Response<Body>;

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no such route.
    NoRoute,
    /// The route has other methods: these.
    NoMethod(String),
    /// Nobody has shown who they are.
    NoToken,
    /// Nobody has shown for which org they ask.
    NoOrg,
    /// The token is a user's, and this is for the org's programs.
    NotForUsers,
    /// What was shown is no token of ours.
    WrongToken,
    /// Too many wrong ones came from there; seconds to wait.
    Locked(u64),
    /// The token is not good for this: the scope that it lacks.
    NoScope(&'static str),
    /// The body is longer than this, in bytes.
    TooLong(usize),
    /// The body did not come, or the answer was not ready, in time.
    TooSlow,
    /// The body was cut off.
    Broken,
    /// A webhook that is not believed: why, as a label of a bounded set.
    Unsigned(&'static str),
    /// A webhook that cannot be read: why, as a label of a bounded set.
    Unreadable(&'static str),
}

impl Refusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NoMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoToken | Self::NoOrg | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::Locked(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NoScope(_) | Self::NotForUsers => StatusCode::FORBIDDEN,
            Self::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken | Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::Unsigned(_) => StatusCode::FORBIDDEN,
        }
    }

    /// Why, as a label of a bounded set.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::NoMethod(_) => "no_method",
            Self::NoToken => "no_token",
            Self::NoOrg => "no_org",
            Self::NotForUsers => "not_for_users",
            Self::WrongToken => "wrong_token",
            Self::Locked(_) => "locked",
            Self::NoScope(_) => "no_scope",
            Self::TooLong(_) => "too_long",
            Self::TooSlow => "too_slow",
            Self::Broken => "broken",
            Self::Unsigned(why) | Self::Unreadable(why) => why,
        }
    }

    pub(super) fn answer(&self) -> Answer {
        let status = self.status();
        match self {
            Self::NoRoute => fault(status, "no_route", "there is nothing at this path"),
            Self::NoMethod(allowed) => {
                let mut answer = fault(status, "no_method", "this path has other methods");
                set(&mut answer, ALLOW, allowed);
                answer
            }
            Self::NoOrg => {
                let what = "send `orgid: ORG`, the org that has signed the token";
                let mut answer = fault(status, "no_org", what);
                set(&mut answer, WWW_AUTHENTICATE, "Bearer realm=\"strowger\"");
                answer
            }
            Self::NotForUsers => {
                let what = "the token is a user's, and this is for programs of the org";
                fault(status, "not_for_users", what)
            }
            Self::NoToken | Self::WrongToken => {
                let (what, challenge) = if *self == Self::NoToken {
                    (
                        "send `Authorization: Bearer TOKEN`",
                        "Bearer realm=\"strowger\"",
                    )
                } else {
                    (
                        "this is no token of ours",
                        "Bearer realm=\"strowger\", error=\"invalid_token\"",
                    )
                };
                let mut answer = fault(status, "no_token", what);
                set(&mut answer, WWW_AUTHENTICATE, challenge);
                answer
            }
            Self::Locked(seconds) => {
                let what = "too many wrong tokens came from this address";
                let mut answer = fault(status, "locked", what);
                set(&mut answer, RETRY_AFTER, &seconds.to_string());
                answer
            }
            Self::NoScope(scope) => {
                let what = format!("the token lacks the scope `{scope}`");
                let mut answer = fault(status, "no_scope", &what);
                let challenge = format!(
                    "Bearer realm=\"strowger\", error=\"insufficient_scope\", scope=\"{scope}\""
                );
                set(&mut answer, WWW_AUTHENTICATE, &challenge);
                answer
            }
            Self::TooLong(most) => {
                let what = format!("the body has more than {most} bytes");
                fault(status, "too_long", &what)
            }
            Self::TooSlow => fault(status, "too_slow", "the request took too long"),
            Self::Broken => fault(status, "broken", "the body was cut off"),
            // Whoever cannot sign is told nothing.
            Self::Unsigned(_) | Self::Unreadable(_) => empty(status),
        }
    }
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec_pretty(value) {
        Ok(mut text) => {
            text.push(b'\n');
            bytes(status, "application/json", text.into())
        }
        Err(error) => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            bytes(status, "text/plain", error.to_string().into())
        }
    }
}

/// An answer of this type.
pub(super) fn bytes(status: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// An answer without a word.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// A fault: a word for programs, and a sentence for people.
pub(super) fn fault(status: StatusCode, error: &str, what: &str) -> Answer {
    json(status, &json!({ "error": error, "what": what }))
}

/// Sets a header; a value that no header can hold is left out.
pub(super) fn set(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}
