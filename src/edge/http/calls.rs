//! Calls that are over: their records, and what has come since.

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::task;

use crate::call::record::VENDOR_LEG;
use crate::edge::http::Office;
use crate::edge::http::answer::{self, Answer};
use crate::edge::http::table::Asked;
use crate::edge::storeroom;
use crate::store::{Fate, KeptConversion, Late, LateStage};
use crate::twilio::sid::CallSid;
use crate::types::ids::CallUuid;

/// Shows a call.
pub(super) async fn get(office: &Office, asked: &Asked) -> Answer {
    let (Some(uuid), Some(clerk)) = (CallUuid::parse(asked.name(0)), &office.clerk) else {
        return unknown();
    };
    let shelf = clerk.shelf().clone();
    // It may have to wait for the disk.
    match task::spawn_blocking(move || shelf.fate(uuid)).await {
        Ok(Ok(Fate::Over(late))) => answer::json(StatusCode::OK, &shown(office, &late)),
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

/// What a vendor has told of the call since its record was written.
fn told_since(office: &Office, record: &Value) -> Vec<Value> {
    let tags = record.pointer("/routing/tags").and_then(Value::as_array);
    let mut tags = tags.into_iter().flatten();
    let leg = tags.find(|tag| text_of(tag, "key") == Some(VENDOR_LEG));
    let leg = leg.and_then(|tag| CallSid::parse(text_of(tag, "value")?));
    let call = leg.and_then(|leg| office.reception.call(storeroom::moment(), leg));
    let Some(Ok(call)) = call.map(|call| serde_json::to_value(&call)) else {
        return Vec::new();
    };
    let known = record.get("vendor").and_then(Value::as_array);
    let is_known = |told: &Value| {
        let mut known = known.into_iter().flatten();
        known.any(|one| {
            let same = |name| text_of(one, name) == text_of(told, name);
            same("at") && same("what")
        })
    };
    let told = call.get("told").and_then(Value::as_array);
    let told = told.into_iter().flatten();
    told.filter(|told| !is_known(told)).cloned().collect()
}

fn text_of<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name)?.as_str()
}

fn shown(office: &Office, late: &Late) -> Value {
    let line = late.line.as_deref();
    let record: Option<Value> = line.and_then(|line| serde_json::from_str(line).ok());
    let since = record.as_ref().map(|record| told_since(office, record));
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
        "vendor": since.unwrap_or_default(),
        "conversion": {
            "verdict": verdict,
            "group": group,
            "at": worth.map(|worth| worth.at.to_string()),
            "payout": worth.and_then(|worth| worth.payout.as_deref()),
            "revenue": worth.and_then(|worth| worth.revenue.as_deref()),
        },
    })
}
