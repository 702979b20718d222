//! JSON as it is written: members and values are read one level at a time, so that a number keeps its digits and what is deep
//! costs nothing.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A value that has no parts, as text.
pub(super) enum Scalar<'v> {
    /// This text; of a number, as it is written.
    Value(Cow<'v, str>),
    /// Null, or an empty text.
    Nothing,
    /// It is an object or a list.
    Nested,
}

/// What one value says.
pub(super) fn scalar(value: &RawValue) -> Scalar<'_> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'{' | b'[') => Scalar::Nested,
        Some(b'n') | None => Scalar::Nothing,
        // Half of a surrogate pair is JSON, but no text.
        Some(b'"') => match serde_json::from_str::<Cow<'_, str>>(text) {
            Ok(text) if !text.is_empty() => Scalar::Value(text),
            Ok(_) | Err(_) => Scalar::Nothing,
        },
        Some(_) => Scalar::Value(Cow::Borrowed(text)),
    }
}

/// The values of a list, or the one value that is none.
pub(super) fn items(value: &RawValue) -> Vec<&RawValue> {
    if !value.get().starts_with('[') {
        return vec![value];
    }
    let List(items) = serde_json::from_str(value.get()).unwrap_or_default();
    items
}

/// The members of an object as they are written, in order, the same key perhaps more than once.
pub(super) type Members<'b> = Vec<(Cow<'b, str>, &'b RawValue)>;

/// An object.
pub(super) struct Root<'b>(pub(super) Members<'b>);

impl<'de> Deserialize<'de> for Root<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Root<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Members::new();
                while let Some(Key(key)) = map.next_key()? {
                    members.push((key, map.next_value()?));
                }
                Ok(Root(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// A key, copied only if it has escapes.
struct Key<'b>(Cow<'b, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(Reader)
    }
}

/// The values of a list as they are written.
#[derive(Default)]
pub(super) struct List<'b>(pub(super) Vec<&'b RawValue>);

impl<'de> Deserialize<'de> for List<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = List<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(List(items))
            }
        }
        deserializer.deserialize_seq(Reader)
    }
}
