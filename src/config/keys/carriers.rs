//! The keys of `[[domain]]`, `[[trunk]]` and `[[network]]`: who is let in.

use crate::config::keys::PEER_MEDIA;
use crate::config::raw::Shape;

pub(in crate::config) const DOMAIN: Shape = Shape {
    name: "domain",
    keys: &[
        "name",
        "aliases",
        "realm",
        "require",
        "algorithms",
        "digest_uri",
    ],
};

pub(in crate::config) const TRUNK: Shape = Shape {
    name: "trunk",
    keys: &[
        "id",
        "company",
        "domains",
        "allow",
        "users",
        "certificates",
        "country",
        "tech_prefix",
        "assume_e164",
        "max_calls",
        "max_cps",
        "advertise",
        "half_open",
        "headers",
        "refer",
        "identity",
        "caller_ids",
        "preset",
        "twilio_accounts",
        "tickets",
        "media",
        "answers",
    ],
};

pub(in crate::config) const TRUNK_HEADERS: Shape = Shape {
    name: "trunk.headers",
    keys: &["pass_from", "pass_to", "remove"],
};

pub(in crate::config) const TRUNK_MEDIA: Shape = Shape {
    name: "trunk.media",
    keys: PEER_MEDIA,
};

pub(in crate::config) const NETWORK: Shape = Shape {
    name: "network",
    keys: &["name", "as_of", "prefixes"],
};

pub(in crate::config) const USER: Shape = Shape {
    name: "trunk.users",
    keys: &["name", "password", "ha1"],
};

pub(in crate::config) const HA1: Shape = Shape {
    name: "trunk.users.ha1",
    keys: &["md5", "sha256"],
};
