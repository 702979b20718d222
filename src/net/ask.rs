//! One question to a running edge over HTTP, for the command line: as one user asks one server, so there are no limits of others
//! to keep, and the address may be a private one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::{runtime, time};
use tokio_rustls::TlsConnector;
use url::Url;

use crate::net::tls::system_roots;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum NotAnswered {
    /// It is no address of a server.
    #[error("`{0}` is no web address; write http://127.0.0.1:9061")]
    Address(String),
    /// The server cannot be reached, or the connection broke.
    #[error("{0} does not answer: {1}")]
    Connection(String, String),
    /// It took too long.
    #[error("{0} does not answer within {time} s", time = PATIENCE.as_secs())]
    Time(String),
    /// The system refuses.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Posts JSON to `path` of the server at `base`, with a bearer token; gives status and body of the answer.
///
/// # Errors
///
/// When there is no answer.
pub fn post(
    base: &str,
    path: &str,
    token: &str,
    body: Vec<u8>,
) -> Result<(u16, Bytes), NotAnswered> {
    let address = || NotAnswered::Address(base.escape_debug().to_string());
    let url = Url::parse(base).map_err(|_| address())?;
    let is_tls = match url.scheme() {
        "https" => true,
        "http" => false,
        _ => return Err(address()),
    };
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(address());
    };
    let request = Request::post(path)
        .header(HOST, url.authority())
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|_| address())?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let exchange = async {
        let socket = TcpStream::connect((bare, port)).await?;
        if !is_tls {
            return exchange(socket, request).await;
        }
        let mut config = rustls::ClientConfig::builder()
            .with_root_certificates(system_roots())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::new(config));
        exchange(connector.connect(name, socket).await?, request).await
    };
    let answered = runtime.block_on(async { time::timeout(PATIENCE, exchange).await });
    let answered = answered.map_err(|_| NotAnswered::Time(base.to_owned()))?;
    answered.map_err(|error| NotAnswered::Connection(base.to_owned(), error.to_string()))
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> io::Result<(u16, Bytes)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(io::Error::other)?;
    let answer = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MOST_BODY)
            .collect()
            .await;
        Ok((status, body.map_err(io::Error::other)?.to_bytes()))
    };
    tokio::pin!(connection, answer);
    tokio::select! {
        answer = &mut answer => answer,
        // It may be closed by the other side once all of the answer is there.
        closed = &mut connection => match closed {
            Ok(()) => answer.await,
            Err(error) => Err(io::Error::other(error)),
        },
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of an answer: what is said of some thousand buyers.
const MOST_BODY: usize = 16 << 20;
