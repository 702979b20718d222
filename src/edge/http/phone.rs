//! What orgs do with phones: tokens for soft phones, numbers taken over, set up, and compared with what Twilio has.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::edge::accounts::Owned;
use crate::edge::http::Office;
use crate::edge::http::answer::{self, Answer};
use crate::edge::http::fields::{Fields, Wrong};
use crate::edge::http::member::Member;
use crate::edge::http::purchase;
use crate::edge::http::table::Asked;
use crate::edge::http::upstream::{api_fault, not_connected, unkept_answer};
use crate::edge::storeroom::moment;
use crate::twilio::access_token::{Issuer, VoiceGrant, check_identity};
use crate::twilio::integration::Integration;
use crate::twilio::numbers::{Delta, Line, Mode, Remote, set_up};
use crate::twilio::rest::{Api, NUMBERS, Page, Request};
use crate::twilio::sid::NumberSid;
use crate::types::number::Number;

/// How long a voice token holds if nobody says otherwise.
const TOKEN_TIME: u64 = 3600;

/// Bounds of that, in seconds.
const TOKEN_TIMES: std::ops::RangeInclusive<u64> = 60..=86_400;

/// Users of one number.
const USERS: usize = 100;

/// Makes a voice token.
pub(super) fn token(office: &Office, member: &Member, asked: &Asked) -> Answer {
    mint(office, member, asked).map_or_else(
        |refused| *refused,
        |(_, token)| answer::json(StatusCode::OK, &token),
    )
}

/// Makes a voice token, and says which numbers are the user's.
pub(super) fn register_device(office: &Office, member: &Member, asked: &Asked) -> Answer {
    let (identity, mut token) = match mint(office, member, asked) {
        Ok(minted) => minted,
        Err(refused) => return *refused,
    };
    let lines = office.switchboard.accounts.lines(&member.org.id);
    let own = lines
        .iter()
        .filter(|owned| owned.users.contains(&identity))
        .map(shown);
    if let Some(token) = token.as_object_mut() {
        token.insert("phones".to_owned(), own.collect());
    }
    answer::json(StatusCode::OK, &token)
}

fn mint(office: &Office, member: &Member, asked: &Asked) -> Result<(Box<str>, Value), Box<Answer>> {
    let fields = Fields::read(&asked.body, &["identity", "ttl_seconds"]);
    let fields = fields.map_err(|wrong| Box::new(wrong.answer()))?;
    let right = "the name that the phone goes by, without white space";
    let identity = fields
        .text("identity", right)
        .map_err(|wrong| Box::new(wrong.answer()))?;
    // A user need not say who he is, and cannot say that he is somebody else.
    let identity = identity.or(member.identity.as_deref());
    let identity = identity.ok_or_else(|| Box::new(Wrong::Member("identity", right).answer()))?;
    if member
        .identity
        .as_deref()
        .is_some_and(|own| own != identity)
    {
        let what = "the token is for another identity";
        return Err(Box::new(answer::fault(
            StatusCode::FORBIDDEN,
            "other_identity",
            what,
        )));
    }
    let ttl = fields
        .seconds("ttl_seconds")
        .map_err(|wrong| Box::new(wrong.answer()))?;
    let ttl = ttl.unwrap_or(TOKEN_TIME);
    let ttl = ttl.clamp(*TOKEN_TIMES.start(), *TOKEN_TIMES.end());
    let integration = office
        .connection_of(member)
        .ok_or_else(|| Box::new(not_connected()))?;
    let Some((key, secret)) = integration.key.clone() else {
        let what = "the connection has no apiKey and apiKeySecret, which tokens are made with";
        return Err(Box::new(answer::fault(
            StatusCode::CONFLICT,
            "no_api_key",
            what,
        )));
    };
    let issuer = Issuer {
        account: integration.account,
        key,
        secret,
        region: None,
    };
    let grant = VoiceGrant {
        incoming: true,
        outgoing: integration.application,
        ..VoiceGrant::default()
    };
    let token = issuer.mint(moment(), identity, &grant, Duration::from_secs(ttl));
    let token = token.map_err(|fault| {
        Box::new(answer::fault(
            StatusCode::BAD_REQUEST,
            fault.label(),
            &fault.to_string(),
        ))
    })?;
    let shown = json!({ "token": token, "identity": identity, "expires_in": ttl });
    Ok((identity.into(), shown))
}

