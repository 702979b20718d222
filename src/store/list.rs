//! Several things in an entry: borrowed when it is written, owned when it was read.

use std::ops::Deref;

use crate::store::code::{Code, Input};

/// A list of things. Unlike `Cow`, one of things that live long is one of things that live shorter.
#[derive(Debug, Clone)]
pub enum List<'a, T> {
    /// Somebody else's.
    Borrowed(&'a [T]),
    /// Its own.
    Owned(Vec<T>),
}

impl<T> Deref for List<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Borrowed(items) => items,
            Self::Owned(items) => items,
        }
    }
}

impl<T> Default for List<'_, T> {
    fn default() -> Self {
        Self::Borrowed(&[])
    }
}

impl<T: PartialEq> PartialEq for List<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for List<'_, T> {}

impl<'a, T> From<&'a [T]> for List<'a, T> {
    fn from(items: &'a [T]) -> Self {
        Self::Borrowed(items)
    }
}

impl<T> From<Vec<T>> for List<'_, T> {
    fn from(items: Vec<T>) -> Self {
        Self::Owned(items)
    }
}

impl<'a, T: Code<'a>> Code<'a> for List<'a, T> {
    fn write(&self, out: &mut Vec<u8>) {
        (self.len() as u64).write(out);
        for item in self.iter() {
            item.write(out);
        }
    }

    fn read(input: &mut Input<'a>) -> Option<Self> {
        let count = input.count()?;
        let items: Option<Vec<T>> = (0..count).map(|_| T::read(input)).collect();
        items.map(Self::Owned)
    }
}
