//! Whom a vendor is to call for us, and what it says of it: the leg to one buyer of a call [abroad](crate::call::abroad).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::call::abroad::{NOWHERE, PATIENCE};
use crate::call::b_leg::{Attempt, NotSent, Offer};
use crate::call::core::Core;
use crate::call::errand::{Leg, Step};
use crate::call::facts::{call_key, hop_token};
use crate::call::headers;
use crate::call::output::Output;
use crate::call::record::AttemptResult;
use crate::media::session::Srtp;
use crate::routing::buyer::{Buyer, Gateway};
use crate::sip::flow::Transport;
use crate::sip::retreaver::RetreaverHeaders;
use crate::sip::uri::Uri;
use crate::twilio::dial::Why;
use crate::twilio::sip_uri::{Credentials, SipUri, Transport as SipTransport, is_sent};
use crate::twilio::twiml::Target;
use crate::types::hex::read_hex;

impl Attempt {
    /// One that a vendor makes: no transaction of ours has to do with it. `None`: there is no name for it.
    pub(crate) fn abroad(
        now: Instant,
        core: &mut Core,
        home: u32,
        way: (&Arc<Buyer>, &Arc<Gateway>),
    ) -> Option<Self> {
        let name = (core.nobody()?, core.mark(home));
        let mut attempt = Self::new(now, way, name, NOWHERE);
        attempt.ring_until += PATIENCE;
        Some(attempt)
    }
}

impl Offer<'_, '_> {
    /// Has the vendor call a buyer by one of the ways to it.
    pub(crate) fn send_abroad(
        &self,
        now: Instant,
        core: &mut Core,
        buyer: &Arc<Buyer>,
        gateway: &Arc<Gateway>,
    ) -> Result<(Attempt, Box<[u8]>), NotSent> {
        let target = self.target(core, buyer, gateway)?;
        let made = self.record.attempts.len() + 1;
        let leg = Leg {
            attempt: u32::try_from(made).unwrap_or(u32::MAX),
            buyer: buyer.id.clone(),
            before: self
                .record
                .attempts
                .iter()
                .map(|one| one.buyer.id.clone())
                .collect(),
            target,
            ringing: buyer.ring_timeout,
        };
        let attempt = Attempt::abroad(now, core, self.home, (buyer, gateway));
        let attempt = attempt.ok_or(NotSent::Unreachable)?;
        let step = Step::Call(Box::new(leg));
        core.output(Output::Abroad(self.record.uuid, step));
        Ok((attempt, Box::default()))
    }

    /// Whom the vendor is to call, so that it does: what it would leave out without a word is refused here.
    fn target(&self, core: &mut Core, buyer: &Buyer, gateway: &Gateway) -> Result<Target, NotSent> {
        if let Some(number) = gateway.phone {
            let send_digits = None;
            return Ok(Target::Number {
                number,
                send_digits,
            });
        }
        let Ok(Uri::Sip(uri)) = Uri::parse(gateway.uri.as_bytes()) else {
            return Err(NotSent::Unbuildable);
        };
        // Credentials are for the buyer, and for nobody between, unless that is said.
        let login = buyer.login.as_ref();
        if login.is_some_and(|login| !login.is_shared) {
            return Err(NotSent::Withheld);
        }
        // A name is for the vendor to look up; where an address is configured, that is where the buyer is.
        let (host, port) = match (&gateway.lookup, gateway.address.ip()) {
            (Some(_), _) => (gateway.host.to_string(), uri.port),
            (None, IpAddr::V4(ip)) => (ip.to_string(), Some(gateway.address.port())),
            // No vendor calls there.
            (None, IpAddr::V6(_)) => return Err(NotSent::Unreachable),
        };
        let user = uri.user.map(unescaped).unwrap_or_default();
        let key = call_key(self.key_secret, self.record.uuid);
        let told = RetreaverHeaders {
            uuid: &self.record.uuid.text(),
            key: &key,
            afid: self.record.afid.as_deref().unwrap_or_default(),
            sid: self.record.sid.as_deref(),
            profile: buyer.x_ph_profile,
        };
        let mut headers: Vec<(Box<str>, String)> = told
            .fields()
            .map(|(name, value)| (name.into(), value))
            .collect();
        if let Some(number) = self.record.dialled {
            let secret = &self.policy.hop_secret;
            let hop = hop_token(secret, &mut core.entropy, self.hops, number);
            if let Ok(hop) = std::str::from_utf8(&hop) {
                headers.push((headers::HOP.into(), hop.to_owned()));
            }
        }
        // A vendor that sends no such header would not say so.
        let own = buyer.headers.set.iter().filter(|(name, _)| is_sent(name));
        headers.extend(own.map(|(name, value)| (Box::from(&**name), value.to_string())));
        let target = SipUri {
            user: user.into(),
            host: host.into(),
            port: port.or_else(|| Some(gateway.transport.default_port())),
            transport: match gateway.transport {
                Transport::Udp => SipTransport::Udp,
                Transport::Tcp => SipTransport::Tcp,
                Transport::Tls if buyer.media.terms.srtp == Srtp::Require => SipTransport::Secure,
                Transport::Tls => SipTransport::Tls,
            },
            edge: None,
            headers,
            credentials: login.map(|login| Credentials {
                username: login.username.clone(),
                password: login.password.clone(),
            }),
        };
        match target.write() {
            Ok(_) => Ok(Target::Sip(target)),
            Err(_) => Err(NotSent::Unbuildable),
        }
    }
}

/// How an attempt went; `true`: it says something of the way to the buyer, and not of the buyer.
pub(crate) fn result_of(why: Why, status: Option<u16>) -> (AttemptResult, bool) {
    match (why, status) {
        (Why::Busy, _) => (AttemptResult::Busy, false),
        (Why::NoAnswer, _) => (AttemptResult::NoAnswer, false),
        (Why::Declined, _) => (AttemptResult::Declined, false),
        (Why::Credentials, _) => (AttemptResult::BuyerAuth, false),
        (Why::Refused, Some(415 | 488 | 606)) => (AttemptResult::MediaMismatch, false),
        (Why::Refused, Some(600..700)) => (AttemptResult::Declined, false),
        (Why::Refused, _) => (AttemptResult::BuyerRejected, false),
        (Why::Broken, Some(500..600)) => (AttemptResult::BuyerError, true),
        (Why::Broken, Some(300..400)) => (AttemptResult::RedirectRefused, false),
        (Why::Broken, _) => (AttemptResult::Unreachable, true),
    }
}

/// A user part with its escapes undone.
fn unescaped(user: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(user.len());
    let mut rest = user;
    loop {
        match rest {
            [b'%', high, low, after @ ..] if let Some([byte]) = read_hex(&[*high, *low]) => {
                bytes.push(byte);
                rest = after;
            }
            [byte, after @ ..] => {
                bytes.push(*byte);
                rest = after;
            }
            [] => return String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
}
