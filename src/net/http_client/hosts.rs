//! What is known of each host: how many requests are under way, how the last ones went, and connections that are still open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use url::Url;

use crate::config::HttpClient;
use crate::net::clock;
use crate::net::http_client::Failure;
use crate::net::http_client::breaker::Breaker;
use crate::net::http_client::dial::Sender;

/// Scheme, host and port: what a connection leads to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) is_tls: bool,
    /// In lower case, without a dot at its end; IPv6 in brackets.
    pub(super) host: Box<str>,
    pub(super) port: u16,
}

impl Origin {
    /// Where a URL leads to; `None`: it is neither http nor https.
    pub(super) fn of(url: &Url) -> Option<Self> {
        let is_tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = url.host_str()?;
        Some(Self {
            is_tls,
            host: host.strip_suffix('.').unwrap_or(host).into(),
            port: url.port_or_known_default()?,
        })
    }
}

/// All hosts that were asked, as many as the configuration names and redirects lead to.
pub(super) struct Hosts {
    table: Mutex<HashMap<Origin, Host>>,
    per_host: usize,
    idle: Duration,
    cooldown: Duration,
}

#[derive(Default)]
struct Host {
    under_way: usize,
    breaker: Breaker,
    /// Open connections that nobody uses, the last one put back at the end.
    idle: Vec<(Sender, Instant)>,
}

/// The right to one request; the place is free again when it is dropped.
pub(super) struct Permit {
    hosts: Arc<Hosts>,
    origin: Origin,
    is_told: bool,
}

impl Hosts {
    pub(super) fn new(settings: &HttpClient) -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::default(),
            per_host: settings.per_host,
            idle: settings.idle,
            cooldown: settings.cooldown,
        })
    }

    /// Lets one request to `origin` through, or says why not.
    pub(super) fn admit(self: &Arc<Self>, origin: &Origin) -> Result<Permit, Failure> {
        let now = clock::now();
        let mut table = self.table();
        if !table.contains_key(origin) && table.len() >= MOST_HOSTS {
            let idle = self.idle;
            table.retain(|_, host| !host.is_forgettable(now, idle));
            if table.len() >= MOST_HOSTS {
                return Err(Failure::HostBusy);
            }
        }
        let host = table.entry(origin.clone()).or_default();
        if host.under_way >= self.per_host {
            return Err(Failure::HostBusy);
        }
        if !host.breaker.admit(now) {
            return Err(Failure::HostDown);
        }
        host.under_way += 1;
        drop(table);
        Ok(Permit {
            hosts: Arc::clone(self),
            origin: origin.clone(),
            is_told: false,
        })
    }

    /// An open connection to `origin`, if there is one that can be used.
    pub(super) fn take(&self, origin: &Origin) -> Option<Sender> {
        let now = clock::now();
        let mut table = self.table();
        let host = table.get_mut(origin)?;
        host.drop_old(now, self.idle);
        match host.idle.last_mut() {
            // Many requests share one; it stays where it is.
            Some((Sender::Http2(sender), since)) => {
                *since = now;
                Some(Sender::Http2(sender.clone()))
            }
            Some((Sender::Http1(_), _)) => host.idle.pop().map(|(sender, _)| sender),
            None => None,
        }
    }

    /// Keeps an open connection for the next request.
    pub(super) fn put(&self, origin: &Origin, sender: Sender) {
        let now = clock::now();
        let mut table = self.table();
        let Some(host) = table.get_mut(origin) else {
            return;
        };
        host.drop_old(now, self.idle);
        let is_shared = |one: &Sender| matches!(one, Sender::Http2(_));
        if is_shared(&sender) {
            host.idle.retain(|(one, _)| !is_shared(one));
        }
        if host.idle.len() < self.per_host && !self.idle.is_zero() {
            host.idle.push((sender, now));
        }
    }

    /// Closes what nobody has used for long, at every host.
    pub(super) fn sweep(&self) {
        let now = clock::now();
        let idle = self.idle;
        self.table().retain(|_, host| {
            host.drop_old(now, idle);
            !host.is_forgettable(now, idle)
        });
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Origin, Host>> {
        // A panic while it is held leaves counts that are off by one at worst.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host {
    fn drop_old(&mut self, now: Instant, idle: Duration) {
        self.idle.retain(|(sender, since)| {
            !sender.is_closed() && now.saturating_duration_since(*since) < idle
        });
    }

    fn is_forgettable(&mut self, now: Instant, idle: Duration) -> bool {
        self.drop_old(now, idle);
        self.under_way == 0 && self.idle.is_empty() && self.breaker.is_new()
    }
}

impl Permit {
    /// Says how the request went.
    pub(super) fn record(mut self, has_failed: bool) {
        self.is_told = true;
        let now = clock::now();
        let cooldown = self.hosts.cooldown;
        let mut table = self.hosts.table();
        if let Some(host) = table.get_mut(&self.origin) {
            host.breaker.record(now, has_failed, cooldown);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let now = clock::now();
        let mut table = self.hosts.table();
        if let Some(host) = table.get_mut(&self.origin) {
            host.under_way = host.under_way.saturating_sub(1);
            if !self.is_told {
                host.breaker.forget(now);
            }
        }
    }
}

/// Hosts that are remembered at once.
const MOST_HOSTS: usize = 10_000;
