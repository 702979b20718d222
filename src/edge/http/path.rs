//! Which route a method and a path stand for.

use axum::http::Method;

use crate::edge::http::table::{Route, Tables};

/// What the table says to a method and a path.
pub(super) enum Found {
    /// With what the path holds in place of names.
    Route(&'static Route, Vec<String>),
    /// The methods that the path has.
    OtherMethods(String),
    Nothing,
}

/// Finds the route.
pub(super) fn find(tables: Tables, method: &Method, path: &str) -> Found {
    let mut methods: Vec<&str> = Vec::new();
    // An answer to HEAD is that to GET; its body is not sent.
    let wanted = if *method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    for route in tables.iter().copied().flatten() {
        let Some(names) = fit(route.path, path) else {
            continue;
        };
        if route.method == *wanted {
            return Found::Route(route, names);
        }
        methods.push(route.method.as_str());
    }
    if methods.is_empty() {
        Found::Nothing
    } else {
        Found::OtherMethods(methods.join(", "))
    }
}

/// The segments of `path` that stand for names in `pattern`, if it fits.
fn fit(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(names),
            (Some(wanted), Some(given)) if wanted.starts_with('{') => names.push(decode(given)?),
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return None,
        }
    }
}

/// Undoes percent-encoding; `None`: it is none, or holds no text.
pub(super) fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
        bytes.push(u8::try_from(value).ok()?);
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.is_empty() && !text.contains(char::is_control)).then_some(text)
}
