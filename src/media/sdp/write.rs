//! What goes on to the other party: a description that was read, with our addresses and ports in it.
//!
//! What we do not know passes byte for byte and in its order. What is ours on each leg is written anew: `o=`, `s=`,
//! `c=`, ports, keys. What would lead around us or tell who is behind us is left out: candidates, fingerprints, who
//! owns the session, and any attribute that holds an address which the description names elsewhere.

use std::io::Write;
use std::net::{IpAddr, Ipv6Addr};
use std::str;

use smallvec::SmallVec;

use crate::media::plan::Keys;
use crate::media::sdp::crypto;
use crate::media::sdp::format::Numbers;
use crate::media::sdp::media::{Direction, Media, Transport, number, word, words};
use crate::media::sdp::read::{Line, Sdp};

/// Our own `o=` line on one leg (RFC 8866 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Names our session on this leg.
    pub session: u64,
    /// Rises by one whenever what follows has changed (RFC 3264 §8).
    pub version: u64,
    /// Our address, the same for all descriptions of a leg.
    pub address: IpAddr,
}

/// What becomes of a media line.
pub enum Section {
    /// It is refused: port 0, no attributes.
    Refused,
    /// It goes over our relay.
    Relayed(Relayed),
}

/// A media line that goes over our relay.
pub struct Relayed {
    /// Our address.
    pub address: IpAddr,
    /// Our RTP port; RTCP's is the one after it, which needs no `a=rtcp`.
    pub port: u16,
    /// The transport on this leg.
    pub transport: Transport,
    /// The payload types that are kept; `None`: all, whatever they are.
    pub kept: Option<Numbers>,
    /// The direction, if it is another than was read.
    pub direction: Option<Direction>,
    /// Whether `a=rtcp-mux` is kept.
    pub keeps_mux: bool,
    /// Our keys and their tags.
    pub keys: SmallVec<[(u32, Keys); 1]>,
}

/// Writes the lines up to `o=`; the rest comes from [`write_rest`].
pub fn write_origin(out: &mut Vec<u8>, origin: &Origin) {
    // Writing to a vector cannot fail.
    let _ = write!(
        out,
        "v=0\r\no=- {} {} IN {}\r\n",
        origin.session,
        origin.version,
        Connection(origin.address)
    );
}

/// What follows `o=` in a description that [`write_origin`] began.
#[must_use]
pub fn rest_of(description: &[u8]) -> &[u8] {
    let mut ends = memchr::memchr_iter(b'\n', description);
    ends.nth(1)
        .and_then(|end| description.get(end + 1..))
        .unwrap_or_default()
}

/// Writes what follows `o=` in one of our descriptions once more: with another port on the line at `index`, and there, of
/// our keys, with that of this tag alone.
pub fn write_moved(out: &mut Vec<u8>, rest: &[u8], (index, port): (usize, u16), tag: Option<u32>) {
    let mut count = 0;
    for line in rest.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"m=") {
            count += 1;
        }
        let is_there = count == index + 1;
        if is_there && line.starts_with(b"m=") {
            let mut words = line.splitn(3, |byte| *byte == b' ');
            let (kind, rest) = (words.next(), words.nth(1));
            out.extend_from_slice(kind.unwrap_or_default());
            // Writing to a vector cannot fail.
            let _ = write!(out, " {port} ");
            out.extend_from_slice(rest.unwrap_or_default());
            continue;
        }
        if is_there
            && let Some(key) = line.strip_prefix(b"a=crypto:")
            && let Some(tag) = tag
            && word(key).0 != tag.to_string().as_bytes()
        {
            continue;
        }
        out.extend_from_slice(line);
    }
}

