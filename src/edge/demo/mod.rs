//! `strowger demo`: the edge, a little carrier and two little buyers on loopback, and three real calls.
//!
//! ```text
//!   scene ──> stage: carrier ──UDP──> edge ──UDP──> buyer, buyer
//!               │                       │
//!               │ trace                 │ call record
//!               v                       v
//!            verdict ────────────────────────> report: ladders, or JSON
//! ```

mod buyer;
mod carrier;
mod ladder;
mod phone;
mod report;
mod scene;
mod stage;
mod trace;
mod verdict;

use std::io;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use thiserror::Error;

use crate::call::record::Record;
use crate::config;
use crate::config::{Faults, Settings, Source};
use crate::edge::demo::report::Shown;
use crate::edge::demo::scene::{SCENES, Scene};
use crate::edge::demo::stage::Stage;
use crate::edge::{Edge, StartError, disk};
use crate::net::clock;
use crate::sip::build::BuildError;

/// How the demo is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Pages for people.
    Text {
        /// With ANSI colours.
        colour: bool,
    },
    /// One JSON document.
    Json,
}

/// Why there was no demo.
#[derive(Debug, Error)]
pub enum DemoError {
    /// The embedded configuration is wrong.
    #[error("the demo's configuration is wrong:\n{0}")]
    Configuration(#[from] Faults),
    /// The edge did not start.
    #[error("the edge does not start: {0}")]
    Start(#[from] StartError),
    /// The carrier or a buyer could not write a message.
    #[error("the demo cannot write a message: {0}")]
    Build(#[from] BuildError),
    /// A socket, or the output.
    #[error("the system refuses: {0}")]
    System(#[from] io::Error),
}

/// Plays the demo and writes it to `out`; `true` if all went as expected.
///
/// # Errors
///
/// When there was nothing to show.
pub fn run(look: Look, out: &mut dyn Write) -> Result<bool, DemoError> {
    let mut stage = Stage::open()?;
    let settings = settings(stage.buyers())?;
    let (sender, records) = sync_channel(SCENES.len());
    let edge = Edge::start_with(settings, Some(sender))?;
    let address = edge.addresses().first().copied();
    let address = address.ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
    let mut calls = Vec::with_capacity(SCENES.len());
    for scene in SCENES {
        calls.push(play(scene, &mut stage, address, &records)?);
    }
    edge.stop();
    match look {
        Look::Text { colour } => report::write_text(&calls, colour, out)?,
        Look::Json => report::write_json(&calls, out)?,
    }
    Ok(calls.iter().all(Shown::is_ok))
}

fn play(
    scene: &'static Scene,
    stage: &mut Stage,
    edge: SocketAddr,
    records: &Receiver<Box<Record>>,
) -> Result<Shown, DemoError> {
    let played = stage.play(scene, edge)?;
    let record = records.recv_timeout(RECORD_LIMIT).ok();
    Ok(Shown {
        differences: verdict::differences(&scene.expected, &played, record.as_deref()),
        scene,
        played,
        record,
        anchor: clock::anchor(),
    })
}

/// Reads the embedded configuration, with the ports that we have in place of those that it names.
fn settings(buyers: [SocketAddr; 2]) -> Result<Settings, DemoError> {
    let [one, two] = buyers.map(|buyer| buyer.to_string());
    let text = CONFIGURATION
        .replace(BUYER_ONE, &one)
        .replace(BUYER_TWO, &two);
    let secret = disk::draw()?;
    let source = Embedded { text, secret };
    Ok(config::load(Path::new(FILE), &source, 1)?)
}

/// The only file there is, and an environment without variables.
struct Embedded {
    text: String,
    secret: [u8; 32],
}

impl Source for Embedded {
    fn read(&self, path: &Path) -> io::Result<String> {
        if path == Path::new(FILE) {
            Ok(self.text.clone())
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn list(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn fallback_secret(&self) -> [u8; 32] {
        self.secret
    }
}

/// The configuration, and what it is called where it is faulty.
const CONFIGURATION: &str = include_str!("../../../conf/demo.toml");
const FILE: &str = "conf/demo.toml";

/// Addresses in it that are replaced.
const BUYER_ONE: &str = "127.0.0.1:5071";
const BUYER_TWO: &str = "127.0.0.1:5072";

/// How long the record of a finished call is waited for.
const RECORD_LIMIT: Duration = Duration::from_secs(1);
