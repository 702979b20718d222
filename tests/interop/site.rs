//! One test's place: its loopback addresses, its folder, and the configuration of its edge.
//!
//! ```text
//!   127.x.y.z+1        the edge           +2  carrier, listed        +4  its proxy     +8 ... buyers
//!                                         +3  carrier, not listed    +5  buyers' proxy
//! ```
//!
//! UDP and TCP are at port 5060, TLS is at 5061; one authority signs all certificates.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use tempfile::TempDir;

use crate::certificates::Authority;
use crate::certificates::Identity;

/// What an operator shows who asks for captures.
pub(crate) const CAPTURE_TOKEN: &str = "interop-only-interop-only-captures";
/// The number that has all: campaign, publisher, sub id.
pub(crate) const NUMBER: &str = "+18885550100";
/// A number of no campaign.
pub(crate) const UNKNOWN_NUMBER: &str = "+18885550199";
/// The number of a campaign that has the last buyer only.
pub(crate) const TO_THE_LAST: &str = "+12125550199";
/// The domain that lets carriers in by address.
pub(crate) const BY_ADDRESS: &str = "ip.example.com";
/// The domain that lets carriers in by digest, MD5 only.
pub(crate) const BY_DIGEST: &str = "digest.example.com";
/// The domain that offers two algorithms.
pub(crate) const BY_EITHER_DIGEST: &str = "two.example.com";
/// The domain that lets carriers in by the name in their certificate.
pub(crate) const BY_CERTIFICATE: &str = "mtls.example.com";
/// The name in the edge's certificate.
pub(crate) const EDGE_NAME: &str = "edge.example.com";
/// The name in the carrier's certificate.
pub(crate) const CARRIER_NAME: &str = "carrier.example.com";
/// The name in the certificates of buyers.
pub(crate) const BUYER_NAME: &str = "buyer.example.com";
/// The realm of all domains.
pub(crate) const REALM: &str = "carriers.example.com";
/// A digest user and its password.
pub(crate) const USER: (&str, &str) = ("trunk-one", "carrier-secret");

/// How a peer and the edge are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    Tls,
}

/// One test's place.
pub(crate) struct Site {
    folder: TempDir,
    authority: Authority,
    block: u32,
    buyers: Vec<Buyer>,
    listed: Vec<Ipv4Addr>,
    served: BTreeSet<String>,
    secret: String,
    strangers: &'static str,
    /// Whether captures can be asked for.
    captures: bool,
    /// The interfaces at which the kernel forwards media, as the configuration has them.
    kernel: &'static str,
    /// What `[trunk.media]` says; `None`: media goes directly.
    media: Option<&'static str>,
    /// Where an rtpengine is that relays, instead of us.
    rtpengine: Option<SocketAddr>,
    /// Names of headers that pass from the carrier.
    passing: String,
    /// Whether what happens is kept in a data directory.
    pub(crate) keeps: bool,
    /// Further tables, at the end of the configuration.
    pub(crate) more: String,
    /// How the campaign of all buyers calls those of one priority.
    pub(crate) dial: &'static str,
    /// What else its campaign says.
    room: &'static str,
}

/// One buyer of the campaign, in the order of their adding.
#[derive(Clone)]
pub(crate) struct Buyer {
    /// Its id.
    pub(crate) id: String,
    /// Where it is.
    pub(crate) address: IpAddr,
    /// Its port, if not the usual one.
    pub(crate) port: Option<u16>,
    /// Its URI.
    pub(crate) uri: String,
    /// How it is reached.
    pub(crate) transport: Transport,
    /// How long it may ring.
    pub(crate) ring_timeout: &'static str,
    /// How long it may say nothing.
    pub(crate) response_timeout: &'static str,
    /// User name, password and realm for its challenges.
    pub(crate) login: Option<(&'static str, &'static str, &'static str)>,
    /// A second gateway, behind the first.
    pub(crate) second: Option<Ipv4Addr>,
    /// What becomes of its REFER.
    pub(crate) refer: &'static str,
    /// What `[buyer.media]` says.
    pub(crate) media: &'static str,
    /// What it asks of a call: keys of its table.
    pub(crate) rules: &'static str,
}

impl Transport {
    /// As configurations and URIs have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// The port of peers that are reached by it.
    pub(crate) fn port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }
}

