//! What one party may learn of the other: nothing.

use super::*;

const GOSSIP: &str = "v=0
    o=alice.smith 1 1 IN IP4 10.1.2.3
    s=Cisco SIP Gateway 12.4
    i=Alice Smith's desk
    u=http://pbx.example.com/alice
    e=alice@pbx.example.com
    p=+1 555 0100
    c=IN IP4 192.0.2.10
    t=0 0
    k=clear:secret
    a=tool:libmedia 3
    a=ice-lite
    a=fingerprint:sha-256 AA:BB
    a=x-seen-at:192.0.2.10:5060
    m=audio 12692 RTP/AVP 0
    i=line 3
    k=clear:secret
    a=rtcp:12700 IN IP4 192.0.2.11
    a=candidate:1 1 UDP 2130706431 10.9.9.9 12692 typ host
    a=remote-candidates:1 10.9.9.8 5000
    a=ice-ufrag:abcd
    a=ice-pwd:asd88fgpdd777uzjYhagZg
    a=setup:actpass
    a=fingerprint:sha-256 AA:BB
    a=seen at 192.0.2.10
    a= crypto:1 AES_CM_128_HMAC_SHA1_80 inline:h77xBx3cFE4uhlQtSlBa4a8veOdxnbd6OBxy2bAy
    a=Candidate:2 1 UDP 2130706431 10.9.9.7 12692 typ host
    o=bob 1 1 IN IP4 10.9.9.6
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:h77xBx3cFE4uhlQtSlBa4a8veOdxnbd6OBxy2bAy
    a=ssrc:1234 cname:media@10.9.9.9
    a=x-rtp-stat:PS=1,OS=2
    a=silenceSupp:off - - - -
    m=message 2855 TCP/MSRP 192.0.2.10";

#[test]
fn nothing_of_the_one_reaches_the_other() {
    let mut scene = Scene::new(terms(), terms());

    let offered = scene.offer(Party::Caller, GOSSIP).unwrap();

    assert_eq!(
        offered.lines().skip(2).collect::<Vec<_>>(),
        [
            "s=-",
            "c=IN IP4 203.0.113.5",
            "t=0 0",
            "a=tool:libmedia 3",
            "m=audio 10002 RTP/AVP 0",
            "a=x-rtp-stat:PS=1,OS=2",
            "a=silenceSupp:off - - - -",
            "m=message 0 TCP/MSRP 0",
        ]
    );
    scene.end_well();
}
