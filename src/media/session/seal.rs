//! SRTP on one leg: which key of a party is taken, and which of ours it gets (RFC 4568 §5.1).

use zeroize::Zeroizing;

use crate::media::plan::{Crypto, Keys, Suite};
use crate::media::sdp::crypto::{self, CryptoLine};
use crate::media::sdp::media::Media;
use crate::media::session::fault::Fault;
use crate::media::session::line::{Sealed, Side};
use crate::media::session::terms::{Srtp, Supply};

/// What follows from the keys of an offer. `before` is what was agreed with that party, or would have been.
///
/// # Errors
///
/// The line cannot be taken under `terms`; [`Fault::Downgrade`]: nor can the whole offer.
pub(crate) fn of_offer(
    media: &Media<'_, '_>,
    terms: Srtp,
    before: Option<&Sealed>,
    supply: &mut impl Supply,
) -> Result<Option<Box<Sealed>>, Fault> {
    match (terms, media.head.transport().is_secure()) {
        (Srtp::Refuse, true) => return Err(Fault::SrtpRefused),
        (Srtp::Refuse, false) => return Ok(None),
        (Srtp::Require, false) if before.is_some() => return Err(Fault::Downgrade),
        (Srtp::Require, false) => return Err(Fault::SrtpRequired),
        (Srtp::Allow | Srtp::Require, _) => {}
    }
    let Some(line) = best(media, before.map(|sealed| sealed.crypto.ours.suite)) else {
        return match (media.head.transport().is_secure(), before) {
            (true, _) => Err(Fault::Keys),
            (false, Some(_)) => Err(Fault::Downgrade),
            (false, None) => Ok(None),
        };
    };
    let ours = match before {
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

/// The keys that `side` is offered: those that are in use; else, where SRTP is required, those of the offer that this
/// one takes the place of, or new ones.
pub(crate) fn to_offer(
    side: &Side,
    pending: Option<&Side>,
    terms: Srtp,
    supply: &mut impl Supply,
) -> Vec<Keys> {
    match (&side.srtp, terms) {
        (Some(sealed), _) => vec![sealed.crypto.ours.clone()],
        (None, Srtp::Refuse | Srtp::Allow) => Vec::new(),
        (None, Srtp::Require) => pending.filter(|side| !side.offered.is_empty()).map_or_else(
            || crypto::OFFERED.map(|suite| draw(suite, supply)).to_vec(),
            |side| side.offered.clone(),
        ),
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
    let mut secret = Zeroizing::new(vec![0; crypto::secret_length(suite)]);
    supply.fill(&mut secret);
    Keys { suite, secret }
}
