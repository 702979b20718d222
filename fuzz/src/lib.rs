//! What must hold for any input; one function for each fuzz target.
//!
//! ```text
//! cargo +nightly fuzz run datagram -- -dict=../../shared/corpus/fuzz/sip.dict -max_total_time=60
//! ```
//!
//! `tests/it/replay.rs` runs the same functions over `seeds/` on stable, so a finding that is kept there
//! stays found.

mod crossing;
mod entry;
mod headers;
mod locate;
mod ng;
mod reply;
mod rtp;
mod sdp;
mod sequence;
mod settings;
mod srtp;
mod webhook;
mod websocket;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use strowger::auth::digest::{Credentials, verify};
use strowger::dialog::session_timer::{Asked, Terms};
use strowger::sip::brief::Brief;
use strowger::sip::build::{self, BuildError, ReplyHead, Writer, unfold_into};
use strowger::sip::error::ParseError;
use strowger::sip::extensions;
use strowger::sip::flow::{Flow, ListenerId, PeerId, Transport};
use strowger::sip::frame::{self, Frame, StreamFramer};
use strowger::sip::glance::{Glance, Kind, REACH};
use strowger::sip::header::{AuthParams, NameAddr, Via, name_addrs};
use strowger::sip::message::{Head, Message, Method, Name, Request, parse};
use strowger::sip::retreaver::{Profile, RetreaverHeaders, is_reserved};
use strowger::sip::scan::MAX_MESSAGE;
use strowger::sip::uri::{Uri, is_equivalent};

pub use self::crossing::crossing;
pub use self::entry::entry;
pub use self::headers::headers;
pub use self::locate::find as locate;
pub use self::ng::ng;
pub use self::reply::reply;
pub use self::rtp::rtp;
pub use self::sdp::sdp;
pub use self::sequence::sequence;
pub use self::settings::settings as config;
pub use self::srtp::srtp;
pub use self::webhook::{notification, ticket, webhook};
pub use self::websocket::websocket;

/// Where all packets come from.
const SOURCE: Flow = Flow {
    transport: Transport::Udp,
    listener: ListenerId(0),
    remote: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200)), 6000),
    peer: PeerId::NOBODY,
};

/// Whatever is read holds no byte that ends a line, and reads the same after it was written again;
/// whatever is answered is answered by a message.
pub fn datagram(data: &[u8]) {
    let Some(bytes) = frame::datagram(data) else {
        return;
    };
    let parsed = parse(bytes);
    check_glance(bytes, parsed.as_ref().ok());
    check_brief(bytes, parsed.as_ref().ok());
    match parsed {
        Err(malformed) => {
            if let Some(request) = malformed.answerable {
                check_head(&request.head);
                check_reply(&request, false);
            }
        }
        Ok(Message::Request(request)) => {
            check_head(&request.head);
            check_values(&request.head);
            check_extensions(&request.head);
            let is_well = request.essentials().is_ok();
            check_reply(&request, is_well);
            if is_well {
                let buf = &mut Vec::new();
                let writer = Writer::request(buf, request.method, request.uri);
                check_copy(&request.head, writer);
            }
        }
        Ok(Message::Response(response)) => {
            check_head(&response.head);
            check_values(&response.head);
            check_extensions(&response.head);
            let _ = response.essentials();
            let buf = &mut Vec::new();
            let writer = Writer::response(buf, response.status, "Any");
            check_copy(&response.head, writer);
        }
    }
}

/// Where there is a brief of an INVITE that can be read, its refusal is that from reading.
fn check_brief(bytes: &[u8], parsed: Option<&Message<'_>>) {
    let Some(brief) = Brief::of_invite(bytes) else {
        return;
    };
    let Some(Message::Request(request)) = parsed else {
        return;
    };
    let Ok(essentials) = request.essentials() else {
        return;
    };
    assert_eq!(request.method, Method::Invite);
    let (one, other) = (brief.naming, essentials.naming());
    assert_eq!(one.via.text, other.via.text);
    assert_eq!(
        (one.call_id, one.from_tag, one.cseq),
        (other.call_id, other.from_tag, other.cseq)
    );
    let refusal = |reply| {
        let mut buffer = Vec::new();
        Writer::reply(&mut buffer, &reply, 503, Some(b"t")).finish(b"")
    };
    assert_eq!(
        refusal(ReplyHead::of_brief(&brief, &SOURCE)),
        refusal(ReplyHead::new(request, &SOURCE))
    );
}

