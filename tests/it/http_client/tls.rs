//! TLS, and HTTP/2 where the host speaks it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::certificates::{Authority, Identity};
use crate::dns::DnsServer;

#[test]
fn many_requests_share_one_connection_of_http_2() {
    run(async {
        let site = Site::new("hooks.test", &[b"h2", b"http/1.1"]).await;
        let client = site.client();
        let url = site.url("hooks.test");
        // The first one finds out what the host speaks.
        let first = soon(&client, &Fetch { url: &url, ..GET })
            .await
            .expect("an answer");
        assert_eq!(
            &*first.body,
            format!("HTTP/2.0 hooks.test:{}", site.address.port()).as_bytes()
        );
        let mut fetches = JoinSet::new();
        for _ in 0..20 {
            let (client, url) = (client.clone(), url.clone());
            fetches.spawn(async move { soon(&client, &Fetch { url: &url, ..GET }).await });
        }

        let answers = fetches.join_all().await;

        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(site.connections.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_host_that_knows_only_http_1_1_gets_that() {
    run(async {
        let site = Site::new("hooks.test", &[]).await;
        let client = site.client();

        for _ in 0..2 {
            let fetch = Fetch {
                url: &site.url("hooks.test"),
                ..GET
            };
            let answer = soon(&client, &fetch).await.expect("an answer");
            assert!(answer.body.starts_with(b"HTTP/1.1"));
        }

        assert_eq!(site.connections.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_host_that_cannot_prove_its_name_gets_nothing() {
    run(async {
        let site = Site::new("other.test", &[]).await;
        let client = site.client();

        let wrong = soon(
            &client,
            &Fetch {
                url: &site.url("hooks.test"),
                ..GET
            },
        )
        .await;
        let right = soon(
            &client,
            &Fetch {
                url: &site.url("other.test"),
                ..GET
            },
        )
        .await;
        let stranger = client_with(vec![site.dns.address], |settings| {
            settings.ca = Some(Arc::new(RootCertStore::empty()));
        });
        let unknown = soon(
            &stranger,
            &Fetch {
                url: &site.url("other.test"),
                ..GET
            },
        )
        .await;

        assert_eq!(wrong, Err(Failure::Tls));
        assert!(right.is_ok());
        assert_eq!(unknown, Err(Failure::Tls));
    });
}

#[test]
fn a_host_that_never_finishes_tls_has_its_time_and_no_more() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        let url = format!("https://{address}/");
        let began = clock::now();

        let result = within(&client(|_| {}), &Fetch { url: &url, ..GET }, LIMIT).await;

        assert_eq!(result, Err(Failure::TimedOutUnsent));
        assert_in_time(began, LIMIT, &url);
    });
}

/// A server that speaks TLS and tells by which version and for which host it was asked.
struct Site {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    dns: DnsServer,
    ca: Arc<RootCertStore>,
    _folder: tempfile::TempDir,
}

impl Site {
    /// A server whose certificate is for `name` and that offers these protocols.
    async fn new(name: &str, protocols: &[&[u8]]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new(folder.path(), "authority");
        let identity = authority.certify(&[name]);
        let acceptor = acceptor(&identity, protocols);
        let mut ca = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(authority.file()).expect("a certificate");
        ca.add(root).expect("an authority");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let acceptor = acceptor.clone();
                tokio::spawn(async move { serve(&acceptor, stream).await });
            }
        });
        Self {
            address,
            connections,
            dns: DnsServer::start("hooks.test A 127.0.0.1; other.test A 127.0.0.1", 60),
            ca: Arc::new(ca),
            _folder: folder,
        }
    }

    fn client(&self) -> Client {
        let ca = Arc::clone(&self.ca);
        client_with(vec![self.dns.address], |settings| settings.ca = Some(ca))
    }

    fn url(&self, name: &str) -> String {
        format!("https://{name}:{}/", self.address.port())
    }
}

fn acceptor(identity: &Identity, protocols: &[&[u8]]) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(&identity.certificate).expect("a file");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(&identity.key).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth();
    let mut config = config.with_single_cert(chain, key).expect("an identity");
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(acceptor: &TlsAcceptor, stream: tokio::net::TcpStream) {
    // Who does not trust us goes away.
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let stream = TokioIo::new(stream);
    let service = service_fn(tell);
    let result = if is_http2 {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        server.serve_connection(stream, service).await
    } else {
        let server = hyper::server::conn::http1::Builder::new();
        server.serve_connection(stream, service).await
    };
    // The client is done.
    drop(result);
}

async fn tell(
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let version = match request.version() {
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    };
    let header = request
        .headers()
        .get("host")
        .and_then(|host| host.to_str().ok());
    let host = request
        .uri()
        .authority()
        .map(|host| host.as_str())
        .or(header);
    let text = format!("{version} {}", host.unwrap_or_default());
    Ok(Response::new(Full::new(text.into())))
}
