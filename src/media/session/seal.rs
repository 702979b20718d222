//! SRTP on one leg: which key of a party is taken, and which of ours it gets (RFC 4568 §5.1).

use zeroize::Zeroizing;

use crate::media::plan::{Crypto, Keys, Suite};
use crate::media::sdp::crypto::{self, CryptoLine};
use crate::media::sdp::media::Media;
use crate::media::session::fault::Fault;
use crate::media::session::line::{Sealed, Side};
use crate::media::session::terms::{Srtp, Supply};

/// What was before on a line, seen from one party.
#[derive(Clone, Copy)]
pub(crate) struct Before<'x> {
    /// Whether SRTP was agreed, so that RTP would be less.
    pub(crate) is_secure: bool,
    /// The keys that were agreed, or would have been.
    pub(crate) sealed: Option<&'x Sealed>,
}

/// What follows from the keys of an offer.
///
/// # Errors
///
/// The line cannot be taken under `terms`; [`Fault::Downgrade`]: nor can the whole offer.
pub(crate) fn of_offer(
    media: &Media<'_, '_>,
    terms: Srtp,
    before: Before<'_>,
    supply: &mut impl Supply,
) -> Result<Option<Box<Sealed>>, Fault> {
    let is_secure = media.head.transport().is_secure();
    match (terms, is_secure) {
        (Srtp::Refuse, true) => return Err(Fault::SrtpRefused),
        (Srtp::Refuse, false) => return Ok(None),
        (Srtp::Require, false) if before.is_secure => return Err(Fault::Downgrade),
        (Srtp::Require, false) => return Err(Fault::SrtpRequired),
        (Srtp::Allow | Srtp::Require, _) => {}
    }
    let used = before.sealed.map(|sealed| sealed.crypto.ours.suite);
    let Some(line) = best(media, used) else {
        return match (is_secure, before.is_secure) {
            (true, _) => Err(Fault::Keys),
            (false, true) => Err(Fault::Downgrade),
            (false, false) => Ok(None),
        };
    };
    let ours = match before.sealed {
        Some(sealed) if sealed.crypto.ours.suite == line.keys.suite => sealed.crypto.ours.clone(),
        _ => draw(line.keys.suite, supply),
    };
    Ok(Some(Box::new(Sealed {
        tag: line.tag,
        crypto: Crypto {
            theirs: line.keys,
            ours,
        },
    })))
}

/// The line with the suite that is in use already, else with the strongest.
fn best(media: &Media<'_, '_>, used: Option<Suite>) -> Option<CryptoLine> {
    crypto::usable(media).min_by_key(|line| {
        let is_new = used != Some(line.keys.suite);
        (is_new, crypto::rank(line.keys.suite))
    })
}

/// The keys that `side` is offered: those that are in use; else, where `is_secure` says so, those of the offer that
/// this one takes the place of, or new ones.
pub(crate) fn to_offer(
    side: &Side,
    pending: Option<&Side>,
    is_secure: bool,
    supply: &mut impl Supply,
) -> Vec<Keys> {
    if let Some(sealed) = &side.srtp {
        return vec![sealed.crypto.ours.clone()];
    }
    match pending.filter(|side| !side.offered.is_empty()) {
        _ if !is_secure => Vec::new(),
        Some(side) => side.offered.clone(),
        None => crypto::OFFERED
            .iter()
            .map(|suite| draw(*suite, supply))
            .collect(),
    }
}

/// What follows from the keys of an answer of the party that `side` is of.
///
/// # Errors
///
/// SRTP was offered, and no offered line is taken by it.
pub(crate) fn of_answer(media: &Media<'_, '_>, side: &Side) -> Result<Option<Box<Sealed>>, Fault> {
    if side.offered.is_empty() && side.srtp.is_none() {
        return Ok(None);
    }
    let taken = crypto::usable(media).find_map(|line| {
        let ours = own(side, line.tag)?;
        (ours.suite == line.keys.suite).then(|| {
            Box::new(Sealed {
                tag: line.tag,
                crypto: Crypto {
                    theirs: line.keys,
                    ours: ours.clone(),
                },
            })
        })
    });
    taken.map(Some).ok_or(Fault::Keys)
}

/// Our key that was offered with `tag`.
fn own(side: &Side, tag: u32) -> Option<&Keys> {
    let index = usize::try_from(tag).ok()?.checked_sub(1)?;
    side.offered.get(index).or_else(|| {
        let sealed = side.srtp.as_ref()?;
        (sealed.tag == tag).then_some(&sealed.crypto.ours)
    })
}

fn draw(suite: Suite, supply: &mut impl Supply) -> Keys {
    let mut secret = Zeroizing::new(vec![0; suite.secret_length()]);
    supply.fill(&mut secret);
    Keys { suite, secret }
}
