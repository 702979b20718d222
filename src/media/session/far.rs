//! One call's media at an rtpengine: what that is asked, in which order, and what each party is told of its answers.
//!
//! ```text
//!   caller -- offer --> trimmed -- ng offer --> rtpengine -- its SDP, our o= --> buyer
//!          <-- our o=, its SDP -- rtpengine <-- ng answer -- trimmed <-- answer --
//! ```
//!
//! The same rules hold as over our own relay, see [`session`](crate::media::session), but for what rtpengine cannot do:
//! an offer that is refused is not taken back there, and keys beside `RTP/AVP` are not taken.
//!
//! Each attempt is a branch of its own there, under the call's one name, so the port that the caller was told stays. A
//! description that was asked about is known: asked for again, the same is told without another question. That is how
//! whoever had to wait for the answer goes on.

mod cut;
mod leg;

use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;

use crate::media::ng;
use crate::media::ng::{Exchange as Question, Family, Names, Protocol, Request, Scope, Shape};
use crate::media::plan::{Party, Sources};
use crate::media::sdp::read::Sdp;
use crate::media::sdp::trim::{Cut, trim};
use crate::media::session::far::cut::{check_fits, cut_of, cuts_of};
use crate::media::session::far::leg::{Leg, Said, session_of};
use crate::media::session::fault::Fault;
use crate::media::session::terms::{Srtp, Terms};
use crate::types::ids::CallUuid;

/// The media of one call.
pub struct Far {
    uuid: CallUuid,
    names: Names,
    /// Where the call is; `None`: nowhere yet.
    place: Option<SocketAddr>,
    legs: [Leg; 2],
    exchange: Exchange,
    /// The attempt before this one, until the next offer has taken its place.
    left: Option<Names>,
    /// What the caller was told before anybody answered for good: it stands for all buyers.
    told: Option<Bytes>,
    attempts: u32,
    /// How often the call began anew at another rtpengine.
    moves: u32,
    /// Whether rtpengine knows this attempt, and whether it knows both sides of it.
    is_lodged: bool,
    is_joined: bool,
    is_answered: bool,
}

/// What becomes of a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It has to be asked about; once the answer is [taken](Far::take), the same description is told.
    Ask(Request),
    /// This is what the other party is told.
    Told(Bytes),
}

/// Where offer and answer are.
enum Exchange {
    /// Nothing is offered.
    Idle,
    /// `by` has offered.
    Offered { by: Party, offer: Said },
    /// The last offer was `by`'s, and is answered.
    Settled {
        by: Party,
        offer: Said,
        answer: Said,
    },
}

impl Far {
    /// Begins the media of a call that came in under `caller`'s terms.
    #[must_use]
    pub fn new(uuid: CallUuid, caller: Terms) -> Self {
        let call: Arc<str> = uuid.to_string().into();
        let legs = [
            Leg::new(caller.clone(), session_of(uuid, 0)),
            Leg::new(caller, 0),
        ];
        Self {
            uuid,
            names: Names {
                call,
                caller: "caller".into(),
                buyer: "buyer".into(),
            },
            place: None,
            legs,
            exchange: Exchange::Idle,
            left: None,
            told: None,
            attempts: 0,
            moves: 0,
            is_lodged: false,
            is_joined: false,
            is_answered: false,
        }
    }

    /// Where the call is; `None`: nowhere yet.
    #[must_use]
    pub fn place(&self) -> Option<SocketAddr> {
        self.place
    }

    /// A new attempt begins, as a branch of its own. What the caller was told stands.
    pub fn next_buyer(&mut self, terms: Terms) {
        if mem::take(&mut self.is_lodged) {
            self.left = Some(self.names.clone());
        }
        self.attempts += 1;
        self.names.buyer = format!("buyer-{}", self.attempts).into();
        self.exchange = Exchange::Idle;
        self.is_joined = false;
        *self.leg_mut(Party::Buyer) = Leg::new(terms, session_of(self.uuid, self.attempts));
    }

