//! Configurations that somebody broke: one mistake each, made by rules from those that are right. Each is refused, with file,
//! line, key and a reason.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use strowger::config;
use strowger::config::{Fault, Source, Texts};

/// One mistake.
#[derive(Debug, Clone)]
pub(crate) struct Mistake {
    /// What was done, and where: for whoever reads of a failure.
    pub(crate) what: String,
    /// The file that it was done to.
    pub(crate) file: PathBuf,
    /// The file afterwards; `None`: it is gone.
    pub(crate) text: Option<String>,
    /// The line that a fault must be told of, if it is certain; the first is 1.
    line: Option<usize>,
    /// What a key that a fault is told of must end with.
    key: Option<String>,
}

#[test]
fn five_hundred_broken_configurations_are_refused_with_file_line_key_and_reason() {
    let mut refused = BTreeMap::<&str, usize>::new();
    let mut taken = Vec::new();
    for main in ["strowger.toml", "demo.toml", "minimal.toml"] {
        let (main, texts) = shipped(main);
        assert!(config::load(&main, &texts, 1).is_ok(), "{}", main.display());
        for (file, text) in &texts.files {
            // Every second one, for there are two thousand.
            for mistake in mistakes(file, text).into_iter().step_by(2) {
                let source = Mistaken {
                    right: &texts,
                    mistake: &mistake,
                };
                let Err(faults) = config::load(&main, &source, 1) else {
                    taken.push(mistake.what);
                    continue;
                };
                for fault in faults.iter() {
                    assert!(
                        fault.line > 0 && fault.column > 0,
                        "{}: {fault}",
                        mistake.what
                    );
                    assert!(!fault.what.is_empty(), "{}: {fault}", mistake.what);
                    assert!(!fault.file.as_os_str().is_empty(), "{}", mistake.what);
                }
                let told = faults.iter().find(|fault| fits(fault, &mistake));
                assert!(told.is_some(), "{mistake:?}\n{faults}");
                let kind = KINDS.iter().find(|kind| mistake.what.starts_with(**kind));
                *refused.entry(kind.expect("a kind")).or_default() += 1;
            }
        }
    }
    let all: usize = refused.values().sum();
    assert!(all >= 500, "{refused:?}");
    assert!(
        KINDS.iter().all(|kind| refused.contains_key(kind)),
        "{refused:?}"
    );
    // What may be left out is right all the same, and does not count.
    let wrong: Vec<_> = taken
        .iter()
        .filter(|what| !what.starts_with("missing: "))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether a fault tells of this mistake.
fn fits(fault: &Fault, mistake: &Mistake) -> bool {
    let is_line = mistake
        .line
        .is_none_or(|line| fault.line == line && fault.file == mistake.file);
    let is_key = mistake
        .key
        .as_ref()
        .is_none_or(|key| fault.key.ends_with(key.as_str()));
    is_line && is_key
}

/// A configuration that we ship, with all that it reads.
fn shipped(main: &str) -> (PathBuf, Texts) {
    let conf = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("conf");
    let mut texts = Texts::default();
    let mut files = vec![PathBuf::from(main)];
    if main == "strowger.toml" {
        let others = [
            "twilio-cidrs.toml",
            "routing/wind.toml",
            "routing/numbers.csv",
        ];
        files.extend(others.map(PathBuf::from));
    }
    for file in files {
        let text = fs::read_to_string(conf.join(&file)).expect("it is there");
        texts = texts.and(Path::new("conf").join(file), text);
    }
    (Path::new("conf").join(main), texts)
}

/// Every mistake that the rules make in a file, in the order of its lines.
pub(crate) fn mistakes(file: &Path, text: &str) -> Vec<Mistake> {
    let lines: Vec<&str> = text.lines().collect();
    let mut mistakes = Vec::new();
    let is_csv = file.extension().is_some_and(|end| end == "csv");
    let mut section = "";
    for (place, line) in lines.iter().enumerate() {
        let mut make =
            |kind: &str, now: Option<String>, (at, key): (Option<usize>, Option<&str>)| {
                let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
                match now {
                    Some(now) => lines[place] = now,
                    None => lines[place].clear(),
                }
                mistakes.push(Mistake {
                    what: format!("{kind}: {} line {}: {line}", file.display(), place + 1),
                    file: file.to_owned(),
                    text: Some(lines.join("\n") + "\n"),
                    line: at,
                    key: key.map(str::to_owned),
                });
            };
        let here = Some(place + 1);
        if is_csv {
            if place == 0 {
                continue;
            }
            for (kind, now) in [
                ("csv", line.replacen(',', ";", 9)),
                ("csv", line.replacen('+', "x", 1)),
                ("csv", line.replace("solar", "sola")),
                ("csv", line.replace("bright-leads", "bright")),
                ("csv", format!("{line}\n{line}")),
                ("csv", format!("{line},,,,,,")),
            ] {
                let here = if now.contains('\n') {
                    Some(place + 2)
                } else {
                    here
                };
                make(kind, Some(now), (here, None));
            }
            continue;
        }
        if line.starts_with('[') {
            section = line;
            // A table of another name, and one that has no end.
            let (start, end) = if line.starts_with("[[") {
                ("[[", "]]")
            } else {
                ("[", "]")
            };
            let name = line
                .trim_start_matches('[')
                .split(']')
                .next()
                .unwrap_or_default();
            make(
                "misspelt",
                Some(format!("{start}{name}z{end}")),
                (None, Some(&format!("{name}z"))),
            );
            make("toml", Some(line.replacen(']', "", 2)), (here, None));
            continue;
        }
        let Some((key, value)) = assignment(line) else {
            continue;
        };
        let last = key.rsplit('.').next().unwrap_or(key);
        make(
            "misspelt",
            Some(line.replacen(key, &misspelt(key), 1)),
            (here, Some(&misspelt(last))),
        );
        make("missing", None, (None, None));
        let bare = value.trim();
        let other = match bare.as_bytes().first() {
            Some(b'"' | b'\'') => "17.5",
            Some(b'[') => "true",
            Some(b'{') => "\"flat\"",
            Some(b't' | b'f') => "\"maybe\"",
            _ => "\"a few\"",
        };
        make("type", Some(format!("{key} = {other}")), (here, Some(last)));
        if bare.starts_with('"') && !bare.ends_with("\"\"") {
            make("toml", Some(line.replacen(" = \"", " = ", 1)), (here, None));
        } else {
            make("toml", Some(format!("{key} {value}")), (here, None));
        }
        let is_own = (key, section) == ("afid", "[[publisher]]");
        if REFERENCES.contains(&key) && !is_own && bare.contains('"') && !bare.starts_with('{') {
            let now = line
                .replacen(" = \"", " = \"no-", 1)
                .replacen(" = [\"", " = [\"no-", 1);
            make("dangling", Some(now), (here, Some(last)));
        }
        let is_number = bare.bytes().all(|byte| byte.is_ascii_digit());
        if is_number && !bare.is_empty() {
            make(
                "range",
                Some(format!("{key} = -99999999999")),
                (here, Some(last)),
            );
        } else if is_duration(bare) {
            make(
                "range",
                Some(format!("{key} = \"9999999d\"")),
                (here, Some(last)),
            );
        }
        if last == "id" || (key == "name" && section == "[[domain]]") {
            let block = block(&lines, place);
            mistakes.push(Mistake {
                what: format!("twice: {} line {}: {line}", file.display(), place + 1),
                file: file.to_owned(),
                text: Some(format!("{text}\n{block}\n")),
                line: None,
                key: None,
            });
        }
    }
    mistakes.push(Mistake {
        what: format!("gone: {}", file.display()),
        file: file.to_owned(),
        text: None,
        line: None,
        key: None,
    });
    mistakes
}

/// Key and value of a line that has both and is no comment.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(" = ")?;
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (!key.is_empty() && key.bytes().all(is_key)).then_some((key, value))
}

