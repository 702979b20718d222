//! `/v1/captures`: the packets of a call, written to a file of the edge's.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time;
use tracing::info;

use crate::config::http::Scope;
use crate::edge::captures::{Captures, Refused, Shown, Wanted};
use crate::edge::http::Office;
use crate::edge::http::answer::{self, Answer};
use crate::edge::http::table::{Access, Asked, Reads, Route, SHORT};
use crate::edge::inbox::Order;
use crate::net::relay::tap::Bounds;
use crate::types::ids::CallUuid;
use crate::types::number::Number;

/// Their routes.
pub(super) const CAPTURES: &[Route] = &[
    Route {
        method: Method::POST,
        path: "/v1/captures",
        name: "capture",
        summary: "Has the packets of a call written to a file: of one that is up, or of the next one of a number or a trunk.",
        access: CAPTURE,
        body: Some(Reads {
            kinds: &["application/json"],
            is_needed: true,
            schema: "object",
            most: 4096,
        }),
        query: &[],
        headers: &[],
        time: SHORT,
        answers: &[
            (StatusCode::CREATED, "It waits for its call, or runs."),
            (StatusCode::BAD_REQUEST, "The body cannot be read."),
            (
                StatusCode::NOT_FOUND,
                "There is no such call now, or no such trunk.",
            ),
            NO_FOLDER,
            (
                StatusCode::UNPROCESSABLE_ENTITY,
                "Something in it is wrong.",
            ),
            (StatusCode::TOO_MANY_REQUESTS, "As many wait or run as may."),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "The file cannot be opened.",
            ),
        ],
        run: |office, asked| Box::pin(async move { begin(&office, &asked).await }),
    },
    Route {
        method: Method::GET,
        path: "/v1/captures",
        name: "list_captures",
        summary: "Lists captures that wait or run, and the last ones that are over.",
        access: CAPTURE,
        body: None,
        query: &[],
        headers: &[],
        time: SHORT,
        answers: &[(StatusCode::OK, "They."), NO_FOLDER],
        run: |office, _| Box::pin(async move { list(&office) }),
    },
    Route {
        method: Method::DELETE,
        path: "/v1/captures/{id}",
        name: "stop_capture",
        summary: "Ends a capture; its file stays.",
        access: CAPTURE,
        body: None,
        query: &[],
        headers: &[],
        time: SHORT,
        answers: &[
            (StatusCode::NO_CONTENT, "It ends."),
            (StatusCode::NOT_FOUND, "There is none of this id."),
            NO_FOLDER,
        ],
        run: |office, asked| Box::pin(async move { stop(&office, &asked) }),
    },
];

const CAPTURE: Access = Access::Token(Scope::Capture);
const NO_FOLDER: (StatusCode, &str) = (
    StatusCode::CONFLICT,
    "The configuration names no folder for them.",
);

/// What is asked for. Of `call`, `number` and `trunk` there must be one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    call: Option<String>,
    number: Option<String>,
    trunk: Option<String>,
    #[serde(default = "packets")]
    packets: u64,
    #[serde(default = "bytes")]
    bytes: u64,
    /// How long it runs.
    #[serde(default = "seconds")]
    seconds: u64,
    /// How long it waits for its call.
    #[serde(default = "wait")]
    wait: u64,
}

/// Begins a capture.
pub(super) async fn begin(office: &Office, asked: &Asked) -> Answer {
    let Some(captures) = captures(office) else {
        return no_folder();
    };
    let ask: Ask = match serde_json::from_slice(&asked.body) {
        Ok(ask) => ask,
        Err(error) => {
            let what = format!("the body is no wish for a capture: {error}");
            return answer::fault(StatusCode::BAD_REQUEST, "unreadable", &what);
        }
    };
    let (wanted, bounds, wait) = match ask.read() {
        Ok(read) => read,
        Err(what) => return answer::fault(StatusCode::UNPROCESSABLE_ENTITY, "wrong", what),
    };
    if let Wanted::Trunk(id) = &wanted
        && !office
            .panel
            .policy()
            .trunks
            .iter()
            .any(|trunk| trunk.id == *id)
    {
        return answer::fault(StatusCode::NOT_FOUND, "no_trunk", "there is no such trunk");
    }
    let shown = match captures.begin(wanted.clone(), bounds, wait) {
        Ok(shown) => shown,
        Err(refused) => {
            let (status, error) = match &refused {
                Refused::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too_many"),
                Refused::File(_) => (StatusCode::SERVICE_UNAVAILABLE, "no_file"),
            };
            return answer::fault(status, error, &refused.to_string());
        }
    };
    let by = asked.token.as_deref().unwrap_or_default();
    info!(capture = shown.id, by, ?wanted, "capture is asked for");
    if let Wanted::Call(uuid) = wanted
        && !put_to(office, uuid).await
    {
        captures.stop(shown.id);
        return answer::fault(
            StatusCode::NOT_FOUND,
            "no_call",
            "there is no such call now",
        );
    }
    let mut items = captures.list();
    items.retain(|one| one.id == shown.id);
    answer::json(StatusCode::CREATED, &of(items.first().unwrap_or(&shown)))
}

