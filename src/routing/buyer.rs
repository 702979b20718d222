//! A buyer: who may get the call, where, and how it is told.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::routing::trunk::Refer;
use crate::sip::flow::{PeerId, Transport};
pub use crate::sip::retreaver::Profile as XPhProfile;
use crate::types::secret::Secret;

/// One buyer, as configured.
pub struct Buyer {
    /// Its id in the configuration.
    pub id: Arc<str>,
    /// Request-URI and To of the INVITE: `sip:user@host`, checked.
    pub uri: Box<str>,
    /// Host of `uri`, without port and brackets: what a challenge is pinned to.
    pub host: Box<str>,
    /// Where the INVITE goes.
    pub address: SocketAddr,
    /// How it goes there.
    pub transport: Transport,
    /// The name that its certificate must show, if it goes there by TLS.
    pub tls_name: Option<Arc<str>>,
    /// Lower goes first.
    pub priority: i32,
    /// How long it may ring.
    pub ring_timeout: Duration,
    /// How long it may say nothing at all.
    pub response_timeout: Duration,
    /// What to answer a challenge with; `None`: a challenge is a failure.
    pub login: Option<Login>,
    /// Whether it may send provisional responses reliably (RFC 3262).
    pub offers_reliable: bool,
    /// What it may do with REFER.
    pub refer: Refer,
    /// How the values of X-PH headers are encoded.
    pub x_ph_profile: XPhProfile,
    /// Headers of its own, name and value, both checked.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// Names of headers of the caller that it gets besides the safe ones, in lower case.
    pub pass_headers: Vec<Box<str>>,
}

impl Buyer {
    /// Whom its connections lead to.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        let name = self.tls_name.as_deref();
        name.map_or(PeerId::NOBODY, PeerId::of)
    }
}

impl fmt::Debug for Buyer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Buyer").field(&self.id).finish()
    }
}

/// Credentials for one buyer's challenges (RFC 7616), pinned to its realm.
pub struct Login {
    /// User name.
    pub username: Box<str>,
    /// Password.
    pub password: Secret,
    /// The only realm that is answered.
    pub realm: Box<str>,
}
