//! A small HTTP server for operators: few connections at once, and none lives long. What strangers may
//! reach is served by [`door`].

mod crowd;
pub mod door;
mod paced;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// Connections at once; what comes beyond waits in the kernel's backlog.
const CONNECTIONS: usize = 64;

/// How long a connection may live. A client that sends its header drop by drop, or reads nothing,
/// is gone after this; one that keeps its connection for the next request opens another.
const LIFE: Duration = Duration::from_secs(30);

/// How long to wait when nothing can be accepted: too many open files, most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until the future is dropped.
///
/// # Errors
///
/// When the socket cannot be used.
pub async fn serve(listener: std::net::TcpListener, router: Router) -> io::Result<()> {
    let guarded = Guarded {
        listener: TcpListener::from_std(listener)?,
        permits: Arc::new(Semaphore::new(CONNECTIONS)),
    };
    axum::serve(guarded, router).await
}

struct Guarded {
    listener: TcpListener,
    permits: Arc<Semaphore>,
}

impl Listener for Guarded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // Never closed, so this only waits.
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
                continue;
            };
            match self.listener.accept().await {
                Ok((stream, remote)) => {
                    let connection = Connection {
                        stream,
                        end: Box::pin(tokio::time::sleep(LIFE)),
                        _permit: permit,
                    };
                    return (connection, remote);
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that ends by itself.
struct Connection {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    fn poll_life(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_life(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_life(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
