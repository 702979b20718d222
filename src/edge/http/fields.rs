//! Bodies that are small JSON objects: every member is known, and has its type.

use serde_json::{Map, Value};

use axum::http::StatusCode;

use crate::edge::http::answer::{self, Answer};

/// The members of a body.
pub(super) struct Fields(Map<String, Value>);

/// What is wrong with one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is no object.
    NotAnObject,
    /// There is a member that nobody knows.
    Unknown(Box<str>),
    /// A member is missing, or not what it should be.
    Member(&'static str, &'static str),
}

impl Wrong {
    pub(super) fn answer(&self) -> Answer {
        let status = StatusCode::BAD_REQUEST;
        match self {
            Self::NotAnObject => answer::fault(status, "not_json", "the body is no JSON object"),
            Self::Unknown(name) => {
                let what = format!("`{}` is not known here", name.escape_debug());
                answer::fault(status, "unknown_member", &what)
            }
            Self::Member(name, right) => {
                let what = format!("`{name}` is needed: {right}");
                answer::fault(status, "member", &what)
            }
        }
    }
}

impl Fields {
    /// Reads a body whose members are among `known`; an empty one has none.
    pub(super) fn read(body: &[u8], known: &[&str]) -> Result<Self, Wrong> {
        if body.is_empty() {
            return Ok(Self(Map::new()));
        }
        let members: Map<String, Value> =
            serde_json::from_slice(body).map_err(|_| Wrong::NotAnObject)?;
        let unknown = members.keys().find(|name| !known.contains(&name.as_str()));
        if let Some(name) = unknown {
            let name: String = name.chars().take(64).collect();
            return Err(Wrong::Unknown(name.into()));
        }
        Ok(Self(members))
    }

    /// A text that may be missing; `right` says what it should be.
    pub(super) fn text(
        &self,
        name: &'static str,
        right: &'static str,
    ) -> Result<Option<&str>, Wrong> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Wrong::Member(name, right)),
        }
    }

    /// A number of seconds that may be missing.
    pub(super) fn seconds(&self, name: &'static str) -> Result<Option<u64>, Wrong> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64().filter(|seconds| *seconds > 0) {
                Some(seconds) => Ok(Some(seconds)),
                None => Err(Wrong::Member(name, "a whole number of seconds")),
            },
        }
    }

    /// A list of texts that may be missing.
    pub(super) fn texts(
        &self,
        name: &'static str,
        right: &'static str,
    ) -> Result<Option<Vec<&str>>, Wrong> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(values)) => {
                let texts = values.iter().map(Value::as_str).collect::<Option<_>>();
                texts.map(Some).ok_or(Wrong::Member(name, right))
            }
            Some(_) => Err(Wrong::Member(name, right)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_known_and_have_their_types() {
        let fields = Fields::read(br#"{"a":"x","b":["y"],"c":60,"d":null}"#, KNOWN).unwrap();

        assert_eq!(fields.text("a", "a text"), Ok(Some("x")));
        assert_eq!(fields.text("d", "a text"), Ok(None));
        assert_eq!(fields.texts("b", "texts"), Ok(Some(vec!["y"])));
        assert_eq!(fields.seconds("c"), Ok(Some(60)));
        assert_eq!(
            fields.text("b", "a text"),
            Err(Wrong::Member("b", "a text"))
        );
        assert_eq!(fields.texts("a", "texts"), Err(Wrong::Member("a", "texts")));
        assert!(fields.seconds("a").is_err());
    }

    #[test]
    fn what_is_no_object_or_has_too_much_is_refused() {
        for body in [&b"[]"[..], b"{", b"null", b"a=b"] {
            let wrong = Fields::read(body, KNOWN).err();
            assert_eq!(wrong, Some(Wrong::NotAnObject));
        }
        let wrong = Fields::read(br#"{"e":1}"#, KNOWN).err();
        assert_eq!(wrong, Some(Wrong::Unknown("e".into())));
        assert!(Fields::read(b"", KNOWN).is_ok());
    }

    const KNOWN: &[&str] = &["a", "b", "c", "d"];
}
