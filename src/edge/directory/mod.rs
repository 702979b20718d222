//! Changes of the routing data of a running edge: one at a time, taken only if the whole configuration is right with
//! it, on the disk before it is in force, and in force before it is answered.
//!
//! ```text
//!  HTTP ──Change──> supervisor: whose is it? which version? ──> read all, with the change ──> write ──> apply
//!       <──────────────────── Unchanged ─┴──────────────────────────┘ faults                    └──> Changed
//! ```
//!
//! The supervisor does this beside its signals, on a thread where no call is served.

mod files;
mod overlay;

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::config;
use crate::config::objects::{self, Home, ObjectFault, Version};
use crate::config::{Fault, Objects, Source};
use crate::edge::Edge;
use crate::edge::directory::overlay::Overlay;

pub(super) use self::files::clean;

/// Changes that may wait for their turn.
pub(super) const WAITING: usize = 16;

/// One change.
pub(super) struct Change {
    pub(super) what: What,
    pub(super) only_if: OnlyIf,
    /// Who asks: the name of the token.
    pub(super) token: Arc<str>,
    /// Where from.
    pub(super) client: IpAddr,
    pub(super) answer: oneshot::Sender<Result<Changed, Unchanged>>,
}

/// What is to be changed.
pub(super) enum What {
    /// An object: its kind and id, and what it says from now on; `None`: it goes.
    Object(&'static str, String, Option<Map<String, Value>>),
    /// A list of numbers: its name and its text; `None`: it goes.
    List(String, Option<String>),
}

/// What must hold for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OnlyIf {
    /// Nothing is said. That is enough for what is new.
    Unsaid,
    /// It is not there.
    Absent,
    /// It is there, in whichever version.
    Present,
    /// It is there in one of these versions.
    Versions(Vec<Version>),
}

/// What has come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Changed {
    /// The load of the configuration that has it.
    pub(super) generation: u64,
    /// Whether it was not there before.
    pub(super) is_new: bool,
}

/// Why nothing was changed.
#[derive(Debug)]
pub(super) enum Unchanged {
    /// There is no `data_dir` to keep it in.
    NoPlace,
    /// It is not there.
    Absent,
    /// It stands in a file of the operator's.
    Foreign(Home),
    /// Its file was changed by hand, and is not loaded yet.
    Unloaded(PathBuf),
    /// It is there, and the version was not said.
    Unsaid,
    /// It is there in another version, or not there, or there although it should not be.
    Stale,
    /// It cannot be written as it is.
    Unwritable(Vec<ObjectFault>),
    /// The configuration would be wrong with it.
    Wrong {
        /// Of what was sent.
        own: Vec<ObjectFault>,
        /// Of what stands elsewhere, and of lists, with file and line.
        other: Vec<Fault>,
    },
    /// It cannot be written to the disk.
    Disk(io::Error),
}

/// Where a change goes: the file, and the text that is there now.
struct Target {
    path: PathBuf,
    old: Option<String>,
}

impl Edge {
    /// Makes a change, and says what came of it to whoever asked.
    pub(super) fn change(&mut self, change: Change, config: &Path, source: &dyn Source) {
        let result = self.make(&change, config, source);
        self.panel.metrics.add_directory_change(result.is_ok());
        let (kind, id, is_put) = match &change.what {
            What::Object(kind, id, object) => (*kind, id, object.is_some()),
            What::List(name, text) => ("list", name, text.is_some()),
        };
        let (token, client) = (&*change.token, change.client);
        if let Ok(changed) = &result {
            let generation = changed.generation;
            info!(kind, id, is_put, token, %client, generation, "routing data changed");
        }
        // Whoever has gone can see what is there now.
        let _ = change.answer.send(result);
    }

