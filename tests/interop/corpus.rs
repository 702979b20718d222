//! The shared collection of messages against the running edge: over UDP and over TCP, in a network that has nothing but
//! loopback, so that whatever a message names as Route, Via or Contact leads nowhere.
//!
//! The edge serves the host that each request is addressed to and lists the sender, as in the test of the engine alone.
//! Messages that share a Call-ID or a branch go to different edges, for a second one would be a repetition of the first.
//! After each message an OPTIONS must be answered, within a second as a rule. As the edge answers what comes along one socket in
//! order, all that comes before that answer is the message's own; there is no other wait for silence.
//!
//! Where the collection is missing, the tests say so and pass.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::net::SocketAddrV4;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;

use crate::alone::is_alone;
use crate::collection::agrees;
use crate::collection::host_of;
use crate::collection::on_a_stream;
use crate::collection::shared_corpus;
use crate::edge::Edge;
use crate::process::show;
use crate::site::BY_ADDRESS;
use crate::site::Site;

/// Messages on which edge and manifest differ over UDP, and why the edge is right to.
const DISAGREEMENTS: &[(&str, &str)] = &[];

/// The same over TCP.
const STREAM_DISAGREEMENTS: &[(&str, &str)] = &[];

/// Within this time 99 of 100 OPTIONS must be answered. A stream on which none was so far is taken to be spoilt.
const ALIVE: Duration = Duration::from_secs(1);

/// Within this time each must be, also on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(5);

/// Messages of one edge that are tried at once: those that spoil their stream take long.
const AT_ONCE: usize = 16;

#[test]
fn the_edge_answers_every_message_over_udp_as_its_manifest_says() {
    let name = "corpus::the_edge_answers_every_message_over_udp_as_its_manifest_says";
    if let Some(corpus) = corpus_alone(name) {
        judge_all(&corpus, DISAGREEMENTS, Clone::clone, over_udp);
    }
}

#[test]
fn the_edge_answers_every_message_over_tcp_as_its_manifest_says() {
    let name = "corpus::the_edge_answers_every_message_over_tcp_as_its_manifest_says";
    if let Some(corpus) = corpus_alone(name) {
        judge_all(&corpus, STREAM_DISAGREEMENTS, on_a_stream, over_tcp);
    }
}

/// The collection, in a process that has a network of its own. `None`: there is none, or the test has run in such a process.
fn corpus_alone(test: &str) -> Option<Vec<Specimen>> {
    let Some(folder) = shared_corpus() else {
        show("../shared is missing: its messages were NOT tried; set STROWGER_SHARED to its path");
        return None;
    };
    is_alone(test, "true").then(|| read(&folder))
}

/// One message of the collection.
struct Specimen {
    name: String,
    bytes: Vec<u8>,
    expect: Value,
}

fn read(folder: &Path) -> Vec<Specimen> {
    let manifest = fs::read_to_string(folder.join("manifest.json")).expect("it is there");
    let manifest: Value = serde_json::from_str(&manifest).expect("it is JSON");
    let messages = manifest["messages"].as_array().expect("a list");
    let specimen = |message: &Value| {
        let file = message["file"].as_str().expect("a file");
        Specimen {
            name: message["name"].as_str().expect("a name").to_owned(),
            bytes: fs::read(folder.join(file)).expect("a readable message"),
            expect: message["expect"].clone(),
        }
    };
    messages.iter().map(specimen).collect()
}

/// Tries all of them, and compares those that differ with those that are listed.
fn judge_all(
    corpus: &[Specimen],
    listed: &[(&str, &str)],
    expected: fn(&Value) -> Value,
    answers: fn(SocketAddrV4, &[u8]) -> Answers,
) {
    let mut found = BTreeMap::new();
    let mut times = Vec::new();
    let groups = groups(corpus);
    for group in &groups {
        let mut site = Site::new();
        site.list(Ipv4Addr::LOCALHOST);
        site.buyer("nobody");
        for specimen in group {
            site.serve(host_of(&specimen.bytes));
        }
        let _edge = Edge::start(&site);
        let address = SocketAddrV4::new(site.edge(), 5060);
        let all = thread::scope(|scope| {
            let shares = group.chunks(group.len().div_ceil(AT_ONCE));
            let threads: Vec<_> = shares
                .map(|share| {
                    let try_one = |one: &&Specimen| answers(address, &one.bytes);
                    scope.spawn(move || share.iter().map(try_one).collect::<Vec<_>>())
                })
                .collect();
            let ends = threads.into_iter();
            ends.flat_map(|thread| thread.join().expect("a well thread"))
                .collect::<Vec<_>>()
        });
        for (specimen, got) in group.iter().zip(all) {
            let name = specimen.name.as_str();
            assert!(got.alive < PATIENCE, "no answer to an OPTIONS after {name}");
            times.push(got.alive);
            let expect = expected(&specimen.expect);
            if !agrees(&expect, &got.statuses) {
                let why = format!("{:?}, but expected: {expect}", got.statuses);
                found.insert(name, why);
            }
        }
    }

    times.sort();
    let most = times[(times.len() - 1) * 99 / 100];
    show(&format!(
        "{} messages to {} edges, {} disagreements, the slowest OPTIONS took {:?}, 99 of 100 at most {most:?}",
        corpus.len(),
        groups.len(),
        found.len(),
        times[times.len() - 1],
    ));
    assert!(most < ALIVE, "1 of 100 OPTIONS took {most:?} or more");
    let names: BTreeSet<&str> = found.keys().copied().collect();
    let listed: BTreeSet<&str> = listed.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, listed, "in detail: {found:#?}");
    assert!(found.len() * 100 <= corpus.len(), "more than 1 %");
    let of_an_rfc = |name: &&str| name.starts_with("rfc4475/") || name.starts_with("rfc5118/");
    assert_eq!(names.into_iter().find(of_an_rfc), None);
}

