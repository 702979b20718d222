//! Where a caller is, as values of the tag `geo`: from the area code of its number, or from what somebody says who knows better.
//!
//! ```text
//! +1 614 679 2390  ->  614  us  us-oh              area code, country, region
//! us-10101         ->  us  us-10101  us-ny         country, ZIP, region
//! ca-m5v3l9        ->  ca  ca-m5v3l9  ca-on        country, postal code, province
//! ```
//!
//! A ported mobile number keeps its area code, so that all of it is a hint; what a ping or a posting says overrides it.

mod tables;

use smallvec::SmallVec;

use crate::types::number::Number;

/// The values that one place stands for, in the order: area code, country, postal code, region.
pub type Values = SmallVec<[Box<str>; 4]>;

/// Where the area code of a number lies; made without allocation, as every call may be asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    code: [u8; 3],
    region: Option<&'static str>,
}

impl Area {
    /// What the number of a caller says of where it is; `None` for numbers outside the North American plan.
    #[must_use]
    pub fn of(caller: Number) -> Option<Self> {
        caller.area_code().map(Self::coded)
    }

    fn coded(code: u16) -> Self {
        let digit = |unit: u16| b'0' + u8::try_from(code / unit % 10).unwrap_or_default();
        Self {
            code: [digit(100), digit(10), digit(1)],
            region: region_of_area(code),
        }
    }

    /// The area code.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.code).unwrap_or_default()
    }

    /// Calls `found` with the area code, and with country and region where it has any.
    pub fn each(&self, found: &mut dyn FnMut(&str)) {
        found(self.code());
        let Some(region) = self.region else {
            return;
        };
        if let Some((country, _)) = region.split_once('-') {
            found(country);
        }
        found(region);
    }
}

/// What the number of a caller says of where it is; nothing for numbers outside the North American plan.
#[must_use]
pub fn of_caller(caller: Number) -> Values {
    caller.area_code().map(of_area).unwrap_or_default()
}

/// What an area code (`[2-9]XX`) says: itself, and its country and region where it has any.
#[must_use]
pub fn of_area(code: u16) -> Values {
    let mut values = Values::new();
    Area::coded(code).each(&mut |value| values.push(value.into()));
    values
}

/// The country (`us`) or the country and its region (`us-oh`) in which an area code lies; `None`: nowhere, or not known.
#[must_use]
pub fn region_of_area(code: u16) -> Option<&'static str> {
    let place = BY_AREA.get(usize::from(code)).copied()?;
    let (region, _) = tables::AREA_CODES.get(usize::from(place))?;
    Some(*region)
}

/// The state in which a ZIP of five digits lies.
#[must_use]
pub fn state_of_zip(zip: &str) -> Option<&'static str> {
    if zip.len() != 5 || !is_digits(zip) {
        return None;
    }
    let zip: u32 = zip.parse().ok()?;
    if let Ok(place) = tables::ZIPS.binary_search_by_key(&zip, |(zip, _)| *zip) {
        return tables::ZIPS.get(place).map(|(_, state)| *state);
    }
    let place = BY_PREFIX.get((zip / 100) as usize).copied()?;
    let (state, _) = tables::ZIP_PREFIXES.get(usize::from(place))?;
    Some(*state)
}

/// What a value of the tag `geo` stands for, itself among it: `us`, `us-ca`, `us-90210`, `90210`, `90210-1234`, `ca-m5v3l9`,
/// `m5v`, `310`, in any case. What nobody knows stands for itself, and for its country if it names one.
#[must_use]
pub fn expand(text: &str) -> Values {
    let text = text.trim().to_ascii_lowercase();
    let mut values = Values::new();
    if text.len() == 3 && is_digits(&text) {
        return text.parse().map(of_area).unwrap_or_default();
    }
    if let Some(zip) = zip(&text) {
        push_zip(zip, &mut values);
        return values;
    }
    if let Some(province) = province(&text) {
        push_postal_code(&text, province, &mut values);
        return values;
    }
    match text.split_once('-') {
        Some(("us", rest)) if zip(rest).is_some() => {
            push_zip(zip(rest).unwrap_or_default(), &mut values);
        }
        Some(("ca", rest)) if province(rest).is_some() => {
            push_postal_code(rest, province(rest).unwrap_or_default(), &mut values);
        }
        Some((country, _)) => {
            values.push(country.into());
            values.push(text.into());
        }
        None if text.is_empty() => {}
        None => values.push(text.into()),
    }
    values
}