/// Writes all that follows `o=`: `sdp` with one of `sections` for each media line.
pub fn write_rest(out: &mut Vec<u8>, sdp: &Sdp<'_>, own: IpAddr, sections: &[Section]) {
    let secrets = addresses(sdp);
    let address = sections
        .iter()
        .find_map(|section| match section {
            Section::Relayed(relayed) => Some(relayed.address),
            Section::Refused => None,
        })
        .unwrap_or(own);
    out.extend_from_slice(b"s=-\r\n");
    let _ = write!(out, "c=IN {}\r\n", Connection(address));
    let has_time = sdp.session().iter().any(|line| line.kind() == b't');
    let mut needs_time = !has_time;
    for line in sdp.session() {
        if b"vosiuepck".contains(&line.kind()) {
            continue;
        }
        if needs_time && line.kind() != b'b' {
            out.extend_from_slice(NO_TIME);
            needs_time = false;
        }
        if passes(*line, &secrets) {
            push(out, line.text());
        }
    }
    if needs_time {
        out.extend_from_slice(NO_TIME);
    }
    for (media, section) in sdp.media().zip(sections) {
        match section {
            Section::Refused => write_head(out, &media, 0, (None, None), &secrets),
            Section::Relayed(relayed) => {
                write_relayed(out, &media, relayed, address, &secrets);
            }
        }
    }
}

/// A session without bounds in time.
pub(super) const NO_TIME: &[u8] = b"t=0 0\r\n";

fn write_relayed(
    out: &mut Vec<u8>,
    media: &Media<'_, '_>,
    relayed: &Relayed,
    address: IpAddr,
    secrets: &[&[u8]],
) {
    let transport = (media.head.transport() != relayed.transport)
        .then(|| relayed.transport.text())
        .flatten();
    let changed = (transport, relayed.kept);
    write_head(out, media, relayed.port, changed, secrets);
    if relayed.address != address {
        let _ = write!(out, "c=IN {}\r\n", Connection(relayed.address));
    }
    let own = media.head.formats().filter_map(number::<u8>).collect();
    for line in media.lines {
        let is_kept = match line.attribute() {
            Some((name, value)) => {
                is_of_kept_format(name, value, own, relayed.kept)
                    && (relayed.keeps_mux || !matches!(name, b"rtcp-mux" | b"rtcp-mux-only"))
                    && (relayed.direction.is_none() || Direction::of(name).is_none())
            }
            // Titles, keys of old, other addresses, and what belongs to the session only.
            None => !b"vosiuepctrzk".contains(&line.kind()),
        };
        if is_kept && passes(*line, secrets) {
            push(out, line.text());
        }
    }
    for (tag, keys) in &relayed.keys {
        crypto::write(out, *tag, keys);
        out.extend_from_slice(b"\r\n");
    }
    if let Some(direction) = relayed.direction {
        out.extend_from_slice(b"a=");
        push(out, direction.text().as_bytes());
    }
}

