//! `users` of a trunk: who may log in, by password or by HA1 (RFC 7616 §3.4.2); and `certificates`.

use std::net::IpAddr;

use crate::auth::digest::{Account, Algorithm};
use crate::config::desk::{Desk, Place};
use crate::config::keys;
use crate::config::raw::{Section, Spot};
use crate::config::value;
use crate::types::secret::Secret;

/// A user as read, before its realm is known.
pub(super) struct Login<'d> {
    pub(super) name: Spot<&'d str>,
    pub(super) proof: Proof,
}

/// What shows that a user is who it says.
pub(super) enum Proof {
    Password(Secret),
    Ha1 {
        md5: Option<Secret>,
        sha256: Option<Secret>,
        place: Place,
    },
}

impl Proof {
    /// The account in the realm `realm`.
    pub(super) fn account(&self, name: &str, realm: &str) -> Account {
        match self {
            Self::Password(password) => Account::from_password(name, realm, password),
            Self::Ha1 { md5, sha256, .. } => Account {
                md5: md5.clone(),
                sha256: sha256.clone(),
            },
        }
    }
}

/// Reads the users of a trunk.
pub(super) fn read<'d>(section: &Section<'d>, desk: &mut Desk<'_>) -> Vec<Login<'d>> {
    let mut logins: Vec<Login<'d>> = Vec::new();
    for user in section.sections("users", &keys::USER, desk) {
        let name = user.need("name", "carrier-1", desk);
        let proof = proof(&user, desk);
        let (Some(name), Some(proof)) = (name, proof) else {
            continue;
        };
        if !value::is_quotable(name.value) || name.value.contains(':') {
            desk.fault(
                name.place,
                "holds what a user name cannot",
                "text without colons and control characters",
            );
            continue;
        }
        if logins.iter().any(|other| other.name.value == name.value) {
            desk.fault(
                name.place,
                format!("user `{}` is named twice", name.value),
                "each user once",
            );
            continue;
        }
        logins.push(Login { name, proof });
    }
    logins
}

fn proof(user: &Section<'_>, desk: &mut Desk<'_>) -> Option<Proof> {
    let password = user.secret("password", desk);
    let ha1 = user.section("ha1", &keys::HA1, desk);
    match (user.has("password"), user.has("ha1")) {
        (true, false) => password.map(|password| Proof::Password(password.value)),
        (false, true) => {
            let ha1 = ha1?;
            let md5 = read_ha1(&ha1, "md5", Algorithm::Md5, desk);
            let sha256 = read_ha1(&ha1, "sha256", Algorithm::Sha256, desk);
            if !ha1.has("md5") && !ha1.has("sha256") {
                ha1.missing(
                    "sha256",
                    "`printf user:realm:password | sha256sum` makes one, `md5sum` the other",
                    desk,
                );
            }
            Some(Proof::Ha1 {
                md5,
                sha256,
                place: ha1.place,
            })
        }
        (true, true) => {
            desk.fault(
                user.place_of("ha1"),
                "stands beside `password`",
                "give one of the two",
            );
            None
        }
        (false, false) => {
            user.missing(
                "password",
                "give `password`, or ha1 = { md5 = \"...\", sha256 = \"...\" }",
                desk,
            );
            None
        }
    }
}

/// The HA1 under `key`; an empty one stands for one that is at fault, which is noted.
fn read_ha1(
    section: &Section<'_>,
    key: &'static str,
    algorithm: Algorithm,
    desk: &mut Desk<'_>,
) -> Option<Secret> {
    if !section.has(key) {
        return None;
    }
    let none = || Secret::new([]);
    let Some(written) = section.secret(key, desk) else {
        return Some(none());
    };
    let ha1 = algorithm.parse_ha1(written.value.expose());
    if ha1.is_none() {
        desk.fault(
            written.place,
            "is no HA1",
            format!(
                "{} hexadecimal digits: the {} of user:realm:password",
                algorithm.text_len(),
                algorithm.name()
            ),
        );
    }
    Some(ha1.unwrap_or_else(none))
}

/// Host names of a trunk's certificates, in lower case.
pub(super) fn certificates(section: &Section<'_>, desk: &mut Desk<'_>) -> Vec<Spot<Box<str>>> {
    let mut names = Vec::new();
    for text in section.list("certificates", desk) {
        match value::host(text.value).filter(|host| host.parse::<IpAddr>().is_err()) {
            Some(host) => names.push(Spot {
                value: host,
                place: text.place,
            }),
            None => desk.fault(
                text.place,
                format!("`{}` is no host name", text.value),
                "a name as it stands in the certificate (subjectAltName, DNS): \"sbc.carrier.example\"",
            ),
        }
    }
    names
}
