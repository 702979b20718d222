//! Route sets (RFC 3261 §12.1, §12.2.1.1): what a request of ours must pass on its way to the peer.

use crate::sip::build::{Writer, unfold_into};
use crate::sip::header::{NameAddr, name_addrs};
use crate::sip::message::{Head, Name};
use crate::sip::uri::Uri;

/// The proxies between us and the peer, the nearest first. Usually empty.
#[derive(Debug, Default)]
pub struct RouteSet {
    /// Each as it stood in Record-Route: `<sip:p1.example.com;lr>`.
    routes: Vec<Box<[u8]>>,
    /// Whether the first is a strict router (RFC 2543): its URI lacks `lr`.
    strict: bool,
}

impl RouteSet {
    /// Takes Record-Route of a request: we are the UAS, so the order stays (§12.1.1).
    #[must_use]
    pub fn from_request(head: &Head<'_>) -> Self {
        Self::new(recorded(head).collect())
    }

    /// Takes Record-Route of a response: we are the UAC, so the order is turned round (§12.1.2).
    #[must_use]
    pub fn from_response(head: &Head<'_>) -> Self {
        let mut routes: Vec<_> = recorded(head).collect();
        routes.reverse();
        Self::new(routes)
    }

    fn new(routes: Vec<Box<[u8]>>) -> Self {
        let strict = routes
            .first()
            .and_then(|first| uri_of(first))
            .is_some_and(|uri| !is_loose(uri));
        Self { routes, strict }
    }

    /// The Request-URI of a request to `target`: `target` itself, or the first route if that one is strict.
    #[must_use]
    pub fn request_uri<'a>(&'a self, target: &'a [u8]) -> &'a [u8] {
        match self.first_uri() {
            Some(first) if self.strict => first,
            _ => target,
        }
    }

    /// The URI whose address the request is sent to (§8.1.2).
    #[must_use]
    pub fn next_hop<'a>(&'a self, target: &'a [u8]) -> &'a [u8] {
        self.first_uri().unwrap_or(target)
    }

    /// Writes the Route headers of a request to `target`.
    pub fn write(&self, writer: &mut Writer<'_>, target: &[u8]) {
        for route in self.routes.iter().skip(usize::from(self.strict)) {
            writer.field("Route", route);
        }
        if self.strict {
            writer.parts("Route", &[b"<", target, b">"]);
        }
    }

    fn first_uri(&self) -> Option<&[u8]> {
        self.routes.first().and_then(|first| uri_of(first))
    }
}

/// Values of Record-Route, each on its own; at most [`MOST_ROUTES`].
fn recorded<'a>(head: &Head<'a>) -> impl Iterator<Item = Box<[u8]>> {
    head.all(Name::RecordRoute)
        .flat_map(name_addrs)
        .map_while(Result::ok)
        .map(|route: NameAddr<'a>| unfolded(route.text))
        .take(MOST_ROUTES)
}

/// What Route can hold: one line.
fn unfolded(route: &[u8]) -> Box<[u8]> {
    let mut text = Vec::with_capacity(route.len());
    unfold_into(&mut text, route);
    text.into_boxed_slice()
}

fn uri_of(route: &[u8]) -> Option<&[u8]> {
    name_addrs(route).next()?.ok().map(|route| route.uri)
}

fn is_loose(uri: &[u8]) -> bool {
    match Uri::parse(uri) {
        Ok(Uri::Sip(uri)) => uri.params.get("lr").is_some(),
        Ok(Uri::Tel(_) | Uri::Other { .. }) | Err(_) => false,
    }
}

/// Routes kept of one message; a longer way than this is no way.
const MOST_ROUTES: usize = 32;
