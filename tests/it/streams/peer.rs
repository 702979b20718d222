//! A site with all transports, a carrier that writes SIP by hand, and a buyer that answers.

use std::cell::RefCell;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use strowger::config;
use strowger::edge::{Disk, Edge};
use tempfile::TempDir;

use super::PATIENCE;
use crate::certificates::{Authority, Identity};

/// A configuration with listeners for UDP, TCP over both families, and TLS, in this order.
pub(super) struct Site {
    pub(super) config: PathBuf,
    pub(super) disk: Disk,
    /// Whom the edge's and the buyers' certificates are signed by.
    pub(super) authority: Authority,
    /// Whom the carriers' are.
    pub(super) carriers: Authority,
    folder: TempDir,
    buyer: RefCell<String>,
    client: RefCell<&'static str>,
}

/// What a TLS client believes and shows.
pub(super) struct Trust(Arc<ClientConfig>);

impl Site {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "authority");
        let site = Self {
            config: folder.path().join("strowger.toml"),
            disk: Disk::new().unwrap(),
            carriers: Authority::new(folder.path(), "carriers"),
            authority,
            folder,
            buyer: RefCell::new("address = \"127.0.0.1:9\"".to_owned()),
            client: RefCell::new("ask"),
        };
        site.renew(&["edge.example.com"]);
        site
    }

    /// Another one, with the same authorities and the same certificate.
    pub(super) fn new_with(other: &Self) -> Self {
        let site = Self::new();
        for name in [
            "authority.pem",
            "carriers.pem",
            "edge-cert.pem",
            "edge-key.pem",
        ] {
            fs::copy(other.path(name), site.path(name)).unwrap();
        }
        site
    }

    /// Puts another certificate in the place of the edge's.
    pub(super) fn renew(&self, names: &[&str]) {
        let identity = self.authority.certify(names);
        fs::copy(identity.certificate, self.path("edge-cert.pem")).unwrap();
        fs::copy(identity.key, self.path("edge-key.pem")).unwrap();
    }

    /// Puts a key that belongs to another certificate in the place of the edge's.
    pub(super) fn confuse_key(&self) {
        let other = self.authority.certify(&["confused.example.com"]);
        fs::copy(other.key, self.path("edge-key.pem")).unwrap();
    }

    /// Says where the buyer is, how it is reached, and what its URI's host is.
    pub(super) fn buyer(&self, address: SocketAddr, transport: &str, host: &str) {
        *self.buyer.borrow_mut() = format!(
            "address = \"{address}\"\ntransport = \"{transport}\"\nuri = \"sip:sales@{host}\""
        );
    }

    /// Has every TLS listener ask for a certificate.
    pub(super) fn require_client(&self) {
        *self.client.borrow_mut() = "require";
    }

    pub(super) fn start(&self) -> Edge {
        self.write();
        match config::load(&self.config, &self.disk, 1) {
            Ok(settings) => Edge::start(settings).unwrap(),
            Err(faults) => panic!("{faults}"),
        }
    }

    fn write(&self) {
        let mut buyer = self.buyer.borrow().clone();
        if !buyer.contains("uri") {
            buyer.push_str("\nuri = \"sip:sales@buyer.example.com\"");
        }
        let client = self.client.borrow();
        let text = format!(
            r#"
[node]
name = "streams"

[telemetry]
records = "records.jsonl"

[tls]
certificate = "edge-cert.pem"
key = "edge-key.pem"
client_ca = "carriers.pem"
client_certificate = "{client}"
ca = "authority.pem"

[[listen]]
bind = "127.0.0.1:0"

[[listen]]
transport = "tcp"
bind = "127.0.0.1:0"

[[listen]]
transport = "tcp"
bind = "[::1]:0"

[[listen]]
transport = "tls"
bind = "127.0.0.1:0"

[[domain]]
name = "ip.example.com"
require = "ip"

[[domain]]
name = "mtls.example.com"
require = "mtls"

[[trunk]]
id = "carrier"
company = "acme"
domains = ["ip.example.com", "mtls.example.com"]
allow = ["127.0.0.1/32", "::1/128"]
certificates = ["sbc.carrier.example.com"]

[[company]]
id = "acme"
key_secret = "streams-0123456789abcdef"

[[publisher]]
afid = "bright-leads"
company = "acme"

[[buyer]]
id = "sunny"
company = "acme"
{buyer}

[[campaign]]
id = "solar"
company = "acme"
buyers = ["sunny"]

[[number]]
number = "+12125550101"
campaign = "solar"
afid = "bright-leads"
"#
        );
        fs::write(&self.config, text).unwrap();
    }

    /// What a client believes that trusts the site's authority.
    pub(super) fn trust(&self, identity: Option<&Identity>) -> Trust {
        trust(&self.authority.file(), identity)
    }

    /// The only call record.
    pub(super) fn record(&self) -> serde_json::Value {
        let text = fs::read_to_string(self.path("records.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its folder.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn trust(authority: &Path, identity: Option<&Identity>) -> Trust {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(authority).unwrap())
        .unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots);
    let config = match identity {
        None => config.with_no_client_auth(),
        Some(identity) => config
            .with_client_auth_cert(chain(identity), key(identity))
            .unwrap(),
    };
    Trust(Arc::new(config))
}

fn chain(identity: &Identity) -> Vec<CertificateDer<'static>> {
    vec![CertificateDer::from_pem_file(&identity.certificate).unwrap()]
}

