//! The HTTP client for webhooks: everything that a stranger's server can do to it ends by a deadline, within a bound.
//!
//! ```text
//! fetch ── host known to fail? too many under way? ──> refused at once
//!   │
//!   ├── open connection, or: DNS ── address checked ── TCP ── TLS ── HTTP/1.1 or 2
//!   ├── request ── answer, 64 KiB at most
//!   └── redirect (a few, if wanted): all of it again for the next host
//! ```
//!
//! One deadline holds for all of it. What was not sent is tried once more; what may have arrived is not, unless whoever asks says
//! so.

mod breaker;
mod dial;
mod exchange;
mod failure;
mod guard;
mod hosts;
mod jar;
mod send;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, COOKIE, HeaderValue, LOCATION, SET_COOKIE, USER_AGENT};
use hyper::{HeaderMap, Method};
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time;
use url::Url;

use crate::config::{Dns, HttpClient};
use crate::net::clock;
use crate::net::http_client::dial::{Dialler, connector};
use crate::net::http_client::exchange::{Answer, Lost, Message, headers};
use crate::net::http_client::hosts::{Hosts, Origin};
use crate::net::resolver;
use crate::net::tls::system_roots;

pub use crate::net::http_client::failure::Failure;
pub use crate::net::http_client::jar::Jar;
pub use crate::net::http_client::send::may_repeat;

/// A client; its connections are shared by all that it is cloned to, and closed with the last of them.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    settings: HttpClient,
    dialler: Dialler,
    hosts: Arc<Hosts>,
}

/// What is to be fetched.
#[derive(Debug, Clone, Copy)]
pub struct Fetch<'r> {
    /// GET, POST, PUT, HEAD or DELETE.
    pub method: &'r str,
    /// Where; http or https.
    pub url: &'r str,
    /// Headers besides those that the client writes itself. A host that a redirect leads to does not see them.
    pub headers: &'r [(Box<str>, Box<str>)],
    /// What is sent.
    pub body: Option<&'r str>,
    /// Redirects that are followed at most.
    pub redirects: u8,
    /// Whether it may be sent again though it may have arrived.
    pub is_idempotent: bool,
    /// Whether the body of the answer is of any use; if not, it is empty.
    pub wants_answer: bool,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The status.
    pub status: u16,
    /// The body, [`MOST_BODY`] bytes at most.
    pub body: Bytes,
    /// Redirects that were followed.
    pub hops: u8,
}

/// An answer with its headers, for whoever speaks with a service that he knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The status.
    pub status: u16,
    /// As they came.
    pub headers: HeaderMap,
    /// All of it.
    pub body: Bytes,
}

