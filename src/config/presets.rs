//! `preset` of a trunk: what is known of a carrier, in place of what the trunk itself does not say.

use crate::call::output::Refusal;
use crate::call::record::Outcome;
use crate::config::desk::Desk;
use crate::config::networks;
use crate::config::raw::{Section, Spot};
use crate::media::session::Srtp;
use crate::routing::trunk::{MediaTerms, Plane, Tickets};

/// A carrier that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preset {
    /// Its addresses are those of all its customers, so what else a call shows decides; SRTP with keys in the session
    /// description.
    Twilio,
    /// It tries elsewhere after 408, 480, 503 and 504, and never after 603.
    Telnyx,
    /// It sends SRTP where a trunk of its asks for that (Plivo's documentation, "SIP Trunking (Zentrunk)", on codecs and
    /// encryption; read in November 2026). Its addresses were not to be had there, so `allow` lists them.
    Plivo,
    /// It speaks plain RFC 3261 over UDP with port 5060, and names its customers the addresses that calls come from when they join
    /// (Bandwidth's documentation, "Outbound Calling Integration Guide" and on SIP peers; read in November 2026): so a trunk's
    /// defaults fit, and `allow` lists them.
    Bandwidth,
}

impl Preset {
    /// The trunk's.
    pub(super) fn read(section: &Section<'_>, desk: &mut Desk<'_>) -> Option<Self> {
        let preset = section.choice("preset", PRESETS, desk);
        preset.map(|preset| preset.value)
    }

    /// What `allow` lists where the trunk has none.
    pub(super) fn allow(self, section: &Section<'_>) -> Option<Spot<&'static str>> {
        match self {
            Self::Twilio if !section.has("allow") => Some(Spot {
                value: networks::TWILIO,
                place: section.place_of("preset"),
            }),
            Self::Twilio | Self::Telnyx | Self::Plivo | Self::Bandwidth => None,
        }
    }

    /// What becomes of media where the trunk does not say.
    pub(super) fn media(self, section: &Section<'_>, terms: &mut MediaTerms) {
        let sends_srtp = match self {
            Self::Twilio | Self::Plivo => true,
            Self::Telnyx | Self::Bandwidth => false,
        };
        if sends_srtp && !section.has("media") && terms.plane == Plane::Relay {
            terms.terms.srtp = Srtp::Allow;
        }
    }

    /// Final statuses of its own, where the trunk has none.
    pub(super) fn answers(self, section: &Section<'_>) -> Vec<(Box<str>, u16)> {
        if self != Self::Telnyx || section.has("answers") {
            return Vec::new();
        }
        let outcomes = [
            Outcome::NoBuyer,
            Outcome::AllCapped,
            Outcome::NoAnswer,
            Outcome::AllBusy,
        ];
        let refusals = [Refusal::TrunkCalls, Refusal::TrunkCps];
        let outcomes = outcomes.into_iter().map(Outcome::label);
        let all = outcomes.chain(refusals.into_iter().map(Refusal::label));
        all.map(|label| (label.into(), 603)).collect()
    }
}

/// What becomes of the tickets that a trunk's calls show; `has_tickets`: we give any.
pub(super) fn tickets(
    section: &Section<'_>,
    preset: Option<Preset>,
    has_tickets: bool,
    desk: &mut Desk<'_>,
) -> Tickets {
    let chosen = section.choice("tickets", TICKETS, desk);
    match (chosen, preset) {
        (Some(chosen), _) => {
            if chosen.value != Tickets::Ignored && !has_tickets {
                let what = "there are none: nothing is sent to us by way of a carrier";
                desk.absent(chosen.place, what, "add [twilio]");
            }
            chosen.value
        }
        (None, Some(Preset::Twilio)) if !has_tickets => Tickets::Ignored,
        (None, Some(Preset::Twilio)) if section.is_filled("twilio_accounts") => Tickets::Taken,
        (None, Some(Preset::Twilio)) => Tickets::Required,
        (None, Some(Preset::Telnyx | Preset::Plivo | Preset::Bandwidth) | None) => Tickets::Ignored,
    }
}

const PRESETS: &[(&str, Preset)] = &[
    ("twilio", Preset::Twilio),
    ("telnyx", Preset::Telnyx),
    ("plivo", Preset::Plivo),
    ("bandwidth", Preset::Bandwidth),
];

const TICKETS: &[(&str, Tickets)] = &[
    ("ignored", Tickets::Ignored),
    ("taken", Tickets::Taken),
    ("required", Tickets::Required),
];
