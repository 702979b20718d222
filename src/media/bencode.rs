//! Bencode, the notation of rtpengine's `ng` protocol (BEP 3): integers, byte strings, lists and dictionaries.
//!
//! ```text
//!   i42e    4:ping    l4:ping4:ponge    d6:result4:ponge
//! ```
//!
//! Reading stops at the first limit or fault: the length of a string is believed only as far as there are bytes, and
//! neither depth nor number of values can be chosen by the sender alone.

/// Deepest nesting that is read.
pub const MOST_DEPTH: usize = 16;

/// Most values that are read, all together.
pub const MOST_VALUES: usize = 8192;

/// A value, its strings where they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer.
    Integer(i64),
    /// A byte string.
    Text(&'a [u8]),
    /// A list.
    List(Vec<Self>),
    /// A dictionary, in the order of the wire: rtpengine does not sort its keys.
    Dictionary(Vec<(&'a [u8], Self)>),
}

/// Why bytes are not one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// The bytes end inside a value.
    #[error("ends inside a value")]
    Short,
    /// Something else than a value, or an integer or length that is none.
    #[error("malformed value")]
    Malformed,
    /// More than [`MOST_DEPTH`] or [`MOST_VALUES`].
    #[error("too deep or too many values")]
    TooMuch,
    /// Bytes behind the value.
    #[error("more behind the value")]
    Trailing,
}

impl<'a> Value<'a> {
    /// Reads the one value that `bytes` are.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader {
            rest: bytes,
            values: 0,
        };
        let value = reader.value(0)?;
        if reader.rest.is_empty() {
            Ok(value)
        } else {
            Err(Fault::Trailing)
        }
    }

    /// What a dictionary holds under `key`, the first of several; `None` of anything else.
    #[must_use]
    pub fn at(&self, key: &str) -> Option<&Self> {
        let mut entries = self.entries();
        entries
            .find(|(name, _)| *name == key.as_bytes())
            .map(|(_, value)| value)
    }

    /// The entries of a dictionary; none of anything else.
    pub fn entries(&self) -> impl Iterator<Item = (&'a [u8], &Self)> {
        let entries = match self {
            Self::Dictionary(entries) => entries.as_slice(),
            Self::Integer(_) | Self::Text(_) | Self::List(_) => &[],
        };
        entries.iter().map(|(name, value)| (*name, value))
    }

    /// The items of a list; none of anything else.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            Self::Integer(_) | Self::Text(_) | Self::Dictionary(_) => &[],
        }
    }

    /// The byte string that it is.
    #[must_use]
    pub fn text(&self) -> Option<&'a [u8]> {
        match self {
            Self::Text(text) => Some(text),
            Self::Integer(_) | Self::List(_) | Self::Dictionary(_) => None,
        }
    }

    /// The integer that it is, if it is not negative.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        match self {
            Self::Integer(number) => u64::try_from(*number).ok(),
            Self::Text(_) | Self::List(_) | Self::Dictionary(_) => None,
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    values: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Fault> {
        self.values += 1;
        if depth > MOST_DEPTH || self.values > MOST_VALUES {
            return Err(Fault::TooMuch);
        }
        match *self.rest.first().ok_or(Fault::Short)? {
            b'i' => {
                self.step();
                self.integer(b'e').map(Value::Integer)
            }
            b'0'..=b'9' => self.text().map(Value::Text),
            b'l' => {
                self.step();
                let mut items = Vec::new();
                while !self.ends()? {
                    items.push(self.value(depth + 1)?);
                }
                Ok(Value::List(items))
            }
            b'd' => {
                self.step();
                let mut entries = Vec::new();
                while !self.ends()? {
                    let key = self.text()?;
                    entries.push((key, self.value(depth + 1)?));
                }
                Ok(Value::Dictionary(entries))
            }
            _ => Err(Fault::Malformed),
        }
    }

    fn step(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    /// Whether a list or dictionary ends here; the end is taken.
    fn ends(&mut self) -> Result<bool, Fault> {
        let is_end = *self.rest.first().ok_or(Fault::Short)? == b'e';
        if is_end {
            self.step();
        }
        Ok(is_end)
    }

    fn text(&mut self) -> Result<&'a [u8], Fault> {
        if !self.rest.first().is_some_and(u8::is_ascii_digit) {
            return Err(Fault::Malformed);
        }
        let length = usize::try_from(self.integer(b':')?).map_err(|_| Fault::Malformed)?;
        let (text, rest) = self.rest.split_at_checked(length).ok_or(Fault::Short)?;
        self.rest = rest;
        Ok(text)
    }

    /// Reads a number up to `end`, which is taken. A number has 19 digits at most, so more are not looked at.
    fn integer(&mut self, end: u8) -> Result<i64, Fault> {
        let reach = self.rest.get(..LONGEST_NUMBER).unwrap_or(self.rest);
        let Some(at) = memchr::memchr(end, reach) else {
            return Err(if reach.len() < LONGEST_NUMBER {
                Fault::Short
            } else {
                Fault::Malformed
            });
        };
        let digits = reach.get(..at).unwrap_or_default();
        let text = std::str::from_utf8(digits).map_err(|_| Fault::Malformed)?;
        if text.starts_with('+') {
            return Err(Fault::Malformed);
        }
        let number = text.parse().map_err(|_| Fault::Malformed)?;
        self.rest = self.rest.get(at + 1..).unwrap_or_default();
        Ok(number)
    }
}