/// A glance says the same as reading, as far as it goes.
fn check_glance(bytes: &[u8], parsed: Option<&Message<'_>>) {
    let glance = Glance::at(bytes);
    if bytes.len() > REACH {
        return;
    }
    match parsed {
        Some(Message::Request(request)) => {
            assert_eq!(glance.kind, Kind::Request(request.method));
            if let Ok(essentials) = request.essentials() {
                assert_eq!(glance.to_tag, essentials.to.tag());
                let has_some = request.head.first(Name::Authorization).is_some();
                let is_invite = request.method == Method::Invite;
                assert_eq!(glance.has_credentials, has_some && is_invite);
            }
        }
        Some(Message::Response(response)) => {
            assert_eq!(glance.kind, Kind::Response);
            if let Ok(essentials) = response.essentials() {
                assert_eq!(glance.branch, essentials.via.branch());
            }
        }
        None => {}
    }
}

fn check_head(head: &Head<'_>) {
    for field in head.fields() {
        let (name, value) = (head.raw_name(field), head.value(field));
        assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic));
        let mut flat = Vec::new();
        unfold_into(&mut flat, value);
        let bad = [0, b'\r', b'\n'];
        assert!(!flat.iter().any(|byte| bad.contains(byte)), "{value:?}");
        assert_eq!(field.folded, value.contains(&b'\n'));
        if name.to_ascii_lowercase().starts_with(b"x-ph-") {
            assert!(is_reserved(name));
        }
    }
}

/// Walks through all typed views; what they give is part of the value.
fn check_values(head: &Head<'_>) {
    for value in head.all(Name::Via) {
        for via in Via::parse_all(value).flatten() {
            assert!(!via.text.is_empty() && via.text.len() <= value.len());
            assert_eq!(via.params.get("branch").flatten(), via.branch());
        }
    }
    for name in [
        Name::From,
        Name::To,
        Name::Contact,
        Name::Route,
        Name::RecordRoute,
    ] {
        for address in head.all(name).flat_map(name_addrs).flatten() {
            assert_eq!(address.params.get("tag").flatten(), address.tag());
            if let Ok(again) = NameAddr::parse(address.text) {
                assert_eq!((again.uri, again.tag()), (address.uri, address.tag()));
            } else {
                panic!("{:?} is an address in a list only", address.text);
            }
        }
    }
}

/// What two ends negotiate is read from anything, and is in its range.
fn check_extensions(head: &Head<'_>) {
    for name in [Name::Supported, Name::Require, Name::Allow] {
        for token in extensions::tokens(head, name) {
            let text = String::from_utf8_lossy(token);
            assert!(!token.is_empty());
            assert!(extensions::lists(head, name, &text) || text.contains('\u{fffd}'));
        }
    }
    assert_ne!(extensions::rseq(head), Some(0));
    let _ = extensions::RAck::of(head);
    let _ = extensions::min_se(head);
    let terms = Terms {
        expires: 1800,
        min: 90,
    };
    let asked = Asked::of(head);
    match terms.answer(&asked, None) {
        Ok(Some(agreed)) => assert!(agreed.interval >= 90),
        Err(short) => assert_eq!(short.min, 90),
        Ok(None) => {}
    }
    assert!(
        terms
            .accepted(&asked)
            .is_none_or(|agreed| agreed.interval >= 90)
    );
    assert!(terms.raised(head).is_none_or(|interval| interval >= 1800));
}

/// What a header is, apart from how it was written.
fn plain(head: &Head<'_>) -> Vec<(Name, Vec<u8>, Vec<u8>)> {
    head.fields()
        .iter()
        .filter(|field| field.name != Name::ContentLength)
        .map(|field| {
            let mut value = Vec::new();
            unfold_into(&mut value, head.value(field));
            let mut name = field.name.text().as_bytes();
            if field.name == Name::Other {
                name = head.raw_name(field);
            }
            (field.name, name.to_vec(), value)
        })
        .collect()
}

