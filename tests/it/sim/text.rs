//! SIP as the simulator's own user agents read and write it: plain and small, with nothing of the edge's.

use bytes::Bytes;

/// One message, its fields in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Msg {
    /// Request line or status line.
    pub(crate) line: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Msg {
    pub(crate) fn new(line: impl Into<String>) -> Self {
        Self {
            line: line.into(),
            fields: Vec::new(),
            body: String::new(),
        }
    }

    /// Reads what the edge sent; panics if it is no SIP message at all.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").expect("a blank line");
        let mut lines = head.split("\r\n");
        let mut message = Self::new(lines.next().expect("a first line"));
        for line in lines {
            // A folded value goes on (RFC 3261 §7.3.1).
            if let (true, Some((_, value))) =
                (line.starts_with([' ', '\t']), message.fields.last_mut())
            {
                value.push_str(line);
                continue;
            }
            let (name, value) = line
                .split_once(':')
                .unwrap_or_else(|| panic!("no colon in {line:?} of {text:?}"));
            message
                .fields
                .push((name.to_owned(), value.trim().to_owned()));
        }
        body.clone_into(&mut message.body);
        message
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn with_body(mut self, kind: &str, body: impl Into<String>) -> Self {
        self.body = body.into();
        self.with("Content-Type", kind)
    }

    pub(crate) fn with_sdp(self, body: &str) -> Self {
        if body.is_empty() {
            self
        } else {
            self.with_body("application/sdp", body)
        }
    }

    /// Puts `value` in the place of the first `name`.
    pub(crate) fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        let field = self
            .fields
            .iter_mut()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .expect("the field is there");
        field.1 = value.into();
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.fields
            .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    /// The bytes, with Content-Length; `compact` writes the short names (RFC 3261 §7.3.3).
    pub(crate) fn bytes_as(&self, compact: bool) -> Bytes {
        let mut text = String::with_capacity(600);
        text.push_str(&self.line);
        for (name, value) in &self.fields {
            text.push_str("\r\n");
            text.push_str(if compact { short(name) } else { name });
            text.push_str(": ");
            text.push_str(value);
        }
        text.push_str(if compact {
            "\r\nl: "
        } else {
            "\r\nContent-Length: "
        });
        text.push_str(&self.body.len().to_string());
        text.push_str("\r\n\r\n");
        text.push_str(&self.body);
        Bytes::from(text)
    }

    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes_as(false)
    }

    pub(crate) fn is_request(&self) -> bool {
        !self.line.starts_with("SIP/2.0 ")
    }

    /// The method: of a response, that of its CSeq.
    pub(crate) fn method(&self) -> &str {
        if self.is_request() {
            self.line.split(' ').next().expect("a method")
        } else {
            self.value("CSeq").split(' ').nth(1).expect("a method")
        }
    }

    /// The status of a response; 0 for a request.
    pub(crate) fn status(&self) -> u16 {
        if self.is_request() {
            return 0;
        }
        let digits = self.line.split(' ').nth(1).expect("a status");
        digits.parse().expect("a status")
    }

    /// The Request-URI.
    pub(crate) fn uri(&self) -> &str {
        self.line.split(' ').nth(1).expect("a Request-URI")
    }

    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The first value of `name`; empty if there is none.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.first(name).unwrap_or_default()
    }

    pub(crate) fn all<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.fields
            .iter()
            .filter(move |(other, _)| {
                other.eq_ignore_ascii_case(name) || short(name).eq_ignore_ascii_case(other)
            })
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn cseq(&self) -> u32 {
        let digits = self.value("CSeq").split(' ').next().expect("a number");
        digits.parse().expect("a number")
    }

    pub(crate) fn branch(&self) -> &str {
        param(self.value("Via"), "branch").unwrap_or_default()
    }

    pub(crate) fn call_id(&self) -> &str {
        self.value("Call-ID")
    }

    pub(crate) fn tag_in_from(&self) -> &str {
        param(self.value("From"), "tag").unwrap_or_default()
    }

    pub(crate) fn tag_in_to(&self) -> Option<&str> {
        param(self.value("To"), "tag")
    }

    /// The URI of Contact.
    pub(crate) fn contact(&self) -> Option<&str> {
        uri_of(self.first("Contact")?)
    }

    /// What a response to this request repeats of it; `tag` goes into To if it has none.
    pub(crate) fn reply(&self, status: u16, tag: &str) -> Self {
        let mut reply = Self::new(format!("SIP/2.0 {status} {}", phrase(status)));
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            if name == "Record-Route" && !(101..300).contains(&status) {
                continue;
            }
            for value in self.all(name) {
                let needs_tag = name == "To" && status > 100 && self.tag_in_to().is_none();
                let value = if needs_tag {
                    format!("{value};tag={tag}")
                } else {
                    value.to_owned()
                };
                reply.fields.push((name.to_owned(), value));
            }
        }
        reply
    }

    /// `INVITE` or `200 INVITE`: what a ladder shows.
    pub(crate) fn summary(&self) -> String {
        if self.is_request() {
            self.method().to_owned()
        } else {
            format!("{} {}", self.status(), self.method())
        }
    }
}

/// The parameter `name` of a header value, outside `<` `>`.
pub(crate) fn param<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let outside = value.rsplit('>').next().unwrap_or(value);
    outside.split(';').skip(1).find_map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The URI between `<` and `>`.
pub(crate) fn uri_of(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once('<')?;
    rest.split_once('>').map(|(uri, _)| uri)
}

/// The value without its parameters outside `<` `>`.
pub(crate) fn bare(value: &str) -> &str {
    let end = value.find('>').map_or(value.len(), |at| at + 1);
    &value[..end]
}

fn short(name: &str) -> &str {
    match name {
        "Via" => "v",
        "From" => "f",
        "To" => "t",
        "Call-ID" => "i",
        "Contact" => "m",
        "Content-Type" => "c",
        "Content-Length" => "l",
        "Session-Expires" => "x",
        "Supported" => "k",
        other => other,
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        401 => "Unauthorized",
        407 => "Proxy Authentication Required",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        491 => "Request Pending",
        503 => "Service Unavailable",
        _ => "As It Is",
    }
}
