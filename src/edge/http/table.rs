//! The table of routes: all that can be asked over HTTP, and on what terms.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use bytes::Bytes;
use serde_json::json;

use crate::config::http::{Scope, Serves};
use crate::edge::http::Office;
use crate::edge::http::answer::{self, Answer};
use crate::edge::http::answers::{DELETE, FOUND, PUT};
use crate::edge::http::calls;
use crate::edge::http::directory;
use crate::edge::http::explain;
use crate::edge::http::front_door;
use crate::edge::http::lists;
use crate::edge::http::member::{Kind, Member};
use crate::edge::http::openapi;
use crate::edge::http::outbox;
use crate::edge::http::path;
use crate::edge::http::vendor::Signed;

/// One route.
pub(super) struct Route {
    pub(super) method: Method,
    /// The path; `{name}` stands for one segment, which the route gets decoded.
    pub(super) path: &'static str,
    /// Its name in metrics, in the log and in the description (`operationId`).
    pub(super) name: &'static str,
    /// One sentence.
    pub(super) summary: &'static str,
    pub(super) access: Access,
    /// What it reads; `None`: no body.
    pub(super) body: Option<Reads>,
    /// Parameters of the query that it knows, each with a word about it.
    pub(super) query: &'static [(&'static str, &'static str)],
    /// Headers that it goes by, each with a word about it.
    pub(super) headers: &'static [(&'static str, &'static str)],
    /// How long it may take, body and all.
    pub(super) time: Duration,
    /// Every status that it answers besides those that any route may, each with what it means.
    pub(super) answers: &'static [(StatusCode, &'static str)],
    pub(super) run: Run,
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Anybody.
    Open,
    /// Whoever has a token with this scope.
    Token(Scope),
    /// Whoever has the key of a call, or one that the operator handed out: the route itself looks at it.
    Key,
    /// Whoever signs as an account of ours does: [`Asked::signed`] says which.
    Vendor,
    /// Whoever shows that he is of an org: [`Asked::member`] says who.
    Member(Kind),
}

/// The body that a route reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reads {
    /// Its types, for the description.
    pub(super) kinds: &'static [&'static str],
    /// Whether there must be one.
    pub(super) is_needed: bool,
    /// What JSON Schema calls what is in it.
    pub(super) schema: &'static str,
    /// In bytes.
    pub(super) most: usize,
}

/// The tables of one side of the service.
pub(super) type Tables = &'static [&'static [Route]];

/// What a route does.
pub(super) type Run = fn(Arc<Office>, Asked) -> Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A request that has come as far as its route.
pub(super) struct Asked {
    /// What the path holds in place of the route's names, in order.
    pub(super) names: Vec<String>,
    pub(super) parts: Parts,
    /// All of it; empty for a route without.
    pub(super) body: Bytes,
    /// Who asks: the name of the token.
    pub(super) token: Option<Arc<str>>,
    /// Where from.
    pub(super) client: IpAddr,
    /// Who has signed it; `None`: the route does not ask for that.
    pub(super) signed: Option<Signed>,
    /// Who of an org asks; `None`: the route does not ask for that.
    pub(super) member: Option<Member>,
}

impl Asked {
    /// The name at `place` of the path.
    pub(super) fn name(&self, place: usize) -> &str {
        self.names.get(place).map_or("", |name| name)
    }

    /// The parameter `name` of the query, decoded.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        let query = self.parts.uri.query()?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(key, _)| *key == name)?;
        path::decode(&value.replace('+', " "))
    }

    /// The header `name`, if it is a text and stands once.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.parts.headers.get_all(name).iter();
        let value = values.next()?;
        values.next().is_none().then_some(value)?.to_str().ok()
    }
}

/// For what is there already.
pub(super) const SHORT: Duration = Duration::from_secs(10);

/// For a change: others wait before it, and each reads the whole configuration.
const CHANGE: Duration = Duration::from_secs(60);

/// For a list of numbers, which may be long and its way, too.
const LONG: Duration = Duration::from_secs(300);

const OBJECT: Reads = Reads {
    kinds: &["application/json"],
    is_needed: true,
    schema: "object",
    most: 256 * 1_024,
};

/// A million numbers and more.
const LIST: Reads = Reads {
    kinds: &["text/csv"],
    is_needed: true,
    schema: "string",
    most: 128 * 1_024 * 1_024,
};

