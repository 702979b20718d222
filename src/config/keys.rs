//! Every key there is, by section. `conf/strowger.toml` documents each of them, and a test sees to it.

mod accounts;
mod carriers;
mod http;
mod limits;
mod terms;
mod trial;
mod twilio;

use crate::config::raw::Shape;

pub(super) use self::accounts::{TWILIO_APNS, TWILIO_FCM, TWILIO_SEAL_KEY};
pub(super) use self::carriers::{DOMAIN, HA1, NETWORK, TRUNK, TRUNK_HEADERS, TRUNK_MEDIA, USER};
pub(super) use self::http::{HTTP, HTTP_CLIENT, HTTP_LISTEN, HTTP_TOKEN};
pub(super) use self::limits::{GUARD, LIMITS, OVERLOAD, TIMERS};
pub(super) use self::terms::{
    BUYER_CAPS, BUYER_DUPLICATE, BUYER_GROUP, BUYER_GROUP_CAPS, CALLER_LIST, CAMPAIGN_EXIT,
    CAMPAIGN_EXITS, CAMPAIGN_REPEAT, CONVERSION_GROUP, CONVERSION_TIER, NUMBER_CAPS, POSTBACK_KEY,
};
pub(super) use self::trial::{CASE, CASE_ANSWER, CASE_EXPECT, CASE_PAST, TRIALS};
pub(super) use self::twilio::{TWILIO, TWILIO_CHOICE, TWILIO_ORG, TWILIO_SHARED_KEY, TWILIO_STEP};

pub(super) const ROOT: Shape = Shape {
    name: "",
    keys: &[
        "node",
        "sip",
        "listen",
        "tls",
        "connections",
        "http",
        "http_client",
        "twilio",
        "telemetry",
        "dns",
        "store",
        "media",
        "timers",
        "limits",
        "guard",
        "overload",
        "hunt",
        "session",
        "health",
        "domain",
        "network",
        "trunk",
        "company",
        "publisher",
        "campaign",
        "number",
        "numbers",
        "buyer",
        "webhook",
        "conversion_group",
        "buyer_group",
        "caller_list",
        "postback_key",
    ],
};

/// What may stand in a routing file.
pub(super) const ROUTING_ROOT: Shape = Shape {
    name: "",
    keys: &[
        "network",
        "company",
        "publisher",
        "campaign",
        "number",
        "numbers",
        "buyer",
        "webhook",
        "conversion_group",
        "buyer_group",
        "caller_list",
        "postback_key",
    ],
};

/// The sections of a routing file that are seen and changed over HTTP: all but `numbers`. The first key of each is
/// what its tables are called by, and no two have the same.
pub(super) const OBJECTS: &[&Shape] = &[
    &NETWORK,
    &COMPANY,
    &PUBLISHER,
    &CAMPAIGN,
    &NUMBER,
    &BUYER,
    &WEBHOOK,
    &CONVERSION_GROUP,
    &BUYER_GROUP,
    &CALLER_LIST,
    &POSTBACK_KEY,
];

pub(super) const NODE: Shape = Shape {
    name: "node",
    keys: &[
        "name",
        "shards",
        "gather",
        "gso",
        "drain_limit",
        "directory",
        "secret",
        "data_dir",
    ],
};

pub(super) const STORE: Shape = Shape {
    name: "store",
    keys: &["gather", "keep", "backlog", "rotate_size", "rotate_daily"],
};

pub(super) const SIP: Shape = Shape {
    name: "sip",
    keys: &["strangers", "product"],
};

pub(super) const LISTEN: Shape = Shape {
    name: "listen",
    keys: &["transport", "bind", "advertise"],
};

pub(super) const TLS: Shape = Shape {
    name: "tls",
    keys: &[
        "certificate",
        "key",
        "client_ca",
        "client_certificate",
        "ca",
    ],
};

pub(super) const CONNECTIONS: Shape = Shape {
    name: "connections",
    keys: &["most", "per_stranger", "idle", "idle_known", "connect"],
};

pub(super) const TELEMETRY: Shape = Shape {
    name: "telemetry",
    keys: &["log", "log_format", "records", "captures"],
};

pub(super) const DNS: Shape = Shape {
    name: "dns",
    keys: &["servers", "timeout", "stale"],
};

pub(super) const MEDIA: Shape = Shape {
    name: "media",
    keys: &[
        "bind",
        "advertise",
        "ports",
        "shared_ports",
        "rest",
        "start",
        "silence",
        "hold",
        "digits",
        "kernel",
        "plane",
        "rtpengine",
        "rtpengine_timeout",
        "rtpengine_ping",
    ],
};

pub(super) const RTPENGINE: Shape = Shape {
    name: "media.rtpengine",
    keys: &["address", "weight"],
};

pub(super) const HUNT: Shape = Shape {
    name: "hunt",
    keys: &["attempts", "at_once", "time", "pdd"],
};

pub(super) const SESSION: Shape = Shape {
    name: "session",
    keys: &["expires", "min"],
};

