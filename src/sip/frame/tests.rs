use super::*;

const MESSAGE: &str = "OPTIONS sip:a SIP/2.0\r\nl: 4\r\n\r\nbody";

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut out = Vec::new();
    StreamFramer::new().handle_bytes(bytes, &mut out);
    out
}

fn message(text: &str) -> Frame {
    Frame::Message(Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn a_datagram_without_a_message_is_passed_over() {
    for junk in [
        &b""[..],
        b"\r\n\r\n",
        b"\0\0\0\0",
        b"\n",
        b" ",
        b"\x00\x01\x00\x00\x21\x12\xa4\x42",
    ] {
        assert_eq!(datagram(junk), None, "{junk:?}");
    }
    assert_eq!(datagram(b"\r\n\r\nX"), Some(&b"X"[..]));
}

#[test]
fn messages_come_out_whole_wherever_the_stream_is_split() {
    let stream = format!("\r\n{MESSAGE}\r\n\r\n{MESSAGE}{MESSAGE}\r\n\r\n\r\n\r\nOPT");
    let expected = [
        message(MESSAGE),
        Frame::Ping,
        message(MESSAGE),
        message(MESSAGE),
        Frame::Ping,
        Frame::Ping,
    ];
    assert_eq!(frames(stream.as_bytes()), expected);

    for split in 0..stream.len() {
        let (first, rest) = stream.as_bytes().split_at(split);
        let mut framer = StreamFramer::new();
        let mut out = Vec::new();
        framer.handle_bytes(first, &mut out);
        framer.handle_bytes(rest, &mut out);

        assert_eq!(out, expected, "split at {split}");
        assert_eq!(framer.pending(), 3);
    }
}

#[test]
fn a_stream_that_cannot_be_read_on_is_broken_once_and_for_all() {
    let table = [
        (
            "A b\r\nTo: x\r\n\r\n",
            ParseError::Missing(Name::ContentLength),
        ),
        ("A b\r\nl: -1\r\n\r\n", ParseError::ContentLength),
        ("A b\r\nl: 1\r\nl: 2\r\n\r\n", ParseError::ContentLength),
        ("A b\r\nl: 2147483648\r\n\r\n", ParseError::MessageTooLong),
        ("A b\r\nl: 65536\r\n\r\n", ParseError::MessageTooLong),
        ("A b\r\nX\0: y\r\nl: 0\r\n\r\n", ParseError::Nul),
        ("A b\r\nX y\r\nl: 0\r\n\r\n", ParseError::HeaderName),
        ("A b\nc\r\nl: 0\r\n\r\n", ParseError::LineBreak),
        ("\rA", ParseError::LineBreak),
        ("\n", ParseError::LineBreak),
        ("\0\0", ParseError::Nul),
    ];
    for (text, error) in table {
        let mut framer = StreamFramer::new();
        let mut out = Vec::new();
        framer.handle_bytes(text.as_bytes(), &mut out);
        framer.handle_bytes(MESSAGE.as_bytes(), &mut out);

        let seen = if text.ends_with("\r\n\r\n") { text } else { "" };
        let head = Bytes::copy_from_slice(seen.as_bytes());
        assert_eq!(out, [Frame::Broken { error, head }], "{text:?}");
        assert_eq!(framer.pending(), 0);
    }
}

#[test]
fn the_largest_message_passes_and_nothing_larger_is_kept() {
    let head = "A b\r\nl: 65000\r\nX: ";
    let fill = "y".repeat(MAX_MESSAGE - 65_000 - head.len() - 4);
    let largest = format!("{head}{fill}\r\n\r\n{}", "z".repeat(65_000));
    assert_eq!(largest.len(), MAX_MESSAGE);
    let mut framer = StreamFramer::new();
    let mut out = Vec::new();
    framer.handle_bytes(largest.as_bytes(), &mut out);
    assert_eq!(out, [message(&largest)]);
    assert!(framer.buffer.capacity() <= KEPT);

    let endless = vec![b'x'; MAX_MESSAGE * 3];
    let mut framer = StreamFramer::new();
    let mut out = Vec::new();
    for piece in endless.chunks(1000) {
        framer.handle_bytes(piece, &mut out);
        assert!(framer.pending() <= MAX_MESSAGE);
    }
    assert_eq!(out, frames(&endless));
    assert!(matches!(
        out[..],
        [Frame::Broken {
            error: ParseError::MessageTooLong,
            ..
        }]
    ));
}
