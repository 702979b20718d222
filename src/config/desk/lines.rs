//! Lines: where in a file something stands, and how a fault stays on one line of its own.

use crate::config::desk::FileId;

/// Counts lines from where it counted last, so that many faults of one file cost one walk.
#[derive(Default)]
pub(in crate::config) struct LineCounter {
    file: Option<FileId>,
    offset: usize,
    lines: usize,
}

impl LineCounter {
    /// Line and column of the byte at `offset`, both from 1, the column in characters.
    pub(in crate::config) fn line_column(
        &mut self,
        file: FileId,
        text: &str,
        offset: usize,
    ) -> (usize, usize) {
        if self.file != Some(file) || offset < self.offset {
            *self = Self {
                file: Some(file),
                ..Self::default()
            };
        }
        let between = text.get(self.offset..offset).unwrap_or_default();
        self.lines += memchr::memchr_iter(b'\n', between.as_bytes()).count();
        self.offset = offset;
        let before = text.get(..offset).unwrap_or(text);
        let start = memchr::memrchr(b'\n', before.as_bytes()).map_or(0, |at| at + 1);
        let column = before.get(start..).map_or(0, |text| text.chars().count());
        (self.lines + 1, column + 1)
    }
}

/// What is quoted of a configuration may hold line breaks and terminals' orders; a fault is one line of
/// the log.
pub(super) fn one_line(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let mut line = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}
