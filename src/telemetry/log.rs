//! Log lines: what the engine's events say to a reader, and the way from a thread that must not wait
//! to a reader that may.
//!
//! A line is made where it happens and handed over by a bounded channel; when that is full the line
//! is dropped and counted, and no call waits. Texts of peers are escaped and cut, so that no peer
//! writes lines of its own; refusals that tell of an attack carry the target `strowger::refused`,
//! one line each with the address, for fail2ban and its like.

use std::fmt;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing::{Subscriber, debug, error, info, warn};
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;

use crate::auth::ban::Ban;
use crate::call::output::{Event, GatewayChange, Refusal};
use crate::call::places::Verdict;
use crate::call::record::{AttemptResult, Record};
use crate::config::LogFormat;
use crate::routing::caps::Party;

/// A filter that cannot be read.
#[derive(Debug, Error)]
#[error("not a log filter: {0}")]
pub struct NotAFilter(#[from] ParseError);

/// What the log's writer gets.
#[derive(Debug)]
pub enum Entry {
    /// One line, line feed included.
    Line(Box<[u8]>),
    /// The last entry: there is nothing more to write.
    End,
}

/// Where lines go: the channel to the log's writer.
#[derive(Clone)]
pub struct Lines {
    sender: SyncSender<Entry>,
    drops: &'static AtomicU64,
}

impl Lines {
    /// Lines go to `sender`; what it has no room for is counted in `drops`.
    #[must_use]
    pub fn new(sender: SyncSender<Entry>, drops: &'static AtomicU64) -> Self {
        Self { sender, drops }
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The formatter writes one whole line at a time.
        if self.sender.try_send(Entry::Line(bytes.into())).is_err() {
            self.drops.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Self;

    fn make_writer(&'w self) -> Self::Writer {
        self.clone()
    }
}

/// What turns events of `tracing` into lines: those that `filter` lets pass (`info`,
/// `warn,strowger::refused=off`).
///
/// # Errors
///
/// When `filter` cannot be read.
pub fn subscriber(
    filter: &str,
    format: LogFormat,
    lines: Lines,
) -> Result<Box<dyn Subscriber + Send + Sync>, NotAFilter> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_ansi(false)
        .with_writer(lines);
    Ok(match format {
        LogFormat::Text => Box::new(builder.finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    })
}

/// Tells the engine's events. One per shard.
#[derive(Default)]
pub struct Narrator {
    refusals: Allowance,
    bans: Allowance,
    faults: Allowance,
    /// Buyers that are configured wrongly, here or there.
    misfits: Allowance,
    /// Limits of trunks and buyers that are reached.
    limits: Allowance,
    losses: Allowance,
}

impl Narrator {
    /// Writes a line about `event`, if it is worth one.
    pub fn handle_event(&mut self, now: Instant, event: &Event) {
        match event {
            // Per message: metrics count them, and a capture shows them.
            Event::Request { .. }
            | Event::Response { .. }
            | Event::Repeated
            | Event::Retransmitted
            | Event::LoggedIn { .. }
            | Event::Stray => {}
            Event::Malformed { .. } | Event::Refused { .. } => {
                self.handle_refusal(now, event, false);
            }
            Event::Started {
                uuid,
                trunk,
                dialled,
                call_id,
                flow: _,
                origin: _,
            } => {
                info!(
                    target: "strowger::call",
                    call = %uuid,
                    %trunk,
                    dialled = %OrNone(*dialled),
                    call_id = %Escaped(call_id),
                    "call begins"
                );
            }
            Event::TakenUp { uuid, is_answered } => {
                info!(target: "strowger::call", call = %uuid, answered = is_answered, "call goes on after a restart");
            }
            Event::CallerRefused { trunk, flow } => {
                debug!(target: "strowger::call", %trunk, remote = %flow.remote, "caller is none of the trunk's caller_ids: withheld");
            }
            Event::AttemptFailed {
                uuid,
                buyer,
                result: result @ (AttemptResult::BuyerAuth | AttemptResult::BuyerRejected),
                after: _,
            } if self.misfits.is_left(now, FAULTS) => {
                warn!(
                    target: "strowger::call",
                    call = %uuid,
                    buyer = %buyer.id,
                    result = result.label(),
                    "buyer does not take our calls: check its number and its credentials"
                );
            }
            Event::AttemptFailed {
                uuid,
                buyer,
                result,
                after,
            } => {
                debug!(
                    target: "strowger::call",
                    call = %uuid,
                    buyer = %buyer.id,
                    result = result.label(),
                    after_ms = after.as_millis(),
                    "buyer did not answer"
                );
            }
            Event::Skipped { uuid, buyer, why } => {
                debug!(
                    target: "strowger::call",
                    call = %uuid,
                    buyer = %buyer.id,
                    why = why.label(),
                    "buyer passed over"
                );
            }
            Event::Hook {
                uuid,
                webhook,
                result,
                took,
                warnings,
            } => {
                debug!(
                    target: "strowger::call",
                    call = %uuid,
                    webhook = &*webhook.id,
                    result = result.label(),
                    ms = took.as_millis(),
                    warnings,
                    "webhook done"
                );
            }
            Event::TagsTaken { uuid, .. } => debug!(call = %uuid, "tags that waited are taken"),
            Event::Recalled { uuid, result, took } => {
                debug!(
                    target: "strowger::call",
                    call = %uuid,
                    result,
                    us = took.as_micros(),
                    "earlier calls of the caller"
                );
            }
            Event::MediaUnfit { uuid, from, why } => {
                debug!(
                    target: "strowger::call",
                    call = %uuid,
                    from = from.label(),
                    why,
                    "session description not passed on"
                );
            }
            Event::LimitReached { party, verdict } => {
                if self.limits.is_left(now, FAULTS) {
                    warn!(party = %PartyName(party), why = limit_label(verdict.as_ref()), "limit reached");
                }
            }
            // Once for each change, so a buyer cannot write many lines.
            Event::Gateway {
                buyer,
                gateway,
                change,
            } => match change {
                GatewayChange::Down { why, pause } => warn!(
                    %buyer,
                    %gateway,
                    why = why.label(),
                    pause_s = pause.map(|pause| pause.as_secs()),
                    "gateway is down: it gets no calls"
                ),
                GatewayChange::Up => info!(%buyer, %gateway, "gateway is up again"),
                GatewayChange::Removed => {
                    info!(%buyer, %gateway, "gateway is not configured any more")
                }
            },
            Event::Answered {
                uuid,
                buyer,
                setup,
                post_dial_delay,
            } => {
                info!(
                    target: "strowger::call",
                    call = %uuid,
                    buyer = %buyer.id,
                    setup_ms = setup.as_millis(),
                    post_dial_delay_ms = post_dial_delay.map(|delay| delay.as_millis()),
                    "answered"
                );
            }
            Event::Ended {
                uuid,
                outcome,
                talk,
            } => {
                info!(
                    target: "strowger::call",
                    call = %uuid,
                    outcome = outcome.label(),
                    talk_ms = talk.as_millis(),
                    "call ended"
                );
            }
            Event::Unbuildable => {
                if self.faults.is_left(now, FAULTS) {
                    warn!("a message could not be built");
                }
            }
            Event::Panicked => {
                if self.faults.is_left(now, FAULTS) {
                    error!("a handler has panicked: its call is given up");
                }
            }
            Event::TableFull { table } => {
                if self.faults.is_left(now, FAULTS) {
                    warn!(table, "table is full: new work is refused");
                }
            }
        }
    }

    /// Writes a line about a message that got nowhere. What a stranger does is told in any case but where digest
    /// begins; what those do who may be here, only if it tells of an attack.
    pub fn handle_refusal(&mut self, now: Instant, event: &Event, is_stranger: bool) {
        if let Event::Malformed { error, flow } = event {
            let remote = flow.remote;
            if is_stranger && self.refusals.is_left(now, REFUSALS) {
                info!(target: "strowger::refused", remote = %remote.ip(), port = remote.port(), why = "malformed", %error, "refused");
            } else {
                debug!(%remote, %error, "malformed message");
            }
        } else if let Event::Refused { why, flow, status } = event {
            let is_told = is_attack(*why) || (is_stranger && !is_beginning(*why));
            self.refused(now, is_told, *why, flow.remote, *status);
        }
    }

    /// Says that a sender is not heard any more.
    pub fn handle_ban(&mut self, now: Instant, ban: &Ban, why: &'static str) {
        if self.bans.is_left(now, REFUSALS) {
            info!(
                target: "strowger::banned",
                remote = %ban.source,
                why,
                seconds = ban.length.as_secs(),
                bans = ban.count,
                "banned"
            );
        }
    }

    /// Says that a record found no room on its way to the file. What it would have been billed by is
    /// in the line.
    pub fn handle_lost_record(&mut self, now: Instant, record: &Record) {
        if self.losses.is_left(now, REFUSALS) {
            error!(
                target: "strowger::call",
                call = %record.uuid,
                trunk = %record.trunk,
                outcome = record.outcome.label(),
                "call record lost: its writer is too slow"
            );
        }
    }

    /// Says that new calls are shed because there is too much to do, or that it is over.
    pub fn handle_overload(&mut self, now: Instant, is_shedding: bool) {
        if is_shedding && self.faults.is_left(now, FAULTS) {
            warn!("overload: new calls are refused or dropped");
        } else if !is_shedding {
            info!("overload is over");
        }
    }

    /// Says that the system does not send a request of ours.
    pub fn handle_unsendable(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        bytes: usize,
        error: &io::Error,
    ) {
        if self.faults.is_left(now, FAULTS) {
            warn!(%remote, bytes, %error, "a request cannot be sent");
        }
    }

    fn refused(
        &mut self,
        now: Instant,
        is_told: bool,
        why: Refusal,
        remote: SocketAddr,
        status: Option<u16>,
    ) {
        let why_label = why.label();
        if is_told && self.refusals.is_left(now, REFUSALS) {
            info!(target: "strowger::refused", remote = %remote.ip(), port = remote.port(), why = why_label, status, "refused");
        } else {
            debug!(target: "strowger::refused", remote = %remote.ip(), port = remote.port(), why = why_label, status, "refused");
        }
    }
}

/// Lines per second about refusals, and about faults of ours or of buyers, at most: whoever can cause such lines
/// at will shall not fill the disk. Metrics count them all.
const REFUSALS: u32 = 100;
const FAULTS: u32 = 1;

/// Whether the refusal is of somebody who has no business here. A missing or old nonce is how digest
/// begins, and what a known peer gets wrong is for whoever looks at DEBUG.
fn is_attack(why: Refusal) -> bool {
    match why {
        Refusal::UnknownDomain
        | Refusal::UnknownAddress
        | Refusal::UnknownCertificate
        | Refusal::BadCredentials
        | Refusal::WrongPassword
        | Refusal::ForgedNonce
        | Refusal::Replayed
        | Refusal::Locked
        | Refusal::TrunkMismatch
        | Refusal::TwilioAccount
        | Refusal::NoTicket
        | Refusal::Ticket(_)
        | Refusal::HalfOpen => true,
        Refusal::NoCredentials
        | Refusal::StaleNonce
        | Refusal::TooManyHops
        | Refusal::Privacy
        | Refusal::ReferTarget
        | Refusal::Replaces
        | Refusal::SessionInterval
        | Refusal::Loop
        | Refusal::Merged
        | Refusal::BadExtension
        | Refusal::BadScheme
        | Refusal::Method
        | Refusal::NoDialog
        | Refusal::OldCSeq
        | Refusal::Draining
        | Refusal::Unkept
        | Refusal::Overload
        | Refusal::Shed
        | Refusal::Internal
        | Refusal::TrunkCalls
        | Refusal::TrunkCps
        | Refusal::LimitUnknown
        | Refusal::TrunkHalfOpen => false,
    }
}

fn limit_label(verdict: Option<&Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Granted) => "granted",
        Some(Verdict::Full(full)) => full.kind.label(),
        Some(Verdict::Spent(fault)) => fault.label(),
        None => "unknown",
    }
}

/// `trunk carrier-1`, `buyer sunny`.
struct PartyName<'p>(&'p Party);