/// Sign, digits and end of the longest number.
const LONGEST_NUMBER: usize = 21;

/// Writes values one behind the other.
#[derive(Debug)]
pub struct Writer<'a>(&'a mut Vec<u8>);

impl<'a> Writer<'a> {
    /// Writes behind what `out` holds.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self(out)
    }

    /// A byte string.
    pub fn text(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        let text = text.as_ref();
        let mut digits = itoa::Buffer::new();
        self.0
            .extend_from_slice(digits.format(text.len()).as_bytes());
        self.0.push(b':');
        self.0.extend_from_slice(text);
        self
    }

    /// A dictionary, as `write` fills it: a byte string for each key, and its value behind it.
    pub fn dictionary(&mut self, write: impl FnOnce(&mut Self)) -> &mut Self {
        self.enclosed(b'd', write)
    }

    /// A list, as `write` fills it.
    pub fn list(&mut self, write: impl FnOnce(&mut Self)) -> &mut Self {
        self.enclosed(b'l', write)
    }

    /// An integer.
    pub fn integer(&mut self, number: i64) -> &mut Self {
        let mut digits = itoa::Buffer::new();
        self.0.push(b'i');
        self.0.extend_from_slice(digits.format(number).as_bytes());
        self.0.push(b'e');
        self
    }

    fn enclosed(&mut self, start: u8, write: impl FnOnce(&mut Self)) -> &mut Self {
        self.0.push(start);
        write(self);
        self.0.push(b'e');
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_read() {
        let value = Value::read(b"d6:result2:ok4:listli1ei-7e3:a:be5:emptylee").unwrap();

        assert_eq!(value.at("result").and_then(Value::text), Some(&b"ok"[..]));
        let list = value.at("list").unwrap().items();
        assert_eq!(
            list,
            [Value::Integer(1), Value::Integer(-7), Value::Text(b"a:b")]
        );
        assert_eq!(list[0].count(), Some(1));
        assert_eq!(list[1].count(), None);
        assert_eq!(value.at("empty"), Some(&Value::List(vec![])));
        assert_eq!(value.at("other"), None);
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let deep = ["l".repeat(18), "e".repeat(18)].concat();
        let long = format!("l{}e", "0:".repeat(MOST_VALUES));
        let table = [
            ("", Fault::Short),
            ("i1", Fault::Short),
            ("ie", Fault::Malformed),
            ("i+1e", Fault::Malformed),
            ("i1.5e", Fault::Malformed),
            ("i9223372036854775808e", Fault::Malformed),
            ("i11111111111111111111111111111111111e", Fault::Malformed),
            ("5:abc", Fault::Short),
            ("99999999999999999999:abc", Fault::Malformed),
            ("9223372036854775807:abc", Fault::Short),
            ("-1:a", Fault::Malformed),
            ("d", Fault::Short),
            ("di1e1:ae", Fault::Malformed),
            ("d1:ae", Fault::Malformed),
            ("l1:a", Fault::Short),
            ("1:ab", Fault::Trailing),
            ("x", Fault::Malformed),
            (deep.as_str(), Fault::TooMuch),
            (long.as_str(), Fault::TooMuch),
        ];

        for (text, fault) in table {
            assert_eq!(Value::read(text.as_bytes()), Err(fault), "{text:.40}");
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let mut out = b"cookie ".to_vec();
        Writer::new(&mut out).dictionary(|w| {
            w.text("flags").list(|w| {
                w.text("a").text("").integer(-3);
            });
            w.text("sdp").text(b"\0\xff:e");
        });

        assert_eq!(out, b"cookie d5:flagsl1:a0:i-3ee3:sdp4:\0\xff:ee");
        let value = Value::read(&out[7..]).unwrap();
        assert_eq!(value.at("sdp").unwrap().text(), Some(&b"\0\xff:e"[..]));
    }
}
