//! The table of connections: which of them leads where, and whose task it is.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use tokio::task::AbortHandle;

use crate::net::streams::connection::{Mailbox, Unposted};
use crate::net::streams::quota::{Quota, Serial};
use crate::sip::flow::Flow;

/// All connections, those included that are not agreed on yet.
#[derive(Default)]
pub(super) struct Table {
    pub(super) by_flow: HashMap<Flow, Line>,
    pub(super) quota: Quota,
    pub(super) tasks: HashMap<Serial, AbortHandle>,
    next: u64,
}

/// A way that is open, or is being opened.
pub(super) struct Line {
    pub(super) serial: Serial,
    pub(super) mailbox: Mailbox,
    pub(super) is_kept: Arc<AtomicBool>,
}

impl Table {
    pub(super) fn next_serial(&mut self) -> Serial {
        self.next += 1;
        Serial(self.next)
    }

    /// Puts a message into the mailbox of `flow`; without one, it is given back.
    pub(super) fn post(&self, flow: Flow, bytes: Bytes) -> Posted {
        let Some(line) = self.by_flow.get(&flow) else {
            return Posted::NoLine(bytes);
        };
        match line.mailbox.post(bytes.clone()) {
            Ok(()) => Posted::Yes,
            Err(Unposted::Gone) => Posted::NoLine(bytes),
            Err(Unposted::Full) => {
                let serial = line.serial;
                self.evict(Some(serial));
                Posted::Unread
            }
        }
    }

    /// Ends the task of a connection; its seat is cleared by itself.
    pub(super) fn evict(&self, serial: Option<Serial>) {
        if let Some(task) = serial.and_then(|serial| self.tasks.get(&serial)) {
            task.abort();
        }
    }
}

/// What became of a message.
pub(super) enum Posted {
    /// It is on its way.
    Yes,
    /// The peer does not read; its connection ends.
    Unread,
    /// Nothing leads there.
    NoLine(Bytes),
}
