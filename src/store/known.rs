//! What is known of a call that goes on, for whoever ends it if nobody lives to see that.

use crate::store::code::coded;
use crate::store::list::List;
use crate::types::ids::CallUuid;

/// See [`Entry::Tagged`](crate::store::Entry::Tagged).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged<'a> {
    /// The call.
    pub uuid: CallUuid,
    /// All that is known.
    pub tags: List<'a, KnownTag<'a>>,
}

coded!(Tagged<'a> { uuid, tags });

/// A key, one value, and who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownTag<'a> {
    /// The key.
    pub key: &'a str,
    /// One of its values.
    pub value: &'a str,
    /// Who said it, as records call it.
    pub origin: &'a str,
}

coded!(KnownTag<'a> { key, value, origin });
