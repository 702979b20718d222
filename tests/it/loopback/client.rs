//! A little HTTP client, and a site whose routing data can be changed over HTTP.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::process::Process;
use super::site::Site;

pub(crate) const READER: &str = "reader-0123456789-canary";
pub(crate) const WRITER: &str = "writer-0123456789-canary";

/// What a site needs besides, so that its routing data can be changed.
pub(crate) const HTTP: &str = r#"
[[http.listen]]
bind = "127.0.0.1:0"

[[http.token]]
name = "reader"
secret = "reader-0123456789-canary"
scopes = ["read"]

[[http.token]]
name = "writer"
secret = "writer-0123456789-canary"
scopes = ["read", "write"]
"#;

/// Gives `site` what it needs, and `more` in `[http]`.
pub(crate) fn open(site: &Site, more: &str) {
    let text = std::fs::read_to_string(&site.config).unwrap();
    let text = text
        .replacen("[node]", "[node]\ndata_dir = \"data\"", 1)
        .replacen("[http]", &format!("[http]\n{more}"), 1);
    std::fs::write(&site.config, text + HTTP).unwrap();
}

/// The file of an object that came over HTTP.
pub(crate) fn file(site: &Site, name: &str) -> PathBuf {
    site.folder.path().join("data/directory").join(name)
}

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) token: Option<&'static str>,
}

/// What was answered.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Client {
    pub(super) fn of(process: &Process, token: &'static str) -> Self {
        Self {
            address: process.web[0],
            token: Some(token),
        }
    }

    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut stream = self.connect();
        stream
            .write_all(&self.request(method, path, headers, body))
            .unwrap();
        reply(&mut stream)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], b"")
    }

    pub(crate) fn put(&self, path: &str, condition: (&str, &str), body: &Value) -> Reply {
        self.ask("PUT", path, &[condition], body.to_string().as_bytes())
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<u8> {
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n");
        if let Some(token) = self.token {
            write!(head, "Authorization: Bearer {token}\r\n").unwrap();
        }
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        write!(head, "Content-Length: {}\r\n\r\n", body.len()).unwrap();
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        request
    }
}

/// Reads the answer to the end of the connection.
pub(crate) fn reply(stream: &mut impl Read) -> Reply {
    let mut answer = Vec::new();
    // A peer that closes while we still write resets the connection; what it said before counts.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Reply {
        status: head
            .split(' ')
            .nth(1)
            .map_or(0, |status| status.parse().unwrap()),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}\n{}", self.head, self.body))
    }
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
