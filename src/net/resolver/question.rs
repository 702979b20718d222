//! One name's questions to DNS, one after the other, until it is found or is nowhere.

use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::task::JoinSet;
use tokio::time;
use tracing::debug;

use crate::config::Dns;
use crate::net::clock;
use crate::net::resolver::{LONGEST, SHORTEST};
use crate::sip::locate::{Answer, Answers, Naptr, Question, Srv, Step, Wanted, locate};

/// What a look-up found, and for how long that is good.
pub(super) struct Outcome {
    pub(super) step: Step,
    pub(super) ttl: Duration,
}

impl Outcome {
    /// Nobody could be asked.
    pub(super) fn failed() -> Self {
        Self {
            step: Step::Nowhere { has_failed: true },
            ttl: SHORTEST,
        }
    }
}

/// The client, for the servers of the configuration or else those of /etc/resolv.conf. It remembers nothing: the book is the cache.
pub(super) fn client(dns: &Dns) -> Result<TokioResolver, NetError> {
    caching(dns, 0, LONGEST)
}

/// The same; it remembers up to `names` names, each for `longest` at most.
pub(in crate::net) fn caching(
    dns: &Dns,
    names: u64,
    longest: Duration,
) -> Result<TokioResolver, NetError> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = if dns.servers.is_empty() {
        TokioResolver::builder(provider)?
    } else {
        let servers = dns.servers.iter().map(|server| {
            let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
            udp.port = server.port();
            tcp.port = server.port();
            NameServerConfig::new(server.ip(), true, vec![udp, tcp])
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        TokioResolver::builder_with_config(config, provider)
    };
    let options = builder.options_mut();
    options.timeout = dns.timeout / 3;
    options.attempts = 2;
    options.cache_size = names;
    options.positive_max_ttl = Some(longest);
    options.negative_max_ttl = Some(longest);
    builder.build()
}

/// Asks until nothing is left to ask, or the time is over.
pub(super) async fn look_up(
    client: &TokioResolver,
    wanted: Arc<Wanted>,
    timeout: Duration,
) -> (Arc<Wanted>, Outcome) {
    let mut ttl = LONGEST;
    let search = async {
        let mut answers = Answers::new();
        loop {
            let questions = match locate(&wanted, &answers) {
                Step::Ask(questions) => questions,
                step @ (Step::Done(_) | Step::Nowhere { .. }) => return step,
            };
            let mut asked = JoinSet::new();
            for question in questions {
                let client = client.clone();
                asked.spawn(async move { ask(&client, question).await });
            }
            while let Some(Ok((question, answer, good_for))) = asked.join_next().await {
                ttl = ttl.min(good_for);
                answers.insert(question, answer);
            }
        }
    };
    let step = time::timeout(timeout, search).await;
    let step = step.unwrap_or(Step::Nowhere { has_failed: true });
    (wanted, Outcome { step, ttl })
}

/// One question, its answer, and for how long that is good.
async fn ask(client: &TokioResolver, question: Question) -> (Question, Answer, Duration) {
    let (name, kind) = match &question {
        Question::Naptr(name) => (name, RecordType::NAPTR),
        Question::Srv(name) => (name, RecordType::SRV),
        Question::A(name) => (name, RecordType::A),
        Question::Aaaa(name) => (name, RecordType::AAAA),
    };
    // With its dot: no search list makes another name of it.
    let found = match Name::from_ascii(format!("{name}.")) {
        Ok(name) => client.lookup(name, kind).await,
        Err(error) => Err(error.into()),
    };
    match found {
        Ok(lookup) => {
            let good_for = lookup.valid_until().saturating_duration_since(clock::now());
            let data = lookup.answers().iter().map(|record| &record.data);
            let answer = answer_of(&question, data);
            (question, answer, good_for)
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => {
            let good_for = nothing.negative_ttl.map_or(NEGATIVE, |ttl| {
                Duration::from_secs(u64::from(ttl)).max(NEGATIVE)
            });
            let answer = answer_of(&question, std::iter::empty());
            (question, answer, good_for)
        }
        Err(error) => {
            debug!(?question, %error, "no answer");
            (question, Answer::Failed, SHORTEST)
        }
    }
}

/// The answer to a question: `data` is what its records hold; aliases and what was not asked for are passed over.
pub fn answer_of<'r>(question: &Question, data: impl Iterator<Item = &'r RData>) -> Answer {
    let name = |name: &Name| -> Box<str> {
        let text = name.to_ascii().to_ascii_lowercase();
        text.trim_end_matches('.').into()
    };
    let text = |bytes: &[u8]| -> Box<str> { String::from_utf8_lossy(bytes).into() };
    let naptr = |data: &RData| {
        let RData::NAPTR(record) = data else {
            return None;
        };
        Some(Naptr {
            order: record.order,
            preference: record.preference,
            flags: text(&record.flags),
            services: text(&record.services),
            replacement: name(&record.replacement),
        })
    };
    let srv = |data: &RData| {
        let RData::SRV(record) = data else {
            return None;
        };
        Some(Srv {
            priority: record.priority,
            weight: record.weight,
            port: record.port,
            target: name(&record.target),
        })
    };
    match question {
        Question::Naptr(_) => Answer::Naptr(data.filter_map(naptr).collect()),
        Question::Srv(_) => Answer::Srv(data.filter_map(srv).collect()),
        Question::A(_) | Question::Aaaa(_) => {
            Answer::Addresses(data.filter_map(RData::ip_addr).collect())
        }
    }
}

/// That there is nothing counts for this long at least.
const NEGATIVE: Duration = Duration::from_secs(5);
