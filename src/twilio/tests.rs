//! What the tests of several rooms share: the golden vectors, and a reader of XML.

use std::fs;

use serde_json::{Value, json};

/// The vectors of this side, if they are on this machine.
pub(crate) fn shared() -> Option<Value> {
    let path = crate::shared::shared("vectors/twilio.json")?;
    let text = fs::read(path).expect("vectors can be read");
    Some(serde_json::from_slice(&text).expect("vectors are JSON"))
}

/// Reads a document as the vectors write it: `[name, {attributes}, text before the first child, [children]]`.
///
/// # Panics
/// If it is not well-formed, as far as this reader knows XML.
pub(crate) fn tree(text: &str) -> Value {
    let mut rest = text;
    if let Some(after) = rest.strip_prefix("<?xml") {
        rest = after
            .split_once("?>")
            .expect("the end of the declaration")
            .1;
    }
    let root = element(&mut rest);
    assert_eq!(rest, "", "something behind the document");
    root
}

fn element(rest: &mut &str) -> Value {
    *rest = rest.strip_prefix('<').expect("an element");
    let end = rest.find([' ', '/', '>']).expect("the end of a name");
    let name = take(rest, end);
    let mut attributes = serde_json::Map::new();
    loop {
        *rest = rest.trim_start_matches(' ');
        if let Some(after) = rest.strip_prefix("/>") {
            *rest = after;
            return json!([name, attributes, "", []]);
        }
        if let Some(after) = rest.strip_prefix('>') {
            *rest = after;
            break;
        }
        let end = rest.find("=\"").expect("an attribute");
        let key = take(rest, end);
        *rest = &rest[2..];
        let end = rest.find('"').expect("the end of a value");
        let value = unescape(take(rest, end));
        *rest = &rest[1..];
        assert!(
            attributes.insert(key.to_owned(), value.into()).is_none(),
            "{key} twice"
        );
    }
    let end = rest.find('<').expect("the end of the text");
    let text = unescape(take(rest, end));
    let mut children = Vec::new();
    let close = format!("</{name}>");
    while !rest.starts_with(&close) {
        children.push(element(rest));
    }
    *rest = &rest[close.len()..];
    json!([name, attributes, text, children])
}

fn take<'t>(rest: &mut &'t str, end: usize) -> &'t str {
    let (head, tail) = rest.split_at(end);
    *rest = tail;
    head
}

fn unescape(text: &str) -> String {
    assert!(
        !text.contains(['<', '\n', '\r', '\t']),
        "white space that a reader changes"
    );
    let mut parts = text.split('&');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, tail) = part.split_once(';').expect("the end of a reference");
        out.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            "#9" => '\t',
            "#10" => '\n',
            "#13" => '\r',
            other => panic!("an unknown reference: {other}"),
        });
        out.push_str(tail);
    }
    out
}