fn key(identity: &Identity) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_file(&identity.key).unwrap()
}

trait Both: Read + Write + Send {}
impl<T: Read + Write + Send> Both for T {}

/// One connection, and what is known of the call on it.
pub(super) struct Peer {
    socket: Box<dyn Both>,
    own: SocketAddr,
    transport: &'static str,
    unread: Vec<u8>,
    /// The INVITE's answer.
    answer: String,
}

impl Peer {
    pub(super) fn tcp(address: SocketAddr) -> Self {
        let stream = connect(address);
        let own = stream.local_addr().unwrap();
        Self::over(stream, own, "TCP")
    }

    /// Agrees on TLS, or says why not.
    pub(super) fn tls(address: SocketAddr, trust: &Trust, name: &str) -> Result<Self, String> {
        let mut stream = connect(address);
        let own = stream.local_addr().unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut tls = ClientConnection::new(Arc::clone(&trust.0), name).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)
                .map_err(|error| error.to_string())?;
        }
        Ok(Self::over(StreamOwned::new(tls, stream), own, "TLS"))
    }

    fn over(socket: impl Both + 'static, own: SocketAddr, transport: &'static str) -> Self {
        Self {
            socket: Box::new(socket),
            own,
            transport,
            unread: Vec::new(),
            answer: String::new(),
        }
    }

    pub(super) fn send(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).unwrap();
        self.socket.flush().unwrap();
    }

    pub(super) fn send_byte(&mut self, byte: u8) {
        // Nobody listens any more once the first bytes were enough to refuse.
        let _ = self.socket.write_all(&[byte]);
    }

    /// Whether the edge closes the connection, rather than answering once more.
    pub(super) fn is_closed_soon(&mut self) -> bool {
        let again = self.options().replace("-OPTIONS-1", "-OPTIONS-2");
        let _ = self.socket.write_all(again.as_bytes());
        self.receive().is_empty()
    }

    /// The next message; empty: the connection was closed.
    pub(super) fn receive(&mut self) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(message) = cut(&mut self.unread) {
                return message;
            }
            assert!(Instant::now() < until, "nothing came");
            let mut buffer = [0; 4096];
            match self.socket.read(&mut buffer) {
                Ok(0) => return String::new(),
                Ok(count) => self.unread.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return String::new(),
            }
        }
    }

    pub(super) fn receive_where(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let message = self.receive();
            assert!(!message.is_empty(), "the connection was closed");
            if wanted(&message) {
                return message;
            }
        }
    }

    pub(super) fn options(&self) -> String {
        self.request("OPTIONS", "sip:ip.example.com", "", 1, "")
    }

    pub(super) fn invite(&self, number: &str, domain: &str) -> String {
        let body = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n";
        self.request("INVITE", &format!("sip:{number}@{domain}"), "", 1, body)
    }

    /// Calls and takes the answer.
    pub(super) fn call(&mut self, domain: &str) {
        self.send(&self.invite("+12125550101", domain));
        self.answer = self.receive_where(|text| text.starts_with("SIP/2.0 200 "));
        let ack = self.within("ACK", 1);
        self.send(&ack);
    }

    pub(super) fn hang_up(&mut self) {
        let bye = self.within("BYE", 2);
        self.send(&bye);
        self.receive_where(|text| text.starts_with("SIP/2.0 200 ") && text.contains(" BYE"));
    }

    fn within(&self, method: &str, cseq: u32) -> String {
        let contact = header(&self.answer, "Contact");
        let uri = contact.trim_start_matches('<').split('>').next().unwrap();
        let tag = header(&self.answer, "To").split_once(";tag=").unwrap().1;
        self.request(method, uri, &format!(";tag={tag}"), cseq, "")
    }

    fn request(&self, method: &str, uri: &str, tag: &str, cseq: u32, body: &str) -> String {
        let (own, transport) = (self.own, self.transport);
        let length = body.len();
        format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/{transport} {own};branch=z9hG4bK-{method}-{cseq}-{port}\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:+12125550142@{own}>;tag=caller\r\n\
             To: <sip:callee@example.com>{tag}\r\n\
             Call-ID: {own}\r\n\
             CSeq: {cseq} {method}\r\n\
             Contact: <sip:caller@{own};transport={lower}>\r\n\
             Content-Length: {length}\r\n\r\n{body}",
            port = own.port(),
            lower = transport.to_ascii_lowercase(),
        )
    }
}

