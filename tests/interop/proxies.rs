//! Calls through proxies that stay on the way: Kamailio before the edge and Kamailio behind it.
//!
//! ```text
//!   SIPp --UDP--> Kamailio --UDP or TLS--> the edge --UDP or TLS--> Kamailio --UDP--> SIPp
//!   carrier       its proxy                                         buyers' proxy     buyer
//! ```
//!
//! Where the transport changes, Kamailio is in the route set twice, once for each side. It refuses requests within a
//! call that do not follow the route set, and shows the peer in X-Route what they followed.

use crate::calls::is_completed;
use crate::edge::Edge;
use crate::kamailio::Kamailio;
use crate::sipp::Running;
use crate::sipp::Sipp;
use crate::site::BUYER_NAME;
use crate::site::BY_ADDRESS;
use crate::site::BY_CERTIFICATE;
use crate::site::CARRIER_NAME;
use crate::site::NUMBER;
use crate::site::Site;
use crate::site::Transport;
use crate::trace::Message;

#[test]
fn over_udp_the_carrier_holds_the_call_and_ends_it() {
    the_carrier_holds_and_ends(Transport::Udp);
}

#[test]
fn over_tls_the_carrier_holds_the_call_and_ends_it() {
    the_carrier_holds_and_ends(Transport::Tls);
}

fn the_carrier_holds_and_ends(transport: Transport) {
    let place = Place::new(transport);

    let (_, buyer) = place.passes("carrier_reinvites", "buyer_takes_reinvite");

    is_completed(&place.edge.record(), "first", "caller");
    place.reached_by_route(&buyer, &["ACK", "INVITE", "ACK", "BYE"]);
    place.edge.holds_no_call();
}

#[test]
fn over_udp_the_buyer_holds_the_call() {
    the_buyer_holds(Transport::Udp);
}

#[test]
fn over_tls_the_buyer_holds_the_call() {
    the_buyer_holds(Transport::Tls);
}

fn the_buyer_holds(transport: Transport) {
    let place = Place::new(transport);

    let (carrier, buyer) = place.passes("carrier_takes_reinvite", "buyer_reinvites");

    is_completed(&place.edge.record(), "first", "caller");
    place.reached_by_route(&carrier, &["INVITE", "ACK"]);
    place.reached_by_route(&buyer, &["ACK", "BYE"]);
    place.edge.holds_no_call();
}

#[test]
fn over_udp_the_buyer_ends_the_call() {
    the_buyer_ends(Transport::Udp);
}

#[test]
fn over_tls_the_buyer_ends_the_call() {
    the_buyer_ends(Transport::Tls);
}

fn the_buyer_ends(transport: Transport) {
    let place = Place::new(transport);

    let (carrier, buyer) = place.passes("carrier_call_ended", "buyer_hangs_up");

    is_completed(&place.edge.record(), "first", "buyer");
    place.reached_by_route(&carrier, &["BYE"]);
    place.reached_by_route(&buyer, &["ACK"]);
    place.edge.holds_no_call();
}

#[test]
fn over_udp_the_call_is_cancelled() {
    the_carrier_cancels(Transport::Udp);
}

#[test]
fn over_tls_the_call_is_cancelled() {
    the_carrier_cancels(Transport::Tls);
}

fn the_carrier_cancels(transport: Transport) {
    let place = Place::new(transport);

    let (_, buyer) = place.passes("carrier_cancels", "buyer_rings");

    let record = place.edge.record();
    assert_eq!(record["outcome"], "caller_hung_up", "{record:#}");
    buyer.received_one("CANCEL");
    place.edge.holds_no_call();
}

#[test]
fn over_tls_a_buyers_proxy_of_another_name_gets_no_call() {
    refused_if_named(CARRIER_NAME, "other.example.com", 603);
}

#[test]
fn over_tls_a_carriers_proxy_of_another_name_is_not_let_in() {
    refused_if_named("other.example.com", BUYER_NAME, 403);
}

fn refused_if_named(before: &str, behind: &str, status: u16) {
    let place = Place::named(Transport::Tls, before, behind);

    let buyer = Sipp::buyer("buyer_answers", place.site.first_buyer());
    let mut buyer = buyer.start(place.site.folder());
    let carrier = place.carrier("carrier_refused").blank("status", status);
    carrier.start(place.site.folder()).passes();

    assert!(buyer.messages().is_empty(), "{}", buyer.flow());
    buyer.stop();
    place.edge.holds_no_call();
}

