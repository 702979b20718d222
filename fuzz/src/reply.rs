//! Answers to webhooks. Whatever a server says, a call has a bounded number of tags that are all fit to be written anywhere, and what
//! was not taken is told in as many lines as there are warnings.

use strowger::hooks::reply::{self, MOST_VALUES, Output};
use strowger::types::tag::{CALLER_ZIP, GEO, MOST_KEY, MOST_TAGS, MOST_VALUE, Tags, is_reserved};
use strowger::types::template::{Encoding, Template};

/// A body.
pub fn reply(data: &[u8]) {
    let map = [("a", "first"), ("a.b[0].c", "deep"), ("[", "never")];
    let map = map
        .iter()
        .filter_map(|(path, key)| Some((path.parse().ok()?, (*key).into())));
    let mapped = Output {
        prefix: "x_".into(),
        map: map.collect(),
    };
    for output in [Output::default(), mapped] {
        let mut tags = Tags::default();
        let warnings = reply::apply(data, &output, &mut tags);

        assert!(warnings.len() <= MOST_VALUES);
        for warning in &warnings {
            let told = warning.to_string();
            assert!(
                told.starts_with(warning.label()) && !told.contains(char::is_control),
                "{told:?}"
            );
        }
        assert!(tags.len() <= MOST_TAGS);
        let has_place = tags
            .iter()
            .any(|tag| [GEO, CALLER_ZIP].contains(&&*tag.key));
        assert!(tags.len() <= MOST_VALUES || has_place);
        for tag in tags.iter() {
            assert!((1..=MOST_KEY).contains(&tag.key.len()) && !is_reserved(&tag.key));
            assert!((1..=MOST_VALUE).contains(&tag.value.len()));
            assert!(!tag.value.contains(char::is_control));
        }
        write(&tags);
        let before = tags.clone();
        reply::apply(data, &output, &mut tags);
        assert!(
            has_place || tags == before,
            "what is said twice is said once"
        );
    }
}

/// What was taken goes into a URL, a header and JSON without breaking out of it.
fn write(tags: &Tags) {
    for tag in tags.iter() {
        let template = Template::parse(&format!("[{}]", tag.key));
        let expanded = |encoding| {
            let mut text = String::new();
            template.expand(tags, encoding, &mut text).map(|()| text)
        };
        let Ok(url) = expanded(Encoding::Url) else {
            continue;
        };
        assert!(
            template.is_plain()
                || url
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b))
        );
        if let Ok(header) = expanded(Encoding::Header) {
            assert!(header.bytes().all(|b| matches!(b, b' '..=b'~')));
        }
        if let Ok(text) = expanded(Encoding::Json) {
            assert!(serde_json::from_str::<String>(&format!("\"{text}\"")).is_ok());
        }
    }
}
