//! The requests on their way: which rtpengine each is asked of, when it is sent again, and when it is given up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use tokio::sync::mpsc;
use tokio::time;
use tracing::{debug, info, warn};

use crate::media::ng;
use crate::media::ng::ask::{Ask, Failure, Terms, Ticket, Told};
use crate::media::ng::{Names, Reply, Request};
use crate::net::clock;
use crate::net::rtpengine::instance::{Arrived, Instance};
use crate::net::rtpengine::{Audience, Order};
use crate::routing::weight::rank;

/// A request on its way.
struct Flight {
    /// `None`: a ping of our own.
    ticket: Option<Ticket>,
    request: Request,
    /// Cookie and all.
    wire: Vec<u8>,
    place: SocketAddr,
    /// The asker said where; it goes nowhere else.
    is_placed: bool,
    /// Who was asked before.
    tried: SmallVec<[SocketAddr; 4]>,
    began: Instant,
    resent: u32,
    /// When it is sent again or given up.
    due: Instant,
}

pub(super) struct Desk<A> {
    audience: A,
    timeout: Duration,
    ping: Duration,
    /// Those of the terms, and those that calls still name.
    instances: BTreeMap<SocketAddr, Instance>,
    arrivals: mpsc::Sender<Arrived>,
    /// By the number in their cookies; [`MOST_FLIGHTS`] and a ping each.
    flights: BTreeMap<u64, Flight>,
    /// When flights are due, each once.
    calendar: BTreeSet<(Instant, u64)>,
    /// Random, so that nobody else's datagram answers.
    prefix: u64,
    next: u64,
}

impl<A: Audience> Desk<A> {
    /// Opens what `terms` name. Cookies begin with `prefix`; what comes goes through `arrivals`.
    pub(super) fn new(
        now: Instant,
        terms: &Terms,
        prefix: u64,
        (audience, arrivals): (A, mpsc::Sender<Arrived>),
    ) -> Self {
        let mut desk = Self {
            audience,
            timeout: terms.timeout,
            ping: terms.ping,
            instances: BTreeMap::new(),
            arrivals,
            flights: BTreeMap::new(),
            calendar: BTreeSet::new(),
            prefix,
            next: 0,
        };
        desk.set_terms(now, terms);
        desk
    }

    pub(super) async fn run(
        &mut self,
        mut orders: mpsc::Receiver<Order>,
        mut arrived: mpsc::Receiver<Arrived>,
    ) {
        let mut is_open = true;
        while is_open || self.has_questions() {
            let next = self.do_due(clock::now());
            let pause = next.map_or(LONG, |next| next.saturating_duration_since(clock::now()));
            tokio::select! {
                order = orders.recv(), if is_open => match order {
                    Some(Order::Ask(ask)) => self.take(clock::now(), *ask),
                    Some(Order::Terms(terms)) => self.set_terms(clock::now(), &terms),
                    None => is_open = false,
                },
                Some(arrived) = arrived.recv() => self.handle_arrived(clock::now(), arrived),
                () = time::sleep(pause) => {}
            }
        }
    }

    fn has_questions(&self) -> bool {
        self.flights.values().any(|flight| flight.ticket.is_some())
    }

    fn set_terms(&mut self, now: Instant, terms: &Terms) {
        self.timeout = terms.timeout;
        self.ping = terms.ping;
        for instance in self.instances.values_mut() {
            instance.weight = None;
        }
        for one in &terms.rtpengines {
            self.instance(now, one.address).weight = Some(one.weight.max(1));
        }
        self.forget_unused();
        self.tell_standing();
    }

    fn tell_standing(&self) {
        let kept = self.instances.values().filter(|one| one.weight.is_some());
        let (lost, up): (Vec<_>, Vec<_>) = kept.partition(|one| one.is_lost);
        self.audience.note_standing(up.len(), lost.len());
    }

    /// The one at `place`, opened if it is not.
    fn instance(&mut self, now: Instant, place: SocketAddr) -> &mut Instance {
        let arrivals = &self.arrivals;
        self.instances
            .entry(place)
            .or_insert_with(|| Instance::open(now, place, arrivals.clone()))
    }