fn check_copy(head: &Head<'_>, mut writer: Writer<'_>) {
    for field in head.fields() {
        writer.copy(head, field);
    }
    let written = match writer.finish(head.body()) {
        Err(BuildError::TooLong) => return,
        written => written,
    };
    let Ok(written) = written else {
        panic!("what was read can be written");
    };
    match parse(&written) {
        Ok(Message::Request(Request { head: again, .. })) => check_same(head, &again),
        Ok(Message::Response(again)) => check_same(head, &again.head),
        Err(malformed) => assert!(is_limit(malformed.error), "{malformed}"),
    }
}

fn check_same(head: &Head<'_>, again: &Head<'_>) {
    assert_eq!(plain(head), plain(again));
    assert_eq!(head.body(), again.body());
    assert_eq!(again.all(Name::ContentLength).count(), 1);
}

/// Full names are longer than compact ones, and Content-Length may be one header more.
fn is_limit(error: ParseError) -> bool {
    matches!(error.status(), Some(513 | 414))
}

fn check_reply(request: &Request<'_>, is_well: bool) {
    let reply = ReplyHead::new(request, &SOURCE);
    let buf = &mut Vec::new();
    let response = match Writer::reply(buf, &reply, 200, Some(b"fuzz")).finish(b"") {
        Err(BuildError::TooLong) => return,
        response => response,
    };
    let Ok(response) = response else {
        panic!("a request that was read can be answered");
    };
    let parsed = match parse(&response) {
        Ok(Message::Response(parsed)) => parsed,
        Ok(Message::Request(_)) => panic!("a response is a response"),
        Err(malformed) => {
            assert!(is_limit(malformed.error), "{malformed}");
            return;
        }
    };
    if !is_well {
        return;
    }
    let (Ok(asked), Ok(answered)) = (request.essentials(), parsed.essentials()) else {
        panic!("the response to a well-formed request is well formed");
    };
    assert_eq!(asked.via.branch(), answered.via.branch());
    assert_eq!(asked.via.host, answered.via.host);
    assert_eq!(asked.from.tag(), answered.from.tag());
    assert_eq!(asked.to.uri, answered.to.uri);
    assert_eq!(answered.to.tag(), asked.to.tag().or(Some(b"fuzz")));
    assert_eq!(asked.call_id, answered.call_id);
    assert_eq!(
        (asked.cseq, request.method),
        (answered.cseq, answered.method)
    );
    let is_there = asked.via.host.ip() == Some(SOURCE.remote.ip());
    let wants_port = asked.via.rport().is_some();
    let address = (wants_port || !is_there).then_some(&b"192.0.2.200"[..]);
    assert_eq!(answered.via.received(), address);
    assert_eq!(
        answered.via.rport(),
        wants_port.then_some(Some(&b"6000"[..]))
    );
}

/// A stream gives the same frames however it is split, and each message of it can be read alone.
pub fn stream(data: &[u8]) {
    let whole = frames(&[data]);
    let mut pieces = Vec::new();
    let mut rest = data;
    let mut sizes = data.iter().cycle();
    while let Some(size) = sizes.next()
        && !rest.is_empty()
    {
        let (piece, more) = rest.split_at(rest.len().min(usize::from(*size) + 1));
        pieces.push(piece);
        rest = more;
    }
    assert_eq!(whole, frames(&pieces));
    if data.len() < 2_000 {
        let bytes: Vec<_> = data.chunks(1).collect();
        assert_eq!(whole, frames(&bytes));
    }
    for frame in whole {
        if let Frame::Message(message) = frame {
            match parse(&message) {
                Ok(Message::Request(Request { head, .. })) => check_head(&head),
                Ok(Message::Response(response)) => check_head(&response.head),
                Err(malformed) => assert_ne!(malformed.error, ParseError::ShortBody),
            }
        }
    }
}

fn frames(pieces: &[&[u8]]) -> Vec<Frame> {
    let mut framer = StreamFramer::new();
    let mut out = Vec::new();
    for piece in pieces {
        framer.handle_bytes(piece, &mut out);
        assert!(framer.pending() <= MAX_MESSAGE);
    }
    out
}

