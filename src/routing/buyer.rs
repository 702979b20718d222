//! A buyer: who may get the call, where, and how it is told.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::routing::caps::Caps;
use crate::routing::rules::Rules;
use crate::routing::trunk::{MediaTerms, Refer};
use crate::routing::weight;
use crate::sip::flow::{PeerId, Transport};
use crate::sip::locate::{Target, Wanted};
pub use crate::sip::retreaver::Profile as XPhProfile;
use crate::sip::rules::HeaderRules;
use crate::types::number::Number;
use crate::types::secret::Secret;

/// One buyer, as configured.
pub struct Buyer {
    /// Its id in the configuration.
    pub id: Arc<str>,
    /// The ways to it, in order of priority, then of the configuration; one at least, [`MOST_GATEWAYS`] at most.
    pub gateways: Vec<Arc<Gateway>>,
    /// Lower goes first.
    pub priority: i32,
    /// Its share of the calls among those of its priority; at least 1. `None`: 1 if another one has a weight, and else the
    /// order is the configured one.
    pub weight: Option<u32>,
    /// What it asks of a call before it takes it.
    pub rules: Rules,
    /// How long it may ring.
    pub ring_timeout: Duration,
    /// How long it may say nothing at all.
    pub response_timeout: Duration,
    /// How many calls it takes.
    pub caps: Caps,
    /// How often its gateways are asked, by OPTIONS, whether they are there; `None`: never.
    pub probe: Option<Duration>,
    /// What to answer a challenge with; `None`: a challenge is a failure.
    pub login: Option<Login>,
    /// Whether it may send provisional responses reliably (RFC 3262).
    pub offers_reliable: bool,
    /// What it may do with REFER.
    pub refer: Refer,
    /// How the values of X-PH headers are encoded.
    pub x_ph_profile: XPhProfile,
    /// Which headers pass to it and from it, and those of its own.
    pub headers: HeaderRules,
    /// What becomes of its media.
    pub media: MediaTerms,
    /// Whether it may know who calls though that is private, and gets P-Asserted-Identity.
    pub is_trusted: bool,
}

impl fmt::Debug for Buyer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Buyer").field(&self.id).finish()
    }
}

impl Buyer {
    /// How long a buyer may ring if nothing is said.
    pub const RING_TIMEOUT: Duration = Duration::from_secs(30);
    /// How long it may say nothing at all.
    pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(4);

    /// A buyer of whom nothing is said but where it is: what the configuration leaves out is the default.
    #[must_use]
    pub fn new(id: &str, gateways: Vec<Arc<Gateway>>) -> Self {
        Self {
            id: id.into(),
            gateways,
            priority: 1,
            weight: None,
            rules: Rules::default(),
            ring_timeout: Self::RING_TIMEOUT,
            response_timeout: Self::RESPONSE_TIMEOUT,
            caps: Caps::default(),
            probe: None,
            login: None,
            offers_reliable: true,
            refer: Refer::default(),
            x_ph_profile: XPhProfile::default(),
            headers: HeaderRules::default(),
            is_trusted: false,
            media: MediaTerms::default(),
        }
    }

    /// Whether a place must be asked for before it is called.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        let rules = &self.rules;
        self.caps.is_limited() || rules.quota.is_some() || !rules.groups.is_empty()
    }

    /// The places of the gateways in the order in which the call named `seed` tries them: by priority, then by
    /// weight, by a hash of the call, so that the order can be had again.
    #[must_use]
    pub fn order(&self, seed: &[u8]) -> SmallVec<[u8; 4]> {
        let mut places: SmallVec<[u8; 4]> = (0..=u8::MAX)
            .take(self.gateways.len().min(MOST_GATEWAYS))
            .collect();
        let ranks = |place: &u8| {
            let gateway = self.gateways.get(usize::from(*place));
            gateway.map_or((0, 0, ""), |one| (one.priority, one.weight, &*one.name))
        };
        if places.len() > 1 {
            places.sort_by_cached_key(|place| {
                let (priority, weight, name) = ranks(place);
                (priority, weight::rank(seed, name, weight))
            });
        }
        places
    }
}

