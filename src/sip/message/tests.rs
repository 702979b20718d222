use super::*;

pub(crate) const INVITE: &[u8] = b"INVITE sip:+18882220000@edge.example.com SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776asdhds;rport\r\n\
Max-Forwards: 70\r\n\
From: \"Alice\" <sip:+12125550100@example.com>;tag=1928301774\r\n\
To: <sip:+18882220000@edge.example.com>\r\n\
Call-ID: a84b4c76e66710@192.0.2.1\r\n\
CSeq: 314159 INVITE\r\n\
Contact: <sip:alice@192.0.2.1:5060;transport=udp>\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 4\r\n\
\r\n\
v=0\n";

#[test]
fn an_invite_says_what_it_must() {
    let Ok(Message::Request(request)) = parse(INVITE) else {
        panic!("a request");
    };

    let essentials = request.essentials().unwrap();

    assert_eq!(request.method, Method::Invite);
    assert_eq!(essentials.uri.dialled(), Some(&b"+18882220000"[..]));
    assert_eq!(essentials.via.branch(), Some(&b"z9hG4bK776asdhds"[..]));
    assert_eq!(essentials.from.tag(), Some(&b"1928301774"[..]));
    assert_eq!(essentials.to.tag(), None);
    assert_eq!(essentials.cseq, 314_159);
    assert_eq!(essentials.max_forwards, Some(70));
    assert_eq!(request.head.body(), b"v=0\n");
}