const READ: Access = Access::Token(Scope::Read);
const WRITE: Access = Access::Token(Scope::Write);

const PAGES: &[(&str, &str)] = &[
    ("after", "The id after which the page begins."),
    ("limit", "Objects of a page, 1 to 1000; 100 by default."),
];

const CONDITIONS: &[(&str, &str)] = &[
    (
        "If-Match",
        "The version that is to be changed: its ETag, or \"*\" for any.",
    ),
    ("If-None-Match", "\"*\": only if there is none yet."),
];

const KNOWN: &[(&str, &str)] = &[(
    "If-None-Match",
    "The version that is known: if it is still that, the answer is 304.",
)];

/// Every route there is.
pub(super) const TABLE: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/openapi.json",
        name: "description",
        summary: "Describes all that can be asked, as OpenAPI 3.1.",
        access: Access::Open,
        body: None,
        query: &[],
        headers: &[],
        time: SHORT,
        answers: &[(StatusCode::OK, "The description.")],
        run: |office, _| Box::pin(async move { openapi::show(&office, Serves::Admin) }),
    },
    Route {
        method: Method::GET,
        path: "/openapi-vendors.json",
        name: "vendor_description",
        summary: "Describes what outside callers can ask of their own listeners, as OpenAPI 3.1.",
        access: Access::Open,
        body: None,
        query: &[],
        headers: &[],
        time: SHORT,
        answers: &[(StatusCode::OK, "The description.")],
        run: |office, _| Box::pin(async move { openapi::show(&office, Serves::Vendors) }),
    },
    Route {
        method: Method::GET,
        path: "/v1/twilio/calls/{leg}",
        name: "twilio_call",
        summary: "Says what became of a call of Twilio's, and what was told of it.",
        access: READ,
        body: None,
        query: &[],
        headers: &[],
        time: SHORT,
        answers: &[
            (StatusCode::OK, "It, with the UUID of its record."),
            (StatusCode::NOT_FOUND, "No such call is remembered."),
        ],
        run: |office, asked| Box::pin(async move { front_door::show_call(&office, &asked) }),
    },
    Route {
        method: Method::GET,
        path: "/v1/generation",
        name: "generation",
        summary: "Says which load of the configuration is in force.",
        access: READ,
        body: None,
        query: &[],
        headers: &[],
        time: SHORT,
        answers: &[(StatusCode::OK, "Its number; the first is 1.")],
        run: |office, _| {
            Box::pin(async move {
                let generation = office.panel.policy().generation;
                answer::json(StatusCode::OK, &json!({ "generation": generation }))
            })
        },
    },
    Route {
        method: Method::POST,
        path: "/v1/explain",
        name: "explain",
        summary: "Says what would become of a call: who would get it and why not the others, by what counts now.",
        access: READ,
        body: Some(OBJECT),
        query: &[],
        headers: &[],
        time: SHORT,
        answers: &[
            (StatusCode::OK, "What would become of it."),
            (StatusCode::BAD_REQUEST, "The body is no question."),
            (
                StatusCode::UNPROCESSABLE_ENTITY,
                "The question cannot be answered.",
            ),
        ],
        run: |office, asked| Box::pin(async move { explain::explain(&office, &asked) }),
    },
    Route {
        method: Method::GET,
        path: "/v1/directory",
        name: "kinds",
        summary: "Says which kinds of routing data there are, and how many of each.",
        access: READ,
        body: None,
        query: &[],
        headers: &[],
        time: SHORT,
        answers: &[(StatusCode::OK, "The kinds, each with its keys.")],
        run: |office, _| Box::pin(async move { directory::kinds(&office) }),
    },
    Route {
        method: Method::GET,
        path: "/v1/directory/{kind}",
        name: "list_objects",
        summary: "Lists the objects of a kind, by id.",
        access: READ,
        body: None,
        query: PAGES,
        headers: &[],
        time: SHORT,
        answers: &[
            (StatusCode::OK, "A page."),
            (StatusCode::NOT_FOUND, "There is no such kind."),
        ],
        run: |office, asked| Box::pin(async move { directory::list(&office, &asked) }),
    },
    Route {
        method: Method::GET,
        path: "/v1/directory/{kind}/{id}",
        name: "get_object",
        summary: "Shows an object without its secrets.",
        access: READ,
        body: None,
        query: &[],
        headers: KNOWN,
        time: SHORT,
        answers: FOUND,
        run: |office, asked| Box::pin(async move { directory::get(&office, &asked).await }),
    },
    Route {
        method: Method::PUT,
        path: "/v1/directory/{kind}/{id}",
        name: "put_object",
        summary: "Puts an object, as a file would say it; it holds for the next call.",
        access: WRITE,
        body: Some(OBJECT),
        query: &[],
        headers: CONDITIONS,
        time: CHANGE,
        answers: PUT,
        run: |office, asked| Box::pin(async move { directory::put(&office, asked).await }),
    },
    Route {
        method: Method::DELETE,
        path: "/v1/directory/{kind}/{id}",
        name: "delete_object",
        summary: "Deletes an object.",
        access: WRITE,
        body: None,
        query: &[],
        headers: CONDITIONS,
        time: CHANGE,
        answers: DELETE,
        run: |office, asked| Box::pin(async move { directory::delete(&office, asked).await }),
    },
    Route {
        method: Method::GET,
        path: "/v1/lists",
        name: "lists",
        summary: "Lists the lists of numbers that came this way.",
        access: READ,
        body: None,
        query: &[],
        headers: &[],
        time: SHORT,
        answers: &[(StatusCode::OK, "The lists.")],
        run: |office, _| Box::pin(async move { lists::list(&office) }),
    },
    Route {
        method: Method::GET,
        path: "/v1/lists/{name}",
        name: "get_list",
        summary: "Shows a list of numbers.",
        access: READ,
        body: None,
        query: &[],
        headers: KNOWN,
        time: LONG,
        answers: FOUND,
        run: |office, asked| Box::pin(async move { lists::get(&office, &asked).await }),
    },
    Route {
        method: Method::PUT,
        path: "/v1/lists/{name}",
        name: "put_list",
        summary: "Puts a list of numbers: a line for each, number,campaign,afid[,sid].",
        access: WRITE,
        body: Some(LIST),
        query: &[],
        headers: CONDITIONS,
        time: LONG,
        answers: PUT,
        run: |office, asked| Box::pin(async move { lists::put(&office, asked).await }),
    },
    Route {
        method: Method::DELETE,
        path: "/v1/lists/{name}",
        name: "delete_list",
        summary: "Deletes a list, and the numbers in it.",
        access: WRITE,
        body: None,
        query: &[],
        headers: CONDITIONS,
        time: CHANGE,
        answers: DELETE,
        run: |office, asked| Box::pin(async move { lists::delete(&office, asked).await }),
    },
    Route {
        method: Method::GET,
        path: "/v1/calls/{uuid}",
        name: "get_call",
        summary: "Shows a call that is over: its record, and what postbacks have brought since.",
        access: READ,
        body: None,
        query: &[],
        headers: &[],
        time: SHORT,
        answers: &[
            (StatusCode::OK, "It; or only that it goes on."),
            (StatusCode::NOT_FOUND, "There is none, or it is forgotten."),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "The store cannot be read now.",
            ),
        ],
        run: |office, asked| Box::pin(async move { calls::get(&office, &asked).await }),
    },
    Route {
        method: Method::GET,
        path: "/v1/outbox",
        name: "list_given_up",
        summary: "Lists the deliveries that were given up, without what they hold.",
        access: READ,
        body: None,
        query: outbox::AFTER,
        headers: &[],
        time: SHORT,
        answers: &[(StatusCode::OK, "A page."), outbox::UNKEPT],
        run: |office, asked| Box::pin(async move { outbox::list(&office, &asked) }),
    },
    Route {
        method: Method::POST,
        path: "/v1/outbox/{number}/retry",
        name: "retry_delivery",
        summary: "Has a delivery that was given up tried again, at once and with all its attempts before it.",
        access: WRITE,
        body: None,
        query: &[],
        headers: &[],
        time: SHORT,
        answers: outbox::GIVEN_UP,
        run: |office, asked| Box::pin(async move { outbox::retry(&office, &asked) }),
    },
    Route {
        method: Method::DELETE,
        path: "/v1/outbox/{number}",
        name: "drop_delivery",
        summary: "Has a delivery that was given up forgotten.",
        access: WRITE,
        body: None,
        query: &[],
        headers: &[],
        time: SHORT,
        answers: outbox::GIVEN_UP,
        run: |office, asked| Box::pin(async move { outbox::forget(&office, &asked) }),
    },
];
