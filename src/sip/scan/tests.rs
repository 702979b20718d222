use super::*;

fn scan(head: &str) -> Result<Head<'_>, ParseError> {
    scan_head(head.as_bytes(), 0)
}

/// The fault of a head made of `lines`.
fn fault(lines: &str) -> ParseError {
    scan(&format!("{lines}\r\n\r\n")).expect_err(lines)
}

#[test]
fn a_head_is_an_index_of_its_lines() {
    let head = scan("v: a\r\nX-Any:\t b c \r\nsubject :x\r\n\r\nbody").unwrap();

    let lines: Vec<_> = head
        .fields()
        .iter()
        .map(|field| (field.name, head.raw_name(field), head.value(field)))
        .collect();
    let expected: [(Name, &[u8], &[u8]); 3] = [
        (Name::Via, b"v", b"a"),
        (Name::Other, b"X-Any", b"b c"),
        (Name::Subject, b"subject", b"x"),
    ];
    assert_eq!(lines, expected);
    assert_eq!(head.body(), b"body");
}

#[test]
fn headers_are_found_by_name() {
    let head = scan("Route: 1\r\nVia: 2\r\nRoute: 3\r\n\r\n").unwrap();

    assert_eq!(head.first(Name::Route), Some(&b"1"[..]));
    assert_eq!(head.first(Name::To), None);
    assert_eq!(head.first(Name::Other), None);
    let routes: Vec<_> = head.all(Name::Route).collect();
    assert_eq!(routes, [b"1", b"3"]);
    assert_eq!(head.all(Name::To).count(), 0);
}

#[test]
fn a_folded_value_keeps_its_folds_inside_only() {
    let head = scan("Subject: \r\n a\r\n\tb\r\n \r\nTo: c\r\n\r\n").unwrap();

    let [subject, to] = head.fields() else {
        panic!("two headers");
    };
    assert_eq!(head.value(subject), b"a\r\n\tb");
    assert!(subject.folded);
    assert_eq!(head.value(to), b"c");
    assert!(!to.folded);
}

#[test]
fn what_another_reader_may_take_for_something_else_is_refused() {
    let table = [
        ("A: b\0c", ParseError::Nul),
        ("A\0: b", ParseError::Nul),
        ("A: b\rc", ParseError::LineBreak),
        ("A: b\nB: c", ParseError::LineBreak),
        ("A\n: b", ParseError::LineBreak),
        ("A\r: b", ParseError::LineBreak),
        ("A: b\r\r\nB: c", ParseError::LineBreak),
        ("A: b\r", ParseError::LineBreak),
        ("\nA: b", ParseError::LineBreak),
        ("A\u{ff}: b", ParseError::HeaderName),
        ("A\u{a0}: b", ParseError::HeaderName),
        ("A\x01: b", ParseError::HeaderName),
        ("A B: c", ParseError::HeaderName),
        (": b", ParseError::HeaderName),
        (" A: b", ParseError::HeaderName),
        ("A b", ParseError::HeaderName),
        ("A\r\n : b", ParseError::HeaderName),
        ("From: a\r\nf: b", ParseError::Repeated(Name::From)),
        ("t: a\r\nTo: b", ParseError::Repeated(Name::To)),
        ("CSeq: a\r\nCSeq: b", ParseError::Repeated(Name::CSeq)),
        ("Call-ID: a\r\ni: b", ParseError::Repeated(Name::CallId)),
        (
            "Max-Forwards: 1\r\nMax-Forwards: 1",
            ParseError::Repeated(Name::MaxForwards),
        ),
        ("l: 1\r\nContent-Length: 2", ParseError::ContentLength),
        ("Content-Length: -1", ParseError::ContentLength),
        ("Content-Length: 0x10", ParseError::ContentLength),
        ("Content-Length: 1 1", ParseError::ContentLength),
        ("Content-Length: +1", ParseError::ContentLength),
        ("Content-Length:", ParseError::ContentLength),
        ("Content-Length: 4294967296", ParseError::ContentLength),
        (
            "Content-Length: 18446744073709551616",
            ParseError::ContentLength,
        ),
        ("Content-Length: 1", ParseError::ShortBody),
        ("Content-Length: 4294967295", ParseError::ShortBody),
    ];
    for (lines, expected) in table {
        assert_eq!(fault(lines), expected, "{lines:?}");
    }
    for head in ["", "A: b", "A: b\r\n", "A: b\r\n c\r\n"] {
        assert_eq!(scan(head).unwrap_err(), ParseError::NoBlankLine, "{head:?}");
    }
}

#[test]
fn the_body_is_as_long_as_content_length_says() {
    for (head, body) in [
        ("Content-Length: 2\r\n\r\nabcd", "ab"),
        ("Content-Length: 0\r\n\r\nabcd", ""),
        ("l: 002\r\nContent-Length : 2 \r\n\r\nabcd", "ab"),
        ("To: x\r\n\r\nabcd", "abcd"),
        ("l: 5\r\n\r\n\0\r\n\n\r", "\0\r\n\n\r"),
    ] {
        assert_eq!(scan(head).unwrap().body(), body.as_bytes(), "{head:?}");
    }
}

#[test]
fn at_each_limit_is_well_and_over_it_is_not() {
    let lines = |count: usize| "X: y\r\n".repeat(count) + "\r\n";
    assert_eq!(
        scan(&lines(MAX_HEADERS)).unwrap().fields().len(),
        MAX_HEADERS
    );
    assert_eq!(
        scan(&lines(MAX_HEADERS + 1)).unwrap_err(),
        ParseError::TooManyHeaders
    );

    let line = |length: usize| format!("X: {}\r\n\r\n", "y".repeat(length - 3));
    assert!(scan(&line(MAX_LINE)).is_ok());
    assert_eq!(
        scan(&line(MAX_LINE + 1)).unwrap_err(),
        ParseError::HeaderTooLong
    );

    let vias = |count: usize| format!("Via: a{}\r\nv: b\r\n\r\n", ",a".repeat(count - 2));
    assert!(scan(&vias(MAX_VIAS)).is_ok());
    assert_eq!(
        scan(&vias(MAX_VIAS + 1)).unwrap_err(),
        ParseError::TooManyVias
    );

    let message = |length: usize| format!("X: y\r\n\r\n{}", "z".repeat(length - 8));
    assert_eq!(
        scan(&message(MAX_MESSAGE)).unwrap().body().len(),
        MAX_MESSAGE - 8
    );
    assert_eq!(
        scan(&message(MAX_MESSAGE + 1)).unwrap_err(),
        ParseError::MessageTooLong
    );
}

#[test]
fn names_behind_the_inline_room_are_found_too() {
    let head = "X: y\r\n".repeat(MAX_HEADERS - 1) + "To: z\r\n\r\n";

    assert_eq!(scan(&head).unwrap().first(Name::To), Some(&b"z"[..]));
}