/// The last letter twice, and one more.
fn misspelt(key: &str) -> String {
    let last = key.chars().last().unwrap_or('x');
    format!("{key}{last}q")
}

fn is_duration(value: &str) -> bool {
    let inner = value.trim_matches('"');
    let units = ["ms", "s", "m", "h", "d"];
    let number = |unit: &&str| {
        inner
            .strip_suffix(*unit)
            .is_some_and(|number| number.parse::<u64>().is_ok())
    };
    value.starts_with('"') && units.iter().any(number)
}

/// The table that holds the line at `place`, to the next table of another name.
fn block(lines: &[&str], place: usize) -> String {
    let is_header = |line: &&str| line.starts_with("[[") && !line.contains('.');
    let start = lines[..=place]
        .iter()
        .rposition(is_header)
        .unwrap_or_default();
    let end = lines[start + 1..]
        .iter()
        .position(|line| line.starts_with('['));
    let end = end.map_or(lines.len(), |end| start + 1 + end);
    lines[start..end].join("\n")
}

/// The configuration with one mistake in it.
struct Mistaken<'m> {
    right: &'m Texts,
    mistake: &'m Mistake,
}

impl Source for Mistaken<'_> {
    fn read(&self, path: &Path) -> io::Result<String> {
        if path != self.mistake.file {
            return self.right.read(path);
        }
        let text = self.mistake.text.clone();
        text.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut listed = self.right.list(path)?;
        listed.retain(|path| self.mistake.text.is_some() || *path != self.mistake.file);
        Ok(listed)
    }

    fn env(&self, name: &str) -> Option<String> {
        self.right.env(name)
    }

    fn fallback_secret(&self) -> [u8; 32] {
        self.right.fallback_secret()
    }
}

const KINDS: [&str; 9] = [
    "csv", "dangling", "gone", "misspelt", "missing", "range", "toml", "twice", "type",
];

/// Keys that name something else.
const REFERENCES: [&str; 9] = [
    "company",
    "campaign",
    "buyers",
    "groups",
    "members",
    "domains",
    "afid",
    "suppressed",
    "accepted",
];