/// Gateways that one buyer has at most.
pub const MOST_GATEWAYS: usize = 16;

/// One way to a buyer.
pub struct Gateway {
    /// What records, logs and metrics call it; no other gateway of the same buyer has this name.
    pub name: Arc<str>,
    /// Request-URI and To of the INVITE: `sip:user@host`, checked.
    pub uri: Box<str>,
    /// Host of `uri`, without port and brackets.
    pub host: Box<str>,
    /// Where requests go; means nothing where `lookup` is set.
    pub address: SocketAddr,
    /// How they go there; means nothing where `lookup` is set.
    pub transport: Transport,
    /// What DNS is asked for instead, for a gateway that is known by name.
    pub lookup: Option<Arc<Wanted>>,
    /// A telephone, which only a vendor that carries the call can call; all that is said of requests means nothing then.
    pub phone: Option<Number>,
    /// The name that its certificate must show, if they go there by TLS.
    pub tls_name: Option<Arc<str>>,
    /// Lower goes first.
    pub priority: i32,
    /// Its share of the calls that come first to gateways of this priority; at least 1.
    pub weight: u32,
}

impl Gateway {
    /// A gateway over UDP, alone or first among others.
    #[must_use]
    pub fn udp(uri: &str, host: &str, address: SocketAddr) -> Self {
        Self {
            name: address.to_string().into(),
            uri: uri.into(),
            host: host.into(),
            address,
            transport: Transport::Udp,
            lookup: None,
            phone: None,
            tls_name: None,
            priority: 1,
            weight: 1,
        }
    }

    /// A telephone.
    #[must_use]
    pub fn telephone(number: Number) -> Self {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        Self {
            name: number.to_string().into(),
            phone: Some(number),
            ..Self::udp(&format!("tel:{number}"), "", nowhere)
        }
    }

    /// Where it is, if its configuration says so; `None`: DNS does, or it is a telephone.
    #[must_use]
    pub fn target(&self) -> Option<Target> {
        let is_told = self.lookup.is_none() && self.phone.is_none();
        is_told.then_some(Target {
            transport: self.transport,
            address: self.address,
        })
    }

    /// Whom its connections lead to.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        let name = self.tls_name.as_deref();
        name.map_or(PeerId::NOBODY, PeerId::of)
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gateway").field(&self.name).finish()
    }
}

/// Credentials for one buyer's challenges (RFC 7616), pinned to its realm.
pub struct Login {
    /// User name.
    pub username: Box<str>,
    /// Password.
    pub password: Secret,
    /// The only realm that is answered.
    pub realm: Box<str>,
    /// Whether a vendor that calls the buyer for us may know it.
    pub is_shared: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_go_by_priority_and_then_by_weight_anew_for_each_call() {
        let buyer = buyer(&[(2, 1), (1, 3), (1, 1)]);
        let mut first = [0_u32; 3];

        for call in 0..4000_u32 {
            let order = buyer.order(call.to_string().as_bytes());

            assert_eq!(order.len(), 3);
            assert_eq!(order[2], 0);
            assert_eq!(order, buyer.order(call.to_string().as_bytes()));
            first[usize::from(order[0])] += 1;
        }

        // 3 : 1, within five standard deviations.
        assert!((2860..=3140).contains(&first[1]), "{first:?}");
    }

    #[test]
    fn one_gateway_is_the_order() {
        assert_eq!(buyer(&[(1, 1)]).order(b"any")[..], [0]);
    }

    fn buyer(ranks: &[(i32, u32)]) -> Buyer {
        let gateways = ranks
            .iter()
            .zip(0_u16..)
            .map(|((priority, weight), place)| {
                let address = SocketAddr::from(([192, 0, 2, 9], 5060 + place));
                Arc::new(Gateway {
                    priority: *priority,
                    weight: *weight,
                    ..Gateway::udp("sip:sales@192.0.2.9", "192.0.2.9", address)
                })
            });
        Buyer::new("buyer", gateways.collect())
    }
}
