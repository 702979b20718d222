//! Media as the shards see it: plans go to the relay, its events come back as letters, and a call's record passes
//! through it, for its figures.

use std::io;
use std::sync::Arc;

use tracing::{debug, error, warn};

use crate::call::input::MediaLost;
use crate::call::output::Event as CallEvent;
use crate::call::policy::Media;
use crate::call::record::Record;
use crate::edge::captures::Captures;
use crate::edge::inbox::{Letter, Mailbox};
use crate::edge::rtpengine::{RtpengineDesk, Rtpengines};
use crate::edge::writers::Records;
use crate::media::ng;
use crate::media::plan::{Gate, Plan, SessionId};
use crate::net::offload::Offload;
use crate::net::relay::{Event, Relay, Settings};
use crate::telemetry::media::MediaCounts;
use crate::telemetry::rtpengine::RtpengineCounts;
use crate::types::ids::CallUuid;

/// What relays media: our own relay, rtpengines, both, or nobody.
#[derive(Default)]
pub(super) struct Planes {
    relay: Option<Arc<Relay>>,
    /// Who has packets written down; `None`: nobody.
    captures: Option<Arc<Captures>>,
    /// `None`: there was none at the start.
    rtpengines: Option<Rtpengines>,
}

impl Planes {
    /// Starts what `media` wants; `threads` is how many share the relay's work.
    pub(super) fn start(
        media: &Media,
        threads: usize,
        (relayed, asked): (&Arc<MediaCounts>, RtpengineCounts),
        mailboxes: &[Mailbox],
        captures: Option<&Arc<Captures>>,
    ) -> io::Result<Self> {
        let mut planes = Self {
            captures: captures.cloned(),
            ..Self::default()
        };
        if media.is_open() {
            planes.relay = Some(start(media, threads, relayed, mailboxes.to_vec())?);
        }
        if media.rtpengine.is_any() {
            let terms = media.rtpengine.clone();
            planes.rtpengines = Some(Rtpengines::start(terms, asked, mailboxes.to_vec())?);
        }
        Ok(planes)
    }

    /// The relay, for the shard with this mailbox.
    pub(super) fn relay(&self, mailbox: &Mailbox) -> Option<MediaDesk> {
        let relay = self.relay.clone()?;
        let captures = self.captures.clone();
        Some(MediaDesk {
            relay,
            mailbox: mailbox.clone(),
            captures,
        })
    }

    /// The rtpengines, for the shard with this mailbox.
    pub(super) fn rtpengines(&self, mailbox: &Mailbox) -> Option<RtpengineDesk> {
        let rtpengines = self.rtpengines.as_ref()?;
        Some(rtpengines.desk(mailbox.clone()))
    }

    /// Goes by other terms from now on, if any rtpengine was there at the start.
    pub(super) fn set_terms(&self, terms: &ng::ask::Terms) {
        if let Some(rtpengines) = &self.rtpengines
            && !rtpengines.set_terms(terms.clone())
        {
            error!("the client of rtpengine is too busy to hear of its new settings");
        }
    }

    /// Whether a thread of the relay is gone.
    pub(super) fn is_broken(&self) -> bool {
        self.relay.as_ref().is_some_and(|relay| relay.is_broken())
    }

    /// Ends all; the records of the last calls are handed on. No shard may be left.
    pub(super) fn stop(self) {
        drop(self.relay);
        if let Some(captures) = self.captures {
            captures.close();
        }
        if let Some(rtpengines) = self.rtpengines {
            rtpengines.stop();
        }
    }
}

/// Starts the relay.
fn start(
    media: &Media,
    threads: usize,
    counts: &Arc<MediaCounts>,
    mailboxes: Vec<Mailbox>,
) -> io::Result<Arc<Relay>> {
    let settings = Settings {
        threads,
        dscp: EXPEDITED,
        keeps_digits: media.keeps_digits,
    };
    let offload = offload(&media.kernel, counts);
    let relay = Relay::start(settings, offload, counts, move |event| {
        tell(&mailboxes, event)
    })?;
    for (address, port) in media.shared_pairs() {
        let gate = Gate {
            address,
            port,
            is_shared: true,
        };
        relay.share(gate).map_err(io::Error::other)?;
    }
    Ok(Arc::new(relay))
}

