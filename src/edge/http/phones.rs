//! Soft phones: where they are, and who tells them of calls.

use axum::body::Body;
use axum::http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use axum::http::{HeaderValue, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use serde_json::{Value, json};

use crate::edge::accounts::{BindingId, Caller, Pushes, Registered, Told};
use crate::edge::http::Office;
use crate::edge::http::answer::{self, Answer};
use crate::edge::http::member::Member;
use crate::edge::http::table::Asked;
use crate::edge::http::upstream::{not_connected, unkept_answer};
use crate::edge::storeroom::moment;
use crate::net::websocket::{self, NoSocket};
use crate::twilio::notification::{Binding, Channel};

/// Takes a notification of a call.
pub(super) fn notify(office: &Office, asked: &Asked) -> Answer {
    let Some(signed) = &asked.signed else {
        return answer::empty(StatusCode::FORBIDDEN);
    };
    let terms = &signed.twilio.accounts;
    let is_path = match (&terms.path, asked.names.first()) {
        (None, None) => true,
        (Some(path), Some(named)) => path.is_equal(named.as_bytes()),
        (Some(_), None) | (None, Some(_)) => false,
    };
    if !is_path {
        return answer::empty(StatusCode::FORBIDDEN);
    }
    let account = signed.account.to_string();
    let told = office
        .switchboard
        .notify(moment(), terms, &account, &asked.body);
    match told {
        Told::Fault(fault) => text(StatusCode::BAD_REQUEST, fault.to_string()),
        Told::Foreign => answer::empty(StatusCode::FORBIDDEN),
        Told::Nobody => text(StatusCode::NOT_FOUND, "Not found".to_owned()),
        Told::Done => text(StatusCode::OK, String::new()),
        Told::Busy => text(StatusCode::SERVICE_UNAVAILABLE, String::new()),
    }
}

/// Binds a soft phone that a push service reaches.
pub(super) fn register(office: &Office, member: &Member, asked: &Asked) -> Answer {
    let binding = match Binding::read(moment(), &asked.body) {
        Ok(binding) => binding,
        Err(fault) => return answer::fault(bad(fault.status()), fault.label(), &fault.to_string()),
    };
    let Some(account) = office.account_of(member) else {
        return not_connected();
    };
    let own = member.identity.as_deref();
    if *binding.account != *account.to_string() || own.is_some_and(|own| *own != *binding.identity)
    {
        return foreign();
    }
    if binding.channel == Channel::WebSocket {
        let what = "a phone that opens a WebSocket is there as long as that is: GET /calls/socket";
        return answer::fault(StatusCode::BAD_REQUEST, "binding_member", what);
    }
    if !Pushes::reaches(&member.twilio.accounts, binding.channel) {
        let what = "no such push service is configured";
        return answer::fault(StatusCode::CONFLICT, "no_service", what);
    }
    let shown = binding.shown();
    match office.switchboard.accounts.register(moment(), binding) {
        Registered::As(id) => answer::json(StatusCode::CREATED, &named(id, shown)),
        Registered::TooMany(fault) => {
            answer::fault(bad(fault.status()), fault.label(), &fault.to_string())
        }
        Registered::Unkept(unkept) => unkept_answer(unkept),
    }
}

/// Forgets a soft phone.
pub(super) fn unregister(office: &Office, member: &Member, asked: &Asked) -> Answer {
    let Some(account) = office.account_of(member) else {
        return not_connected();
    };
    let account = account.to_string();
    let gone = BindingId::parse(asked.name(0)).map(|id| {
        let accounts = &office.switchboard.accounts;
        accounts.unregister(id, &account, member.identity.as_deref())
    });
    match gone {
        Some(Ok(true)) => answer::empty(StatusCode::NO_CONTENT),
        Some(Ok(false)) | None => answer::fault(
            StatusCode::NOT_FOUND,
            "no_binding",
            "there is none of this name",
        ),
        Some(Err(unkept)) => unkept_answer(unkept),
    }
}

/// Lists soft phones: those of a user, or of the org.
pub(super) fn list(office: &Office, member: &Member, asked: &Asked) -> Answer {
    let Some(account) = office.account_of(member) else {
        return not_connected();
    };
    let account = account.to_string();
    let wanted = asked.query("identity");
    let identity = wanted.as_deref().or(member.identity.as_deref());
    if member.identity.is_some() && identity != member.identity.as_deref() {
        return foreign();
    }
    let after = asked.query("after").and_then(|id| BindingId::parse(&id));
    let most = asked.query("limit").and_then(|limit| limit.parse().ok());
    let most = most.unwrap_or(PAGE).clamp(1, MOST_PAGE);
    let accounts = &office.switchboard.accounts;
    let bound = accounts.phones(moment(), &account, identity, (after, most));
    let next = (bound.len() == most).then(|| bound.last()).flatten();
    let next = next.map(|(id, _)| id.to_string());
    let items: Vec<Value> = bound
        .iter()
        .map(|(id, one)| named(*id, one.shown()))
        .collect();
    let connected = identity.map(|identity| {
        let (account, identity) = (account.as_str().into(), identity.into());
        office
            .switchboard
            .connections(&Caller { account, identity })
    });
    let list = json!({ "items": items, "after": next, "connected": connected });
    answer::json(StatusCode::OK, &list)
}

/// Opens a WebSocket on which a soft phone is told of calls.
pub(super) fn socket(office: &Office, member: &Member, asked: &mut Asked) -> Answer {
    let Some(identity) = member.identity.clone() else {
        let what = "the token is for no identity";
        return answer::fault(StatusCode::FORBIDDEN, "no_identity", what);
    };
    let Some(account) = office.account_of(member) else {
        return not_connected();
    };
    let accept = match websocket::greet(&asked.parts.headers) {
        Ok(accept) => accept,
        Err(NoSocket::NotAsked | NoSocket::Version) => {
            let status = StatusCode::UPGRADE_REQUIRED;
            let mut answer = answer::fault(status, "no_websocket", "open a WebSocket, version 13");
            answer::set(&mut answer, UPGRADE, "websocket");
            return answer;
        }
        Err(NoSocket::Key) => {
            return answer::fault(StatusCode::BAD_REQUEST, "no_websocket", "its key is none");
        }
    };
    let Some(upgrade) = asked.parts.extensions.remove::<OnUpgrade>() else {
        return answer::fault(
            StatusCode::BAD_REQUEST,
            "no_websocket",
            "it cannot be opened here",
        );
    };
    let caller = Caller {
        account: account.to_string().into(),
        identity,
    };
    let offers = websocket::protocols(&asked.parts.headers).any(|one| one == PROTOCOL);
    if office
        .switchboard
        .open(caller, upgrade, member.left)
        .is_err()
    {
        let what = "too many connections are open";
        return answer::fault(StatusCode::SERVICE_UNAVAILABLE, "busy", what);
    }
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if offers {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    answer
}

fn named(id: BindingId, mut shown: Value) -> Value {
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("id".to_owned(), id.to_string().into());
    }
    shown
}

fn foreign() -> Answer {
    let what = "the token is for another account or identity";
    answer::fault(StatusCode::FORBIDDEN, "other_identity", what)
}

fn text(status: StatusCode, text: String) -> Answer {
    answer::bytes(status, "text/plain; charset=utf-8", text.into())
}

fn bad(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST)
}

/// The protocol that is spoken: text frames, each a notification as it came.
const PROTOCOL: &str = "strowger.calls";
/// Bindings of a page.
const PAGE: usize = 100;
const MOST_PAGE: usize = 1000;
