//! How entries and rows are written as bytes: small, in order, nothing but what there is.
//!
//! ```text
//! integer     7 bits a byte, the lowest first; the top bit says that more follow
//! signed      the same of 2n, or of -2n-1 if it is negative
//! text        length, bytes (UTF-8)
//! bytes       length, bytes
//! list        count, items
//! option      0, or 1 and the value
//! uuid        16 bytes
//! ```
//!
//! A form never changes: what is to say more gets a kind of its own.

use std::str;

use crate::types::ids::CallUuid;
use crate::types::moment::Moment;

/// A value that can be written and read back.
pub(super) trait Code<'a>: Sized {
    /// Appends the value to `out`.
    fn write(&self, out: &mut Vec<u8>);

    /// Takes the value off the front of `input`; `None`: what is there is no such value.
    fn read(input: &mut Input<'a>) -> Option<Self>;
}

/// Bytes that are being read. What is taken borrows from them.
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of things that each take a byte at least.
    pub(super) fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(u64::read(self)?).ok()?;
        (count <= self.0.len()).then_some(count)
    }
}

/// Writes `value` alone.
pub(super) fn to_vec<'a>(value: &impl Code<'a>) -> Vec<u8> {
    let mut out = Vec::new();
    value.write(&mut out);
    out
}

/// Reads a value that is alone in `bytes`.
pub(super) fn from_slice<'a, T: Code<'a>>(bytes: &'a [u8]) -> Option<T> {
    let mut input = Input::new(bytes);
    let value = T::read(&mut input)?;
    input.is_empty().then_some(value)
}

impl Code<'_> for u64 {
    fn write(&self, out: &mut Vec<u8>) {
        let mut rest = *self;
        while rest >= 0x80 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = input.byte()?;
            let bits = Self::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

impl Code<'_> for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        (((*self << 1) ^ (*self >> 63)) as u64).write(out);
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        let bits = u64::read(input)?;
        Some((bits >> 1) as Self ^ -((bits & 1) as Self))
    }
}

impl Code<'_> for u8 {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        input.byte()
    }
}

/// Unsigned integers that are written as the widest one.
macro_rules! narrow {
    ($($type:ty),*) => {$(
        impl Code<'_> for $type {
            fn write(&self, out: &mut Vec<u8>) {
                u64::from(*self).write(out);
            }

            fn read(input: &mut Input<'_>) -> Option<Self> {
                u64::read(input)?.try_into().ok()
            }
        }
    )*};
}

narrow!(u16, u32);

impl Code<'_> for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        match input.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl<'a> Code<'a> for &'a [u8] {
    fn write(&self, out: &mut Vec<u8>) {
        (self.len() as u64).write(out);
        out.extend_from_slice(self);
    }

    fn read(input: &mut Input<'a>) -> Option<Self> {
        let length = input.count()?;
        input.take(length)
    }
}

impl<'a> Code<'a> for &'a str {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_bytes().write(out);
    }

    fn read(input: &mut Input<'a>) -> Option<Self> {
        str::from_utf8(Code::read(input)?).ok()
    }
}

impl Code<'_> for CallUuid {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        let bytes = input.take(16)?;
        bytes.try_into().ok().map(Self::from_bytes)
    }
}

impl Code<'_> for Moment {
    fn write(&self, out: &mut Vec<u8>) {
        self.millis().write(out);
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        i64::read(input).map(Self::from_millis)
    }
}

impl<'a, T: Code<'a>> Code<'a> for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            None => out.push(0),
            Some(value) => {
                out.push(1);
                value.write(out);
            }
        }
    }

    fn read(input: &mut Input<'a>) -> Option<Self> {
        match input.byte()? {
            0 => Some(None),
            1 => T::read(input).map(Some),
            _ => None,
        }
    }
}

/// Says of a struct that it is written field by field, in the order given.
macro_rules! coded {
    ($name:ident $(<$life:lifetime>)? { $($field:ident),+ $(,)? }) => {
        impl<'a> $crate::store::code::Code<'a> for $name $(<$life>)? {
            fn write(&self, out: &mut Vec<u8>) {
                $($crate::store::code::Code::write(&self.$field, out);)+
            }

            fn read(input: &mut $crate::store::code::Input<'a>) -> Option<Self> {
                Some(Self {
                    $($field: $crate::store::code::Code::read(input)?,)+
                })
            }
        }
    };
}

/// Says of an enum whose variants hold one value, or none, which byte each is written with before it.
macro_rules! coded_kinds {
    ($name:ident $(<$life:lifetime>)? { $($kind:literal => $variant:ident $(($held:ident))?),+ $(,)? }) => {
        impl<'a> $crate::store::code::Code<'a> for $name $(<$life>)? {
            fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $(($held))? => {
                        out.push($kind);
                        $($crate::store::code::Code::write($held, out);)?
                    })+
                }
            }

            fn read(input: &mut $crate::store::code::Input<'a>) -> Option<Self> {
                Some(match u8::read(input)? {
                    $($kind => Self::$variant $(({
                        let $held = $crate::store::code::Code::read(input)?;
                        $held
                    }))?,)+
                    _ => return None,
                })
            }
        }
    };
}

pub(super) use {coded, coded_kinds};

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::store::list::List;

    #[test]
    fn integers_take_as_little_as_they_can_and_read_back() {
        for (value, length) in [(0, 1), (127, 1), (128, 2), (1 << 35, 6), (u64::MAX, 10)] {
            assert_eq!(check(&value).len(), length);
        }
        for value in [0, -1, 1, 63, -64, i64::MIN, i64::MAX] {
            check(&value);
        }
        for value in [0, 65_535_u16] {
            check(&value);
        }
        assert_eq!(from_slice::<u16>(&to_vec(&65_536_u64)), None);
        // Eleven bytes, and ten of them with a bit too much.
        assert_eq!(from_slice::<u64>(&[0xff; 11]), None);
        assert_eq!(
            from_slice::<u64>(&[[0xff; 9].as_slice(), &[2]].concat()),
            None
        );
    }

    #[test]
    fn texts_lists_and_options_read_back_and_nothing_else_reads_as_one() {
        check(&"caller");
        check(&Some("x"));
        check(&None::<u64>);
        check(&true);
        check(&List::from(vec!["a", "", "ü"]));

        assert_eq!(from_slice::<&str>(&[1, 0xff]), None);
        assert_eq!(from_slice::<bool>(&[2]), None);
        assert_eq!(from_slice::<Option<bool>>(&[2, 0]), None);
        // Shorter than it says, and longer than it is.
        assert_eq!(from_slice::<&[u8]>(&[3, 1, 2]), None);
        assert_eq!(from_slice::<&[u8]>(&[1, 1, 2]), None);
        // A count of more things than there are bytes takes no memory.
        let many = to_vec(&(1_u64 << 60));
        assert_eq!(from_slice::<List<'_, u64>>(&many), None);
    }

    /// Returns the bytes, all of which are needed.
    fn check<T: Code<'static> + PartialEq + Debug>(value: &T) -> &'static [u8] {
        let bytes: &'static [u8] = to_vec(value).leak();
        assert_eq!(from_slice::<T>(bytes).as_ref(), Some(value));
        for length in 0..bytes.len() {
            let cut = from_slice::<T>(&bytes[..length]);
            assert_eq!(cut, None, "{value:?} cut to {length}");
        }
        bytes
    }
}
