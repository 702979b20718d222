//! `[media]`, and `media` of trunks and buyers: where media is relayed, and what is agreed with whom.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::call::policy::{Media, Mouth};
use crate::config::desk::{Desk, Place};
use crate::config::keys;
use crate::config::listen::Listeners;
use crate::config::networks::Networks;
use crate::config::raw::{Section, Shape, Spot};
use crate::media::ng;
use crate::media::ng::ask::Rtpengine;
use crate::media::plan::{Patience, Sources};
use crate::media::ports::pairs;
use crate::media::session::{OtherMedia, Srtp, Terms};
use crate::routing::trunk::{MediaTerms, Plane};

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
    let rtpengine = rtpengines(&section, desk);
    let plane = section.choice("plane", RELAYS, desk);
    if plane.is_some_and(|plane| plane.value == Plane::Rtpengine) {
        if !section.has("rtpengine") {
            section.missing("rtpengine", ADD_RTPENGINE, desk);
        }
        for key in OF_THE_RELAY {
            if section.has(key) {
                desk.fault(
                    section.place_of(key),
                    "is about our own relay, and plane = \"rtpengine\" opens none",
                    "leave it out, or say plane = \"relay\" and send those to rtpengine who say so",
                );
            }
        }
        return Media {
            rtpengine,
            ..default
        };
    }
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
    let ports = ports(&section, shards, desk).unwrap_or(default.ports);
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
        shared_ports: shared_ports(&section, shards, &ports, desk),
        ports,
        shards,
        rest: section.duration("rest", default.rest, Duration::ZERO..=HOUR, desk),
        patience,
        keeps_digits: section.flag("digits", default.keeps_digits, desk),
        kernel: interfaces(&section, v4, desk),
        rtpengine,
    }
}

/// Reads at which interfaces the kernel forwards streams that come to `mouth`.
fn interfaces(section: &Section<'_>, mouth: Option<Mouth>, desk: &mut Desk<'_>) -> Vec<Box<str>> {
    let mut found: Vec<Box<str>> = Vec::new();
    let names = section.list("kernel", desk);
    if !names.is_empty() && mouth.is_none_or(|mouth| mouth.bind.is_unspecified()) {
        desk.fault(
            section.place_of("kernel"),
            "needs an address of IPv4 in `bind`, and not 0.0.0.0",
            "name the address that media comes to: the kernel knows streams by it",
        );
    }
    for name in names {
        let is_name = (1..=LONGEST_INTERFACE).contains(&name.value.len())
            && name
                .value
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'/');
        let is_new = !found.iter().any(|one| **one == *name.value);
        if is_name && is_new && found.len() < MOST_INTERFACES {
            found.push(name.value.into());
            continue;
        }
        desk.fault(
            name.place,
            format!("`{}` cannot be taken", name.value.escape_debug()),
            format!("up to {MOST_INTERFACES} network interfaces, as `ip link` names them: [\"eth0\", \"eth1\"]"),
        );
    }
    found
}