    /// Closes those that are in no terms and asked nothing.
    fn forget_unused(&mut self) {
        let flights = &self.flights;
        self.instances.retain(|place, instance| {
            instance.weight.is_some() || flights.values().any(|flight| flight.place == *place)
        });
    }

    fn take(&mut self, now: Instant, ask: Ask) {
        if self.flights.len() >= MOST_FLIGHTS {
            let names = ask.request.names().cloned();
            self.tell((ask.ticket, names), ask.place, Err(Failure::Busy));
            return;
        }
        let place = ask.place.or_else(|| self.choose(&ask.request, &[]));
        let Some(place) = place else {
            let names = ask.request.names().cloned();
            self.tell((ask.ticket, names), None, Err(Failure::Nowhere));
            return;
        };
        let flight = Flight {
            ticket: Some(ask.ticket),
            request: ask.request,
            wire: Vec::new(),
            place,
            is_placed: ask.place.is_some(),
            tried: SmallVec::new(),
            began: now,
            resent: 0,
            due: now,
        };
        self.start(now, flight);
    }

    /// The first by rank that answers pings and was not tried.
    fn choose(&self, request: &Request, tried: &[SocketAddr]) -> Option<SocketAddr> {
        let name = request.names().map_or("", |names| &*names.call);
        let there = self.instances.iter().filter_map(|(place, instance)| {
            let is_fit = !instance.is_lost && !tried.contains(place);
            Some((*place, instance.weight.filter(|_| is_fit)?))
        });
        there
            .min_by_key(|(place, weight)| rank(name.as_bytes(), &place.to_string(), *weight))
            .map(|(place, _)| place)
    }

    /// Sends a flight off under a new cookie.
    fn start(&mut self, now: Instant, mut flight: Flight) {
        let number = self.next;
        self.next += 1;
        match flight
            .request
            .write(&format!("{:016x}_{number}", self.prefix))
        {
            Ok(wire) => flight.wire = wire,
            Err(fault) => {
                self.land(now, flight, Err(fault.into()));
                return;
            }
        }
        flight.began = now;
        flight.resent = 0;
        flight.due = now + self.pause(&flight);
        let place = flight.place;
        if self.instance(now, place).send(&flight.wire) {
            self.calendar.insert((flight.due, number));
            self.flights.insert(number, flight);
        } else {
            self.handle_failure(now, flight, Failure::Unreachable);
        }
    }

    /// Until the next time that it is sent, or given up: a fifth of all time, two, and the rest. A ping is sent once.
    fn pause(&self, flight: &Flight) -> Duration {
        match (flight.ticket, flight.resent) {
            (None, _) => self.timeout,
            (Some(_), 0) => self.timeout / 5,
            (Some(_), _) => self.timeout * 2 / 5,
        }
    }

    /// Sends again, gives up and pings whatever is due; says when the next is.
    fn do_due(&mut self, now: Instant) -> Option<Instant> {
        while let Some((due, number)) = self.calendar.first().copied() {
            if due > now {
                break;
            }
            self.calendar.remove(&(due, number));
            let Some(mut flight) = self.flights.remove(&number) else {
                continue;
            };
            if flight.ticket.is_none() || flight.resent == RESENDS {
                self.handle_failure(now, flight, Failure::Silent);
                continue;
            }
            flight.resent += 1;
            flight.due = now + self.pause(&flight);
            self.audience.count_resent();
            let place = flight.place;
            if self.instance(now, place).send(&flight.wire) {
                self.calendar.insert((flight.due, number));
                self.flights.insert(number, flight);
            } else {
                self.handle_failure(now, flight, Failure::Unreachable);
            }
        }
        let next_ping = self.do_pings(now);
        let next = self.calendar.first().map(|(due, _)| *due);
        next.into_iter().chain(next_ping).min()
    }

    fn do_pings(&mut self, now: Instant) -> Option<Instant> {
        let mut due = SmallVec::<[SocketAddr; 8]>::new();
        for (place, instance) in &mut self.instances {
            if instance.weight.is_some() && instance.ping_due <= now {
                instance.ping_due = now + self.ping;
                due.push(*place);
            }
        }
        for place in due {
            let ping = Flight {
                ticket: None,
                request: Request::Ping,
                wire: Vec::new(),
                place,
                is_placed: true,
                tried: SmallVec::new(),
                began: now,
                resent: 0,
                due: now,
            };
            self.start(now, ping);
        }
        let kept = self.instances.values().filter(|one| one.weight.is_some());
        kept.map(|instance| instance.ping_due).min()
    }

