//! An HTTP server under the test's control: it notes what it is asked and when, and answers as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// One request, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) at: Instant,
}

impl Asked {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(one, _)| one == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What is answered to requests whose path begins like this.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) path: &'static str,
    pub(crate) status: u16,
    pub(crate) body: &'static str,
    /// How long the answer is kept back.
    pub(crate) after: Duration,
}

/// The server; it works until the test is over.
pub(crate) struct Web {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    answered: Arc<Mutex<Vec<Instant>>>,
}

impl Web {
    /// Serves on a free port of `address`. What no answer is told for gets 204.
    pub(crate) fn start(address: Ipv4Addr, told: Vec<Told>) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answered = Arc::new(Mutex::new(Vec::new()));
        let notes = (Arc::clone(&asked), Arc::clone(&answered));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let ((asked, answered), told) = (notes.clone(), told.clone());
                thread::spawn(move || serve(stream, &asked, &answered, &told));
            }
        });
        Self {
            address,
            asked,
            answered,
        }
    }

    /// `http://127.0.0.1:1234`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("nobody panics").clone()
    }

    /// When each answer so far had been sent, in order.
    pub(crate) fn answered(&self) -> Vec<Instant> {
        self.answered.lock().expect("nobody panics").clone()
    }

    /// So many requests, as soon as they are there.
    pub(crate) fn awaits(&self, count: usize) -> Vec<Asked> {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let asked = self.asked();
            if asked.len() >= count {
                return asked;
            }
            assert!(
                Instant::now() < until,
                "{count} requests wanted: {asked:#?}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn serve(
    stream: TcpStream,
    notes: &Mutex<Vec<Asked>>,
    answered: &Mutex<Vec<Instant>>,
    told: &[Told],
) {
    let mut writer = stream.try_clone().expect("a second hand");
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader) {
        let found = told.iter().find(|one| asked.target.starts_with(one.path));
        notes.lock().expect("nobody panics").push(asked.clone());
        let (status, body) = match found {
            Some(told) => {
                thread::sleep(told.after);
                (told.status, told.body)
            }
            None => (204, ""),
        };
        let answer = format!(
            "HTTP/1.1 {status} Told\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
        answered.lock().expect("nobody panics").push(Instant::now());
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let at = Instant::now();
    let mut parts = line.split(' ');
    let target = parts.nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut asked = Asked {
        target,
        headers,
        body: String::new(),
        at,
    };
    let length = asked.header("content-length");
    let length = length.map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    asked.body = String::from_utf8(body).expect("text");
    Some(asked)
}
