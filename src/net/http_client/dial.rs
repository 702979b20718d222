//! Connects: looks a host up, checks where it is, and agrees on TLS and the version of HTTP.
//!
//! What is connected to is an address that was checked a moment before, never a name: DNS cannot say something else in between
//! (rebinding).

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hickory_resolver::TokioResolver;
use hickory_resolver::net::{DnsError, NetError};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time;
use tokio_rustls::TlsConnector;
use tracing::debug;

use crate::config::HttpClient;
use crate::net::http_client::Failure;
use crate::net::http_client::guard;
use crate::net::http_client::hosts::Origin;

/// Opens connections.
pub(super) struct Dialler {
    pub(super) resolver: TokioResolver,
    pub(super) tls: TlsConnector,
    /// What keeps connections going; ended with the client.
    pub(super) tasks: Mutex<JoinSet<()>>,
}

/// The end of a connection that requests go into.
pub(super) enum Sender {
    /// One request at a time.
    Http1(http1::SendRequest<Full<Bytes>>),
    /// Many at once.
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }
}

impl Dialler {
    /// Opens a connection to `origin`, at the first of its addresses that takes it.
    pub(super) async fn dial(
        &self,
        origin: &Origin,
        settings: &HttpClient,
    ) -> Result<Sender, Failure> {
        let mut failure = Failure::NoSuchHost;
        for address in self.addresses(origin, settings).await? {
            let attempt = time::timeout(settings.connect, self.open(address, origin)).await;
            match attempt {
                Ok(Ok(sender)) => return Ok(sender),
                Ok(Err(why)) => failure = why,
                Err(_) => failure = Failure::Connect,
            }
            debug!(host = %origin.host, %address, result = failure.label(), "no connection");
        }
        Err(failure)
    }

    /// Where `origin` is: addresses that may be connected to, one at least.
    async fn addresses(
        &self,
        origin: &Origin,
        settings: &HttpClient,
    ) -> Result<Vec<SocketAddr>, Failure> {
        let bare = origin.host.trim_start_matches('[').trim_end_matches(']');
        let found: Vec<IpAddr> = match bare.parse() {
            Ok(ip) => vec![ip],
            Err(_) => self.look_up(bare).await?,
        };
        let mut allowed = Vec::new();
        let mut failure = Failure::NoSuchHost;
        for ip in found {
            let address = SocketAddr::new(ip, origin.port);
            match guard::check(address, settings) {
                Ok(()) => allowed.push(address),
                Err(why) => failure = why,
            }
        }
        allowed.truncate(MOST_ADDRESSES);
        if allowed.is_empty() {
            return Err(failure);
        }
        Ok(allowed)
    }

    async fn look_up(&self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        // With its dot: no search list makes another name of it.
        match self.resolver.lookup_ip(format!("{host}.")).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(NetError::Dns(DnsError::NoRecordsFound(_))) => Err(Failure::NoSuchHost),
            Err(_) => Err(Failure::Dns),
        }
    }

    async fn open(&self, address: SocketAddr, origin: &Origin) -> Result<Sender, Failure> {
        let socket = TcpStream::connect(address).await;
        let socket = socket.map_err(|_| Failure::Connect)?;
        // Where that cannot be set, requests are a little slower.
        let _ = socket.set_nodelay(true);
        if !origin.is_tls {
            return self.shake(socket, false).await;
        }
        let bare = origin.host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| Failure::BadUrl)?;
        let stream = self.tls.connect(name, socket).await.map_err(|error| {
            debug!(host = %origin.host, %error, "no TLS");
            Failure::Tls
        })?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
        self.shake(stream, is_http2).await
    }

    /// Begins to speak HTTP.
    async fn shake<S>(&self, stream: S, is_http2: bool) -> Result<Sender, Failure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let stream = TokioIo::new(stream);
        if is_http2 {
            let shaken = http2::Builder::new(TokioExecutor::new())
                .max_header_list_size(MOST_HEADER)
                .handshake(stream)
                .await;
            let (sender, connection) = shaken.map_err(|_| Failure::Broken)?;
            self.keep(async move {
                // How it ends shows in its requests.
                let _ = connection.await;
            });
            return Ok(Sender::Http2(sender));
        }
        let shaken = http1::Builder::new()
            .max_buf_size(MOST_HEADER as usize)
            .handshake(stream)
            .await;
        let (sender, connection) = shaken.map_err(|_| Failure::Broken)?;
        self.keep(async move {
            let _ = connection.await;
        });
        Ok(Sender::Http1(sender))
    }

    fn keep(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(connection);
    }
}

/// What is offered to hosts, in order (RFC 7301).
pub(super) fn protocols() -> Vec<Vec<u8>> {
    vec![HTTP2.to_vec(), b"http/1.1".to_vec()]
}

/// The TLS of a client that trusts `roots`.
pub(super) fn connector(roots: Arc<rustls::RootCertStore>) -> TlsConnector {
    let mut client = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = protocols();
    TlsConnector::from(Arc::new(client))
}

const HTTP2: &[u8] = b"h2";
/// Addresses of one host that are tried.
const MOST_ADDRESSES: usize = 4;
/// Bytes of all headers of an answer.
const MOST_HEADER: u32 = 32 * 1024;
/// Names that are remembered.
pub(super) const CACHED_NAMES: u64 = 4096;
/// Answers count as good for this long at most, whatever they say.
pub(super) const LONGEST_TTL: Duration = Duration::from_secs(300);
