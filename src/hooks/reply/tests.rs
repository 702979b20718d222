use std::collections::BTreeMap;

use super::*;

type Values = BTreeMap<String, Vec<String>>;

#[test]
fn a_value_is_what_was_written() {
    let (tags, warnings) = read(
        r#"{"zip": "01001", "big": 12345678901234567890123, "loan": 1.50, "exp": 1e3, "yes": true, "no": false,
            "none": null, "empty": "", "text": "a\u00e4\"b", "list": ["x", 1, true, null, "", "x"], "void": []}"#,
        &Output::default(),
    );

    assert_eq!(warnings, [""; 0]);
    let expected = [
        ("big", "12345678901234567890123"),
        ("exp", "1e3"),
        ("list", "x,1,true"),
        ("loan", "1.50"),
        ("no", "false"),
        ("text", "aä\"b"),
        ("yes", "true"),
        ("zip", "01001"),
    ];
    assert_eq!(
        joined(&tags),
        expected.map(|(k, v)| (k.to_owned(), v.to_owned()))
    );
}

#[test]
fn what_is_not_at_the_root_is_left_out_unless_the_map_names_it() {
    let body = r#"{"bidTerms": [{"callMinDuration": 90, "code": 1}, {"callMinDuration": 30}], "deep": {"er": {"x": "y"}},
        "other": {"a": 1}, "grid": [[1], 2], "plain": "p"}"#;
    let output = Output {
        prefix: "rtb_".into(),
        map: vec![
            (path("bidTerms[0].callMinDuration"), "seconds".into()),
            (path("deep.er.x"), "deepest".into()),
            (path("deep.er.missing"), "missing".into()),
            (path("grid[0][0]"), "corner".into()),
            (path("plain"), "copy".into()),
        ],
    };

    let (tags, warnings) = read(body, &output);

    assert_eq!(warnings, ["nested:rtb_other"]);
    let expected = [
        ("copy", "p"),
        ("corner", "1"),
        ("deepest", "y"),
        ("rtb_plain", "p"),
        ("seconds", "90"),
    ];
    assert_eq!(
        joined(&tags),
        expected.map(|(k, v)| (k.to_owned(), v.to_owned()))
    );
    let (tags, warnings) = read(body, &Output::default());
    assert_eq!(
        warnings,
        [
            "nested:bidTerms",
            "nested:deep",
            "nested:other",
            "nested:grid"
        ]
    );
    assert_eq!(
        joined(&tags),
        [
            ("grid".to_owned(), "2".to_owned()),
            ("plain".to_owned(), "p".to_owned())
        ]
    );
}

#[test]
fn what_cannot_be_a_tag_is_told_and_the_rest_counts() {
    let long = "v".repeat(257);
    let body = format!(
        r#"{{"a b": 1, "AFID": "x", "line\nbreak": 1, "long": ["{long}", "short"], "caller_zip": 1001, "half": "\ud800", "ok": "1"}}"#
    );

    let (tags, warnings) = read(&body, &Output::default());

    assert_eq!(
        joined(&tags),
        [
            ("long".to_owned(), "short".to_owned()),
            ("ok".to_owned(), "1".to_owned())
        ]
    );
    let mut expected = [
        "bad_key:a b",
        "bad_key:line\\nbreak",
        "bad_postal_code:caller_zip",
        "bad_value:long",
        "reserved:AFID",
    ];
    let mut warnings = warnings;
    warnings.sort();
    expected.sort();
    assert_eq!(warnings, expected);
}

#[test]
fn an_answer_has_a_bound() {
    let values: Vec<String> = (0..150).map(|value| value.to_string()).collect();
    let (tags, warnings) = read(
        &format!("{{\"k\": [{}]}}", values.join(",")),
        &Output::default(),
    );
    assert_eq!(all(&tags)["k"].len(), MOST_VALUES);
    assert_eq!(warnings, ["too many"]);

    let keys: Vec<String> = (0..500).map(|key| format!("\"call_{key}\": 1")).collect();
    let (tags, warnings) = read(&format!("{{{}}}", keys.join(",")), &Output::default());
    assert!(tags.is_empty());
    assert_eq!(warnings.len(), MOST_VALUES);

    let (_, warnings) = read(&" ".repeat(MOST_BODY + 1), &Output::default());
    assert_eq!(warnings, ["too long"]);
    let (_, warnings) = read(&"[".repeat(MOST_BODY), &Output::default());
    assert_eq!(warnings, ["not json"]);
    let nested = format!("{{\"a\": {}1{}}}", "[".repeat(30_000), "]".repeat(30_000));
    let (_, warnings) = read(&nested, &Output::default());
    assert_eq!(warnings, ["nested:a"]);
}

#[test]
fn an_answer_without_an_object_is_told_and_an_empty_one_is_not() {
    for (body, expected) in [
        ("", &[][..]),
        (" \r\n", &[]),
        ("\u{feff}{}", &[]),
        ("[1]", &["not an object"]),
        ("\"a\"", &["not an object"]),
        ("1", &["not an object"]),
        ("{\"a\": 1} x", &["not json"]),
        ("{\"a\": 1", &["not json"]),
        ("<html>", &["not json"]),
    ] {
        let (tags, warnings) = read(body, &Output::default());

        assert_eq!(warnings, expected, "{body}");
        assert!(tags.is_empty(), "{body}");
    }
}

#[test]
fn a_path_reads_as_it_was_written() {
    for text in ["a", "a.b", "a[0]", "a[0][12].b c.d"] {
        assert_eq!(path(text).to_string(), text);
    }
    for text in [
        "",
        ".",
        "a.",
        "[0]",
        "a[",
        "a[]",
        "a[x]",
        "a[1]b",
        "a]",
        "a[+1]",
        "a[99999999999999999999]",
    ] {
        assert_eq!(text.parse::<JsonPath>(), Err(PathFault::Syntax), "{text}");
    }
    assert_eq!(
        "a.b.c.d.e.f.g.h.i".parse::<JsonPath>(),
        Err(PathFault::TooLong)
    );
}

fn path(text: &str) -> JsonPath {
    text.parse().expect("a path")
}

fn read(body: &str, output: &Output) -> (Tags, Vec<String>) {
    let mut tags = Tags::default();
    let warnings = apply(body.as_bytes(), output, &mut tags);
    (tags, warnings.iter().map(ToString::to_string).collect())
}

fn all(tags: &Tags) -> Values {
    let mut all = Values::new();
    for tag in tags.iter() {
        all.entry(tag.key.to_string())
            .or_default()
            .push(tag.value.to_string());
    }
    all
}

fn joined(tags: &Tags) -> Vec<(String, String)> {
    let all = all(tags).into_iter();
    all.map(|(key, values)| (key, values.join(","))).collect()
}
