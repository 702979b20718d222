//! Tags: what is known of a call, in words of the operators' choice. Each key has one value or several, each value remembers
//! who said it.
//!
//! Values are added and never taken back, with one exception: where the caller is (`geo`, see [`crate::types::geo`]) is one
//! place, and who knows better overrides who guessed.

use std::sync::Arc;

use thiserror::Error;

use crate::types::geo;
use crate::types::number::Number;

/// What answers to a name: the facts of a call, its tags, or both.
pub trait Lookup {
    /// Calls `found` with each value of `name`, which is in lower case; not at all if there is none. Built-in names come
    /// before tags of the same name.
    fn look_up(&self, name: &str, found: &mut dyn FnMut(&str));
}

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// The configuration of the number dialled.
    Number,
    /// Data written for this caller before the call.
    Stored,
    /// The area code of the caller's number.
    Geo,
    /// The answer to a webhook.
    Hook,
    /// A postback, or data written during the call or after it.
    Postback,
    /// The application that handed the call over.
    HandOff,
}

impl Origin {
    /// Its name in records.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Stored => "stored",
            Self::Geo => "geo",
            Self::Hook => "hook",
            Self::Postback => "postback",
            Self::HandOff => "hand_off",
        }
    }

    /// What records call so.
    #[must_use]
    pub fn named(label: &str) -> Option<Self> {
        let all = [
            Self::Number,
            Self::Stored,
            Self::Geo,
            Self::Hook,
            Self::Postback,
            Self::HandOff,
        ];
        all.into_iter().find(|origin| origin.label() == label)
    }

    /// How far it is believed where the caller is: data that was written before guesses, whatever came first.
    fn trust(self) -> u8 {
        match self {
            Self::Geo => 0,
            Self::Number => 1,
            Self::Hook | Self::HandOff => 2,
            Self::Stored | Self::Postback => 3,
        }
    }
}

/// One value of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Lower-case letters, digits, `_`, `.` and `-`; 1 to 64 of them.
    pub key: Arc<str>,
    /// 1 to 256 bytes, no control characters.
    pub value: Arc<str>,
    /// Who said it first.
    pub origin: Origin,
}

/// The tags of a call or a number: keys in order, the values of a key in the order in which they came, none twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags(Vec<Tag>);

/// Why a tag is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TagFault {
    /// The key is empty, too long or has other characters.
    #[error("a key is 1 to 64 letters, digits, `_`, `.` or `-`")]
    Key,
    /// The key is a name of what the edge itself knows.
    #[error("the name is the edge's own")]
    Reserved,
    /// The value is too long, or holds a control character.
    #[error("a value has at most 256 bytes and no control characters")]
    Value,
    /// The value of `caller_zip` is no postal code.
    #[error("not a postal code")]
    PostalCode,
    /// There are too many tags already.
    #[error("more than 256 tags")]
    TooMany,
}

impl TagFault {
    /// Its name in records and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Key => "bad_key",
            Self::Reserved => "reserved",
            Self::Value => "bad_value",
            Self::PostalCode => "bad_postal_code",
            Self::TooMany => "too_many",
        }
    }
}

impl Origin {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Number,
        Self::Stored,
        Self::Geo,
        Self::Hook,
        Self::Postback,
        Self::HandOff,
    ];

    /// The one of this name in records.
    #[must_use]
    pub fn parse(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.label() == label)
    }
}

impl Tags {
    /// Those that a record tells of, as they were.
    #[must_use]
    pub fn of_record(mut tags: Vec<Tag>) -> Self {
        tags.sort_by(|one, other| one.key.cmp(&other.key));
        tags.truncate(MOST_TAGS);
        Self(tags)
    }

    /// No tags.
    pub const NONE: Self = Self(Vec::new());

    /// Adds a value. `Ok(false)`: it is empty, it is there already, or where the caller is was said by someone who knows
    /// better. The key is taken in lower case. A `geo` or `caller_zip` replaces the place that was known, but for the area
    /// code.
    pub fn add(&mut self, key: &str, value: &str, origin: Origin) -> Result<bool, TagFault> {
        self.add_all(key, &[value], origin)
    }

    /// The same with several values of one key, which are one place after another if the key is `geo`.
    pub fn add_all(
        &mut self,
        key: &str,
        values: &[&str],
        origin: Origin,
    ) -> Result<bool, TagFault> {
        let key = check_key(key)?;
        if values.iter().any(|value| !is_value(value)) {
            return Err(TagFault::Value);
        }
        match &*key {
            GEO => return self.place(values, origin),
            CALLER_ZIP => {
                let is_code = |value: &&str| {
                    let mut places = geo::expand(value).into_iter();
                    value.is_empty() || places.any(|place| geo::postal_code(&place).is_some())
                };
                if !values.iter().all(is_code) {
                    return Err(TagFault::PostalCode);
                }
                return self.place(values, origin);
            }
            _ => {}
        }
        let mut is_new = false;
        for value in values {
            is_new |= self.insert(&key, value, origin)?;
        }
        Ok(is_new)
    }

