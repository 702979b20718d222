//! What goes into the engine.

use std::sync::Arc;

use crate::call::errand::Said;
use crate::call::memory::Recalled;
use crate::call::places::{Ticket, Verdict};
use crate::call::policy::Policy;
use crate::call::story::Reply;
use crate::hooks::postback::Post;
use crate::media::ng::ask::Told;
use crate::media::plan::SessionId;
use crate::media::vigil::Quiet;
use crate::sip::error::ParseError;
use crate::sip::flow::Flow;
use crate::sip::locate::{Located, Wanted};
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;

/// One thing that happened, handed to `Engine::handle`.
pub enum Input<'a> {
    /// A datagram came in on `flow`.
    Datagram {
        /// The way it came.
        flow: Flow,
        /// All of it.
        bytes: &'a [u8],
    },
    /// A stream cannot be read any further, and will be closed.
    Broken {
        /// The way it came.
        flow: Flow,
        /// What is wrong.
        error: ParseError,
        /// What there is of a message.
        head: &'a [u8],
    },
    /// A datagram came in when there is too much to do: if it would begin a call, it is refused with 503.
    Shed {
        /// The way it came.
        flow: Flow,
        /// All of it.
        bytes: &'a [u8],
        /// After how many seconds to try again; `None`: nothing is said of that.
        retry_after: Option<u32>,
    },
    /// The transport says that what was sent along `flow` did not get there (RFC 3261 §17.1.4).
    TransportFailed {
        /// The way that failed.
        flow: Flow,
    },
    /// The transport says that this message of ours can never be sent; others along its flow can.
    Unsendable {
        /// All of it.
        bytes: &'a [u8],
    },
    /// DNS says where a name is, whether asked by `Output::Resolve` or not; `None`: it is not found. An answer
    /// is good until the next.
    Resolved {
        /// The name.
        wanted: Arc<Wanted>,
        /// Where it is.
        located: Option<Arc<Located>>,
    },
    /// What time of day it is now; the engine keeps count from there. Until it is told, its days begin with the epoch.
    Clock(Moment),
    /// A new policy; calls under way keep the one they began with.
    Policy(Arc<Policy>),
    /// From now on new calls are refused with 503 because the edge is going down (`true`) or taken again (`false`).
    Drain(bool),
    /// From now on new calls are refused with 503 because nothing could be kept of them (`true`) or taken again (`false`).
    Shut(bool),
    /// This call was let in a moment ago, and could not be written down: it gets 503. Nothing that was said for it has left; its
    /// requests come back as [`Unsendable`](Self::Unsendable) afterwards.
    Unkept(CallUuid),
    /// End this call, or all of them, as if both sides had hung up.
    Hangup(Which),
    /// The answer to [`Output::Reserve`](crate::call::output::Output).
    Reserved {
        /// The question.
        ticket: Ticket,
        /// The answer.
        verdict: Verdict,
    },
    /// What became of an [`Output::Fetch`](crate::call::output::Output).
    Fetched {
        /// The question.
        ticket: Ticket,
        /// What was heard.
        reply: Reply,
    },
    /// The answer to an [`Output::Recall`](crate::call::output::Output), or what has come of another call of the same caller
    /// since.
    Recalled {
        /// The question.
        ticket: Ticket,
        /// What is remembered.
        recalled: Recalled,
    },
    /// Somebody who may says something of calls, which may be ours; answered by
    /// [`Output::Posted`](crate::call::output::Output) in the same breath.
    Posted(&'a Post),
    /// Another shard found out by OPTIONS whether a gateway is there.
    Probed {
        /// The buyer's id.
        buyer: &'a Arc<str>,
        /// The gateway's name.
        gateway: &'a Arc<str>,
        /// Whether it is not there.
        is_lost: bool,
    },
    /// The relay has lost the media of a call.
    Media {
        /// Which.
        id: SessionId,
        /// How.
        lost: MediaLost,
    },
    /// The answer to [`Output::AskMedia`](crate::call::output::Output).
    MediaTold(Told),
    /// What a vendor tells of a call that it carries; answered by `Output::Abroad`, now or later.
    Abroad(CallUuid, Said),
    /// The time that `Engine::poll_timeout` asked for has come.
    Timeout,
}

/// How a call's media was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaLost {
    /// Somebody has been quiet for too long.
    Quiet(Quiet),
    /// Its ports cannot be opened: somebody else has them.
    Unbound,
}

/// Which calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one of this name.
    One(CallUuid),
    /// All.
    All,
    /// All but those that a vendor carries: they are left as they are, for the next process.
    Leaving,
}
