//! A user agent's session timer (RFC 4028), and its UPDATEs (RFC 3311).

use std::time::Duration;

use super::{Phone, Turn};
use crate::sim::plan::Step;
use crate::sim::text::{Msg, param};

impl Phone {
    /// Adds what this user agent says of itself to a request of its own, or to a 2xx.
    pub(super) fn capable(&self, message: Msg) -> Msg {
        match self.plan.takes_update {
            Some(true) => message.with("Allow", "INVITE, ACK, BYE, CANCEL, PRACK,UPDATE"),
            Some(false) => message.with("Allow", "INVITE, ACK, BYE, CANCEL"),
            None => message,
        }
    }

    /// Adds what it asks of the session timer: at first what it wants, then what holds.
    pub(super) fn asking(&self, message: Msg) -> Msg {
        let Some(plan) = &self.plan.session else {
            return message;
        };
        let message = message.with("Supported", "timer");
        match (self.session, plan.expires) {
            (Some((interval, is_ours)), _) => {
                let who = if is_ours { "uac" } else { "uas" };
                message.with("Session-Expires", format!("{interval};refresher={who}"))
            }
            (None, Some(expires)) => {
                let who = plan
                    .refresher
                    .map_or_else(String::new, |who| format!(";refresher={who}"));
                message.with("Session-Expires", format!("{expires}{who}"))
            }
            (None, None) => message,
        }
    }

    /// Answers what the edge asks of the timer, in a 2xx, and keeps to it.
    pub(super) fn agreeing(&mut self, turn: &Turn<'_>, request: &Msg, reply: Msg) -> Msg {
        let asked = request.value("Session-Expires");
        let (Some(plan), Some(interval)) = (&self.plan.session, seconds(asked)) else {
            return reply;
        };
        let interval = plan.expires.map_or(interval, |ours| interval.min(ours));
        let who = param(asked, "refresher").or(plan.refresher);
        // Whoever does not say so leaves it to the edge.
        let is_ours = who == Some("uas");
        let value = who.map_or_else(
            || interval.to_string(),
            |who| format!("{interval};refresher={who}"),
        );
        self.agree(turn, interval, is_ours);
        reply.with("Require", "timer").with("x", value)
    }

    /// Takes in what the edge answered to a request that asked for a timer.
    pub(super) fn agreed(&mut self, turn: &Turn<'_>, ok: &Msg) {
        let value = ok.value("Session-Expires");
        let Some(interval) = seconds(value) else {
            if self.session.is_some() {
                self.fault("a 2xx that forgets the session timer".to_owned());
            }
            return;
        };
        if self.plan.session.is_none() {
            self.fault("a session timer that nobody asked for".to_owned());
        }
        if interval < 90 {
            self.fault(format!("a session interval of {interval}"));
        }
        match param(value, "refresher") {
            Some("uac") => self.agree(turn, interval, true),
            Some("uas") => self.agree(turn, interval, false),
            other => self.fault(format!("a refresher called {other:?}")),
        }
    }

    fn agree(&mut self, turn: &Turn<'_>, interval: u32, is_ours: bool) {
        self.session = Some((interval, is_ours));
        self.agenda
            .retain(|(_, step)| !matches!(step, Step::Refresh | Step::Expire));
        let interval = Duration::from_secs(interval.into());
        let keeps = self.plan.session.as_ref().is_some_and(|plan| plan.keeps);
        if !is_ours {
            self.agenda.push((turn.now + interval, Step::Expire));
        } else if keeps {
            self.agenda.push((turn.now + interval / 2, Step::Refresh));
        }
    }

    pub(super) fn refresh(&mut self, turn: &mut Turn<'_>) {
        // Until it is answered; then anew.
        let later = turn.now + turn.dice.millis(3000, 5000);
        self.agenda.push((later, Step::Refresh));
        if turn.dice.chance(50) {
            self.reinvite(turn, true);
        } else {
            let update = self.request("UPDATE");
            let update = self.asking(update);
            self.send(turn, "UPDATE", &update);
        }
    }

    pub(super) fn update(&mut self, turn: &mut Turn<'_>, has_offer: bool) {
        if has_offer && self.is_exchanging() {
            let later = turn.now + turn.dice.millis(100, 2000);
            self.agenda.push((later, Step::Update { has_offer }));
            return;
        }
        let mut update = self.request("UPDATE");
        if has_offer {
            let sdp = self.body();
            update = update.with_sdp(&sdp);
        }
        let update = self.asking(update);
        let at = self.send(turn, "UPDATE", &update);
        self.clients[at].has_offer = has_offer;
    }

    /// Whether an INVITE or an offer is under way, in either direction.
    pub(super) fn is_exchanging(&self) -> bool {
        let offers = |one: &crate::sim::client::Client| one.method == "INVITE" || one.has_offer;
        self.clients.iter().any(|one| offers(one) && !one.is_done())
            || self
                .servers
                .iter()
                .any(|one| one.is_invite() && (one.is_open() || one.is_unacked()))
    }

    /// An UPDATE of the edge's.
    pub(super) fn handle_update(&mut self, turn: &mut Turn<'_>, at: usize, message: &Msg) {
        let has_offer = !message.body.is_empty();
        if self.plan.takes_update == Some(false) {
            self.fault("an UPDATE, though Allow names none".to_owned());
            self.reply(turn, at, 405);
        } else if has_offer && self.is_exchanging() {
            self.reply(turn, at, 491);
        } else {
            self.reply(turn, at, 200);
        }
    }
}

fn seconds(value: &str) -> Option<u32> {
    value.split(';').next()?.trim().parse().ok()
}
