//! The front door, `/connect/webhook/{vendor}/{service}`: what signed webhooks are answered.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use tracing::debug;

use crate::edge::http::Office;
use crate::edge::http::answer::{self, Answer};
use crate::edge::http::table::Asked;
use crate::edge::notebook::Notebook;
use crate::edge::storeroom;
use crate::store::Entry;
use crate::store::entry::Noted;
use crate::twilio::callback::Callback;
use crate::twilio::front_door::{self, DOCUMENT, Reply, Service};
use crate::twilio::twiml::{Rejection, Response, reject};

/// Answers a webhook.
pub(super) fn answer(office: &Arc<Office>, asked: Asked) -> Answer {
    let found = front_door::find(asked.parts.uri.path());
    let (Some((_, service)), Some(signed)) = (found, &asked.signed) else {
        return answer::empty(StatusCode::NOT_FOUND);
    };
    debug!(
        org = %signed.org.id,
        account = %signed.account,
        base = %signed.twilio.base,
        service = service.name(),
        generation = office.panel.policy().generation,
        "webhook"
    );
    if service == Service::Voice {
        let refusal = Response::of(reject(Rejection::Rejected, Some("unknown_number")));
        return document(&refusal);
    }
    if let Some(callback) = Callback::read(service, &signed.form) {
        let key = callback.key();
        let entry = Entry::Noted(Noted {
            realm: HEARD,
            key: &key,
            until: storeroom::moment().after(REMEMBERED),
            value: &[],
        });
        if office.notebook.keep([entry]).is_err() {
            return answer::empty(StatusCode::SERVICE_UNAVAILABLE);
        }
    }
    plain(service.reply(&signed.form))
}

/// What was heard before this process began.
pub(super) fn announce(notebook: &Notebook) {
    let callbacks = notebook.notes(storeroom::moment(), HEARD).len();
    debug!(callbacks, "webhooks are remembered");
}

/// The realm of callbacks that were written down.
const HEARD: &str = "callback";

/// For how long.
const REMEMBERED: Duration = Duration::from_secs(86_400);

fn plain(reply: Reply) -> Answer {
    match reply.plain() {
        (_, Some(kind), text) => answer::bytes(StatusCode::OK, kind, text.into()),
        (_, None, _) => answer::empty(StatusCode::NO_CONTENT),
    }
}

fn document(response: &Response) -> Answer {
    match response.write() {
        Ok(text) => answer::bytes(StatusCode::OK, DOCUMENT, text.into()),
        Err(_) => answer::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
