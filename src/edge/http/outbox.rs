//! Deliveries that were given up, over HTTP: to list, try again and forget.

use axum::http::StatusCode;
use serde_json::json;

use crate::edge::http::Office;
use crate::edge::http::answer::{self, Answer};
use crate::edge::http::table::Asked;
use crate::edge::outbox::{Letter, dropped, revived};
use crate::store::Entry;
use crate::store::entry::DeliveryId;

/// Deliveries of a page, if nothing is said.
const PAGE: usize = 100;
/// At most.
const LONGEST_PAGE: usize = 1000;

/// Parameters of the query.
pub(super) const AFTER: &[(&str, &str)] = &[
    (
        "after",
        "The number of the delivery after which the page begins.",
    ),
    ("limit", "Deliveries of a page, 1 to 1000; 100 by default."),
];

/// What is answered of one that was given up.
pub(super) const GIVEN_UP: &[(StatusCode, &str)] = &[
    (
        StatusCode::ACCEPTED,
        "It is so, whatever becomes of this process.",
    ),
    (
        StatusCode::NOT_FOUND,
        "No delivery of this number was given up.",
    ),
    UNKEPT,
];

/// What is answered where nothing is kept.
pub(super) const UNKEPT: (StatusCode, &str) = (
    StatusCode::SERVICE_UNAVAILABLE,
    "Nothing outlives this edge (no `data_dir`), or the disk does not take it.",
);

/// Lists them, a page at a time.
pub(super) fn list(office: &Office, asked: &Asked) -> Answer {
    let Some(shelf) = office.reception.notebook().shelf() else {
        return unkept();
    };
    let limit = asked.query("limit").and_then(|limit| limit.parse().ok());
    let limit = limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
    let after = asked.query("after").and_then(|after| after.parse().ok());
    let first = after.map_or(0, |after: u64| after.saturating_add(1));
    let (Ok(found), Ok(count)) = (shelf.dead(DeliveryId(first), limit + 1), shelf.dead_count())
    else {
        return unkept();
    };
    let page: Vec<Letter> = found.iter().take(limit).map(Letter::from).collect();
    let next = (found.len() > limit).then(|| page.last().map(|letter| letter.number));
    let body = json!({ "count": count, "deliveries": page, "next": next.flatten() });
    answer::json(StatusCode::OK, &body)
}

/// Has one tried again.
pub(super) fn retry(office: &Office, asked: &Asked) -> Answer {
    settle(office, asked, revived)
}

/// Has one forgotten.
pub(super) fn forget(office: &Office, asked: &Asked) -> Answer {
    settle(office, asked, dropped)
}

fn settle(office: &Office, asked: &Asked, entry: fn(u64) -> Entry<'static>) -> Answer {
    let Some(shelf) = office.reception.notebook().shelf() else {
        return unkept();
    };
    let number: Option<u64> = asked.name(0).parse().ok();
    let Some(number) = number.filter(|number| shelf.is_dead(DeliveryId(*number)).unwrap_or(false))
    else {
        return answer::fault(
            StatusCode::NOT_FOUND,
            "not_given_up",
            "no delivery of this number was given up",
        );
    };
    match office.reception.notebook().keep([entry(number)]) {
        Ok(()) => answer::json(StatusCode::ACCEPTED, &json!({ "number": number })),
        Err(_) => unkept(),
    }
}

fn unkept() -> Answer {
    answer::fault(
        StatusCode::SERVICE_UNAVAILABLE,
        "not_kept",
        "nothing outlives this edge, or the disk does not take it",
    )
}
