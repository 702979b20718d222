//! Sends webhooks: pings, of which the answer counts, and those that are fetched as by a browser.

use std::time::Instant;

use crate::hooks::request::Request;
use crate::hooks::trigger::Class;
use crate::net::clock;
use crate::net::http_client::{Client, Failure, Fetch, Fetched, Jar};
use crate::telemetry::metrics::Metrics;

impl Client {
    /// Sends what a webhook is to send, within its own time and by `deadline` at the latest, and counts how it went. The jar is
    /// that of the call; pings leave it alone.
    ///
    /// # Errors
    ///
    /// When there is no answer by then.
    pub async fn send(
        &self,
        request: &Request,
        jar: &mut Jar,
        deadline: Instant,
        metrics: &Metrics,
    ) -> Result<Fetched, Failure> {
        let began = clock::now();
        let deadline = deadline.min(began + request.timeout);
        let is_ping = match request.class() {
            Class::Ping => true,
            Class::Browser => false,
        };
        let fetch = Fetch {
            method: request.method.as_str(),
            url: &request.url,
            headers: &request.headers,
            body: request.body.as_deref(),
            redirects: request.redirects,
            is_idempotent: request.is_idempotent,
            wants_answer: is_ping,
        };
        let own = &mut Jar::default();
        let jar = if is_ping { own } else { jar };
        let result = self.fetch(&fetch, jar, deadline).await;
        let label = match &result {
            Ok(fetched) if fetched.is_success() => "answered",
            Ok(_) => "refused",
            Err(failure) => failure.label(),
        };
        metrics.add_webhook(request.trigger, label, began.elapsed());
        result
    }
}

/// Whether what came of a delivery is a reason to try it again later: nothing has arrived, the host says that it may later, or
/// it does no harm to have it twice.
#[must_use]
pub fn may_repeat(result: &Result<Fetched, Failure>, is_idempotent: bool) -> bool {
    match result {
        Ok(fetched) => matches!(fetched.status, 429 | 502..=504),
        Err(failure) => failure.may_pass() && (failure.is_unsent() || is_idempotent),
    }
}
