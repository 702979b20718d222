//! The shared collection of messages, and what its manifest says of each.

#[path = "shared.rs"]
mod shared;

use std::path::PathBuf;

use serde_json::Value;

pub(crate) use self::shared::shared;

/// The folder of the collection, if it is on this machine.
pub(crate) fn shared_corpus() -> Option<PathBuf> {
    let manifest = shared("corpus/manifest.json")?;
    manifest.parent().map(PathBuf::from)
}

/// What the manifest expects of a message on a stream.
pub(crate) fn on_a_stream(expect: &Value) -> Value {
    let mut expect = expect.clone();
    if let Some(own) = expect["tcp"].as_object().cloned() {
        for (key, value) in own {
            expect[key] = value;
        }
    }
    expect
}

/// The host that the request is addressed to, read loosely.
pub(crate) fn host_of(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let line = text.trim_start().lines().next()?;
    let uri = line.split_whitespace().nth(1)?;
    let rest = uri.rsplit('@').next()?;
    let rest = rest.split_once(':').map_or(rest, |(head, tail)| {
        if head.eq_ignore_ascii_case("sip") || head.eq_ignore_ascii_case("sips") {
            tail
        } else {
            rest
        }
    });
    let end = if rest.starts_with('[') {
        rest.find(']')
    } else {
        rest.find([':', ';', '?', '>'])
    };
    let host = rest.get(..end.unwrap_or(rest.len()))?;
    Some(host.trim_start_matches('[').to_ascii_lowercase())
}

/// Whether a message may be answered with these statuses, the last of which counts.
pub(crate) fn agrees(expect: &Value, statuses: &[u16]) -> bool {
    let may_be_silent = expect["silence"].as_bool().unwrap_or(false);
    let last = statuses.last().copied();
    match (expect["class"].as_str().expect("a class"), last) {
        ("valid", Some(status)) => !matches!(status, 400 | 505 | 513),
        ("valid", None) => false,
        ("reject", Some(status)) => {
            let codes = expect["codes"].as_array().expect("codes");
            codes
                .iter()
                .any(|code| code.as_u64() == Some(u64::from(status)))
        }
        ("either", Some(_)) => true,
        ("reject" | "either", None) => may_be_silent,
        ("ignore", last) => last.is_none(),
        ("any", _) => true,
        (other, _) => panic!("unknown class {other}"),
    }
}
