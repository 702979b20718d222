//! Push services: one server of HTTP/2 that stands in for Google's and Apple's, and what arrives there.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use strowger::net::clock;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Member, Office, notification, notify};
use crate::certificates::{Authority, Identity};
use crate::twilio_api::ACCOUNT;

/// A request that came to the service.
#[derive(Debug, Clone)]
struct Came {
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    version: Version,
}

impl Came {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map_or("", |(_, value)| value)
    }
}

/// The service.
struct Service {
    came: Arc<Mutex<Vec<Came>>>,
}

impl Service {
    /// Serves on a port of its own.
    fn start(identity: &Identity) -> (Self, SocketAddr) {
        let came = Arc::new(Mutex::new(Vec::new()));
        let (noted, acceptor) = (Arc::clone(&came), acceptor(identity));
        let (told, address) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                told.send(listener.local_addr().unwrap()).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let (acceptor, noted) = (acceptor.clone(), Arc::clone(&noted));
                    tokio::spawn(async move {
                        let Ok(stream) = acceptor.accept(stream).await else {
                            return;
                        };
                        let service = service_fn(|request| answer(request, Arc::clone(&noted)));
                        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        let _ = server.serve_connection(TokioIo::new(stream), service).await;
                    });
                }
            });
        });
        (Self { came }, address.recv().unwrap())
    }

    /// What came to paths that begin so, as soon as there are so many.
    fn await_all(&self, path: &str, count: usize) -> Vec<Came> {
        let deadline = clock::now() + Duration::from_secs(10);
        loop {
            let came = self.came.lock().unwrap().clone();
            let found: Vec<_> = came
                .into_iter()
                .filter(|one| one.path.starts_with(path))
                .collect();
            if found.len() >= count {
                return found;
            }
            assert!(
                clock::now() < deadline,
                "{count} wanted at {path}: {found:?}"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn acceptor(identity: &Identity) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(&identity.certificate).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let mut config = config.with_single_cert(chain, key).unwrap();
    // Apple's service speaks nothing else.
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn answer(
    request: Request<Incoming>,
    noted: Arc<Mutex<Vec<Came>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let path = head.uri.path().to_owned();
    let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap().to_owned();
    let came = Came {
        path: path.clone(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
        body: body.to_vec(),
        version: head.version,
    };
    let earlier = {
        let mut noted = noted.lock().unwrap();
        let earlier = noted.iter().filter(|one| one.path == path).count();
        noted.push(came);
        earlier
    };
    let (status, text) = match &*path {
        "/token" => (
            200,
            json!({"access_token": "canary-access", "expires_in": 3599}).to_string(),
        ),
        path if path.ends_with("/gone") => (410, json!({"reason": "Unregistered"}).to_string()),
        path if path.ends_with("/bad") => (400, json!({"reason": "BadDeviceToken"}).to_string()),
        path if path.ends_with("/busy") && earlier < 2 => (503, String::new()),
        path if path.ends_with("/stale") && earlier < 1 => {
            (403, json!({"reason": "ExpiredProviderToken"}).to_string())
        }
        _ if memchr::memmem::find(&body, b"no-such-phone").is_some() => {
            let known = json!({"error": {"details": [{"errorCode": "UNREGISTERED"}]}});
            (404, known.to_string())
        }
        _ if memchr::memmem::find(&body, b"no-such-page").is_some() => (404, "{}".to_owned()),
        _ => (200, "{}".to_owned()),
    };
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status.try_into().unwrap();
    Ok(response)
}

#[test]
fn apple_gets_the_bytes_of_the_notification_and_a_token_of_ours() {
    let (office, service) = office();
    let edge = office.site.start();
    let member = Member::of(&edge);
    member.connect();
    bind(&member, "apns", "user:bob", "0123456789abcdef");
    let body = format!(
        "{{ \"twi_params\":\"a=1&b=%20\",\"twi_to\":\"client:user:b\\u006fb\",\n\"x\":1.50, \"twi_account_sid\":\"{ACCOUNT}\"}}\n"
    );

    assert_eq!(notify(&member, &body).status, 200);

    let came = &service.await_all("/3/device/", 1)[0];
    assert_eq!(came.version, Version::HTTP_2);
    assert_eq!(came.path, "/3/device/0123456789abcdef");
    assert_eq!(came.body, body.as_bytes());
    assert_eq!(came.header("apns-topic"), "com.example.app.voip");
    assert_eq!(came.header("apns-push-type"), "voip");
    let token = came
        .header("authorization")
        .strip_prefix("bearer ")
        .or(came.header("authorization").strip_prefix("Bearer "));
    let parts: Vec<_> = token.unwrap().split('.').collect();
    assert_eq!(parts.len(), 3);
}

#[test]
fn google_gets_them_as_data_and_is_asked_for_one_token() {
    let (office, service) = office();
    let edge = office.site.start();
    let member = Member::of(&edge);
    member.connect();
    bind(&member, "fcm", "user:bob", "APA91-one");
    bind(&member, "fcm", "user:bob", "APA91-two");
    let body = notification("client:user:bob", "WB1");

    assert_eq!(notify(&member, &body).status, 200);

    let came = service.await_all("/v1/projects/my-project/messages:send", 2);
    for one in &came {
        assert_eq!(one.header("authorization"), "Bearer canary-access");
        assert!(memchr::memmem::find(&one.body, body.as_bytes()).is_some());
        let message: Value = serde_json::from_slice(&one.body).unwrap();
        assert_eq!(message["message"]["data"]["twi_to"], "client:user:bob");
    }
    assert_eq!(service.await_all("/token", 1).len(), 1);
    let assertion = &service.await_all("/token", 1)[0].body;
    assert!(assertion.starts_with(
        b"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="
    ));
}

#[test]
fn a_phone_that_its_service_knows_no_more_is_forgotten() {
    let (office, service) = office();
    let edge = office.site.start();
    let member = Member::of(&edge);
    member.connect();
    bind(&member, "apns", "user:bob", "gone");
    bind(&member, "fcm", "user:bob", "no-such-phone");

    assert_eq!(
        notify(&member, &notification("client:user:bob", "WB1")).status,
        200
    );

    service.await_all("/3/device/", 1);
    let deadline = clock::now() + Duration::from_secs(10);
    while notify(&member, &notification("client:user:bob", "WB2")).status != 404 {
        assert!(clock::now() < deadline, "they are still there");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(member.get("/calls/bindings").json()["items"], json!([]));
}

#[test]
fn a_phone_is_kept_when_a_service_says_what_our_mistake_would_make_it_say() {
    let (office, service) = office();
    let edge = office.site.start();
    let member = Member::of(&edge);
    member.connect();
    bind(&member, "apns", "user:bob", "bad");
    bind(&member, "fcm", "user:bob", "no-such-page");

    let answer = notify(&member, &notification("client:user:bob", "WB3"));

    assert_eq!(answer.status, 200);
    service.await_all("/3/device/", 1);
    service.await_all("/v1/projects/", 1);
    thread::sleep(Duration::from_millis(300));
    let left = member.get("/calls/bindings").json();
    assert_eq!(left["items"].as_array().map(Vec::len), Some(2), "{left}");
}

#[test]
fn a_service_that_is_busy_is_asked_again_and_a_stale_token_is_made_anew() {
    let (office, service) = office();
    let edge = office.site.start();
    let member = Member::of(&edge);
    member.connect();
    bind(&member, "apns", "user:bob", "busy");
    bind(&member, "apns", "user:carol", "stale");

    assert_eq!(
        notify(&member, &notification("client:user:bob", "WB1")).status,
        200
    );
    assert_eq!(
        notify(&member, &notification("client:user:carol", "WB2")).status,
        200
    );

    assert_eq!(service.await_all("/3/device/busy", 3).len(), 3);
    assert_eq!(service.await_all("/3/device/stale", 2).len(), 2);
    let deadline = clock::now() + Duration::from_secs(5);
    let done = "strowger_call_pushes_total{channel=\"apns\",result=\"done\"} 2";
    while !edge.metrics().contains(done) {
        assert!(clock::now() < deadline, "{}", edge.metrics());
        thread::sleep(Duration::from_millis(10));
    }
}

/// An office whose push services are there.
fn office() -> (Office, Service) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let (service, address) = Service::start(&authority.certify(&["127.0.0.1"]));
    let url = format!("https://{address}");
    let client = format!("ca = {:?}", authority.file());
    let more = format!(
        r#"
[twilio.fcm]
url = "{url}"
service_account = {{ file = "firebase.json" }}

[twilio.apns]
url = "{url}"
topic = "com.example.app.voip"
team = "ABCDE12345"
key_id = "ABC123DEFG"
key = {{ file = "apns.p8" }}
"#
    );
    let office = Office::with(1000, &client, &more);
    write_keys(office.site.folder.path(), &url);
    // The certificate of the authority is read at the start.
    std::mem::forget(folder);
    (office, service)
}

fn write_keys(folder: &Path, url: &str) {
    let apple = rcgen::KeyPair::generate().unwrap();
    std::fs::write(folder.join("apns.p8"), apple.serialize_pem()).unwrap();
    let size = rcgen::RsaKeySize::_2048;
    let google = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size).unwrap();
    let account = json!({
        "type": "service_account",
        "project_id": "my-project",
        "client_email": "edge@my-project.example.com",
        "private_key": google.serialize_pem(),
        "token_uri": format!("{url}/token"),
    });
    std::fs::write(folder.join("firebase.json"), account.to_string()).unwrap();
}

fn bind(member: &Member, channel: &str, identity: &str, address: &str) {
    let body = json!({
        "identity": identity,
        "account_sid": ACCOUNT,
        "channel": channel,
        "address": address,
    });
    let bound = member.post("/calls/bindings", &body);
    assert_eq!(bound.status, 201, "{}", bound.body);
}
