//! Looks over the edge's shoulder: everything it hears and says passes here, and is held against what a
//! B2BUA must and must not do.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use strowger::call::output::Event;
use strowger::call::record::{Attempt, Record};
use strowger::media::plan::{Plan, SessionId};
use strowger::types::ids::CallUuid;

use super::client::PATIENCE;
use super::leg::{Answered, Invite, Leg};
use super::phone::Phone;
use super::relayed::Relayed;
use super::scenario::Scenario;
use super::tally::Tally;
use super::text::{Msg, uri_of};
use super::verdict::{CallWatch, check_record};

/// What was seen of one run.
pub(crate) struct Watch {
    pub(crate) is_stopped: bool,
    /// An rtpengine is asked, which takes its time or does not answer.
    is_far: bool,
    calls: Vec<CallWatch>,
    legs: BTreeMap<String, Leg>,
    /// Everything the edge said, to tell repetitions.
    said: HashSet<Bytes>,
    started: Vec<CallUuid>,
    recorded: Vec<CallUuid>,
    /// 2xx heard in this turn that must be acknowledged in it: Call-ID, To-tag, CSeq.
    to_acknowledge: Vec<(String, String, u32)>,
    faults: Vec<String>,
    pub(crate) relay: Relayed,
    tally: Tally,
}