    /// Adds where the number of a caller says that it is, unless somebody said it already.
    pub fn infer(&mut self, caller: Number) {
        if self.values(GEO).next().is_some() {
            return;
        }
        for value in geo::of_caller(caller) {
            if self.insert(GEO, &value, Origin::Geo).is_err() {
                return;
            }
        }
    }

    /// Adds to the tags of a number what others said of a call to it, as a record has it: key, value and who said it. Nothing
    /// is concluded from a place, and what the number had said then counts only where somebody else said something besides.
    pub fn restore<'t>(&mut self, said: impl Iterator<Item = (&'t str, &'t str, Origin)> + Clone) {
        let is_place = |key: &str| key == GEO;
        let by_others = |origin: Origin| origin != Origin::Number;
        let is_replaced = said
            .clone()
            .any(|(key, _, origin)| is_place(key) && by_others(origin));
        if is_replaced {
            self.0.retain(|tag| !is_place(&tag.key));
        }
        for (key, value, origin) in said {
            if by_others(origin) || (is_place(key) && is_replaced) {
                let key = check_key(key).ok().filter(|_| is_value(value));
                // What is too much now was too much then.
                let _ = key.map(|key| self.insert(&key, value, origin));
            }
        }
    }

    /// The values of a key, which is in lower case.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.tags(key).map(|tag| &*tag.value)
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl Iterator<Item = &Tag> + Clone {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn tags(&self, key: &str) -> impl Iterator<Item = &Tag> {
        let start = self.0.partition_point(|tag| *tag.key < *key);
        let rest = self.0.get(start..).unwrap_or_default();
        rest.iter().take_while(move |tag| *tag.key == *key)
    }

    /// Puts the caller into these places, if nobody who knows better said something else.
    fn place(&mut self, values: &[&str], origin: Origin) -> Result<bool, TagFault> {
        let known = self.tags(GEO).map(|tag| tag.origin.trust()).max();
        let places: Vec<_> = values.iter().flat_map(|value| geo::expand(value)).collect();
        if places.is_empty() || known.is_some_and(|known| known > origin.trust()) {
            return Ok(false);
        }
        if places.iter().any(|place| !is_value(place)) {
            return Err(TagFault::Value);
        }
        let says_area = places.iter().any(|place| geo::is_area(place));
        let before = self.clone();
        let old = self.0.extract_if(.., |tag| *tag.key == *GEO);
        let area = old.filter(|tag| geo::is_area(&tag.value) && !says_area);
        if let Some(area) = area.collect::<Vec<_>>().first() {
            self.insert(GEO, &area.value, area.origin)?;
        }
        for place in &places {
            if let Err(full) = self.insert(GEO, place, origin) {
                *self = before;
                return Err(full);
            }
        }
        Ok(*self != before)
    }

    fn insert(&mut self, key: &str, value: &str, origin: Origin) -> Result<bool, TagFault> {
        if value.is_empty() || self.values(key).any(|other| other == value) {
            return Ok(false);
        }
        if self.0.len() >= MOST_TAGS {
            return Err(TagFault::TooMany);
        }
        let end = self.0.partition_point(|tag| *tag.key <= *key);
        // Keys are shared by their values.
        let before = end.checked_sub(1).and_then(|place| self.0.get(place));
        let key = match before.filter(|tag| *tag.key == *key) {
            Some(tag) => Arc::clone(&tag.key),
            None => key.into(),
        };
        let value = value.into();
        self.0.insert(end, Tag { key, value, origin });
        Ok(true)
    }
}

impl Lookup for Tags {
    fn look_up(&self, name: &str, found: &mut dyn FnMut(&str)) {
        self.values(name).for_each(found);
    }
}

/// Whether nobody but the edge may say anything under this name, which is in lower case.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    if matches!(name, GEO | CALLER_ZIP) {
        return false;
    }
    RESERVED_STARTS.iter().any(|start| name.starts_with(start)) || RESERVED.contains(&name)
}

fn check_key(key: &str) -> Result<String, TagFault> {
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if key.is_empty() || key.len() > MOST_KEY || !key.bytes().all(is_key) {
        return Err(TagFault::Key);
    }
    let key = key.to_ascii_lowercase();
    if is_reserved(&key) {
        return Err(TagFault::Reserved);
    }
    Ok(key)
}