impl Site {
    /// A fresh place.
    ///
    /// 24 bits of loopback are there: 13 tell this run from others on the machine, 7 the tests of a run, 4 the hosts of a test.
    pub(crate) fn new() -> Self {
        static TESTS: AtomicU32 = AtomicU32::new(0);
        let test = TESTS.fetch_add(1, Ordering::Relaxed);
        assert!(test < 128, "more tests than blocks of addresses");
        let run = (process::id() & 0x1fff).max(1);
        let folder = tempfile::Builder::new()
            .prefix("strowger-interop.")
            .tempdir()
            .expect("temporary folder");
        Self {
            authority: Authority::new(folder.path(), "authority"),
            folder,
            block: 0x7f00_0000 | run << 11 | test << 4,
            buyers: Vec::new(),
            listed: Vec::new(),
            served: BTreeSet::new(),
            secret: "interop-only-node-secret".to_owned(),
            strangers: "refuse",
            captures: false,
            kernel: "",
            media: None,
            rtpengine: None,
            passing: String::new(),
            keeps: false,
            more: String::new(),
            dial: "in_turn",
            room: "",
        }
    }

    /// Where the carrier's headers of these names pass.
    pub(crate) fn passing(mut self, names: &[&str]) -> Self {
        self.passing = format!("[trunk.headers]\npass_from = {names:?}\n");
        self
    }

    /// Where calls wait that nobody can take.
    pub(crate) fn waiting(mut self) -> Self {
        self.room = "waiting_room = \"20s\"";
        self
    }

    /// Where the carrier's calls may show tickets.
    pub(crate) fn taking_tickets(mut self) -> Self {
        self.passing = "tickets = \"taken\"\n".to_owned();
        self
    }

    /// That says nothing to strangers.
    pub(crate) fn silent(mut self) -> Self {
        self.strangers = "silent";
        self
    }

    /// Where media is relayed; the trunk's `media` says `trunk`.
    pub(crate) fn relayed(mut self, trunk: &'static str) -> Self {
        self.media = Some(trunk);
        self
    }

    /// Where the kernel forwards media that comes in by these interfaces.
    pub(crate) fn in_the_kernel(mut self, interfaces: &'static str) -> Self {
        self.kernel = interfaces;
        self
    }

    /// Whose addresses are those of a network that is not the loopback's.
    pub(crate) fn on_wires(mut self) -> Self {
        self.block = 0x0a00_0000 | self.block & 0x00ff_ffff;
        self
    }

    /// Where captures can be asked for, at port 9061 with [`CAPTURE_TOKEN`].
    pub(crate) fn capturing(mut self) -> Self {
        self.captures = true;
        self
    }

    /// The folder that captures are in.
    pub(crate) fn captures(&self) -> PathBuf {
        self.folder().join("captures")
    }

    /// The rtpengine that relays instead of us.
    pub(crate) fn lodge_at(&mut self, rtpengine: SocketAddr) {
        self.rtpengine = Some(rtpengine);
    }

    /// With another secret of the node: edges that share it are one site.
    pub(crate) fn with_secret(mut self, secret: &str) -> Self {
        secret.clone_into(&mut self.secret);
        self
    }

    /// Lists one more address that may call.
    pub(crate) fn list(&mut self, address: Ipv4Addr) {
        self.listed.push(address);
    }

    /// Serves one more host as a domain, by address, if the configuration takes it as one.
    pub(crate) fn serve(&mut self, host: Option<String>) {
        let is_one = |host: &String| {
            let is_plain = |one: char| one.is_ascii_alphanumeric() || ".-_".contains(one);
            let is_name = host.contains(|one: char| one.is_ascii_alphabetic());
            host.parse::<IpAddr>().is_ok() || is_name && host.chars().all(is_plain)
        };
        self.served.extend(host.filter(is_one));
    }

    /// The folder of all files of this test.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The edge's address.
    pub(crate) fn edge(&self) -> Ipv4Addr {
        self.host(1)
    }

    /// The address that is listed.
    pub(crate) fn carrier(&self) -> Ipv4Addr {
        self.host(2)
    }

    /// An address that is not listed.
    pub(crate) fn stranger(&self) -> Ipv4Addr {
        self.host(3)
    }

    /// The carrier's proxy.
    pub(crate) fn carriers_proxy(&self) -> Ipv4Addr {
        self.host(4)
    }

    /// The proxy of the buyers.
    pub(crate) fn buyers_proxy(&self) -> Ipv4Addr {
        self.host(5)
    }