/// Has the kernel forward streams that come in at these interfaces, as far as it lets us. Without it all goes through the sockets.
fn offload(interfaces: &[Box<str>], counts: &MediaCounts) -> Option<Offload> {
    if interfaces.is_empty() {
        return None;
    }
    let started = Offload::start(interfaces, EXPEDITED);
    let (offload, unattached) = started
        .inspect_err(
            |why| warn!(%why, "the kernel takes no streams, all media goes through the sockets"),
        )
        .ok()
        .unzip();
    for why in unattached.iter().flatten() {
        warn!(%why, "the kernel takes no streams there, their media goes through the sockets");
    }
    let offload = offload.filter(|offload| offload.interfaces() > 0);
    let attached = offload.as_ref().map_or(0, Offload::interfaces);
    counts.set_interfaces(attached, interfaces.len() - attached);
    offload
}

/// Expedited forwarding, what networks expect of voice (RFC 3246).
const EXPEDITED: u8 = 46;

/// Hands on what the relay has to say.
fn tell(mailboxes: &[Mailbox], event: Event) {
    let (id, lost) = match event {
        Event::Quiet { session, quiet } => (session, MediaLost::Quiet(quiet)),
        Event::Broken {
            session: Some(session),
            error,
        } => {
            warn!(%error, "a media port is lost");
            (session, MediaLost::Unbound)
        }
        Event::Broken {
            session: None,
            error,
        } => {
            warn!(%error, "a shared media port is lost");
            return;
        }
        Event::Foreign {
            session,
            party,
            source,
        } => {
            debug!(session = session.0, ?party, %source, "media from elsewhere");
            return;
        }
    };
    if let Some(mailbox) = mailboxes.get(usize::from(id.shard().0)) {
        // One that has no room is busy with calls; the relay will tell again of one that is still quiet.
        mailbox.post(Letter::Media { id, lost });
    }
}

/// The relay, as one shard uses it.
pub(super) struct MediaDesk {
    relay: Arc<Relay>,
    /// The shard's own.
    mailbox: Mailbox,
    captures: Option<Arc<Captures>>,
}

impl MediaDesk {
    /// Captures that have no call's media yet.
    fn waiting(&self) -> Option<&Captures> {
        let captures = self.captures.as_deref();
        captures.filter(|captures| captures.is_waiting())
    }

    /// Whether somebody waits for the media of a call.
    pub(super) fn awaits_media(&self) -> bool {
        self.waiting().is_some()
    }

    /// A call may have begun, or be over.
    pub(super) fn note_event(&self, event: &CallEvent) {
        let Some(captures) = self.waiting() else {
            return;
        };
        if let CallEvent::Started {
            uuid,
            trunk,
            dialled,
            ..
        } = event
        {
            captures.note_call(*uuid, trunk, dialled.as_ref());
        } else if let CallEvent::Ended { uuid, .. } = event {
            captures.note_end(*uuid);
        }
    }

    /// The relay may have a call's media: has its packets captured, if somebody waits for them.
    pub(super) fn capture(&self, uuid: CallUuid, id: SessionId) {
        if self.relay.has(id)
            && let Some(tap) = self.waiting().and_then(|captures| captures.take(uuid))
        {
            // What it has not any more has no packets either.
            self.relay.tap(id, tap);
        }
    }

    /// Carries out a plan. A call whose ports cannot be opened learns it by letter, for it is at work now.
    pub(super) fn connect(&self, id: SessionId, plan: Plan) {
        if let Err(why) = self.relay.connect(id, plan) {
            warn!(%why, "media is not relayed");
            let lost = MediaLost::Unbound;
            self.mailbox.post(Letter::Media { id, lost });
        }
    }

    /// Ends a call's media. Its record goes on with what the relay has heard.
    pub(super) fn end(&self, id: SessionId, mut record: Box<Record>, records: Option<Records>) {
        let done = move |figures| {
            record.figures = Some(Box::new(figures));
            if let Some(records) = records {
                // The loss is counted there.
                let _ = records.post(record);
            }
        };
        self.relay.close(id, Box::new(done));
    }
}
