//! An offer: what the other party is offered, and what will hold if it takes that.

use std::mem;

use crate::media::plan::{Gate, Party, Remote, SessionId};
use crate::media::sdp::format::{Format, Formats, Numbers};
use crate::media::sdp::media::{Direction, Media, Transport};
use crate::media::sdp::read::Sdp;
use crate::media::sdp::write::{Relayed, Section};
use crate::media::session::fault::Fault;
use crate::media::session::held::{Held, commons_of, seat};
use crate::media::session::line::{Line, Lines, Side};
use crate::media::session::seal::{self, Before};
use crate::media::session::terms::{OtherMedia, Srtp, Supply, Terms};
use crate::media::session::{Leg, Session};

/// One media line of an offer, and all that counts for it.
struct OfferedLine<'x> {
    session: SessionId,
    /// Its place among the lines.
    index: usize,
    /// Whether no ports may be shared, whatever the terms say.
    is_apart: bool,
    from: Party,
    media: Media<'x, 'x>,
    own: &'x Terms,
    other: &'x Terms,
    /// All lines that stand.
    lines: &'x [Line],
    /// The one of them at its place.
    agreed: Option<&'x Line>,
    /// What an offer that this one takes the place of would have made of it.
    pending: Option<&'x Line>,
    /// The line that the caller was told, if that binds.
    told: Option<Media<'x, 'x>>,
}

impl Session {
    /// Works an offer out into `staged`, and gives the text for the other party. On an error `staged` holds the ports
    /// that were taken until then.
    pub(super) fn stage_offer(
        &mut self,
        from: Party,
        sdp: &Sdp<'_>,
        staged: &mut Lines,
        supply: &mut impl Supply,
    ) -> Result<Vec<u8>, Fault> {
        let to = from.other();
        let mut held = mem::take(&mut self.held);
        let sections = self.open(from, sdp, (staged, &mut held), supply);
        self.held = held;
        let sections = sections?;
        let own = own_address(staged, to, supply);
        match self.legs.of_mut(to) {
            Some(Leg { told, .. }) => Ok(told.tell(sdp, own, &sections, supply)),
            None => Err(Fault::NoOffer),
        }
    }

    fn open(
        &self,
        from: Party,
        sdp: &Sdp<'_>,
        (staged, held): (&mut Lines, &mut Held),
        supply: &mut impl Supply,
    ) -> Result<Vec<Section>, Fault> {
        let (Some(own), Some(other)) = (self.legs.of(from), self.legs.of(from.other())) else {
            return Err(Fault::NoOffer);
        };
        let count = sdp.media_count();
        let is_other = self.is_bound && count != self.lines.len();
        if count == 0 || count < self.lines.len() || is_other {
            return Err(Fault::Lines);
        }
        let told = match self.is_bound {
            true => Some(own.told.read()?),
            false => None,
        };
        let mut sections = Vec::with_capacity(count);
        let mut refused = None;
        for (index, media) in sdp.media().enumerate() {
            let offered = OfferedLine {
                session: self.id,
                index,
                is_apart: self.is_apart,
                from,
                media,
                own: &own.terms,
                other: &other.terms,
                lines: &self.lines,
                agreed: self.lines.get(index),
                pending: self.offered().get(index),
                told: told.as_ref().and_then(|told| told.media_at(index)),
            };
            let mut line = Line::default();
            let result = offered.stage(&mut line, supply);
            held.note(self.id, (index, from), &line, supply);
            staged.push(line);
            sections.push(match result {
                Ok(relayed) => Section::Relayed(relayed),
                Err(fault @ (Fault::Downgrade | Fault::NoPort)) => return Err(fault),
                Err(fault) => {
                    if media.head.port != 0 {
                        refused = refused.or(Some(fault));
                    }
                    Section::Refused
                }
            });
        }
        match refused {
            Some(fault) if !staged.iter().any(Line::is_live) => Err(fault),
            _ => Ok(sections),
        }
    }
}

