//! `[[network]]`: prefixes under a name, which trunks list instead of the prefixes.

use std::collections::HashMap;

use ipnet::IpNet;

use crate::auth::allowlist::Allowlist;
use crate::config::desk::{Desk, Place};
use crate::config::keys;
use crate::config::raw::{Section, Spot};
use crate::config::routes;

/// The networks, by name.
#[derive(Default, Clone)]
pub(super) struct Networks<'d>(HashMap<&'d str, (Vec<IpNet>, Place)>);

impl<'d> Networks<'d> {
    /// Reads the networks out of all files.
    pub(super) fn read(roots: &[Section<'d>], desk: &mut Desk<'_>) -> Self {
        let mut networks = Self::default();
        for section in routes::all(roots, "network", &keys::NETWORK, desk) {
            section.label("as_of", desk);
            let mut nets = Vec::new();
            for text in section.list("prefixes", desk) {
                nets.extend(prefix(text, desk));
            }
            if nets.is_empty() {
                section.missing_or_empty(
                    "prefixes",
                    "for example prefixes = [\"192.0.2.0/24\"]",
                    desk,
                );
            }
            let Some(name) = routes::id(&section, "name", "office", desk) else {
                continue;
            };
            if let Some((_, first)) = networks.0.insert(name.value, (nets, name.place)) {
                routes::twice(name, first, desk);
            }
        }
        networks
    }

    /// The prefixes that an entry of a list stands for: those of a network, or the prefix that it is.
    pub(super) fn resolve(&self, entry: Spot<&str>, desk: &mut Desk<'_>) -> Vec<IpNet> {
        if let Some((nets, _)) = self.0.get(entry.value) {
            return nets.clone();
        }
        if entry.value.starts_with(|c: char| c.is_ascii_alphabetic()) && !entry.value.contains(':')
        {
            routes::unknown("network", entry, self.0.keys().copied(), desk);
            return Vec::new();
        }
        prefix(entry, desk).into_iter().collect()
    }

    /// Where `X-Twilio-*` is believed: the network called `twilio`.
    pub(super) fn twilio(&self) -> Allowlist<()> {
        let mut list = Allowlist::new();
        for net in self.0.get(TWILIO).iter().flat_map(|(nets, _)| nets) {
            list.insert(*net, ());
        }
        list
    }
}

/// The name of the network whose addresses are Twilio's.
pub(super) const TWILIO: &str = "twilio";

/// One prefix; if it is none, that is noted.
pub(super) fn prefix(text: Spot<&str>, desk: &mut Desk<'_>) -> Option<IpNet> {
    let Ok(net) = text.value.parse::<IpNet>() else {
        desk.fault(
            text.place,
            format!("`{}` is no prefix", text.value),
            "for example \"192.0.2.0/24\", \"192.0.2.7/32\" or \"2001:db8::/48\"",
        );
        return None;
    };
    if net.prefix_len() == 0 {
        desk.fault(
            text.place,
            format!("`{}` lets everybody in", text.value),
            "name the carrier's own prefixes, or use a domain that requires \"digest\"",
        );
    } else if net != net.trunc() {
        desk.fault(
            text.place,
            format!("`{}` has bits behind the prefix", text.value),
            format!("write \"{}\", or a longer prefix", net.trunc()),
        );
    } else {
        return Some(net);
    }
    None
}
