//! Webhooks as the shards see them: a request goes to a thread of its own, and what is heard comes back as a letter.
//!
//! ```text
//!   shard ── ping ───────────> queue ──> fetched, many at once ──> letter to the shard
//!   ends and timers of calls ──> without a store: a courier for each call, in order, one attempt each
//! ```
//!
//! No shard waits for anybody here: a queue that is full says so at once. Deliveries outlive the process if there is a store
//! (`deliveries`); without one, those that are under way at the end are lost, as is said at the start.

use std::io;
use std::sync::Arc;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time;
use tracing::{error, warn};

use crate::call::places::Ticket;
use crate::call::story::{Delivery, Reply};
use crate::edge::inbox::{Letter, Mailbox};
use crate::hooks::request::Request;
use crate::net::clock;
use crate::net::http_client::{Client, Failure, Fetched, Jar, SWEEP};
use crate::telemetry::metrics::Metrics;
use crate::types::ids::CallUuid;

/// Requests that wait at most.
const QUEUE: usize = 4096;

/// Requests under way at most.
const UNDER_WAY: usize = 4096;

/// How long what is under way may take at the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// The thread that fetches.
pub(super) struct Webhooks {
    thread: JoinHandle<()>,
    jobs: mpsc::Sender<Job>,
}

/// One shard's way there.
#[derive(Clone)]
pub(super) struct WebhookDesk {
    courier: Courier,
    /// The shard's own.
    mailbox: Mailbox,
}

enum Job {
    Ping {
        ticket: Ticket,
        request: Box<Request>,
        mailbox: Mailbox,
    },
    Deliver {
        uuid: CallUuid,
        deliveries: Vec<Delivery>,
    },
}

impl Webhooks {
    pub(super) fn start(client: Client, metrics: Arc<Metrics>) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (jobs, orders) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new().name("webhooks".to_owned());
        let desk = Arc::new(Desk { client, metrics });
        let thread = thread.spawn(move || runtime.block_on(run(desk, orders)))?;
        Ok(Self { thread, jobs })
    }

    /// A way there.
    pub(super) fn courier(&self) -> Courier {
        Courier(self.jobs.clone())
    }

    /// Takes no more, and waits for what is under way, for a few seconds at most. All desks are gone.
    pub(super) fn stop(self) {
        drop(self.jobs);
        if self.thread.join().is_err() {
            error!("the thread of webhooks has panicked");
        }
    }
}

impl WebhookDesk {
    pub(super) fn new(courier: Courier, mailbox: Mailbox) -> Self {
        Self { courier, mailbox }
    }

    /// One whose thread is gone.
    #[cfg(test)]
    pub(super) fn to_nobody(mailbox: Mailbox) -> Self {
        let (jobs, _) = mpsc::channel(1);
        Self::new(Courier(jobs), mailbox)
    }

    /// Sends a ping; what is heard comes as a letter.
    pub(super) fn ping(&self, ticket: Ticket, request: Box<Request>) {
        let mailbox = self.mailbox.clone();
        let job = Job::Ping {
            ticket,
            request,
            mailbox,
        };
        if self.courier.0.try_send(job).is_err() {
            let reply = Reply {
                answer: Err("busy"),
                took: Duration::ZERO,
            };
            self.mailbox.post(Letter::Fetched { ticket, reply });
        }
    }

    /// Has webhooks delivered that fire while a call lasts.
    pub(super) fn deliver(&self, uuid: CallUuid, deliveries: Vec<Delivery>) {
        self.courier.deliver(uuid, deliveries);
    }
}

/// The way to the thread that fetches.
#[derive(Clone)]
pub(super) struct Courier(mpsc::Sender<Job>);

impl Courier {
    /// Has them made, in order.
    pub(super) fn deliver(&self, uuid: CallUuid, deliveries: Vec<Delivery>) {
        let count = deliveries.len();
        if self.0.try_send(Job::Deliver { uuid, deliveries }).is_err() {
            warn!(call = %uuid, count, "too many webhooks wait: these are given up");
        }
    }
}

struct Desk {
    client: Client,
    metrics: Arc<Metrics>,
}

async fn run(desk: Arc<Desk>, mut jobs: mpsc::Receiver<Job>) {
    let room = Arc::new(Semaphore::new(UNDER_WAY));
    let mut under_way = JoinSet::new();
    let mut sweep = time::interval(SWEEP);
    loop {
        tokio::select! {
            job = jobs.recv() => {
                let Some(job) = job else {
                    break;
                };
                let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                    break;
                };
                let desk = Arc::clone(&desk);
                under_way.spawn(async move {
                    desk.work(job).await;
                    drop(permit);
                });
            }
            Some(_) = under_way.join_next() => {}
            _ = sweep.tick() => desk.client.sweep(),
        }
    }
    let end = async { while under_way.join_next().await.is_some() {} };
    if time::timeout(PATIENCE, end).await.is_err() {
        warn!(
            left = under_way.len(),
            "webhooks are still under way, and given up"
        );
    }
}

impl Desk {
    async fn work(&self, job: Job) {
        match job {
            Job::Ping {
                ticket,
                request,
                mailbox,
            } => {
                let began = clock::now();
                let answer = self.fetch(&request, &mut Jar::default()).await;
                let reply = Reply {
                    answer: answer
                        .map(|fetched| (fetched.status, fetched.body))
                        .map_err(Failure::label),
                    took: clock::now().saturating_duration_since(began),
                };
                // One that has no room is busy with calls: the call goes on when its time is over.
                mailbox.post(Letter::Fetched { ticket, reply });
            }
            Job::Deliver { uuid, deliveries } => {
                let mut jar = Jar::default();
                for Delivery { request, .. } in deliveries {
                    let answer = self.fetch(&request, &mut jar).await;
                    if let Err(failure) = answer {
                        warn!(call = %uuid, webhook = &*request.webhook, %failure, "webhook not delivered");
                    }
                }
            }
        }
    }

    async fn fetch(&self, request: &Request, jar: &mut Jar) -> Result<Fetched, Failure> {
        let deadline = clock::now() + request.timeout;
        self.client
            .send(request, jar, deadline, &self.metrics)
            .await
    }
}
