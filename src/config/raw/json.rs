//! A section as JSON for others to see, without its secrets; and a fingerprint of all that it holds.

use std::borrow::Cow;
use std::hash::Hasher as _;

use serde_json::{Map, Value, json};
use siphasher::sip128::{Hasher128 as _, SipHasher24};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::desk::{Desk, FileId};
use crate::config::raw::{Section, offset};

impl Section<'_> {
    /// What it says, in the order in which it is written. A secret that stands in it is shown as [`kept`].
    pub(in crate::config) fn show(&self, desk: &Desk<'_>) -> Map<String, Value> {
        show_table(self.table, self.place.file, desk)
    }

    /// A fingerprint of what it says, secrets included: under a key that nobody knows it tells nothing of them.
    pub(in crate::config) fn fingerprint(&self, key: &[u8; 16]) -> u128 {
        let mut hasher = SipHasher24::new_with_key(key);
        feed_table(&mut hasher, self.table);
        hasher.finish128().into()
    }
}

/// What stands for a secret in an answer, and in a request for the one that is there already.
pub(in crate::config) fn kept() -> Value {
    json!({ "secret": "kept" })
}

/// Where in an object that was written as `text`, alone in its file, line and column are: a pointer (RFC 6901).
pub(in crate::config) fn pointer(text: &str, line: usize, column: usize) -> String {
    let before = text.split_inclusive('\n').take(line.saturating_sub(1));
    let start: usize = before.map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    let indent = rest.char_indices().nth(column.saturating_sub(1));
    let offset = start + indent.map_or(rest.len(), |(indent, _)| indent);
    let (document, _) = DeTable::parse_recoverable(text);
    let mut found = String::new();
    find_in_table(document.get_ref(), offset, "", &mut found);
    // What is left are the keys within the one table of the one kind.
    let inner = found.splitn(4, '/').nth(3);
    inner.map_or_else(String::new, |inner| format!("/{inner}"))
}

/// Leaves in `found` the path of the innermost value that begins at `offset`, or whose key does.
fn find_in_table(table: &DeTable<'_>, offset: usize, path: &str, found: &mut String) {
    for (key, value) in table {
        let name: &Cow<'_, str> = key.get_ref();
        let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
        if key.span().start == offset {
            found.clone_from(&path);
        }
        find_in_value(value, offset, &path, found);
    }
}

fn find_in_value(value: &Spanned<DeValue<'_>>, offset: usize, path: &str, found: &mut String) {
    if value.span().start == offset {
        path.clone_into(found);
    }
    if let Some(table) = value.get_ref().as_table() {
        find_in_table(table, offset, path, found);
    }
    for (place, item) in value.get_ref().as_array().into_iter().flatten().enumerate() {
        find_in_value(item, offset, &format!("{path}/{place}"), found);
    }
}

fn show_table(table: &DeTable<'_>, file: FileId, desk: &Desk<'_>) -> Map<String, Value> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let show = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let name: &Cow<'_, str> = key.get_ref();
        // A table says where the secret stands instead, which is none.
        let is_secret = is_called_secret(name) && value.get_ref().is_str();
        let shown = if is_secret {
            kept()
        } else {
            show_value(value, file, desk)
        };
        (name.to_string(), shown)
    };
    entries.into_iter().map(show).collect()
}

fn show_value(value: &Spanned<DeValue<'_>>, file: FileId, desk: &Desk<'_>) -> Value {
    if desk.is_secret(file, offset(value.span().start)) && !value.get_ref().is_table() {
        return kept();
    }
    match value.get_ref() {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => {
            Value::from(i64::from_str_radix(number.as_str(), number.radix()).ok())
        }
        DeValue::Float(number) => Value::from(number.as_str().parse::<f64>().ok()),
        DeValue::Boolean(flag) => Value::from(*flag),
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::Array(items) => items
            .iter()
            .map(|item| show_value(item, file, desk))
            .collect(),
        DeValue::Table(table) => Value::Object(show_table(table, file, desk)),
    }
}

/// Whether a key of this name holds a secret, by its name alone: for what is not read as one, such as a header.
fn is_called_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    has(&[
        "secret",
        "password",
        "authorization",
        "token",
        "api-key",
        "api_key",
    ]) || ["ha1", "md5", "sha256"].contains(&&*name)
}

/// Each value with its type before it and each text with its length, so that no two read alike.
fn feed_table(hasher: &mut SipHasher24, table: &DeTable<'_>) {
    hasher.write_u8(0);
    hasher.write_usize(table.len());
    for (key, value) in table {
        let name: &Cow<'_, str> = key.get_ref();
        feed_text(hasher, name);
        feed_value(hasher, value.get_ref());
    }
}

fn feed_value(hasher: &mut SipHasher24, value: &DeValue<'_>) {
    match value {
        DeValue::String(text) => {
            hasher.write_u8(1);
            feed_text(hasher, text);
        }
        DeValue::Integer(number) => {
            hasher.write_u8(2);
            feed_text(hasher, number.as_str());
            hasher.write_u32(number.radix());
        }
        DeValue::Float(number) => {
            hasher.write_u8(3);
            feed_text(hasher, number.as_str());
        }
        DeValue::Boolean(flag) => hasher.write(&[4, u8::from(*flag)]),
        DeValue::Datetime(time) => {
            hasher.write_u8(5);
            feed_text(hasher, &time.to_string());
        }
        DeValue::Array(items) => {
            hasher.write_u8(6);
            hasher.write_usize(items.len());
            for item in items.iter() {
                feed_value(hasher, item.get_ref());
            }
        }
        DeValue::Table(table) => feed_table(hasher, table),
    }
}

fn feed_text(hasher: &mut SipHasher24, text: &str) {
    hasher.write_usize(text.len());
    hasher.write(text.as_bytes());
}