/// Whether a value of the tag `geo` is an area code.
#[must_use]
pub fn is_area(value: &str) -> bool {
    value.len() == 3 && is_digits(value)
}

/// The ZIP of five digits in a value of the tag `geo` (`us-90210`), or the Canadian postal code (`ca-m5v3l9`).
#[must_use]
pub fn postal_code(value: &str) -> Option<&str> {
    match value.split_once('-')? {
        ("us", rest) => (rest.len() == 5 && is_digits(rest)).then_some(rest),
        ("ca", rest) => province(rest).map(|_| rest),
        _ => None,
    }
}

/// The region in a value of the tag `geo`, without its country: `oh` of `us-oh`.
#[must_use]
pub fn region(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once('-')?;
    (rest.len() == 2 && rest.bytes().all(|byte| byte.is_ascii_alphabetic())).then_some(rest)
}

/// The first five digits of a ZIP, or of a ZIP+4.
fn zip(text: &str) -> Option<&str> {
    let (zip, plus) = match text.split_once('-') {
        Some((zip, plus)) => (zip, Some(plus)),
        None => (text, None),
    };
    let is_zip = zip.len() == 5 && is_digits(zip);
    let is_plus = plus.is_none_or(|plus| plus.len() == 4 && is_digits(plus));
    (is_zip && is_plus).then_some(zip)
}

/// The province in which a Canadian postal code, or its first half, lies.
fn province(text: &str) -> Option<&'static str> {
    let mut code = text.bytes().filter(|byte| *byte != b' ');
    let shape = [
        u8::is_ascii_lowercase as fn(&u8) -> bool,
        u8::is_ascii_digit,
        u8::is_ascii_lowercase,
        u8::is_ascii_digit,
        u8::is_ascii_lowercase,
        u8::is_ascii_digit,
    ];
    let length = code.clone().count();
    let fits = code.clone().zip(shape).all(|(byte, is)| is(&byte));
    if !fits || (length != 3 && length != 6) {
        return None;
    }
    Some(match code.next()? {
        b'a' => "ca-nl",
        b'b' => "ca-ns",
        b'c' => "ca-pe",
        b'e' => "ca-nb",
        b'g' | b'h' | b'j' => "ca-qc",
        b'k' | b'l' | b'm' | b'n' | b'p' => "ca-on",
        b'r' => "ca-mb",
        b's' => "ca-sk",
        b't' => "ca-ab",
        b'v' => "ca-bc",
        // Shared by the Northwest Territories and Nunavut.
        b'x' => "ca",
        b'y' => "ca-yt",
        _ => return None,
    })
}

fn push_zip(zip: &str, values: &mut Values) {
    values.push("us".into());
    values.push(format!("us-{zip}").into());
    if let Some(state) = state_of_zip(zip) {
        values.push(format!("us-{state}").into());
    }
}

fn push_postal_code(code: &str, province: &str, values: &mut Values) {
    values.push("ca".into());
    values.push(format!("ca-{}", code.replace(' ', "")).into());
    if province != "ca" {
        values.push(province.into());
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The place in [`tables::AREA_CODES`] of each area code; [`NOWHERE`] for those that have none.
static BY_AREA: [u8; 1000] = by_area();
/// The place in [`tables::ZIP_PREFIXES`] of each prefix; [`NOWHERE`] for those that are not assigned.
static BY_PREFIX: [u8; 1000] = by_prefix();

const NOWHERE: u8 = u8::MAX;

#[expect(
    clippy::indexing_slicing,
    reason = "computed by the compiler, which refuses an index out of bounds"
)]
const fn by_area() -> [u8; 1000] {
    let mut places = [NOWHERE; 1000];
    let mut row = 0;
    while row < tables::AREA_CODES.len() {
        let (_, codes) = tables::AREA_CODES[row];
        let mut at = 0;
        while at < codes.len() {
            places[codes[at] as usize] = row as u8;
            at += 1;
        }
        row += 1;
    }
    places
}