impl Watch {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            is_stopped: false,
            is_far: scenario.is_far,
            calls: scenario
                .calls
                .iter()
                .map(|call| CallWatch::new(call, scenario.is_far))
                .collect(),
            legs: BTreeMap::new(),
            said: HashSet::new(),
            started: Vec::new(),
            recorded: Vec::new(),
            to_acknowledge: Vec::new(),
            faults: Vec::new(),
            relay: Relayed::new(scenario.is_relayed || scenario.is_far),
            tally: Tally::default(),
        }
    }

    pub(crate) fn fault(&mut self, text: String) {
        self.faults.push(text);
    }

    pub(crate) fn is_faulty(&self) -> bool {
        !self.faults.is_empty()
    }

    /// What was wrong, and what happened.
    pub(crate) fn into_parts(self) -> (Vec<String>, Tally) {
        (self.faults, self.tally)
    }

    pub(crate) fn unreachable(&mut self, address: SocketAddr) {
        for call in &mut self.calls {
            call.is_unreliable |= call.from == address
                || call
                    .buyers
                    .iter()
                    .any(|buyer| buyer.addresses.contains(&address));
        }
    }

    // --- what the edge hears

    pub(crate) fn heard(&mut self, now: Instant, from: SocketAddr, bytes: &Bytes) {
        self.tally.add("datagrams");
        let message = Msg::parse(bytes);
        let call_id = message.call_id().to_owned();
        if message.is_request() && !self.legs.contains_key(&call_id) {
            let digits = call_id
                .strip_prefix("call")
                .and_then(|rest| rest.split('-').next());
            let Some(call) = digits.and_then(|digits| digits.parse().ok()) else {
                self.fault(format!("{from} speaks of an unknown call {call_id}"));
                return;
            };
            self.legs.insert(call_id.clone(), Leg::new(call, true));
        }
        let Some(leg) = self.legs.get_mut(&call_id) else {
            if message.method() != "OPTIONS" {
                self.faults
                    .push(format!("{from} answers an unknown call {call_id}"));
            }
            return;
        };
        if !message.body.is_empty() {
            let body = self.relay.identity(&message.body);
            leg.bodies.insert(body);
        }
        if message.is_request() {
            if matches!(message.method(), "UPDATE" | "PRACK") && !message.body.is_empty() {
                leg.offers.insert(message.cseq());
            }
            let dialog = leg
                .dialogs
                .entry(message.tag_in_from().to_owned())
                .or_default();
            match message.method() {
                "ACK" => {
                    dialog.acks_heard.insert(message.cseq());
                }
                "BYE" => {
                    dialog.is_bye_heard = true;
                    leg.is_given_up |= leg.is_caller;
                }
                "INVITE" if message.tag_in_to().is_none() => {
                    leg.first_cseq = leg.first_cseq.max(message.cseq());
                }
                "PRACK" => {
                    let rseq = message.value("RAck").split(' ').next();
                    let rseq = rseq.and_then(|rseq| rseq.parse().ok());
                    leg.rseqs.remove(&rseq.unwrap_or(0));
                }
                "CANCEL" if leg.is_caller && message.tag_in_to().is_none() => {
                    leg.is_given_up = true
                }
                _ => {}
            }
            return;
        }
        self.heard_response(now, &call_id, &message);
    }

    fn heard_response(&mut self, now: Instant, call_id: &str, message: &Msg) {
        let Some(leg) = self.legs.get(call_id) else {
            return;
        };
        // A 2xx must not overtake an answer that the caller is yet to acknowledge (RFC 3262 §3), nor the one to an offer.
        let is_held = self.legs.values().any(|other| {
            let waits = other.is_caller && !other.rseqs.is_empty();
            other.call == leg.call && (waits || !other.offers.is_empty())
        });
        let Some(leg) = self.legs.get_mut(call_id) else {
            return;
        };
        let (status, cseq) = (message.status(), message.cseq());
        let tag = message.tag_in_to().unwrap_or_default().to_owned();
        match message.method() {
            "INVITE" => {
                let Some(invite) = leg.invites.get_mut(&cseq) else {
                    self.faults
                        .push(format!("{call_id}: an answer to INVITE {cseq}, not sent"));
                    return;
                };
                if status >= 200 && invite.status < 200 {
                    invite.status = status;
                }
                if (200..300).contains(&status) {
                    let dialog = leg.dialogs.entry(tag.clone()).or_default();
                    dialog.is_up = true;
                    let first = *invite.ok_at.get_or_insert(now);
                    let is_known = now < first + PATIENCE;
                    if is_known
                        && !is_held
                        && !self.is_far
                        && (invite.has_offer || dialog.acked.contains(&cseq))
                    {
                        self.to_acknowledge.push((call_id.to_owned(), tag, cseq));
                    }
                }
            }
            "BYE" if matches!(status, 401 | 407) => {
                leg.dialogs.entry(tag).or_default().may_repeat_bye = true;
            }
            _ => {}
        }
    }

    // --- what the edge says

    pub(crate) fn said(&mut self, now: Instant, to: SocketAddr, message: &Msg, bytes: Bytes) {
        self.tally.add("datagrams");
        let is_new = self.said.insert(bytes.clone());
        if message.is_request() {
            self.said_request(now, to, message, is_new);
        } else {
            self.said_response(now, message, bytes, is_new);
        }
    }

    fn said_request(&mut self, now: Instant, to: SocketAddr, message: &Msg, is_new: bool) {
        let call_id = message.call_id().to_owned();
        let tag = message.tag_in_to().unwrap_or_default().to_owned();
        let (method, cseq) = (message.method().to_owned(), message.cseq());
        let name = format!("{method} {cseq} to {to}");
        if message.first("Max-Forwards").is_none() || !message.branch().starts_with("z9hG4bK") {
            self.faults
                .push(format!("{name} lacks Max-Forwards or a branch"));
        }
        if method == "OPTIONS" && tag.is_empty() {
            self.tally.add("probe");
            return;
        }
        if method == "INVITE" && tag.is_empty() && is_new {
            self.said_first(&call_id, to, message);
        }
        let Some(leg) = self.legs.get_mut(&call_id) else {
            self.faults
                .push(format!("{name}: unknown Call-ID {call_id}"));
            return;
        };
        if message.tag_in_from() != leg.own_tag() {
            self.faults.push(format!("{name}: our tag has changed"));
        }
        if !leg.is_caller
            && (message
                .fields
                .iter()
                .any(|(_, value)| value.contains("evil")))
        {
            self.faults
                .push(format!("{name}: a header of the caller's got through"));
        }
        if method == "INVITE" && is_new {
            leg.invites.insert(
                cseq,
                Invite {
                    has_offer: !message.body.is_empty(),
                    is_first: tag.is_empty(),
                    status: 0,
                    ok_at: None,
                },
            );
        }
        if method == "ACK" {
            let failed = leg
                .invites
                .get(&cseq)
                .is_some_and(|invite| invite.status >= 300);
            if !failed {
                leg.dialogs
                    .entry(tag.clone())
                    .or_default()
                    .acked
                    .insert(cseq);
            }
            self.to_acknowledge
                .retain(|one| *one != (call_id.clone(), tag.clone(), cseq));
        } else if !tag.is_empty() && is_new && method != "CANCEL" {
            let is_caller = leg.is_caller;
            let dialog = leg.dialogs.entry(tag).or_default();
            if dialog.is_bye_heard {
                self.faults
                    .push(format!("{name} after the other side's BYE"));
            }
            let is_repeat = method == "BYE" && dialog.may_repeat_bye;
            if !dialog.byes.is_empty() && !is_repeat {
                self.faults.push(format!("{name} after our own BYE"));
            }
            if method == "BYE" {
                dialog.may_repeat_bye = false;
                if !dialog.byes.insert(cseq) {
                    self.faults
                        .push(format!("{name}: its CSeq was used before"));
                }
                let waited = dialog.ok_at.is_some_and(|at| now >= at + PATIENCE);
                if is_caller && dialog.acks_heard.is_empty() && !waited {
                    self.faults
                        .push(format!("{name} before the caller's ACK (RFC 3261 §15)"));
                }
            }
        }
        if !message.body.is_empty() {
            self.check_body(&call_id, &name, &message.body);
        }
    }

    /// The INVITE that offers a call to a buyer.
    fn said_first(&mut self, call_id: &str, to: SocketAddr, message: &Msg) {
        let name = uri_of(message.value("To")).unwrap_or_default().to_owned();
        let place = self.calls.iter().position(|call| {
            call.buyers
                .iter()
                .any(|buyer| buyer.addresses.contains(&to) && name.contains(&buyer.name))
        });
        let Some(call) = place else {
            self.faults
                .push(format!("INVITE to {name}, who is nobody's buyer"));
            return;
        };
        let watch = &mut self.calls[call];
        if watch.is_recorded {
            self.faults
                .push(format!("INVITE to {name} after the record"));
        }
        if !self.legs.contains_key(call_id) {
            watch.offers.push(call_id.to_owned());
            let mut leg = Leg::new(call, false);
            message.tag_in_from().clone_into(&mut leg.own_tag);
            if self.legs.values().any(|other| other.own_tag == leg.own_tag) {
                self.faults
                    .push(format!("{name}: a From-tag that was used before"));
            }
            self.legs.insert(call_id.to_owned(), leg);
        }
        for (header, needed) in [
            ("X-PH-RetreaverUUID", 1),
            ("X-PH-RetreaverKey", 1),
            ("X-PH-RetreaverAFID", 1),
            ("X-PH-RetreaverSID", 1),
            ("Max-Forwards", 1),
            ("X-Strowger-Hop", 1),
        ] {
            let found = message
                .fields
                .iter()
                .filter(|(one, _)| one == header)
                .count();
            if found != needed {
                self.faults
                    .push(format!("INVITE to {name} has {found} {header}"));
            }
        }
        let strange = message.fields.iter().find(|(one, _)| {
            let lower = one.to_ascii_lowercase();
            lower.starts_with("x-ph-") && !one.starts_with("X-PH-Retreaver")
        });
        if let Some((header, _)) = strange {
            self.faults.push(format!("INVITE to {name} has {header}"));
        }
        if message.value("Max-Forwards") != "69" {
            self.faults.push(format!(
                "INVITE to {name}: Max-Forwards was not counted down"
            ));
        }
    }

    fn said_response(&mut self, now: Instant, message: &Msg, bytes: Bytes, is_new: bool) {
        let call_id = message.call_id().to_owned();
        let (status, cseq, method) = (
            message.status(),
            message.cseq(),
            message.method().to_owned(),
        );
        let tag = message.tag_in_to().map(str::to_owned);
        let Some(leg) = self.legs.get_mut(&call_id) else {
            self.faults.push(format!(
                "{status} {method} for an unknown Call-ID {call_id}"
            ));
            return;
        };
        if status == 100 {
            return;
        }
        if matches!(method.as_str(), "UPDATE" | "PRACK") {
            leg.offers.remove(&cseq);
        }
        if let Some(rseq) = message.first("RSeq")
            && is_new
        {
            leg.rseqs.insert(rseq.parse().expect("a number"));
        }
        let name = format!("{status} {method} {cseq} of {call_id}");
        let key = (cseq, method.clone());
        if let Some(before) = leg.answers.get(&key) {
            if before.tag != tag {
                self.faults.push(format!(
                    "{name}: another To-tag, {tag:?} after {:?}",
                    before.tag
                ));
            }
            // A refusal that nothing was kept of becomes 481 once the call is gone.
            let is_gone = status == 481 && matches!(before.status, 500 | 603);
            // And the nonce-count of an INVITE that was refused for the drain is used up.
            let is_used_up = status == 401 && before.status == 503;
            let is_stateless = is_gone || is_used_up;
            if before.status >= 200 && before.status != status && !is_stateless {
                self.faults.push(format!("{name} after {}", before.status));
            }
            if (200..300).contains(&before.status) && before.bytes != bytes {
                self.faults
                    .push(format!("{name}: another text than before"));
            }
        }
        let is_new = leg
            .answers
            .get(&key)
            .is_none_or(|before| before.status != status);
        leg.answers.insert(
            key,
            Answered {
                tag: tag.clone(),
                status,
                bytes,
            },
        );
        if method == "INVITE" && (200..300).contains(&status) && is_new {
            if leg.own_tag.is_empty() {
                leg.own_tag = tag.unwrap_or_default();
                self.calls[leg.call].is_answered = true;
            }
            let peer = message.tag_in_from().to_owned();
            let dialog = leg.dialogs.entry(peer).or_default();
            dialog.is_up = true;
            dialog.oks.insert(cseq);
            dialog.ok_at.get_or_insert(now);
        }
        if method == "INVITE" && leg.first_cseq == cseq && status >= 200 {
            self.calls[leg.call].first_final = status;
        }
        if !message.body.is_empty() {
            self.check_body(&call_id, &name, &message.body);
        }
    }

    /// Bodies pass as they are, from the other leg of the same call; where our relay is, with other addresses in them.
    fn check_body(&mut self, call_id: &str, name: &str, body: &str) {
        let Some(leg) = self.legs.get(call_id) else {
            return;
        };
        let (call, is_caller) = (leg.call, leg.is_caller);
        let body = &self.relay.identity(body);
        let is_known = self.legs.values().any(|other| {
            other.call == call && other.is_caller != is_caller && other.bodies.contains(body)
        });
        if !is_known {
            self.faults
                .push(format!("{name}: a body that the other side did not send"));
        }
    }

    // --- what the edge reports

    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::Started { uuid, .. } => {
                if self.started.contains(uuid) {
                    self.fault(format!("{uuid} started twice"));
                }
                self.started.push(*uuid);
                self.tally.add("calls");
            }
            Event::TakenUp { .. } => self.tally.add("taken up"),
            Event::Unbuildable => self.fault("a message could not be built".to_owned()),
            Event::Panicked => self.fault("a handler has panicked".to_owned()),
            Event::TableFull { table } => self.fault(format!("{table} full")),
            Event::Stray => self.tally.add("stray"),
            Event::Repeated => self.tally.add("repeated"),
            Event::Retransmitted => self.tally.add("retransmitted"),
            Event::Malformed { .. } => self.tally.add("malformed"),
            Event::Refused { why, .. } => self.tally.add(why.label()),
            Event::MediaUnfit { why, .. } if self.is_far => self.tally.add(why),
            Event::MediaUnfit { why, .. } => self.fault(format!("media is refused: {why}")),
            Event::Request { method } => self.tally.add(method),
            Event::Gateway { .. } => self.tally.add("gateway"),
            Event::LoggedIn { .. }
            | Event::CallerRefused { .. }
            | Event::Response { .. }
            | Event::AttemptFailed { .. }
            | Event::Skipped { .. }
            | Event::LimitReached { .. }
            | Event::Hook { .. }
            | Event::Recalled { .. }
            | Event::TagsTaken { .. }
            | Event::Answered { .. }
            | Event::Ended { .. } => {}
        }
    }

    /// The relay was told what to do.
    pub(crate) fn plan(&mut self, id: SessionId, plan: &Plan) {
        if let Err(fault) = self.relay.plan(id, plan) {
            self.faults.push(fault);
        }
    }

    pub(crate) fn record(&mut self, now: Instant, record: &Record) {
        if let Err(fault) = self.relay.end(record) {
            self.faults.push(fault);
        }
        if !self.started.contains(&record.uuid) || self.recorded.contains(&record.uuid) {
            self.faults
                .push(format!("{}: no such call, or recorded twice", record.uuid));
        }
        self.recorded.push(record.uuid);
        self.tally.add(record.outcome.label());
        for attempt in &record.attempts {
            self.tally.add(attempt.result.label());
        }
        for skipped in &record.skipped {
            self.tally.add(skipped.why.label());
        }
        let is_again = |two: &[Attempt]| two[0].buyer.id == two[1].buyer.id;
        if record.attempts.windows(2).any(is_again) {
            self.tally.add("second_gateway");
        }
        let met = |one: &Attempt| {
            let mut others = record.attempts.iter();
            others.any(|other| other.buyer.id != one.buyer.id && other.began == one.began)
        };
        if record.attempts.iter().any(met) {
            self.tally.add("several_at_once");
        }
        let call_id = String::from_utf8_lossy(&record.call_id).into_owned();
        let Some(leg) = self.legs.get(&call_id) else {
            // An INVITE that a stranger damaged, at a place where strangers may call.
            self.faults
                .push(format!("a record of an unknown call {call_id}"));
            return;
        };
        let place = leg.call;
        if std::mem::replace(&mut self.calls[place].is_recorded, true) {
            self.faults.push(format!("{call_id}: a second record"));
        }
        let legs: Vec<_> = self.legs.values().filter(|leg| leg.call == place).collect();
        let found = check_record(now, record, &self.calls[place], &legs, self.is_stopped);
        self.faults
            .extend(found.into_iter().map(|fault| format!("{call_id}: {fault}")));
    }

    /// After each turn of the edge.
    pub(crate) fn check_turn(&mut self) {
        for (call_id, tag, cseq) in std::mem::take(&mut self.to_acknowledge) {
            self.faults
                .push(format!("{call_id}: no ACK for the 2xx {cseq} of {tag}"));
        }
        for (place, call) in self.calls.iter().enumerate() {
            let connected = self
                .legs
                .values()
                .filter(|leg| leg.call == place && !leg.is_caller)
                .flat_map(|leg| leg.dialogs.values())
                .filter(|dialog| dialog.is_up && dialog.byes.is_empty() && !dialog.is_bye_heard)
                // The BYE has to wait for the ACK of a re-INVITE (RFC 3261 §15).
                .filter(|dialog| dialog.oks.is_subset(&dialog.acks_heard))
                .count();
            let most = usize::from(!call.is_recorded);
            if connected > most {
                let recorded = if call.is_recorded {
                    "recorded"
                } else {
                    "living"
                };
                self.faults.push(format!(
                    "{connected} buyers connected in {recorded} call {place}"
                ));
            }
        }
    }

    pub(crate) fn check_phone(&mut self, phone: &Phone) {
        let call = &self.calls[phone.call];
        if phone.has_vanished || call.is_unreliable {
            return;
        }
        self.faults.extend(phone.leftovers());
        if phone.has_expired {
            let name = &phone.name;
            self.faults
                .push(format!("{name}: nobody refreshed the session"));
        }
        if phone.is_caller
            && let Some(heard) = phone.heard
            && heard != call.first_final
            && call.first_final != 0
            && call.is_recorded
        {
            self.faults.push(format!(
                "caller heard {heard}, edge said {}",
                call.first_final
            ));
        }
    }

    pub(crate) fn check_end(&mut self) {
        if self.started.len() != self.recorded.len() {
            let (started, recorded) = (self.started.len(), self.recorded.len());
            self.faults
                .push(format!("{started} calls, {recorded} records"));
        }
        for (call_id, leg) in &self.legs {
            for (cseq, invite) in &leg.invites {
                let is_ok = (200..300).contains(&invite.status);
                let is_acked = leg
                    .dialogs
                    .values()
                    .any(|dialog| dialog.acked.contains(cseq));
                if is_ok && !is_acked {
                    self.faults
                        .push(format!("{call_id}: 2xx of INVITE {cseq} without ACK"));
                }
                if invite.is_first && leg.is_caller {
                    self.faults
                        .push(format!("{call_id}: we began a call to the caller"));
                }
            }
            for (tag, dialog) in &leg.dialogs {
                if dialog.is_up && dialog.byes.is_empty() && !dialog.is_bye_heard {
                    self.faults
                        .push(format!("{call_id}: the dialog with {tag} never ended"));
                }
            }
        }
    }
}
