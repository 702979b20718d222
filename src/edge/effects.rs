//! Does what the engine's outputs say.

use std::time::Instant;

use crate::call::output::Output;
use crate::edge::inbox::{Letter, Mailbox};
use crate::edge::writers::Records;
use crate::net::udp::{Batches, Port, Report};
use crate::sip::flow::{Flow, Transport};
use crate::telemetry::log::Narrator;
use crate::telemetry::metrics::Tally;
use crate::types::ids::ShardId;

/// Everything that a shard's outputs act on.
pub(super) struct Effects {
    own: ShardId,
    /// By [`ListenerId`](crate::sip::flow::ListenerId).
    ports: Vec<Port>,
    /// By [`ShardId`], the own one included.
    shards: Vec<Mailbox>,
    records: Option<Records>,
    tally: Tally,
    narrator: Narrator,
    report: Report,
}

impl Effects {
    pub(super) fn new(
        own: ShardId,
        ports: Vec<Port>,
        shards: Vec<Mailbox>,
        records: Option<Records>,
        tally: Tally,
    ) -> Self {
        Self {
            own,
            ports,
            shards,
            records,
            tally,
            narrator: Narrator::default(),
            report: Report::default(),
        }
    }

    pub(super) fn ports(&mut self) -> &mut [Port] {
        &mut self.ports
    }

    /// Does one thing; messages wait for the [`flush`](Self::flush).
    pub(super) fn perform(&mut self, now: Instant, output: Output) {
        match output {
            Output::Transmit { flow, bytes } => match port(&mut self.ports, &flow) {
                Some(port) => port.send(flow.remote, bytes, &mut self.report),
                None => self.report.refuse(flow),
            },
            Output::Forward { shard, flow, bytes } => {
                // A number that is no shard's, or our own, was made up by a peer.
                let owner = self.shards.get(usize::from(shard.0));
                let letter = Letter::Datagram { flow, bytes };
                match owner.filter(|_| shard != self.own) {
                    Some(owner) if owner.post(letter) => self.tally.add_handed(),
                    _ => self.tally.add_forward_dropped(),
                }
            }
            Output::Event(event) => {
                self.tally.handle_event(&event);
                self.narrator.handle_event(now, &event);
            }
            Output::Record(record) => {
                if let Some(records) = &self.records
                    && let Err(record) = records.post(record)
                {
                    self.narrator.handle_lost_record(now, &record);
                }
            }
        }
    }

    /// Sends what waits, one batch per port.
    pub(super) fn flush(&mut self, batches: &mut Batches) {
        for port in &mut self.ports {
            port.flush(batches, &mut self.report);
        }
    }

    /// Takes what ICMP said to the port at `index`; `true`: there may be more.
    pub(super) fn take_errors(&mut self, index: usize) -> bool {
        match self.ports.get_mut(index) {
            Some(port) => port.take_errors(&mut self.report),
            None => false,
        }
    }

    /// The next flow that failed. The other shards are told too: the kernel hands an ICMP error to
    /// any of the sockets that share the port.
    pub(super) fn poll_failed(&mut self) -> Option<Flow> {
        let flow = self.report.failed.pop()?;
        for (index, shard) in self.shards.iter().enumerate() {
            if index != usize::from(self.own.0) {
                shard.post(Letter::TransportFailed(flow));
            }
        }
        Some(flow)
    }

    /// Makes this wake-up's counts visible.
    pub(super) fn publish(&mut self, received: u64) {
        let report = &mut self.report;
        self.tally.add_received(received);
        self.tally.add_sent(std::mem::take(&mut report.sent));
        let (blocked, refused) = (
            std::mem::take(&mut report.blocked),
            std::mem::take(&mut report.refused),
        );
        if blocked + refused > 0 {
            self.tally.add_send_drops(blocked, refused);
        }
        self.tally.publish();
    }
}

fn port<'p>(ports: &'p mut [Port], flow: &Flow) -> Option<&'p mut Port> {
    match flow.transport {
        Transport::Udp => ports.get_mut(usize::from(flow.listener.0)),
        // There are no listeners of these yet; whoever asks for one hears that it failed.
        Transport::Tcp | Transport::Tls => None,
    }
}
