//! Brings deliveries over HTTP.

use std::collections::BTreeMap;
use std::io;
use std::str;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::{Dns, HttpClient};
use crate::edge::deliveries::{Attempt, Courier};
use crate::net::clock;
use crate::net::http_client::{Client, Failure, Fetch, Jar};
use crate::store::Parcel;
use crate::store::entry::Class;
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;

/// How long one attempt may take, redirects and answer included, if its webhook does not say.
const LIMIT: Duration = Duration::from_secs(20);

/// Redirects that are followed as a browser does, if its webhook does not say.
const REDIRECTS: u8 = 5;

/// Calls whose cookies are kept; beyond it, those that were made first are forgotten. A call's deliveries follow one another.
const JARS: usize = 10_000;

/// Names the delivery to the receiver: the same at each attempt.
const KEY: &str = "X-Strowger-Delivery";

/// A courier.
pub(super) struct HttpCourier {
    client: Client,
    /// By call: when its first delivery was made, and the cookies since.
    jars: Mutex<BTreeMap<CallUuid, (Moment, Jar)>>,
}

impl HttpCourier {
    pub(super) fn new(settings: HttpClient, dns: &Dns) -> io::Result<Self> {
        Ok(Self {
            client: Client::new(settings, dns)?,
            jars: Mutex::default(),
        })
    }

    /// The cookies of a call. Nobody else asks for them meanwhile: its deliveries go one after another.
    fn take_jar(&self, parcel: &Parcel) -> Jar {
        let jar = self.jars().remove(&parcel.call);
        jar.map(|(_, jar)| jar).unwrap_or_default()
    }

    fn put_jar(&self, parcel: &Parcel, jar: Jar) {
        if jar == Jar::default() {
            return;
        }
        let mut jars = self.jars();
        if jars.len() >= JARS {
            let oldest = jars.iter().min_by_key(|(_, (made, _))| *made);
            let oldest = oldest.map(|(call, _)| *call);
            oldest.map(|call| jars.remove(&call));
        }
        jars.insert(parcel.call, (parcel.made, jar));
    }

    fn jars(&self) -> MutexGuard<'_, BTreeMap<CallUuid, (Moment, Jar)>> {
        self.jars.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Courier for HttpCourier {
    async fn attempt(&self, parcel: &Parcel) -> Attempt {
        let Ok(body) = str::from_utf8(&parcel.body) else {
            return Attempt::Impossible("bad_body");
        };
        let mut headers = parcel.headers.clone();
        // A webhook's is part of what is signed, and there already.
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case(KEY))
        {
            headers.push((KEY.into(), parcel.key().into()));
        }
        let (redirects, limit) = match parcel.class {
            Class::Ping => (0, LIMIT),
            Class::Browser => (REDIRECTS, LIMIT),
            Class::Said(terms) => {
                let limit = Duration::from_millis(terms.limit.into());
                (terms.redirects, limit)
            }
        };
        let fetch = Fetch {
            method: &parcel.method,
            url: &parcel.url,
            headers: &headers,
            body: (!body.is_empty()).then_some(body),
            redirects,
            is_idempotent: parcel.is_idempotent,
            // Its status says all that matters here.
            wants_answer: false,
        };
        let mut jar = match parcel.class {
            Class::Ping => Jar::default(),
            Class::Browser | Class::Said(_) => self.take_jar(parcel),
        };
        let deadline = clock::now() + limit;
        let result = self.client.fetch(&fetch, &mut jar, deadline).await;
        self.put_jar(parcel, jar);
        match result {
            Ok(fetched) => Attempt::Answered(fetched.status),
            Err(failure) => judge(failure),
        }
    }

    fn rest(&self) {
        self.client.sweep();
    }
}

fn judge(failure: Failure) -> Attempt {
    match (failure.may_pass(), failure.is_unsent()) {
        (false, _) => Attempt::Impossible(failure.label()),
        (true, true) => Attempt::Unsent(failure.label()),
        (true, false) => Attempt::Doubtful(failure.label()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_and_what_may_have_arrived_is_told_from_it() {
        for failure in Failure::ALL {
            let attempt = match failure {
                Failure::BadUrl
                | Failure::BadHeader
                | Failure::ForbiddenAddress
                | Failure::ForbiddenPort
                | Failure::TooLong
                | Failure::TooManyRedirects => Attempt::Impossible(failure.label()),
                Failure::NoSuchHost
                | Failure::Dns
                | Failure::Connect
                | Failure::Tls
                | Failure::HostBusy
                | Failure::HostDown
                | Failure::TimedOutUnsent => Attempt::Unsent(failure.label()),
                Failure::Broken | Failure::TimedOut => Attempt::Doubtful(failure.label()),
            };
            assert_eq!(judge(failure), attempt);
        }
    }
}
