//! Looks names up in DNS, away from the shards: a thread with an async runtime of its own.
//!
//! ```text
//!   names of the configuration ──> book: a page per name ──> look-up, at most 64 at once, 2 s each
//!   a shard that lacks one ──────>   │  ^                          │
//!                                    │  └── answer, its TTL <──────┘
//!                                    v
//!                       told to every shard, and looked up again before it is too old
//! ```
//!
//! The last good answer goes on being used for an hour if DNS fails, or denies the name. A name that has none
//! is asked again after seconds, more of them each time.

mod question;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::thread;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time;
use tracing::{debug, warn};

use crate::config::Dns;
use crate::net::clock;
use crate::net::resolver::question::{Outcome, client, look_up};
use crate::sip::locate::{Located, Step, Wanted};

pub use crate::net::resolver::question::answer_of;
pub(in crate::net) use crate::net::resolver::question::caching;

/// What has become of a name; told to all shards.
#[derive(Debug, Clone)]
pub struct Told {
    /// The name.
    pub wanted: Arc<Wanted>,
    /// Where it is; `None`: nobody knows.
    pub located: Option<Arc<Located>>,
}

/// How a look-up went. The names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookUp {
    /// It was found.
    Found,
    /// DNS says that there is no such thing.
    Nothing,
    /// DNS did not answer, or not in time.
    Failed,
}

impl LookUp {
    /// The label of the metric.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Nothing => "nothing",
            Self::Failed => "failed",
        }
    }
}

/// Who is told, and what is counted.
pub trait Audience: Send + 'static {
    /// Tells where a name is.
    fn tell(&self, told: Told);

    /// Counts a look-up.
    fn count(&self, result: LookUp);
}

/// A running resolver.
pub struct Resolver {
    asker: Asker,
    thread: JoinHandle<()>,
}

/// Asks it, from any thread.
#[derive(Debug, Clone)]
pub struct Asker(mpsc::Sender<Request>);

#[derive(Debug)]
enum Request {
    /// From now on these names are kept fresh, and no others.
    Names(Vec<Arc<Wanted>>),
    /// Somebody waits for this one.
    Ask(Arc<Wanted>),
}

impl Resolver {
    /// Starts the thread; nothing is asked before there are names.
    ///
    /// # Errors
    ///
    /// When the system has no thread left.
    pub fn start(dns: Dns, audience: impl Audience) -> io::Result<Self> {
        Self::start_with(dns, SHORTEST, audience)
    }

    /// The same; answers count as good for `shortest` at least, and that is the first pause after a failure.
    fn start_with(dns: Dns, shortest: Duration, audience: impl Audience) -> io::Result<Self> {
        let (sender, requests) = mpsc::channel(REQUESTS);
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = thread::Builder::new().name("dns".to_owned());
        let thread = thread.spawn(move || {
            let mut desk = Desk {
                dns,
                shortest,
                audience,
                book: BTreeMap::new(),
                calendar: BTreeSet::new(),
                client: None,
                running: JoinSet::new(),
            };
            runtime.block_on(desk.run(requests));
        })?;
        Ok(Self {
            asker: Asker(sender),
            thread,
        })
    }

    /// For whoever asks.
    #[must_use]
    pub fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// Ends it, as soon as nobody else can ask any more.
    pub fn stop(self) {
        drop(self.asker);
        if self.thread.join().is_err() {
            warn!("the resolver has panicked");
        }
    }
}

impl Asker {
    /// Keeps these names fresh from now on, and no others.
    pub fn set_names(&self, names: Vec<Arc<Wanted>>) {
        // Full, it has more to do than it can; who misses a name asks for it.
        let _ = self.0.try_send(Request::Names(names));
    }

    /// Asks for a name that somebody waits for. Everybody is told what becomes of it.
    pub fn ask(&self, wanted: Arc<Wanted>) {
        let _ = self.0.try_send(Request::Ask(wanted));
    }
}

/// What is known of one name.
struct Page {
    located: Option<Arc<Located>>,
    /// Until when it may be used though DNS fails.
    good_until: Instant,
    /// When it is looked up next; `None` while it is.
    due: Option<Instant>,
    /// Look-ups in a row that found nothing.
    failures: u32,
    /// The configuration has it.
    is_kept: bool,
}

struct Desk<A> {
    dns: Dns,
    shortest: Duration,
    audience: A,
    /// As many as the configuration has names, and a few that it had.
    book: BTreeMap<Arc<Wanted>, Page>,
    /// When pages are due; an entry that its page does not know any more means nothing.
    calendar: BTreeSet<(Instant, Arc<Wanted>)>,
    client: Option<TokioResolver>,
    running: JoinSet<(Arc<Wanted>, Outcome)>,
}

impl<A: Audience> Desk<A> {
    async fn run(&mut self, mut requests: mpsc::Receiver<Request>) {
        loop {
            let next = self.start_due(clock::now());
            let pause = next.map_or(LONG, |next| next.saturating_duration_since(clock::now()));
            tokio::select! {
                request = requests.recv() => match request {
                    Some(Request::Names(names)) => self.set_names(names),
                    Some(Request::Ask(wanted)) => self.ask(wanted),
                    None => return,
                },
                Some(done) = self.running.join_next() => {
                    if let Ok((wanted, outcome)) = done {
                        self.take(clock::now(), &wanted, outcome);
                    }
                }
                () = time::sleep(pause) => {}
            }
        }
    }