impl Fetched {
    /// Whether the status says that all is well (RFC 9110 §15.3).
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Client {
    /// A client with these settings; nothing is opened before it is needed.
    ///
    /// # Errors
    ///
    /// When it is not known which DNS servers to ask.
    pub fn new(settings: HttpClient, dns: &Dns) -> io::Result<Self> {
        let resolver = resolver::caching(dns, dial::CACHED_NAMES, dial::LONGEST_TTL);
        let resolver = resolver.map_err(io::Error::other)?;
        let roots = settings.ca.clone();
        let roots = roots.unwrap_or_else(|| Arc::new(system_roots()));
        Ok(Self(Arc::new(Shared {
            hosts: Hosts::new(&settings),
            dialler: Dialler {
                resolver,
                tls: connector(roots),
                tasks: Mutex::new(JoinSet::new()),
            },
            settings,
        })))
    }

    /// Fetches, by `deadline` at the latest. Cookies are taken from `jar` and put into it.
    ///
    /// # Errors
    ///
    /// When there is no answer by then. An answer of whatever status is none.
    pub async fn fetch(
        &self,
        fetch: &Fetch<'_>,
        jar: &mut Jar,
        deadline: Instant,
    ) -> Result<Fetched, Failure> {
        let mut message = self.message(fetch)?;
        let mut hops = 0;
        loop {
            let answer = self
                .exchange(&message, fetch.is_idempotent, jar, deadline)
                .await?;
            let Some(next) = next_url(&message.url, &answer) else {
                return Ok(fetched(answer, hops));
            };
            if hops >= fetch.redirects {
                // Who wants none sees the answer itself.
                return match fetch.redirects {
                    0 => Ok(fetched(answer, hops)),
                    _ => Err(Failure::TooManyRedirects),
                };
            }
            hops += 1;
            message = self.redirected(message, answer.status, next)?;
        }
    }

    /// Asks a service: no redirect is followed, no cookie kept, and the answer may have `most` bytes.
    ///
    /// # Errors
    ///
    /// When there is no answer by `deadline`. An answer of whatever status is none.
    pub async fn ask(
        &self,
        fetch: &Fetch<'_>,
        most: usize,
        deadline: Instant,
    ) -> Result<Asked, Failure> {
        let message = Message {
            most,
            ..self.message(fetch)?
        };
        let mut jar = Jar::default();
        let Answer {
            status,
            headers,
            body,
        } = self
            .exchange(&message, fetch.is_idempotent, &mut jar, deadline)
            .await?;
        Ok(Asked {
            status,
            headers,
            body,
        })
    }

    /// Closes connections that nobody has used for long; to be called now and then.
    pub fn sweep(&self) {
        self.0.hosts.sweep();
    }

    fn message(&self, fetch: &Fetch<'_>) -> Result<Message, Failure> {
        let url = Url::parse(fetch.url).map_err(|_| Failure::BadUrl)?;
        check_url(&url)?;
        let method = Method::from_bytes(fetch.method.as_bytes()).map_err(|_| Failure::BadUrl)?;
        let written = fetch
            .headers
            .iter()
            .map(|(name, value)| (&**name, &**value));
        let mut headers = headers(written)?;
        if !headers.contains_key(USER_AGENT) {
            headers.insert(USER_AGENT, self.user_agent()?);
        }
        if !headers.contains_key(ACCEPT) {
            headers.insert(ACCEPT, ANYTHING);
        }
        Ok(Message {
            method,
            url,
            headers,
            body: Bytes::copy_from_slice(fetch.body.unwrap_or_default().as_bytes()),
            wants_answer: fetch.wants_answer,
            most: MOST_BODY,
        })
    }

    fn user_agent(&self) -> Result<HeaderValue, Failure> {
        HeaderValue::from_str(&self.0.settings.user_agent).map_err(|_| Failure::BadHeader)
    }

    /// What is sent where a redirect leads to (RFC 9110 §15.4).
    fn redirected(&self, before: Message, status: u16, url: Url) -> Result<Message, Failure> {
        check_url(&url)?;
        let mut message = before;
        if Origin::of(&url) != Origin::of(&message.url) {
            // What was for the one host, credentials among it, is not for the other.
            let kind = message.headers.remove(CONTENT_TYPE);
            message.headers.clear();
            message.headers.insert(USER_AGENT, self.user_agent()?);
            message.headers.insert(ACCEPT, ANYTHING);
            message
                .headers
                .extend(kind.map(|kind| (CONTENT_TYPE, kind)));
        }
        let keeps_method = matches!(status, 307 | 308)
            || message.method == Method::HEAD
            || (message.method == Method::PUT && status != 303);
        if !keeps_method {
            message.method = Method::GET;
            message.body = Bytes::new();
            message.headers.remove(CONTENT_TYPE);
        }
        message.url = url;
        Ok(message)
    }

    /// One request and its answer; counts how it went.
    async fn exchange(
        &self,
        message: &Message,
        is_idempotent: bool,
        jar: &mut Jar,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let origin = Origin::of(&message.url).ok_or(Failure::BadUrl)?;
        if clock::now() >= deadline {
            return Err(Failure::TimedOutUnsent);
        }
        let permit = self.0.hosts.admit(&origin)?;
        let mut message = message.clone();
        if let Some(cookies) = jar.header(&message.url) {
            let cookies = HeaderValue::try_from(cookies).map_err(|_| Failure::BadHeader)?;
            message.headers.insert(COOKIE, cookies);
        }
        let mut was_sent = false;
        let attempts = self.attempts(&message, &origin, is_idempotent, &mut was_sent);
        let result = match time::timeout_at(deadline.into(), attempts).await {
            Ok(result) => result,
            Err(_) if was_sent => Err(Failure::TimedOut),
            Err(_) => Err(Failure::TimedOutUnsent),
        };
        permit.record(match &result {
            Ok(answer) => matches!(answer.status, 429 | 502..=504),
            Err(failure) => failure.is_hosts_fault(),
        });
        let answer = result?;
        let now = Timestamp::from_duration(wall()).unwrap_or_default();
        for value in answer.headers.get_all(SET_COOKIE) {
            if let Ok(text) = value.to_str() {
                jar.take(&message.url, text, now);
            }
        }
        Ok(answer)
    }

    /// Sends over an open connection or a new one; again, if nothing has arrived or that does no harm.
    async fn attempts(
        &self,
        message: &Message,
        origin: &Origin,
        is_idempotent: bool,
        was_sent: &mut bool,
    ) -> Result<Answer, Failure> {
        let Shared {
            settings,
            dialler,
            hosts,
        } = &*self.0;
        let mut trials_left = 1;
        let mut stale = 0;
        loop {
            // Some that are open lead nowhere any more, and do not know it yet.
            let open = if stale < MOST_STALE {
                hosts.take(origin)
            } else {
                None
            };
            let is_new = open.is_none();
            let sender = match open {
                Some(sender) => sender,
                None => match dialler.dial(origin, settings).await {
                    Ok(sender) => sender,
                    Err(failure) if failure.is_of_connecting() && trials_left > 0 => {
                        trials_left -= 1;
                        continue;
                    }
                    Err(failure) => return Err(failure),
                },
            };
            *was_sent = true;
            match message.send(sender).await {
                Ok((answer, sender)) => {
                    sender
                        .into_iter()
                        .for_each(|sender| hosts.put(origin, sender));
                    return Ok(answer);
                }
                // One that was open had been closed meanwhile: no trial, as there was nothing to try.
                Err(Lost::Unsent) if !is_new => {
                    *was_sent = false;
                    stale += 1;
                }
                Err(Lost::Unsent) if trials_left > 0 => {
                    *was_sent = false;
                    trials_left -= 1;
                }
                Err(Lost::Unsent) => return Err(Failure::Connect),
                Err(Lost::Sent(Failure::Broken)) if is_idempotent && trials_left > 0 => {
                    trials_left -= 1;
                }
                Err(Lost::Sent(failure)) => return Err(failure),
            }
        }
    }
}

fn fetched(answer: Answer, hops: u8) -> Fetched {
    Fetched {
        status: answer.status,
        body: answer.body,
        hops,
    }
}

/// Where an answer leads to, if it leads anywhere.
fn next_url(from: &Url, answer: &Answer) -> Option<Url> {
    if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = answer.headers.get(LOCATION)?.to_str().ok()?;
    from.join(location).ok()
}

/// Whether a URL may be asked for at all. Where its host is, is checked when that is known.
fn check_url(url: &Url) -> Result<(), Failure> {
    let is_web = matches!(url.scheme(), "http" | "https");
    let has_credentials = !url.username().is_empty() || url.password().is_some();
    if !is_web || has_credentials || url.host_str().is_none() || url.as_str().len() > MOST_URL {
        return Err(Failure::BadUrl);
    }
    Ok(())
}

fn wall() -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(clock::wall()).unwrap_or_default()
}

/// Bytes of an answer that are read, unless whoever asks knows what comes.
pub const MOST_BODY: usize = 64 * 1024;
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");
/// Open connections that are tried before a new one is made.
const MOST_STALE: u32 = 4;
/// Bytes of a URL.
const MOST_URL: usize = 16 * 1024;
/// How often [`Client::sweep`] is worth calling.
pub const SWEEP: Duration = Duration::from_secs(10);
