//! Calls that are over: their records, and what has come since.

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::task;

use crate::edge::http::Office;
use crate::edge::http::answer::{self, Answer};
use crate::edge::http::table::Asked;
use crate::store::{Fate, KeptConversion, Late, LateStage};
use crate::types::ids::CallUuid;

/// Shows a call.
pub(super) async fn get(office: &Office, asked: &Asked) -> Answer {
    let (Some(uuid), Some(clerk)) = (CallUuid::parse(asked.name(0)), &office.clerk) else {
        return unknown();
    };
    let shelf = clerk.shelf().clone();
    // It may have to wait for the disk.
    match task::spawn_blocking(move || shelf.fate(uuid)).await {
        Ok(Ok(Fate::Over(late))) => answer::json(StatusCode::OK, &shown(&late)),
        Ok(Ok(Fate::Open(_))) => answer::json(StatusCode::OK, &json!({ "state": "open" })),
        Ok(Ok(Fate::Unknown)) => unknown(),
        Ok(Err(_)) | Err(_) => answer::fault(
            StatusCode::SERVICE_UNAVAILABLE,
            "unread",
            "what is known of calls cannot be read now",
        ),
    }
}

fn unknown() -> Answer {
    let what = "there is no such call, or it is forgotten";
    answer::fault(StatusCode::NOT_FOUND, "no_call", what)
}

fn shown(late: &Late) -> Value {
    let line = late.line.as_deref();
    let record: Option<Value> = line.and_then(|line| serde_json::from_str(line).ok());
    let tags = late.tags.iter();
    let tags: Vec<Value> = tags
        .map(|(key, value)| json!({ "key": key, "value": value }))
        .collect();
    let (verdict, group, worth) = match &late.stage {
        LateStage::Undetermined => ("undetermined", None, None),
        LateStage::Awaited(group) => ("awaited", Some(&**group), None),
        LateStage::Settled(None) => ("none", None, None),
        LateStage::Settled(Some(conversion)) => {
            let KeptConversion {
                group,
                is_converted,
                ..
            } = conversion;
            let verdict = if *is_converted { "converted" } else { "missed" };
            (verdict, Some(&**group), Some(conversion))
        }
    };
    json!({
        "state": "over",
        "record": record,
        "postbacks": late.posts,
        "tags": tags,
        "conversion": {
            "verdict": verdict,
            "group": group,
            "at": worth.map(|worth| worth.at.to_string()),
            "payout": worth.and_then(|worth| worth.payout.as_deref()),
            "revenue": worth.and_then(|worth| worth.revenue.as_deref()),
        },
    })
}
