//! An answer: what holds from now on, and what the other party is told.

use std::mem;

use crate::media::plan::{Gate, Party, Remote, SessionId};
use crate::media::sdp::format::{Format, Formats};
use crate::media::sdp::media::{Direction, Media};
use crate::media::sdp::read::{ReadError, Sdp};
use crate::media::sdp::write::{Relayed, Section};
use crate::media::session::fault::Fault;
use crate::media::session::held::{Held, commons_of, seat};
use crate::media::session::line::{Line, Lines, Side};
use crate::media::session::moved::Gates;
use crate::media::session::offer::{carries_voice, numbers, own_address};
use crate::media::session::seal;
use crate::media::session::terms::Supply;
use crate::media::session::{Leg, Session};

/// One media line of an answer, and all that counts for it.
struct AnsweredLine<'x> {
    session: SessionId,
    /// Its place among the lines.
    index: usize,
    from: Party,
    media: Media<'x, 'x>,
    /// As we offered it.
    offer: Media<'x, 'x>,
    /// The line that the caller was told, if that binds.
    told: Option<Media<'x, 'x>>,
    /// Whether the other party is told the widest direction.
    is_early: bool,
}

/// What becomes of an answer.
enum Verdict {
    /// The other party is told this.
    Tell(Vec<Section>),
    /// The caller was told already, and it fits.
    AsTold,
}

impl Session {
    /// Works an answer out into `agreed`, which holds the lines of its offer, and gives the text for the other party.
    /// `is_told`: that is the caller, who was told an answer before.
    pub(super) fn stage_answer(
        &mut self,
        from: Party,
        sdp: &Sdp<'_>,
        agreed: &mut Lines,
        is_told: bool,
        supply: &mut impl Supply,
    ) -> Result<Vec<u8>, Fault> {
        let to = from.other();
        let before: Gates = agreed.iter().map(|line| *line.gates.of(from)).collect();
        let mut held = mem::take(&mut self.held);
        let verdict = self.weigh(from, sdp, (agreed, &mut held), is_told, supply);
        self.held = held;
        let verdict = verdict?;
        self.note_moved(from, &before, agreed);
        let own = own_address(agreed, to, supply);
        let Some(Leg { told, .. }) = self.legs.of_mut(to) else {
            return Err(Fault::NoOffer);
        };
        Ok(match verdict {
            Verdict::Tell(sections) => told.tell(sdp, own, &sections, supply),
            Verdict::AsTold => told.text().to_vec(),
        })
    }

    fn weigh(
        &self,
        from: Party,
        sdp: &Sdp<'_>,
        (agreed, held): (&mut Lines, &mut Held),
        is_told: bool,
        supply: &mut impl Supply,
    ) -> Result<Verdict, Fault> {
        let (Some(own), Some(other)) = (self.legs.of(from), self.legs.of(from.other())) else {
            return Err(Fault::NoOffer);
        };
        let offer = own.told.read()?;
        let told = match is_told {
            true => Some(other.told.read()?),
            false => None,
        };
        if sdp.media_count() != offer.media_count() || sdp.media_count() != agreed.len() {
            return Err(Fault::Lines);
        }
        let was_live = agreed.iter().any(Line::is_live);
        let mut sections = Vec::with_capacity(agreed.len());
        let mut refused = None;
        let (mut is_audio_told, mut is_audio_live) = (false, false);
        let lines = sdp.media().zip(offer.media()).zip(agreed.iter_mut());
        for (index, ((media, offer), line)) in lines.enumerate() {
            let answered = AnsweredLine {
                session: self.id,
                index,
                from,
                media,
                offer,
                told: told.as_ref().and_then(|told| told.media_at(index)),
                is_early: from == Party::Buyer && !self.is_answered,
            };
            is_audio_told |= answered.is_told() && media.head.is_audio();
            match answered.stage(line, supply) {
                Ok(relayed) => {
                    held.note(self.id, (index, from), line, supply);
                    is_audio_live |= media.head.is_audio();
                    sections.push(Section::Relayed(relayed));
                }
                Err(fault @ (Fault::Codec | Fault::Media)) => {
                    refused = refused.or(Some(fault));
                    answered.refuse(line);
                    sections.push(Section::Refused);
                }
                Err(fault) => return Err(fault),
            }
        }
        let is_relayed = |section: &Section| matches!(section, Section::Relayed(_));
        if was_live && !sections.iter().any(is_relayed) {
            return Err(refused.unwrap_or(Fault::Media));
        }
        if !is_told {
            return Ok(Verdict::Tell(sections));
        }
        if is_audio_told && !is_audio_live {
            return Err(Fault::NotAsTold);
        }
        Ok(Verdict::AsTold)
    }
}

