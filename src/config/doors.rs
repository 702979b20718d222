//! The domains while trunks are put into them, and whether each trunk has a way in.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ipnet::IpNet;

use crate::auth::allowlist::Allowlist;
use crate::auth::digest::Algorithm;
use crate::call::policy::{DigestUri, Domain, Known, Require, TrunkId, User, Users};
use crate::config::desk::{Desk, Place};
use crate::config::networks::{self, Networks};
use crate::config::presets::Preset;
use crate::config::raw::{self, Section, Spot};
use crate::config::routes;
use crate::config::users::{self, Login, Proof};
use crate::config::value;
use crate::routing::trunk::Tickets;
use crate::sip::flow::PeerId;

/// The domains while trunks are put into them.
pub(super) struct Doors<'d> {
    networks: Networks<'d>,
    drafts: Vec<Draft>,
    /// Place in `drafts`, by name and alias.
    names: HashMap<Box<str>, usize>,
    /// Ids of the trunks so far, and where they stand.
    trunks: Vec<(&'d str, Place)>,
    /// All that any trunk lists.
    listed: Allowlist<Known>,
    /// Names that certificates are to show.
    peers: Vec<Arc<str>>,
}

/// The domains once all trunks are in.
pub(super) struct Closed {
    /// By name and alias.
    pub(super) domains: HashMap<Box<str>, Arc<Domain>>,
    /// The addresses that any trunk lists.
    pub(super) listed: Allowlist<Known>,
    /// The names that certificates are to show.
    pub(super) peers: Vec<Arc<str>>,
}

struct Draft {
    domain: Domain,
    /// What the domain requires; `None`: that is at fault, and `domain` holds the strictest.
    require: Option<Require>,
    name: Box<str>,
    place: Place,
    is_used: bool,
}

impl<'d> Doors<'d> {
    /// No domain yet; `networks` is what trunks may list by name.
    pub(super) fn new(networks: Networks<'d>) -> Self {
        Self {
            networks,
            drafts: Vec::new(),
            names: HashMap::new(),
            trunks: Vec::new(),
            listed: Allowlist::new(),
            peers: Vec::new(),
        }
    }

    /// Adds a domain, which lets nobody in yet.
    pub(super) fn add_domain(&mut self, section: &Section<'d>, desk: &mut Desk<'_>) {
        let name = section.need("name", "sip.example.com", desk);
        let realm = section.text("realm", desk);
        if let Some(realm) = realm
            && !value::is_quotable(realm.value)
        {
            desk.fault(
                realm.place,
                "is empty, or holds control characters",
                "text without control characters",
            );
        }
        let require = section.choice("require", REQUIRE, desk);
        if !section.has("require") {
            section.missing(
                "require",
                "\"ip\", \"digest\", \"ip+digest\" (both) or \"ip|digest\" (either)",
                desk,
            );
        }
        let digest_uri = section.choice("digest_uri", DIGEST_URI, desk);
        let domain = Domain {
            realm: realm
                .or(name)
                .map_or_else(Box::default, |realm| realm.value.into()),
            require: require.map_or(Require::Both, |found| found.value),
            algorithms: algorithms(section, desk),
            digest_uri: digest_uri.map_or_else(DigestUri::default, |found| found.value),
            allow: Allowlist::new(),
            users: Users::default(),
            peers: HashMap::new(),
        };
        let place = self.drafts.len();
        self.drafts.push(Draft {
            domain,
            require: require.map(|found| found.value),
            name: name.map_or_else(Box::default, |name| name.value.into()),
            place: section.place_of("name"),
            is_used: name.is_none(),
        });
        for name in name.into_iter().chain(section.list("aliases", desk)) {
            self.add_name(name, place, desk);
        }
    }