/// A URI is what its parts make, equals itself, and equality has no direction. A second URI may follow
/// behind a line end.
pub fn uri(data: &[u8]) {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let first = lines.next().and_then(|text| Uri::parse(text).ok());
    let second = lines.next().and_then(|text| Uri::parse(text).ok());
    if let (Some(first), Some(second)) = (&first, &second) {
        assert_eq!(is_equivalent(first, second), is_equivalent(second, first));
    }
    for uri in [first, second].into_iter().flatten() {
        let text = spelled(&uri);
        assert!(text.iter().all(|byte| *byte > b' ' && *byte != 0x7f));
        let Ok(again) = Uri::parse(&text) else {
            panic!("{text:?} is made from a URI");
        };
        assert_eq!(spelled(&again), text);
        assert!(is_equivalent(&uri, &uri));
        assert!(is_equivalent(&uri, &again));
        assert_eq!(uri.dialled(), again.dialled());
    }
}

fn spelled(uri: &Uri<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    match uri {
        Uri::Sip(sip) => {
            text.extend_from_slice(if sip.secure { b"sips:" } else { b"sip:" });
            if let Some(user) = sip.user {
                text.extend_from_slice(user);
                for part in sip.password.iter() {
                    text.push(b':');
                    text.extend_from_slice(part);
                }
                text.push(b'@');
            }
            text.extend_from_slice(sip.host.to_string().as_bytes());
            if let Some(port) = sip.port {
                text.extend_from_slice(format!(":{port}").as_bytes());
            }
            text.extend_from_slice(sip.params.text());
            for headers in sip.headers.iter() {
                text.push(b'?');
                text.extend_from_slice(headers);
            }
        }
        Uri::Tel(tel) => {
            text.extend_from_slice(b"tel:");
            text.extend_from_slice(tel.number);
            text.extend_from_slice(tel.params.text());
        }
        Uri::Other { scheme, rest } => {
            text.extend_from_slice(scheme);
            text.push(b':');
            text.extend_from_slice(rest);
        }
    }
    text
}

/// Digest parameters that were read give the same ones when they are written again; nobody's credentials
/// are anybody's.
pub fn digest(data: &[u8]) {
    if let Ok(credentials) = Credentials::parse(data) {
        assert!(!verify(&credentials, b"INVITE", None));
    }
    let Ok(params) = AuthParams::parse(data) else {
        return;
    };
    let pairs: Vec<_> = params.iter().collect();
    let mut text = params.scheme.to_vec();
    for (index, (name, value, is_quoted)) in pairs.iter().enumerate() {
        assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic));
        let quote: &[u8] = if *is_quoted { b"\"" } else { b"" };
        let comma: &[u8] = if index == 0 { b" " } else { b", " };
        for piece in [comma, name, b"=", quote, value, quote] {
            text.extend_from_slice(piece);
        }
        let name = String::from_utf8_lossy(name);
        let first = pairs
            .iter()
            .find(|(other, ..)| other.eq_ignore_ascii_case(name.as_bytes()));
        assert_eq!(params.get(&name), first.map(|(_, value, _)| *value));
    }
    if pairs.is_empty() {
        return;
    }
    let Ok(again) = AuthParams::parse(&text) else {
        panic!("{text:?} is made from parameters");
    };
    assert_eq!(again.iter().collect::<Vec<_>>(), pairs);
}

/// Whatever the ids hold, the buyer gets these headers once each, and nothing else.
pub fn retreaver(data: &[u8]) {
    let _ = is_reserved(data);
    let text = String::from_utf8_lossy(data);
    for profile in [Profile::Raw, Profile::Plivo] {
        let headers = RetreaverHeaders {
            uuid: data,
            key: data,
            afid: &text,
            sid: data.len().is_multiple_of(2).then_some(&*text),
            profile,
        };
        let buf = &mut Vec::new();
        let mut writer = Writer::response(buf, 200, build::reason_phrase(200));
        headers.write(&mut writer);
        let Ok(bytes) = writer.finish(b"") else {
            panic!("encoded values can be written");
        };
        let Ok(Message::Response(response)) = parse(&bytes) else {
            panic!("a response");
        };
        let fields = response.head.fields();
        assert_eq!(fields.len(), 4 + usize::from(headers.sid.is_some()));
        for field in fields.iter().filter(|field| field.name == Name::Other) {
            assert!(is_reserved(response.head.raw_name(field)));
            let value = response.head.value(field);
            assert!(value.len() <= 120);
            let is_kept = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'%';
            assert!(profile == Profile::Raw || value.iter().all(is_kept));
        }
    }
}
