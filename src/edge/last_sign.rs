//! A sign of life: when the edge was there for the last time, for the calls that it leaves behind. It is no use to whoever stops it
//! in good order.

use std::fs;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use crate::types::moment::Moment;

/// How often it is given: a call that is cut off seems to have been so much shorter.
const PERIOD: Duration = Duration::from_millis(500);

/// A file that holds a moment.
pub(super) struct LastSign {
    file: File,
    /// What the last process has left; `None`: nothing that can be read.
    pub(super) left: Option<Moment>,
    next: Moment,
}

impl LastSign {
    /// Reads what the last process has left in this folder.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join("alive");
        let left = fs::read_to_string(&path).ok();
        let left = left.and_then(|text| text.trim().parse().ok());
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o640)
            .open(path)?;
        Ok(Self {
            file,
            left: left.map(Moment::from_millis),
            next: Moment::default(),
        })
    }

    /// Says that the edge is there, now and then.
    pub(super) fn give(&mut self, now: Moment) {
        // A clock that was set back is no reason to be silent.
        if now < self.next && self.next < now.after(2 * PERIOD) {
            return;
        }
        self.next = now.after(PERIOD);
        let text = format!("{:020}\n", now.millis());
        // The store itself says that the disk does not work.
        let _ = self.file.write_all_at(text.as_bytes(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_process_reads_when_the_last_one_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let at = Moment::from_millis;
        let mut sign = LastSign::open(folder.path()).unwrap();
        assert_eq!(sign.left, None);

        sign.give(at(1_000_000_000_000));
        sign.give(at(1_000_000_000_499));
        let left = LastSign::open(folder.path()).unwrap().left;
        assert_eq!(left, Some(at(1_000_000_000_000)));
        sign.give(at(1_000_000_000_500));
        let left = LastSign::open(folder.path()).unwrap().left;
        assert_eq!(left, Some(at(1_000_000_000_500)));
        // The clock was set back by a day.
        sign.give(at(999_913_600_000));
        let left = LastSign::open(folder.path()).unwrap().left;
        assert_eq!(left, Some(at(999_913_600_000)));

        fs::write(folder.path().join("alive"), "nonsense").unwrap();
        assert_eq!(LastSign::open(folder.path()).unwrap().left, None);
    }
}