    fn add_name(&mut self, name: Spot<&str>, draft: usize, desk: &mut Desk<'_>) {
        let host = value::host(name.value);
        let (what, right) = match host {
            Some(host) if !self.names.contains_key(&host) => {
                self.names.insert(host, draft);
                return;
            }
            Some(host) => (
                format!("`{host}` names a domain twice"),
                "each name may stand once, as `name` or in `aliases`",
            ),
            None => (
                format!("`{}` is no host", name.value),
                "the host of the Request-URI without port: \"sip.example.com\" or \"192.0.2.1\"",
            ),
        };
        desk.fault(name.place, what, right);
        // Nobody can name it, so that nobody does is no fault of its own.
        if let Some(draft) = self.drafts.get_mut(draft) {
            draft.is_used = true;
        }
    }

    /// Lets a trunk into the domains that it names; returns its id.
    pub(super) fn add_trunk(
        &mut self,
        section: &Section<'d>,
        (preset, tickets): (Option<Preset>, Tickets),
        desk: &mut Desk<'_>,
    ) -> &'d str {
        let name = routes::id(section, "id", "carrier-1", desk);
        if let Some(name) = name {
            let first = self.trunks.iter().find(|(other, _)| *other == name.value);
            if let Some((_, first)) = first {
                routes::twice(name, *first, desk);
            }
        }
        let id = TrunkId(u32::try_from(self.trunks.len()).unwrap_or(u32::MAX));
        let place = section.place_of("id");
        let name = name.map_or("", |name| name.value);
        self.trunks.push((name, place));