pub(super) const HEALTH: Shape = Shape {
    name: "health",
    keys: &[
        "failures",
        "cooldown",
        "cooldown_limit",
        "probe_failures",
        "probe_recoveries",
        "probe_dead",
    ],
};

pub(super) const BUYER_MEDIA: Shape = Shape {
    name: "buyer.media",
    keys: PEER_MEDIA,
};

const PEER_MEDIA: &[&str] = &[
    "plane", "ports", "sources", "networks", "codecs", "other", "srtp",
];

pub(super) const COMPANY: Shape = Shape {
    name: "company",
    keys: &["id", "name", "key_secret", "accepted", "suppressed"],
};

pub(super) const PUBLISHER: Shape = Shape {
    name: "publisher",
    keys: &["afid", "company", "name"],
};

pub(super) const CAMPAIGN: Shape = Shape {
    name: "campaign",
    keys: &[
        "id",
        "company",
        "name",
        "buyers",
        "groups",
        "dial",
        "enabled",
        "exits",
        "waiting_room",
        "waiting_calls",
        "waiting_signal",
        "repeat",
        "dedupe",
        "settle",
        "twilio",
        "accepted",
        "suppressed",
    ],
};

pub(super) const NUMBER: Shape = Shape {
    name: "number",
    keys: &[
        "number",
        "campaign",
        "afid",
        "sid",
        "tags",
        "enabled",
        "hours",
        "time_zone",
        "cap_on",
        "caps",
    ],
};

pub(super) const NUMBERS: Shape = Shape {
    name: "numbers",
    keys: &["file"],
};

pub(super) const BUYER: Shape = Shape {
    name: "buyer",
    keys: &[
        "id",
        "company",
        "uri",
        "address",
        "transport",
        "tls_name",
        "gateway",
        "priority",
        "weight",
        "paused",
        "hours",
        "time_zone",
        "tags",
        "forward_tags",
        "timer_offset",
        "accepted",
        "suppressed",
        "duplicate",
        "caps",
        "cap_on",
        "ring_timeout",
        "response_timeout",
        "max_calls",
        "max_cps",
        "probe",
        "username",
        "password",
        "realm",
        "share_login",
        "reliable",
        "refer",
        "x_ph_profile",
        "headers",
        "identity",
        "media",
    ],
};

pub(super) const GATEWAY: Shape = Shape {
    name: "buyer.gateway",
    keys: &[
        "uri",
        "address",
        "transport",
        "tls_name",
        "priority",
        "weight",
    ],
};

pub(super) const BUYER_HEADERS: Shape = Shape {
    name: "buyer.headers",
    keys: &["pass_from", "pass_to", "remove", "set"],
};

pub(super) const WEBHOOK: Shape = Shape {
    name: "webhook",
    keys: &[
        "id",
        "campaign",
        "enabled",
        "trigger",
        "matches",
        "method",
        "url",
        "headers",
        "body",
        "content_type",
        "secret",
        "fire_order",
        "dedupe",
        "timeout",
        "redirects",
        "idempotent",
        "hold_call",
        "after",
        "output_prefix",
        "output_map",
    ],
};

/// Where a secret stands if not in the configuration itself.
pub(super) const SECRET: Shape = Shape {
    name: "secret",
    keys: &["file", "env"],
};

#[cfg(test)]
pub(super) const ALL: &[&Shape] = &[
    &ROOT,
    &NODE,
    &STORE,
    &DNS,
    &SIP,
    &LISTEN,
    &TLS,
    &CONNECTIONS,
    &HTTP,
    &HTTP_LISTEN,
    &HTTP_TOKEN,
    &TELEMETRY,
    &TIMERS,
    &LIMITS,
    &GUARD,
    &OVERLOAD,
    &HUNT,
    &SESSION,
    &HEALTH,
    &DOMAIN,
    &TRUNK,
    &USER,
    &HA1,
    &COMPANY,
    &PUBLISHER,
    &CAMPAIGN,
    &MEDIA,
    &TRUNK_MEDIA,
    &BUYER_MEDIA,
    &TRUNK_HEADERS,
    &BUYER_HEADERS,
    &NETWORK,
    &NUMBER,
    &NUMBERS,
    &BUYER,
    &BUYER_CAPS,
    &NUMBER_CAPS,
    &BUYER_DUPLICATE,
    &BUYER_GROUP,
    &BUYER_GROUP_CAPS,
    &CALLER_LIST,
    &CAMPAIGN_EXITS,
    &CAMPAIGN_EXIT,
    &CAMPAIGN_REPEAT,
    &GATEWAY,
    &WEBHOOK,
    &CONVERSION_GROUP,
    &CONVERSION_TIER,
    &POSTBACK_KEY,
    &HTTP_CLIENT,
    &TWILIO,
    &TWILIO_ORG,
    &TWILIO_SHARED_KEY,
    &TWILIO_SEAL_KEY,
    &TWILIO_FCM,
    &TWILIO_APNS,
    &TWILIO_STEP,
    &TWILIO_CHOICE,
    &SECRET,
];
