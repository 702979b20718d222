//! What goes on when whoever asked for it has hung up: changes at a vendor. They come to their end and are written down; only the
//! answer waits for somebody.
//!
//! ```text
//!   request ──> errand, a task of its own ──> vendor ──> journal
//!      └── waits for its answer, for a while
//! ```

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time;

use crate::edge::http::answer::{self, Answer};

/// Errands at once.
const MOST: usize = 256;

/// How long those under way may take when the service ends.
const PARTING: Duration = Duration::from_secs(3);

/// Those under way.
#[derive(Default)]
pub(super) struct Errands(Mutex<JoinSet<()>>);

impl Errands {
    /// Sends one off, and waits for its answer as long as `patience` says. Whoever stops to wait does not stop it.
    pub(super) async fn run(
        &self,
        patience: Duration,
        errand: impl Future<Output = Answer> + Send + 'static,
    ) -> Answer {
        let Some(told) = self.send(errand) else {
            let what = "too much is under way";
            return answer::fault(StatusCode::SERVICE_UNAVAILABLE, "busy", what);
        };
        match time::timeout(patience, told).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => {
                let what = "it goes on, and GET /phone/numbers tells what comes of it";
                answer::fault(StatusCode::BAD_GATEWAY, "doubtful", what)
            }
        }
    }

    fn send(
        &self,
        errand: impl Future<Output = Answer> + Send + 'static,
    ) -> Option<oneshot::Receiver<Answer>> {
        let (tell, told) = oneshot::channel();
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        if tasks.len() >= MOST {
            return None;
        }
        tasks.spawn(async move {
            // An error means that nobody waits any more.
            let _ = tell.send(errand.await);
        });
        Some(told)
    }

    /// Lets those under way come to their end, for a moment.
    pub(super) async fn close(&self) {
        let mut tasks = {
            let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        let all = async { while tasks.join_next().await.is_some() {} };
        // Those that are left are cut off: the journal knows of them.
        let _ = time::timeout(PARTING, all).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime;

    use super::*;

    #[test]
    fn an_errand_goes_on_when_nobody_waits_for_it() {
        on_a_runtime(async {
            for patience in [Duration::from_millis(1), Duration::from_secs(60)] {
                let errands = Errands::default();
                let (go, gone) = oneshot::channel::<()>();
                let (tell, told) = oneshot::channel();
                let asked = errands.run(patience, async move {
                    let _ = gone.await;
                    let _ = tell.send("done");
                    answer::empty(StatusCode::OK)
                });

                // Whoever asks is told that nobody knows, or has hung up before.
                let waited = time::timeout(Duration::from_millis(100), asked).await;

                let status = waited.ok().map(|answer| answer.status());
                let is_short = patience < Duration::from_secs(1);
                assert_eq!(status, is_short.then_some(StatusCode::BAD_GATEWAY));
                go.send(()).expect("it is under way");
                assert_eq!(told.await, Ok("done"));
            }
        });
    }

    #[test]
    fn there_are_no_more_of_them_than_there_may_be() {
        on_a_runtime(async {
            let errands = Errands::default();
            let waiting: Vec<_> = (0..MOST).map(|_| errands.send(forever())).collect();
            assert!(waiting.iter().all(Option::is_some));

            let refused = errands.run(Duration::from_secs(1), forever()).await;

            assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        });
    }

    async fn forever() -> Answer {
        std::future::pending().await
    }

    fn on_a_runtime(test: impl Future<Output = ()>) {
        let runtime = runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(test);
    }
}
