//! `[[buyer_group]]`: buyers that share limits, or are called at once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::buyers::Buyers;
use crate::config::carriers;
use crate::config::desk::{Desk, Place};
use crate::config::keys;
use crate::config::raw::{Section, Spot};
use crate::config::routes::{self, Companies};
use crate::config::terms;
use crate::routing::rules::Group;
use crate::routing::trunk::CompanyId;
use crate::routing::zone::Zones;

/// The groups, by id.
pub(super) struct Groups<'d> {
    list: HashMap<&'d str, Listed<'d>>,
}

struct Listed<'d> {
    group: Arc<Group>,
    company: Option<CompanyId>,
    members: Vec<Spot<&'d str>>,
    /// How its members are called at once; `None`: they are called one by one, each by its own priority.
    together: Option<Dial>,
    place: Place,
}

/// How a group stands among buyers, whose members are called at once.
#[derive(Clone, Copy)]
pub(super) struct Dial {
    pub(super) priority: i32,
    pub(super) weight: Option<u32>,
}

impl<'d> Groups<'d> {
    /// Reads the groups out of all files. That their members exist is looked at when the buyers are known.
    pub(super) fn read(
        roots: &[Section<'d>],
        companies: &Companies<'_>,
        zones: &mut Zones,
        desk: &mut Desk<'_>,
    ) -> Self {
        let mut list: HashMap<_, Listed<'_>> = HashMap::new();
        for section in routes::all(roots, "buyer_group", &keys::BUYER_GROUP, desk) {
            section.label("name", desk);
            let company = companies.find(&section, desk);
            let zone = terms::zone(&section, zones, desk);
            let caps = carriers::caps(&section, desk);
            let quota = terms::quota(&section, &zone, terms::BUYER_GROUP_CAPS, desk);
            let members = section.list("members", desk);
            if members.is_empty() {
                section.missing_or_empty(
                    "members",
                    "for example members = [\"first\", \"second\"]",
                    desk,
                );
            }
            let together = dial(&section, desk);
            let Some(id) = routes::id(&section, "id", "pool", desk) else {
                continue;
            };
            let group = Group {
                id: id.value.into(),
                caps,
                quota,
            };
            let listed = Listed {
                group: Arc::new(group),
                company,
                members,
                together,
                place: id.place,
            };
            if let Some(first) = list.insert(id.value, listed) {
                routes::twice(id, first.place, desk);
            }
        }
        Self { list }
    }

    /// The groups with a limit of each buyer, by the buyer's id.
    pub(super) fn by_member(&self) -> HashMap<&'d str, Vec<Arc<Group>>> {
        let mut groups: HashMap<&str, Vec<Arc<Group>>> = HashMap::new();
        let limited =
            |listed: &&Listed<'_>| listed.group.caps.is_limited() || listed.group.quota.is_some();
        for listed in self.list.values().filter(limited) {
            for member in &listed.members {
                let of_member = groups.entry(member.value).or_default();
                of_member.push(Arc::clone(&listed.group));
            }
        }
        for of_member in groups.values_mut() {
            // Whatever order the map has: the same configuration is the same decision.
            of_member.sort_by(|a, b| a.id.cmp(&b.id));
            of_member.dedup_by(|a, b| a.id == b.id);
        }
        groups
    }

    /// Looks whether all members are buyers of the group's company.
    pub(super) fn check(&self, buyers: &Buyers<'_>, desk: &mut Desk<'_>) {
        for listed in self.list.values() {
            for member in &listed.members {
                let Some(buyer) = buyers.get(member.value) else {
                    routes::unknown("buyer", *member, buyers.keys().copied(), desk);
                    continue;
                };
                let companies = buyer.company.zip(listed.company);
                if companies.is_some_and(|(one, other)| one != other) {
                    desk.fault(
                        member.place,
                        format!("buyer `{}` is another company's", member.value),
                        "a group and its buyers belong to one company",
                    );
                }
            }
        }
    }

    /// The members of the group that is named, and how they are called at once, if they are; none if there is no such
    /// group, which is noted.
    pub(super) fn members(
        &self,
        name: Spot<&str>,
        desk: &mut Desk<'_>,
    ) -> (&[Spot<&'d str>], Option<Dial>) {
        match self.list.get(name.value) {
            Some(listed) => (&listed.members, listed.together),
            None => {
                routes::unknown("buyer_group", name, self.list.keys().copied(), desk);
                (&[], None)
            }
        }
    }
}

fn dial(section: &Section<'_>, desk: &mut Desk<'_>) -> Option<Dial> {
    let priority = section.integer("priority", 1, -1_000_000..=1_000_000, desk);
    let weight = section.count("weight", 1, 1..=1_000_000, desk);
    let weight = section.has("weight").then(|| u32::try_from(weight).ok());
    let dial = section.choice("dial", DIAL, desk);
    if dial.is_none_or(|dial| !dial.value) {
        for key in ["priority", "weight"] {
            if section.has(key) {
                desk.fault(
                    section.place_of(key),
                    "is the members' own matter",
                    "a group has a priority and a weight if dial = \"together\"",
                );
            }
        }
        return None;
    }
    Some(Dial {
        priority: i32::try_from(priority).unwrap_or(1),
        weight: weight.flatten(),
    })
}

/// Whether the members are called at once.
const DIAL: &[(&str, bool)] = &[("separate", false), ("together", true)];
