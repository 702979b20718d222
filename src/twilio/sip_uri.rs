//! SIP addresses as `<Sip>` takes them, with headers for the INVITE in the URI. Twilio drops a header that breaks its rules
//! with nothing but a warning, and the call goes on without it: so the rules are kept here.
//!
//! ```text
//! sip:+18005551234@sip.edge.example.com:5061;transport=tls;secure=true?X-Strowger-Ticket=v1...&X-PH-RetreaverSID=tv%2520ad
//! `--------------------- under 255 characters ---------------------´ `------------- under 1024 characters -------------´
//! ```

use std::fmt::Write as _;

use thiserror::Error;

use crate::types::secret::Secret;

/// An address that Twilio can call.
#[derive(Clone)]
pub struct SipUri {
    /// The user part, not encoded.
    pub user: Box<str>,
    /// The host: a name, or an IPv4 address. Twilio looks for no SRV records.
    pub host: Box<str>,
    /// The port; `None`: the transport's own.
    pub port: Option<u16>,
    /// How it is called.
    pub transport: Transport,
    /// From where Twilio calls (`ashburn`, ...); `None`: from where it likes.
    pub edge: Option<Box<str>>,
    /// Headers of the INVITE: names and values, not encoded.
    pub headers: Vec<(Box<str>, String)>,
    /// What Twilio answers a challenge with.
    pub credentials: Option<Credentials>,
}

/// A user and a password.
#[derive(Clone)]
pub struct Credentials {
    /// The user.
    pub username: Box<str>,
    /// The password.
    pub password: Secret,
}

/// How an address is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS, and RTP in the clear.
    Tls,
    /// TLS and SRTP.
    Secure,
}

impl Transport {
    fn parameters(self) -> &'static str {
        match self {
            Self::Udp => ";transport=udp",
            Self::Tcp => ";transport=tcp",
            Self::Tls => ";transport=tls",
            Self::Secure => ";transport=tls;secure=true",
        }
    }
}

/// Why Twilio would not call an address as it is.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UriFault {
    /// The host is empty or has other characters than a name.
    #[error("no host that can be called")]
    Host,
    /// The edge is no word.
    #[error("no such edge")]
    Edge,
    /// A header that Twilio does not send: its name is no token, is Twilio's own, or does not begin with `X-`.
    #[error("header {0:?} would not be sent")]
    Header(Box<str>),
    /// A header's value holds a control character, or one that is not ASCII.
    #[error("the value of header {0:?} would not be sent")]
    Value(Box<str>),
    /// The address has 255 characters or more.
    #[error("an address of 255 characters or more")]
    TooLong,
    /// The headers have 1024 characters or more.
    #[error("headers of 1024 characters or more")]
    HeadersTooLong,
    /// The user has 256 characters or more (Twilio's error 21221), or the password is no text.
    #[error("credentials that cannot be sent")]
    Credentials,
}

impl SipUri {
    /// Writes it.
    pub fn write(&self) -> Result<String, UriFault> {
        if !is_name(&self.host) {
            return Err(UriFault::Host);
        }
        let mut text = String::from("sip:");
        if !self.user.is_empty() {
            encode_into(&self.user, KEPT_IN_USER, &mut text);
            text.push('@');
        }
        text.push_str(&self.host);
        if let Some(port) = self.port {
            // Writing to a `String` does not fail.
            let _ = write!(text, ":{port}");
        }
        text.push_str(self.transport.parameters());
        if let Some(edge) = &self.edge {
            let is_word =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if edge.is_empty() || !edge.bytes().all(is_word) {
                return Err(UriFault::Edge);
            }
            text.push_str(";edge=");
            text.push_str(edge);
        }
        if text.len() >= MOST_ADDRESS {
            return Err(UriFault::TooLong);
        }
        let headers = self.write_headers()?;
        if !headers.is_empty() {
            text.push('?');
            text.push_str(&headers);
        }
        Ok(text)
    }

    fn write_headers(&self) -> Result<String, UriFault> {
        let mut text = String::new();
        for (name, value) in &self.headers {
            if !is_sent(name) {
                return Err(UriFault::Header(name.clone()));
            }
            if !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
                return Err(UriFault::Value(name.clone()));
            }
            if !text.is_empty() {
                text.push('&');
            }
            text.push_str(name);
            text.push('=');
            encode_into(value, KEPT, &mut text);
        }
        if text.len() >= MOST_HEADERS {
            return Err(UriFault::HeadersTooLong);
        }
        Ok(text)
    }
}

impl Credentials {
    /// User and password as text.
    pub fn texts(&self) -> Result<(&str, &str), UriFault> {
        let password = str::from_utf8(self.password.expose()).map_err(|_| UriFault::Credentials)?;
        let is_plain = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        let fits = self.username.chars().count() < MOST_USER;
        if !fits || !is_plain(&self.username) || !is_plain(password) {
            return Err(UriFault::Credentials);
        }
        Ok((&self.username, password))
    }
}

