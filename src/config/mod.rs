//! Text to checked, compiled settings.
//!
//! ```text
//! strowger.toml ──┐ raw: one key at a time, its place kept
//! routing/*.toml ─┼─> node, listen, carriers, routes ──> Settings    all of it was right
//! numbers.csv ────┘   bulk: a number per line       └──> Faults      every fault at once
//! ```
//!
//! The whole of it is a function: files and the environment come in through [`Source`].

pub mod accounts;
mod bulk;
mod buyers;
mod callers;
mod campaigns;
mod carriers;
mod conversions;
mod desk;
mod dns;
mod doors;
mod fault;
mod gateways;
mod groups;
mod headers;
mod hooks;
pub mod http;
mod http_client;
mod keys;
mod lints;
mod listen;
mod media;
mod networks;
mod node;
pub mod objects;
mod postbacks;
mod presets;
mod raw;
mod routes;
mod shelf;
mod store;
mod terms;
mod texts;
pub mod tls;
mod toml_text;
pub mod trials;
pub mod twilio;
mod users;
mod value;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::call::policy::{Known, Listener, Policy};
use crate::sip::flow::PeerId;

pub use self::fault::{Fault, Faults};
pub use self::http::Http;
pub use self::http_client::HttpClient;
pub use self::objects::Objects;
pub use self::texts::Texts;
pub use self::twilio::Twilio;

/// Where the text comes from. The shell reads the disk, a test reads a map.
pub trait Source {
    /// Reads the file at `path`.
    fn read(&self, path: &Path) -> io::Result<String>;

    /// Lists the files in the directory `path`, in any order; each as `path` joined with its name.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;

    /// Reads the environment variable `name`; `None` if it is not set.
    fn env(&self, name: &str) -> Option<String>;

    /// 32 unpredictable bytes for a node without `secret`: the same at each call, so that a reload
    /// does not spoil the tokens that are under way.
    fn fallback_secret(&self) -> [u8; 32];
}

/// Everything that a configuration says.
pub struct Settings {
    /// This process.
    pub node: Node,
    /// Our listeners; the same as in `policy`, before any port 0 is known.
    pub listeners: Vec<Listener>,
    /// TLS; `None`: no listener speaks it.
    pub tls: Option<tls::Tls>,
    /// Names that peers prove by TLS: buyers' and trunks'.
    pub peers: HashMap<PeerId, Arc<str>>,
    /// Bounds of TCP and TLS connections.
    pub connections: Connections,
    /// Everything that is served over HTTP.
    pub http: Http,
    /// How Twilio's calls come; `None`: none do.
    pub twilio: Option<Arc<Twilio>>,
    /// The routing data as they are seen over HTTP; none are, without a listener for it.
    pub objects: Arc<Objects>,
    /// Logs and records.
    pub telemetry: Telemetry,
    /// How names are looked up.
    pub dns: Dns,
    /// How webhooks are sent.
    pub http_client: HttpClient,
    /// What outlives the process; `None`: nothing does.
    pub storage: Option<Storage>,
    /// What the engine goes by.
    pub policy: Policy,
    /// The folders of the files that `directory` names.
    pub folders: Vec<PathBuf>,
    /// What is right, but seldom meant.
    pub warnings: Vec<Fault>,
}

/// This process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name in logs and records.
    pub name: String,
    /// Number of engines, each on a thread of its own; 1 to 255.
    pub shards: usize,
    /// How long calls under way may last after SIGTERM.
    pub drain_limit: Duration,
    /// Time between a shard's looks at its sockets, under load.
    pub gather: Duration,
    /// UDP messages alike in length and destination may be given to the kernel as one.
    pub gso: bool,
}

/// Bounds of TCP and TLS connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// How many there may be at once.
    pub most: usize,
    /// How many of them from one address that nobody lists.
    pub per_stranger: usize,
    /// After how long one on which nothing comes is closed.
    pub idle: Duration,
    /// The same for a listed peer's, and for one by which a call came.
    pub idle_known: Duration,
    /// How long a peer may take to answer when we connect.
    pub connect: Duration,
}

/// How names are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// Servers; none: those of /etc/resolv.conf.
    pub servers: Vec<SocketAddr>,
    /// How long one look-up may take, with all its questions.
    pub timeout: Duration,
    /// How long an answer that is too old is still used while there is no other.
    pub stale: Duration,
}

/// What outlives the process, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// The directory, which no other edge uses.
    pub data_dir: PathBuf,
    /// How long entries gather before they are brought into the tables.
    pub gather: Duration,
    /// How long a call that has ended is remembered.
    pub keep: Duration,
    /// Bytes of entries that may wait for the tables.
    pub backlog: u64,
    /// Bytes at which the file of call records is put aside; `None`: never because of that.
    pub rotate_size: Option<u64>,
    /// Whether it is put aside when a day begins, in UTC.
    pub rotate_daily: bool,
}

/// Logs and records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    /// The filter of log lines, checked: `info`, `info,strowger::call=debug`.
    pub log: String,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// The file that call records are appended to; `None`: no records are written.
    pub records: Option<PathBuf>,
    /// The folder that captures of media are written to; `None`: there are none.
    pub captures: Option<PathBuf>,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object per line.
    Json,
}

/// Reads the configuration whose main file is `path`. Paths inside it are relative to its directory.
/// `generation` counts loads; the first is 1. `Err` holds every fault of every file.
pub fn load(path: &Path, source: &dyn Source, generation: u64) -> Result<Settings, Faults> {
    let mut desk = desk::Desk::new(path, source);
    let settings = read(path, generation, &mut desk);
    let (faults, warnings) = desk.into_faults();
    match settings {
        Some(settings) if faults.is_empty() => Ok(Settings {
            warnings,
            ..settings
        }),
        Some(_) | None => Err(faults),
    }
}

