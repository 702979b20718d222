//! `[[webhook]]`: whom a campaign tells and asks, when, and what.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::config::campaigns::Campaigns;
use crate::config::conversions;
use crate::config::desk::{Desk, Place};
use crate::config::keys;
use crate::config::raw::{self, Section, Spot};
use crate::config::routes;
use crate::config::value;
use crate::hooks::model::{Body, CampaignHooks, Hooks, Method, Webhook};
use crate::hooks::reply::{JsonPath, Output};
use crate::hooks::request::CALL_KEY;
use crate::hooks::trigger::{Class, Trigger};
use crate::hooks::window;
use crate::types::condition::Conditions;
use crate::types::tag;
use crate::types::template::Template;

/// Reads the webhooks and conversion groups of all campaigns out of all files.
pub(super) fn read(roots: &[Section<'_>], campaigns: &Campaigns<'_>, desk: &mut Desk<'_>) -> Hooks {
    let mut groups = conversions::read(roots, campaigns, desk);
    let mut webhooks: Vec<Vec<Arc<Webhook>>> = vec![Vec::new(); campaigns.len()];
    let mut ids: HashMap<&str, Place> = HashMap::new();
    for section in routes::all(roots, "webhook", &keys::WEBHOOK, desk) {
        let id = routes::id(&section, "id", "crm", desk);
        let campaign = campaign_of(&section, campaigns, desk);
        let is_enabled = section.flag("enabled", true, desk);
        let usual = campaign.map(|place| campaigns.dedupe(place));
        let usual = usual.unwrap_or_default();
        let webhook = read_one(id.map_or("", |id| id.value), &section, usual, desk);
        let Some(id) = id else {
            continue;
        };
        if let Some(first) = ids.insert(id.value, id.place) {
            routes::twice(id, first, desk);
        }
        let list = campaign.and_then(|place| webhooks.get_mut(place));
        if let (Some(webhook), Some(list), true) = (webhook, list, is_enabled) {
            let trigger = webhook.trigger;
            list.push(Arc::new(webhook));
            let count = list.iter().filter(|one| one.trigger == trigger).count();
            if trigger.class() == Class::Ping && count > window::MOST_PINGS {
                desk.fault(
                    section.place_of("trigger"),
                    format!("is one \"{trigger}\" too many for its campaign"),
                    format!("at most {} of each kind of ping", window::MOST_PINGS),
                );
            }
        }
    }
    let campaigns = webhooks.into_iter().enumerate().map(|(place, webhooks)| {
        let groups = groups.get_mut(place).map(std::mem::take);
        CampaignHooks::new(webhooks, groups.unwrap_or_default())
    });
    Hooks::new(campaigns.collect())
}

/// The place of the campaign that a section belongs to.
pub(super) fn campaign_of(
    section: &Section<'_>,
    campaigns: &Campaigns<'_>,
    desk: &mut Desk<'_>,
) -> Option<usize> {
    let name = section.need("campaign", "solar", desk)?;
    let (campaign, _) = campaigns.find(name, desk)?;
    usize::try_from(campaign.0).ok()
}

/// The conditions under `matches`.
pub(super) fn conditions(section: &Section<'_>, desk: &mut Desk<'_>) -> Conditions {
    let mut conditions = Conditions::default();
    for text in section.list("matches", desk) {
        if let Err(fault) = conditions.add(text.value) {
            desk.fault(
                text.place,
                fault.to_string(),
                "for example \"geo:us-ny\", \"age:>=65\" or \"product:!=loan\"",
            );
        }
    }
    conditions
}

/// Reads a webhook of a campaign whose `dedupe` is `usual`.
fn read_one(
    id: &str,
    section: &Section<'_>,
    usual: Duration,
    desk: &mut Desk<'_>,
) -> Option<Webhook> {
    if !section.has("trigger") {
        section.missing("trigger", "for example trigger = \"start\"", desk);
    }
    let trigger = section.choice("trigger", TRIGGERS, desk);
    let url = url(section, desk);
    let method = section.choice("method", METHODS, desk);
    let has_text = section.has("body");
    let method = method.map_or(if has_text { Method::Post } else { Method::Get }, |found| {
        found.value
    });
    let headers = headers(section, desk);
    let body = body(section, method, desk);
    let output = output(section, desk);
    let fire_order = section.integer("fire_order", 0, -1_000_000..=1_000_000, desk);
    let dedupe = section.duration("dedupe", Duration::ZERO, Duration::ZERO..=YEAR, desk);
    let (limit, most) = match trigger.as_ref().map(|found| found.value.class()) {
        Some(Class::Browser) => (PATIENCE, REDIRECTS),
        Some(Class::Ping) | None => (window::LIMIT, 0),
    };
    let timeout = section.duration("timeout", limit, SHORTEST..=LONGEST, desk);
    let redirects = section.integer("redirects", most, 0..=REDIRECTS, desk);
    let after = section.duration("after", Duration::ZERO, Duration::ZERO..=DAY, desk);
    let holds_call = section.flag("hold_call", false, desk);
    let trigger = trigger?.value;
    let counts_calls = matches!(trigger, Trigger::Connect | Trigger::Conversion);
    let dedupe = if counts_calls && !section.has("dedupe") {
        usual
    } else {
        dedupe
    };
    if trigger == Trigger::Postback {
        conversions::warn_of_deafness(section, "trigger", desk);
    }
    let secret = section.secret("secret", desk);
    if secret
        .as_ref()
        .is_some_and(|secret| secret.value.expose().len() < 16)
    {
        let place = section.place_of("secret");
        desk.fault(
            place,
            "is too short",
            "at least 16 bytes; `openssl rand -hex 32` writes a good one",
        );
    }
    let webhook = Webhook {
        id: id.into(),
        trigger,
        matches: conditions(section, desk),
        method,
        url: url?,
        headers,
        body,
        fire_order: i32::try_from(fire_order).unwrap_or_default(),
        dedupe: Some(dedupe).filter(|dedupe| !dedupe.is_zero()),
        after,
        holds_call,
        timeout,
        redirects: u8::try_from(redirects).unwrap_or_default(),
        output,
        is_idempotent: section.flag("idempotent", false, desk),
        secret: secret.map(|secret| secret.value),
    };
    check_trigger(&webhook, section, desk);
    check_tokens(&webhook, section, desk);
    Some(webhook)
}

/// What a trigger has no use for.
fn check_trigger(webhook: &Webhook, section: &Section<'_>, desk: &mut Desk<'_>) {
    let trigger = webhook.trigger;
    let is_ping = trigger.class() == Class::Ping;
    if trigger == Trigger::Timer && !section.has("after") {
        section.missing("after", "for example after = \"90s\"", desk);
    }
    let of_no_use = [
        ("after", trigger != Trigger::Timer, "only \"timer\" has it"),
        (
            "hold_call",
            trigger != Trigger::Selected,
            "only \"selected\" has it",
        ),
        ("output_map", !is_ping, PINGS_ONLY),
        ("output_prefix", !is_ping, PINGS_ONLY),
    ];
    for (key, is_useless, instead) in of_no_use {
        if is_useless && section.has(key) {
            let what = format!("is of no use with trigger = \"{trigger}\"");
            desk.fault(section.place_of(key), what, instead);
        }
    }
    if is_ping && webhook.timeout > window::LIMIT {
        desk.fault(
            section.place_of("timeout"),
            format!(
                "{} is longer than a call waits",
                value::show_duration(webhook.timeout)
            ),
            "at most \"5s\" for a ping",
        );
    }
    if trigger == Trigger::Selected && !webhook.holds_call {
        desk.warn(
            section.place_of("trigger"),
            "tells every buyer that is tried of the call, also those who never answer",
            "\"answered\" tells only who takes it; `hold_call = true` if the buyer must know before",
        );
    }
}

/// What tokens a webhook should not have.
fn check_tokens(webhook: &Webhook, section: &Section<'_>, desk: &mut Desk<'_>) {
    let trigger = webhook.trigger;
    for (key, template) in webhook.templates() {
        let place = section.place_of(key);
        let is_early = !trigger.is_after_call() && trigger != Trigger::Postback;
        let too_early = template.tokens().find(|token| AT_THE_END.contains(token));
        if let (true, Some(token)) = (is_early, too_early) {
            desk.fault(
                place,
                format!("[{token}] is not known before the call is over"),
                format!("leave it out with trigger = \"{trigger}\""),
            );
        }
        let has_key = template.tokens().any(|token| token == CALL_KEY);
        let is_seen = key == "url" && webhook.method == Method::Get;
        if has_key && (is_seen || matches!(trigger, Trigger::Selected | Trigger::Connect)) {
            desk.warn(
                place,
                "hands the key of the call on, with which anybody can change the call and its payout",
                "only who posts back needs it: in the body of a POST, once it has answered",
            );
        }
    }
}

/// The URL: http or https, a host without tokens, no credentials.
fn url(section: &Section<'_>, desk: &mut Desk<'_>) -> Option<Template> {
    let text = section.need("url", "https://crm.example.com/?from=[caller_number]", desk)?;
    let template = template(text, desk);
    let head = template.head();
    let scheme = ["https://", "http://"].iter().find(|scheme| {
        head.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let Some(scheme) = scheme else {
        desk.fault(
            text.place,
            "is no web address",
            "begin with https:// or http://",
        );
        return None;
    };
    let rest = head.get(scheme.len()..).unwrap_or_default();
    let end = rest.find(['/', '?', '#', '\\']);
    let host = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    let what = if end.is_none() && !template.is_plain() {
        "has a token in its host: whoever fills it in says where the call's data goes"
    } else if host.contains('@') {
        "has credentials in it, which logs would show"
    } else if Url::parse(head).is_err() || host.is_empty() {
        "is no web address"
    } else {
        return Some(template);
    };
    let instead =
        "a whole host, as in https://crm.example.com/[campaign_id]; credentials go into `headers`";
    desk.fault(text.place, what, instead);
    None
}

fn headers(section: &Section<'_>, desk: &mut Desk<'_>) -> Vec<(Box<str>, Template)> {
    let mut headers: Vec<(Box<str>, Template)> = Vec::new();
    for (name, found) in section.entries("headers", desk) {
        let Some(text) = found.value.as_str() else {
            raw::wrong_type(found, "a text in quotes", desk);
            continue;
        };
        let lower = name.value.to_ascii_lowercase();
        let is_name = value::is_header_name(name.value) && name.value.is_ascii();
        let is_ours = OWN_HEADERS.contains(&lower.as_str()) || lower.starts_with("x-strowger-");
        let is_twice = headers
            .iter()
            .any(|(one, _)| one.eq_ignore_ascii_case(name.value));
        if !is_name || is_ours || is_twice {
            desk.fault(
                name.place,
                format!("`{}` cannot be set here", name.value.escape_debug()),
                "each header once, and none that is the client's own; the body's type is `content_type`",
            );
        }
        if text.bytes().any(|b| !matches!(b, b' '..=b'~')) {
            desk.fault(
                found.place,
                "holds other than visible ASCII",
                "one line of text",
            );
        }
        let spot = Spot {
            value: text,
            place: found.place,
        };
        headers.push((name.value.into(), template(spot, desk)));
    }
    headers
}

fn body(section: &Section<'_>, method: Method, desk: &mut Desk<'_>) -> Option<Body> {
    let content_type = section.text("content_type", desk);
    let text = section.text("body", desk);
    if text.is_none() && section.has("content_type") {
        section.missing("body", "`content_type` is of no use without it", desk);
    }
    if let Some(kind) = content_type
        && !is_content_type(kind.value)
    {
        desk.fault(
            kind.place,
            "is no type of a body",
            "for example \"application/json\"",
        );
    }
    let text = text?;
    if !method.has_body() {
        desk.fault(
            text.place,
            format!("cannot be sent with {}", method.as_str()),
            "method = \"post\"",
        );
    }
    Some(Body {
        text: template(text, desk),
        content_type: content_type.map_or(JSON, |kind| kind.value).into(),
    })
}

fn is_content_type(text: &str) -> bool {
    let is_printable = text.bytes().all(|b| matches!(b, b' '..=b'~'));
    is_printable
        && text
            .split_once('/')
            .is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty())
}

fn output(section: &Section<'_>, desk: &mut Desk<'_>) -> Output {
    let mut output = Output::default();
    let is_key = |text: &str| {
        let is_char = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        text.len() <= tag::MOST_KEY && text.bytes().all(is_char)
    };
    if let Some(prefix) = section.text("output_prefix", desk) {
        if !is_key(prefix.value) {
            desk.fault(prefix.place, "cannot begin the key of a tag", TAG_KEY);
        }
        output.prefix = prefix.value.into();
    }
    for (path, found) in section.entries("output_map", desk) {
        let Some(key) = found.value.as_str() else {
            raw::wrong_type(found, "the key of a tag, in quotes", desk);
            continue;
        };
        if key.is_empty() || !is_key(key) || tag::is_reserved(&key.to_ascii_lowercase()) {
            let what = format!("`{}` cannot be the key of a tag", key.escape_debug());
            desk.fault(found.place, what, TAG_KEY);
        }
        match path.value.parse::<JsonPath>() {
            Ok(path) => output.map.push((path, key.into())),
            Err(fault) => {
                let what = format!("`{}` {fault}", path.value.escape_debug());
                desk.fault(
                    path.place,
                    what,
                    "for example \"bids[0].seconds\" = \"seconds\"",
                );
            }
        }
    }
    output
}

/// A text with tokens, if it is not too long.
fn template(text: Spot<&str>, desk: &mut Desk<'_>) -> Template {
    if text.value.len() > MOST_TEMPLATE {
        desk.fault(
            text.place,
            "is too long",
            format!("at most {MOST_TEMPLATE} bytes"),
        );
    }
    Template::parse(text.value)
}

const TRIGGERS: &[(&str, Trigger)] = &[
    ("start", Trigger::Start),
    ("selected", Trigger::Selected),
    ("answered", Trigger::Answered),
    ("connect", Trigger::Connect),
    ("conversion", Trigger::Conversion),
    ("non-conversion", Trigger::NonConversion),
    ("timer", Trigger::Timer),
    ("postback", Trigger::Postback),
    ("always", Trigger::Always),
];

const METHODS: &[(&str, Method)] = &[
    ("get", Method::Get),
    ("post", Method::Post),
    ("put", Method::Put),
    ("head", Method::Head),
];

/// Tokens that say how a call went.
const AT_THE_END: &[&str] = &[
    "call_duration",
    "total_duration",
    "hold_duration",
    "end_time",
    "hung_up_by",
    "conversion_seconds",
];

/// Headers that the client writes itself.
const OWN_HEADERS: &[&str] = &[
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "cookie",
];

const JSON: &str = "application/json";
const PINGS_ONLY: &str = "only the answers of \"start\", \"selected\" and \"answered\" are read";
const TAG_KEY: &str =
    "letters, digits, `_`, `.` and `-`, 64 at most, and no name of the edge's own";
/// Redirects at most, and by default where they are followed.
const REDIRECTS: i64 = 5;
const MOST_TEMPLATE: usize = 8 * 1024;
const SHORTEST: Duration = Duration::from_millis(100);

/// For how long an answer is waited for that no call waits for.
const PATIENCE: Duration = Duration::from_secs(20);

const LONGEST: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(366 * 86_400);

#[cfg(test)]
mod tests;
