//! `[[buyer]]`: who may get the call, where, and how it is told.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::call::policy::Media;
use crate::config::carriers;
use crate::config::desk::{Desk, Place};
use crate::config::gateways;
use crate::config::headers;
use crate::config::keys;
use crate::config::listen::Listeners;
use crate::config::media;
use crate::config::networks::Networks;
use crate::config::raw::Section;
use crate::config::routes::{self, Companies};
use crate::config::terms::{self, Shared};
use crate::config::value;
use crate::routing::buyer::{Buyer, Gateway, Login, XPhProfile};
use crate::routing::rules::Rules;
use crate::routing::trunk::CompanyId;

/// The buyers, by id.
pub(super) type Buyers<'d> = HashMap<&'d str, Listed>;

/// One buyer; without what could not be read.
pub(super) struct Listed {
    pub(super) company: Option<CompanyId>,
    pub(super) buyer: Option<Arc<Buyer>>,
    place: Place,
}

/// Reads the buyers out of all files.
pub(super) fn read<'d>(
    roots: &[Section<'d>],
    companies: &Companies<'_>,
    scene: (&Listeners, &Media, &Networks<'_>),
    shared: &mut Shared<'_, 'd>,
    desk: &mut Desk<'_>,
) -> Buyers<'d> {
    let mut buyers = Buyers::new();
    for section in routes::all(roots, "buyer", &keys::BUYER, desk) {
        let id = routes::id(&section, "id", "first", desk);
        let company = companies.find(&section, desk);
        let name = id.map_or("", |id| id.value);
        let rules = terms::rules(name, &section, shared, desk);
        let buyer = read_one((name, rules), &section, scene, desk);
        let Some(id) = id else {
            continue;
        };
        let listed = Listed {
            company,
            buyer: buyer.map(Arc::new),
            place: id.place,
        };
        if let Some(first) = buyers.insert(id.value, listed) {
            routes::twice(id, first.place, desk);
        }
    }
    buyers
}

fn read_one(
    (id, rules): (&str, Rules),
    section: &Section<'_>,
    (listeners, media, networks): (&Listeners, &Media, &Networks<'_>),
    desk: &mut Desk<'_>,
) -> Option<Buyer> {
    let gateways = gateways::read(section, listeners, desk);
    let login = login(section, gateways.as_deref(), desk);
    let priority = section.integer("priority", 1, -1_000_000..=1_000_000, desk);
    let weight = section.count("weight", 1, 1..=1_000_000, desk);
    let weight = section.has("weight").then(|| u32::try_from(weight).ok());
    let ring = section.duration("ring_timeout", Buyer::RING_TIMEOUT, SECOND..=HOUR, desk);
    let response = section.duration(
        "response_timeout",
        Buyer::RESPONSE_TIMEOUT,
        RESPONSE_LEAST..=RESPONSE_MOST,
        desk,
    );
    let every = section.duration("probe", PROBE_LEAST, PROBE_LEAST..=HOUR, desk);
    let probe = section.has("probe").then_some(every);
    let profile = section.choice("x_ph_profile", PROFILES, desk);
    let reliable = section.choice("reliable", RELIABLE, desk);
    let refer = routes::refer(section, desk);
    let headers = headers::rules(section, &keys::BUYER_HEADERS, desk);
    let is_trusted = headers::is_trusted(section, desk);
    Some(Buyer {
        id: id.into(),
        gateways: gateways?,
        priority: i32::try_from(priority).unwrap_or(1),
        weight: weight.flatten(),
        rules,
        ring_timeout: ring,
        response_timeout: response,
        caps: carriers::caps(section, desk),
        probe,
        login,
        offers_reliable: reliable.is_none_or(|found| found.value),
        refer,
        x_ph_profile: profile.map_or_else(XPhProfile::default, |found| found.value),
        headers,
        is_trusted,
        media: media::terms(section, &keys::BUYER_MEDIA, (media, networks), desk),
    })
}

/// `gateways`: those that could be read, if all could.
fn login(
    section: &Section<'_>,
    gateways: Option<&[Arc<Gateway>]>,
    desk: &mut Desk<'_>,
) -> Option<Login> {
    let username = section.text("username", desk);
    let password = section.secret("password", desk);
    let realm = section.text("realm", desk);
    for text in username.iter().chain(&realm) {
        if !value::is_quotable(text.value) {
            desk.fault(
                text.place,
                "is empty, or holds control characters",
                "text without control characters",
            );
        }
    }
    let is_shared = section.flag("share_login", false, desk);
    let present = (section.has("username"), section.has("password"));
    match present {
        (true, false) => section.missing("password", "`username` needs it", desk),
        (false, true) => section.missing("username", "`password` needs it", desk),
        (false, false) if section.has("share_login") => {
            section.missing(
                "username",
                "`share_login` is of no use without a login",
                desk,
            );
        }
        (false, false) if section.has("realm") => {
            section.missing("username", "`realm` is of no use without a login", desk);
        }
        (true, true) | (false, false) => {}
    }
    let gateways = gateways.unwrap_or_default().iter();
    let mut hosts = gateways
        .filter(|one| one.phone.is_none())
        .map(|one| &*one.host);
    let host = hosts.next().unwrap_or_default();
    if present == (true, true) && !section.has("realm") && hosts.any(|other| other != host) {
        section.missing(
            "realm",
            "say which realm is answered, for the gateways' hosts differ",
            desk,
        );
    }
    Some(Login {
        username: username?.value.into(),
        password: password?.value,
        realm: realm.map_or(host, |realm| realm.value).into(),
        is_shared,
    })
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const PROBE_LEAST: Duration = Duration::from_secs(5);
const RESPONSE_LEAST: Duration = Duration::from_millis(100);
/// 64·T1: the transaction gives up by then.
const RESPONSE_MOST: Duration = Duration::from_secs(32);

/// Whether 100rel is offered.
const RELIABLE: &[(&str, bool)] = &[("supported", true), ("never", false)];
const PROFILES: &[(&str, XPhProfile)] = &[("raw", XPhProfile::Raw), ("plivo", XPhProfile::Plivo)];