/// Groups in which no two messages share a Call-ID or a branch.
fn groups(corpus: &[Specimen]) -> Vec<Vec<&Specimen>> {
    let mut groups: Vec<(BTreeSet<String>, Vec<&Specimen>)> = Vec::new();
    for specimen in corpus {
        let marks = marks(&specimen.bytes);
        let fits = |group: &&mut (BTreeSet<String>, _)| group.0.is_disjoint(&marks);
        match groups.iter_mut().find(fits) {
            Some((taken, group)) => {
                taken.extend(marks);
                group.push(specimen);
            }
            None => groups.push((marks, vec![specimen])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// Call-IDs and branches, read loosely.
fn marks(bytes: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let mut marks = BTreeSet::new();
    for line in text.lines() {
        if let Some((name, value)) = line.split_once(':')
            && matches!(name.trim(), "call-id" | "i")
        {
            marks.insert(value.trim().to_owned());
        }
        let branches = line.split("branch").skip(1);
        marks.extend(branches.filter_map(|rest| {
            let value = rest.trim_start().strip_prefix('=')?.trim_start();
            let end = value.find([';', ',', ' ']).unwrap_or(value.len());
            Some(value[..end].to_owned())
        }));
    }
    marks
}

/// What came back.
struct Answers {
    /// To the message itself, in order.
    statuses: Vec<u16>,
    /// How long the OPTIONS behind it took, at most [`PATIENCE`].
    alive: Duration,
}

fn over_udp(edge: SocketAddrV4, message: &[u8]) -> Answers {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("socket");
    socket.connect(edge).expect("route");
    socket.send(message).expect("sent");
    let start = Instant::now();
    socket.send(&options("UDP")).expect("sent");

    let mut statuses = Vec::new();
    let mut buffer = vec![0; 65536];
    while let Some(left) = left(start, PATIENCE) {
        socket.set_read_timeout(Some(left)).expect("a limit");
        let Ok(count) = socket.recv(&mut buffer) else {
            continue;
        };
        let text = String::from_utf8_lossy(&buffer[..count]);
        if is_ours(&text) {
            let alive = start.elapsed();
            return Answers { statuses, alive };
        }
        statuses.extend(status(&text));
    }
    let alive = PATIENCE;
    Answers { statuses, alive }
}

fn over_tcp(edge: SocketAddrV4, message: &[u8]) -> Answers {
    let mut bytes = message.to_vec();
    bytes.extend(options("TCP"));
    let (texts, took) = say(edge, &bytes, ALIVE);
    // A message that lacks some bytes takes them from our OPTIONS; what is said of the rest is not said of the message.
    let is_ours = |text: &&String| text.contains(OUR_CALL_ID);
    let own = texts.iter().filter(|text| !is_ours(text));
    let statuses = own.filter_map(|text| status(text)).collect();
    // The message may have spoilt its stream, by claiming to be longer than it is or by being none.
    let again = || say(edge, &options("TCP"), PATIENCE).1;
    let alive = took.or_else(again).unwrap_or(PATIENCE);
    Answers { statuses, alive }
}

/// Writes to a connection of its own, and reads until the answer to our OPTIONS has come, the connection is closed, or
/// `limit` is over: the other answers, and how long that one took.
fn say(edge: SocketAddrV4, bytes: &[u8], limit: Duration) -> (Vec<String>, Option<Duration>) {
    let mut stream = TcpStream::connect(edge).expect("connection");
    let start = Instant::now();
    stream.write_all(bytes).expect("written");

    let mut texts = Vec::new();
    let mut unread = Vec::new();
    let mut buffer = [0; 4096];
    while let Some(left) = left(start, limit) {
        stream.set_read_timeout(Some(left)).expect("a limit");
        let Ok(count @ 1..) = stream.read(&mut buffer) else {
            break;
        };
        unread.extend_from_slice(&buffer[..count]);
        while let Some(text) = cut(&mut unread) {
            if is_ours(&text) {
                return (texts, Some(start.elapsed()));
            }
            texts.push(text);
        }
    }
    (texts, None)
}

/// What is left of `limit`.
fn left(start: Instant, limit: Duration) -> Option<Duration> {
    limit
        .checked_sub(start.elapsed())
        .filter(|left| !left.is_zero())
}

/// A response from the front of `unread`; those of the edge that are expected here have no body.
fn cut(unread: &mut Vec<u8>) -> Option<String> {
    let end = unread.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text: Vec<u8> = unread.drain(..end).collect();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(!text.contains("Content-Type:"), "a body behind:\n{text}");
    Some(text)
}

const OUR_CALL_ID: &str = "is-the-edge-alive";

fn options(transport: &str) -> Vec<u8> {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(
        "OPTIONS sip:{BY_ADDRESS} SIP/2.0\r\n\
         Via: SIP/2.0/{transport} 127.0.0.1;rport;branch=z9hG4bK-alive-{count}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:alive@127.0.0.1>;tag=alive-{count}\r\n\
         To: <sip:{BY_ADDRESS}>\r\n\
         Call-ID: {OUR_CALL_ID}\r\n\
         CSeq: {count} OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

fn is_ours(text: &str) -> bool {
    text.contains(OUR_CALL_ID) && text.starts_with("SIP/2.0 200 ")
}

fn status(text: &str) -> Option<u16> {
    let rest = text.strip_prefix("SIP/2.0 ")?;
    rest.get(..3)?.parse().ok()
}