    fn set_names(&mut self, names: Vec<Arc<Wanted>>) {
        let now = clock::now();
        let kept: BTreeSet<Arc<Wanted>> = names.into_iter().collect();
        // One that is being looked up goes when that is done.
        self.book
            .retain(|name, page| kept.contains(name) || page.due.is_none());
        for (name, page) in &mut self.book {
            page.is_kept = kept.contains(name);
        }
        for name in kept {
            if !self.book.contains_key(&name) {
                self.open(now, name, true);
            }
        }
    }

    fn ask(&mut self, wanted: Arc<Wanted>) {
        let now = clock::now();
        let Some(page) = self.book.get(&wanted) else {
            if self.book.len() < MOST_PAGES {
                self.open(now, wanted, false);
            }
            return;
        };
        // What is known, or was not found a moment ago, is told at once.
        if page.located.is_some() || (page.failures > 0 && page.due.is_some_and(|due| due > now)) {
            let located = page.located.clone();
            self.audience.tell(Told { wanted, located });
        }
    }

    /// Begins a page, which is due at once.
    fn open(&mut self, now: Instant, wanted: Arc<Wanted>, is_kept: bool) {
        let page = Page {
            located: None,
            good_until: now,
            due: Some(now),
            failures: 0,
            is_kept,
        };
        self.calendar.insert((now, Arc::clone(&wanted)));
        self.book.insert(wanted, page);
    }

    /// Starts the look-ups that are due, as far as there is room; gives when the next one is.
    fn start_due(&mut self, now: Instant) -> Option<Instant> {
        // With no room left, the end of a look-up wakes us.
        while self.running.len() < AT_ONCE {
            let (due, wanted) = self.calendar.pop_first()?;
            if due > now {
                self.calendar.insert((due, wanted));
                return Some(due);
            }
            let page = self.book.get_mut(&wanted);
            let Some(page) = page.filter(|page| page.due == Some(due)) else {
                continue;
            };
            page.due = None;
            let client = match &self.client {
                Some(client) => client.clone(),
                None => match client(&self.dns) {
                    Ok(client) => self.client.insert(client).clone(),
                    Err(error) => {
                        warn!(%error, "names cannot be looked up");
                        self.take(now, &wanted, Outcome::failed());
                        continue;
                    }
                },
            };
            let timeout = self.dns.timeout;
            self.running
                .spawn(async move { look_up(&client, wanted, timeout).await });
        }
        None
    }

    fn take(&mut self, now: Instant, wanted: &Arc<Wanted>, outcome: Outcome) {
        let Some(page) = self.book.get_mut(wanted) else {
            return;
        };
        let located = match outcome.step {
            Step::Done(located) => {
                self.audience.count(LookUp::Found);
                let ttl = outcome.ttl.clamp(self.shortest, LONGEST);
                page.failures = 0;
                // Early enough that the next answer is there before this one is too old.
                page.due = Some(now + ttl - (ttl / 5).min(EARLY));
                page.good_until = now + ttl + self.dns.stale;
                debug!(name = wanted.name(), ttl_s = ttl.as_secs(), "name found");
                let is_new = page.located.as_deref() != Some(&located);
                if is_new {
                    page.located = Some(Arc::new(located));
                }
                page.located.clone()
            }
            Step::Nowhere { has_failed } => {
                let result = if has_failed {
                    LookUp::Failed
                } else {
                    LookUp::Nothing
                };
                self.audience.count(result);
                let backoff = self.shortest * 2_u32.saturating_pow(page.failures.min(3));
                page.failures += 1;
                page.due = Some(now + backoff.min(LONGEST_BACKOFF));
                let is_stale = page.located.is_some() && now < page.good_until;
                // What peers name is their affair.
                if page.is_kept {
                    warn!(
                        name = wanted.name(),
                        result = result.label(),
                        is_stale,
                        "name not found"
                    );
                } else {
                    debug!(
                        name = wanted.name(),
                        result = result.label(),
                        "name not found"
                    );
                }
                if !is_stale {
                    page.located = None;
                }
                page.located.clone()
            }
            // It is asked until there are no more questions.
            Step::Ask(_) => None,
        };
        if let (Some(due), true) = (page.due, page.is_kept) {
            self.calendar.insert((due, Arc::clone(wanted)));
        } else {
            self.book.remove(wanted);
        }
        self.audience.tell(Told {
            wanted: Arc::clone(wanted),
            located,
        });
    }
}

/// Requests that wait at most; one more is dropped, and who waits for it waits in vain.
const REQUESTS: usize = 4096;

/// Look-ups at once.
const AT_ONCE: usize = 64;

/// Names besides those of the configuration: those of the last one, which calls may still want.
const MOST_PAGES: usize = 100_000;

/// An answer counts as good for this long at least, and at most.
const SHORTEST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(3600);

/// Time between look-ups that fail, at most.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// How long before its end an answer is asked for again, at most.
const EARLY: Duration = Duration::from_secs(60);

/// A pause with nothing to do.
const LONG: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests;