    /// Takes the offer of `from`, whose SIP comes from `at`. It takes the place of an offer that is not answered yet.
    ///
    /// # Errors
    ///
    /// The offer is refused.
    pub fn offer(&mut self, from: Party, text: &[u8], at: IpAddr) -> Result<Step, Fault> {
        if let Exchange::Offered { by, offer } = &self.exchange
            && *by == from
            && let Some(told) = offer.told_of(text)
        {
            return Ok(Step::Told(told));
        }
        let sdp = Sdp::read(text)?;
        if sdp.media_count() == 0 {
            return Err(Fault::Lines);
        }
        let before = self.told.clone().filter(|_| !self.is_answered);
        let told = match &before {
            Some(told) if from == Party::Caller => Some(Sdp::read(told)?),
            Some(_) | None => None,
        };
        if told
            .as_ref()
            .is_some_and(|told| told.media_count() != sdp.media_count())
        {
            return Err(Fault::Lines);
        }
        let was_secure = self.leg(from).is_secure;
        let (cuts, is_secure) = cuts_of(&sdp, was_secure, |index, media| {
            let told = told.as_ref().and_then(|told| told.media_at(index));
            cut_of(self.terms(from), media, told)
        })?;
        if was_secure && !is_secure {
            return Err(Fault::Downgrade);
        }
        self.note_family(from, &sdp);
        let to = self.leg(from.other());
        let wants_secure = to.terms.srtp == Srtp::Require || to.is_secure;
        let shape = Shape {
            protocol: (is_secure != wants_secure).then_some(match wants_secure {
                true => Protocol::Srtp,
                false => Protocol::Rtp,
            }),
            family: Some(match to.is_ipv6.unwrap_or(to.terms.is_ipv6) {
                true => Family::V6,
                false => Family::V4,
            }),
            ..Shape::default()
        };
        self.leg_mut(from.other()).is_offered_secure = wants_secure;
        self.exchange = Exchange::Offered {
            by: from,
            offer: Said::new(text, is_secure),
        };
        Ok(Step::Ask(Request::Offer(Question {
            names: self.names.clone(),
            offerer: from,
            is_first: !self.is_joined,
            sdp: trim(&sdp, &cuts).into(),
            sources: self.sources(from, at),
            shape,
        })))
    }

    /// Takes the answer of `from`. It may come again, the same or changed (183, then 200): the caller is told the same.
    ///
    /// # Errors
    ///
    /// The answer cannot be used.
    pub fn answer(&mut self, from: Party, text: &[u8], at: IpAddr) -> Result<Step, Fault> {
        let offerer = from.other();
        let offered = match &self.exchange {
            Exchange::Offered { by, offer } if *by == offerer => offer.text.clone(),
            Exchange::Settled { by, offer, answer } if *by == offerer => {
                if let Some(told) = answer.told_of(text) {
                    return Ok(Step::Told(told));
                }
                offer.text.clone()
            }
            Exchange::Idle | Exchange::Offered { .. } | Exchange::Settled { .. } => {
                return Err(Fault::NoOffer);
            }
        };
        let sdp = Sdp::read(text)?;
        let offered = Sdp::read(&offered)?;
        if sdp.media_count() != offered.media_count() {
            return Err(Fault::Lines);
        }
        let is_early = from == Party::Buyer && !self.is_answered;
        let was_offered = self.leg(from).is_offered_secure;
        let (cuts, is_secure) = cuts_of(&sdp, was_offered, |index, media| {
            let cut = cut_of(self.terms(from), media, None)?;
            let allowed = offered
                .media_at(index)
                .map(|media| media.direction().mirrored());
            Ok(match cut {
                // So that a buyer who does not listen to an early caller binds nobody.
                Cut::Kept { kept, .. } if is_early => Cut::Kept {
                    kept,
                    direction: allowed.filter(|allowed| *allowed != media.direction()),
                },
                Cut::Kept { .. } | Cut::Refused => cut,
            })
        })?;
        match (was_offered, is_secure) {
            (true, false) => return Err(Fault::Downgrade),
            (false, true) => return Err(Fault::Mismatch),
            (true, true) | (false, false) => {}
        }
        let request = Request::Answer(Question {
            names: self.names.clone(),
            offerer,
            is_first: false,
            sdp: trim(&sdp, &cuts).into(),
            sources: self.sources(from, at),
            shape: Shape::default(),
        });
        self.note_family(from, &sdp);
        let answer = Said::new(text, is_secure);
        let before = mem::replace(&mut self.exchange, Exchange::Idle);
        if let Exchange::Offered { by, offer } | Exchange::Settled { by, offer, .. } = before {
            self.exchange = Exchange::Settled { by, offer, answer };
        }
        Ok(Step::Ask(request))
    }

