//! `[tls]`: who we are, and whom we believe.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::config::desk::{Desk, Place};
use crate::config::keys;
use crate::config::raw::{Section, Spot};

/// Certificates and keys, checked as far as that can be done without a clock.
#[derive(Clone)]
pub struct Tls {
    /// What we show, as a server and as a client.
    pub identity: Arc<CertifiedKey>,
    /// Who may sign the certificates of those that connect to us; `None`: none is asked for.
    pub client_ca: Option<Arc<RootCertStore>>,
    /// Whether a connection without such a certificate is refused.
    pub needs_client: bool,
    /// Who may sign buyers' certificates; `None`: whom the system trusts.
    pub ca: Option<Arc<RootCertStore>>,
}

/// Reads the section, if it is there.
pub(super) fn read(root: &Section<'_>, desk: &mut Desk<'_>) -> Option<Tls> {
    let section = root.section("tls", &keys::TLS, desk)?;
    let certificate = section.need("certificate", "tls/fullchain.pem", desk);
    let key = section.need("key", "tls/privkey.pem", desk);
    let client_ca = roots(&section, "client_ca", desk);
    let ca = roots(&section, "ca", desk);
    let needs_client = section
        .choice("client_certificate", CLIENT, desk)
        .is_some_and(|found| found.value);
    if section.has("client_certificate") && !section.has("client_ca") {
        section.missing("client_ca", "`client_certificate` needs it", desk);
    }
    let identity = identity(certificate, key, desk)?;
    Some(Tls {
        identity: Arc::new(identity),
        client_ca,
        needs_client,
        ca,
    })
}

/// The certificate and the key that belongs to it.
fn identity(
    certificate: Option<Spot<&str>>,
    key: Option<Spot<&str>>,
    desk: &mut Desk<'_>,
) -> Option<CertifiedKey> {
    let chain = certificate.and_then(|path| certificates(path, desk));
    let key = key.and_then(|path| Some((private_key(path, desk)?, path.place)));
    let (chain, (key, place)) = (chain?, key?);
    match CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()) {
        Ok(identity) => Some(identity),
        Err(error) => {
            desk.fault(
                place,
                format!("does not go with `certificate`: {error}"),
                "the private key of the first certificate in that file",
            );
            None
        }
    }
}

fn private_key(path: Spot<&str>, desk: &mut Desk<'_>) -> Option<PrivateKeyDer<'static>> {
    let text = desk.secret_from_file(path)?;
    match PrivateKeyDer::from_pem_slice(text.expose()) {
        Ok(key) => Some(key),
        Err(error) => {
            desk.fault(
                path.place,
                format!("holds no private key: {error}"),
                "a file in PEM form that has one key without a passphrase",
            );
            None
        }
    }
}

/// The certificates in a file, one at least.
fn certificates(path: Spot<&str>, desk: &mut Desk<'_>) -> Option<Vec<CertificateDer<'static>>> {
    let text = {
        let file = desk.resolve(path.value);
        desk.text_of(&file, path.place)?
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let what = match found {
        Ok(found) if !found.is_empty() => return Some(found),
        Ok(_) => "holds no certificate".to_owned(),
        Err(error) => format!("holds no certificate: {error}"),
    };
    desk.fault(path.place, what, "a file in PEM form");
    None
}

/// The authorities in the file that `key` names.
pub(super) fn roots(
    section: &Section<'_>,
    key: &'static str,
    desk: &mut Desk<'_>,
) -> Option<Arc<RootCertStore>> {
    let path = section.text(key, desk)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, desk)? {
        if let Err(error) = roots.add(certificate) {
            fault_of_root(path.place, &error, desk);
        }
    }
    Some(Arc::new(roots))
}

fn fault_of_root(place: Place, error: &rustls::Error, desk: &mut Desk<'_>) {
    desk.fault(
        place,
        format!("holds a certificate that can sign nothing: {error}"),
        "certificates of authorities",
    );
}

const CLIENT: &[(&str, bool)] = &[("ask", false), ("require", true)];
