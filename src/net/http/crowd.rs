//! Who is there: places for connections, in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Those who are there. It holds no more addresses than there are places.
#[derive(Default)]
pub(super) struct Crowd {
    seats: Mutex<Seats>,
}

#[derive(Default)]
struct Seats {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place that is taken until this is dropped.
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    /// `None`: a proxy, for many.
    address: Option<IpAddr>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crowded {
    /// All are taken.
    Full,
    /// The address has its share.
    Share,
}

impl Crowded {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Share => "share",
        }
    }
}

impl Crowd {
    /// Takes a place: one of `most`, and one of `share` of its address, unless that is a proxy's.
    pub(super) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        most: usize,
        share: Option<usize>,
    ) -> Result<Seat, Crowded> {
        let address = share.map(|_| network(address));
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        if seats.all >= most {
            return Err(Crowded::Full);
        }
        if let (Some(address), Some(share)) = (address, share) {
            let taken = seats.by_address.entry(address).or_default();
            if *taken >= share {
                return Err(Crowded::Share);
            }
            *taken += 1;
        }
        seats.all += 1;
        Ok(Seat {
            crowd: Arc::clone(self),
            address,
        })
    }

    /// Places taken.
    pub(super) fn len(&self) -> usize {
        let seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        seats.all
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self
            .crowd
            .seats
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        seats.all = seats.all.saturating_sub(1);
        if let Some(address) = self.address
            && let Some(taken) = seats.by_address.get_mut(&address)
        {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                seats.by_address.remove(&address);
            }
        }
    }
}

/// What counts as one address: of IPv6, a network of 64 bits.
#[must_use]
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = u128::from(address) & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from(bits))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_all_have_theirs() {
        let crowd = Arc::new(Crowd::default());
        let (one, other) = (ip("192.0.2.1"), ip("192.0.2.2"));

        let first = crowd.enter(one, 3, Some(2));
        let second = crowd.enter(one, 3, Some(2));
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(crowd.enter(one, 3, Some(2)).err(), Some(Crowded::Share));
        let third = crowd.enter(other, 3, Some(2));
        assert!(third.is_ok());
        assert_eq!(crowd.enter(other, 3, Some(2)).err(), Some(Crowded::Full));
        drop(first);

        assert!(crowd.enter(one, 3, Some(2)).is_ok());
        drop((second, third));
        assert_eq!(crowd.len(), 0);
        assert!(crowd.seats.lock().unwrap().by_address.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_proxy_is_none() {
        let crowd = Arc::new(Crowd::default());
        let _first = crowd.enter(ip("2001:db8:1:2::1"), 9, Some(1));

        let neighbour = crowd.enter(ip("2001:db8:1:2:ffff::2"), 9, Some(1));
        assert_eq!(neighbour.err(), Some(Crowded::Share));
        assert!(crowd.enter(ip("2001:db8:1:3::1"), 9, Some(1)).is_ok());
        assert!(crowd.enter(ip("2001:db8:1:2::1"), 9, None).is_ok());
        assert_eq!(network(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }
}
