//! Where the world reaches us: what every URL that we hand out begins with, and every URL that others sign.
//!
//! It comes from the configuration. What a request says of its own host is whatever its sender, or a proxy, wrote there.

use std::fmt;

use thiserror::Error;

/// `https://edge.example.com:8443/strowger`, without anything after the path, and no `/` at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    text: Box<str>,
    /// Where the host ends.
    host_end: usize,
    /// Where the path begins; between them is the port, if there is one.
    path: usize,
    port: u16,
}

/// Why a text is no such URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UrlFault {
    /// It begins with something else.
    #[error("begins with neither https:// nor http://")]
    Scheme,
    /// There is a user in it, which would be told to everybody.
    #[error("a user does not belong here")]
    User,
    /// There is no host, or it has characters that a host has not.
    #[error("no host, or none that can be reached")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("the port is no number from 1 to 65535")]
    Port,
    /// There is a query or a fragment, or the path has characters that a path has not.
    #[error("after the host there may be a path, and nothing else")]
    Path,
}

impl PublicUrl {
    /// Reads it. One `/` at the end is dropped.
    pub fn parse(text: &str) -> Result<Self, UrlFault> {
        let (start, standard) = SCHEMES
            .iter()
            .find(|(start, _)| text.starts_with(start))
            .ok_or(UrlFault::Scheme)?;
        let rest = text.get(start.len()..).unwrap_or_default();
        let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(authority);
        if authority.contains('@') {
            return Err(UrlFault::User);
        }
        let (host, port) = split_port(authority)?;
        if !is_host(host) {
            return Err(UrlFault::Host);
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        let is_plain = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~')
        };
        if !path.bytes().all(is_plain) || path.contains("//") || path.ends_with('/') {
            return Err(UrlFault::Path);
        }
        let host_end = start.len() + host.len();
        Ok(Self {
            text: format!("{start}{authority}{path}").into(),
            host_end,
            path: start.len() + authority.len(),
            port: port.unwrap_or(*standard),
        })
    }

    /// The text, to which `/path?query` is added.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether signatures over an address that somebody set up elsewhere could be checked here: it is below this URL, letter
    /// for letter, at the same port. A user in it and what follows `#` are not signed. Asked at the start, so that a wrong
    /// base is found before it refuses every call.
    #[must_use]
    pub fn is_above(&self, configured: &str) -> bool {
        let address = configured.split('#').next().unwrap_or_default();
        let Some((scheme, rest)) = address.split_once("://") else {
            return false;
        };
        let authority = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(authority);
        let host = authority.rsplit('@').next().unwrap_or_default();
        let Ok((host, port)) = split_port(host) else {
            return false;
        };
        let start = [scheme, "://"].concat();
        let standard = SCHEMES.iter().find(|(own, _)| *own == start);
        let port = port.or(standard.map(|(_, port)| *port));
        let Some(own) = self.text.get(..self.host_end) else {
            return false;
        };
        let path = self.text.get(self.path..).unwrap_or_default();
        let below = target.strip_prefix(path);
        [&start, host].concat() == own
            && port == Some(self.port)
            && below.is_some_and(|below| below.is_empty() || below.starts_with(['/', '?']))
    }

    /// The URLs that a request for `target` (path and query as they stood in the request) may have been signed under: without
    /// a port, and with the one that is configured, or else the standard one. Signers differ in which of them they take.
    #[must_use]
    pub fn signed_forms(&self, target: &str) -> [String; 2] {
        let host = self.text.get(..self.host_end).unwrap_or_default();
        let path = self.text.get(self.path..).unwrap_or_default();
        [
            [host, path, target].concat(),
            format!("{host}:{}{path}{target}", self.port),
        ]
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), UrlFault> {
    // The colons of an IPv6 address stand between brackets.
    let from = authority.rfind(']').unwrap_or(0);
    let Some(at) = authority.get(from..).and_then(|rest| rest.find(':')) else {
        return Ok((authority, None));
    };
    let (host, port) = authority.split_at(from + at);
    let digits = port.get(1..).unwrap_or_default();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.parse().ok().filter(|port| is_number && *port > 0);
    port.map(|port| (host, Some(port))).ok_or(UrlFault::Port)
}

fn is_host(host: &str) -> bool {
    let inside = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if let Some(address) = inside {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    // Twilio refuses a host with `_`.
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    !host.is_empty() && host.len() <= 253 && host.bytes().all(is_letter)
}

const SCHEMES: [(&str, u16); 4] = [
    ("https://", 443),
    ("http://", 80),
    ("wss://", 443),
    ("ws://", 80),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_may_be_signed_with_or_without_its_port() {
        let forms = |base: &str, target: &str| {
            let url = PublicUrl::parse(base).expect("a URL");
            url.signed_forms(target)
        };

        assert_eq!(
            forms("https://e.example.com", "/v?a=1"),
            [
                "https://e.example.com/v?a=1",
                "https://e.example.com:443/v?a=1"
            ]
        );
        assert_eq!(
            forms("http://E.example.com:8080/x/", "/v?"),
            [
                "http://E.example.com/x/v?",
                "http://E.example.com:8080/x/v?"
            ]
        );
        assert_eq!(
            forms("https://[2001:db8::1]:8443", "/v"),
            ["https://[2001:db8::1]/v", "https://[2001:db8::1]:8443/v"]
        );
        assert_eq!(
            forms("http://[2001:db8::1]", ""),
            ["http://[2001:db8::1]", "http://[2001:db8::1]:80"]
        );
    }

    #[test]
    fn an_address_that_could_not_be_checked_is_known_at_the_start() {
        let base = PublicUrl::parse("https://e.example.com/x").expect("a URL");

        for good in [
            "https://e.example.com/x/connect/webhook/twilio/voice?orgid=a",
            "https://e.example.com:443/x/v",
            "https://user:pw@e.example.com/x/v#rc=2",
            "https://e.example.com/x?a",
            "https://e.example.com/x",
        ] {
            assert!(base.is_above(good), "{good}");
        }
        for bad in [
            "",
            "/x/v",
            "http://e.example.com/x/v",
            "https://E.example.com/x/v",
            "https://e.example.com:8443/x/v",
            "https://e.example.com/y/v",
            "https://e.example.com/xy",
            "https://e.example.com.evil/x/v",
            "https://e.example.com@evil/x/v",
            "https://e.example.com:/x/v",
        ] {
            assert!(!base.is_above(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_no_place_for_the_world_is_refused() {
        for (bad, fault) in [
            ("", UrlFault::Scheme),
            ("ftp://e.example.com", UrlFault::Scheme),
            ("HTTPS://e.example.com", UrlFault::Scheme),
            ("https://user:pw@e.example.com", UrlFault::User),
            ("https://", UrlFault::Host),
            ("https:///v", UrlFault::Host),
            ("https://my_host.example.com", UrlFault::Host),
            ("https://[::1", UrlFault::Port),
            ("https://[::g]", UrlFault::Host),
            ("https://e.example.com:0", UrlFault::Port),
            ("https://e.example.com:", UrlFault::Port),
            ("https://e.example.com:+1", UrlFault::Port),
            ("https://e.example.com:65536", UrlFault::Port),
            ("https://e.example.com?x", UrlFault::Path),
            ("https://e.example.com/#x", UrlFault::Path),
            ("https://e.example.com//", UrlFault::Path),
            ("https://e.example.com/a b", UrlFault::Path),
        ] {
            assert_eq!(PublicUrl::parse(bad), Err(fault), "{bad}");
        }
    }
}