#[expect(
    clippy::indexing_slicing,
    reason = "computed by the compiler, which refuses an index out of bounds"
)]
const fn by_prefix() -> [u8; 1000] {
    let mut places = [NOWHERE; 1000];
    let mut row = 0;
    while row < tables::ZIP_PREFIXES.len() {
        let (_, runs) = tables::ZIP_PREFIXES[row];
        let mut at = 0;
        while at < runs.len() {
            let (first, last) = runs[at];
            let mut prefix = first;
            while prefix <= last {
                places[prefix as usize] = row as u8;
                prefix += 1;
            }
            at += 1;
        }
        row += 1;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_code_says_country_and_region() {
        for (caller, want) in [
            ("+16146792390", &["614", "us", "us-oh"][..]),
            ("+14166686981", &["416", "ca", "ca-on"]),
            ("+19025550100", &["902", "ca"]),
            ("+18765550100", &["876", "jm"]),
            ("+17875550100", &["787", "us", "us-pr"]),
            ("+18005551234", &["800"]),
            ("+442071838750", &[]),
        ] {
            let caller = Number::from_e164(caller.as_bytes()).expect("a number");
            assert_eq!(texts(&of_caller(caller)), want, "{caller}");
        }
    }

    #[test]
    fn a_place_stands_for_all_that_it_lies_in() {
        for (text, want) in [
            ("10101", &["us", "us-10101", "us-ny"][..]),
            ("US-90210-1234", &["us", "us-90210", "us-ca"]),
            ("90210-1234", &["us", "us-90210", "us-ca"]),
            ("us-06390", &["us", "us-06390", "us-ny"]),
            ("us-00000", &["us", "us-00000"]),
            ("ca-M5V 3L9", &["ca", "ca-m5v3l9", "ca-on"]),
            ("m5v", &["ca", "ca-m5v", "ca-on"]),
            ("X0A", &["ca", "ca-x0a"]),
            ("ca-on", &["ca", "ca-on"]),
            ("310", &["310", "us", "us-ca"]),
            ("us", &["us"]),
            ("zz-top", &["zz", "zz-top"]),
            ("", &[]),
        ] {
            assert_eq!(texts(&expand(text)), want, "{text}");
        }
    }

    #[test]
    fn prefixes_that_span_states_have_their_exceptions() {
        assert_eq!(state_of_zip("06389"), Some("ct"));
        assert_eq!(state_of_zip("06390"), Some("ny"));
        assert_eq!(state_of_zip("20588"), Some("md"));
        assert_eq!(state_of_zip("96799"), Some("as"));
        assert_eq!(state_of_zip("00001"), None);
        assert_eq!(state_of_zip("1010"), None);
        assert_eq!(state_of_zip("+1010"), None);
    }

    #[test]
    fn parts_of_a_value_are_found_again() {
        assert_eq!(postal_code("us-10101"), Some("10101"));
        assert_eq!(postal_code("ca-m5v3l9"), Some("m5v3l9"));
        assert_eq!(postal_code("us-ny"), None);
        assert_eq!(region("us-ny"), Some("ny"));
        assert_eq!(region("us-10101"), None);
        assert_eq!(region("us"), None);
        assert!(is_area("614") && !is_area("us") && !is_area("6144"));
    }

    fn texts(values: &Values) -> Vec<&str> {
        values.iter().map(|value| &**value).collect()
    }
}
