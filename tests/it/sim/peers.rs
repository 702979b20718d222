//! Peers that give names in Contact or Record-Route: looked up beside the call, and reached where they were heard until
//! they are found.

use std::sync::Arc;
use std::time::Duration;

use strowger::call::input::Input;
use strowger::call::output::Gauges;
use strowger::sip::locate::{Answer, Answers, Located, Question, Step, Wanted, locate};

use super::desk::{
    ANSWER, Desk, OFFER, Said, Talk, answer, buyer, buyer_request, caller_request, find, invite,
    ladder,
};
use super::policy::{CARRIER, EDGE};
use super::text::Msg;
use super::world::flow;

const NAMED: &str = "<sip:bob@pbx.example.net:5090>";
const PLACE: &str = "198.51.100.77";
const NOTHING: [&str; 0] = [];

/// A call whose buyer answered with this Contact, and the caller has acknowledged.
fn talk_with(contact: &str, more: &[(&str, &str)]) -> Talk {
    let mut talk = answered(Desk::new(1), "", contact, more);
    let ack = talk.caller("ACK", 1);
    assert_eq!(ladder(&talk.caller_says(&ack)), NOTHING);
    talk
}

/// `call` tells calls from one another.
fn answered(mut desk: Desk, call: &str, contact: &str, more: &[(&str, &str)]) -> Talk {
    let invite = invite()
        .set("Call-ID", format!("one{call}@carrier.example.net"))
        .set(
            "Via",
            format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bKfirst{call};rport"),
        );
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let mut ok = answer(&offered, 200, "bob")
        .set("Contact", contact)
        .with_sdp(ANSWER);
    for (name, value) in more {
        ok = ok.with(name, *value);
    }
    let said = desk.say_from(buyer(0), &ok);
    let ok = find(&said, "carrier 200 INVITE");
    Talk {
        desk,
        invite,
        ok,
        offered,
    }
}

/// DNS says where a host with a port is; nowhere: nothing is there.
fn found(wanted: &Arc<Wanted>, addresses: &[&str]) -> Option<Arc<Located>> {
    let addresses = addresses.iter().map(|one| one.parse().unwrap()).collect();
    let answers = Answers::from([
        (
            Question::A(wanted.name().into()),
            Answer::Addresses(addresses),
        ),
        (
            Question::Aaaa(wanted.name().into()),
            Answer::Addresses(Vec::new()),
        ),
    ]);
    match locate(wanted, &answers) {
        Step::Done(located) => Some(Arc::new(located)),
        Step::Nowhere { .. } => None,
        Step::Ask(more) => panic!("{more:?}"),
    }
}

/// Tells the engine where the last name is that it asked for.
fn tell(desk: &mut Desk, addresses: &[&str]) -> Vec<Said> {
    let wanted = desk.asked.last().expect("a name").clone();
    let located = found(&wanted, addresses);
    desk.tell(Input::Resolved { wanted, located })
}

/// Where a request of the caller's is sent on to.
fn reached(talk: &mut Talk, cseq: u32) -> String {
    let info = talk.caller("INFO", cseq);
    let said = talk.caller_says(&info);
    let ok = said[0].message.reply(200, "bob");
    talk.desk.say_from(said[0].to, &ok);
    said[0].to.to_string()
}

#[test]
fn a_peer_that_gives_a_name_is_reached_where_it_was_heard_until_it_is_found() {
    let mut talk = talk_with(NAMED, &[]);
    let asked: Vec<_> = talk.desk.asked.iter().map(ToString::to_string).collect();
    assert_eq!(asked, ["pbx.example.net:5090/udp"]);
    assert_eq!(reached(&mut talk, 2), buyer(0).to_string());

    assert_eq!(ladder(&tell(&mut talk.desk, &[PLACE])), NOTHING);

    assert_eq!(reached(&mut talk, 3), format!("{PLACE}:5090"));
    // The other leg's peer gave an address, and nobody is asked for that.
    assert_eq!(talk.desk.asked.len(), 1);
    let bye = talk.caller("BYE", 4);
    let said = talk.caller_says(&bye);
    assert_eq!(ladder(&said), ["carrier 200 BYE", "198.51.100.77:5090 BYE"]);
    talk.desk
        .say_from(said[1].to, &said[1].message.reply(200, "bob"));
    assert_eq!(talk.desk.rest(), Gauges::default());
}

#[test]
fn a_peer_that_is_not_found_or_where_nobody_would_answer_stays_where_it_was_heard() {
    for (addresses, place) in [
        (&[][..], "198.51.100.10:5060"),
        // A public peer's name leads into a private network, or back to us, or to where it was heard.
        (&["10.0.0.7"], "198.51.100.10:5060"),
        (&["2001:db8::7"], "198.51.100.10:5060"),
        (&["198.51.100.78", "198.51.100.10"], "198.51.100.10:5090"),
    ] {
        let mut talk = talk_with(NAMED, &[]);

        tell(&mut talk.desk, addresses);

        assert_eq!(reached(&mut talk, 2), place, "{addresses:?}");
    }
    let own = format!("<sip:bob@us.example.net:{}>", &EDGE[EDGE.len() - 4..]);
    let mut talk = talk_with(&own, &[]);
    tell(&mut talk.desk, &["192.0.2.1"]);
    assert_eq!(reached(&mut talk, 2), buyer(0).to_string());
}

