//! A BYE of ours, and what it says.

use std::time::Instant;

use bytes::Bytes;

use crate::call::a_leg::write_reason;
use crate::call::core::{Core, Owner};
use crate::call::face::Face;
use crate::call::record::Outcome;
use crate::dialog::Dialog;
use crate::sip::message::Method;
use crate::transaction::layer::ClientId;

/// What a BYE of ours says of its cause.
#[derive(Clone)]
pub(crate) enum Why {
    /// Nothing.
    Unsaid,
    /// Why we hang up.
    Ours(Outcome),
    /// What the side that hung up said, as far as it passes.
    Theirs(Box<[u8]>),
}

/// Status and text of the Reason of our BYE.
fn reason_of(why: Outcome) -> (u16, &'static str) {
    if why == Outcome::SessionExpired {
        (408, "Session timer expired")
    } else {
        (200, why.label())
    }
}

/// Sends a BYE within `dialog`; `None` if it cannot be sent.
pub(crate) fn send_bye(
    now: Instant,
    core: &mut Core,
    face: Face<'_>,
    dialog: &mut Dialog,
    owner: Owner,
    why: &Why,
) -> Option<(ClientId, Bytes)> {
    let client = {
        let Core { layer, entropy, .. } = &mut *core;
        layer.prepare(entropy)?
    };
    let branch = core.layer.branch(client);
    let flow = dialog.flow();
    let cseq = dialog.next_cseq();
    let mut writer = dialog.write_request(
        &mut core.buffer,
        Method::Bye,
        cseq,
        face.advertised(flow.listener),
        &branch,
        70,
    );
    match why {
        Why::Unsaid => {}
        Why::Ours(why) => {
            let (status, text) = reason_of(*why);
            write_reason(&mut writer, status, text);
        }
        Why::Theirs(lines) => {
            writer.append(lines);
        }
    }
    let built = writer.finish(b"");
    let Some(bye) = core.built(built) else {
        core.layer.release(client);
        return None;
    };
    let copy = bye.clone();
    core.transact(|layer, out| layer.send_request(now, client, flow, copy, owner, out));
    Some((client, bye))
}