/// Writes `m=`.
fn write_head(
    out: &mut Vec<u8>,
    media: &Media<'_, '_>,
    port: u16,
    (transport, kept): (Option<&[u8]>, Option<Numbers>),
    secrets: &[&[u8]],
) {
    out.extend_from_slice(b"m=");
    out.extend_from_slice(media.head.kind);
    let _ = write!(out, " {port} ");
    out.extend_from_slice(transport.unwrap_or(media.head.proto));
    match kept {
        None => {
            out.push(b' ');
            let formats = media.head.formats;
            let passes = !formats.is_empty() && !holds_any(formats, secrets);
            // One there must be (RFC 8866 §5.14).
            out.extend_from_slice(if passes { formats } else { b"0" });
        }
        Some(kept) => {
            let is_kept =
                |text: &&[u8]| number::<u8>(text).is_some_and(|number| kept.contains(number));
            for text in media.head.formats().filter(is_kept) {
                out.push(b' ');
                out.extend_from_slice(text);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether an attribute belongs to no format, or to one that is kept, or to one that the media line never named.
pub(super) fn is_of_kept_format(
    name: &[u8],
    value: &[u8],
    own: Numbers,
    kept: Option<Numbers>,
) -> bool {
    let (Some(kept), b"rtpmap" | b"fmtp" | b"rtcp-fb" | b"framesize" | b"imageattr") = (kept, name)
    else {
        return true;
    };
    let (first, _) = word(value.trim_ascii_start());
    number::<u8>(first).is_none_or(|number| kept.contains(number) || !own.contains(number))
}

/// Whether a line may be seen by the other party.
pub(super) fn passes(line: Line<'_>, secrets: &[&[u8]]) -> bool {
    let (name, value) = line.attribute().unwrap_or_default();
    let is_ours = OURS.iter().any(|own| own.eq_ignore_ascii_case(name))
        || name
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"ice-"))
        // One port for several lines (RFC 9143): each line has its own with us.
        || (name == b"group" && value.trim_ascii_start().starts_with(b"BUNDLE"));
    !is_ours && !holds_any(line.value(), secrets)
}

fn holds_any(text: &[u8], secrets: &[&[u8]]) -> bool {
    secrets.iter().any(|secret| holds(text, secret))
}

/// Whether `secret` is in `text`, in letters of any case; of IPv6, however a word spells it.
fn holds(text: &[u8], secret: &[u8]) -> bool {
    if memchr::memmem::find(text, secret).is_some() {
        return true;
    }
    let has_letters = secret.iter().any(u8::is_ascii_alphabetic);
    let mut parts = text.windows(secret.len().max(1));
    if has_letters && parts.any(|part| part.eq_ignore_ascii_case(secret)) {
        return true;
    }
    let Some(secret) = address_6(secret) else {
        return false;
    };
    let mut words = text.split(|byte| byte.is_ascii_whitespace() || b",;=/[]".contains(byte));
    words.any(|word| {
        // Behind the name of an attribute, perhaps.
        let behind = memchr::memchr(b':', word).and_then(|at| word.get(at + 1..));
        [Some(word), behind]
            .map(|text| text.and_then(address_6))
            .contains(&Some(secret))
    })
}

fn address_6(text: &[u8]) -> Option<Ipv6Addr> {
    str::from_utf8(text).ok()?.parse().ok()
}

/// Attributes that are written anew on each leg, or not at all.
const OURS: [&[u8]; 17] = [
    // Ports and addresses (RFC 3605, RFC 4570, RFC 6947, RFC 8839, RFC 9143).
    b"rtcp",
    b"source-filter",
    b"altc",
    b"alt",
    b"candidate",
    b"remote-candidates",
    b"end-of-candidates",
    b"bundle-only",
    // Keys, and who holds them (RFC 4567, RFC 4568, RFC 8122, RFC 4145, RFC 8842, RFC 8827).
    b"crypto",
    b"key-mgmt",
    b"fingerprint",
    b"setup",
    b"connection",
    b"tls-id",
    b"dtls-id",
    b"identity",
    // Which proxy has been here already: what follows is ours to decide.
    b"nortpproxy",
];

/// The addresses and host names in the lines that are there to name them, wherever they stand.
pub(super) fn addresses<'a>(sdp: &Sdp<'a>) -> SmallVec<[&'a [u8]; 4]> {
    let mut found = SmallVec::<[&[u8]; 4]>::new();
    for line in sdp.lines() {
        let value = match (line.kind(), line.attribute()) {
            (b'o' | b'c', _) => line.value(),
            (_, Some((b"rtcp" | b"candidate", value))) => value,
            _ => continue,
        };
        for word in words(value) {
            let address = word.split(|byte| *byte == b'/').next().unwrap_or(word);
            let is_address = address.len() > 3 && address.iter().any(|b| matches!(b, b'.' | b':'));
            if is_address && !found.contains(&address) && found.len() < MAX_ADDRESSES {
                found.push(address);
            }
        }
    }
    found
}

/// Most addresses of a description that are looked for in its attributes.
const MAX_ADDRESSES: usize = 32;

pub(super) fn push(out: &mut Vec<u8>, line: &[u8]) {
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
}

/// An address as `o=` and `c=` write it.
struct Connection(IpAddr);

impl std::fmt::Display for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.0.is_ipv6() { "IP6" } else { "IP4" };
        write!(f, "{kind} {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 5));

    fn relayed(sdp: &Sdp<'_>) -> Vec<Section> {
        sdp.media()
            .map(|media| {
                Section::Relayed(Relayed {
                    address: OWN,
                    port: 10_000,
                    transport: media.head.transport(),
                    kept: None,
                    direction: None,
                    keeps_mux: true,
                    keys: SmallVec::new(),
                })
            })
            .collect()
    }

    fn rewritten(text: &str) -> String {
        let sdp = Sdp::read(text.as_bytes()).unwrap();
        let mut out = Vec::new();
        write_rest(&mut out, &sdp, OWN, &relayed(&sdp));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_time_is_put_in_where_it_belongs() {
        for (head, expected) in [
            ("v=0\r\n", "s=-\r\nc=IN IP4 203.0.113.5\r\nt=0 0\r\n"),
            (
                "v=0\r\nb=AS:64\r\na=x\r\n",
                "s=-\r\nc=IN IP4 203.0.113.5\r\nb=AS:64\r\nt=0 0\r\na=x\r\n",
            ),
            (
                "v=0\r\nb=AS:64\r\nt=1 2\r\nr=1d\r\n",
                "s=-\r\nc=IN IP4 203.0.113.5\r\nb=AS:64\r\nt=1 2\r\nr=1d\r\n",
            ),
        ] {
            assert_eq!(rewritten(head), expected);
        }
    }

    #[test]
    fn an_address_is_not_told_in_other_letters_either() {
        let head = "v=0\r\nc=IN IP6 2001:db8::1a\r\nt=0 0\r\n";
        for hidden in [
            "a=x 2001:db8::1a",
            "a=x 2001:DB8::1A",
            "a=x:[2001:db8:0:0::001a]",
            "a=2001:0db8::1A/64",
            "a=x:2001:db8:0::1a",
        ] {
            let told = rewritten(&format!("{head}{hidden}\r\na=x 2001:db8::1b\r\n"));
            assert!(told.ends_with("t=0 0\r\na=x 2001:db8::1b\r\n"), "{told}");
        }
        let named = "v=0\r\nc=IN IP4 pbx.example.com\r\nt=0 0\r\na=x PBX.example.com\r\n";
        assert!(rewritten(named).ends_with("t=0 0\r\n"));
    }

    #[test]
    fn the_rest_is_what_follows_the_origin() {
        let mut text = Vec::new();
        let origin = Origin {
            session: 5,
            version: 6,
            address: OWN,
        };
        write_origin(&mut text, &origin);
        assert_eq!(text, b"v=0\r\no=- 5 6 IN IP4 203.0.113.5\r\n");
        assert_eq!(rest_of(&text), b"");

        text.extend_from_slice(b"s=-\r\n");

        assert_eq!(rest_of(&text), b"s=-\r\n");
    }

    proptest! {
        /// Attributes that mean nothing to us, of any bytes that a line may hold.
        #[test]
        fn unknown_lines_pass_byte_for_byte_and_in_order(
            session in prop::collection::vec("x-[a-z]{1,8}(:[^\r\n\0]{0,40})?", 0..6),
            media in prop::collection::vec("x-[a-z]{1,8}(:[^\r\n\0]{0,40})?", 0..6),
        ) {
            let lines = |list: &[String]| -> String {
                list.iter().map(|text| format!("a={text}\r\n")).collect()
            };
            let (session, media) = (lines(&session), lines(&media));
            let head = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=x\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";
            let text = format!("{head}{session}m=audio 9 RTP/AVP 0 8\r\n{media}");

            prop_assert_eq!(
                rewritten(&text),
                format!(
                    "s=-\r\nc=IN IP4 203.0.113.5\r\nt=0 0\r\n{session}m=audio 10000 RTP/AVP 0 8\r\n{media}"
                )
            );
        }
    }
}
