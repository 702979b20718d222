//! One test's place: its loopback addresses, its folder, and the configuration of its edge.
//!
//! ```text
//!   127.x.y.z+1        the edge           +2  carrier, listed        +8 ... buyers
//!                                         +3  carrier, not listed
//! ```

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use tempfile::TempDir;

/// The number that has all: campaign, publisher, sub id.
pub(crate) const NUMBER: &str = "+18885550100";
/// A number of no campaign.
pub(crate) const UNKNOWN_NUMBER: &str = "+18885550199";
/// The domain that lets carriers in by address.
pub(crate) const BY_ADDRESS: &str = "ip.example.com";
/// The domain that lets carriers in by digest, MD5 only.
pub(crate) const BY_DIGEST: &str = "digest.example.com";
/// The domain that offers two algorithms.
pub(crate) const BY_EITHER_DIGEST: &str = "two.example.com";
/// The realm of all domains.
pub(crate) const REALM: &str = "carriers.example.com";
/// A digest user and its password.
pub(crate) const USER: (&str, &str) = ("trunk-one", "carrier-secret");

/// One test's place.
pub(crate) struct Site {
    folder: TempDir,
    block: u32,
    buyers: Vec<Buyer>,
    listed: Vec<Ipv4Addr>,
    secret: String,
    strangers: &'static str,
}

/// One buyer of the campaign, in the order of their adding.
#[derive(Clone)]
pub(crate) struct Buyer {
    /// Its id.
    pub(crate) id: String,
    /// Where it is.
    pub(crate) address: Ipv4Addr,
    /// Its URI.
    pub(crate) uri: String,
    /// How long it may ring.
    pub(crate) ring_timeout: &'static str,
    /// How long it may say nothing.
    pub(crate) response_timeout: &'static str,
    /// User name, password and realm for its challenges.
    pub(crate) login: Option<(&'static str, &'static str, &'static str)>,
}

impl Site {
    /// A fresh place.
    ///
    /// 24 bits of loopback are there: 14 tell this run from others on the machine, 6 the tests of a run, 4 the hosts of a test.
    pub(crate) fn new() -> Self {
        static TESTS: AtomicU32 = AtomicU32::new(0);
        let test = TESTS.fetch_add(1, Ordering::Relaxed);
        assert!(test < 64, "more tests than blocks of addresses");
        let run = (process::id() & 0x3fff).max(1);
        Self {
            folder: tempfile::Builder::new()
                .prefix("strowger-interop.")
                .tempdir()
                .expect("temporary folder"),
            block: 0x7f00_0000 | run << 10 | test << 4,
            buyers: Vec::new(),
            listed: Vec::new(),
            secret: "interop-only-node-secret".to_owned(),
            strangers: "refuse",
        }
    }

    /// That says nothing to strangers.
    pub(crate) fn silent(mut self) -> Self {
        self.strangers = "silent";
        self
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
            address,
            uri: format!("sip:{id}@{address}"),
            ring_timeout: "20s",
            response_timeout: "4s",
            login: None,
        };
        change(&mut buyer);
        self.buyers.push(buyer);
    }

    /// The address for a buyer that is to be added with [`Self::buyer_with`].
    pub(crate) fn next_buyer(&self) -> Ipv4Addr {
        self.host(8 + u32::try_from(self.buyers.len()).expect("few buyers"))
    }

    /// The file of call records.
    pub(crate) fn records(&self) -> PathBuf {
        self.folder().join("records.jsonl")
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
        let records = self.records();
        let records = records.display();
        let (user, password) = USER;
        let mut text = format!(
            r#"[node]
name = "{edge}"
drain_limit = "2s"
secret = "{secret}"

[[listen]]
transport = "udp"
bind = "{edge}:5060"

[http]
bind = "{edge}:9090"

[sip]
strangers = "{strangers}"

[telemetry]
log = "debug"
records = "{records}"

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

[[company]]
id = "acme"
key_secret = "interop-only-interop-only-interop-only"

[[trunk]]
id = "carrier"
company = "acme"
domains = ["{BY_ADDRESS}", "{BY_DIGEST}", "{BY_EITHER_DIGEST}"]
allow = ["{carrier}/32"{listed}]
users = [{{ name = "{user}", password = "{password}" }}]
country = "1"

[[publisher]]
afid = "1001"
company = "acme"

[[campaign]]
id = "sales"
company = "acme"
buyers = [{buyers}]

[[number]]
number = "{NUMBER}"
campaign = "sales"
afid = "1001"
sid = "sub7"
"#,
            buyers = self.ids(),
        );
        for (place, buyer) in self.buyers.iter().enumerate() {
            write_buyer(&mut text, place, buyer);
        }
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

fn write_buyer(text: &mut String, place: usize, buyer: &Buyer) {
    let Buyer {
        id,
        address,
        uri,
        ring_timeout,
        response_timeout,
        login,
    } = buyer;
    write!(
        text,
        r#"
[[buyer]]
id = "{id}"
company = "acme"
uri = "{uri}"
address = "{address}:5060"
priority = {place}
ring_timeout = "{ring_timeout}"
response_timeout = "{response_timeout}"
"#
    )
    .expect("text");
    if let Some((username, password, realm)) = login {
        writeln!(
            text,
            r#"username = "{username}"
password = "{password}"
realm = "{realm}""#
        )
        .expect("text");
    }
}
