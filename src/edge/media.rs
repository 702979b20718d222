//! Media as the shards see it: plans go to the relay, its events come back as letters, and a call's record passes
//! through it, for its figures.

use std::io;
use std::sync::Arc;

use tracing::{debug, warn};

use crate::call::input::MediaLost;
use crate::call::policy::Media;
use crate::call::record::Record;
use crate::edge::inbox::{Letter, Mailbox};
use crate::edge::writers::Records;
use crate::media::plan::{Plan, SessionId};
use crate::net::relay::{Event, Relay, Settings};
use crate::telemetry::media::MediaCounts;

/// Starts the relay; `threads` is how many share the work.
pub(super) fn start(
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
    let relay = Relay::start(settings, counts, move |event| tell(&mailboxes, event))?;
    Ok(Arc::new(relay))
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
}

impl MediaDesk {
    pub(super) fn new(relay: Arc<Relay>, mailbox: Mailbox) -> Self {
        Self { relay, mailbox }
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
