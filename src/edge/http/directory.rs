//! The routing data over HTTP: to list, see, put and delete the objects of every kind that the configuration knows.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{ETAG, HeaderName, RETRY_AFTER};
use axum::http::{Method, Response, StatusCode};
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;
use tokio::task;

use crate::config::Objects;
use crate::config::objects;
use crate::config::objects::{Object, Version};
use crate::edge::directory::{Change, Changed, OnlyIf, Unchanged, What};
use crate::edge::http::Office;
use crate::edge::http::answer::{self, Answer};
use crate::edge::http::table::Asked;

/// Says which kinds there are, and how many objects of each.
pub(super) fn kinds(office: &Office) -> Answer {
    let objects = office.objects();
    let kinds: Map<String, Value> = objects::kinds()
        .map(|kind| {
            let keys = objects::keys_of(kind);
            let shown = json!({ "count": objects.count(kind), "id": keys.first(), "keys": keys });
            (kind.to_owned(), shown)
        })
        .collect();
    answer::json(StatusCode::OK, &json!({ "kinds": kinds }))
}

/// Lists the objects of a kind, a page at a time.
pub(super) fn list(office: &Office, asked: &Asked) -> Answer {
    let Some(kind) = objects::kind(asked.name(0)) else {
        return no_kind();
    };
    let limit = asked.query("limit").unwrap_or_default();
    let limit = limit.parse().unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
    let after = asked.query("after").unwrap_or_default();
    let objects = office.objects();
    let mut found = objects.list(kind, &after);
    let mut last = None;
    let items: Vec<Value> = found
        .by_ref()
        .take(limit)
        .map(|(id, object)| {
            last = Some(id.to_owned());
            json!({
                "id": id,
                "version": object.version.to_tag(),
                "writable": object.home.is_ours,
                "home": object.home,
                "object": object.value,
            })
        })
        .collect();
    let next = found.next().and(last);
    let page = json!({ "kind": kind, "count": objects.count(kind), "items": items, "next": next });
    answer::json(StatusCode::OK, &page)
}

/// Shows one object.
pub(super) async fn get(office: &Office, asked: &Asked) -> Answer {
    let Some(kind) = objects::kind(asked.name(0)) else {
        return no_kind();
    };
    let (id, objects) = (asked.name(1), office.objects());
    if let Some(object) = objects.find(kind, id) {
        return show(StatusCode::OK, object, asked);
    }
    match kind {
        "number" => {
            let _turn = office.heavy.acquire().await;
            listed(objects, id.to_owned()).await
        }
        _ => no_object(),
    }
}

/// Puts an object: the whole of it.
pub(super) async fn put(office: &Office, asked: Asked) -> Answer {
    let Some(kind) = objects::kind(asked.name(0)) else {
        return no_kind();
    };
    let object = match serde_json::from_slice::<Value>(&asked.body) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return unreadable("the body is no JSON object"),
        Err(error) => return unreadable(&format!("the body is no JSON: {error}")),
    };
    let id = asked.name(1).to_owned();
    let what = What::Object(kind, id.clone(), Some(object));
    match change(office, &asked, what).await {
        Ok(changed) => {
            let status = created(changed);
            let objects = office.objects();
            match objects.find(kind, &id) {
                Some(object) => at(changed, show(status, object, &asked)),
                // Somebody was quicker.
                None => at(changed, answer::json(status, &json!({}))),
            }
        }
        Err(refused) => refused,
    }
}

/// Deletes an object.
pub(super) async fn delete(office: &Office, asked: Asked) -> Answer {
    let Some(kind) = objects::kind(asked.name(0)) else {
        return no_kind();
    };
    let what = What::Object(kind, asked.name(1).to_owned(), None);
    match change(office, &asked, what).await {
        Ok(changed) => at(changed, gone()),
        Err(refused) => refused,
    }
}

/// Has the supervisor make a change.
pub(super) async fn change(office: &Office, asked: &Asked, what: What) -> Result<Changed, Answer> {
    let only_if = only_if(asked).map_err(unreadable)?;
    let (answer, answered) = oneshot::channel();
    let change = Change {
        what,
        only_if,
        token: asked.token.clone().unwrap_or_default(),
        client: asked.client,
        answer,
    };
    let busy = |what| {
        let mut answer = answer::fault(StatusCode::SERVICE_UNAVAILABLE, "busy", what);
        answer::set(&mut answer, RETRY_AFTER, "1");
        answer
    };
    office
        .changer
        .try_send(change)
        .map_err(|_| busy("too many changes wait for their turn"))?;
    let result = answered.await;
    let result = result.map_err(|_| busy("the edge is going down"))?;
    result.map_err(refuse)
}

