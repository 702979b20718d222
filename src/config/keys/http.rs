//! The keys of `[http]` and `[http_client]`.

use crate::config::raw::Shape;

pub(in crate::config) const HTTP: Shape = Shape {
    name: "http",
    keys: &[
        "bind",
        "listen",
        "public_url",
        "proxies",
        "connections",
        "per_address",
        "token",
    ],
};

pub(in crate::config) const HTTP_LISTEN: Shape = Shape {
    name: "http.listen",
    keys: &["bind", "tls", "serves"],
};

pub(in crate::config) const HTTP_TOKEN: Shape = Shape {
    name: "http.token",
    keys: &["name", "secret", "scopes"],
};

pub(in crate::config) const HTTP_CLIENT: Shape = Shape {
    name: "http_client",
    keys: &[
        "allow",
        "ports",
        "connect",
        "per_host",
        "idle",
        "cooldown",
        "user_agent",
        "ca",
    ],
};
