//! Who may have how many connections (sans-IO).
//!
//! Strangers cannot take the places of peers that the configuration names: a quarter of all is kept
//! for those. Among strangers, each address has its share, and one that has not yet said a whole
//! message gives way to the next.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

/// Name of a connection; later ones have greater numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial(pub u64);

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// All together. A quarter of them is kept for known peers.
    pub most: usize,
    /// From one address that is not known; of IPv6, from one /64.
    pub per_stranger: usize,
}

/// Why a connection is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// All places are taken.
    Full,
    /// Its address has its share.
    Share,
}

impl Refusal {
    /// As a label: `full`, `share`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Share => "share",
        }
    }
}

/// The places that are taken.
#[derive(Debug, Default)]
pub struct Quota {
    places: HashMap<Serial, Place>,
    strangers: usize,
    /// Connections by stranger's address; none with 0.
    by_address: HashMap<IpAddr, usize>,
    /// Strangers that have said nothing yet.
    silent: BTreeSet<Serial>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    /// `None`: it is known.
    stranger: Option<IpAddr>,
}

impl Quota {
    /// Gives `serial` a place. `Ok(Some(_))`: in the place of that one, which is to be closed.
    ///
    /// # Errors
    ///
    /// When there is none for it.
    pub fn admit(
        &mut self,
        bounds: Bounds,
        serial: Serial,
        address: IpAddr,
        is_known: bool,
    ) -> Result<Option<Serial>, Refusal> {
        let stranger = (!is_known).then(|| network(address));
        let most_strangers = bounds.most - bounds.most / 4;
        let mut evicted = None;
        if let Some(network) = stranger {
            let taken = self.by_address.get(&network).copied().unwrap_or(0);
            if taken >= bounds.per_stranger {
                return Err(Refusal::Share);
            }
        }
        let is_full = self.places.len() >= bounds.most
            || (stranger.is_some() && self.strangers >= most_strangers);
        if is_full {
            let first = self.silent.first().copied().ok_or(Refusal::Full)?;
            self.remove(first);
            evicted = Some(first);
        }
        if let Some(network) = stranger {
            self.strangers += 1;
            *self.by_address.entry(network).or_default() += 1;
            self.silent.insert(serial);
        }
        self.places.insert(serial, Place { stranger });
        Ok(evicted)
    }

    /// Notes that a whole message came on `serial`.
    pub fn note_message(&mut self, serial: Serial) {
        self.silent.remove(&serial);
    }

    /// Whether `serial` has a place.
    #[must_use]
    pub fn holds(&self, serial: Serial) -> bool {
        self.places.contains_key(&serial)
    }

    /// Gives the place of `serial` back, if it has one.
    pub fn remove(&mut self, serial: Serial) {
        let Some(place) = self.places.remove(&serial) else {
            return;
        };
        self.silent.remove(&serial);
        let Some(network) = place.stranger else {
            return;
        };
        self.strangers -= 1;
        if let Some(taken) = self.by_address.get_mut(&network) {
            *taken -= 1;
            if *taken == 0 {
                self.by_address.remove(&network);
            }
        }
    }

    /// Places taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether none is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// What counts as one address: whoever has one of IPv6 has a /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        most: 8,
        per_stranger: 2,
    };

    #[test]
    fn an_address_has_its_share_and_a_known_one_has_no_bound_of_its_own() {
        let mut quota = Quota::default();
        let stranger = address(1);

        assert_eq!(quota.admit(BOUNDS, Serial(1), stranger, false), Ok(None));
        assert_eq!(quota.admit(BOUNDS, Serial(2), stranger, false), Ok(None));
        let third = quota.admit(BOUNDS, Serial(3), stranger, false);
        assert_eq!(third, Err(Refusal::Share));
        for serial in 10..15 {
            assert_eq!(
                quota.admit(BOUNDS, Serial(serial), address(9), true),
                Ok(None)
            );
        }

        quota.remove(Serial(1));
        assert_eq!(quota.admit(BOUNDS, Serial(4), stranger, false), Ok(None));
        assert_eq!(quota.len(), 7);
    }

    #[test]
    fn strangers_leave_a_quarter_to_the_known() {
        let mut quota = Quota::default();
        for serial in 0..6 {
            let serial = Serial(serial);
            let by = address(serial.0 as u8);
            assert_eq!(quota.admit(BOUNDS, serial, by, false), Ok(None));
            quota.note_message(serial);
        }

        let seventh = quota.admit(BOUNDS, Serial(6), address(50), false);
        assert_eq!(seventh, Err(Refusal::Full));
        for serial in 7..9 {
            let known = quota.admit(BOUNDS, Serial(serial), address(60), true);
            assert_eq!(known, Ok(None));
        }
        let ninth = quota.admit(BOUNDS, Serial(9), address(60), true);
        assert_eq!(ninth, Err(Refusal::Full));
    }

    #[test]
    fn the_oldest_that_said_nothing_gives_way() {
        let mut quota = Quota::default();
        for serial in 0..6 {
            let by = address(serial as u8);
            assert_eq!(quota.admit(BOUNDS, Serial(serial), by, false), Ok(None));
        }
        quota.note_message(Serial(0));

        let next = quota.admit(BOUNDS, Serial(6), address(50), false);

        assert_eq!(next, Ok(Some(Serial(1))));
        assert_eq!(quota.len(), 6);
    }

    #[test]
    fn a_network_of_ipv6_is_one_stranger_and_nothing_is_kept_of_those_gone() {
        let mut quota = Quota::default();
        for (serial, by) in [(1, "2001:db8::1"), (2, "2001:db8::2")] {
            let by = by.parse().unwrap();
            assert_eq!(quota.admit(BOUNDS, Serial(serial), by, false), Ok(None));
        }
        let third = quota.admit(BOUNDS, Serial(3), "2001:db8::3".parse().unwrap(), false);
        assert_eq!(third, Err(Refusal::Share));

        quota.remove(Serial(1));
        quota.remove(Serial(2));
        quota.remove(Serial(2));

        assert!(quota.is_empty());
        assert!(quota.by_address.is_empty());
        assert!(quota.silent.is_empty());
        assert_eq!(quota.strangers, 0);
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }
}
