//! The description of all routes (OpenAPI 3.1), made from the table that serves them.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::config::http::Serves;
use crate::config::objects;
use crate::edge::http::Office;
use crate::edge::http::answer::{self, Answer};
use crate::edge::http::front;
use crate::edge::http::table::{Access, Route, Tables};

/// Shows it.
pub(super) fn show(office: &Office, serves: Serves) -> Answer {
    let description = match serves {
        Serves::Admin => describe(front::of(serves), office.http().public_url.as_deref()),
        Serves::Vendors => {
            let twilio = office.twilio();
            let base = twilio.as_ref().map(|twilio| twilio.base.as_str());
            describe(front::of(serves), base)
        }
    };
    answer::json(StatusCode::OK, &description)
}

/// The description; `url`: what others know us by.
fn describe(tables: Tables, url: Option<&str>) -> Value {
    let mut paths = Map::new();
    for route in tables.iter().copied().flatten() {
        let path = paths
            .entry(route.path)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(path) = path {
            let method = route.method.as_str().to_ascii_lowercase();
            path.insert(method, operation(route));
        }
    }
    let mut description = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Strowger",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What others may ask of a running edge, and tell it.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "One of [[http.token]]; an operation names the scope that it needs.",
                },
                "key": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "key",
                    "description": "The key of a call (X-PH-RetreaverKey), or one of [[postback_key]]; it may stand in the body, too.",
                },
                "key_header": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The same in a header, which logs seldom show.",
                },
                "vendor": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-Twilio-Signature",
                    "description": "Over the URL and the parameters, with the auth token or a shared key of the account.",
                },
                "member": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "Signed (HS256) with the jwt_secret of the org that the header orgid names, or a voice token.",
                },
            },
            "schemas": schemas(),
        },
    });
    if let (Some(url), Value::Object(description)) = (url, &mut description) {
        description.insert("servers".to_owned(), json!([{ "url": url }]));
    }
    description
}

fn operation(route: &'static Route) -> Value {
    let mut operation = Map::new();
    operation.insert("operationId".to_owned(), json!(route.name));
    operation.insert("summary".to_owned(), json!(route.summary));
    let security = match route.access {
        Access::Open => json!([]),
        Access::Token(scope) => json!([{ "token": [scope.name()] }]),
        Access::Key => json!([{ "key": [] }, { "key_header": [] }]),
        Access::Vendor => json!([{ "vendor": [] }]),
        Access::Member(_) => json!([{ "member": [] }]),
    };
    operation.insert("security".to_owned(), security);
    let names = names(route.path).map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
    });
    let query = route.query.iter().map(|(name, what)| {
        json!({ "name": name, "in": "query", "description": what, "schema": { "type": "string" } })
    });
    let headers = route.headers.iter().map(|(name, what)| {
        json!({ "name": name, "in": "header", "description": what, "schema": { "type": "string" } })
    });
    let parameters: Vec<Value> = names.chain(query).chain(headers).collect();
    if !parameters.is_empty() {
        operation.insert("parameters".to_owned(), json!(parameters));
    }
    if let Some(reads) = route.body {
        let schema = json!({ "schema": { "type": reads.schema } });
        let kinds = reads.kinds.iter();
        let content: Map<String, Value> = kinds
            .map(|kind| ((*kind).to_owned(), schema.clone()))
            .collect();
        let body = json!({ "required": reads.is_needed, "content": content });
        operation.insert("requestBody".to_owned(), body);
    }
    let responses: Map<String, Value> = statuses(route)
        .map(|(status, what)| (status.as_str().to_owned(), json!({ "description": what })))
        .collect();
    operation.insert("responses".to_owned(), Value::Object(responses));
    Value::Object(operation)
}

/// Every status that the route may answer, with what it means.
fn statuses(route: &'static Route) -> impl Iterator<Item = (StatusCode, &'static str)> {
    let guarded = match route.access {
        Access::Open => &[],
        Access::Token(_) => GUARDED,
        Access::Key => KEYED,
        Access::Vendor => SIGNED,
        Access::Member(_) => MEMBERS,
    };
    let reads = READS.iter().filter(|_| route.body.is_some());
    let all = route.answers.iter().chain(guarded).chain(reads).chain(ANY);
    all.copied()
}

