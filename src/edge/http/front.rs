//! What happens to every request: its route, who asks, its body, its answer, a line in the log.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use rustls::ServerConfig;
use tokio::time;
use tracing::info;

use crate::config::http::{Http, Serves};
use crate::edge::http::Office;
use crate::edge::http::answer::{Answer, Refusal};
use crate::edge::http::captures::CAPTURES;
use crate::edge::http::orgs::ORGS;
use crate::edge::http::path::{self, Found};
use crate::edge::http::postings::POSTINGS;
use crate::edge::http::table::{Access, Asked, Route, TABLE, Tables};
use crate::edge::http::vendors::VENDORS;
use crate::net::clock;
use crate::net::http::door::Desk;
use crate::telemetry::http::HttpCounts;
use crate::twilio::sid::AccountSid;

/// One side of the service.
pub(super) struct Counter {
    office: Arc<Office>,
    pub(super) serves: Serves,
    pub(super) counts: Arc<HttpCounts>,
    tables: Tables,
}

/// The routes of one side.
pub(super) fn of(serves: Serves) -> Tables {
    match serves {
        Serves::Admin => &[TABLE, CAPTURES, POSTINGS],
        Serves::Vendors => &[VENDORS, ORGS, POSTINGS],
    }
}

impl Counter {
    pub(super) fn new(office: &Arc<Office>, serves: Serves) -> Self {
        let [admin, vendors] = &office.counts;
        let counts = match serves {
            Serves::Admin => admin,
            Serves::Vendors => vendors,
        };
        Self {
            serves,
            counts: Arc::clone(counts),
            tables: of(serves),
            office: Arc::clone(office),
        }
    }
}

impl Counter {
    /// Where soft phones and orgs are served, whose work goes on for a moment when the service ends.
    pub(super) fn vendor_office(&self) -> Option<Arc<Office>> {
        (self.serves == Serves::Vendors).then(|| Arc::clone(&self.office))
    }
}

impl Desk for Counter {
    fn terms(&self) -> Arc<Http> {
        self.office.http()
    }

    fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.office.terms_now().tls
    }

    async fn answer(self: Arc<Self>, peer: SocketAddr, request: Request<Incoming>) -> Answer {
        let began = clock::now();
        let http = self.terms();
        let (parts, body) = request.into_parts();
        let client = client(&http, peer.ip(), &parts.headers);
        let method = parts.method.clone();
        let mut line = Line {
            route: "none",
            token: None,
            account: None,
            refusal: None,
        };
        let mut answer = self
            .serve(&http, (began, client), (parts, body), &mut line)
            .await
            .unwrap_or_else(|refusal| {
                let answer = refusal.answer();
                line.refusal = Some(refusal);
                answer
            });
        let headers = answer.headers_mut();
        headers.insert(NO_SNIFF, HeaderValue::from_static("nosniff"));
        self.tell((began, client), &method, &line, &answer);
        answer
    }
}

/// What the log says of a request, besides its answer. The path and the query are left out: both may hold keys.
struct Line {
    route: &'static str,
    token: Option<Arc<str>>,
    /// The account that a webhook names, whether it is believed or not.
    account: Option<AccountSid>,
    refusal: Option<Refusal>,
}

impl Counter {
    async fn serve(
        self: &Arc<Self>,
        http: &Http,
        (began, client): (Instant, IpAddr),
        (parts, body): (Parts, Incoming),
        line: &mut Line,
    ) -> Result<Answer, Refusal> {
        let (route, names) = match path::find(self.tables, &parts.method, parts.uri.path()) {
            Found::Route(route, names) => (route, names),
            Found::OtherMethods(methods) => return Err(Refusal::NoMethod(methods)),
            Found::Nothing => return Err(Refusal::NoRoute),
        };
        line.route = route.name;
        if let Access::Token(scope) = route.access {
            let token = self
                .office
                .admit(began, client, &parts.headers, http, scope)?;
            line.token = Some(token);
        }
        let mut member = None;
        if let Access::Member(kind) = route.access {
            let admitted = self.office.admit_member(&parts.headers, kind)?;
            line.token = Some(Arc::clone(&admitted.org.id));
            member = Some(admitted);
        }
        let token = line.token.clone();
        let work = async {
            let is_heavy = route.body.is_some_and(|reads| reads.most > LIGHT);
            // It is never closed, so there is no error.
            let _turn = match is_heavy {
                true => self.office.heavy.acquire().await.ok(),
                false => None,
            };
            let body = read(route, &parts, body).await?;
            let signed = match route.access {
                Access::Vendor => Some(self.office.verify(&parts, &body, &mut line.account)?),
                Access::Open | Access::Token(_) | Access::Key | Access::Member(_) => None,
            };
            let asked = Asked {
                names,
                parts,
                body,
                token,
                client,
                signed,
                member,
            };
            Ok((route.run)(Arc::clone(&self.office), asked).await)
        };
        let result = time::timeout(route.time, work).await;
        result.unwrap_or(Err(Refusal::TooSlow))
    }

    fn tell(
        &self,
        (began, client): (Instant, IpAddr),
        method: &Method,
        line: &Line,
        answer: &Answer,
    ) {
        let took = clock::now().saturating_duration_since(began);
        let status = answer.status().as_u16();
        let metrics = &self.office.panel.metrics;
        if self.serves == Serves::Vendors
            && let Some(refusal) = &line.refusal
        {
            self.office.vendors.add_refused(metrics, refusal.label());
        }
        self.counts.add_request(metrics, line.route, status, took);
        // A method is the peer's word; those that no route has are one.
        let method = KNOWN.iter().find(|known| *known == method);
        info!(
            target: "strowger::access",
            %client,
            method = method.map_or("other", Method::as_str),
            route = line.route,
            status,
            ms = took.as_secs_f64() * 1e3,
            token = line.token.as_deref(),
            account = line.account.map(tracing::field::display),
            why = line.refusal.as_ref().map(Refusal::label),
            "answered"
        );
    }
}

/// Who asks: the peer, or if that is a proxy of ours, the last in `X-Forwarded-For` that is none.
fn client(http: &Http, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let mut client = peer.to_canonical();
    let lines: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
    for hop in hops {
        if !http.is_proxy(client) {
            break;
        }
        // What stands before a hop that cannot be read is nobody's word.
        let Ok(hop) = hop.trim().parse::<IpAddr>() else {
            break;
        };
        client = hop.to_canonical();
    }
    client
}

/// Reads the body that the route takes; a route that takes none gets none, whatever was sent.
async fn read(route: &Route, parts: &Parts, body: Incoming) -> Result<Bytes, Refusal> {
    let most = route.body.map_or(0, |reads| reads.most);
    let announced = parts.headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most as u64) {
        return Err(Refusal::TooLong(most));
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    match Limited::new(body, most).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::TooLong(most)),
        Err(_) => Err(Refusal::Broken),
    }
}

/// In bytes: what longer bodies a route takes, it takes a few at a time.
const LIGHT: usize = 1_024 * 1_024;

const NO_SNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

const KNOWN: &[Method] = &[
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];