fn is_value(value: &str) -> bool {
    value.len() <= MOST_VALUE && !value.chars().any(char::is_control)
}

/// The key of where the caller is.
pub const GEO: &str = "geo";
/// The other name of it, for a postal code.
pub const CALLER_ZIP: &str = "caller_zip";
/// The name of whether the caller was here before.
pub const REPEAT: &str = "repeat";
/// Bytes of a key.
pub const MOST_KEY: usize = 64;
/// Bytes of a value.
pub const MOST_VALUE: usize = 256;
/// Values of one call, so that what others say of it has a bound.
pub const MOST_TAGS: usize = 256;

const RESERVED_STARTS: [&str; 2] = ["call_", "system_"];

const RESERVED: &[&str] = &[
    "afid",
    "affiliate_id",
    "answer_time",
    "attempt",
    "buyer_id",
    "buyer_name",
    "buyer_number",
    "called_number",
    "caller_area_code",
    "caller_country",
    "caller_id",
    "caller_number",
    "caller_state",
    "campaign_id",
    "campaign_name",
    "carrier_trunk",
    "cid",
    "company_id",
    "config_generation",
    "conversion_seconds",
    "converted",
    "duplicate",
    "end_time",
    "hold_duration",
    "hung_up_by",
    "nanp_called_number",
    "nanp_caller_number",
    "node",
    "number",
    "payout",
    "publisher_id",
    "reason",
    "repeat",
    "revenue",
    "ring_duration",
    "sid",
    "sip_code",
    "start_epoch",
    "start_time",
    "sub_id",
    "tid",
    "total_duration",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Keys and values come from whoever answers a webhook.
        #[test]
        fn whatever_is_said_is_bounded(said: Vec<(String, String)>, geo: Vec<String>) {
            let mut tags = caller("+16146792390");
            for (key, value) in &said {
                let _ = tags.add(key, value, Origin::Hook);
            }
            for place in &geo {
                let _ = tags.add("geo", place, Origin::Hook);
                let _ = tags.add("caller_zip", place, Origin::Stored);
            }

            prop_assert!(tags.len() <= MOST_TAGS);
            prop_assert!(tags.iter().is_sorted_by(|a, b| a.key <= b.key));
            for tag in tags.iter() {
                prop_assert!(is_value(&tag.value) && !tag.value.is_empty() && !is_reserved(&tag.key));
            }
        }
    }

    #[test]
    fn values_are_added_and_none_is_there_twice() {
        let mut tags = Tags::default();

        assert_eq!(tags.add("Product", "mortgage", Origin::Hook), Ok(true));
        assert_eq!(tags.add("age", "66", Origin::Number), Ok(true));
        assert_eq!(tags.add("product", "insurance", Origin::Postback), Ok(true));
        assert_eq!(tags.add("product", "mortgage", Origin::Postback), Ok(false));
        assert_eq!(tags.add("product", "", Origin::Postback), Ok(false));

        assert_eq!(values(&tags, "product"), ["mortgage", "insurance"]);
        assert_eq!(values(&tags, "prod"), [""; 0]);
        let all: Vec<_> = tags
            .iter()
            .map(|tag| (&*tag.key, &*tag.value, tag.origin.label()))
            .collect();
        assert_eq!(
            all,
            [
                ("age", "66", "number"),
                ("product", "mortgage", "hook"),
                ("product", "insurance", "postback"),
            ]
        );
        assert_eq!((tags.len(), tags.is_empty()), (3, false));
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        let mut tags = Tags::default();

        for (key, value, fault) in [
            ("", "x", TagFault::Key),
            ("a b", "x", TagFault::Key),
            ("naïve", "x", TagFault::Key),
            (&"k".repeat(65), "x", TagFault::Key),
            ("call_uuid", "x", TagFault::Reserved),
            ("Call_Anything", "x", TagFault::Reserved),
            ("system_target_id", "9", TagFault::Reserved),
            ("AFID", "x", TagFault::Reserved),
            ("caller_number", "+12125550100", TagFault::Reserved),
            ("k", &"v".repeat(257), TagFault::Value),
            ("k", "a\r\nb", TagFault::Value),
            ("geo", "us-\u{7}", TagFault::Value),
            ("caller_zip", "x", TagFault::PostalCode),
            ("caller_zip", "us-ny", TagFault::PostalCode),
        ] {
            assert_eq!(tags.add(key, value, Origin::Hook), Err(fault), "{key}");
        }
        assert!(tags.is_empty());
        assert_eq!(tags.add("caller", &"v".repeat(256), Origin::Hook), Ok(true));
    }

    #[test]
    fn there_is_a_most() {
        let mut tags = Tags::default();
        for value in 0..MOST_TAGS - 1 {
            assert_eq!(tags.add("k", &value.to_string(), Origin::Hook), Ok(true));
        }

        assert_eq!(
            tags.add("geo", "us-10101", Origin::Hook),
            Err(TagFault::TooMany)
        );
        assert_eq!(values(&tags, "geo"), [""; 0]);
        assert_eq!(tags.add("l", "1", Origin::Hook), Ok(true));
        assert_eq!(tags.add("l", "2", Origin::Hook), Err(TagFault::TooMany));
        assert_eq!(tags.len(), MOST_TAGS);
    }

    #[test]
    fn a_ping_knows_better_than_the_area_code_where_the_caller_is() {
        let mut tags = caller("+16146792390");

        assert_eq!(tags.add("geo", "us-10101", Origin::Hook), Ok(true));

        assert_eq!(values(&tags, "geo"), ["614", "us", "us-10101", "us-ny"]);
        let origins: Vec<_> = tags.iter().map(|tag| tag.origin).collect();
        assert_eq!(
            origins,
            [Origin::Geo, Origin::Hook, Origin::Hook, Origin::Hook]
        );
    }

    #[test]
    fn data_that_was_written_knows_better_than_a_ping() {
        let mut tags = caller("+13015236555");

        assert_eq!(tags.add("caller_zip", "28379", Origin::Stored), Ok(true));
        assert_eq!(tags.add("geo", "us-10101", Origin::Hook), Ok(false));
        assert_eq!(values(&tags, "geo"), ["301", "us", "us-28379", "us-nc"]);

        assert_eq!(tags.add("geo", "us-ca", Origin::Postback), Ok(true));
        assert_eq!(values(&tags, "geo"), ["301", "us", "us-ca"]);

        assert_eq!(tags.add("geo", "us-ca", Origin::Postback), Ok(false));
        assert_eq!(tags.add("geo", "416", Origin::Postback), Ok(true));
        assert_eq!(values(&tags, "geo"), ["416", "ca", "ca-on"]);
        assert_eq!(values(&tags, "caller_zip"), [""; 0]);
    }

    #[test]
    fn several_places_of_one_answer_are_kept_together() {
        let mut tags = caller("+16146792390");

        let added = tags.add_all("geo", &["us-10101", "us-ca"], Origin::Hook);

        assert_eq!(added, Ok(true));
        assert_eq!(
            values(&tags, "geo"),
            ["614", "us", "us-10101", "us-ny", "us-ca"]
        );
    }

    #[test]
    fn the_number_is_asked_only_where_nobody_said_anything() {
        let mut tags = Tags::default();
        assert_eq!(tags.add("geo", "us-10101", Origin::Number), Ok(true));

        tags.infer(Number::from_e164(b"+16146792390").expect("a number"));

        assert_eq!(values(&tags, "geo"), ["us", "us-10101", "us-ny"]);
    }

    #[test]
    fn what_a_record_says_is_put_back_as_it_was() {
        let mut number = Tags::default();
        number
            .add("geo", "us-10101", Origin::Number)
            .expect("a tag");
        number
            .add("product", "loan", Origin::Number)
            .expect("a tag");
        let mut call = number.clone();
        for (key, value) in [("geo", "310"), ("geo", "us-ny"), ("product", "car")] {
            call.add(key, value, Origin::Hook).expect("a tag");
        }

        let mut again = number.clone();
        again.restore(call.iter().map(|tag| (&*tag.key, &*tag.value, tag.origin)));

        assert_eq!(again, call);
        assert_eq!(values(&again, "geo"), ["310", "us", "us-ny"]);
        let mut plain = number.clone();
        plain.restore(
            number
                .iter()
                .map(|tag| (&*tag.key, &*tag.value, tag.origin)),
        );
        assert_eq!(plain, number);
        plain.restore([("a b", "x", Origin::Hook), ("k", "\n", Origin::Hook)].into_iter());
        assert_eq!(plain, number);
    }

    #[test]
    fn a_call_without_tags_costs_nothing() {
        assert_eq!(size_of::<Tags>(), 24);
        assert_eq!(Tags::default().0.capacity(), 0);
    }

    fn caller(number: &str) -> Tags {
        let mut tags = Tags::default();
        tags.infer(Number::from_e164(number.as_bytes()).expect("a number"));
        tags
    }

    fn values<'t>(tags: &'t Tags, key: &str) -> Vec<&'t str> {
        tags.values(key).collect()
    }
}
