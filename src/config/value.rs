//! Reads the small values: times, names, hosts, header names; and guesses what a wrong key meant.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::sip::retreaver;

/// Reads a whole number and one of `ms`, `s`, `m`, `h`, `d`; `None` for anything else.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit.trim_start() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

/// Writes what [`parse_duration`] reads.
pub(super) fn show_duration(value: Duration) -> String {
    let milliseconds = value.as_millis();
    // A day is easier to read as hours.
    for (unit, size, least) in [
        ("d", 86_400_000, 2),
        ("h", 3_600_000, 1),
        ("m", 60_000, 1),
        ("s", 1_000, 1),
    ] {
        if milliseconds >= least * size && milliseconds.is_multiple_of(size) {
            return format!("{}{unit}", milliseconds / size);
        }
    }
    format!("{milliseconds}ms")
}

/// A host as the engine looks it up: lower case, IPv6 without brackets; `None` if it is none.
pub(super) fn host(text: &str) -> Option<Box<str>> {
    let inner = text
        .strip_prefix('[')
        .map_or(Some(text), |rest| rest.strip_suffix(']'))?;
    if let Ok(address) = inner.parse::<Ipv6Addr>() {
        return Some(address.to_string().into());
    }
    let is_host = text.parse::<Ipv4Addr>().is_ok() || is_domain_name(text);
    is_host.then(|| text.to_ascii_lowercase().into())
}

/// Whether `text` is a name of DNS: labels of letters, digits, `-` and `_`; the last one with a letter.
pub(super) fn is_domain_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253
        && text.split('.').all(is_label)
        && last.bytes().any(|b| b.is_ascii_alphabetic())
}

/// Whether `text` may be an id: 1 to 64 letters, digits, `.`, `_` or `-`.
pub(super) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Whether `text` can stand between quotes in a header, once quotes in it are escaped.
pub(super) fn is_quotable(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

/// Whether `text` is a header's name (RFC 3261 §25.1, `token`).
pub(super) fn is_header_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b))
}

/// Whether a header of this name is the edge's own, so that no configuration may set or pass it.
pub(super) fn is_own_header(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    // One letter is the compact form of a name that is ours, or may become one (RFC 3261 §7.3.3).
    lower.len() == 1
        || OWN_HEADERS.contains(&lower.as_str())
        || OWN_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
        || retreaver::is_reserved(name.as_bytes())
}

/// What to write instead of the unknown key `name`.
pub(super) fn known_keys(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// The candidate that `name` is a slip of, if there is one.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let most = (name.len() / 3).clamp(1, 3);
    candidates
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= most)
        .map(|candidate| (edits(name, candidate), candidate))
        .filter(|(edits, _)| *edits <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, in bytes.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, a) in from.bytes().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (b, cell) in to.bytes().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            let changed = diagonal + usize::from(a != b);
            *cell = changed.min(above + 1).min(left + 1);
            diagonal = above;
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

const OWN_HEADERS: &[&str] = &[
    "via",
    "from",
    "to",
    "call-id",
    "cseq",
    "contact",
    "max-forwards",
    "route",
    "record-route",
    "path",
    "service-route",
    "authorization",
    "www-authenticate",
    "authentication-info",
    "allow",
    "supported",
    "unsupported",
    "require",
    "expires",
    "rseq",
    "rack",
    "replaces",
    "event",
    "user-agent",
    "server",
    "timestamp",
    "session-expires",
    "min-se",
    "mime-version",
    // Never passed on: they speak to the next hop, or of a request that is not an INVITE.
    "accept-contact",
    "accept-encoding",
    "allow-events",
    "error-info",
    "min-expires",
    "refer-to",
    "referred-by",
    "reject-contact",
    "request-disposition",
    "retry-after",
    "sip-etag",
    "sip-if-match",
    "subscription-state",
    "warning",
];

const OWN_PREFIXES: &[&str] = &["content-", "proxy-", "x-ph-", "x-strowger-"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("5s", 5_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("24h", 86_400_000),
            ("30d", 2_592_000_000),
        ] {
            let value = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(text), Some(value), "{text}");
            assert_eq!(show_duration(value), text);
        }
        for text in [
            "",
            "5",
            "s",
            "-5s",
            "5.5s",
            "5sec",
            "5s ",
            "99999999999999999999s",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_in_one_spelling() {
        assert_eq!(host("SIP.Example.COM").as_deref(), Some("sip.example.com"));
        assert_eq!(host("192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(host("[2001:DB8:0::1]").as_deref(), Some("2001:db8::1"));
        assert_eq!(host("2001:db8::1").as_deref(), Some("2001:db8::1"));
        for text in [
            "",
            "sip.example.com:5060",
            "192.0.2.300",
            "a b",
            "-a.example",
            "[::1",
            "a..b",
        ] {
            assert_eq!(host(text), None, "{text}");
        }
    }

    #[test]
    fn headers_that_the_edge_writes_itself_are_nobody_elses() {
        for name in [
            "Via",
            "v",
            "CONTENT-Type",
            "Proxy-Require",
            "X-PH-Anything",
            "call-id",
        ] {
            assert!(is_own_header(name), "{name}");
        }
        for name in ["X-Account", "P-Asserted-Identity", "Identity", "Subject"] {
            assert!(!is_own_header(name), "{name}");
        }
    }

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let known = ["ring_timeout", "response_timeout", "realm"];

        assert_eq!(
            nearest("ring_timout", known.into_iter()),
            Some("ring_timeout")
        );
        assert_eq!(nearest("relm", known.into_iter()), Some("realm"));
        assert_eq!(nearest("colour", known.into_iter()), None);
        assert_eq!(edits("kitten", "sitting"), 3);
    }
}
