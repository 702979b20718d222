//! Which addresses may be reached: public ones, at a few ports, and what the configuration allows besides (server-side request
//! forgery: a URL, a redirect or a name in DNS that leads inside).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::HttpClient;
use crate::net::http_client::Failure;

/// Whether `address` may be connected to.
pub(super) fn check(address: SocketAddr, settings: &HttpClient) -> Result<(), Failure> {
    let ip = address.ip().to_canonical();
    if settings.allow.longest_match(ip).is_some() {
        return Ok(());
    }
    if !is_public(ip) {
        return Err(Failure::ForbiddenAddress);
    }
    if !settings.ports.contains(&address.port()) {
        return Err(Failure::ForbiddenPort);
    }
    Ok(())
}

/// Whether anybody's host can be there, by the registries of special addresses (RFC 6890 and what followed it).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    !matches!(
        ip.octets(),
        // This network, private, shared (carriers' NAT), loopback, link-local.
        [0 | 10 | 127, ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            // Protocols, documentation, relays of 6to4, benchmarks.
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
            // Multicast, reserved, broadcast.
            | [224..=255, ..]
    )
}

/// Only what was given out as unicast (2000::/3), without what stands for an IPv4 address or for nobody.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    let is_unicast = (0x2000..=0x3fff).contains(&first);
    let is_special = match first {
        // Protocols, Teredo and benchmarks (2001::/23); documentation.
        0x2001 => second < 0x0200 || second == 0x0db8,
        // 6to4.
        0x2002 => true,
        // Documentation.
        0x3fff => second < 0x1000,
        _ => false,
    };
    is_unicast && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_public_is_refused_in_every_spelling_of_the_address() {
        let settings = HttpClient::default();
        for ip in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.254",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::127.0.0.1",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "3fff:fff::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            assert_eq!(
                verdict(ip, 443, &settings),
                Err(Failure::ForbiddenAddress),
                "{ip}"
            );
        }
    }

    #[test]
    fn what_is_public_may_be_reached_at_few_ports() {
        let settings = HttpClient::default();
        for ip in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450::1",
            "3fff:1000::1",
        ] {
            for (port, expected) in [
                (443, Ok(())),
                (80, Ok(())),
                (22, Err(Failure::ForbiddenPort)),
                (0, Err(Failure::ForbiddenPort)),
            ] {
                assert_eq!(verdict(ip, port, &settings), expected, "{ip} {port}");
            }
        }
    }

    #[test]
    fn what_is_allowed_may_be_reached_at_any_port() {
        let mut settings = HttpClient::default();
        settings
            .allow
            .insert("192.168.7.0/24".parse().expect("a network"), ());
        settings
            .allow
            .insert("fd00:7::/32".parse().expect("a network"), ());

        for ip in ["192.168.7.9", "::ffff:192.168.7.9", "fd00:7::9"] {
            assert_eq!(verdict(ip, 9, &settings), Ok(()), "{ip}");
        }
        for ip in ["192.168.8.9", "fd00:8::9"] {
            assert_eq!(
                verdict(ip, 443, &settings),
                Err(Failure::ForbiddenAddress),
                "{ip}"
            );
        }
    }

    fn verdict(ip: &str, port: u16, settings: &HttpClient) -> Result<(), Failure> {
        let ip: IpAddr = ip.parse().expect("an address");
        check(SocketAddr::new(ip, port), settings)
    }
}