/// Whether Twilio sends a header of this name.
#[must_use]
pub fn is_sent(name: &str) -> bool {
    let starts_with = |start: &str| {
        let head = name.get(..start.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(start))
    };
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_custom = starts_with("x-") && !starts_with("x-twilio") && name.len() > 2;
    let is_known = OTHERS.iter().any(|other| name.eq_ignore_ascii_case(other));
    name.bytes().all(is_token) && (is_custom || is_known)
}

fn is_name(host: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    !host.is_empty() && !host.starts_with(['-', '.']) && host.bytes().all(is_letter)
}

fn encode_into(text: &str, kept: &[u8], out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// What stands in a header's value as it is, besides letters and digits (RFC 3261 §25.1 `mark`).
const KEPT: &[u8] = b"-_.!~*'()";
/// The same for the user part, where a number begins with `+`.
const KEPT_IN_USER: &[u8] = b"-_.!~*'()+";
/// Characters of the address, headers apart.
const MOST_ADDRESS: usize = 255;
/// Characters of all headers as they are written.
const MOST_HEADERS: usize = 1024;
/// Characters of the user of credentials.
const MOST_USER: usize = 256;

/// What Twilio sends, besides `X-`.
const OTHERS: [&str; 4] = [
    "User-to-User",
    "Remote-Party-ID",
    "P-Preferred-Identity",
    "P-Called-Party-ID",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_with_all_that_it_has() {
        let uri = SipUri {
            port: Some(5061),
            transport: Transport::Secure,
            edge: Some("ashburn".into()),
            headers: vec![
                ("X-PH-RetreaverSID".into(), "a b+c&d=e;f%20'(~)'".into()),
                ("x-lower".into(), String::new()),
                ("User-to-User".into(), "123;encoding=hex".into()),
            ],
            ..address()
        };

        assert_eq!(
            uri.write().as_deref(),
            Ok(
                "sip:+18005551234@sip.example.com:5061;transport=tls;secure=true;edge=ashburn\
                ?X-PH-RetreaverSID=a%20b%2Bc%26d%3De%3Bf%2520'(~)'&x-lower=&User-to-User=123%3Bencoding%3Dhex"
            )
        );
        let odd = SipUri {
            user: "a b@c;d?e:f".into(),
            ..address()
        };
        assert_eq!(
            odd.write().as_deref(),
            Ok("sip:a%20b%40c%3Bd%3Fe%3Af@sip.example.com;transport=udp")
        );
        let nobody = SipUri {
            user: "".into(),
            ..address()
        };
        assert_eq!(
            nobody.write().as_deref(),
            Ok("sip:sip.example.com;transport=udp")
        );
    }

    #[test]
    fn what_twilio_would_drop_is_refused() {
        for bad in [
            "X-Twilio-CallSid",
            "x-TWILIO",
            "X-",
            "",
            "From",
            "X-A B",
            "X-A:",
            "X-\u{e9}",
            "X-A\r\n",
        ] {
            assert!(!is_sent(bad), "{bad:?}");
            let uri = SipUri {
                headers: vec![(bad.into(), "1".into())],
                ..address()
            };
            assert_eq!(uri.write(), Err(UriFault::Header(bad.into())));
        }
        for bad in ["a\r\nVia: x", "\0", "\u{e9}", "\u{7f}"] {
            let uri = SipUri {
                headers: vec![("X-A".into(), bad.into())],
                ..address()
            };
            assert_eq!(uri.write(), Err(UriFault::Value("X-A".into())));
        }
        for bad in ["", "a b", "a;b", "a_b", "a@b", "[::1]", "-a", ".a"] {
            let uri = SipUri {
                host: bad.into(),
                ..address()
            };
            assert_eq!(uri.write(), Err(UriFault::Host), "{bad}");
        }
        for bad in ["", "Ashburn", "a;b"] {
            let uri = SipUri {
                edge: Some(bad.into()),
                ..address()
            };
            assert_eq!(uri.write(), Err(UriFault::Edge), "{bad}");
        }
    }

    #[test]
    fn lengths_are_those_that_twilio_takes() {
        let with_user = |length: usize| SipUri {
            user: "a".repeat(length).into(),
            ..address()
        };
        // sip: @sip.example.com;transport=udp are 34 characters.
        assert_eq!(with_user(220).write().map(|text| text.len()), Ok(254));
        assert_eq!(with_user(221).write(), Err(UriFault::TooLong));

        let with_value = |length: usize| SipUri {
            headers: vec![("X-A".into(), "a".repeat(length))],
            ..address()
        };
        assert!(with_value(1019).write().is_ok());
        assert_eq!(with_value(1020).write(), Err(UriFault::HeadersTooLong));

        let user = |length: usize| Credentials {
            username: "u".repeat(length).into(),
            password: Secret::new(*b"p"),
        };
        assert!(user(255).texts().is_ok());
        assert_eq!(user(256).texts(), Err(UriFault::Credentials));
    }

    fn address() -> SipUri {
        SipUri {
            user: "+18005551234".into(),
            host: "sip.example.com".into(),
            port: None,
            transport: Transport::Udp,
            edge: None,
            headers: Vec::new(),
            credentials: None,
        }
    }
}
