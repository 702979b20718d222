//! Typed views of header values. Whatever a header holds, a view of it is made of parts of this value, in their order, and
//! what it says is the same after it was written and read again.

use std::fmt::Write as _;

use strowger::dialog::route_set::RouteSet;
use strowger::sip::build::{Writer, unfold_into};
use strowger::sip::extensions::{self, RAck, SessionExpires};
use strowger::sip::header::{NameAddr, Params, Via, name_addrs};
use strowger::sip::message::{Head, Message, Method, Name, parse};
use strowger::sip::reason;
use strowger::sip::uri::Uri;

/// What stands before the value at hand, so that all that a request must say is there.
const REQUEST: &str = "INVITE sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nFrom: <sip:b@example.com>;tag=b\r\n\
                       To: <sip:a@example.com>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n";

/// Names that have views; the first byte of the input chooses one.
const NAMES: [Name; 24] = [
    Name::Via,
    Name::From,
    Name::To,
    Name::Contact,
    Name::Route,
    Name::RecordRoute,
    Name::CSeq,
    Name::SessionExpires,
    Name::MinSe,
    Name::RSeq,
    Name::RAck,
    Name::Reason,
    Name::ReferTo,
    Name::ReferredBy,
    Name::Privacy,
    Name::PAssertedIdentity,
    Name::PPreferredIdentity,
    Name::RemotePartyId,
    Name::Diversion,
    Name::HistoryInfo,
    Name::Supported,
    Name::Require,
    Name::Allow,
    Name::MaxForwards,
];

/// Reads one value under one name, and under that name all that the line end in it makes of it.
pub fn headers(data: &[u8]) {
    let Some((which, value)) = data.split_first() else {
        return;
    };
    let Some(name) = NAMES.get(usize::from(*which) % NAMES.len()) else {
        return;
    };
    let mut text = REQUEST.as_bytes().to_vec();
    if matches!(name, Name::From | Name::To | Name::CSeq) {
        // These stand once: the value takes the place of the one that is there.
        let other = String::from_utf8_lossy(&text).into_owned();
        let start = format!("{}: ", name.text());
        let kept = other.split_inclusive("\r\n");
        text = kept
            .filter(|line| !line.starts_with(&start))
            .collect::<String>()
            .into_bytes();
    }
    for piece in [name.text().as_bytes(), b": ", value, b"\r\n\r\n"] {
        text.extend_from_slice(piece);
    }
    let Ok(Message::Request(request)) = parse(&text) else {
        return;
    };
    if let Ok(essentials) = request.essentials() {
        check_cseq(&request.head, essentials.cseq, request.method);
    }
    check_numbers(&request.head);
    check_routes(&request.head);
    for field in request.head.fields() {
        let value = request.head.value(field);
        if field.name == Name::Via {
            check_vias(value);
        } else if field.name == Name::Reason {
            check_reason(value);
        } else {
            check_addresses(value);
        }
    }
}

fn check_vias(value: &[u8]) {
    let mut order = Order::new(value);
    for via in Via::parse_all(value).flatten() {
        order.next(via.text);
        for part in [via.transport, via.params.text()] {
            assert!(is_within(via.text, part));
        }
        check_params(via.params);
        let mut text = b"SIP/2.0/".to_vec();
        text.extend_from_slice(via.transport);
        text.extend_from_slice(format!(" {}", via.host.text()).as_bytes());
        if let Some(port) = via.port {
            text.extend_from_slice(format!(":{port}").as_bytes());
        }
        write_params(&mut text, via.params);
        let Ok(again) = Via::parse(&text) else {
            panic!("{:?} is made from a Via", String::from_utf8_lossy(&text));
        };
        assert_eq!((again.host, again.port), (via.host, via.port));
        assert_eq!(again.transport, via.transport);
        assert_eq!(again.branch(), via.branch());
        assert_eq!(again.received(), via.received());
        assert_eq!(again.rport(), via.rport());
        assert!(again.params.iter().eq(via.params.iter()));
    }
}

fn check_addresses(value: &[u8]) {
    let mut order = Order::new(value);
    for address in name_addrs(value).flatten() {
        order.next(address.text);
        for part in [address.display, address.uri, address.params.text()] {
            assert!(is_within(address.text, part));
        }
        check_params(address.params);
        let mut text = address.display.to_vec();
        for piece in [&b"<"[..], address.uri, b">"] {
            text.extend_from_slice(piece);
        }
        write_params(&mut text, address.params);
        let Ok(again) = NameAddr::parse(&text) else {
            panic!(
                "{:?} is made from an address",
                String::from_utf8_lossy(&text)
            );
        };
        assert_eq!((again.display, again.uri), (address.display, address.uri));
        assert_eq!(again.tag(), address.tag());
        assert!(again.params.iter().eq(address.params.iter()));
        if let Ok(Uri::Sip(uri)) = Uri::parse(address.uri) {
            for part in [uri.user, uri.password, uri.headers, Some(uri.host_text)] {
                assert!(part.is_none_or(|part| is_within(address.uri, part)));
            }
            check_params(uri.params);
        }
    }
}

fn check_params(params: Params<'_>) {
    let text = params.text();
    assert!(params.iter().count() <= text.len());
    for (name, value) in params.iter() {
        assert!(is_within(text, name));
        assert!(value.is_none_or(|value| is_within(text, value)));
        assert!(!name.contains(&b';') && !name.contains(&b'='));
    }
}

fn write_params(text: &mut Vec<u8>, params: Params<'_>) {
    for (name, value) in params.iter() {
        text.push(b';');
        text.extend_from_slice(name);
        if let Some(value) = value {
            text.push(b'=');
            text.extend_from_slice(value);
        }
    }
}

