//! Where a message's session description is: the body, or one part of it (RFC 2046 §5.1, RFC 5621).

use std::ops::Range;

use memchr::memmem::find;

use crate::sip::message::{Head, Name};

/// Why nobody can say where the session description is, or what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfound {
    /// The body is compressed, or encoded in another way.
    #[error("the body is encoded")]
    Encoded,
    /// It is no multipart body, though its Content-Type says so.
    #[error("the multipart body has no parts")]
    NoParts,
    /// There are too many parts, or parts in parts.
    #[error("the multipart body has too many parts")]
    TooManyParts,
    /// Two parts are session descriptions.
    #[error("the multipart body has two session descriptions")]
    Several,
}

/// Where in the body the session description is; `None`: there is none.
///
/// # Errors
///
/// When that cannot be told for certain: what one reader passes over, another may find.
pub fn session_description(head: &Head<'_>) -> Result<Option<Range<usize>>, Unfound> {
    let body = head.body();
    if body.is_empty() {
        return Ok(None);
    }
    let kind = head.first(Name::ContentType).unwrap_or(SDP);
    let is_multipart = starts_with(kind, b"multipart/");
    if !is_multipart && !is_sdp(kind) {
        return Ok(None);
    }
    let encoding = head.first(Name::ContentEncoding);
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        return Err(Unfound::Encoded);
    }
    if is_multipart {
        let boundary = boundary(kind).ok_or(Unfound::NoParts)?;
        in_parts(body, boundary)
    } else {
        Ok(Some(0..body.len()))
    }
}

/// The body with `sdp` in the place of its session description.
#[must_use]
pub fn with_description(body: &[u8], place: Range<usize>, sdp: Vec<u8>) -> Vec<u8> {
    if place == (0..body.len()) {
        return sdp;
    }
    let before = body.get(..place.start).unwrap_or_default();
    let after = body.get(place.end..).unwrap_or_default();
    [before, &sdp, after].concat()
}

const SDP: &[u8] = b"application/sdp";

/// Parts of a body at most.
const MOST_PARTS: usize = 4;

fn is_sdp(kind: &[u8]) -> bool {
    let end = kind
        .iter()
        .position(|byte| matches!(byte, b';' | b' ' | b'\t'));
    kind.get(..end.unwrap_or(kind.len()))
        .is_some_and(|kind| kind.eq_ignore_ascii_case(SDP))
}

