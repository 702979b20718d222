//! Addresses that may call: the longest prefix that holds an address decides.
//!
//! An IPv4 peer on a socket that speaks both families shows up as `::ffff:a.b.c.d` (RFC 4291
//! §2.5.5.2). Such addresses and prefixes are taken as the IPv4 ones they stand for, so an IPv6
//! prefix never admits an IPv4 peer.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use prefix_trie::joint::JointPrefixMap;

/// Networks with what each stands for, IPv4 and IPv6.
#[derive(Clone, PartialEq)]
pub struct Allowlist<T>(JointPrefixMap<IpNet, T>);

impl<T: Copy> Allowlist<T> {
    /// A list that holds nobody.
    #[must_use]
    pub fn new() -> Self {
        Self(JointPrefixMap::new())
    }

    /// Adds `net`, host bits ignored; returns what it stood for before.
    pub fn insert(&mut self, net: IpNet, value: T) -> Option<T> {
        self.0.insert(canonical(net), value)
    }

    /// What the longest prefix around `address` stands for; `None`: nobody listed it.
    #[must_use]
    pub fn longest_match(&self, address: IpAddr) -> Option<T> {
        let host = IpNet::from(address.to_canonical());
        self.0.get_lpm(&host).map(|(_, value)| *value)
    }

    /// Number of networks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it holds nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Copy> Default for Allowlist<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Without host bits, and IPv4 if it is a part of `::ffff:0:0/96`.
fn canonical(net: IpNet) -> IpNet {
    let mapped = match net {
        IpNet::V4(_) => None,
        IpNet::V6(net) => net
            .prefix_len()
            .checked_sub(MAPPED_BITS)
            .zip(net.addr().to_ipv4_mapped())
            .and_then(|(bits, address)| Ipv4Net::new(address, bits).ok()),
    };
    mapped.map_or(net, IpNet::V4).trunc()
}

/// Bits in front of the IPv4 address in `::ffff:a.b.c.d`.
const MAPPED_BITS: u8 = 96;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_decides() {
        let list = list(&[
            ("192.0.2.0/24", 1),
            ("192.0.2.128/25", 2),
            ("192.0.2.200/32", 3),
            ("2001:db8::/32", 4),
            ("2001:db8:1::/48", 5),
        ]);

        for (address, want) in [
            ("192.0.2.1", Some(1)),
            ("192.0.2.129", Some(2)),
            ("192.0.2.200", Some(3)),
            ("192.0.3.1", None),
            ("2001:db8::1", Some(4)),
            ("2001:db8:1::1", Some(5)),
            ("2001:db9::1", None),
        ] {
            assert_eq!(
                list.longest_match(address.parse().unwrap()),
                want,
                "{address}"
            );
        }
        assert_eq!(list.len(), 5);
    }

    #[test]
    fn an_empty_list_lets_nobody_in() {
        let list = list(&[]);

        assert!(list.is_empty());
        assert_eq!(list.longest_match("192.0.2.1".parse().unwrap()), None);
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let list = list(&[
            ("192.0.2.0/24", 1),
            ("::ffff:198.51.100.0/120", 2),
            ("::/0", 3),
        ]);

        for (address, want) in [
            ("::ffff:192.0.2.7", Some(1)),
            ("198.51.100.7", Some(2)),
            ("::ffff:198.51.100.7", Some(2)),
            ("::ffff:203.0.113.1", None),
            ("2001:db8::1", Some(3)),
        ] {
            assert_eq!(
                list.longest_match(address.parse().unwrap()),
                want,
                "{address}"
            );
        }
    }

    #[test]
    fn whole_families_are_apart() {
        let list = list(&[("0.0.0.0/0", 4), ("2001:db8::/32", 6)]);

        assert_eq!(list.longest_match("203.0.113.9".parse().unwrap()), Some(4));
        assert_eq!(list.longest_match("2001:db9::1".parse().unwrap()), None);
    }

    #[test]
    fn the_same_network_twice_shows_the_first() {
        let mut list = Allowlist::new();

        assert_eq!(list.insert("192.0.2.0/24".parse().unwrap(), 1), None);
        assert_eq!(list.insert("192.0.2.7/24".parse().unwrap(), 2), Some(1));
        assert_eq!(list.longest_match("192.0.2.9".parse().unwrap()), Some(2));
    }

    fn list(entries: &[(&str, u32)]) -> Allowlist<u32> {
        let mut list = Allowlist::new();
        for (net, value) in entries {
            list.insert(net.parse().unwrap(), *value);
        }
        list
    }
}
