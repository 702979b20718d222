//! Lists of numbers over HTTP: many numbers at once, as a file of `[[numbers]]` holds them.

use std::fs;

use axum::http::StatusCode;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task;

use crate::config::objects;
use crate::edge::directory::What;
use crate::edge::http::Office;
use crate::edge::http::answer::{self, Answer};
use crate::edge::http::directory;
use crate::edge::http::table::Asked;

/// Lists the lists.
pub(super) fn list(office: &Office) -> Answer {
    let objects = office.objects();
    let items: Vec<Value> = objects
        .lists
        .iter()
        .map(|(name, list)| {
            json!({ "name": name, "version": list.version.to_tag(), "lines": list.lines })
        })
        .collect();
    answer::json(StatusCode::OK, &json!({ "items": items }))
}

/// Shows a list as it was put.
pub(super) async fn get(office: &Office, asked: &Asked) -> Answer {
    let objects = office.objects();
    let Some(list) = objects.lists.get(asked.name(0)) else {
        return directory::no_object();
    };
    let tag = list.version.to_tag();
    let known = asked.header("if-none-match").unwrap_or_default();
    if known.contains(&tag) {
        return directory::unmodified(&tag);
    }
    let (file, mark) = (list.file.clone(), objects.marks.get(&list.file).copied());
    let read = move || fs::read_to_string(file).ok();
    let text = task::spawn_blocking(read).await;
    match text.ok().flatten() {
        Some(text) if Some(objects::mark(&text)) == mark => {
            let answer = answer::bytes(StatusCode::OK, CSV, Bytes::from(text));
            directory::tagged(&tag, answer)
        }
        // What is on the disk is not what is in force.
        Some(_) | None => answer::fault(
            StatusCode::CONFLICT,
            "unloaded",
            "its file was changed by hand, and is not loaded: reload first (SIGHUP)",
        ),
    }
}

/// Puts a list: the whole of it.
pub(super) async fn put(office: &Office, asked: Asked) -> Answer {
    let name = asked.name(0).to_owned();
    if !objects::is_list_name(&name) {
        let what = "a list is called by 1 to 64 letters, digits, `.`, `_` or `-`, no `.` in front";
        return answer::fault(StatusCode::UNPROCESSABLE_ENTITY, "wrong", what);
    }
    let Ok(text) = str::from_utf8(&asked.body) else {
        return directory::unreadable("the body is not UTF-8");
    };
    let what = What::List(name.clone(), Some(text.to_owned()));
    match directory::change(office, &asked, what).await {
        Ok(changed) => {
            let objects = office.objects();
            let list = objects.lists.get(&*name);
            let shown = json!({ "name": name, "lines": list.map(|list| list.lines) });
            let answer = answer::json(directory::created(changed), &shown);
            let tag = list.map(|list| list.version.to_tag()).unwrap_or_default();
            directory::at(changed, directory::tagged(&tag, answer))
        }
        Err(refused) => refused,
    }
}

/// Deletes a list, and the numbers in it.
pub(super) async fn delete(office: &Office, asked: Asked) -> Answer {
    let what = What::List(asked.name(0).to_owned(), None);
    match directory::change(office, &asked, what).await {
        Ok(changed) => directory::at(changed, directory::gone()),
        Err(refused) => refused,
    }
}

/// The type of a list.
pub(super) const CSV: &str = "text/csv; charset=utf-8";
