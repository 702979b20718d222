//! What the two ends of a lane know of it: the shard that writes, and the keeper that reads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::fs::{File, OpenOptions};
use std::io;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::frame::{HEAD, Head};

/// One lane.
pub(super) struct Track {
    pub(super) lane: u16,
    folder: PathBuf,
    /// Position up to which entries are in the file, whole.
    published: AtomicU64,
    /// Position up to which they are in the tables.
    applied: AtomicU64,
    /// The last write failed.
    is_failing: AtomicBool,
    segments: Mutex<Segments>,
    /// Entries that were written, and those that found no room.
    pub(super) entries: AtomicU64,
    pub(super) lost: AtomicU64,
}

/// The files of a lane.
#[derive(Default)]
struct Segments {
    /// Where they start, the oldest first.
    starts: VecDeque<u64>,
    /// Those that were found damaged: they are kept for people to look at.
    damaged: BTreeSet<u64>,
    /// The last one, if it is written to.
    live: Option<Arc<File>>,
    /// Those that were written to and may not be on the disk yet.
    left: Vec<Arc<File>>,
    /// Position up to which all is on the disk.
    synced: u64,
    /// There is a file that the folder may not have on the disk yet.
    is_new: bool,
}

impl Track {
    /// A lane with these segments, of which `applied` has been applied already, and that is written to from `end` on.
    pub(super) fn new(folder: &Path, lane: u16, starts: &[u64], applied: u64, end: u64) -> Self {
        Self {
            lane,
            folder: folder.to_owned(),
            published: AtomicU64::new(end),
            applied: AtomicU64::new(applied),
            is_failing: AtomicBool::new(false),
            segments: Mutex::new(Segments {
                starts: starts.iter().copied().collect(),
                synced: end,
                ..Segments::default()
            }),
            entries: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }
    }

    pub(super) fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// What was written lies in the file up to `position`.
    pub(super) fn publish(&self, position: u64) {
        self.is_failing.store(false, Ordering::Relaxed);
        self.published.store(position, Ordering::Release);
    }

    pub(super) fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    pub(super) fn set_applied(&self, position: u64) {
        self.applied.store(position, Ordering::Release);
    }

    pub(super) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    pub(super) fn fail(&self) {
        self.is_failing.store(true, Ordering::Relaxed);
    }

    /// Begins a segment at `start`.
    pub(super) fn begin_segment(&self, start: u64) -> io::Result<Arc<File>> {
        let path = self.path(start);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o640)
            .open(&path)?;
        if let Err(error) = file.write_all(&Head::new(self.lane, start).bytes()) {
            // Half a head is of no use, and nobody else knows of it.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        let file = Arc::new(file);
        let mut segments = self.segments();
        let before = segments.live.replace(Arc::clone(&file));
        segments.left.extend(before);
        segments.starts.push_back(start);
        segments.is_new = true;
        Ok(file)
    }

    /// Has all that was written brought to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        let published = self.published();
        let (files, is_new) = {
            let segments = self.segments();
            if segments.synced >= published && !segments.is_new {
                return Ok(());
            }
            let files = segments.left.iter().chain(&segments.live);
            (files.cloned().collect::<Vec<_>>(), segments.is_new)
        };
        // Without the lock: the shard may begin a segment meanwhile.
        for file in &files {
            file.sync_data()?;
        }
        if is_new {
            File::open(&self.folder)?.sync_all()?;
        }
        let mut segments = self.segments();
        segments.synced = segments.synced.max(published);
        segments.is_new &= !is_new;
        let is_synced = |left: &Arc<File>| files.iter().any(|file| Arc::ptr_eq(file, left));
        segments.left.retain(|left| !is_synced(left));
        Ok(())
    }

    /// Where the segment starts that holds `position`; `None`: none does.
    pub(super) fn segment_of(&self, position: u64) -> Option<u64> {
        let segments = self.segments();
        let starts = segments.starts.iter().rev();
        starts.copied().find(|start| *start <= position)
    }

    /// Where the first segment starts that comes after the one at `start` and at `position` or later.
    pub(super) fn segment_after(&self, start: Option<u64>, position: u64) -> Option<u64> {
        let segments = self.segments();
        let mut starts = segments.starts.iter().copied();
        starts.find(|next| start.is_none_or(|start| *next > start) && *next >= position)
    }

    pub(super) fn open_segment(&self, start: u64) -> io::Result<File> {
        File::open(self.path(start))
    }

    /// The segment at `start` is damaged.
    pub(super) fn mark_damaged(&self, start: u64) {
        self.segments().damaged.insert(start);
    }

    /// Removes the segments of which all is applied.
    pub(super) fn drop_applied(&self) -> io::Result<()> {
        // Without the lock: removing a file takes time, and the shard may want to begin one.
        while let Some((start, is_damaged)) = self.take_applied() {
            let path = self.path(start);
            if is_damaged {
                fs::rename(&path, path.with_extension("damaged"))?;
            } else {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Takes the oldest segment off the list if all of it is applied; and whether it is damaged.
    fn take_applied(&self) -> Option<(u64, bool)> {
        let applied = self.applied();
        let mut segments = self.segments();
        let is_done = match segments.starts.get(1) {
            Some(second) => *second <= applied,
            None => segments.live.is_none() && self.published() <= applied,
        };
        let first = segments.starts.front().copied().filter(|_| is_done)?;
        segments.starts.pop_front();
        Some((first, segments.damaged.remove(&first)))
    }

    fn path(&self, start: u64) -> PathBuf {
        let name = format!("{:05}-{start:016x}.{EXTENSION}", self.lane);
        self.folder.join(name)
    }

    fn segments(&self) -> MutexGuard<'_, Segments> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A segment that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) start: u64,
    /// Bytes of its frames.
    pub(super) length: u64,
    /// `None`: its head was not written to the end.
    pub(super) version: Option<u16>,
}

/// All segments in `folder`, by lane, the oldest first.
pub(super) fn list(folder: &Path) -> io::Result<BTreeMap<u16, Vec<Found>>> {
    let mut lanes: BTreeMap<u16, Vec<Found>> = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some((lane, start)) = place_of(&path) else {
            continue;
        };
        let mut file = File::open(&path)?;
        let length = file.metadata()?.len().saturating_sub(HEAD as u64);
        let mut head = [0; HEAD];
        let is_read = file.read_exact(&mut head).is_ok();
        let head = is_read.then(|| Head::parse(&head)).flatten();
        lanes.entry(lane).or_default().push(Found {
            start,
            length,
            version: head.map(|head| head.version),
        });
    }
    for segments in lanes.values_mut() {
        segments.sort_by_key(|segment| segment.start);
    }
    Ok(lanes)
}

/// Lane and start of the segment at `path`; `None`: it is no segment.
fn place_of(path: &Path) -> Option<(u16, u64)> {
    if path.extension()? != EXTENSION {
        return None;
    }
    let (lane, start) = path.file_stem()?.to_str()?.split_once('-')?;
    Some((lane.parse().ok()?, u64::from_str_radix(start, 16).ok()?))
}

const EXTENSION: &str = "journal";
