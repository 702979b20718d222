//! Text to checked, compiled settings.
//!
//! ```text
//! strowger.toml ──┐ raw: one key at a time, its place kept
//! routing/*.toml ─┼─> node, listen, carriers, routes ──> Settings    all of it was right
//! numbers.csv ────┘   bulk: a number per line       └──> Faults      every fault at once
//! ```
//!
//! The whole of it is a function: files and the environment come in through [`Source`].

mod bulk;
mod buyers;
mod carriers;
mod desk;
mod doors;
mod fault;
mod keys;
mod listen;
mod node;
mod raw;
mod routes;
mod texts;
mod users;
mod value;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::call::policy::{Known, Listener, Policy};

pub use self::fault::{Fault, Faults};
pub use self::texts::Texts;

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
    /// The listener for metrics and health; `None`: there is none.
    pub http: Option<Http>,
    /// Logs and records.
    pub telemetry: Telemetry,
    /// What the engine goes by.
    pub policy: Policy,
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
}

/// The listener for metrics and health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// The address it is bound to.
    pub bind: SocketAddr,
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
    let faults = desk.into_faults();
    match settings {
        Some(settings) if faults.is_empty() => Ok(settings),
        Some(_) | None => Err(faults),
    }
}

/// Reads as much as can be read; what it returns is worth nothing if the desk has a fault.
fn read(path: &Path, generation: u64, desk: &mut desk::Desk<'_>) -> Option<Settings> {
    let main = desk.open_main(path)?;
    let document = desk.parse(&main);
    let root = raw::Section::root(&document, main.id, desk);
    let node = node::read(&root, desk);

    let files = desk.open_directory(&node.directory);
    let documents: Vec<_> = files.iter().map(|file| desk.parse(file)).collect();
    let mut roots = vec![root];
    for (file, document) in files.iter().zip(&documents) {
        roots.push(raw::Section::routing_root(document, file.id, desk));
    }

    let listeners = listen::read(&root, desk);
    let companies = routes::Companies::read(&roots, desk);
    let carriers = carriers::read(&root, &companies, desk);
    let lists = bulk::open(&roots, desk);
    let directory = routes::read(&roots, companies, &lists, &listeners, desk);
    let mut known = carriers.listed;
    for buyer in directory.campaigns.iter().flat_map(|one| &one.buyers) {
        let address = buyer.address.ip().into();
        if let Some(first) = known.insert(address, Known::Buyer) {
            known.insert(address, first);
        }
    }

    Some(Settings {
        policy: Policy {
            generation,
            hop_secret: node.secret,
            product: node.product,
            listeners: listeners.list.clone(),
            domains: carriers.domains,
            trunks: carriers.trunks,
            directory,
            limits: node.limits,
            timing: node.timing,
            strangers: node.strangers,
            known,
            guard: node.guard,
            overload: node.overload,
            hunt: node.hunt,
        },
        node: node.node,
        listeners: listeners.list,
        http: node.http,
        telemetry: node.telemetry,
    })
}

#[cfg(test)]
mod tests;
