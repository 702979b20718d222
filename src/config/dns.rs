//! `[dns]`: how names are looked up.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::config::Dns;
use crate::config::desk::Desk;
use crate::config::keys;
use crate::config::raw::Section;

/// Reads the section, or takes its defaults.
pub(super) fn read(root: &Section<'_>, desk: &mut Desk<'_>) -> Dns {
    let mut dns = Dns {
        servers: Vec::new(),
        timeout: TIMEOUT,
        stale: STALE,
    };
    let Some(section) = root.section("dns", &keys::DNS, desk) else {
        return dns;
    };
    dns.timeout = section.duration("timeout", TIMEOUT, LEAST..=TIMEOUT, desk);
    dns.stale = section.duration("stale", STALE, Duration::ZERO..=DAY, desk);
    for text in section.list("servers", desk) {
        let address = text.value.parse::<SocketAddr>().ok();
        let with_port = |ip: IpAddr| SocketAddr::new(ip, DNS_PORT);
        let address = address.or_else(|| text.value.parse().ok().map(with_port));
        match address.filter(|address| !address.ip().is_unspecified() && address.port() != 0) {
            Some(address) => dns.servers.push(address),
            None => desk.fault(
                text.place,
                format!("`{}` is no address", text.value.escape_debug()),
                "for example \"192.0.2.53\" or \"[2001:db8::53]:5353\"",
            ),
        }
    }
    dns
}

const DNS_PORT: u16 = 53;
/// The longest time, too: a call waits no longer for a name.
const TIMEOUT: Duration = Duration::from_secs(2);
const LEAST: Duration = Duration::from_millis(100);
const STALE: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