/// Shows the numbers of an org, as we have them, and the purchases whose end is not known.
pub(super) fn list(office: &Office, member: &Member, _: &Asked) -> Answer {
    let lines = office.switchboard.accounts.lines(&member.org.id);
    let items: Vec<Value> = lines.iter().map(shown).collect();
    let all = json!({ "items": items, "purchases": purchase::open(office, member) });
    answer::json(StatusCode::OK, &all)
}

/// Takes over a number that the account has already, and sets it up.
pub(super) async fn add(office: &Office, member: &Member, asked: &Asked) -> Answer {
    let known = ["phoneNumber", "sid", "mode", "users"];
    let fields = match Fields::read(&asked.body, &known) {
        Ok(fields) => fields,
        Err(wrong) => return wrong.answer(),
    };
    let order = match Order::read(&fields) {
        Ok(order) => order,
        Err(wrong) => return wrong.answer(),
    };
    let Some(integration) = office.connection_of(member) else {
        return not_connected();
    };
    let sid = match find(office, member, &integration, &fields).await {
        Ok(sid) => sid,
        Err(refused) => return refused,
    };
    let _held = office.vendor.hold(integration.account, sid).await;
    let form = set_up(&member.twilio.base, &member.org.id, order.mode);
    let api = Api {
        account: integration.account,
    };
    let request = api.set_number(sid, form);
    match office.ask(member, &integration, &request).await {
        Ok(set) => keep(office, member, &set, order, StatusCode::CREATED),
        Err(fault) => api_fault(fault),
    }
}

/// Brings what we have of a number to Twilio.
pub(super) async fn route(office: &Office, member: &Member, asked: &Asked) -> Answer {
    let fields = match Fields::read(&asked.body, &["mode", "users"]) {
        Ok(fields) => fields,
        Err(wrong) => return wrong.answer(),
    };
    let order = match Order::read(&fields) {
        Ok(order) => order,
        Err(wrong) => return wrong.answer(),
    };
    let accounts = &office.switchboard.accounts;
    let what = "this org has no such number: POST /phone/numbers/add takes one over";
    let none = || answer::fault(StatusCode::NOT_FOUND, "no_number", what);
    let Some(known) = accounts.line(&member.org.id, asked.name(0)) else {
        return none();
    };
    let Some(integration) = office.connection_of(member) else {
        return not_connected();
    };
    let sid = known.line.sid;
    let _held = office.vendor.hold(integration.account, sid).await;
    // As whoever was before has left it.
    let Some(owned) = accounts.line(&member.org.id, &sid.to_string()) else {
        return none();
    };
    let order = Order {
        mode: if order.says_mode {
            order.mode
        } else {
            owned.line.mode
        },
        ..order
    };
    let form = set_up(&member.twilio.base, &member.org.id, order.mode);
    let api = Api {
        account: integration.account,
    };
    let request = api.set_number(owned.line.sid, form);
    match office.ask(member, &integration, &request).await {
        Ok(set) => keep(office, member, &set, order, StatusCode::OK),
        Err(fault) => api_fault(fault),
    }
}

/// Compares what Twilio has with what we have.
pub(super) async fn verify(office: &Office, member: &Member, _: &Asked) -> Answer {
    let Some(integration) = office.connection_of(member) else {
        return not_connected();
    };
    let accounts = &office.switchboard.accounts;
    // Those of now are settled by a list that is read from now on.
    let doubtful = accounts.purchases(&member.org.id).into_iter();
    let doubtful = doubtful.filter(|(_, purchase)| purchase.doubt.is_some());
    let doubtful: Vec<_> = doubtful.map(|(id, _)| id).collect();
    let before = accounts.lines(&member.org.id);
    let host = &member.twilio.accounts.api;
    let items = match office.vendor.numbers(host, &integration).await {
        Ok(items) => items,
        Err(fault) => return api_fault(fault),
    };
    let remotes: Vec<Remote> = items.iter().filter_map(Remote::read).collect();
    let compared = accounts.lines(&member.org.id);
    let lines: Vec<Line> = compared.iter().map(|owned| owned.line.clone()).collect();
    let mut delta = Delta::between(&remotes, &lines, &member.twilio.base, &member.org.id);
    // What was set up while the list was read may be on it as it was before, or not at all.
    let compared = compared.into_iter().filter(|owned| {
        let place = before.binary_search_by_key(&owned.line.sid, |own| own.line.sid);
        let was = place.ok().and_then(|place| before.get(place));
        was.is_some_and(|was| was.is_said_as(owned))
    });
    let compared: Vec<_> = compared.collect();
    let sids: BTreeSet<_> = compared.iter().map(|owned| owned.line.sid).collect();
    delta.missing_remote.retain(|line| sids.contains(&line.sid));
    delta
        .mismatch
        .retain(|mismatch| sids.contains(&mismatch.sid));
    let checked = accounts.check(moment(), (&member.org.id, &compared), &delta);
    match checked.and_then(|()| accounts.settle_purchases(&member.org.id, &doubtful)) {
        Ok(()) => answer::json(StatusCode::OK, &delta.to_json()),
        Err(unkept) => unkept_answer(unkept),
    }
}

