//! `[media]`, and `media` of trunks and buyers: where media is relayed, and what is agreed with whom.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::call::policy::{Media, Mouth};
use crate::config::desk::Desk;
use crate::config::keys;
use crate::config::listen::Listeners;
use crate::config::networks::Networks;
use crate::config::raw::{Section, Shape, Spot};
use crate::media::plan::{Patience, Sources};
use crate::media::session::{OtherMedia, Srtp, Terms};
use crate::routing::trunk::MediaTerms;

/// Reads `[media]`; without it, none is relayed.
pub(super) fn read(
    root: &Section<'_>,
    listeners: &Listeners,
    shards: usize,
    desk: &mut Desk<'_>,
) -> Media {
    let default = Media::default();
    let Some(section) = root.section("media", &keys::MEDIA, desk) else {
        return default;
    };
    let binds = addresses(&section, "bind", desk);
    let advertised = addresses(&section, "advertise", desk);
    let mut mouth = |is_ipv4: bool| {
        let of_family = |list: &[IpAddr]| list.iter().find(|ip| ip.is_ipv4() == is_ipv4).copied();
        let mut ours = listeners
            .list
            .iter()
            .filter(|one| one.bind.is_ipv4() == is_ipv4);
        let bind = if section.has("bind") {
            of_family(&binds)
        } else {
            ours.clone().next().map(|listener| listener.bind.ip())
        }?;
        let advertise = of_family(&advertised)
            .or_else(|| Some(bind).filter(|ip| !ip.is_unspecified()))
            .or_else(|| ours.find_map(|listener| host_of(&listener.advertise)));
        if advertise.is_none() {
            section.missing(
                "advertise",
                &format!("say under which address peers reach media here, for it is not {bind}"),
                desk,
            );
        }
        Some(Mouth {
            bind,
            advertise: advertise?,
        })
    };
    let (v4, v6) = (mouth(true), mouth(false));
    let longest = Duration::ZERO..=DAY;
    let mut time = |key, default: Option<Duration>| {
        let default = default.unwrap_or_default();
        let time = section.duration(key, default, longest.clone(), desk);
        (!time.is_zero()).then_some(time)
    };
    let usual = default.patience;
    let patience = Patience {
        is_answered: false,
        start: time("start", usual.start),
        silence: time("silence", usual.silence),
        hold: time("hold", usual.hold),
    };
    Media {
        v4,
        v6,
        ports: ports(&section, shards, desk).unwrap_or(default.ports),
        shards,
        rest: section.duration("rest", default.rest, Duration::ZERO..=HOUR, desk),
        patience,
        keeps_digits: section.flag("digits", default.keeps_digits, desk),
    }
}

