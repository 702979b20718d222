//! HTTP/1.1 for whoever may come: plain or by TLS, within bounds of size, time and number.
//!
//! ```text
//!  accept ──> place? ──> TLS? ──> head ──> Desk::answer ──> next request, or idle
//!             full: closed    5 s    10 s, 16 KiB              │ stop: the request under way is
//!             share: closed                                    v answered, then closed
//! ```
//!
//! What a body may be, and how long a request may take, is for the desk to say: it differs by route.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;
use rustls::sign::SingleCertAndKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time;
use tokio_rustls::TlsAcceptor;

use crate::config::http::Http;
use crate::config::tls::Tls;
use crate::net::http::crowd::{Crowd, Seat};
use crate::net::http::paced::Paced;
use crate::telemetry::http::HttpCounts;

/// How long TLS may take to agree.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long a request's head may take, from the end of the request before it on: so this is how long an idle
/// connection is kept, too.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// Bytes of a request's head; what is longer is answered by 431.
const HEAD_SIZE: usize = 16 * 1_024;

/// Headers of a request; what has more is answered by 431.
const HEADERS: usize = 64;

/// How long to wait when nothing can be accepted: too many open files, most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// How long requests under way may take when the service ends.
const PARTING: Duration = Duration::from_secs(5);

/// A listener that is open.
pub struct Door {
    /// It listens, and does not block.
    pub socket: std::net::TcpListener,
    /// Whether it speaks TLS.
    pub is_tls: bool,
}

/// Who answers.
pub trait Desk: Send + Sync + 'static {
    /// The settings in force.
    fn terms(&self) -> Arc<Http>;

    /// How TLS is spoken; `None`: not at all.
    fn tls(&self) -> Option<Arc<ServerConfig>>;

    /// Answers a request of `peer`'s, whoever that is: the client, or a proxy.
    fn answer(
        self: Arc<Self>,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// Sets up TLS for HTTP: our certificate, and nobody is asked for one.
#[must_use]
pub fn tls(settings: &Tls) -> Arc<ServerConfig> {
    let key = Arc::new(SingleCertAndKey::from(Arc::clone(&settings.identity)));
    let mut server = ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(key as Arc<dyn ResolvesServerCert>);
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(server)
}

/// Serves until `stop` changes, and then until what is under way is answered, 5 s at most.
///
/// # Errors
///
/// When a socket cannot be used.
pub async fn serve<D: Desk>(
    doors: Vec<Door>,
    desk: Arc<D>,
    counts: Arc<HttpCounts>,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let crowd = Arc::new(Crowd::default());
    let mut attendants = JoinSet::new();
    for door in doors {
        let attendant = Attendant {
            listener: TcpListener::from_std(door.socket)?,
            is_tls: door.is_tls,
            desk: Arc::clone(&desk),
            counts: Arc::clone(&counts),
            crowd: Arc::clone(&crowd),
            stop: stop.clone(),
        };
        attendants.spawn(attendant.attend());
    }
    while attendants.join_next().await.is_some() {}
    Ok(())
}

/// One door's.
struct Attendant<D> {
    listener: TcpListener,
    is_tls: bool,
    desk: Arc<D>,
    counts: Arc<HttpCounts>,
    crowd: Arc<Crowd>,
    stop: watch::Receiver<bool>,
}

impl<D: Desk> Attendant<D> {
    async fn attend(self) {
        let mut stop = self.stop.clone();
        let mut connections = JoinSet::new();
        loop {
            // What has ended takes room until it is asked for.
            while connections.try_join_next().is_some() {}
            tokio::select! {
                () = over(&mut stop) => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, remote)) => self.admit(stream, remote, &mut connections),
                    Err(_) => time::sleep(PAUSE).await,
                },
            }
        }
        drop(self.listener);
        let all = async { while connections.join_next().await.is_some() {} };
        // Those that are left are cut off.
        let _ = time::timeout(PARTING, all).await;
    }

    fn admit(&self, stream: TcpStream, remote: SocketAddr, connections: &mut JoinSet<()>) {
        let terms = self.desk.terms();
        let bounds = terms.bounds;
        let share = (!terms.is_proxy(remote.ip())).then_some(bounds.per_address);
        let seat = match self.crowd.enter(remote.ip(), bounds.connections, share) {
            Ok(seat) => seat,
            Err(crowded) => return self.counts.add_refused(crowded.label()),
        };
        self.counts.set_connections(self.crowd.len());
        let tls = match (self.is_tls, self.desk.tls()) {
            (false, _) => None,
            (true, Some(tls)) => Some(TlsAcceptor::from(tls)),
            // It was taken out of the configuration: nobody is served in the clear for that.
            (true, None) => return self.counts.add_refused("tls"),
        };
        let visit = Visit {
            desk: Arc::clone(&self.desk),
            counts: Arc::clone(&self.counts),
            crowd: Arc::clone(&self.crowd),
            remote,
            stop: self.stop.clone(),
        };
        connections.spawn(visit.run(stream, tls, seat));
    }
}

/// Waits until the service ends.
async fn over(stop: &mut watch::Receiver<bool>) {
    // An error means that whoever would say so is gone.
    let _ = stop.wait_for(|is_over| *is_over).await;
}

/// One connection.
struct Visit<D> {
    desk: Arc<D>,
    counts: Arc<HttpCounts>,
    crowd: Arc<Crowd>,
    remote: SocketAddr,
    stop: watch::Receiver<bool>,
}

impl<D: Desk> Visit<D> {
    async fn run(mut self, stream: TcpStream, tls: Option<TlsAcceptor>, seat: Seat) {
        // What it would save is the peer's time, and an error is for the next read to tell.
        let _ = stream.set_nodelay(true);
        let stream = Paced::new(stream);
        match tls {
            None => self.serve(stream).await,
            Some(tls) => match time::timeout(HANDSHAKE, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.serve(stream).await,
                Ok(Err(_)) | Err(_) => self.counts.add_refused("tls"),
            },
        }
        drop(seat);
        self.counts.set_connections(self.crowd.len());
    }

    async fn serve(&mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (desk, remote) = (&self.desk, self.remote);
        let service = service_fn(|request| {
            let desk = Arc::clone(desk);
            async move { Ok::<_, Infallible>(desk.answer(remote, request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD_SIZE)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        // How a connection ends is the peer's business.
        tokio::select! {
            _ = connection.as_mut() => {}
            () = over(&mut self.stop) => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }
}