    fn make(
        &mut self,
        change: &Change,
        config: &Path,
        source: &dyn Source,
    ) -> Result<Changed, Unchanged> {
        let objects = self.office.objects();
        let data_dir = self.fixed.data_dir().ok_or(Unchanged::NoPlace)?;
        let target = Target::find(change, &objects, data_dir)?;
        let text = match &change.what {
            What::Object(kind, id, Some(object)) => {
                let text = objects::write(kind, id, object, target.old.as_deref());
                Some(text.map_err(Unchanged::Unwritable)?)
            }
            What::List(_, Some(text)) => Some(text.clone()),
            What::Object(_, _, None) | What::List(_, None) => None,
        };
        let overlay = Overlay {
            source,
            path: &target.path,
            text: text.as_deref(),
        };
        let generation = self.generation + 1;
        let settings = config::load(config, &overlay, generation);
        let settings = settings.map_err(|faults| {
            let is_object = matches!(change.what, What::Object(..));
            let text = text.as_deref().unwrap_or_default();
            let is_own = |fault: &&Fault| is_object && fault.file == target.path;
            let (own, other): (Vec<&Fault>, Vec<&Fault>) = faults.iter().partition(is_own);
            Unchanged::Wrong {
                own: own.iter().map(|f| objects::of_object(f, text)).collect(),
                other: other.into_iter().cloned().collect(),
            }
        })?;
        match &text {
            Some(text) => files::write(&target.path, text),
            None => files::remove(&target.path),
        }
        .map_err(|error| {
            warn!(file = %target.path.display(), %error, "routing data cannot be kept");
            Unchanged::Disk(error)
        })?;
        for section in self.apply(settings) {
            warn!(section, "changed: needs a restart, and is not applied");
        }
        Ok(Changed {
            generation,
            is_new: target.old.is_none(),
        })
    }
}

impl Target {
    fn find(change: &Change, objects: &Objects, data_dir: &Path) -> Result<Self, Unchanged> {
        let (path, version, is_gone) = match &change.what {
            What::Object(kind, id, object) => {
                let found = objects.find(kind, id);
                if let Some(found) = found.filter(|found| !found.home.is_ours) {
                    return Err(Unchanged::Foreign(found.home.clone()));
                }
                if found.is_none() && *kind == "number" {
                    listed(id, objects)?;
                }
                let path = objects::file_for(data_dir, kind, id);
                (path, found.map(|found| found.version), object.is_none())
            }
            What::List(name, text) => {
                let found = objects.lists.get(&**name);
                let path = objects::list_file_for(data_dir, name);
                (path, found.map(|found| found.version), text.is_none())
            }
        };
        match (version, &change.only_if) {
            (None, OnlyIf::Unsaid | OnlyIf::Absent) if is_gone => return Err(Unchanged::Absent),
            (None, OnlyIf::Unsaid | OnlyIf::Absent) | (Some(_), OnlyIf::Present) => {}
            (Some(_), OnlyIf::Unsaid) => return Err(Unchanged::Unsaid),
            (Some(version), OnlyIf::Versions(versions)) if versions.contains(&version) => {}
            (Some(_), OnlyIf::Absent | OnlyIf::Versions(_))
            | (None, OnlyIf::Present | OnlyIf::Versions(_)) => return Err(Unchanged::Stale),
        }
        let old = match fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Unchanged::Disk(error)),
        };
        // What somebody wrote there by hand is not to be lost.
        let is_known = old.is_some() == version.is_some()
            && old.as_deref().map(objects::mark) == objects.marks.get(&path).copied();
        if is_known {
            Ok(Self { path, old })
        } else {
            Err(Unchanged::Unloaded(path))
        }
    }
}

/// Refuses a number that stands in a list.
fn listed(number: &str, objects: &Objects) -> Result<(), Unchanged> {
    for file in &objects.list_files {
        // One that cannot be read is a fault of the load that follows.
        let text = fs::read_to_string(file).unwrap_or_default();
        if let Some((line, _)) = objects::line_of(&text, number) {
            return Err(Unchanged::Foreign(Home {
                file: file.clone(),
                line,
                is_ours: false,
            }));
        }
    }
    Ok(())
}