/// Reads which rtpengines there are, and how patient we are with them.
fn rtpengines(section: &Section<'_>, desk: &mut Desk<'_>) -> ng::ask::Terms {
    let usual = ng::ask::Terms::default();
    let tables = section.sections("rtpengine", &keys::RTPENGINE, desk);
    if section.has("rtpengine") && tables.is_empty() {
        section.missing_or_empty("rtpengine", ADD_RTPENGINE, desk);
    }
    if tables.len() > MOST_RTPENGINES {
        desk.fault(
            section.place_of("rtpengine"),
            format!("{} rtpengines are too many", tables.len()),
            format!("at most {MOST_RTPENGINES}"),
        );
    }
    let mut list: Vec<Rtpengine> = Vec::new();
    for table in &tables {
        let weight = table.integer("weight", 1, 1..=1000, desk);
        let Some(text) = table.need("address", RTPENGINE_ADDRESS, desk) else {
            continue;
        };
        let address = text.value.parse::<SocketAddr>().ok();
        match address.filter(|address| address.port() != 0 && !address.ip().is_unspecified()) {
            Some(address) if list.iter().any(|other| other.address == address) => desk.fault(
                text.place,
                format!("{address} stands here twice"),
                "each rtpengine once, with its weight",
            ),
            Some(address) => list.push(Rtpengine {
                address,
                weight: u32::try_from(weight).unwrap_or(1),
            }),
            None => desk.fault(
                text.place,
                format!("`{}` is no address with a port", text.value.escape_debug()),
                format!("where it listens for ng, as in {RTPENGINE_ADDRESS}"),
            ),
        }
    }
    ng::ask::Terms {
        rtpengines: list,
        timeout: section.duration("rtpengine_timeout", usual.timeout, TIMEOUTS, desk),
        ping: section.duration("rtpengine_ping", usual.ping, PINGS, desk),
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
        plane: match (media.is_open(), media.rtpengine.is_any()) {
            (true, _) => Plane::Relay,
            (false, true) => Plane::Rtpengine,
            (false, false) => Plane::Direct,
        },
        ..MediaTerms::default()
    };
    let Some(section) = section.section("media", shape, desk) else {
        return agreed;
    };
    if let Some(plane) = section.choice("plane", PLANES, desk) {
        agreed.plane = plane.value;
        match plane.value {
            Plane::Relay if !media.is_open() => desk.absent(
                plane.place,
                "has no relay",
                "add [media], with a port range that nothing else uses",
            ),
            Plane::Rtpengine if !media.rtpengine.is_any() => {
                desk.absent(plane.place, "has no rtpengine", ADD_RTPENGINE);
            }
            Plane::Direct | Plane::Relay | Plane::Rtpengine => {}
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
    let shared = section.choice("ports", PORTS, desk);
    let shared = shared.filter(|shared| shared.value);
    if let Some(shared) = shared {
        if media.shared_ports.is_none() {
            desk.absent(
                shared.place,
                "has no shared ports",
                "add shared_ports to [media], a few that nothing else uses: \"19000-19007\"",
            );
        }
        if is_learned.is_some_and(|found| found.value) {
            desk.fault(
                shared.place,
                "cannot be with sources = \"learned\": on a shared port a call is known by the address that it announces",
                "one of the two",
            );
        }
    }
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
        is_shared: shared.is_some() && media.shared_ports.is_some(),
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
    let address: SocketAddr = advertise.parse().ok()?;
    Some(address.ip())
}

fn ports(section: &Section<'_>, shards: usize, desk: &mut Desk<'_>) -> Option<RangeInclusive<u16>> {
    let (place, range) = range(section, "ports", desk)?;
    let pairs = pairs(range.clone()).count();
    if pairs < shards * LEAST_PAIRS {
        desk.fault(
            place,
            format!("{pairs} pairs of ports are too few"),
            format!("{LEAST_PAIRS} pairs for each shard at least; a call takes two"),
        );
        return None;
    }
    Some(range)
}

/// Ports that many calls share.
fn shared_ports(
    section: &Section<'_>,
    shards: usize,
    own: &RangeInclusive<u16>,
    desk: &mut Desk<'_>,
) -> Option<RangeInclusive<u16>> {
    let (place, range) = range(section, "shared_ports", desk)?;
    let count = pairs(range.clone()).count();
    if range.start() <= own.end() && own.start() <= range.end() {
        desk.fault(
            place,
            format!(
                "some of them are among `ports`, {}-{}",
                own.start(),
                own.end()
            ),
            "ports that no call has for itself",
        );
        return None;
    }
    if !(shards..=MOST_SHARED_PAIRS).contains(&count) {
        desk.fault(
            place,
            format!("{count} pairs of ports cannot be shared out"),
            format!("one pair for each shard at least, and {MOST_SHARED_PAIRS} at most"),
        );
        return None;
    }
    Some(range)
}

/// A range of ports.
fn range<'t>(
    section: &Section<'t>,
    key: &'static str,
    desk: &mut Desk<'_>,
) -> Option<(Place, RangeInclusive<u16>)> {
    let text = section.text(key, desk)?;
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
    Some((text.place, range))
}

/// Pairs of ports that a shard has at least.
const LEAST_PAIRS: usize = 8;
/// Pairs that are shared at most: each shard has its own, and a few of them are enough for any number of calls.
const MOST_SHARED_PAIRS: usize = 1024;
const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);
const PLANES: &[(&str, Plane)] = &[
    ("relay", Plane::Relay),
    ("rtpengine", Plane::Rtpengine),
    ("direct", Plane::Direct),
];
const RELAYS: &[(&str, Plane)] = &[("relay", Plane::Relay), ("rtpengine", Plane::Rtpengine)];
/// What only our own relay goes by.
const OF_THE_RELAY: [&str; 10] = [
    "bind",
    "advertise",
    "ports",
    "shared_ports",
    "rest",
    "start",
    "silence",
    "hold",
    "digits",
    "kernel",
];
const ADD_RTPENGINE: &str = "add [[media.rtpengine]], with its address";
const RTPENGINE_ADDRESS: &str = "\"192.0.2.20:2223\"";
/// A call is offered to one after another, so that many take as many timeouts.
const MOST_RTPENGINES: usize = 16;
/// Linux has no longer names.
const LONGEST_INTERFACE: usize = 15;
const MOST_INTERFACES: usize = 16;
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(5);
const PINGS: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(60);
const PORTS: &[(&str, bool)] = &[("own", false), ("shared", true)];
const SOURCES: &[(&str, bool)] = &[("announced", false), ("learned", true)];
const OTHERS: &[(&str, OtherMedia)] =
    &[("relay", OtherMedia::Relay), ("refuse", OtherMedia::Refuse)];
const SRTP: &[(&str, Srtp)] = &[
    ("refuse", Srtp::Refuse),
    ("allow", Srtp::Allow),
    ("require", Srtp::Require),
];