/// Reads as much as can be read; what it returns is worth nothing if the desk has a fault.
fn read(path: &Path, generation: u64, desk: &mut desk::Desk<'_>) -> Option<Settings> {
    let main = desk.open_main(path)?;
    let document = desk.parse(&main);
    let root = raw::Section::root(&document, main.id, desk);
    let node = node::read(&root, desk);
    let dns = dns::read(&root, desk);
    let data_dir = node.data_dir.map(|path| desk.resolve(path.value));
    let storage = store::read(&root, data_dir.clone(), desk);
    desk.hearing.is_kept = storage.is_some();

    let mut folders: Vec<PathBuf> = Vec::new();
    for pattern in &node.directory {
        let folder = desk.resolve(pattern.value);
        let folder = folder.parent().unwrap_or(Path::new("")).to_owned();
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    let mut files = desk.open_directory(&node.directory);
    let shelf = shelf::open(node.data_dir, desk);
    files.extend(shelf.files);
    let documents: Vec<_> = files.iter().map(|file| desk.parse(file)).collect();
    let mut roots = vec![root];
    for (file, document) in files.iter().zip(&documents) {
        roots.push(raw::Section::routing_root(document, file.id, desk));
    }

    let tls = tls::read(&root, desk);
    let http = http::read(&root, desk);
    desk.hearing.is_there = !http.listeners.is_empty();
    let listeners = listen::read(&root, root.has("tls"), desk);
    let callers = callers::read(&roots, desk);
    let companies = routes::Companies::read(&roots, &callers, desk);
    let networks = networks::Networks::read(&roots, desk);
    let believed = networks.twilio();
    let twilio = twilio::read(&root, (&http, &node.secret), &companies, desk);
    let media = media::read(&root, &listeners, node.node.shards, desk);
    let scene = (&media, &networks, twilio.is_some());
    let carriers = carriers::read(&root, scene, &companies, &listeners, desk);
    if let Some(twilio) = &twilio {
        twilio.check_host(&root, &carriers.domains, desk);
        if data_dir.is_none() {
            let instead = "set `data_dir` in [node], so that a copy of a hand-off is none after a restart, too";
            let place = root.place_of("twilio");
            desk.warn(
                place,
                "forgets what was handed over when it restarts",
                instead,
            );
        }
    }
    let mut lists = bulk::open(&roots, desk);
    let foreign = lists.len();
    lists.extend(shelf.lists.into_iter().map(bulk::List));
    let scene = (&listeners, &media, &networks);
    let (directory, mut hooks) = routes::read(&roots, (companies, &callers), &lists, scene, desk);
    if desk.hearing.is_there {
        hooks.open_to_posts();
    }
    if desk.is_right() {
        let scene = lints::Scene {
            directory: &directory,
            attempts: node.hunt.attempts,
            domains: carriers.domains.keys().map(|name| &**name).collect(),
        };
        lints::look(&roots, &scene, desk);
    }
    let http_client = http_client::read(&root, &networks, desk);
    let mut known = carriers.listed;
    let mut names = carriers.peers;
    let buyers = directory.buyers.values();
    for gateway in buyers.flat_map(|buyer| &buyer.gateways) {
        let address = gateway.address.ip().into();
        if gateway.target().is_some()
            && let Some(first) = known.insert(address, Known::Buyer)
        {
            known.insert(address, first);
        }
        names.extend(gateway.tls_name.clone());
    }
    let peers = peers(names, &root, desk);
    let mut objects = Objects::default();
    // What is wrong is shown to nobody, and reading it again would tell its faults twice.
    if !http.listeners.is_empty() && desk.is_right() {
        let (theirs, ours) = lists.split_at(foreign);
        let own = (data_dir.as_deref(), &node.secret);
        objects = Objects::read(&roots, (theirs, ours), own, desk);
    }

    let mut settings = Settings {
        policy: Policy {
            node: node.node.name.as_str().into(),
            generation,
            hop_secret: node.secret,
            product: node.product,
            listeners: listeners.list.clone(),
            domains: carriers.domains,
            trunks: carriers.trunks,
            directory,
            hooks,
            limits: node.limits,
            timing: node.timing,
            strangers: node.strangers,
            known,
            guard: node.guard,
            overload: node.overload,
            hunt: node.hunt,
            session: node.session,
            health: node.health,
            media,
            twilio: believed,
            tickets: twilio.as_ref().map(Twilio::tickets),
        },
        node: node.node,
        listeners: listeners.list,
        tls,
        peers,
        connections: node.connections,
        http,
        twilio: twilio.map(Arc::new),
        objects: Arc::new(objects),
        telemetry: node.telemetry,
        dns,
        http_client,
        warnings: Vec::new(),
        folders,
        storage,
    };
    // What somebody asks for is there to be told.
    if let Some(storage) = &mut settings.storage {
        let policy = &settings.policy;
        storage.keep = storage.keep.max(policy.memory()).max(policy.suspense());
    }
    Some(settings)
}

/// The names that peers prove, by id.
fn peers(
    names: Vec<Arc<str>>,
    root: &raw::Section<'_>,
    desk: &mut desk::Desk<'_>,
) -> HashMap<PeerId, Arc<str>> {
    let mut peers = HashMap::new();
    for name in names {
        let other = peers.insert(PeerId::of(&name), Arc::clone(&name));
        if let Some(other) = other.filter(|other| !other.eq_ignore_ascii_case(&name)) {
            desk.fault(
                root.place,
                format!("cannot tell `{name}` from `{other}`: their ids are the same by chance"),
                "use another name for one of the two",
            );
        }
    }
    peers
}

#[cfg(test)]
mod tests;
