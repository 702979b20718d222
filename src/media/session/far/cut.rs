//! What of a description passes: the same that passes over our own relay.

use smallvec::SmallVec;

use crate::media::sdp::crypto;
use crate::media::sdp::format::Format;
use crate::media::sdp::media::{Media, Transport};
use crate::media::sdp::read::Sdp;
use crate::media::sdp::trim::Cut;
use crate::media::session::fault::Fault;
use crate::media::session::offer::{allows, carries_voice, numbers};
use crate::media::session::terms::{OtherMedia, Srtp, Terms};

/// What becomes of each media line, and whether they are about SRTP, which they are as before if none passes.
pub(super) fn cuts_of(
    sdp: &Sdp<'_>,
    mut is_secure: bool,
    cut: impl Fn(usize, &Media<'_, '_>) -> Result<Cut, Fault>,
) -> Result<(SmallVec<[Cut; 2]>, bool), Fault> {
    let mut cuts = SmallVec::new();
    let (mut refused, mut is_live) = (None, false);
    for (index, media) in sdp.media().enumerate() {
        let result = cut(index, &media);
        if let Ok(Cut::Kept { .. }) = result {
            let transport = media.head.transport();
            if transport.is_rtp() {
                is_secure = transport.is_secure();
            }
            is_live = true;
        }
        cuts.push(match result {
            Ok(cut) => cut,
            Err(fault) => {
                refused = refused.or(Some(fault));
                Cut::Refused
            }
        });
    }
    match refused {
        Some(fault) if !is_live => Err(fault),
        Some(_) | None => Ok((cuts, is_secure)),
    }
}

/// Whether a new answer is one that the caller, who keeps to what it was told, can go on with: the same ports, and the
/// codec that it sends as a rule, which is the first.
pub(super) fn check_fits(answer: &Sdp<'_>, told: &Sdp<'_>) -> Result<(), Fault> {
    if answer.media_count() != told.media_count() {
        return Err(Fault::NotAsTold);
    }
    for (answer, told) in answer.media().zip(told.media()) {
        if !told.head.is_audio() || told.head.port == 0 {
            continue;
        }
        let is_there = answer.head.port == told.head.port && answer.address()? == told.address()?;
        let (formats, known) = (answer.formats()?, told.formats()?);
        let is_same = |own: &Format<'_>, format: &Format<'_>| {
            own.number == format.number && own.may_be(format)
        };
        let first = known.iter().find(|format| format.is_voice());
        let is_heard = first.is_none_or(|first| formats.iter().any(|one| is_same(first, one)));
        if !is_there || !is_heard {
            return Err(Fault::NotAsTold);
        }
    }
    Ok(())
}

/// What becomes of one media line of a party under `own` terms, where the caller was `told` so.
pub(super) fn cut_of(
    (own, other): (&Terms, &Terms),
    media: &Media<'_, '_>,
    told: Option<Media<'_, '_>>,
) -> Result<Cut, Fault> {
    let both = [own, other];
    let (head, transport) = (&media.head, media.head.transport());
    if head.port == 0 || told.is_some_and(|told| told.head.port == 0) {
        return Ok(Cut::Refused);
    }
    let is_foreign = both
        .iter()
        .any(|terms| terms.other_media == OtherMedia::Refuse);
    if head.ports != 1 || (is_foreign && !head.is_audio()) {
        return Err(Fault::Media);
    }
    if !transport.is_rtp() {
        let is_strict = both.iter().any(|terms| terms.srtp == Srtp::Require);
        if is_strict {
            return Err(Fault::SrtpRequired);
        }
        let all = Cut::Kept {
            kept: None,
            direction: None,
        };
        let is_known = transport != Transport::Other;
        return is_known.then_some(all).ok_or(Fault::Media);
    }
    match (own.srtp, transport.is_secure()) {
        (Srtp::Refuse, true) => return Err(Fault::SrtpRefused),
        (Srtp::Require, false) => return Err(Fault::SrtpRequired),
        (Srtp::Allow | Srtp::Require, true) if crypto::usable(media).next().is_none() => {
            return Err(Fault::Keys);
        }
        (Srtp::Allow | Srtp::Require, true) | (Srtp::Refuse | Srtp::Allow, false) => {}
    }
    let all = media.formats()?;
    let told = told.map(|told| told.formats()).transpose()?;
    let mut kept = all.clone();
    kept.retain(|format| {
        let is_told = told
            .as_ref()
            .is_none_or(|told| told.iter().any(|own| own.may_be(format)));
        is_told && (!head.is_audio() || (allows(own, format) && allows(other, format)))
    });
    if !carries_voice(&kept, &all) {
        return Err(Fault::Codec);
    }
    Ok(Cut::Kept {
        kept: (kept.len() != all.len()).then(|| numbers(&kept)),
        direction: None,
    })
}
