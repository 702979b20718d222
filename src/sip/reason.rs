//! Reason (RFC 3326, RFC 8606): why a call ends, in the words of SIP, Q.850 or another protocol.

use crate::sip::build::Writer;
use crate::sip::chars::{part, quoted_end, trim};
use crate::sip::error::ParseError;
use crate::sip::header::Params;

/// Writes the reasons of a received value that another network understands, each on a line of its own:
/// protocol, cause and location as they came; the text only if it cannot hold the name or the address of
/// a host, which would show the network that it comes from.
pub fn pass(writer: &mut Writer<'_>, value: &[u8]) {
    for element in elements(value) {
        let end = memchr::memchr(b';', element).unwrap_or(element.len());
        let protocol = trim(part(element, 0, end));
        let params = Params::new(element.get(end..).unwrap_or_default());
        let is_known = |name: &&[u8]| name.eq_ignore_ascii_case(protocol);
        let Some(protocol) = PROTOCOLS.iter().find(|name| is_known(name)) else {
            continue;
        };
        let mut pieces: [&[u8]; 7] = [&[]; 7];
        let [
            start,
            cause,
            cause_value,
            location,
            location_value,
            text,
            text_value,
        ] = &mut pieces;
        *start = protocol;
        let is_cause =
            |value: &&[u8]| (1..=3).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        if let Some(value) = params.get("cause").flatten().filter(is_cause) {
            (*cause, *cause_value) = (b";cause=", value);
        }
        let is_location = |value: &&[u8]| {
            (1..=4).contains(&value.len()) && value.iter().all(u8::is_ascii_alphanumeric)
        };
        if let Some(value) = params.get("location").flatten().filter(is_location) {
            (*location, *location_value) = (b";location=", value);
        }
        if let Some(value) = params
            .get("text")
            .flatten()
            .filter(|text| is_harmless(text))
        {
            (*text, *text_value) = (b";text=", value);
        }
        writer.parts("Reason", &pieces);
    }
}

/// The parts of `value` between its commas.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let start = next?;
        let mut at = start;
        next = None;
        while let Some(byte) = value.get(at) {
            match byte {
                b'"' => at = quoted_end(value, at, ParseError::Params).unwrap_or(value.len()),
                b',' => {
                    next = Some(at + 1);
                    break;
                }
                _ => at += 1,
            }
        }
        Some(trim(part(value, start, at)))
    })
}

/// A quoted text of plain letters, digits and signs, without those that hosts are written with.
fn is_harmless(text: &[u8]) -> bool {
    let [b'"', inner @ .., b'"'] = text else {
        return false;
    };
    inner.len() <= MAX_TEXT
        && inner.iter().all(|byte| {
            matches!(byte, b' '..=b'~') && !matches!(byte, b'.' | b':' | b'@' | b'[' | b'"' | b'\\')
        })
}

/// What reasons are given in (IANA, "Reason Protocols").
const PROTOCOLS: [&[u8]; 5] = [b"SIP", b"Q.850", b"STIR", b"Preemption", b"Emergency"];

/// Longest text, in bytes.
const MAX_TEXT: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gateways_send_passes_as_it_is() {
        for value in [
            "Q.850;cause=16;text=\"Normal call clearing\"",
            "SIP;cause=200;text=\"Call completed elsewhere\"",
            "SIP;cause=600",
            "Q.850;cause=127;location=LN",
        ] {
            assert_eq!(passed(value), [value], "{value}");
        }
    }

    #[test]
    fn each_reason_of_a_list_stands_alone_and_foreign_protocols_stay() {
        let value =
            "q.850 ; cause = 17 , SIP;text=\"busy, really\";cause=486,sbc7.example.net;cause=1";

        assert_eq!(
            passed(value),
            ["Q.850;cause=17", "SIP;cause=486;text=\"busy, really\""]
        );
    }

    #[test]
    fn a_text_that_may_name_a_host_stays_and_so_does_what_is_unknown() {
        for value in [
            "SIP;cause=503;text=\"no route to sbc7.example.net\"",
            "SIP;cause=503;text=\"2001:db8::1\"",
            "SIP;cause=503;text=\"a\\\"b\"",
            "SIP;cause=503;text=\"a\r\n b\"",
            "SIP;cause=503;text=sbc7",
            "SIP;cause=503;host=sbc7.example.net",
            "SIP;cause=503;text=\"unterminated",
        ] {
            assert_eq!(passed(value), ["SIP;cause=503"], "{value}");
        }
        assert_eq!(passed("SIP;cause=5o3"), ["SIP"]);
        assert_eq!(passed(""), [""; 0]);
    }

    fn passed(value: &str) -> Vec<String> {
        let mut buffer = Vec::new();
        let mut writer = Writer::lines(&mut buffer);
        pass(&mut writer, value.as_bytes());
        let lines = writer.finish_lines().expect("harmless").unwrap_or_default();
        let text = String::from_utf8(lines.to_vec()).expect("a text");
        let values = text.lines().map(|line| line.strip_prefix("Reason: "));
        values
            .map(|value| value.expect("a Reason").to_owned())
            .collect()
    }
}
