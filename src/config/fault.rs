//! What is wrong with a configuration, where, and what would be right.

use std::fmt;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

/// One fault. No secret's value is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// The line; the first is 1.
    pub line: usize,
    /// The column in characters; the first is 1.
    pub column: usize,
    /// The key, with its section: `buyer.uri`; empty where the text is no TOML.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What would be right; empty where `what` says it all.
    pub instead: String,
    /// Whether it is a warning: the configuration can be used all the same.
    pub is_warning: bool,
}

/// Every fault of a configuration, in the order of files and lines; at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn new(faults: Vec<Fault>) -> Self {
        Self(faults)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Goes through them in order.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A file may be called what its owner likes, and a fault is one line of a terminal.
        for c in self.file.to_string_lossy().chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        write!(f, ":{}:{}: ", self.line, self.column)?;
        if self.is_warning {
            f.write_str("warning: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)?;
        if !self.instead.is_empty() {
            write!(f, "; {}", self.instead)?;
        }
        Ok(())
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, fault) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_one_line_whatever_its_file_is_called() {
        let fault = Fault {
            file: "routing/a\n\u{1b}[2J.toml".into(),
            line: 3,
            column: 7,
            key: "buyer.uri".to_owned(),
            what: "is no URI".to_owned(),
            instead: String::new(),
            is_warning: false,
        };

        let text = fault.to_string();

        assert_eq!(
            text,
            "routing/a\\n\\u{1b}[2J.toml:3:7: buyer.uri: is no URI"
        );
    }
}
