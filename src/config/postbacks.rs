//! `[[postback_key]]`: who may say something of calls and callers, of which, and what.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::campaigns::Campaigns;
use crate::config::desk::{Desk, Place};
use crate::config::keys;
use crate::config::raw::{self, Section};
use crate::config::routes::{self, Companies};
use crate::hooks::keys::{Grants, Pass, PostKey, PostKeys};
use crate::routing::trunk::CompanyId;
use crate::types::secret::Secret;

/// Whether anybody hears what others say of calls.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hearing {
    /// There is a way for it.
    pub(super) is_there: bool,
    /// Calls are known once they are over: there is a data directory.
    pub(super) is_kept: bool,
}

/// Reads the keys out of all files.
pub(super) fn read(
    roots: &[Section<'_>],
    companies: &Companies<'_>,
    campaigns: &Campaigns<'_>,
    desk: &mut Desk<'_>,
) -> PostKeys {
    let mut keys: Vec<PostKey> = Vec::new();
    let mut ids: HashMap<&str, Place> = HashMap::new();
    for section in routes::all(roots, "postback_key", &keys::POSTBACK_KEY, desk) {
        let id = routes::id(&section, "id", "crm", desk);
        if let Some(id) = id
            && let Some(first) = ids.insert(id.value, id.place)
        {
            routes::twice(id, first, desk);
        }
        let company = companies.find(&section, desk);
        let campaigns = of_campaigns(&section, company, campaigns, desk);
        let grants = grants(&section, desk);
        let secret = secret(&section, &keys, desk);
        let rate = section.count("rate", 100, 1..=10_000, desk);
        let keep = section.duration("keep", DAY, SECOND..=MONTH, desk);
        let company = company.and_then(|company| companies.name_of(company));
        let (Some(id), Some(company), Some(secret)) = (id, company, secret) else {
            continue;
        };
        keys.push(PostKey {
            id: id.value.into(),
            secret,
            pass: Pass {
                company,
                campaigns,
                grants,
            },
            rate: u32::try_from(rate).unwrap_or(u32::MAX),
            keep,
        });
    }
    PostKeys::new(keys)
}

fn of_campaigns(
    section: &Section<'_>,
    company: Option<CompanyId>,
    campaigns: &Campaigns<'_>,
    desk: &mut Desk<'_>,
) -> Arc<[Arc<str>]> {
    let mut names: Vec<Arc<str>> = Vec::new();
    for name in section.list("campaigns", desk) {
        let Some((_, owner)) = campaigns.find(name, desk) else {
            continue;
        };
        if owner.zip(company).is_some_and(|(one, other)| one != other) {
            desk.fault(
                name.place,
                format!("campaign `{}` is another company's", name.value),
                "a key is for the calls of one company",
            );
        }
        names.push(name.value.into());
    }
    if section.has("campaigns") && !section.is_filled("campaigns") {
        section.missing_or_empty(
            "campaigns",
            "leave it out for all campaigns of the company",
            desk,
        );
    }
    names.into()
}

fn grants(section: &Section<'_>, desk: &mut Desk<'_>) -> Grants {
    if !section.has("may") {
        return Grants::ALL;
    }
    let mut grants = Grants {
        tags: false,
        conversion: false,
    };
    let words = section.list("may", desk);
    if words.is_empty() {
        section.missing_or_empty("may", "may = [\"tags\", \"conversion\"]", desk);
    }
    for word in words {
        match raw::choose(word, GRANTS, desk).map(|found| found.value) {
            Some(Grant::Tags) => grants.tags = true,
            Some(Grant::Conversion) => grants.conversion = true,
            None => {}
        }
    }
    grants
}

fn secret(section: &Section<'_>, others: &[PostKey], desk: &mut Desk<'_>) -> Option<Secret> {
    if !section.has("secret") {
        section.missing("secret", LONG, desk);
    }
    let secret = section.secret("secret", desk)?;
    let bytes = secret.value.expose();
    if bytes.len() < 16 {
        desk.fault(secret.place, "is too short", LONG);
    } else if !bytes.iter().all(u8::is_ascii_graphic) {
        desk.fault(secret.place, "holds what a URL cannot carry", LONG);
    } else if others.iter().any(|other| other.secret.is_equal(bytes)) {
        desk.fault(
            secret.place,
            "is another key's, too",
            "each key needs its own",
        );
    }
    Some(secret.value)
}

#[derive(Clone, Copy)]
enum Grant {
    Tags,
    Conversion,
}

const GRANTS: &[(&str, Grant)] = &[("tags", Grant::Tags), ("conversion", Grant::Conversion)];
const LONG: &str =
    "at least 16 letters, digits and signs; `openssl rand -hex 32` writes a good one";
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MONTH: Duration = Duration::from_secs(31 * 24 * 3600);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Texts};

    #[test]
    fn keys_are_read_with_what_they_are_good_for() {
        let policy = read(
            "[[postback_key]]\nid = \"crm\"\ncompany = \"acme\"\nsecret = \"0123456789abcdef\"\n\
             [[postback_key]]\nid = \"buyer\"\ncompany = \"acme\"\nsecret = \"fedcba9876543210\"\n\
             campaigns = [\"solar\"]\nmay = [\"conversion\"]\nrate = 5\nkeep = \"2h\"\n",
        )
        .expect("no fault");

        let keys = policy.hooks.keys();
        let crm = keys.find(b"0123456789abcdef").expect("a key");
        assert!(crm.pass.reaches("acme", "anything"));
        assert_eq!(
            (crm.pass.grants, crm.rate, crm.keep),
            (Grants::ALL, 100, DAY)
        );
        let buyer = keys.find(b"fedcba9876543210").expect("a key");
        assert!(!buyer.pass.reaches("acme", "roofs"));
        assert!(!buyer.pass.grants.tags && buyer.pass.grants.conversion);
        assert_eq!((buyer.rate, buyer.keep), (5, Duration::from_secs(7200)));
    }

    #[test]
    fn every_fault_is_told_and_no_secret() {
        let faults = read(
            "[[postback_key]]\nid = \"a\"\ncompany = \"acme\"\nsecret = \"canary\"\nmay = [\"tag\"]\n\
             [[postback_key]]\nid = \"a\"\ncompany = \"nobody\"\nsecret = \"canary-0123456789\"\nmay = []\n\
             [[postback_key]]\nid = \"b\"\ncompany = \"acme\"\ncampaigns = [\"moon\"]\n\
             [[postback_key]]\nid = \"c\"\ncompany = \"acme\"\ncampaigns = []\nsecret = \"canary canary canary\"\n\
             [[postback_key]]\nid = \"d\"\ncompany = \"acme\"\nsecret = \"canary-9876543210\"\n\
             [[postback_key]]\nid = \"e\"\ncompany = \"acme\"\nsecret = \"canary-9876543210\"\nrate = 0\n",
        )
        .err()
        .expect("faults");

        for fault in [
            "postback_key.secret: is too short",
            "postback_key.may: `tag` is not known",
            "postback_key.id: `a` is taken",
            "postback_key.company: there is no company `nobody`",
            "postback_key.may: is empty",
            "postback_key.campaigns: there is no campaign `moon`",
            "postback_key.secret: is missing",
            "postback_key.campaigns: is empty",
            "postback_key.secret: holds what a URL cannot carry",
            "postback_key.secret: is another key's, too",
            "postback_key.rate: ",
        ] {
            assert!(faults.contains(fault), "{fault}: {faults}");
        }
        assert_eq!(faults.lines().count(), 11, "{faults}");
        assert!(!faults.contains("canary"), "{faults}");
    }

    fn read(text: &str) -> Result<crate::call::policy::Policy, String> {
        let text = include_str!("../../conf/minimal.toml").to_owned() + text;
        let source = Texts::of("strowger.toml", text);
        let settings = config::load(Path::new("strowger.toml"), &source, 1);
        settings
            .map(|settings| settings.policy)
            .map_err(|faults| faults.to_string())
    }
}