fn starts_with(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The `boundary` of a Content-Type: a token or a quoted string, 70 characters at most.
fn boundary(kind: &[u8]) -> Option<&[u8]> {
    let mut params = kind.split(|byte| *byte == b';').skip(1);
    let value = params.find_map(|param| {
        let param = param.trim_ascii();
        starts_with(param, b"boundary=").then(|| param.get(9..).unwrap_or_default().trim_ascii())
    })?;
    let value = match value {
        [b'"', inside @ .., b'"'] => inside,
        token => token,
    };
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    (!value.is_empty() && value.len() <= 70 && value.iter().all(is_plain)).then_some(value)
}

fn in_parts(body: &[u8], boundary: &[u8]) -> Result<Option<Range<usize>>, Unfound> {
    let delimiter = [b"\r\n--", boundary].concat();
    // The first one stands at the beginning, or behind a preamble.
    let opening = delimiter.get(2..).unwrap_or_default();
    let mut at = if body.starts_with(opening) {
        opening.len()
    } else {
        find(body, &delimiter).ok_or(Unfound::NoParts)? + delimiter.len()
    };
    let mut found = None;
    for _ in 0..MOST_PARTS {
        let rest = body.get(at..).unwrap_or_default();
        if rest.starts_with(b"--") {
            return Ok(found);
        }
        // Behind the boundary: white space, and the end of the line.
        let line = find(rest, b"\r\n").ok_or(Unfound::NoParts)?;
        let start = at + line + 2;
        let part = body.get(start - 2..).unwrap_or_default();
        let length = find(part, &delimiter).ok_or(Unfound::NoParts)?;
        let part = part.get(..length).unwrap_or_default();
        if let Some(place) = described(part)? {
            if found.is_some() {
                return Err(Unfound::Several);
            }
            found = Some(start - 2 + place..start - 2 + length);
        }
        at = start - 2 + length + delimiter.len();
    }
    let is_last = body.get(at..).is_some_and(|rest| rest.starts_with(b"--"));
    if is_last {
        Ok(found)
    } else {
        Err(Unfound::TooManyParts)
    }
}

/// Where the content of a part begins, if it is a session description. `part` begins with the line end before
/// its first header.
fn described(part: &[u8]) -> Result<Option<usize>, Unfound> {
    let Some(end) = find(part, b"\r\n\r\n") else {
        // Headers only.
        return Ok(None);
    };
    let mut kind: &[u8] = b"text/plain";
    let mut is_encoded = false;
    for line in part
        .get(..end)
        .unwrap_or_default()
        .split(|byte| *byte == b'\n')
    {
        let line = line.trim_ascii();
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.trim_ascii().eq_ignore_ascii_case(b"Content-Type") {
            kind = value;
        } else if starts_with(name, b"Content-Encoding")
            || starts_with(name, b"Content-Transfer-Encoding")
        {
            let plain: [&[u8]; 4] = [b"identity", b"binary", b"8bit", b"7bit"];
            is_encoded |= !plain.iter().any(|plain| value.eq_ignore_ascii_case(plain));
        }
    }
    if starts_with(kind, b"multipart/") {
        return Err(Unfound::TooManyParts);
    }
    if !is_sdp(kind) {
        return Ok(None);
    }
    if is_encoded {
        return Err(Unfound::Encoded);
    }
    Ok(Some(end + 4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::{Message, parse};

    fn found(kind: &str, body: &str) -> Result<Option<String>, Unfound> {
        let wire = format!(
            "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let Ok(Message::Request(request)) = parse(wire.as_bytes()) else {
            panic!("{wire}");
        };
        let place = session_description(&request.head)?;
        Ok(place.map(|place| body[place].to_owned()))
    }

    const MIXED: &str = "Content-Type: multipart/mixed;boundary=\"b-1\"\r\n";

    #[test]
    fn a_description_is_found_whole_or_in_a_part() {
        let table = [
            ("", "", None),
            (
                "Content-Type: application/sdp\r\n",
                "v=0\r\n",
                Some("v=0\r\n"),
            ),
            (
                "c: Application/SDP; charset=utf-8\r\n",
                "v=0\r\n",
                Some("v=0\r\n"),
            ),
            ("", "v=0\r\n", Some("v=0\r\n")),
            ("Content-Type: text/plain\r\n", "v=0\r\n", None),
            ("Content-Type: application/sdpx\r\n", "v=0\r\n", None),
            (
                MIXED,
                "--b-1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b-1\r\nContent-Type: application/isup\r\n\r\nxyz\r\n--b-1--\r\n",
                Some("v=0\r\n"),
            ),
            (
                MIXED,
                "before\r\n--b-1\r\nContent-Type: application/isup\r\n\r\nxyz\r\n--b-1 \r\ncontent-type : application/sdp\r\nContent-Disposition: session\r\n\r\nv=0\r\no=x\r\n\r\n--b-1--",
                Some("v=0\r\no=x\r\n"),
            ),
            (MIXED, "--b-1\r\n\r\nv=0 as plain text\r\n--b-1--", None),
        ];
        for (kind, body, place) in table {
            assert_eq!(
                found(kind, body),
                Ok(place.map(str::to_owned)),
                "{kind}{body}"
            );
        }
    }

    #[test]
    fn what_cannot_be_told_for_certain_is_refused() {
        let sdp = "--b-1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n";
        let table = [
            (
                "Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n",
                "xyz".to_owned(),
                Unfound::Encoded,
            ),
            (MIXED, "v=0\r\n".to_owned(), Unfound::NoParts),
            (MIXED, sdp.to_owned(), Unfound::NoParts),
            (MIXED, format!("{sdp}\r\n{sdp}\r\n--b-1--"), Unfound::Several),
            (
                MIXED,
                "--b-1\r\nContent-Type: multipart/mixed\r\n\r\nv=0\r\n--b-1--".to_owned(),
                Unfound::TooManyParts,
            ),
            (
                MIXED,
                format!("{}--b-1--", "--b-1\r\n\r\nx\r\n".repeat(5)),
                Unfound::TooManyParts,
            ),
            (
                MIXED,
                "--b-1\r\nContent-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n\r\ndj0w\r\n--b-1--".to_owned(),
                Unfound::Encoded,
            ),
            (
                "Content-Type: multipart/mixed\r\n",
                "x".to_owned(),
                Unfound::NoParts,
            ),
        ];
        for (kind, body, why) in table {
            assert_eq!(found(kind, &body), Err(why), "{kind}{body}");
        }
    }

    #[test]
    fn a_description_is_put_in_place_of_another() {
        let body = b"--b\r\n\r\nv=0\r\n--b--";
        let new = with_description(body, 7..10, b"v=1".to_vec());
        assert_eq!(new, b"--b\r\n\r\nv=1\r\n--b--");
        assert_eq!(with_description(b"v=0", 0..3, b"v=11".to_vec()), b"v=11");
    }
}