/// Reads `media` of a trunk or a buyer.
pub(super) fn terms(
    section: &Section<'_>,
    shape: &'static Shape,
    (media, networks): (&Media, &Networks<'_>),
    desk: &mut Desk<'_>,
) -> MediaTerms {
    let mut agreed = MediaTerms {
        is_relayed: media.is_open(),
        ..MediaTerms::default()
    };
    let Some(section) = section.section("media", shape, desk) else {
        return agreed;
    };
    if let Some(plane) = section.choice("plane", PLANES, desk) {
        agreed.is_relayed = plane.value;
        if plane.value && !media.is_open() {
            desk.absent(
                plane.place,
                "has no relay",
                "add [media], with a port range that nothing else uses",
            );
        }
    }
    let nets: Arc<[IpNet]> = section
        .list("networks", desk)
        .into_iter()
        .flat_map(|entry| networks.resolve(entry, desk))
        .collect();
    let is_learned = section.choice("sources", SOURCES, desk);
    if !nets.is_empty() && is_learned.is_none_or(|found| !found.value) {
        section.missing("sources", "`networks` needs sources = \"learned\"", desk);
    }
    let sources = if is_learned.is_some_and(|found| found.value) {
        Sources::Learned(nets)
    } else {
        Sources::Announced
    };
    let names = section.list("codecs", desk);
    if section.has("codecs") && names.is_empty() {
        section.missing_or_empty("codecs", "for example [\"PCMU\", \"PCMA\"]", desk);
    }
    for name in &names {
        if !is_codec(name.value) {
            desk.fault(
                name.place,
                format!("`{}` is no codec's name", name.value.escape_debug()),
                "as in a=rtpmap, without the clock rate: \"PCMU\", \"G722\", \"opus\"",
            );
        }
    }
    agreed.terms = Terms {
        codecs: section
            .has("codecs")
            .then(|| names.iter().map(|name| Box::from(name.value)).collect()),
        other_media: section
            .choice("other", OTHERS, desk)
            .map_or_else(OtherMedia::default, |found| found.value),
        srtp: section
            .choice("srtp", SRTP, desk)
            .map_or_else(Srtp::default, |found| found.value),
        sources,
        ..agreed.terms
    };
    agreed
}

fn is_codec(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= 32 && name.bytes().all(is_plain)
}

/// Addresses under `key`, one of each family at most.
fn addresses(section: &Section<'_>, key: &'static str, desk: &mut Desk<'_>) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for text in section.list(key, desk) {
        let Ok(address) = text.value.parse::<IpAddr>() else {
            desk.fault(
                text.place,
                format!("`{}` is no address", text.value.escape_debug()),
                "addresses without ports, for example [\"192.0.2.10\", \"2001:db8::10\"]",
            );
            continue;
        };
        if key == "advertise" && address.is_unspecified() {
            unreachable_by_peers(text, desk);
        } else if found
            .iter()
            .any(|other| other.is_ipv4() == address.is_ipv4())
        {
            desk.fault(
                text.place,
                format!("{address} is a second address of its family"),
                "one for IPv4 and one for IPv6",
            );
        } else {
            found.push(address);
        }
    }
    found
}

fn unreachable_by_peers(text: Spot<&str>, desk: &mut Desk<'_>) {
    desk.fault(
        text.place,
        format!("peers cannot reach {}", text.value),
        "say under which address they reach this node",
    );
}

fn host_of(advertise: &str) -> Option<IpAddr> {
    let address: std::net::SocketAddr = advertise.parse().ok()?;
    Some(address.ip())
}

fn ports(section: &Section<'_>, shards: usize, desk: &mut Desk<'_>) -> Option<RangeInclusive<u16>> {
    let text = section.text("ports", desk)?;
    let range = text.value.split_once('-').and_then(|(first, last)| {
        let first: u16 = first.trim().parse().ok()?;
        let last: u16 = last.trim().parse().ok()?;
        (first >= 1024 && first < last).then_some(first..=last)
    });
    let Some(range) = range else {
        desk.fault(
            text.place,
            format!("`{}` is no range of ports", text.value.escape_debug()),
            "the first and the last one, from 1024 on: \"20000-29999\"",
        );
        return None;
    };
    let pairs = (usize::from(*range.end()) - usize::from(*range.start())).div_ceil(2);
    if pairs < shards * LEAST_PAIRS {
        desk.fault(
            text.place,
            format!("{pairs} pairs of ports are too few"),
            format!("{LEAST_PAIRS} pairs for each shard at least; a call takes two"),
        );
        return None;
    }
    Some(range)
}

/// Pairs of ports that a shard has at least.
const LEAST_PAIRS: usize = 8;
const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);
const PLANES: &[(&str, bool)] = &[("relay", true), ("direct", false)];
const SOURCES: &[(&str, bool)] = &[("announced", false), ("learned", true)];
const OTHERS: &[(&str, OtherMedia)] =
    &[("relay", OtherMedia::Relay), ("refuse", OtherMedia::Refuse)];
const SRTP: &[(&str, Srtp)] = &[
    ("refuse", Srtp::Refuse),
    ("allow", Srtp::Allow),
    ("require", Srtp::Require),
];