    fn handle_arrived(&mut self, now: Instant, arrived: Arrived) {
        let place = arrived.place;
        let Some(datagram) = arrived.datagram else {
            // The port is closed: none of what was sent there will be answered.
            let lost = self.flights.extract_if(.., |_, one| one.place == place);
            for (number, flight) in lost.collect::<Vec<_>>() {
                self.calendar.remove(&(flight.due, number));
                self.handle_failure(now, flight, Failure::Unreachable);
            }
            return;
        };
        let number = ng::split_cookie(&datagram).and_then(|(cookie, _)| self.number(cookie));
        let flight = number.and_then(|number| Some((number, self.flights.remove(&number)?)));
        let Some((number, flight)) = flight else {
            // Twice, or too late.
            debug!(%place, "rtpengine answers what nobody asks");
            return;
        };
        if flight.place != place {
            self.flights.insert(number, flight);
            return;
        }
        self.calendar.remove(&(flight.due, number));
        let is_ping = flight.ticket.is_none();
        if let Some(instance) = self.instances.get_mut(&place)
            && instance.note_answer(is_ping)
        {
            info!(%place, "rtpengine is back");
            self.audience.note_health(place, true);
            self.tell_standing();
        }
        let body = ng::split_cookie(&datagram).map_or(&[][..], |(_, body)| body);
        match flight.request.read_reply(body) {
            Ok(reply) => self.land(now, flight, Ok(reply)),
            Err(fault) => self.handle_fault(now, flight, fault.into()),
        }
    }

    /// The number in a cookie of ours.
    fn number(&self, cookie: &[u8]) -> Option<u64> {
        let (prefix, number) = std::str::from_utf8(cookie).ok()?.split_once('_')?;
        let is_ours = u64::from_str_radix(prefix, 16).ok()? == self.prefix;
        number.parse().ok().filter(|_| is_ours)
    }

    /// It did not answer at all.
    fn handle_failure(&mut self, now: Instant, flight: Flight, fault: Failure) {
        let place = flight.place;
        let is_gone = fault == Failure::Unreachable;
        if let Some(instance) = self.instances.get_mut(&place)
            && instance.note_failure(is_gone)
        {
            warn!(%place, why = fault.label(), "rtpengine is lost");
            self.audience.note_health(place, false);
            self.tell_standing();
        }
        self.handle_fault(now, flight, fault);
    }

    /// Goes to the next one if that may help.
    fn handle_fault(&mut self, now: Instant, mut flight: Flight, fault: Failure) {
        let may_move = !flight.is_placed && flight.request.begins_a_call() && fault.is_its_own();
        if may_move {
            flight.tried.push(flight.place);
            if let Some(next) = self.choose(&flight.request, &flight.tried) {
                debug!(from = %flight.place, to = %next, why = fault.label(), "asking another rtpengine");
                self.count(now, &flight, fault.label());
                flight.place = next;
                self.start(now, flight);
                return;
            }
        }
        self.land(now, flight, Err(fault));
    }

    fn land(&mut self, now: Instant, flight: Flight, result: Result<Reply, Failure>) {
        let label = result.as_ref().map_or_else(Failure::label, |_| "ok");
        self.count(now, &flight, label);
        if let Some(ticket) = flight.ticket {
            let names = flight.request.names().cloned();
            self.tell((ticket, names), Some(flight.place), result);
        }
        self.forget_unused();
    }

    fn count(&self, now: Instant, flight: &Flight, result: &'static str) {
        let took = now.saturating_duration_since(flight.began);
        self.audience.count(flight.request.command(), result, took);
    }

    fn tell(
        &self,
        (ticket, names): (Ticket, Option<Names>),
        place: Option<SocketAddr>,
        result: Result<Reply, Failure>,
    ) {
        self.audience.tell(Told {
            ticket,
            place,
            names,
            result,
        });
    }
}

/// Requests that wait for an answer at most.
const MOST_FLIGHTS: usize = 16_384;

/// How often a request is sent again.
const RESENDS: u32 = 2;

/// A pause with nothing to do.
const LONG: Duration = Duration::from_secs(3600);