    /// The file of the authority's certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.authority.file()
    }

    /// A certificate for a peer of this name.
    pub(crate) fn identity(&self, name: &str) -> Identity {
        self.authority.certify(&[name])
    }

    /// Adds a buyer at an address of its own, after those there are.
    pub(crate) fn buyer(&mut self, id: &str) -> Ipv4Addr {
        let place = u32::try_from(self.buyers.len()).expect("few buyers");
        let address = self.host(8 + place);
        self.buyer_with(id, address, |_| {});
        address
    }

    /// Adds a buyer at `address`, changed by `change`.
    pub(crate) fn buyer_with(
        &mut self,
        id: &str,
        address: Ipv4Addr,
        change: impl FnOnce(&mut Buyer),
    ) {
        let mut buyer = Buyer {
            id: id.to_owned(),
            address: address.into(),
            port: None,
            uri: format!("sip:{id}@{address}"),
            transport: Transport::Udp,
            ring_timeout: "20s",
            response_timeout: "4s",
            login: None,
            second: None,
            refer: "refuse",
            media: "",
            rules: "",
        };
        change(&mut buyer);
        self.buyers.push(buyer);
    }

    /// The address for a buyer that is to be added with [`Self::buyer_with`].
    pub(crate) fn next_buyer(&self) -> Ipv4Addr {
        self.host(8 + u32::try_from(self.buyers.len()).expect("few buyers"))
    }

    /// The address of the first buyer.
    pub(crate) fn first_buyer(&self) -> Ipv4Addr {
        self.host(8)
    }

    /// The file of call records.
    pub(crate) fn records(&self) -> PathBuf {
        self.folder().join("records.jsonl")
    }

    /// Where the edge keeps what must outlive it.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// Writes the configuration of the edge.
    pub(crate) fn configure(&self) -> PathBuf {
        let file = self.folder().join("strowger.toml");
        fs::write(&file, self.configuration()).expect("configuration");
        file
    }

    fn configuration(&self) -> String {
        let edge = self.edge();
        let carrier = self.carrier();
        let secret = &self.secret;
        let strangers = self.strangers;
        let listed: String = self
            .listed
            .iter()
            .map(|address| format!(", \"{address}/32\""))
            .collect();
        let served: String = self
            .served
            .iter()
            .map(|host| format!(", \"{host}\""))
            .collect();
        let records = self.records();
        let records = records.display();
        let (user, password) = USER;
        let own = edge.to_string();
        let identity = self.authority.certify(&[EDGE_NAME, &own]);
        let (certificate, key) = (identity.certificate.display(), identity.key.display());
        let authority = self.authority();
        let authority = authority.display();
        let (captures, desk) = if self.captures {
            let folder = self.captures();
            fs::create_dir_all(&folder).expect("a folder");
            let desk = format!(
                "\n[[http.listen]]\nbind = \"{edge}:9061\"\n[[http.token]]\nname = \"operator\"\n\
                 secret = \"{CAPTURE_TOKEN}\"\nscopes = [\"capture\"]\n"
            );
            (format!("captures = \"{}\"", folder.display()), desk)
        } else {
            (String::new(), String::new())
        };
        let far = self.rtpengine.map(|address| {
            format!(
                "\n[media]\nplane = \"rtpengine\"\n[[media.rtpengine]]\naddress = \"{address}\""
            )
        });
        let media = match (&far, self.media) {
            (Some(far), _) => far,
            (None, Some(_)) => {
                "\n[media]\nports = \"30000-30099\"\nshared_ports = \"30100-30103\"\ndigits = true"
            }
            (None, None) => "",
        };
        let kernel = match self.kernel {
            "" => String::new(),
            interfaces => format!("\nkernel = [{interfaces}]"),
        };
        let trunk_media = self.media.unwrap_or("plane = \"direct\"");
        let kept = if self.keeps {
            format!("data_dir = \"{}\"", self.data_dir().display())
        } else {
            String::new()
        };
        let mut text = format!(
            r#"[node]
name = "{edge}"
drain_limit = "2s"
secret = "{secret}"
{kept}

[[listen]]
transport = "udp"
bind = "{edge}:5060"

[[listen]]
transport = "tcp"
bind = "{edge}:5060"

[[listen]]
transport = "tls"
bind = "{edge}:5061"

[tls]
certificate = "{certificate}"
key = "{key}"
client_ca = "{authority}"
ca = "{authority}"

[http]
bind = "{edge}:9090"
{desk}{media}{kernel}

[sip]
strangers = "{strangers}"

# A build without optimisation, with other tests beside it, may be slow; what is done then has tests of its own.
[overload]
target = "0s"
stale = "0s"

[telemetry]
log = "debug"
records = "{records}"
{captures}

[[domain]]
name = "{BY_ADDRESS}"
realm = "{REALM}"
require = "ip"

[[domain]]
name = "{BY_DIGEST}"
realm = "{REALM}"
require = "digest"
algorithms = ["MD5"]

[[domain]]
name = "{BY_EITHER_DIGEST}"
realm = "{REALM}"
require = "digest"
algorithms = ["MD5", "SHA-256"]

[[domain]]
name = "{BY_CERTIFICATE}"
require = "mtls"

[[company]]
id = "acme"
key_secret = "interop-only-interop-only-interop-only"

[[trunk]]
id = "carrier"
company = "acme"
domains = ["{BY_ADDRESS}", "{BY_DIGEST}", "{BY_EITHER_DIGEST}", "{BY_CERTIFICATE}"{served}]
certificates = ["{CARRIER_NAME}"]
allow = ["{carrier}/32"{listed}]
users = [{{ name = "{user}", password = "{password}" }}]
media = {{ {trunk_media} }}
country = "1"
{passing}
[[publisher]]
afid = "1001"
company = "acme"

[[campaign]]
id = "sales"
company = "acme"
buyers = [{buyers}]
dial = "{dial}"
{room}

[[number]]
number = "{NUMBER}"
campaign = "sales"
afid = "1001"
sid = "sub7"
"#,
            buyers = self.ids(),
            dial = self.dial,
            room = self.room,
            passing = self.passing,
        );
        if let Some(last) = self.buyers.last() {
            write!(
                text,
                r#"
[[campaign]]
id = "last"
company = "acme"
buyers = ["{id}"]

[[number]]
number = "{TO_THE_LAST}"
campaign = "last"
afid = "1001"
sid = "sub7"
"#,
                id = last.id,
            )
            .expect("text");
        }
        for host in &self.served {
            write!(
                text,
                "\n[[domain]]\nname = \"{host}\"\nrealm = \"{REALM}\"\nrequire = \"ip\"\n"
            )
            .expect("text");
        }
        for (place, buyer) in self.buyers.iter().enumerate() {
            // Who is called at once has one priority.
            let priority = if self.dial == "together" { 0 } else { place };
            write_buyer(&mut text, priority, buyer);
        }
        text += &self.more;
        text
    }

    fn ids(&self) -> String {
        let ids: Vec<_> = self
            .buyers
            .iter()
            .map(|buyer| format!("{:?}", buyer.id))
            .collect();
        ids.join(", ")
    }

    fn host(&self, host: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.block | host)
    }
}

