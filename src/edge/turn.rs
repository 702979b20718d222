//! One turn of an engine: an input, and all that comes of it.

use std::panic;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use crate::call::Engine;
use crate::call::input::Input;
use crate::call::output::Output;
use crate::edge::effects::Effects;
use crate::edge::media::MediaDesk;
use crate::sip::flow::Flow;

/// Does all that the engine says. A question for a place is answered in the same breath.
pub(super) fn drain(engine: &mut Engine, effects: &mut Effects, now: Instant) {
    effects.exits().begin_turn();
    while let Some(output) = engine.poll_output() {
        let Output::Reserve {
            ticket,
            call,
            claimant,
        } = output
        else {
            let mut planned = None;
            if let Output::Media { id, .. } = &output
                && effects.media.as_ref().is_some_and(MediaDesk::awaits_media)
            {
                planned = Some(*id);
            }
            effects.perform(now, output);
            if let (Some(id), Some(desk)) = (planned, &effects.media)
                && let Some(uuid) = engine.whose_media(id)
            {
                desk.capture(uuid, id);
            }
            continue;
        };
        let verdict = effects.reserve(ticket, call, &claimant);
        let answer = Input::Reserved { ticket, verdict };
        if let Err(panic) = attempt(engine, now, answer) {
            panic.rescue(engine, now, None);
        }
    }
}

/// Has the engine handle one input. A panic costs the call that it worked on; see `call::rescue`.
pub(super) fn attempt(engine: &mut Engine, now: Instant, input: Input<'_>) -> Result<(), Panic> {
    panic::catch_unwind(AssertUnwindSafe(|| engine.handle(now, input))).map_err(|_| Panic)
}

/// A handler has panicked.
pub(super) struct Panic;

impl Panic {
    /// Gives up the call that was at hand. A panic of the last resort ends the shard.
    pub(super) fn rescue(self, engine: &mut Engine, now: Instant, datagram: Option<(Flow, &[u8])>) {
        let rescue = || engine.rescue(now, datagram);
        if panic::catch_unwind(AssertUnwindSafe(rescue)).is_err() {
            engine.discard(now);
        }
    }
}