/// RFC 3261 §12.2.1.1: the next hop is the first route, whatever the target is.
#[test]
fn a_proxy_that_records_its_name_is_looked_up() {
    let route = ("Record-Route", "<sip:proxy.example.net:5080;lr>");
    let mut talk = talk_with("<sip:bob@203.0.113.9>", &[route]);
    assert_eq!(talk.desk.asked[0].to_string(), "proxy.example.net:5080/udp");

    tell(&mut talk.desk, &[PLACE]);

    assert_eq!(reached(&mut talk, 2), format!("{PLACE}:5080"));
}

#[test]
fn a_bye_that_cannot_be_sent_to_where_dns_led_goes_to_where_the_peer_was_heard() {
    let mut talk = talk_with(NAMED, &[]);
    tell(&mut talk.desk, &[PLACE]);
    let bye = talk.caller("BYE", 2);
    talk.caller_says(&bye);

    let failed = flow(format!("{PLACE}:5090").parse().unwrap());
    let said = talk.desk.tell(Input::TransportFailed { flow: failed });

    assert_eq!(ladder(&said), ["b0 BYE"]);
    talk.buyer_says(&said[0].message.reply(200, "bob"));
    assert_eq!(talk.desk.rest(), Gauges::default());
}

#[test]
fn a_name_is_asked_for_once_a_minute_found_or_not() {
    for addresses in [&[PLACE][..], &[]] {
        let mut talk = talk_with(NAMED, &[]);
        tell(&mut talk.desk, addresses);
        let mut desk = talk.desk;
        for (after, call, asked) in [(59, "b", 1), (59, "c", 2)] {
            desk.pass(Duration::from_secs(after));
            let next = answered(desk, call, NAMED, &[]);
            assert_eq!(next.desk.asked.len(), asked, "{call} {addresses:?}");
            desk = next.desk;
            if call == "c" {
                tell(&mut desk, addresses);
            }
        }
    }
}

/// Whoever is let in could have us ask for names without end.
#[test]
fn there_is_an_end_to_the_names_of_one_call() {
    let mut talk = talk_with(NAMED, &[]);
    tell(&mut talk.desk, &[PLACE]);

    for turn in 1..=12 {
        let contact = format!("<sip:bob@pbx{turn}.example.net:5090>");
        let update = talk.buyer("UPDATE", turn).set("Contact", contact);
        let said = talk.buyer_says(&update.with_sdp(OFFER));
        let asked = find(&said, "carrier UPDATE");
        talk.caller_says(&asked.reply(200, "ann").with_sdp(ANSWER));
        tell(&mut talk.desk, &[PLACE]);
        talk.desk.pass(Duration::from_secs(2));
    }

    assert_eq!(talk.desk.asked.len(), 8);
    // The last one was not found, for it was not asked for.
    assert_eq!(reached(&mut talk, 2), buyer(0).to_string());
}

#[test]
fn there_is_an_end_to_the_names_that_are_asked_for_at_once() {
    let mut desk = Desk::new(1);
    for call in 0..10 {
        let contact = format!("<sip:bob@pbx{call}.example.net:5090>");
        desk = answered(desk, &call.to_string(), &contact, &[]).desk;
    }
    assert_eq!(desk.asked.len(), 4);

    // The answers never come; after a while they are not waited for any more.
    desk.pass(Duration::from_secs(10));
    let desk = answered(desk, "later", NAMED, &[]).desk;

    assert_eq!(desk.asked.len(), 5);
}

/// A look-up whose call is over, or whose peer has moved meanwhile, changes nothing.
#[test]
fn an_answer_that_comes_too_late_is_nobodys() {
    let mut talk = talk_with(NAMED, &[]);
    let moved = talk
        .buyer("UPDATE", 1)
        .set("Contact", "<sip:bob@198.51.100.11:5060>");
    let asked = find(&talk.buyer_says(&moved.with_sdp(OFFER)), "carrier UPDATE");
    talk.caller_says(&asked.reply(200, "ann").with_sdp(ANSWER));
    tell(&mut talk.desk, &[PLACE]);
    assert_eq!(reached(&mut talk, 2), "198.51.100.11:5060");

    let mut talk = talk_with(NAMED, &[]);
    let bye: Msg = buyer_request("BYE", 1, &talk.offered, "bob");
    talk.buyer_says(&bye);
    let late = caller_request("INFO", 2, &talk.invite, &talk.ok);
    tell(&mut talk.desk, &[PLACE]);
    assert_eq!(ladder(&talk.caller_says(&late)), ["carrier 481 INFO"]);
}