/// What is to become of a number.
pub(super) struct Order {
    pub(super) mode: Mode,
    says_mode: bool,
    /// `None`: nothing is said of them.
    pub(super) users: Option<Vec<Box<str>>>,
}

impl Order {
    pub(super) fn read(fields: &Fields) -> Result<Self, Wrong> {
        let right = "\"voice\" or \"ivr\"";
        let mode = fields.text("mode", right)?;
        let says_mode = mode.is_some();
        let mode = mode.map_or(Some(Mode::Voice), Mode::parse);
        let right_users = "a list of up to 100 names that phones go by";
        let users = fields.texts("users", right_users)?;
        let users = users.map(|users| {
            let is_right =
                users.len() <= USERS && users.iter().all(|user| check_identity(user).is_ok());
            let users = users.into_iter().map(Into::into).collect();
            is_right.then_some(users)
        });
        Ok(Self {
            mode: mode.ok_or(Wrong::Member("mode", right))?,
            says_mode,
            users: match users {
                None => None,
                Some(Some(users)) => Some(users),
                Some(None) => return Err(Wrong::Member("users", right_users)),
            },
        })
    }
}

/// Twilio's name of the number that is to be taken over.
async fn find(
    office: &Office,
    member: &Member,
    integration: &Integration,
    fields: &Fields,
) -> Result<NumberSid, Answer> {
    let right = "an E.164 number like \"+18005551234\", or `sid` with Twilio's name of it";
    let wrong = || Wrong::Member("phoneNumber", right).answer();
    let texts = fields
        .text("phoneNumber", right)
        .and_then(|number| Ok((number, fields.text("sid", right)?)));
    let number = match texts.map_err(|wrong| wrong.answer())? {
        (None, Some(sid)) => return NumberSid::parse(sid).ok_or_else(wrong),
        (Some(number), None) => e164(number).ok_or_else(wrong)?,
        (Some(_), Some(_)) | (None, None) => return Err(wrong()),
    };
    let api = Api {
        account: integration.account,
    };
    let request: Request = api.find_number(number);
    let answer = office.ask(member, integration, &request).await;
    let page = answer.and_then(|answer| Page::read(api, NUMBERS, &answer));
    let page = page.map_err(api_fault)?;
    let mut remotes = page.items.iter().filter_map(Remote::read);
    let remote = remotes.find(|remote| remote.number == number);
    let what = "the account has no such number";
    let remote = remote.ok_or_else(|| answer::fault(StatusCode::NOT_FOUND, "no_number", what))?;
    Ok(remote.sid)
}

/// Writes down a number that Twilio has just told of.
fn keep(
    office: &Office,
    member: &Member,
    told: &Value,
    order: Order,
    status: StatusCode,
) -> Answer {
    let Some(line) = line(told, order.mode) else {
        let what = "the vendor's answer is no number: POST /phone/verify tells what it has";
        return answer::fault(StatusCode::BAD_GATEWAY, "odd", what);
    };
    let accounts = &office.switchboard.accounts;
    match accounts.list(moment(), &member.org.id, (line, order.users)) {
        Ok(owned) => answer::json(status, &shown(&owned)),
        Err(unkept) => unkept_answer(unkept),
    }
}

/// The number that Twilio has just told of; `None`: it is none.
pub(super) fn line(told: &Value, mode: Mode) -> Option<Line> {
    let Remote { sid, number, .. } = Remote::read(told)?;
    Some(Line { sid, number, mode })
}

pub(super) fn e164(text: &str) -> Option<Number> {
    Number::from_e164(text.as_bytes()).filter(|_| text.starts_with('+'))
}

pub(super) fn shown(owned: &Owned) -> Value {
    json!({
        "id": owned.line.sid.to_string(),
        "phoneNumber": owned.line.number.to_string(),
        "mode": owned.line.mode.name(),
        "users": owned.users,
        "changed": owned.at.to_string(),
        "checked": owned.checked.map(|checked| checked.to_string()),
        "drift": owned.drift.name(),
    })
}