impl AnsweredLine<'_> {
    /// Works it out into `line`.
    fn stage(&self, line: &mut Line, supply: &mut impl Supply) -> Result<Relayed, Fault> {
        let to = self.from.other();
        let (Some(own_gate), Some(gate)) = (*line.gates.of(self.from), *line.gates.of(to)) else {
            return Err(Fault::Media);
        };
        if self.media.head.port == 0 || self.offer.head.port == 0 {
            return Err(Fault::Media);
        }
        self.check_transport()?;
        let side = line.sides.of(self.from);
        let srtp = seal::of_answer(&self.media, side)?;
        let formats = self.formats(line.is_rtp)?;
        let listens = self.media.listens()?;
        if listens.is_some_and(|(rtp, _)| rtp.is_ipv6() != own_gate.address.is_ipv6()) {
            return Err(ReadError::Address.into());
        }
        let said = self.media.direction();
        let allowed = line.sides.of(to).direction.mirrored();
        let direction = Direction {
            receives: said.receives && listens.is_some(),
            ..said
        }
        .and(allowed);
        let is_mux = self.offer.has_mux() && self.media.has_mux();

        let side = line.sides.of_mut(self.from);
        side.listens = listens;
        side.is_mux = is_mux;
        side.direction = direction;
        side.srtp = srtp;
        if let Some(remote) = side.remote() {
            let own_gate = place(
                (self.session, self.index, self.from),
                own_gate,
                remote,
                supply,
            )?;
            *line.gates.of_mut(self.from) = Some(own_gate);
        }
        let other = line.sides.of_mut(to);
        other.payloads = formats.iter().map(Format::payload).collect();
        if self.told.is_none() {
            other.is_mux = is_mux;
        }
        let shown = if self.is_early { allowed } else { direction };
        Ok(Relayed {
            address: supply.told(gate),
            port: gate.port,
            transport: other.transport,
            kept: line.is_rtp.then(|| numbers(&formats)),
            direction: (shown != said).then_some(shown),
            keeps_mux: is_mux,
            keys: other
                .srtp
                .iter()
                .map(|sealed| (sealed.tag, sealed.crypto.ours.clone()))
                .collect(),
        })
    }

    /// Marks `line` as refused. Where the caller was told otherwise, it keeps its ports, and what comes in is dropped.
    fn refuse(&self, line: &mut Line) {
        if self.is_told() {
            *line.sides.of_mut(self.from) = Side::default();
        } else {
            *line = Line::default();
        }
    }

    /// Whether the caller was told that the line is taken.
    fn is_told(&self) -> bool {
        self.told.is_some_and(|told| told.head.port != 0)
    }

    /// The answer is for the same media over the same transport as offered; feedback or not is all one.
    fn check_transport(&self) -> Result<(), Fault> {
        let (own, offered) = (self.media.head.transport(), self.offer.head.transport());
        if offered.is_secure() && own.is_rtp() && !own.is_secure() {
            return Err(Fault::Downgrade);
        }
        let is_same = own.is_rtp() == offered.is_rtp()
            && own.is_secure() == offered.is_secure()
            && (own.is_rtp()
                || self
                    .media
                    .head
                    .proto
                    .eq_ignore_ascii_case(self.offer.head.proto));
        let kind = self.media.head.kind;
        if !is_same || !kind.eq_ignore_ascii_case(self.offer.head.kind) {
            return Err(Fault::Mismatch);
        }
        Ok(())
    }

    /// The formats that the other party may send: those of the answer that were offered, by the same number or
    /// another (RFC 3264 §6.1), and that it was told, if it was.
    fn formats(&self, is_rtp: bool) -> Result<Formats<'_>, Fault> {
        if !is_rtp {
            return Ok(Formats::new());
        }
        let offered = self.offer.formats()?;
        let mut formats = self.media.formats()?;
        for format in &mut formats {
            if let Some(known) = offered.iter().find(|own| own.number == format.number)
                && format.name.is_empty()
            {
                *format = *known;
            }
        }
        formats.retain(|format| offered.iter().any(|own| own.is_same_codec(format)));
        if !carries_voice(&formats, &offered) {
            return Err(Fault::Codec);
        }
        let Some(told) = &self.told else {
            return Ok(formats);
        };
        let told = told.formats()?;
        let is_same = |own: &Format<'_>, format: &Format<'_>| {
            own.number == format.number && own.may_be(format)
        };
        // The caller sends its first choice of what it was told, as a rule.
        let first = told.iter().find(|format| format.is_voice());
        if first.is_some_and(|first| !formats.iter().any(|format| is_same(first, format))) {
            return Err(match self.media.head.is_audio() {
                true => Fault::NotAsTold,
                false => Fault::Codec,
            });
        }
        formats.retain(|format| told.iter().any(|own| is_same(own, format)));
        Ok(formats)
    }
}

/// Our ports towards a party that turns out to listen at `remote`: `gate`, unless it is shared and somebody else is heard
/// from there.
pub(super) fn place(
    (session, index, party): (SessionId, usize, Party),
    gate: Gate,
    remote: Remote,
    supply: &mut impl Supply,
) -> Result<Gate, Fault> {
    if !gate.is_shared {
        return Ok(gate);
    }
    let seat = seat(session, (index, party));
    let commons = commons_of(gate, supply).ok_or(Fault::NoPort)?;
    if commons.is_free(seat, gate, remote) {
        return Ok(gate);
    }
    if let Some(other) = commons.find(seat, Some(remote)) {
        return Ok(other);
    }
    supply.take(gate.address.is_ipv6()).ok_or(Fault::NoPort)
}