/// Lists them.
pub(super) fn list(office: &Office) -> Answer {
    match captures(office) {
        Some(captures) => {
            let items: Vec<Value> = captures.list().iter().map(of).collect();
            answer::json(StatusCode::OK, &json!({ "items": items }))
        }
        None => no_folder(),
    }
}

/// Ends one.
pub(super) fn stop(office: &Office, asked: &Asked) -> Answer {
    match captures(office) {
        Some(captures) if asked.name(0).parse().is_ok_and(|id| captures.stop(id)) => {
            answer::empty(StatusCode::NO_CONTENT)
        }
        Some(_) => {
            let what = "there is no such capture";
            answer::fault(StatusCode::NOT_FOUND, "no_capture", what)
        }
        None => no_folder(),
    }
}

fn captures(office: &Office) -> Option<&Arc<Captures>> {
    office.panel.captures.as_ref()
}

fn no_folder() -> Answer {
    let what = "say in [telemetry] where captures go: captures = \"/var/lib/strowger/captures\"";
    answer::fault(StatusCode::CONFLICT, "no_folder", what)
}

/// Has the shard that has this call put the tap to it; `false`: none has it.
async fn put_to(office: &Office, uuid: CallUuid) -> bool {
    let mut answers = Vec::new();
    for mailbox in &office.panel.mailboxes {
        let (answer, answered) = oneshot::channel();
        if mailbox.order(Order::Capture(uuid, answer)).is_ok() {
            answers.push(answered);
        }
    }
    for answered in answers {
        if let Ok(Ok(true)) = time::timeout(PATIENCE, answered).await {
            return true;
        }
    }
    false
}

impl Ask {
    fn read(self) -> Result<(Wanted, Bounds, Duration), &'static str> {
        let wanted = match (self.call, self.number, self.trunk) {
            (Some(call), None, None) => {
                Wanted::Call(CallUuid::parse(&call).ok_or("`call` is no UUID")?)
            }
            (None, Some(number), None) => {
                let number = Number::from_e164(number.as_bytes());
                Wanted::Number(number.ok_or("`number` is none in E.164, as in \"+18005550100\"")?)
            }
            (None, None, Some(trunk)) => Wanted::Trunk(trunk.into()),
            _ => return Err("say one of `call`, `number` and `trunk`"),
        };
        if !(1..=MOST_PACKETS).contains(&self.packets) {
            return Err("`packets` must be 1 to 1000000");
        }
        if !(1..=MOST_BYTES).contains(&self.bytes) {
            return Err("`bytes` must be 1 to 268435456");
        }
        if !(1..=HOUR).contains(&self.seconds) || !(1..=24 * HOUR).contains(&self.wait) {
            return Err("`seconds` must be 1 to 3600, `wait` 1 to 86400");
        }
        let bounds = Bounds {
            packets: self.packets,
            bytes: self.bytes,
            time: Duration::from_secs(self.seconds),
        };
        Ok((wanted, bounds, Duration::from_secs(self.wait)))
    }
}

fn of(shown: &Shown) -> Value {
    let Shown {
        id,
        state,
        call,
        file,
        packets,
        bytes,
        lost,
    } = shown;
    json!({
        "id": id,
        "state": state,
        "call": call.map(|call| call.to_string()),
        "file": file,
        "packets": packets,
        "bytes": bytes,
        "lost": lost,
    })
}

/// How long a shard may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
const MOST_PACKETS: u64 = 1_000_000;
const MOST_BYTES: u64 = 256 << 20;
/// In seconds.
const HOUR: u64 = 3600;

/// Ten minutes of two streams.
fn packets() -> u64 {
    60_000
}

fn bytes() -> u64 {
    32 << 20
}

fn seconds() -> u64 {
    600
}

fn wait() -> u64 {
    HOUR
}
