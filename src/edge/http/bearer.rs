//! Who asks: bearer tokens (RFC 6750), compared in constant time; wrong ones are counted by address.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use crate::auth::nonce::Place;
use crate::config::http::{Http, Scope};
use crate::edge::http::Office;
use crate::edge::http::answer::Refusal;

/// Wrong tokens of one address within [`LOCK`] after which no other is looked at.
pub(super) const TRIES: u32 = 10;

/// For how long.
pub(super) const LOCK: Duration = Duration::from_secs(60);

/// Addresses that are remembered.
pub(super) const LOCKERS: usize = 4_096;

impl Office {
    /// The name of the token that was shown, if it is good for `scope`.
    pub(super) fn admit(
        &self,
        now: Instant,
        client: IpAddr,
        headers: &HeaderMap,
        http: &Http,
        scope: Scope,
    ) -> Result<Arc<str>, Refusal> {
        let shown = shown(headers)?;
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        let guesser = guesses.guesser(Place(0), "http", &octets(client));
        if guesses.is_locked(now, guesser) {
            return Err(Refusal::Locked(LOCK.as_secs()));
        }
        let Some(token) = find(http, shown) else {
            guesses.note_failure(now, guesser);
            return Err(Refusal::WrongToken);
        };
        guesses.note_success(guesser);
        if !token.scopes.contains(&scope) {
            return Err(Refusal::NoScope(scope.name()));
        }
        Ok(Arc::clone(&token.name))
    }
}

/// What the one `Authorization` header holds.
fn shown(headers: &HeaderMap) -> Result<&[u8], Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Refusal::NoToken);
    };
    let (scheme, token) = value
        .as_bytes()
        .split_at_checked(7)
        .ok_or(Refusal::NoToken)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return Err(Refusal::NoToken);
    }
    Ok(token.trim_ascii())
}

/// The token that was shown. All are looked at, whichever it is, and digests of one length are compared: so the
/// time tells neither which is right, nor how much of one.
fn find<'h>(http: &'h Http, shown: &[u8]) -> Option<&'h crate::config::http::Token> {
    let shown = Sha256::digest(shown);
    let mut place = u32::MAX;
    for (own, token) in (0_u32..).zip(http.tokens.iter()) {
        let is_equal: Choice = Sha256::digest(token.secret.expose()).ct_eq(&shown);
        place = u32::conditional_select(&place, &own, is_equal);
    }
    http.tokens.get(place as usize)
}

/// What counts as one address: of IPv6, a network of 64 bits.
pub(super) fn octets(client: IpAddr) -> Vec<u8> {
    match client.to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().into_iter().take(8).collect(),
    }
}