impl fmt::Display for PartyName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.kind(), self.0.id())
    }
}

/// Whether it is how digest begins.
fn is_beginning(why: Refusal) -> bool {
    matches!(why, Refusal::NoCredentials | Refusal::StaleNonce)
}

/// So many per second.
#[derive(Debug, Default)]
pub struct Allowance {
    /// When the second began.
    since: Option<Instant>,
    used: u32,
}

impl Allowance {
    /// Uses up one of the `limit` that this second has; `false`: there is none left.
    pub fn is_left(&mut self, now: Instant, limit: u32) -> bool {
        let is_over = |since| now.saturating_duration_since(since) >= Duration::from_secs(1);
        if self.since.is_none_or(is_over) {
            self.since = Some(now);
            self.used = 0;
        }
        self.used += 1;
        self.used <= limit
    }
}

/// A peer's text: printable ASCII, anything else as `\x07`, cut to 256 bytes.
pub struct Escaped<'t>(pub &'t [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LIMIT: usize = 256;
        let shown = self.0.get(..LIMIT).unwrap_or(self.0);
        fmt::Display::fmt(&shown.escape_ascii(), f)?;
        if shown.len() < self.0.len() {
            f.write_char('…')?;
        }
        Ok(())
    }
}

/// A value, or a dash.
struct OrNone<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for OrNone<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_char('-'),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, sync_channel};

    use regex::Regex;

    use super::*;
    use crate::auth::source::Source;
    use crate::routing::buyer::{Buyer, Gateway};
    use crate::sip::flow::{Flow, ListenerId, PeerId, Transport};
    use crate::types::ids::{CallUuid, Entropy};

    #[test]
    fn a_peers_text_stays_on_its_line_and_has_an_end() {
        assert_eq!(
            Escaped(b"a\r\nINFO \"x\" \xff").to_string(),
            r#"a\r\nINFO \"x\" \xff"#
        );
        assert_eq!(
            Escaped(&[b'a'; 300]).to_string(),
            format!("{}…", "a".repeat(256))
        );
    }

    #[test]
    fn a_wrong_password_is_one_line_with_the_address() {
        let lines = lines_of("info", |narrator, now| {
            narrator.handle_event(now, &refused(Refusal::WrongPassword));
            narrator.handle_event(now, &refused(Refusal::NoCredentials));
        });

        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].ends_with(
                " INFO strowger::refused: refused remote=192.0.2.66 port=5060 why=\"wrong_password\" status=403\n"
            ),
            "{}",
            lines[0]
        );
    }

    #[test]
    fn a_flood_of_refusals_is_a_hundred_lines_a_second() {
        let lines = lines_of("info", |narrator, now| {
            for ms in 0..1500 {
                let at = now + Duration::from_millis(ms);
                narrator.handle_event(at, &refused(Refusal::UnknownAddress));
            }
        });

        assert_eq!(lines.len(), 200);
    }

    #[test]
    fn what_strangers_do_is_told_and_a_ban_in_any_case() {
        let malformed = || Event::Malformed {
            error: crate::sip::error::ParseError::Nul,
            flow: flow(),
        };
        let ban = Ban {
            source: Source::of(flow().remote.ip()),
            length: Duration::from_secs(120),
            count: 2,
        };
        let lines = lines_of("info", |narrator, now| {
            for is_stranger in [false, true] {
                for why in [Refusal::Method, Refusal::NoCredentials] {
                    narrator.handle_refusal(now, &refused(why), is_stranger);
                }
                narrator.handle_refusal(now, &malformed(), is_stranger);
            }
            narrator.handle_ban(now, &ban, "method");
        });

        let ends = [
            " INFO strowger::refused: refused remote=192.0.2.66 port=5060 why=\"method\" status=403\n",
            " INFO strowger::refused: refused remote=192.0.2.66 port=5060 why=\"malformed\" error=NUL byte in the head\n",
            " INFO strowger::banned: banned remote=192.0.2.66 why=\"method\" seconds=120 bans=2\n",
        ];
        assert_eq!(lines.len(), ends.len(), "{lines:#?}");
        for (line, end) in lines.iter().zip(ends) {
            assert!(line.ends_with(end), "{line}");
        }
    }

    /// The expression of the README's fail2ban filter, as fail2ban reads it: behind the time, with an address for
    /// `<HOST>`.
    #[test]
    fn the_filter_of_the_readme_finds_the_address_in_every_line_that_it_should() {
        const README: &str = include_str!("../../README.md");
        let expression = README
            .lines()
            .find_map(|line| line.strip_prefix("failregex = "))
            .expect("a failregex");
        let host = r"(?:(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})|\[?(?P<ip6>[0-9a-fA-F:]+)\]?)";
        let filter = Regex::new(&expression.replace("<HOST>", host)).expect("an expression");
        let found = |line: &str| {
            let (_, behind_the_time) = line.split_once(' ').expect("a time");
            let found = filter.captures(behind_the_time.trim_end())?;
            let address = found.name("ip4").or(found.name("ip6"))?;
            Some(address.as_str().to_owned())
        };

        for (address, source) in [("192.0.2.66", "192.0.2.66"), ("2001:db8::7", "2001:db8::")] {
            let ban = Ban {
                source: Source::of(address.parse().unwrap()),
                length: Duration::from_secs(60),
                count: 1,
            };
            let lines = lines_of("info", |narrator, now| {
                narrator.handle_ban(now, &ban, "method")
            });

            assert_eq!(found(&lines[0]).as_deref(), Some(source), "{}", lines[0]);
        }
        // One wrong password is no ban: the filter leaves it to us to count.
        let lines = lines_of("info", |narrator, now| {
            narrator.handle_event(now, &refused(Refusal::WrongPassword));
        });
        assert_eq!(found(&lines[0]), None);
    }

    #[test]
    fn a_buyer_that_refuses_our_credentials_or_our_calls_is_worth_a_warning() {
        let warned = |result| {
            lines_of("warn", |narrator, now| {
                for _ in 0..3 {
                    narrator.handle_event(now, &failed(result));
                }
            })
        };

        for result in [AttemptResult::BuyerAuth, AttemptResult::BuyerRejected] {
            let lines = warned(result);
            assert_eq!(lines.len(), 1);
            let told = format!("buyer=acme result=\"{}\"", result.label());
            assert!(lines[0].contains(&told), "{}", lines[0]);
        }
        assert_eq!(warned(AttemptResult::Busy), [""; 0]);
    }

    #[test]
    fn lines_that_nobody_reads_are_dropped_and_counted() {
        let (sender, _receiver) = sync_channel(1);
        static DROPS: AtomicU64 = AtomicU64::new(0);
        let mut lines = Lines::new(sender, &DROPS);

        for _ in 0..3 {
            io::Write::write_all(&mut lines, b"line\n").unwrap();
        }

        assert_eq!(DROPS.load(Ordering::Relaxed), 2);
    }

    fn lines_of(filter: &str, tell: impl FnOnce(&mut Narrator, Instant)) -> Vec<String> {
        let (sender, receiver) = sync_channel(1000);
        static DROPS: AtomicU64 = AtomicU64::new(0);
        let lines = Lines::new(sender, &DROPS);
        let subscriber = subscriber(filter, LogFormat::Text, lines).unwrap();
        #[expect(
            clippy::disallowed_methods,
            reason = "an instant cannot be made otherwise"
        )]
        let now = Instant::now();
        tracing::subscriber::with_default(subscriber, || tell(&mut Narrator::default(), now));
        read(&receiver)
    }

    fn read(receiver: &Receiver<Entry>) -> Vec<String> {
        receiver
            .try_iter()
            .filter_map(|entry| match entry {
                Entry::Line(line) => Some(String::from_utf8(line.into()).unwrap()),
                Entry::End => None,
            })
            .collect()
    }

    fn failed(result: AttemptResult) -> Event {
        let address = "198.51.100.10:5060".parse().unwrap();
        Event::AttemptFailed {
            uuid: CallUuid::new(&mut Entropy::from_seed([1; 32])),
            buyer: Arc::new(Buyer::new(
                "acme",
                vec![Arc::new(Gateway::udp(
                    "sip:acme@example.com",
                    "example.com",
                    address,
                ))],
            )),
            result,
            after: Duration::ZERO,
        }
    }

    fn refused(why: Refusal) -> Event {
        let status = Some(403);
        let flow = flow();
        Event::Refused { why, flow, status }
    }

    fn flow() -> Flow {
        Flow {
            transport: Transport::Udp,
            listener: ListenerId(0),
            remote: "192.0.2.66:5060".parse().unwrap(),
            peer: PeerId::NOBODY,
        }
    }
}
