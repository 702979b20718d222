//! Responses, and the requests that got none: which call each is for.

use std::time::Instant;

use crate::call::Engine;
use crate::call::core::{Owner, Report};
use crate::call::output::Event;
use crate::call::rescue::tripwire;
use crate::call::unwanted::{Unwanted, handle_parting_response};
use crate::sip::flow::Flow;
use crate::sip::message::{Method, Response};
use crate::transaction::layer::Answer;

impl Engine {
    pub(super) fn handle_response(
        &mut self,
        now: Instant,
        flow: Flow,
        response: &Response<'_>,
        bytes: &[u8],
    ) {
        let essentials = match response.essentials() {
            Ok(essentials) => essentials,
            Err(error) => {
                self.core.event(Event::Malformed { error, flow });
                return;
            }
        };
        let answer = self
            .core
            .transact(|layer, out| layer.receive_response(now, response, &essentials, out));
        let (id, owner) = match answer {
            Answer::Up { id, owner } => (id, owner),
            Answer::Absorbed => {
                self.core.event(Event::Repeated);
                return;
            }
            Answer::Stray => {
                self.core.event(Event::Stray);
                return;
            }
            Answer::Elsewhere(shard) => {
                self.forward(shard, flow, bytes);
                return;
            }
        };
        self.core.event(Event::Response {
            status: response.status,
        });
        let core = &mut self.core;
        let call = match owner {
            Owner::Attempt(key)
            | Owner::RelayOut(key)
            | Owner::Closing(key)
            | Owner::Prack(key)
            | Owner::Refresh(key)
            | Owner::Move(key)
            | Owner::Transfer(key) => self.registry.call(key),
            Owner::Nobody
            | Owner::Abandoned(_)
            | Owner::Unwanted(_)
            | Owner::Parting(_)
            | Owner::AbandonedWithin
            | Owner::Caller(_)
            | Owner::Probe(_)
            | Owner::RelayIn(_) => None,
        };
        tripwire("response");
        match (owner, call) {
            (Owner::Attempt(key), Some(call)) if let Some(turn) = call.turn_of(id) => {
                call.handle_attempt_response(now, core, turn, response, &essentials);
                self.registry.attend(now, key);
            }
            (Owner::RelayOut(key), Some(call)) => {
                call.handle_relay_response(now, core, id, response, &essentials);
                self.registry.attend(now, key);
            }
            (Owner::Closing(key), Some(call)) => {
                call.handle_bye_response(now, core, id, response);
                self.registry.attend(now, key);
            }
            (Owner::Refresh(key), Some(call)) => {
                call.handle_refresh_response(now, core, id, response, &essentials);
                self.registry.attend(now, key);
            }
            (Owner::Move(key), Some(call)) => {
                call.handle_move_response(now, core, id, response, &essentials);
                self.registry.attend(now, key);
            }
            (Owner::Transfer(key), Some(call)) => {
                call.handle_transfer_response(now, core, id, response, &essentials);
                self.registry.attend(now, key);
            }
            (Owner::Prack(key), Some(call)) => {
                call.handle_prack_response(now, core, id, response);
                self.registry.attend(now, key);
            }
            (Owner::Probe(place), None) => {
                let status = Some(response.status);
                self.probes
                    .handle_answer(core, &self.policy, (place, id), status);
            }
            (Owner::Parting(key), None) => {
                handle_parting_response(now, core, &self.policy, key, response);
            }
            (Owner::Unwanted(key), None) if response.status >= 300 => core.leavings.remove(key),
            _ if essentials.method == Method::Invite && (200..300).contains(&response.status) => {
                let unwanted = Unwanted {
                    policy: &self.policy,
                    id,
                    flow,
                    response,
                    essentials: &essentials,
                };
                if owner == Owner::AbandonedWithin {
                    unwanted.acknowledge(core, 0);
                } else if let Owner::Unwanted(key) = owner {
                    unwanted.acknowledge_and_part(now, core, key);
                } else if let Owner::Abandoned(spent) = owner {
                    unwanted.acknowledge_and_end(now, core, spent);
                } else {
                    unwanted.acknowledge_and_end(now, core, 0);
                }
            }
            _ => {}
        }
    }

    /// Tells calls which of their requests got no answer.
    pub(super) fn deliver_reports(&mut self, now: Instant) {
        while let Some(report) = self.core.poll_report() {
            let (Report::TimedOut { id, owner } | Report::Failed { id, owner }) = report;
            if let Owner::Unwanted(key) | Owner::Parting(key) = owner {
                self.core.leavings.remove(key);
            }
            if let Owner::Probe(place) = owner {
                let core = &mut self.core;
                self.probes
                    .handle_answer(core, &self.policy, (place, id), None);
            }
            let (Owner::Attempt(key)
            | Owner::RelayOut(key)
            | Owner::Refresh(key)
            | Owner::Move(key)
            | Owner::Transfer(key)
            | Owner::Closing(key)) = owner
            else {
                continue;
            };
            let Some(call) = self.registry.call(key) else {
                continue;
            };
            let is_lost = matches!(report, Report::Failed { .. });
            tripwire("report");
            match owner {
                Owner::Attempt(_) => call.handle_attempt_failure(now, &mut self.core, id),
                Owner::RelayOut(_) => {
                    call.handle_relay_failure(now, &mut self.core, id, is_lost);
                }
                Owner::Refresh(_) => {
                    call.handle_refresh_failure(now, &mut self.core, id, is_lost);
                }
                Owner::Move(_) => {
                    call.handle_move_failure(now, &mut self.core, id, is_lost);
                }
                Owner::Transfer(_) => {
                    call.handle_transfer_refused(now, &mut self.core, id, !is_lost);
                }
                Owner::Closing(_) if is_lost => call.handle_bye_failure(now, &mut self.core, id),
                Owner::Closing(_) => call.handle_bye_done(id),
                Owner::Nobody
                | Owner::Abandoned(_)
                | Owner::Unwanted(_)
                | Owner::Parting(_)
                | Owner::AbandonedWithin
                | Owner::Caller(_)
                | Owner::Probe(_)
                | Owner::RelayIn(_)
                | Owner::Prack(_) => {}
            }
            self.registry.attend(now, key);
        }
    }
}