        let (nets, twilio) = self.nets(section, preset, desk);
        for net in &nets {
            let known = Known::Trunk(id);
            if let Some(first) = self.listed.insert(net.value, known) {
                self.listed.insert(net.value, first);
            }
        }
        let has_nets = section.is_filled("allow") || !nets.is_empty();
        let users = users::read(section, desk);
        let certificates = users::certificates(section, desk);
        let drafts = self.domains_of(section, desk);
        for (draft, place) in &drafts {
            self.admit_addresses(*draft, id, &nets, desk);
            self.admit_users(*draft, id, &users, desk);
            self.admit_certificates(*draft, id, &certificates, desk);
            self.has_a_way_in(*draft, section, (*place, has_nets), desk);
            if let Some(entry) = twilio
                && tickets != Tickets::Required
            {
                self.is_not_open_to_twilio(*draft, entry, section, desk);
            }
        }
        self.ha1s_fit(&drafts, &users, desk);
        name
    }

    /// The domains that a trunk names, each with where it does.
    fn domains_of(&mut self, section: &Section<'_>, desk: &mut Desk<'_>) -> Vec<(usize, Place)> {
        let names = section.list("domains", desk);
        if names.is_empty() {
            section.missing_or_empty(
                "domains",
                "for example domains = [\"sip.example.com\"]",
                desk,
            );
        }
        let mut found = Vec::new();
        for name in names {
            let host = value::host(name.value).unwrap_or_default();
            let Some(draft) = self.names.get(&host).copied() else {
                let known = self.names.keys().map(|name| &**name);
                routes::unknown("domain", name, known, desk);
                continue;
            };
            if found.iter().any(|(other, _)| *other == draft) {
                desk.fault(
                    name.place,
                    format!("`{}` is named twice", name.value),
                    "an alias stands for the domain itself",
                );
                continue;
            }
            if let Some(draft) = self.drafts.get_mut(draft) {
                draft.is_used = true;
            }
            found.push((draft, name.place));
        }
        found
    }

    fn admit_addresses(
        &mut self,
        draft: usize,
        id: TrunkId,
        nets: &[Spot<IpNet>],
        desk: &mut Desk<'_>,
    ) {
        let Some(draft) = self.drafts.get_mut(draft) else {
            return;
        };
        if !asks_address(draft.domain.require) {
            return;
        }
        for net in nets {
            let Some(other) = draft.domain.allow.insert(net.value, id) else {
                continue;
            };
            let other = self.trunks.get(other.0 as usize);
            desk.fault(
                net.place,
                format!(
                    "{} is trunk `{}`'s in domain `{}` already",
                    net.value,
                    other.map_or("", |(name, _)| name),
                    draft.name
                ),
                "a prefix leads to one trunk; a longer one may lie inside it",
            );
        }
    }

    fn admit_users(&mut self, draft: usize, id: TrunkId, users: &[Login<'d>], desk: &mut Desk<'_>) {
        let Some(draft) = self.drafts.get_mut(draft) else {
            return;
        };
        let domain = &mut draft.domain;
        if !asks_digest(domain.require) {
            return;
        }
        for login in users {
            let user = User {
                name: login.name.value.into(),
                trunk: id,
                account: login.proof.account(login.name.value, &domain.realm),
            };
            if !domain.users.insert(user) {
                desk.fault(
                    login.name.place,
                    format!(
                        "user `{}` is in domain `{}` twice",
                        login.name.value, draft.name
                    ),
                    "a user belongs to one trunk",
                );
            }
        }
    }

    fn admit_certificates(
        &mut self,
        draft: usize,
        id: TrunkId,
        names: &[Spot<Box<str>>],
        desk: &mut Desk<'_>,
    ) {
        let Some(draft) = self.drafts.get_mut(draft) else {
            return;
        };
        if draft.domain.require != Require::Certificate {
            return;
        }
        for name in names {
            let peer = PeerId::of(&name.value);
            if draft.domain.peers.insert(peer, id).is_some() {
                desk.fault(
                    name.place,
                    format!("`{}` is in domain `{}` twice", name.value, draft.name),
                    "a certificate leads to one trunk",
                );
            }
            self.peers.push(Arc::from(&*name.value));
        }
    }

    fn has_a_way_in(
        &self,
        draft: usize,
        trunk: &Section<'_>,
        (place, has_nets): (Place, bool),
        desk: &mut Desk<'_>,
    ) {
        let Some(draft) = self.drafts.get(draft) else {
            return;
        };
        let Some(require) = draft.require else {
            return;
        };
        let has_users = trunk.is_filled("users");
        let has_certificates = trunk.is_filled("certificates");
        let (is_missing, right) = match require {
            Require::Ip => (!has_nets, "`allow`"),
            Require::Digest => (!has_users, "`users`"),
            Require::Both => (!(has_nets && has_users), "both `allow` and `users`"),
            Require::Either => (!(has_nets || has_users), "`allow` or `users`"),
            Require::Certificate => (!has_certificates, "`certificates`"),
        };
        if is_missing {
            desk.absent(
                place,
                format!("domain `{}` never lets this trunk in", draft.name),
                format!("it requires the trunk to have {right}"),
            );
        }
    }

    /// All prefixes that a trunk lists, each with where it does; and where it lists Twilio's.
    fn nets(
        &self,
        section: &Section<'_>,
        preset: Option<Preset>,
        desk: &mut Desk<'_>,
    ) -> (Vec<Spot<IpNet>>, Option<Place>) {
        let (mut nets, mut twilio) = (Vec::new(), None);
        let known = preset.and_then(|preset| preset.allow(section));
        for entry in section.list("allow", desk).into_iter().chain(known) {
            let place = entry.place;
            if entry.value == networks::TWILIO {
                twilio = Some(place);
            }
            let found = self.networks.resolve(entry, desk);
            nets.extend(found.into_iter().map(|value| Spot { value, place }));
        }
        (nets, twilio)
    }

    /// Twilio's addresses are those of all its customers, so they let nobody in by themselves.
    fn is_not_open_to_twilio(
        &self,
        draft: usize,
        entry: Place,
        section: &Section<'_>,
        desk: &mut Desk<'_>,
    ) {
        let require = self.drafts.get(draft).and_then(|draft| draft.require);
        let takes_address = matches!(require, Some(Require::Ip | Require::Either));
        if takes_address && !section.is_filled("twilio_accounts") {
            desk.fault(
                entry,
                "lets all customers of Twilio's in, for they share these addresses",
                "name yours: twilio_accounts = [\"AC...\"], set tickets = \"required\", or use a domain that requires digest",
            );
        }
    }

    /// An HA1 holds for one realm, and for the algorithm it was made with.
    fn ha1s_fit(&self, drafts: &[(usize, Place)], users: &[Login<'_>], desk: &mut Desk<'_>) {
        let domains: Vec<&Domain> = drafts
            .iter()
            .filter_map(|(draft, _)| self.drafts.get(*draft))
            .map(|draft| &draft.domain)
            .filter(|domain| asks_digest(domain.require))
            .collect();
        let realms: BTreeSet<&str> = domains.iter().map(|domain| &*domain.realm).collect();
        let offers = |algorithm| {
            domains
                .iter()
                .any(|domain| domain.algorithms.contains(&algorithm))
        };
        for login in users {
            let Proof::Ha1 { md5, sha256, place } = &login.proof else {
                continue;
            };
            if realms.len() > 1 {
                desk.fault(
                    *place,
                    "holds for one realm, but the trunk's domains have several",
                    "give `password`, or the domains one `realm`",
                );
            }
            let lacks = [
                ("md5", "MD5", md5, Algorithm::Md5),
                ("sha256", "SHA-256", sha256, Algorithm::Sha256),
            ];
            for (key, name, ha1, algorithm) in lacks {
                if ha1.is_none() && offers(algorithm) {
                    desk.absent(
                        *place,
                        format!("lacks `{key}`, but the trunk's domain offers {name}"),
                        "give an HA1 for each of the domain's `algorithms`",
                    );
                }
            }
        }
    }

    /// The domains as they are once all trunks are in.
    pub(super) fn close(self, desk: &mut Desk<'_>) -> Closed {
        let mut domains = Vec::new();
        for draft in self.drafts {
            if !draft.is_used {
                desk.absent(
                    draft.place,
                    format!("no trunk is in domain `{}`", draft.name),
                    "name it in the `domains` of a [[trunk]]",
                );
            }
            domains.push(Arc::new(draft.domain));
        }
        let by_name = self
            .names
            .into_iter()
            .filter_map(|(name, place)| Some((name, Arc::clone(domains.get(place)?))))
            .collect();
        Closed {
            domains: by_name,
            listed: self.listed,
            peers: self.peers,
        }
    }
}

fn asks_address(require: Require) -> bool {
    match require {
        Require::Ip | Require::Both | Require::Either => true,
        Require::Digest | Require::Certificate => false,
    }
}

fn asks_digest(require: Require) -> bool {
    match require {
        Require::Digest | Require::Both | Require::Either => true,
        Require::Ip | Require::Certificate => false,
    }
}

fn algorithms(section: &Section<'_>, desk: &mut Desk<'_>) -> Vec<Algorithm> {
    let mut found = Vec::new();
    for word in section.list("algorithms", desk) {
        let Some(algorithm) = raw::choose(word, ALGORITHMS, desk) else {
            continue;
        };
        if found.contains(&algorithm.value) {
            desk.fault(
                word.place,
                "is named twice",
                "each algorithm once, the preferred one first",
            );
            continue;
        }
        found.push(algorithm.value);
    }
    if found.is_empty() {
        found.extend([Algorithm::Sha256, Algorithm::Md5]);
    }
    found
}

const REQUIRE: &[(&str, Require)] = &[
    ("ip", Require::Ip),
    ("digest", Require::Digest),
    ("ip+digest", Require::Both),
    ("ip|digest", Require::Either),
    ("mtls", Require::Certificate),
];

const DIGEST_URI: &[(&str, DigestUri)] = &[("exact", DigestUri::Exact), ("host", DigestUri::Host)];

const ALGORITHMS: &[(&str, Algorithm)] = &[("SHA-256", Algorithm::Sha256), ("MD5", Algorithm::Md5)];