/// A connection from 127.0.0.1 or ::1, which are listed.
fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A connection from another address of this machine.
pub(super) fn connect_from(ip: IpAddr, address: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(ip, 0).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A whole message from the front of `unread`.
fn cut(unread: &mut Vec<u8>) -> Option<String> {
    let head = unread.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&unread[..head]).into_owned();
    let length: usize = header(&text, "Content-Length").parse().unwrap_or(0);
    if unread.len() < head + length {
        return None;
    }
    let message = unread.drain(..head + length).collect::<Vec<u8>>();
    Some(String::from_utf8(message).unwrap())
}

fn header<'t>(text: &'t str, name: &str) -> &'t str {
    let start = format!("{name}: ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_default()
}

/// A buyer that answers every INVITE and every BYE, on connections of its own listener.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) fn tls(identity: &Identity) -> Self {
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain(identity), key(identity))
            .unwrap();
        let config = Arc::new(config);
        Self::with(move |stream| {
            let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            Box::new(StreamOwned::new(tls, stream))
        })
    }

    fn with(wrap: impl Fn(TcpStream) -> Box<dyn Both> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&heard);
        // It ends with the test's process; nobody else can connect to it.
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(wrap(stream.unwrap()), address, &ear);
            }
        });
        Self { address, heard }
    }

    /// The requests of this method so far.
    pub(super) fn received(&self, method: &str) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        let wanted = heard.iter().filter(|text| text.starts_with(method));
        wanted.cloned().collect()
    }
}

fn serve(mut socket: Box<dyn Both>, own: SocketAddr, ear: &Mutex<Vec<String>>) {
    let mut unread = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = socket.read(&mut buffer) {
        unread.extend_from_slice(&buffer[..count]);
        while let Some(request) = cut(&mut unread) {
            let answer = answer(&request, own);
            ear.lock().unwrap().push(request);
            let sent = answer.map_or(Ok(()), |text| socket.write_all(text.as_bytes()));
            if sent.and_then(|()| socket.flush()).is_err() {
                return;
            }
        }
    }
}

fn answer(request: &str, own: SocketAddr) -> Option<String> {
    if request.starts_with("ACK") || request.starts_with("SIP/2.0") {
        return None;
    }
    let mut text = "SIP/2.0 200 OK\r\n".to_owned();
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        let value = header(request, name);
        let tag = if name == "To" && !value.contains(";tag=") {
            ";tag=buyer"
        } else {
            ""
        };
        text.push_str(&format!("{name}: {value}{tag}\r\n"));
    }
    text.push_str(&format!(
        "Contact: <sip:sales@{own}>\r\nContent-Length: 0\r\n\r\n"
    ));
    Some(text)
}

/// Waits until it is so, and says how long that took; `None`: it never was.
pub(super) fn eventually(mut is_so: impl FnMut() -> bool) -> Option<Duration> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if is_so() {
            return Some(start.elapsed());
        }
        thread::sleep(Duration::from_millis(10));
    }
    None
}
