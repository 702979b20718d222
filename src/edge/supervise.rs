//! The life of a running edge: signals in, a clean end out.

use std::io;
use std::panic;
use std::panic::PanicHookInfo;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time;
use tracing::{error, info, warn};

use crate::config::Source;
use crate::edge::Edge;
use crate::edge::drain::{Drain, Step};
use crate::net::clock;

/// How often the shards are looked after; how soon a crash is seen.
const ROUND: Duration = Duration::from_secs(1);

/// How often the calls are counted while they are waited for.
const COUNT: Duration = Duration::from_millis(100);

/// Why the edge ended without having been told to.
#[derive(Debug, Error)]
pub enum Crashed {
    /// A shard's thread has ended.
    #[error("a shard has ended: its calls are lost")]
    Shard,
    /// A thread of the relay has ended.
    #[error("the media relay has ended: its calls are silent")]
    Relay,
    /// Signals cannot be heard.
    #[error("the system refuses: {0}")]
    System(#[from] io::Error),
}

impl Edge {
    /// Serves until SIGTERM or SIGINT, then drains: new calls are refused, calls under way may end
    /// for as long as the configuration says; a second signal ends them at once. SIGHUP has `config`
    /// read again from `source`, and the file of call records opened anew.
    ///
    /// # Errors
    ///
    /// When a shard or the relay has crashed.
    pub fn supervise(mut self, config: &Path, source: &dyn Source) -> Result<(), Crashed> {
        panic::set_hook(Box::new(tell_panic));
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let result = runtime.block_on(self.live(config, source));
        self.end();
        result
    }

    async fn live(&mut self, config: &Path, source: &dyn Source) -> Result<(), Crashed> {
        let mut hangups = signal(SignalKind::hangup())?;
        let mut terminations = signal(SignalKind::terminate())?;
        let mut interrupts = signal(SignalKind::interrupt())?;
        let mut drain = Drain::new();
        let (_, nothing) = mpsc::channel(1);
        let mut changes = self.changes.take().unwrap_or(nothing);
        loop {
            let pause = if drain.is_serving() { ROUND } else { COUNT };
            let is_told_to_go = tokio::select! {
                _ = terminations.recv() => true,
                _ = interrupts.recv() => true,
                _ = hangups.recv() => {
                    self.reopen_records();
                    // The log has every fault; the old configuration stays.
                    let _ = self.reload(config, source);
                    false
                }
                Some(change) = changes.recv() => {
                    self.change(change, config, source);
                    false
                }
                () = time::sleep(pause) => false,
            };
            if self.shards.iter().any(|shard| shard.is_finished()) {
                return Err(Crashed::Shard);
            }
            if self.planes.is_broken() {
                return Err(Crashed::Relay);
            }
            let calls = if drain.is_serving() {
                None
            } else {
                self.panel.calls_left().await
            };
            let now = clock::now();
            let step = if is_told_to_go {
                drain.handle_signal(now, self.node.drain_limit)
            } else {
                drain.handle_time(now, calls)
            };
            match step {
                Some(Step::Refuse) => {
                    let limit_s = self.node.drain_limit.as_secs();
                    info!(limit_s, "draining: new calls are refused");
                    self.drain();
                }
                Some(Step::HangUp) => {
                    warn!(calls, "ending the calls that are left");
                    self.hang_up();
                }
                Some(Step::Stop) => {
                    info!(calls, "stopping");
                    return Ok(());
                }
                None => {}
            }
        }
    }
}

/// Says where a thread has panicked, once a second at most, for whoever can cause one can cause many. The words are left out:
/// they may be a peer's.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let second = clock::wall().as_secs();
    if LAST.swap(second, Ordering::Relaxed) != second {
        let place = panic.location().map(ToString::to_string);
        error!(place, "panic");
    }
}