impl OfferedLine<'_> {
    /// Works it out into `line`, which it leaves without ports if it is refused.
    fn stage(&self, line: &mut Line, supply: &mut impl Supply) -> Result<Relayed, Fault> {
        let to = self.from.other();
        let transport = self.media.head.transport();
        self.check_kind(transport)?;
        let before = self.before(self.from);
        let srtp = match transport.is_rtp() {
            true => seal::of_offer(&self.media, self.own.srtp, before, supply)?,
            // What is no RTP cannot be SRTP either.
            false if before.is_secure || self.before(to).is_secure => return Err(Fault::Downgrade),
            false => None,
        };
        let formats = self.formats(transport)?;
        let listens = self.media.listens()?;
        let said = self.media.direction();
        let direction = Direction {
            receives: said.receives && listens.is_some(),
            ..said
        };

        let said_before = self.side(self.from);
        let side = Side {
            listens,
            is_mux: said_before.is_some_and(|side| side.is_mux),
            direction,
            transport,
            payloads: said_before
                .map(|side| side.payloads.clone())
                .unwrap_or_default(),
            offered: Vec::new(),
            srtp,
        };
        *line.gates.of_mut(self.from) = Some(self.gate(self.from, side.remote(), supply)?);
        let gate = self.gate(to, None, supply)?;
        *line.gates.of_mut(to) = Some(gate);
        line.is_rtp = transport.is_rtp();
        *line.sides.of_mut(self.from) = side;
        let side = self.told_side(to, transport, &formats, supply);
        let relayed = Relayed {
            address: supply.told(gate),
            port: gate.port,
            transport: side.transport,
            kept: transport.is_rtp().then(|| numbers(&formats)),
            direction: (direction != said).then_some(direction),
            keeps_mux: self.told.is_none_or(|told| told.has_mux()),
            keys: (1..).zip(side.offered.iter().cloned()).collect(),
        };
        *line.sides.of_mut(to) = side;
        Ok(relayed)
    }

    /// What the other party said before, and what it is offered now.
    fn told_side(
        &self,
        to: Party,
        transport: Transport,
        formats: &[Format<'_>],
        supply: &mut impl Supply,
    ) -> Side {
        let mut side = self.side(to).cloned().unwrap_or_default();
        if transport.is_rtp() {
            let pending = self.pending.map(|line| line.sides.of(to));
            let is_secure = self.other.srtp == Srtp::Require || self.before(to).is_secure;
            side.offered = seal::to_offer(&side, pending, is_secure, supply);
        }
        let is_secure = match &side.srtp {
            // Keys beside plain RTP stay there.
            Some(_) => side.transport.is_secure(),
            None => !side.offered.is_empty(),
        };
        side.transport = transport.with_security(is_secure);
        side.payloads = formats.iter().map(Format::payload).collect();
        side
    }

    /// Whether such a line may pass at all.
    fn check_kind(&self, transport: Transport) -> Result<(), Fault> {
        let head = &self.media.head;
        let was_refused = self.told.is_some_and(|told| told.head.port == 0);
        if head.port == 0 || head.ports != 1 || was_refused || transport == Transport::Other {
            return Err(Fault::Media);
        }
        let both = [self.own, self.other];
        let refuses = |terms: &&Terms| terms.other_media == OtherMedia::Refuse;
        if !head.is_audio() && both.iter().any(refuses) {
            return Err(Fault::Media);
        }
        let requires = |terms: &&Terms| terms.srtp == Srtp::Require;
        if !transport.is_rtp() && both.iter().any(requires) {
            return Err(Fault::SrtpRequired);
        }
        Ok(())
    }

    /// The formats that pass.
    fn formats(&self, transport: Transport) -> Result<Formats<'_>, Fault> {
        if !transport.is_rtp() {
            return Ok(Formats::new());
        }
        let all = self.media.formats()?;
        let told = match &self.told {
            Some(told) => Some(told.formats()?),
            None => None,
        };
        let mut kept = all.clone();
        kept.retain(|format| {
            let is_allowed = !self.media.head.is_audio()
                || (allows(self.own, format) && allows(self.other, format));
            let is_told = told
                .as_ref()
                .is_none_or(|told| told.iter().any(|own| own.may_be(format)));
            is_allowed && is_told
        });
        carries_voice(&kept, &all)
            .then_some(kept)
            .ok_or(Fault::Codec)
    }

    /// Our ports towards `party`, which listens at `remote` if it has said so: those that there are, if they are of the
    /// family that it uses, and if nobody else is heard from there on them.
    fn gate(
        &self,
        party: Party,
        remote: Option<Remote>,
        supply: &mut impl Supply,
    ) -> Result<Gate, Fault> {
        let terms = if party == self.from {
            self.own
        } else {
            self.other
        };
        let is_ipv6 = remote.map(|remote| remote.rtp.is_ipv6());
        let seat = seat(self.session, (self.index, party));
        let known = [self.agreed, self.pending].into_iter().flatten();
        for gate in known.filter_map(|line| *line.gates.of(party)) {
            let is_its = is_ipv6.is_none_or(|is_ipv6| gate.address.is_ipv6() == is_ipv6);
            let is_free = remote.filter(|_| gate.is_shared).is_none_or(|remote| {
                commons_of(gate, supply).is_some_and(|commons| commons.is_free(seat, gate, remote))
            });
            if is_its && is_free {
                return Ok(gate);
            }
        }
        let wants_ipv6 = is_ipv6.unwrap_or(terms.is_ipv6);
        if terms.is_shared
            && !self.is_apart
            && let Some(commons) = supply.commons(wants_ipv6)
            && let Some(gate) = commons.find(seat, remote)
        {
            return Ok(gate);
        }
        let gate = supply.take(wants_ipv6).ok_or(Fault::NoPort)?;
        // There may be ports of the other family only: good for a party that has yet to choose, and for no other.
        if is_ipv6.is_some_and(|is_ipv6| gate.address.is_ipv6() != is_ipv6) {
            supply.give_back(gate);
            return Err(Fault::Family);
        }
        Ok(gate)
    }

    /// What was agreed with `party` on keys: on this line, or, if that is not in use, on any.
    fn before(&self, party: Party) -> Before<'_> {
        let sealed = |line: &&Line| line.sides.of(party).srtp.is_some();
        let pending = self.pending.map(|line| line.sides.of(party));
        Before {
            is_secure: match self.agreed.filter(|line| line.gates.of(party).is_some()) {
                Some(line) => sealed(&line),
                None => self.lines.iter().any(|line| sealed(&line)),
            },
            sealed: [self.side(party), pending]
                .into_iter()
                .flatten()
                .find_map(|side| side.srtp.as_deref()),
        }
    }

    /// What stands with `party`.
    fn side(&self, party: Party) -> Option<&Side> {
        self.agreed.map(|line| line.sides.of(party))
    }
}

/// Whether a codec may pass under `terms`.
pub(super) fn allows(terms: &Terms, format: &Format<'_>) -> bool {
    format.is_dtmf()
        || terms.codecs.as_ref().is_none_or(|codecs| {
            codecs
                .iter()
                .any(|name| name.as_bytes().eq_ignore_ascii_case(format.name))
        })
}

/// Whether what is left of `all` formats is of use: keys pressed and silence are none without a voice.
pub(super) fn carries_voice(left: &[Format<'_>], all: &[Format<'_>]) -> bool {
    !left.is_empty() && (left.iter().any(Format::is_voice) || !all.iter().any(Format::is_voice))
}

/// The numbers of `formats`.
pub(super) fn numbers(formats: &[Format<'_>]) -> Numbers {
    formats.iter().map(|format| format.number).collect()
}

/// Our address towards `party`, for `o=`.
pub(super) fn own_address(lines: &[Line], party: Party, supply: &impl Supply) -> std::net::IpAddr {
    lines
        .iter()
        .find_map(|line| *line.gates.of(party))
        .map_or(std::net::Ipv4Addr::UNSPECIFIED.into(), |gate| {
            supply.told(gate)
        })
}
