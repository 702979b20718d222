//! A little DNS server over UDP on the loopback, for tests of whoever asks one.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// What it does with a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Answers out of its zone.
    Well,
    /// Says nothing.
    Dead,
    /// Answers, but too late.
    Slow,
    /// Says that there is no such name, whatever is asked.
    Denying,
    /// Says that it has failed.
    Failing,
}

/// A running server; ends when it is dropped.
pub(crate) struct DnsServer {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    mood: Mutex<Mood>,
    zone: Mutex<Zone>,
    /// `TYPE name`, in the order in which it was asked.
    asked: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

/// Words of each record, by type and name.
type Zone = BTreeMap<String, Vec<Vec<String>>>;

/// How late a slow answer is.
const LATE: Duration = Duration::from_secs(5);

impl DnsServer {
    /// Serves `zone`: `name TYPE data`, one record each, separated by `;`. `ttl` is in seconds.
    pub(crate) fn start(zone: &str, ttl: u32) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let pause = Duration::from_millis(20);
        socket.set_read_timeout(Some(pause)).expect("a time-out");
        let address = socket.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            mood: Mutex::new(Mood::Well),
            zone: Mutex::new(read(zone)),
            asked: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let served = Arc::clone(&shared);
        let thread = thread::spawn(move || served.serve(&socket, ttl));
        Self {
            address,
            shared,
            thread: Some(thread),
        }
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        *self.shared.mood.lock().expect("no panic") = mood;
    }

    /// Serves another zone from now on.
    pub(crate) fn set_zone(&self, zone: &str) {
        *self.shared.zone.lock().expect("no panic") = read(zone);
    }

    /// How often this was asked: `SRV _sip._udp.example.com`.
    pub(crate) fn count(&self, question: &str) -> usize {
        let asked = self.shared.asked.lock().expect("no panic");
        asked.iter().filter(|one| *one == question).count()
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the server's has shown in the test already.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn serve(&self, socket: &UdpSocket, ttl: u32) {
        let mut buffer = vec![0; 4096];
        let mut late = Vec::new();
        while !self.is_over.load(Ordering::Relaxed) {
            let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                continue;
            };
            let question = Message::from_vec(&buffer[..length]).expect("a question");
            let query = question.queries.first().expect("a query").clone();
            let name = query.name().to_ascii().to_ascii_lowercase();
            let key = format!("{} {}", query.query_type(), name.trim_end_matches('.'));
            self.asked.lock().expect("no panic").push(key.clone());
            let mood = *self.mood.lock().expect("no panic");
            let mut answer = Message::response(question.metadata.id, OpCode::Query);
            answer.metadata.recursion_desired = true;
            answer.metadata.recursion_available = true;
            answer.add_query(query.clone());
            match mood {
                Mood::Dead => continue,
                Mood::Denying => answer.metadata.response_code = ResponseCode::NXDomain,
                Mood::Failing => answer.metadata.response_code = ResponseCode::ServFail,
                Mood::Well | Mood::Slow => {
                    let zone = self.zone.lock().expect("no panic");
                    for words in zone.get(&key).into_iter().flatten() {
                        let data = data(query.query_type(), words);
                        answer.add_answer(Record::from_rdata(query.name().clone(), ttl, data));
                    }
                }
            }
            let bytes = answer.to_vec().expect("an answer");
            if mood == Mood::Slow {
                let socket = socket.try_clone().expect("a handle");
                late.push(thread::spawn(move || {
                    thread::sleep(LATE);
                    let _ = socket.send_to(&bytes, from);
                }));
            } else {
                let _ = socket.send_to(&bytes, from);
            }
        }
        // Late answers are for nobody any more: their threads end by themselves.
        drop(late);
    }
}

/// Records by `TYPE name`.
fn read(zone: &str) -> Zone {
    let mut records = Zone::new();
    for line in zone.split(';').filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace().map(str::to_owned);
        let (name, kind) = (words.next().expect("a name"), words.next().expect("a type"));
        let key = format!("{kind} {name}");
        records.entry(key).or_default().push(words.collect());
    }
    records
}

fn data(kind: RecordType, words: &[String]) -> RData {
    let number = |text: &String| text.parse().expect("a number");
    let name = |text: &String| Name::from_ascii(format!("{text}.")).expect("a name");
    let bytes = |text: &String| text.as_bytes().into();
    match (kind, words) {
        (RecordType::A, [ip]) => RData::A(A(ip.parse().expect("an address"))),
        (RecordType::AAAA, [ip]) => RData::AAAA(AAAA(ip.parse().expect("an address"))),
        (RecordType::SRV, [priority, weight, port, target]) => RData::SRV(SRV::new(
            number(priority),
            number(weight),
            number(port),
            name(target),
        )),
        (RecordType::NAPTR, [order, preference, flags, services, replacement]) => {
            RData::NAPTR(NAPTR::new(
                number(order),
                number(preference),
                bytes(flags),
                bytes(services),
                bytes(&String::new()),
                name(replacement),
            ))
        }
        _ => panic!("no record: {kind} {words:?}"),
    }
}
