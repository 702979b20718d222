//! SIPp's message trace, read back: every message that one peer sent or received, in order.

/// One message.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Whether the peer received it (or sent it).
    pub(crate) received: bool,
    /// All of it.
    pub(crate) text: String,
}

impl Message {
    /// The first line.
    pub(crate) fn start(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// Values of all headers of this name (in any case), in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers()
            .filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    /// The value of the header of this name.
    ///
    /// # Panics
    /// If there is none, or more than one.
    pub(crate) fn one(&self, name: &str) -> &str {
        let values = self.all(name);
        assert_eq!(values.len(), 1, "{name} in:\n{}", self.text);
        values[0]
    }

    /// Names and values of all headers.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text
            .split("\r\n")
            .skip(1)
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim_end(), value.trim()))
    }

    /// The body.
    pub(crate) fn body(&self) -> &str {
        self.text
            .split_once("\r\n\r\n")
            .map_or("", |(_, body)| body)
    }
}

/// Reads a trace. Each message stands there as
///
/// ```text
/// ----------------------------------------------- 2026-11-21 03:21:06.391224
/// UDP message sent (767 bytes):                 or: TCP message received [292] bytes :
///
/// INVITE sip:...
/// ```
///
/// so the length is known; the rest of the text is of no interest.
pub(crate) fn read(trace: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut rest = trace;
    while let Some(at) = find(rest, b"P message ") {
        rest = &rest[at + b"P message ".len()..];
        let Some(line) = find(rest, b"\n\n") else {
            break;
        };
        let title = String::from_utf8_lossy(&rest[..line]).into_owned();
        rest = &rest[line + 2..];
        let digits: String = title.chars().filter(char::is_ascii_digit).collect();
        let length = digits.parse::<usize>().unwrap_or(0).min(rest.len());
        messages.push(Message {
            received: title.starts_with("received"),
            text: String::from_utf8_lossy(&rest[..length]).into_owned(),
        });
        rest = &rest[length..];
    }
    messages
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[test]
fn a_trace_is_read_message_by_message() {
    let trace = b"----- 2026-11-21 03:21:06.1\nUDP message sent (44 bytes):\n\nBYE sip:x SIP/2.0\r\n\
        X-Note: a\r\nx-note:b\r\n\r\nhi\n----- 2026-11-21 03:21:06.2\nTCP message received [18] bytes :\n\n\
        SIP/2.0 200 OK\r\n\r\n\n";

    let messages = read(trace);

    assert_eq!(messages.len(), 2);
    assert!(!messages[0].received);
    assert_eq!(messages[0].start(), "BYE sip:x SIP/2.0");
    assert_eq!(messages[0].all("X-NOTE"), ["a", "b"]);
    assert!(messages[0].body().starts_with("hi"));
    assert!(messages[1].received);
    assert_eq!(messages[1].start(), "SIP/2.0 200 OK");
}
