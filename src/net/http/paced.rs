//! A connection whose peer must take what it asked for: who reads too slowly is given up.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Within this time a peer that is behind must take [`LEAST`].
const WINDOW: Duration = Duration::from_secs(10);

/// In bytes: a slow telephone's line, ten times over.
const LEAST: usize = 16 * 1_024;

/// A stream whose writes fail if the peer takes less than it should.
pub(super) struct Paced<S> {
    stream: S,
    /// Set while the peer is behind.
    end: Pin<Box<Sleep>>,
    is_behind: bool,
    /// What the peer took in this window.
    taken: usize,
    window: Duration,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S) -> Self {
        Self::within(WINDOW, stream)
    }

    fn within(window: Duration, stream: S) -> Self {
        Self {
            stream,
            window,
            end: Box::pin(tokio::time::sleep(window)),
            is_behind: false,
            taken: 0,
        }
    }

    /// What comes of a write, with the peer's pace in mind.
    fn judge<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
        taken: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = result {
            if let Ok(result) = &result {
                self.taken = self.taken.saturating_add(taken(result));
            }
            if self.taken >= LEAST {
                self.is_behind = false;
            }
            return Poll::Ready(result);
        }
        if !self.is_behind {
            self.is_behind = true;
            self.taken = 0;
            let window = self.window;
            self.end.as_mut().reset(Instant::now() + window);
        }
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, result, |taken| *taken)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(context, result, |taken| *taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, result, |()| LEAST)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(context, result, |()| LEAST)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::runtime;

    use super::*;

    #[test]
    fn who_reads_a_few_bytes_at_a_time_is_given_up_and_who_reads_on_is_not() {
        let runtime = runtime::Builder::new_current_thread().enable_time().build();
        let (slow, fast) = runtime
            .unwrap()
            .block_on(async { (serve(4).await, serve(4 * 1_024).await) });

        let error = slow.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(fast.is_ok());
    }

    /// Writes 128 KiB to a peer who takes `pace` bytes every 5 ms.
    async fn serve(pace: usize) -> io::Result<()> {
        let (ours, mut theirs) = tokio::io::duplex(1_024);
        let peer = tokio::spawn(async move {
            let mut buffer = vec![0; pace];
            while theirs.read_exact(&mut buffer).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let mut paced = Paced::within(Duration::from_millis(200), ours);
        let result = paced.write_all(&vec![7; 128 * 1_024]).await;
        peer.abort();
        result
    }
}
