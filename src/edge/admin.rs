//! What operators and their machines ask: `/metrics`, `/addresses`, `/healthz`, `/readyz`.
//!
//! One thread with an async runtime of its own, so that nothing asked here can delay a call.

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::time;
use tracing::error;

use crate::call::output::Gauges;
use crate::call::policy::Policy;
use crate::edge::addresses::Addresses;
use crate::edge::captures::Captures;
use crate::edge::inbox::{Board, Mailbox, Order};
use crate::edge::ledger::Ledger;
use crate::edge::writers;
use crate::net::{http, sockets};
use crate::telemetry::media::MediaCounts;
use crate::telemetry::metrics::Metrics;

/// How often histograms are sorted into buckets.
const UPKEEP: Duration = Duration::from_secs(5);

/// How long a shard may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is known of a running edge, for whoever asks.
pub(super) struct Panel {
    pub(super) metrics: Arc<Metrics>,
    pub(super) ledger: Arc<Ledger>,
    /// The policy in force.
    pub(super) policy: Mutex<Arc<Policy>>,
    pub(super) mailboxes: Vec<Mailbox>,
    pub(super) boards: Vec<Arc<Board>>,
    /// Second handles of the shards' sockets.
    pub(super) sockets: Vec<UdpSocket>,
    pub(super) is_draining: AtomicBool,
    pub(super) media: Arc<MediaCounts>,
    /// `None`: there is no folder for any.
    pub(super) captures: Option<Arc<Captures>>,
}

impl Panel {
    /// Has every shard write its board; `false`: one does not answer in time.
    pub(super) async fn measure(&self) -> bool {
        let mut answers = Vec::with_capacity(self.mailboxes.len());
        for mailbox in &self.mailboxes {
            let (answer, answered) = oneshot::channel();
            if mailbox.order(Order::Measure(answer)).is_err() {
                return false;
            }
            answers.push(answered);
        }
        let all = async {
            for answered in answers {
                if answered.await.is_err() {
                    return false;
                }
            }
            true
        };
        time::timeout(PATIENCE, all).await.unwrap_or(false)
    }

    /// The policy in force.
    pub(super) fn policy(&self) -> Arc<Policy> {
        let policy = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&policy)
    }

    pub(super) fn set_policy(&self, policy: &Arc<Policy>) {
        let mut current = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::clone(policy);
    }

    /// Calls, and nobody new among them; `None` while not every shard refuses new ones.
    pub(super) async fn calls_left(&self) -> Option<usize> {
        let is_closed = self.measure().await && self.boards.iter().all(|board| board.is_draining());
        is_closed.then(|| {
            let gauges = self.gauges();
            gauges.calls_ringing + gauges.calls_waiting + gauges.calls_talking + gauges.calls_ending
        })
    }

    async fn render(&self) -> String {
        // What does not answer shows what it held when it last did.
        let _ = self.measure().await;
        let gauges = self.gauges();
        self.metrics.set_gauges(&gauges);
        self.media.set_ports(gauges.media_ports);
        self.media.set_shared(gauges.media_shared);
        // Each shard hears of the others' bans.
        let banned = self.boards.iter().map(|board| board.banned());
        self.metrics.set_banned(banned.max().unwrap_or_default());
        let waits = self.boards.iter().map(|board| board.worst_wait());
        self.metrics
            .set_queue_delay(waits.max().unwrap_or_default());
        let drops = self.sockets.iter().map(sockets::receive_drops);
        self.metrics.set_receive_drops(drops.map(u64::from).sum());
        let (trunks, buyers) = self.ledger.taken();
        self.metrics.set_places(trunks, buyers);
        self.metrics.set_log_drops(writers::log_drops());
        self.metrics.render()
    }

    /// What all shards together held when they were last asked.
    fn gauges(&self) -> Gauges {
        let mut sum = Gauges::default();
        for board in &self.boards {
            board.add_to(&mut sum);
        }
        sum
    }
}

/// The admin thread.
pub(super) struct Admin {
    thread: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Admin {
    /// Starts it; without a `listener` it only does the upkeep.
    pub(super) fn start(listener: Option<TcpListener>, panel: Arc<Panel>) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || runtime.block_on(work(listener, panel, stopped)))?;
        Ok(Self { thread, stop })
    }

    /// Stops it; requests under way are cut off.
    pub(super) fn stop(self) {
        // An error means that it has stopped already.
        let _ = self.stop.send(());
        if self.thread.join().is_err() {
            error!("the admin thread has panicked");
        }
    }
}

async fn work(listener: Option<TcpListener>, panel: Arc<Panel>, stopped: oneshot::Receiver<()>) {
    let metrics = Arc::clone(&panel.metrics);
    let serve = async {
        if let Some(listener) = listener
            && let Err(error) = http::serve(listener, router(panel)).await
        {
            error!(%error, "metrics and health are not served any more");
        }
    };
    let upkeep = async {
        let mut ticks = time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            metrics.run_upkeep();
        }
    };
    tokio::select! {
        ((), ()) = async { tokio::join!(serve, upkeep) } => {}
        _ = stopped => {}
    }
}

fn router(panel: Arc<Panel>) -> Router {
    Router::new()
        .route("/metrics", get(show_metrics))
        .route("/addresses", get(show_addresses))
        .route("/healthz", get(show_health))
        .route("/readyz", get(show_readiness))
        .with_state(panel)
}

async fn show_metrics(State(panel): State<Arc<Panel>>) -> impl IntoResponse {
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    ([(CONTENT_TYPE, TEXT)], panel.render().await)
}

async fn show_addresses(State(panel): State<Arc<Panel>>) -> impl IntoResponse {
    let policy = panel.policy();
    match serde_json::to_string_pretty(&Addresses::of(&policy)) {
        Ok(text) => (
            StatusCode::OK,
            [(CONTENT_TYPE, "application/json")],
            text + "\n",
        ),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(CONTENT_TYPE, "text/plain")],
            error.to_string(),
        ),
    }
}

async fn show_health(State(panel): State<Arc<Panel>>) -> impl IntoResponse {
    if panel.measure().await {
        (StatusCode::OK, "alive\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "a shard does not answer\n")
    }
}

async fn show_readiness(State(panel): State<Arc<Panel>>) -> impl IntoResponse {
    if panel.is_draining.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if !panel.measure().await {
        (StatusCode::SERVICE_UNAVAILABLE, "a shard does not answer\n")
    } else if panel.boards.iter().any(|board| board.is_shut()) {
        (StatusCode::SERVICE_UNAVAILABLE, "calls cannot be kept\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}
