//! TLS for SIP (RFC 3261 §26.3, RFC 5922): who we are, whom we believe, and who a peer proves to be.
//!
//! A peer that we connect to must show a certificate for the name in the buyer's URI, and a peer that
//! connects to us is the trunk whose name its certificate carries. In both cases the name is part of
//! the flow: a connection to one name never stands in for one to another.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tracing::warn;
use webpki::EndEntityCert;

use crate::config::tls::Tls as Settings;
use crate::sip::flow::PeerId;

/// Both sides of TLS as configured.
pub struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    /// Names that peers are to prove, by their ids.
    names: HashMap<PeerId, Arc<str>>,
}

/// Why TLS was not agreed on.
#[derive(Debug, Error)]
pub enum Untrusted {
    /// A certificate is out of its time.
    #[error("the peer's certificate is expired or not valid yet")]
    Expired,
    /// No authority that we believe has signed it.
    #[error("the peer's certificate is signed by nobody we believe")]
    UnknownIssuer,
    /// The certificate is for another name.
    #[error("the peer's certificate is for another name")]
    WrongName,
    /// A certificate is needed, and none was shown.
    #[error("the peer shows no certificate")]
    NoCertificate,
    /// It was revoked.
    #[error("the peer's certificate is revoked")]
    Revoked,
    /// It is wrong in another way.
    #[error("the peer's certificate is not valid: {0:?}")]
    BadCertificate(CertificateError),
    /// There is no version or cipher that both know.
    #[error("the peer knows no version or cipher of TLS that we do")]
    NoCommonVersion,
    /// The peer does not want us.
    #[error("the peer refuses us: {0:?}")]
    RefusedByPeer(AlertDescription),
    /// It is no TLS, or it is wrong.
    #[error("the peer does not speak TLS as it should: {0}")]
    Protocol(String),
}

impl Untrusted {
    /// As a label of a bounded set.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::UnknownIssuer => "unknown_issuer",
            Self::WrongName => "wrong_name",
            Self::NoCertificate => "no_certificate",
            Self::Revoked => "revoked",
            Self::BadCertificate(_) => "bad_certificate",
            Self::NoCommonVersion => "no_common_version",
            Self::RefusedByPeer(_) => "refused_by_peer",
            Self::Protocol(_) => "protocol",
        }
    }

    fn of(error: &io::Error) -> Self {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let Some(inner) = inner else {
            return Self::Protocol(error.to_string());
        };
        // `rustls::Error` grows; what is new is told by its own words.
        #[expect(clippy::wildcard_enum_match_arm, reason = "non-exhaustive, foreign")]
        match inner {
            rustls::Error::InvalidCertificate(why) => Self::of_certificate(why),
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::PeerIncompatible(_) => Self::NoCommonVersion,
            rustls::Error::AlertReceived(alert) => Self::RefusedByPeer(*alert),
            other => Self::Protocol(other.to_string()),
        }
    }

    fn of_certificate(why: &CertificateError) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "non-exhaustive, foreign")]
        match why {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Expired,
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongName
            }
            CertificateError::Revoked => Self::Revoked,
            other => Self::BadCertificate(other.clone()),
        }
    }
}

/// A certificate that cannot be used; found when the settings were read, so it is not met in practice.
#[derive(Debug, Error)]
#[error("TLS cannot be set up: {0}")]
pub struct Unusable(String);

impl Tls {
    /// Sets up both sides.
    ///
    /// # Errors
    ///
    /// When the library refuses what the configuration has let pass.
    pub fn new(settings: &Settings, names: HashMap<PeerId, Arc<str>>) -> Result<Self, Unusable> {
        let unusable = |error: &dyn fmt::Display| Unusable(error.to_string());
        let key = Arc::new(SingleCertAndKey::from(Arc::clone(&settings.identity)));
        let server = ServerConfig::builder();
        let server = match &settings.client_ca {
            Some(roots) => {
                let verifier = WebPkiClientVerifier::builder(Arc::clone(roots));
                let verifier = if settings.needs_client {
                    verifier
                } else {
                    verifier.allow_unauthenticated()
                };
                let verifier = verifier.build().map_err(|error| unusable(&error))?;
                server.with_client_cert_verifier(verifier)
            }
            None => server.with_no_client_auth(),
        };
        let server = server.with_cert_resolver(Arc::clone(&key) as Arc<dyn ResolvesServerCert>);
        let roots = match &settings.ca {
            Some(roots) => Arc::clone(roots),
            None => Arc::new(system_roots()),
        };
        let client = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_cert_resolver(key as Arc<dyn ResolvesClientCert>);
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
            names,
        })
    }

    /// Agrees with a peer that connected to us; the id is the name that its certificate proves, if that
    /// is one of the configuration's.
    ///
    /// # Errors
    ///
    /// When one does not trust the other.
    pub async fn accept<S>(&self, socket: S) -> Result<(server::TlsStream<S>, PeerId), Untrusted>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = self.acceptor.accept(socket).await;
        let stream = stream.map_err(|error| Untrusted::of(&error))?;
        let certificates = stream.get_ref().1.peer_certificates();
        let peer = certificates
            .and_then(|chain| chain.first())
            .map_or(PeerId::NOBODY, |leaf| self.named(leaf));
        Ok((stream, peer))
    }

    /// Agrees with the peer of this name, to which we connected.
    ///
    /// # Errors
    ///
    /// When one does not trust the other, or the name is none of the configuration's.
    pub async fn connect<S>(
        &self,
        socket: S,
        peer: PeerId,
    ) -> Result<client::TlsStream<S>, Untrusted>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = self.names.get(&peer).ok_or(Untrusted::WrongName)?;
        let name = ServerName::try_from(name.to_string()).map_err(|_| Untrusted::WrongName)?;
        let stream = self.connector.connect(name, socket).await;
        stream.map_err(|error| Untrusted::of(&error))
    }

    /// The first of the certificate's host names that the configuration knows.
    fn named(&self, leaf: &CertificateDer<'_>) -> PeerId {
        let Ok(certificate) = EndEntityCert::try_from(leaf) else {
            return PeerId::NOBODY;
        };
        certificate
            .valid_dns_names()
            .map(|name| (PeerId::of(name), name))
            .find(|(id, name)| {
                let known = self.names.get(id);
                known.is_some_and(|known| known.eq_ignore_ascii_case(name))
            })
            .map_or(PeerId::NOBODY, |(id, _)| id)
    }
}

/// The authorities that the system trusts.
pub(super) fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        warn!(%error, "a trusted certificate of the system cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        warn!("the system trusts no certificate: nobody can be reached by TLS without `ca`");
    }
    roots
}