fn write_buyer(text: &mut String, priority: usize, buyer: &Buyer) {
    let Buyer {
        id,
        address,
        port,
        uri,
        transport,
        ring_timeout,
        response_timeout,
        login,
        second,
        refer,
        media,
        rules,
    } = buyer;
    let port = port.unwrap_or(transport.port());
    let (transport, place) = (transport.name(), SocketAddr::new(*address, port));
    write!(
        text,
        r#"
[[buyer]]
id = "{id}"
company = "acme"
priority = {priority}
ring_timeout = "{ring_timeout}"
response_timeout = "{response_timeout}"
refer = "{refer}"
"#
    )
    .expect("text");
    if second.is_none() {
        writeln!(
            text,
            r#"uri = "{uri}"
transport = "{transport}"
tls_name = "{BUYER_NAME}"
address = "{place}""#
        )
        .expect("text");
    }
    if let Some((username, password, realm)) = login {
        writeln!(
            text,
            r#"username = "{username}"
password = "{password}"
realm = "{realm}""#
        )
        .expect("text");
    }
    writeln!(text, "{rules}").expect("text");
    if !media.is_empty() {
        writeln!(text, "media = {{ {media} }}").expect("text");
    }
    for (gateway, rank) in second
        .iter()
        .flat_map(|second| [(*address, 1), (IpAddr::V4(*second), 2)])
    {
        writeln!(
            text,
            r#"[[buyer.gateway]]
uri = "sip:{id}@{gateway}"
priority = {rank}"#
        )
        .expect("text");
    }
}
