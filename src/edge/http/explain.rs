//! `POST /v1/explain`: what would become of a call, by the policy and the counters of this very moment.

use axum::http::StatusCode;

use crate::edge::explain::{Ask, NoAnswer};
use crate::edge::http::Office;
use crate::edge::http::answer::{self, Answer};
use crate::edge::http::table::Asked;

/// Explains a call. Nothing is counted, and nobody is asked.
pub(super) fn explain(office: &Office, asked: &Asked) -> Answer {
    let ask: Ask = match serde_json::from_slice(&asked.body) {
        Ok(ask) => ask,
        Err(error) => {
            let what = format!("the body is no question: {error}");
            return answer::fault(StatusCode::BAD_REQUEST, "unreadable", &what);
        }
    };
    let policy = office.panel.policy();
    let answered = if ask.states_counts() {
        let stated = ask.stated(&policy);
        stated.and_then(|stated| ask.explain(&policy, &stated))
    } else {
        ask.explain(&policy, &*office.panel.ledger)
    };
    match answered {
        Ok(explanation) => answer::json(StatusCode::OK, &explanation),
        Err(NoAnswer::System(error)) => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            answer::fault(status, "system", &error.to_string())
        }
        Err(why) => answer::fault(
            StatusCode::UNPROCESSABLE_ENTITY,
            "no_question",
            &why.to_string(),
        ),
    }
}
