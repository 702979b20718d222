//! Calls over TCP and TLS from end to end, and the connections they make.

use crate::calls::call;
use crate::calls::digest_call;
use crate::calls::is_completed;
use crate::edge::Edge;
use crate::sipp::Running;
use crate::sipp::Sipp;
use crate::site::BY_CERTIFICATE;
use crate::site::BY_DIGEST;
use crate::site::NUMBER;
use crate::site::Site;
use crate::site::Transport;
use crate::site::USER;
use crate::stunnel::Stunnel;

#[test]
fn a_call_over_tcp_that_the_carrier_ends() {
    the_carrier_ends(Transport::Tcp);
}

#[test]
fn a_call_over_tls_that_the_carrier_ends() {
    the_carrier_ends(Transport::Tls);
}

fn the_carrier_ends(transport: Transport) {
    let place = Place::new(transport);

    let (carrier, buyer) = place.passes(call(&place.site, "carrier_call"), "buyer_answers");

    is_completed(&place.edge.record(), "first", "caller");
    place.speaks_of_its_transport(&buyer.received_one("INVITE").text);
    place.speaks_of_its_transport(&carrier.received("SIP/2.0 200").remove(0).text);
    place.ends();
}

#[test]
fn a_call_over_tcp_that_the_buyer_ends() {
    the_buyer_ends(Transport::Tcp);
}

#[test]
fn a_call_over_tls_that_the_buyer_ends() {
    the_buyer_ends(Transport::Tls);
}

/// Nothing listens where the carrier is, so the BYE can only come along its own connection.
fn the_buyer_ends(transport: Transport) {
    let place = Place::new(transport);

    let (carrier, _) = place.passes(call(&place.site, "carrier_call_ended"), "buyer_hangs_up");

    is_completed(&place.edge.record(), "first", "buyer");
    carrier.received_one("BYE");
    place.ends();
}

#[test]
fn a_call_over_tcp_that_is_cancelled() {
    the_carrier_cancels(Transport::Tcp);
}

#[test]
fn a_call_over_tls_that_is_cancelled() {
    the_carrier_cancels(Transport::Tls);
}

fn the_carrier_cancels(transport: Transport) {
    let place = Place::new(transport);

    place.passes(call(&place.site, "carrier_cancels"), "buyer_rings");

    let record = place.edge.record();
    assert_eq!(record["outcome"], "caller_hung_up", "{record:#}");
    place.ends();
}

#[test]
fn a_call_over_tcp_let_in_by_digest() {
    a_user_calls(Transport::Tcp);
}

#[test]
fn a_call_over_tls_let_in_by_digest() {
    a_user_calls(Transport::Tls);
}

/// The address is not listed, so the connection is one of a stranger until the digest is right.
fn a_user_calls(transport: Transport) {
    let place = Place::new(transport);
    let _tunnel = tunnel(transport, || {
        Stunnel::carrier(&place.site, place.site.stranger())
    });

    let carrier = digest_call(&place.site, "carrier_digest", BY_DIGEST, USER.1);
    let (carrier, _) = place.passes(carrier, "buyer_answers");

    let record = place.edge.record();
    is_completed(&record, "first", "caller");
    assert_eq!(record["user"], USER.0);
    carrier.received_one("SIP/2.0 401");
    place.ends();
}

#[test]
fn a_call_over_tls_let_in_by_certificate_from_an_address_that_is_not_listed() {
    let place = Place::new(Transport::Tls);
    let _tunnel = Stunnel::carrier(&place.site, place.site.stranger());

    let carrier = Sipp::carrier("carrier_call", place.site.stranger(), place.site.edge())
        .key("number", NUMBER)
        .key("domain", BY_CERTIFICATE);
    place.passes(carrier, "buyer_answers");

    is_completed(&place.edge.record(), "first", "caller");
    place.ends();
}

/// RFC 3261 §18.1.1. The buyer is configured for UDP, and here listens to TCP alone.
#[test]
fn an_invite_that_is_too_long_for_udp_goes_to_the_buyer_by_tcp() {
    let mut site = Site::new();
    let address = site.buyer("first");
    let edge = Edge::start(&site);

    let buyer = Sipp::buyer("buyer_answers", address).over(Transport::Tcp);
    let mut buyer = buyer.start(site.folder());
    let carrier = call(&site, "carrier_call").with_more_sdp(800);
    let mut carrier = carrier.start(site.folder());
    carrier.passes();
    buyer.passes();

    is_completed(&edge.record(), "first", "caller");
    let invite = buyer.received_one("INVITE");
    assert!(invite.text.len() > 1300, "{} bytes", invite.text.len());
    assert!(invite.one("Via").starts_with("SIP/2.0/TCP "));
    edge.holds_no_call();
}

#[test]
fn an_invite_that_is_too_long_for_udp_goes_by_udp_to_a_buyer_that_refuses_tcp() {
    let mut site = Site::new();
    let address = site.buyer("first");
    let edge = Edge::start(&site);

    let mut buyer = Sipp::buyer("buyer_answers", address).start(site.folder());
    let carrier = call(&site, "carrier_call").with_more_sdp(800);
    let mut carrier = carrier.start(site.folder());
    carrier.passes();
    buyer.passes();

    let record = edge.record();
    assert_eq!(record["outcome"], "completed", "{record:#}");
    let invite = buyer.received_one("INVITE");
    assert!(invite.text.len() > 1300, "{} bytes", invite.text.len());
    assert!(invite.one("Via").starts_with("SIP/2.0/UDP "));
    edge.holds_no_call();
}

/// A site, its edge, and a buyer that is reached by one transport.
struct Place {
    edge: Edge,
    _tunnels: Vec<Stunnel>,
    transport: Transport,
    site: Site,
}

impl Place {
    fn new(transport: Transport) -> Self {
        let mut site = Site::new();
        let buyer = site.next_buyer();
        site.buyer_with("first", buyer, |buyer| buyer.transport = transport);
        let tunnels = tunnel(transport, || Stunnel::buyer(&site, buyer)).into_iter();
        let carrier = tunnel(transport, || Stunnel::carrier(&site, site.carrier()));
        Self {
            edge: Edge::start(&site),
            _tunnels: tunnels.chain(carrier).collect(),
            transport,
            site,
        }
    }

    /// Runs a call that goes as both scenarios say.
    fn passes(&self, carrier: Sipp, buyer: &str) -> (Running, Running) {
        let folder = self.site.folder();
        let buyer = Sipp::buyer(buyer, self.site.first_buyer()).over(self.transport);
        let mut buyer = buyer.start(folder);
        let mut carrier = carrier.over(self.transport).start(folder);
        carrier.passes();
        buyer.passes();
        (carrier, buyer)
    }

    /// What the edge writes names the transport by which it is to be reached.
    fn speaks_of_its_transport(&self, message: &str) {
        let contact = format!(
            "<sip:{}:{};transport={}>",
            self.site.edge(),
            self.transport.port(),
            self.transport.name()
        );
        assert!(message.contains(&contact), "{contact} in:\n{message}");
    }

    /// The carrier made one connection and the edge one, to the buyer: all went along those two.
    fn ends(&self) {
        for by in ["peer", "us"] {
            let opened = format!("strowger_connections_opened_total{{by=\"{by}\"}}");
            self.edge.shows(&opened, |opened| opened == 1.0);
        }
        self.edge.holds_no_call();
    }
}

fn tunnel(transport: Transport, start: impl FnOnce() -> Stunnel) -> Option<Stunnel> {
    (transport == Transport::Tls).then(start)
}