fn check_cseq(head: &Head<'_>, number: u32, method: Method<'_>) {
    assert!(number < 1 << 31);
    let buf = &mut Vec::new();
    let mut writer = Writer::lines(buf);
    writer.cseq(number, method);
    let Ok(Some(lines)) = writer.finish_lines() else {
        panic!("a number and a method can be written");
    };
    // The same but for the white space, and zeros in front.
    let plain = |text: &[u8]| -> Vec<u8> {
        let text = text.strip_prefix(b"CSeq:").unwrap_or(text);
        let ink = text.iter().filter(|byte| !byte.is_ascii_whitespace());
        ink.copied().skip_while(|byte| *byte == b'0').collect()
    };
    let written = head.first(Name::CSeq).unwrap_or_default();
    assert_eq!(plain(&lines), plain(written));
}

/// Views that are numbers.
fn check_numbers(head: &Head<'_>) {
    let mut text = REQUEST.to_owned();
    let (session, min_se) = (SessionExpires::of(head), extensions::min_se(head));
    let (rseq, rack) = (extensions::rseq(head), RAck::of(head));
    if let Some(session) = session {
        let who = session.refresher.map_or("", |who| who.text());
        let _ = write!(text, "x: {};refresher={who}\r\n", session.interval);
    }
    if let Some(seconds) = min_se {
        let _ = write!(text, "Min-SE: {seconds}\r\n");
    }
    if let Some(number) = rseq {
        assert_ne!(number, 0);
        let _ = write!(text, "RSeq: {number}\r\n");
    }
    if let Some(rack) = rack {
        let _ = write!(text, "RAck: {} {} INVITE\r\n", rack.rseq, rack.cseq);
    }
    text.push_str("\r\n");
    let Ok(Message::Request(again)) = parse(text.as_bytes()) else {
        panic!("numbers can be read: {text}");
    };
    let again = &again.head;
    assert_eq!(SessionExpires::of(again), session);
    assert_eq!(extensions::min_se(again), min_se);
    assert_eq!(extensions::rseq(again), rseq);
    assert_eq!(RAck::of(again), rack);
}

/// What passes of a Reason passes again as it is, is no longer than it came, and names no host.
fn check_reason(value: &[u8]) {
    let once = passed(value);
    assert!(once.len() <= value.len() + 1);
    for line in &once {
        assert!(line.len() <= value.len() + "Preemption".len());
        assert!(!line.iter().any(|byte| matches!(byte, b':' | b'@' | b'[')));
        assert_eq!(&passed(line), std::slice::from_ref(line));
    }
}

fn passed(value: &[u8]) -> Vec<Vec<u8>> {
    let buf = &mut Vec::new();
    let mut writer = Writer::lines(buf);
    reason::pass(&mut writer, value);
    let Ok(lines) = writer.finish_lines() else {
        panic!("what passes can be written");
    };
    let lines = lines.unwrap_or_default();
    let mut values = Vec::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(value) = line.strip_prefix(b"Reason: ") {
            values.push(value.to_vec());
        } else {
            assert!(line.is_empty(), "one header, one line");
        }
    }
    values
}

/// A route set that was written is read as the same one, and is never longer than a message may be.
fn check_routes(head: &Head<'_>) {
    let target = b"sip:a@192.0.2.1";
    let written = |set: &RouteSet| {
        let buf = &mut Vec::new();
        let mut writer = Writer::lines(buf);
        set.write(&mut writer, target);
        match writer.finish_lines() {
            Ok(lines) => lines.unwrap_or_default(),
            Err(error) => panic!("a route that was read can be written: {error}"),
        }
    };
    let set = RouteSet::from_request(head);
    let lines = written(&set);
    assert!(!set.next_hop(target).is_empty() || !lines.is_empty());
    if set.request_uri(b"sip:c@192.0.2.1") == set.request_uri(b"sip:d@192.0.2.1") {
        // A strict router stands first: Route is turned round (RFC 3261 §12.2.1.1).
        return;
    }
    let mut text = REQUEST.as_bytes().to_vec();
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        text.extend_from_slice(b"Record-");
        text.extend_from_slice(line);
    }
    text.extend_from_slice(b"\r\n");
    let Ok(Message::Request(again)) = parse(&text) else {
        panic!("routes can be read: {}", String::from_utf8_lossy(&text));
    };
    let again = RouteSet::from_request(&again.head);
    assert_eq!(written(&again), lines);
    assert_eq!(again.next_hop(target), set.next_hop(target));
}

/// Elements of one list stand in it one behind the other.
struct Order<'a> {
    whole: &'a [u8],
    end: usize,
    seen: usize,
}

impl<'a> Order<'a> {
    fn new(whole: &'a [u8]) -> Self {
        Self {
            whole,
            end: 0,
            seen: 0,
        }
    }

    fn next(&mut self, part: &[u8]) {
        assert!(is_within(self.whole, part));
        let start = part.as_ptr() as usize - self.whole.as_ptr() as usize;
        assert!(self.seen == 0 || start > self.end);
        self.end = start + part.len();
        self.seen += 1;
        assert!(self.seen <= self.whole.len() + 1);
        let mut flat = Vec::new();
        unfold_into(&mut flat, part);
        assert!(!flat.contains(&b'\n') && flat.len() <= part.len());
    }
}

/// Whether a part is a piece of the whole, not only the same bytes. An empty one is of anything.
fn is_within(whole: &[u8], part: &[u8]) -> bool {
    let (whole, range) = (whole.as_ptr_range(), part.as_ptr_range());
    part.is_empty() || (whole.start <= range.start && range.end <= whole.end)
}