/// The names in a route's path.
fn names(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

/// What stands in bodies: faults, and the objects of each kind, with the keys that a file knows.
fn schemas() -> Value {
    let fault = json!({
        "type": "object",
        "required": ["error", "what"],
        "properties": {
            "error": { "type": "string", "description": "A word that programs can tell apart." },
            "what": { "type": "string", "description": "A sentence for people." },
            "faults": { "type": "array", "description": "Of what was sent: at, key, what, instead." },
            "elsewhere": { "type": "array", "description": "Of files: file, line, column, key, what, instead." },
            "home": { "type": "object", "description": "The file and the line where it stands." },
        },
    });
    let mut schemas = Map::from_iter([("fault".to_owned(), fault)]);
    for kind in objects::kinds() {
        let keys = objects::keys_of(kind);
        let properties: Map<String, Value> = keys
            .iter()
            .map(|key| ((*key).to_owned(), json!({})))
            .collect();
        let schema = json!({
            "type": "object",
            "description": format!("As [[{kind}]] in a file."),
            "properties": properties,
            "additionalProperties": false,
        });
        schemas.insert(kind.to_owned(), schema);
    }
    Value::Object(schemas)
}

const GUARDED: &[(StatusCode, &str)] = &[
    (StatusCode::UNAUTHORIZED, "No token, or none of ours."),
    (StatusCode::FORBIDDEN, "The token lacks the scope."),
    (
        StatusCode::TOO_MANY_REQUESTS,
        "Too many wrong tokens came from this address.",
    ),
];

const MEMBERS: &[(StatusCode, &str)] = &[
    (
        StatusCode::UNAUTHORIZED,
        "No token, or none of the org's that `orgid` names.",
    ),
    (
        StatusCode::FORBIDDEN,
        "The token is for another identity, or for less.",
    ),
];

const SIGNED: &[(StatusCode, &str)] = &[(
    StatusCode::FORBIDDEN,
    "It is not signed as an account of ours signs.",
)];

const KEYED: &[(StatusCode, &str)] = &[
    (StatusCode::UNAUTHORIZED, "No key is shown."),
    (StatusCode::FORBIDDEN, "The key is not good for all of it."),
    (
        StatusCode::TOO_MANY_REQUESTS,
        "The key is shown too often, too much was said of the call, or too many wrong keys came from this address.",
    ),
];

const READS: &[(StatusCode, &str)] = &[
    (
        StatusCode::BAD_REQUEST,
        "The body was cut off, or cannot be read.",
    ),
    (StatusCode::PAYLOAD_TOO_LARGE, "The body is too long."),
];

const ANY: &[(StatusCode, &str)] = &[(StatusCode::REQUEST_TIMEOUT, "It took too long.")];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let tables = front::of(Serves::Admin);
        let description = describe(tables, Some("https://edge.example.com"));

        assert_eq!(description["servers"][0]["url"], "https://edge.example.com");
        let mut described = BTreeSet::new();
        for (path, operations) in description["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap().to_owned();
                described.insert((method.to_uppercase(), path.clone(), id));
            }
        }
        let all = || tables.iter().copied().flatten();
        let routes: BTreeSet<_> = all()
            .map(|route| {
                let method = route.method.to_string();
                (method, route.path.to_owned(), route.name.to_owned())
            })
            .collect();
        assert_eq!(described, routes);
        let names: BTreeSet<_> = all().map(|route| route.name).collect();
        assert_eq!(names.len(), all().count(), "a name stands for one route");
        let buyer = &description["components"]["schemas"]["buyer"]["properties"];
        assert!(buyer["uri"].is_object(), "{buyer}");
    }

    #[test]
    fn an_operation_says_who_may_ask_what_it_reads_and_what_it_answers() {
        for serves in [Serves::Admin, Serves::Vendors] {
            check(front::of(serves));
        }
    }

    fn check(tables: Tables) {
        let description = describe(tables, None);

        assert_eq!(description.get("servers"), None);
        for route in tables.iter().copied().flatten() {
            let method = route.method.as_str().to_ascii_lowercase();
            let operation = &description["paths"][route.path][method];
            let name = route.name;
            let security = operation["security"].as_array().unwrap();
            assert_eq!(security.is_empty(), route.access == Access::Open, "{name}");
            assert_eq!(operation.get("requestBody").is_some(), route.body.is_some());
            let responses = operation["responses"].as_object().unwrap();
            for (status, _) in route.answers {
                assert!(responses.contains_key(status.as_str()), "{name}: {status}");
            }
            let is_guarded = responses.contains_key("403");
            assert_eq!(is_guarded, !security.is_empty(), "{name}");
            let parameters = operation.get("parameters").and_then(Value::as_array);
            let in_path = parameters.into_iter().flatten();
            let in_path = in_path.filter(|parameter| parameter["in"] == "path");
            assert_eq!(in_path.count(), route.path.matches('{').count(), "{name}");
        }
    }
}
