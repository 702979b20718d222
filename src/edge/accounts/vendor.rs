//! Asks Twilio's REST API, as the account of an org: a few requests at once, again after a while where that does no harm.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::RETRY_AFTER;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time;
use tracing::debug;

use crate::edge::accounts::dice;
use crate::net::clock;
use crate::net::http_client::{Client, Failure, Fetch};
use crate::telemetry::accounts::AccountCounts;
use crate::twilio::integration::Integration;
use crate::twilio::rest::{
    Api, ApiFault, Listing, MOST_AT_ONCE, Method, NUMBERS, Repeat, Request, authorization, read,
    wait_before_repeat,
};
use crate::twilio::sid::{AccountSid, NumberSid};

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(15);

/// Bytes of an answer: a page of 1000 numbers has about 1.5 MB.
const MOST_ANSWER: usize = 4 * 1024 * 1024;

/// Numbers of a page.
const PAGE: u16 = 1000;

/// The way to Twilio.
pub(in crate::edge) struct Vendor {
    client: Client,
    /// Requests of each account that may be under way: as many entries as orgs are connected.
    gates: Mutex<BTreeMap<AccountSid, Arc<Semaphore>>>,
    /// Numbers that are being set up: as many entries as requests of ours are under way or wait for that.
    numbers: Mutex<BTreeMap<(AccountSid, NumberSid), Arc<Semaphore>>>,
    counts: Arc<AccountCounts>,
}

impl Vendor {
    pub(in crate::edge) fn new(client: Client, counts: Arc<AccountCounts>) -> Self {
        Self {
            client,
            counts,
            gates: Mutex::default(),
            numbers: Mutex::default(),
        }
    }

    /// Another one, for whoever asks on a thread of its own.
    pub(in crate::edge) fn apart(&self) -> Self {
        Self::new(self.client.clone(), Arc::clone(&self.counts))
    }

    /// Counts what is found of an address that is set up there.
    pub(in crate::edge) fn add_finding(&self, finding: &'static str) {
        self.counts.add_finding(finding);
    }

    /// Asks at `host`, as often as it takes and is allowed.
    pub(in crate::edge) async fn ask(
        &self,
        host: &str,
        integration: &Integration,
        request: &Request,
    ) -> Result<Value, ApiFault> {
        let _turn = self.turn(integration.account).await;
        for tries in 1.. {
            let attempt = self.attempt(host, integration, request).await;
            let result = attempt
                .as_ref()
                .map_or_else(|(fault, _)| fault.label(), |_| "done");
            self.counts.add_request(result);
            let (fault, retry_after) = match attempt {
                Ok(value) => return Ok(value),
                Err(lost) => lost,
            };
            let dice = u32::from_ne_bytes(dice().unwrap_or_default());
            let wait = wait_before_repeat(request, fault, tries, dice, retry_after);
            let Some(wait) = wait else {
                return Err(fault);
            };
            time::sleep(wait).await;
        }
        Err(ApiFault::Odd)
    }

    /// All numbers of an account, page by page.
    pub(in crate::edge) async fn numbers(
        &self,
        host: &str,
        integration: &Integration,
    ) -> Result<Vec<Value>, ApiFault> {
        let api = Api {
            account: integration.account,
        };
        let mut listing = Listing::new(api, NUMBERS);
        let mut next = Some(api.numbers(PAGE));
        while let Some(request) = next {
            let answer = self.ask(host, integration, &request).await?;
            next = listing.take(&answer)?;
        }
        Ok(listing.into_items())
    }

    async fn turn(&self, account: AccountSid) -> Option<OwnedSemaphorePermit> {
        pass(&self.gates, account, MOST_AT_ONCE).await
    }

    /// Waits until nobody else sets this number up; it is held until what this gives is dropped. What is sent to Twilio and what is
    /// written down are one thing for whoever comes next, so that both are the same whoever was last.
    pub(in crate::edge) async fn hold(
        &self,
        account: AccountSid,
        number: NumberSid,
    ) -> Option<OwnedSemaphorePermit> {
        pass(&self.numbers, (account, number), 1).await
    }

    async fn attempt(
        &self,
        host: &str,
        integration: &Integration,
        request: &Request,
    ) -> Result<Value, (ApiFault, Option<Duration>)> {
        let user = integration.account.to_string();
        let authorization = authorization(&user, &integration.auth_token.current);
        let authorization = String::from_utf8_lossy(authorization.expose()).into_owned();
        let mut headers: Vec<(Box<str>, Box<str>)> = vec![
            ("Authorization".into(), authorization.into()),
            ("Accept".into(), "application/json".into()),
        ];
        let body = match request.method {
            Method::Post => {
                let kind = "application/x-www-form-urlencoded";
                headers.push(("Content-Type".into(), kind.into()));
                Some(request.form.encoded())
            }
            Method::Get | Method::Delete => None,
        };
        let url = [host, &request.target].concat();
        let fetch = Fetch {
            method: match request.method {
                Method::Get => "GET",
                Method::Post => "POST",
                Method::Delete => "DELETE",
            },
            url: &url,
            headers: &headers,
            body: body.as_deref(),
            redirects: 0,
            // Whether it is sent again is judged here, with a pause in between.
            is_idempotent: false,
            wants_answer: true,
        };
        let deadline = clock::now() + ATTEMPT;
        let answer = self.client.ask(&fetch, MOST_ANSWER, deadline).await;
        let answer = answer.map_err(|failure| (fault_of(failure), None))?;
        let value = read(answer.status, &answer.body);
        if let Err(fault) = &value {
            let id = answer.headers.get("twilio-request-id");
            let id = id.and_then(|id| id.to_str().ok()).unwrap_or_default();
            debug!(
                account = %integration.account,
                status = answer.status,
                fault = fault.label(),
                request = %id.escape_debug(),
                "the vendor's API says no"
            );
        }
        value.map_err(|fault| (fault, retry_after(&answer.headers)))
    }
}

/// Waits until fewer than `most` hold this.
async fn pass<K: Ord>(
    gates: &Mutex<BTreeMap<K, Arc<Semaphore>>>,
    key: K,
    most: usize,
) -> Option<OwnedSemaphorePermit> {
    let gate = {
        let mut gates = gates.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody is at are made anew.
        gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        let gate = gates.entry(key);
        Arc::clone(gate.or_insert_with(|| Arc::new(Semaphore::new(most))))
    };
    // It is never closed, so there is no error.
    gate.acquire_owned().await.ok()
}

/// What a failure of the way there means.
fn fault_of(failure: Failure) -> ApiFault {
    debug!(why = failure.label(), "the vendor's API does not answer");
    if failure.is_unsent() {
        ApiFault::NotReached
    } else {
        ApiFault::NoAnswer
    }
}

/// Seconds that the answer asks for.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

/// Whether what came of a request may still be unknown: it was sent, and perhaps carried out.
pub(in crate::edge) fn is_doubtful(request: &Request, fault: ApiFault) -> bool {
    let may_be_done = match fault {
        ApiFault::NoAnswer | ApiFault::Broken(_) | ApiFault::Odd => true,
        ApiFault::NotReached
        | ApiFault::Credentials
        | ApiFault::NotFound
        | ApiFault::TooMany
        | ApiFault::Refused(_) => false,
    };
    may_be_done && request.repeat == Repeat::Never
}