/// A site between two proxies.
struct Place {
    edge: Edge,
    _proxies: [Kamailio; 2],
    transport: Transport,
    site: Site,
}

impl Place {
    fn new(transport: Transport) -> Self {
        Self::named(transport, CARRIER_NAME, BUYER_NAME)
    }

    /// The same with these names in the proxies' certificates.
    fn named(transport: Transport, carriers: &str, buyers: &str) -> Self {
        let mut site = Site::new();
        let (before, behind) = (site.carriers_proxy(), site.buyers_proxy());
        site.list(before);
        site.buyer_with("first", behind, |buyer| buyer.transport = transport);
        let edge = Edge::start(&site);
        let next = format!(
            "sip:{}:{};transport={}",
            site.edge(),
            transport.port(),
            transport.name()
        );
        let before = Kamailio::start(&site, before, carriers, &next);
        let next = format!("sip:{}:5060", site.first_buyer());
        let behind = Kamailio::start(&site, behind, buyers, &next);
        Self {
            edge,
            _proxies: [before, behind],
            transport,
            site,
        }
    }

    /// The carrier, who calls by way of its proxy.
    fn carrier(&self, scenario: &str) -> Sipp {
        let domain = match self.transport {
            Transport::Udp | Transport::Tcp => BY_ADDRESS,
            Transport::Tls => BY_CERTIFICATE,
        };
        let proxy = self.site.carriers_proxy();
        Sipp::carrier(scenario, self.site.carrier(), proxy)
            .key("number", NUMBER)
            .key("domain", domain)
    }

    /// Runs a call that goes as both scenarios say.
    fn passes(&self, carrier: &str, buyer: &str) -> (Running, Running) {
        let mut buyer = Sipp::buyer(buyer, self.site.first_buyer()).start(self.site.folder());
        let mut carrier = self.carrier(carrier).start(self.site.folder());
        carrier.passes();
        buyer.passes();
        (carrier, buyer)
    }

    /// How often one proxy is in a route set.
    fn hops(&self) -> usize {
        match self.transport {
            Transport::Udp => 1,
            Transport::Tcp | Transport::Tls => 2,
        }
    }

    /// Asserts that the edge's requests within the call were these, and that each followed the whole route set: what the
    /// proxy recorded, from the edge on.
    fn reached_by_route(&self, peer: &Running, wanted: &[&str]) {
        let recorded = |message: &Message| values(message, "Record-Route");
        let invites = peer.received("INVITE");
        let first = invites.first().filter(|invite| !is_within(invite));
        let (proxy, way) = match first {
            // The buyer is called: the last that it passed is the first on the way back to it.
            Some(invite) => {
                let way: Vec<_> = recorded(invite).into_iter().rev().collect();
                (self.site.buyers_proxy(), way)
            }
            None => {
                let answer = peer.received("SIP/2.0 200").remove(0);
                (self.site.carriers_proxy(), recorded(&answer))
            }
        };
        assert_eq!(way.len(), self.hops(), "{way:?}");
        for hop in &way {
            assert!(hop.contains(&format!("sip:{proxy}")), "{hop} is no proxy's");
        }

        let requests = peer.messages().into_iter().filter(is_within);
        let mut requests: Vec<_> = requests.collect();
        // UDP may repeat each.
        requests.dedup_by(|one, before| one.one("CSeq") == before.one("CSeq"));
        let methods: Vec<_> = requests.iter().map(method).collect();
        assert_eq!(methods, wanted, "{}", peer.flow());
        for request in &requests {
            assert_eq!(values(request, "X-Route"), way, "{}", request.text);
            assert_eq!(request.all("Via").len(), 2, "{}", request.text);
        }
    }
}

/// Whether it is a request that the peer received within the call.
fn is_within(message: &Message) -> bool {
    let is_request = message.received && !message.start().starts_with("SIP/2.0");
    is_request && message.one("To").contains(";tag=")
}

fn method(message: &Message) -> &str {
    message.start().split(' ').next().unwrap_or_default()
}

/// The values of a header, those of one line apart.
fn values(message: &Message, name: &str) -> Vec<String> {
    let lines = message.all(name).into_iter();
    lines
        .flat_map(|line| line.split(','))
        .map(|value| value.trim().to_owned())
        .collect()
}
