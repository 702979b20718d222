//! Writes an object that came as JSON as the TOML that the configuration is read from.

use serde_json::{Map, Value as Json};
use toml::Value as Toml;

use crate::config::keys;
use crate::config::raw;

/// What cannot be written, and where it stands: a pointer into the JSON (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unwritable {
    pub(super) at: String,
    pub(super) what: &'static str,
    pub(super) instead: &'static str,
}

/// Writes `object` as a table under `[[kind]]`, the keys that the kind has in their order, then the others. `old`: the
/// one that it replaces, whose secrets stay where the new one says so.
pub(super) fn write(
    kind: &str,
    object: &Map<String, Json>,
    old: Option<&Toml>,
) -> Result<String, Vec<Unwritable>> {
    let mut faults = Vec::new();
    let table = table(object, old, "", &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut text = format!("{HEAD}[[{kind}]]\n");
    let shape = keys::OBJECTS.iter().find(|shape| shape.name == kind);
    let order = shape.map_or(&[][..], |shape| shape.keys);
    let place = |key: &str| order.iter().position(|known| *known == key);
    let mut entries: Vec<(&String, &Toml)> = table.iter().collect();
    entries.sort_by_key(|(key, _)| (place(key).is_none(), place(key), key.as_str()));
    // What has a header of its own comes last: what followed it would belong to it.
    let (sections, plain): (Vec<_>, Vec<_>) = entries
        .into_iter()
        .partition(|(_, value)| is_section(value));
    for (key, value) in plain {
        write_pair(&mut text, key, value);
    }
    for (key, value) in sections {
        let name = format!("{kind}.{}", write_key(key));
        match value {
            Toml::Table(table) => write_section(&mut text, &format!("[{name}]"), table),
            Toml::Array(items) => {
                for table in items.iter().filter_map(Toml::as_table) {
                    write_section(&mut text, &format!("[[{name}]]"), table);
                }
            }
            Toml::String(_)
            | Toml::Integer(_)
            | Toml::Float(_)
            | Toml::Boolean(_)
            | Toml::Datetime(_) => {}
        }
    }
    Ok(text)
}

/// Whether a value gets a header of its own: a table with more than one key, and a list of tables.
fn is_section(value: &Toml) -> bool {
    match value {
        Toml::Table(table) => table.len() > 1,
        Toml::Array(items) => !items.is_empty() && items.iter().all(Toml::is_table),
        Toml::String(_)
        | Toml::Integer(_)
        | Toml::Float(_)
        | Toml::Boolean(_)
        | Toml::Datetime(_) => false,
    }
}

fn write_section(text: &mut String, header: &str, table: &toml::Table) {
    text.push('\n');
    text.push_str(header);
    text.push('\n');
    for (key, value) in table {
        write_pair(text, key, value);
    }
}

fn write_pair(text: &mut String, key: &str, value: &Toml) {
    text.push_str(&format!("{} = {value}\n", write_key(key)));
}

fn write_key(key: &str) -> String {
    let is_bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !key.is_empty() && key.bytes().all(is_bare) {
        return key.to_owned();
    }
    let escaped = key.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

fn table(
    object: &Map<String, Json>,
    old: Option<&Toml>,
    at: &str,
    faults: &mut Vec<Unwritable>,
) -> toml::Table {
    let mut table = toml::Table::new();
    for (key, value) in object {
        let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        if key.contains(char::is_control) {
            faults.push(Unwritable {
                at,
                what: "is called by control characters",
                instead: "a name without",
            });
            continue;
        }
        // Who may write objects may not read the node's files, and what is wrong with one would show it.
        if key == "file" {
            faults.push(Unwritable {
                at,
                what: "names a file, which is for the operator's own files to do",
                instead: "what the file holds",
            });
            continue;
        }
        let old = old.and_then(|old| old.get(key));
        if let Some(value) = convert(value, old, &at, faults) {
            table.insert(key.clone(), value);
        }
    }
    table
}

/// The value in TOML; `None`: there is none, which is noted.
fn convert(
    value: &Json,
    old: Option<&Toml>,
    at: &str,
    faults: &mut Vec<Unwritable>,
) -> Option<Toml> {
    let mut fault = |what, instead| {
        faults.push(Unwritable {
            at: at.to_owned(),
            what,
            instead,
        });
        None
    };
    match value {
        Json::Null => fault("is null", "leave the key out"),
        Json::Bool(flag) => Some(Toml::Boolean(*flag)),
        Json::String(text) => Some(Toml::String(text.clone())),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Some(Toml::Integer(number)),
            (None, Some(float)) if number.is_f64() => Some(Toml::Float(float)),
            (None, _) => fault("is out of range", "a whole number of 63 bits"),
        },
        Json::Array(items) => {
            let old = |place| old.and_then(|old| old.get(place));
            let items = items.iter().enumerate().filter_map(|(place, item)| {
                convert(item, old(place), &format!("{at}/{place}"), faults)
            });
            Some(Toml::Array(items.collect()))
        }
        Json::Object(_) if *value == raw::kept() => match old {
            Some(secret @ Toml::String(_)) => Some(secret.clone()),
            Some(_) | None => fault(
                "is to be kept, but there is none",
                "write \"the secret\" or { \"env\": \"NAME\" }",
            ),
        },
        Json::Object(object) => Some(Toml::Table(table(object, old, at, faults))),
    }
}

/// For whoever opens the file.
const HEAD: &str = "# Kept by the HTTP API, which writes it anew at each change.\n";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_written_in_the_order_of_its_kind_for_people_to_read() {
        let text = put(
            json!({
                "headers": { "set": { "X-Account": "7" }, "remove": ["Priority"] },
                "gateway": [{ "uri": "sip:a@example.com", "weight": 3 }],
                "password": { "env": "SUNNY" },
                "company": "acme",
                "id": "sunny",
                "odd key \"x\"": "a\n\"b\" 'c'",
                "max_calls": 40,
            }),
            None,
        );

        assert_eq!(
            text.unwrap(),
            "# Kept by the HTTP API, which writes it anew at each change.\n\
             [[buyer]]\nid = \"sunny\"\ncompany = \"acme\"\nmax_calls = 40\n\
             password = { env = \"SUNNY\" }\n\
             \"odd key \\\"x\\\"\" = \"\"\"\na\n\"b\" 'c'\"\"\"\n\n\
             [[buyer.gateway]]\nuri = \"sip:a@example.com\"\nweight = 3\n\n\
             [buyer.headers]\nremove = [\"Priority\"]\nset = { X-Account = \"7\" }\n"
        );
    }

    #[test]
    fn a_secret_stays_where_the_new_one_says_so() {
        let old: Toml = toml::from_str("password = \"hush\"\nrealm = \"r\"").unwrap();
        let kept = json!({ "password": { "secret": "kept" } });

        let text = put(kept.clone(), Some(&old)).unwrap();

        assert!(text.ends_with("\npassword = \"hush\"\n"), "{text}");
        let faults = put(kept, None).unwrap_err();
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].at, "/password");
    }

    #[test]
    fn what_toml_cannot_hold_is_told_with_its_place() {
        let faults = put(
            json!({ "a/b": null, "list": [1, null], "big": u64::MAX, "x\ny": 1, "float": 1.5,
                    "secret": { "file": "/etc/passwd" } }),
            None,
        )
        .unwrap_err();

        let places: Vec<&str> = faults.iter().map(|fault| &*fault.at).collect();
        assert_eq!(
            places,
            ["/a~1b", "/list/1", "/big", "/x\ny", "/secret/file"]
        );
    }

    fn put(object: Json, old: Option<&Toml>) -> Result<String, Vec<Unwritable>> {
        write("buyer", object.as_object().unwrap(), old)
    }
}
