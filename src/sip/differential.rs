//! Our reading of canonical messages beside that of `rsip`, another parser.
//!
//! `rsip` 0.4 is sound on what is generated here: no dot in a user, IPv4 addresses and plain domain
//! names, no folds, no compact names, known methods, one value on each line.

use proptest::prelude::*;
use rsip::prelude::*;

use crate::sip::message::{Message, parse};
use crate::sip::uri::{SipUri, Uri};

/// One URI's parts, as both parsers are asked for them.
#[derive(Debug, PartialEq, Eq)]
struct Parts {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

proptest! {
    #[test]
    fn canonical_requests_are_read_alike(
        method in prop::sample::select(vec![
            "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "PRACK", "UPDATE", "INFO",
            "MESSAGE", "REFER", "NOTIFY", "SUBSCRIBE", "PUBLISH",
        ]),
        uris in prop::array::uniform3("sip:([a-z0-9+]{1,12}@)?([a-z]{1,8}\\.example\\.com|192\\.0\\.2\\.[1-9])(:[1-9][0-9]{3})?"),
        tags in prop::array::uniform2("[a-zA-Z0-9]{1,16}"),
        branch in "z9hG4bK[a-z0-9]{1,20}",
        cseq in 0..(1_u32 << 31),
    ) {
        let [target, from, to] = uris;
        let [from_tag, to_tag] = tags;
        let text = format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch={branch}\r\n\
             Max-Forwards: 70\r\nFrom: <{from}>;tag={from_tag}\r\nTo: <{to}>;tag={to_tag}\r\n\
             Call-ID: 1@example.com\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n"
        );

        let Ok(Message::Request(ours)) = parse(text.as_bytes()) else {
            panic!("not a request to us: {text}");
        };
        let essentials = ours.essentials().expect("well formed");
        let theirs = rsip::Request::try_from(text.as_bytes()).expect("a request to rsip");
        let their_from = theirs.from_header().unwrap().typed().unwrap();
        let their_to = theirs.to_header().unwrap().typed().unwrap();
        let their_via = theirs.via_header().unwrap().typed().unwrap();
        let their_cseq = theirs.cseq_header().unwrap().typed().unwrap();

        prop_assert_eq!(ours.method.label(), theirs.method.to_string());
        prop_assert_eq!(our_parts(ours.uri), their_parts(&theirs.uri));
        prop_assert_eq!(our_parts(essentials.from.uri), their_parts(&their_from.uri));
        prop_assert_eq!(our_parts(essentials.to.uri), their_parts(&their_to.uri));
        prop_assert_eq!(text_of(essentials.from.tag()), their_from.tag().map(ToString::to_string));
        prop_assert_eq!(text_of(essentials.to.tag()), their_to.tag().map(ToString::to_string));
        prop_assert_eq!(text_of(essentials.via.branch()), their_via.branch().map(ToString::to_string));
        prop_assert_eq!(essentials.cseq, their_cseq.seq);
        prop_assert_eq!(ours.method.label(), their_cseq.method.to_string());
    }
}

fn our_parts(uri: &[u8]) -> Parts {
    let Ok(Uri::Sip(SipUri {
        user, host, port, ..
    })) = Uri::parse(uri)
    else {
        panic!("a sip URI");
    };
    Parts {
        user: text_of(user),
        host: host.to_string(),
        port,
    }
}

fn their_parts(uri: &rsip::Uri) -> Parts {
    Parts {
        user: uri.user().map(ToOwned::to_owned),
        host: uri.host().to_string(),
        port: uri.port().map(|port| *port.value()),
    }
}

fn text_of(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8(bytes.to_vec()).expect("text"))
}
