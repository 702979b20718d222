//! Who calls: by address, by digest, or by certificate, as the domain asks.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::auth::gate::{Asked, Denial, Gate, Terms};
use crate::call::core::Core;
use crate::call::output::{Event, Refusal};
use crate::call::policy::{Domain, Require, Strangers, TrunkId};
use crate::call::refuse::Arriving;
use crate::routing::trunk::Trunk;
use crate::sip::build::Writer;
use crate::sip::message::Name;
use crate::sip::uri::{Host, Uri};
use crate::types::ids::ShardId;

/// Who calls.
pub(crate) struct Caller {
    pub(crate) trunk: Arc<Trunk>,
    pub(crate) user: Option<Arc<str>>,
}

/// How the way in ends for those who are not let in.
pub(crate) enum Rejected {
    /// Answered, or passed over in silence.
    Refused,
    /// Another shard gave out the nonce: it knows.
    Elsewhere(ShardId),
}

impl Arriving<'_, '_> {
    /// Lets the caller in, or answers it.
    pub(crate) fn authenticate(
        &self,
        core: &mut Core,
        gate: &mut Gate,
    ) -> Result<Caller, Rejected> {
        let Some(domain) = self.domain() else {
            self.refuse_stranger(core, Refusal::UnknownDomain);
            return Err(Rejected::Refused);
        };
        let listed = domain.allow.longest_match(self.flow.remote.ip());
        match (domain.require, listed) {
            (Require::Ip | Require::Either, Some(trunk)) => self.let_address_in(core, trunk),
            (Require::Certificate, _) => match domain.peers.get(&self.flow.peer) {
                Some(trunk) => self.let_in(core, *trunk, None),
                None => {
                    self.refuse_stranger(core, Refusal::UnknownCertificate);
                    Err(Rejected::Refused)
                }
            },
            (Require::Ip, None) | (Require::Both, None) => {
                self.refuse_stranger(core, Refusal::UnknownAddress);
                Err(Rejected::Refused)
            }
            (Require::Digest, _) | (Require::Either, None) => {
                let (trunk, user) = self.check_digest(core, gate, &domain)?;
                self.let_in(core, trunk, Some(user))
            }
            (Require::Both, Some(listed)) => {
                let (trunk, user) = self.check_digest(core, gate, &domain)?;
                if trunk != listed {
                    self.refuse(core, Refusal::TrunkMismatch, 403);
                    return Err(Rejected::Refused);
                }
                self.let_in(core, trunk, Some(user))
            }
        }
    }

    fn let_in(
        &self,
        core: &mut Core,
        trunk: TrunkId,
        user: Option<Arc<str>>,
    ) -> Result<Caller, Rejected> {
        match self.policy.trunks.get(trunk.0 as usize) {
            Some(trunk) => Ok(Caller {
                trunk: trunk.clone(),
                user,
            }),
            None => {
                self.refuse_stranger(core, Refusal::UnknownAddress);
                Err(Rejected::Refused)
            }
        }
    }

    /// Somebody at a listed address. Twilio's are shared by all of its customers: there, the account that
    /// Twilio names must be the trunk's.
    fn let_address_in(&self, core: &mut Core, trunk: TrunkId) -> Result<Caller, Rejected> {
        let caller = self.let_in(core, trunk, None)?;
        let accounts = &caller.trunk.twilio_accounts;
        if accounts.is_empty() || !self.policy.is_twilio(self.flow.remote.ip()) {
            return Ok(caller);
        }
        let head = &self.request.head;
        let named: SmallVec<[&[u8]; 2]> = head
            .fields()
            .iter()
            .filter(|field| field.name == Name::Other)
            .filter(|field| head.raw_name(field).eq_ignore_ascii_case(TWILIO_ACCOUNT))
            .map(|field| head.value(field))
            .collect();
        if let [named] = *named
            && accounts.iter().any(|account| account.as_bytes() == named)
        {
            return Ok(caller);
        }
        self.refuse_stranger(core, Refusal::TwilioAccount);
        Err(Rejected::Refused)
    }

    /// Nobody we know: 403, or nothing at all.
    fn refuse_stranger(&self, core: &mut Core, why: Refusal) {
        match self.policy.strangers {
            Strangers::Refuse => self.refuse(core, why, 403),
            Strangers::Silent => self.silence(core, why),
        }
    }

    /// The domain that the Request-URI's host names.
    fn domain(&self) -> Option<Arc<Domain>> {
        let Uri::Sip(uri) = &self.essentials.uri else {
            return None;
        };
        let name = match uri.host {
            // An IPv4 address can be written in one way only, and so is its own name.
            Host::Name(_) | Host::V4(_) => uri.host_text,
            Host::V6(ip) => return self.policy.domains.get(ip.to_string().as_str()).cloned(),
        };
        let mut text = [0; 255];
        let lower = text.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let lower = std::str::from_utf8(lower).ok()?;
        self.policy.domains.get(lower).cloned()
    }

    fn check_digest(
        &self,
        core: &mut Core,
        gate: &mut Gate,
        domain: &Domain,
    ) -> Result<(TrunkId, Arc<str>), Rejected> {
        let terms = Terms {
            realm: &domain.realm,
            algorithms: &domain.algorithms,
            digest_uri: domain.digest_uri,
        };
        let asked = Asked {
            method: self.request.method.as_bytes(),
            uri: self.request.uri,
        };
        let values = self.request.head.all(Name::Authorization);
        let verdict = gate.check(self.now, &terms, asked, values, |name| {
            domain.users.find(name)
        });
        let denial = match verdict {
            Ok(user) => {
                core.event(Event::LoggedIn {
                    flow: self.flow,
                    trunk: user.trunk,
                });
                return Ok((user.trunk, user.name.clone()));
            }
            Err(denial) => denial,
        };
        let why = match denial {
            Denial::Elsewhere(shard) => return Err(Rejected::Elsewhere(shard)),
            Denial::NoCredentials => Refusal::NoCredentials,
            Denial::BadCredentials => Refusal::BadCredentials,
            Denial::WrongPassword => Refusal::WrongPassword,
            Denial::StaleNonce => Refusal::StaleNonce,
            Denial::ForgedNonce => Refusal::ForgedNonce,
            Denial::Replayed => Refusal::Replayed,
            Denial::Locked => {
                self.silence(core, Refusal::Locked);
                return Err(Rejected::Refused);
            }
        };
        let to = self.flow.remote.ip();
        let mut challenges = Vec::with_capacity(2);
        gate.challenge(self.now, &mut core.entropy, &terms, to, denial, |value| {
            challenges.push(Bytes::copy_from_slice(value));
        });
        // Whoever may have the password is no stranger yet.
        let more = |writer: &mut Writer<'_>| {
            for value in &challenges {
                writer.field("WWW-Authenticate", value);
            }
        };
        // Where there is room for one, MD5 if it is offered: everybody knows that, and it is what is meant without a word (RFC 7616
        // §3.3).
        let least = |writer: &mut Writer<'_>| {
            let md5 = challenges
                .iter()
                .find_map(|value| value.strip_suffix(b", algorithm=MD5"));
            let first = challenges.first().map(|value| &**value);
            if let Some(value) = md5.or(first) {
                writer.field("WWW-Authenticate", value);
            }
        };
        self.welcome().reply_or(core, why, 401, more, least);
        Err(Rejected::Refused)
    }
}

/// The account that a call of Twilio's is billed to; its customers cannot set it.
const TWILIO_ACCOUNT: &[u8] = b"X-Twilio-AccountSid";