/// What the request says of the version that it is about (RFC 9110 §13.1).
fn only_if(asked: &Asked) -> Result<OnlyIf, &'static str> {
    let (is_match, none_match) = (asked.header("if-match"), asked.header("if-none-match"));
    match (is_match, none_match) {
        (None, None) => Ok(OnlyIf::Unsaid),
        (None, Some("*")) => Ok(OnlyIf::Absent),
        (Some("*"), None) => Ok(OnlyIf::Present),
        (Some(tags), None) => {
            // A tag that is none of ours is that of no version.
            let tags = tags.split(',').map(str::trim);
            Ok(OnlyIf::Versions(
                tags.filter_map(Version::from_tag).collect(),
            ))
        }
        (None | Some(_), Some(_)) => Err("to write, `If-None-Match` is \"*\" and stands alone"),
    }
}

fn refuse(unchanged: Unchanged) -> Answer {
    let file = |path: &Path| path.display().to_string();
    match unchanged {
        Unchanged::NoPlace => answer::fault(
            StatusCode::CONFLICT,
            "no_data_dir",
            "there is no `data_dir` in [node] to keep it in",
        ),
        Unchanged::Absent => no_object(),
        Unchanged::Foreign(home) => {
            let what = "it stands in a file of the operator's: change it there";
            let shown = json!({ "error": "foreign", "what": what, "home": home });
            answer::json(StatusCode::CONFLICT, &shown)
        }
        Unchanged::Unloaded(path) => {
            let what = "its file was changed by hand, and is not loaded: reload first (SIGHUP)";
            let shown = json!({ "error": "unloaded", "what": what, "file": file(&path) });
            answer::json(StatusCode::CONFLICT, &shown)
        }
        Unchanged::Unsaid => answer::fault(
            StatusCode::PRECONDITION_REQUIRED,
            "no_version",
            "say in `If-Match` which version is meant: its ETag, or \"*\" for any",
        ),
        Unchanged::Stale => answer::fault(
            StatusCode::PRECONDITION_FAILED,
            "stale",
            "it is not what the request says that it is: look again",
        ),
        Unchanged::Unwritable(own) => {
            let what = "nothing was changed: this cannot be written";
            let shown = json!({ "error": "wrong", "what": what, "faults": own });
            answer::json(StatusCode::UNPROCESSABLE_ENTITY, &shown)
        }
        Unchanged::Wrong { own, other } => {
            let what = "nothing was changed: the configuration would be wrong";
            let shown =
                json!({ "error": "wrong", "what": what, "faults": own, "elsewhere": other });
            answer::json(StatusCode::UNPROCESSABLE_ENTITY, &shown)
        }
        Unchanged::Disk(error) => {
            let what = format!("nothing was changed: it cannot be kept: {error}");
            answer::fault(StatusCode::INSUFFICIENT_STORAGE, "disk", &what)
        }
    }
}

/// A number that stands in a list.
async fn listed(objects: Arc<Objects>, number: String) -> Answer {
    let look = move || {
        objects.list_files.iter().find_map(|file| {
            let text = fs::read_to_string(file).ok()?;
            objects::line_of(&text, &number).map(|(_, object)| object)
        })
    };
    // Lists are long.
    match task::spawn_blocking(look).await {
        Ok(Some(object)) => answer::json(StatusCode::OK, &object),
        Ok(None) | Err(_) => no_object(),
    }
}

fn show(status: StatusCode, object: &Object, asked: &Asked) -> Answer {
    let tag = object.version.to_tag();
    if status == StatusCode::OK
        && asked.parts.method == Method::GET
        && asked
            .header("if-none-match")
            .is_some_and(|known| known.contains(&tag))
    {
        return unmodified(&tag);
    }
    tagged(&tag, answer::json(status, &object.value))
}

pub(super) fn unmodified(tag: &str) -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    tagged(tag, answer)
}

pub(super) fn tagged(tag: &str, mut answer: Answer) -> Answer {
    answer::set(&mut answer, ETAG, tag);
    answer
}

/// Says from which load of the configuration on it holds.
pub(super) fn at(changed: Changed, mut answer: Answer) -> Answer {
    let generation = changed.generation.to_string();
    answer::set(&mut answer, GENERATION, &generation);
    answer
}

pub(super) fn created(changed: Changed) -> StatusCode {
    if changed.is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    }
}

pub(super) fn gone() -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

pub(super) fn unreadable(what: &str) -> Answer {
    answer::fault(StatusCode::BAD_REQUEST, "unreadable", what)
}

fn no_kind() -> Answer {
    let kinds: Vec<&str> = objects::kinds().collect();
    let what = format!("there is no such kind; there are {}", kinds.join(", "));
    answer::fault(StatusCode::NOT_FOUND, "no_kind", &what)
}

pub(super) fn no_object() -> Answer {
    answer::fault(
        StatusCode::NOT_FOUND,
        "no_object",
        "there is none of this name",
    )
}

const GENERATION: HeaderName = HeaderName::from_static("strowger-generation");

/// Objects of a page.
const PAGE: usize = 100;
const LONGEST_PAGE: usize = 1_000;