    /// Takes the SDP that rtpengine answered with, at `place`. Gives what it is to be asked besides, for which nobody
    /// waits.
    ///
    /// # Errors
    ///
    /// It cannot be told to the party that it is for.
    pub fn take(
        &mut self,
        place: Option<SocketAddr>,
        text: &[u8],
    ) -> Result<Option<Request>, Fault> {
        self.place = place.or(self.place);
        let sdp = Sdp::read(text)?;
        let is_first = self.told.is_none();
        let is_early = !self.is_answered;
        match &mut self.exchange {
            Exchange::Idle => return Err(Fault::NoOffer),
            Exchange::Offered { by, offer } => {
                let [caller, buyer] = &mut self.legs;
                let leg = match by {
                    Party::Caller => buyer,
                    Party::Buyer => caller,
                };
                offer.told = Some(leg.tell(&sdp));
                self.is_lodged = true;
            }
            Exchange::Settled { by, offer, answer } => {
                let [caller, buyer] = &mut self.legs;
                let (to, from) = match by {
                    Party::Caller => (caller, buyer),
                    Party::Buyer => (buyer, caller),
                };
                self.is_joined = true;
                if let Some(told) = self
                    .told
                    .clone()
                    .filter(|_| is_early && *by == Party::Caller)
                {
                    check_fits(&sdp, &Sdp::read(&told)?)?;
                    answer.told = Some(told);
                } else {
                    answer.told = Some(to.tell(&sdp));
                }
                (to.is_secure, from.is_secure) = (offer.is_secure, answer.is_secure);
                if is_first && is_early && *by == Party::Caller {
                    self.told.clone_from(&answer.told);
                }
            }
        }
        let left = self.left.take();
        Ok(left.map(|left| Request::Delete(left, Scope::Attempt)))
    }

    /// There is no answer to what was asked last: it may be asked again.
    pub fn fail(&mut self) {
        self.exchange = match mem::replace(&mut self.exchange, Exchange::Idle) {
            Exchange::Settled { by, offer, answer } if answer.told.is_none() => {
                Exchange::Offered { by, offer }
            }
            Exchange::Offered { offer, .. } if offer.told.is_none() => Exchange::Idle,
            known @ (Exchange::Idle | Exchange::Offered { .. } | Exchange::Settled { .. }) => known,
        };
    }

    /// Begins anew at another rtpengine, under another name, if nobody was told of the first; `false`: it is too late.
    pub fn leave(&mut self) -> bool {
        if self.is_joined || self.told.is_some() || self.place.is_none() {
            return false;
        }
        self.moves += 1;
        self.place = None;
        self.left = None;
        self.is_lodged = false;
        self.names.call = format!("{}_{}", self.uuid, self.moves).into();
        self.exchange = Exchange::Idle;
        true
    }

    /// The offer that is not answered was refused, or is given up.
    pub fn forget_offer(&mut self) {
        if let Exchange::Offered { .. } = self.exchange {
            self.exchange = Exchange::Idle;
        }
    }

    /// The call is answered: directions are told as they are, and what was told is not needed any more.
    pub fn note_answered(&mut self) {
        self.is_answered = true;
        self.told = None;
        if let Exchange::Settled { .. } = self.exchange {
            self.exchange = Exchange::Idle;
        }
    }

    /// Where the call is, and what it is called there; `None`: nowhere.
    #[must_use]
    pub fn lodging(&self) -> Option<(SocketAddr, Names)> {
        Some((self.place?, self.names.clone()))
    }

    /// What holds towards a party, and towards the other one.
    fn terms(&self, party: Party) -> (&Terms, &Terms) {
        (&self.leg(party).terms, &self.leg(party.other()).terms)
    }

    fn sources(&self, party: Party, at: IpAddr) -> ng::Sources {
        match &self.leg(party).terms.sources {
            Sources::Announced => ng::Sources::Announced,
            Sources::Learned(_) => ng::Sources::Learned(at),
        }
    }

    fn note_family(&mut self, from: Party, sdp: &Sdp<'_>) {
        let listens = sdp.media().find_map(|media| media.listens().ok().flatten());
        let leg = self.leg_mut(from);
        leg.is_ipv6 = listens.map(|(rtp, _)| rtp.is_ipv6()).or(leg.is_ipv6);
    }

    fn leg(&self, party: Party) -> &Leg {
        let [caller, buyer] = &self.legs;
        match party {
            Party::Caller => caller,
            Party::Buyer => buyer,
        }
    }

    fn leg_mut(&mut self, party: Party) -> &mut Leg {
        let [caller, buyer] = &mut self.legs;
        match party {
            Party::Caller => caller,
            Party::Buyer => buyer,
        }
    }
}

#[cfg(test)]
mod tests;
