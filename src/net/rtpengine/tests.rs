//! The client beside servers of the tests' own, on loopback.

use std::net::UdpSocket;
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;

use super::*;
use crate::media::ng;
use crate::media::ng::ask::{Failure, Rtpengine, Ticket};
use crate::media::ng::{Exchange, Names, Reply, Request, Scope, Shape, Sources};
use crate::media::plan::{Party, SessionId};
use crate::routing::weight::rank;

#[test]
fn an_offer_is_answered_and_says_where_the_call_is() {
    let server = Server::new();
    let bench = Bench::new(&[(server.address, 1)]);

    bench.ask(7, None, offer("c1"));
    server.reply_to("offer", b"d3:sdp2:ok6:result2:oke");

    let told = bench.told();
    assert_eq!(told.ticket, ticket(7));
    assert_eq!(told.place, Some(server.address));
    assert_eq!(told.result, Ok(Reply::Sdp("ok".into())));
    assert_eq!(bench.counted("offer"), "ok");
    bench.stop();
}

#[test]
fn a_request_is_sent_again_under_the_same_cookie_until_it_is_given_up() {
    let server = Server::new();
    let bench = Bench::with(Terms {
        timeout: Duration::from_millis(300),
        ..terms(&[(server.address, 1)])
    });

    bench.ask(1, Some(server.address), Request::Query(names("c1")));
    let requests = [
        server.hears("query"),
        server.hears("query"),
        server.hears("query"),
    ];

    assert_eq!(requests[0], requests[1]);
    assert_eq!(requests[0], requests[2]);
    let told = bench.told();
    assert_eq!(
        (told.place, told.result),
        (Some(server.address), Err(Failure::Silent))
    );
    assert_eq!(bench.counted("query"), "silent");
    bench.stop();
}

#[test]
fn a_new_call_goes_to_the_next_one_if_the_first_is_closed_silent_or_full() {
    for how in ["closed", "silent", "full"] {
        let (first, second) = (Server::new(), Server::new());
        let (one, two) = (first.address, second.address);
        let bench = Bench::with(Terms {
            timeout: Duration::from_secs(2),
            ..terms(&[(one, 1), (two, 1)])
        });
        let name = name_for(one, two);
        match how {
            "closed" => drop(first),
            "silent" => {
                bench.ask(1, None, offer(&name));
                first.hears("offer");
            }
            _ => {
                bench.ask(1, None, offer(&name));
                first.reply_to("offer", b"d7:message4:full6:result10:load limite");
            }
        }
        if how == "closed" {
            bench.ask(1, None, offer(&name));
        }

        second.reply_to("offer", b"d3:sdp2:ok6:result2:oke");

        let told = bench.told();
        assert_eq!(told.place, Some(two), "{how}");
        assert_eq!(told.result, Ok(Reply::Sdp("ok".into())));
        bench.stop();
    }
}

#[test]
fn a_call_that_has_a_place_goes_nowhere_else() {
    let (first, second) = (Server::new(), Server::new());
    let one = first.address;
    let bench = Bench::new(&[(one, 1), (second.address, 1)]);
    drop(first);

    bench.ask(1, Some(one), offer("c1"));
    bench.ask(2, Some(one), Request::Delete(names("c1"), Scope::Call));

    let mut told = [bench.told(), bench.told()];
    told.sort_by_key(|told| told.ticket);
    for told in told {
        assert_eq!(told.place, Some(one));
        assert_eq!(told.result, Err(Failure::Unreachable));
    }
    bench.stop();
}

#[test]
fn a_refusal_is_told_and_not_tried_elsewhere() {
    let (first, second) = (Server::new(), Server::new());
    let (one, two) = (first.address, second.address);
    let bench = Bench::new(&[(one, 1), (two, 1)]);

    bench.ask(1, None, offer(&name_for(one, two)));
    first.reply_to("offer", b"d6:result5:error12:error-reason3:no!e");

    let told = bench.told();
    assert_eq!(told.place, Some(one));
    assert!(matches!(
        told.result,
        Err(Failure::Said(ng::Fault::Refused(_)))
    ));
    assert_eq!(bench.counted("offer"), "refused");
    bench.stop();
}

#[test]
fn one_that_answers_no_ping_gets_no_new_call_until_it_answers_again() {
    let (first, second) = (Server::new(), Server::new());
    let (one, two) = (first.address, second.address);
    second.keep_answering();
    let bench = Bench::with(Terms {
        timeout: Duration::from_secs(1),
        ping: Duration::from_millis(500),
        ..terms(&[(one, 1), (two, 1)])
    });

    assert_eq!(bench.health(), (one, false));
    bench.ask(1, None, offer(&name_for(one, two)));
    assert_eq!(bench.told().place, Some(two));

    first.keep_answering();
    assert_eq!(bench.health(), (one, true));
    bench.ask(2, None, offer(&name_for(one, two)));
    assert_eq!(bench.told().place, Some(one));
    bench.stop();
}

#[test]
fn without_any_that_is_there_nobody_waits() {
    let bench = Bench::new(&[]);

    bench.ask(1, None, offer("c1"));

    let told = bench.told();
    assert_eq!((told.place, told.result), (None, Err(Failure::Nowhere)));
    bench.stop();
}

#[test]
fn calls_are_shared_out_by_weight() {
    let (first, second) = (Server::new(), Server::new());
    first.keep_answering();
    second.keep_answering();
    let bench = Bench::new(&[(first.address, 3), (second.address, 1)]);

    for call in 0..400 {
        bench.ask(call, None, offer(&format!("call-{call}")));
    }

    let places: Vec<_> = (0..400).filter_map(|_| bench.told().place).collect();
    let share = places.iter().filter(|place| **place == first.address);
    let share = share.count();
    assert!((250..350).contains(&share), "{share} of 400");
    bench.stop();
}

#[test]
fn a_place_that_the_terms_have_no_more_still_ends_its_calls() {
    let (old, new) = (Server::new(), Server::new());
    old.keep_answering();
    new.keep_answering();
    let bench = Bench::new(&[(old.address, 1)]);
    bench.ask(1, None, offer("c1"));
    assert_eq!(bench.told().place, Some(old.address));

    bench.asker.set_terms(terms(&[(new.address, 1)])).unwrap();
    bench.ask(2, None, offer("c2"));
    bench.ask(
        3,
        Some(old.address),
        Request::Delete(names("c1"), Scope::Call),
    );

    let mut told = [bench.told(), bench.told()];
    told.sort_by_key(|told| told.ticket);
    assert_eq!(told[0].place, Some(new.address));
    assert_eq!(told[1].place, Some(old.address));
    assert_eq!(told[1].result, Ok(Reply::Deleted(None)));
    bench.stop();
}

#[test]
fn a_forged_or_late_answer_means_nothing() {
    let server = Server::new();
    let bench = Bench::new(&[(server.address, 1)]);

    bench.ask(1, None, offer("c1"));
    let (from, request) = server.hears_from("offer");
    let (cookie, _) = ng::split_cookie(&request).unwrap();
    let good = [cookie, b" d3:sdp2:ok6:result2:oke"].concat();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.send_to(&good, from).unwrap();
    for other in [&b"x d3:sdp3:bad6:result2:oke"[..], b"", b" ", b"0_0 de"] {
        server.socket.send_to(other, from).unwrap();
    }
    server.socket.send_to(&good, from).unwrap();
    server.socket.send_to(&good, from).unwrap();

    assert_eq!(bench.told().result, Ok(Reply::Sdp("ok".into())));
    bench.ask(2, Some(server.address), Request::Query(names("c1")));
    server.reply_to("query", b"d6:result5:errore");
    assert_eq!(bench.told().ticket, ticket(2));
    bench.stop();
}

struct Bench {
    client: Client,
    asker: Asker,
    told: Receiver<Told>,
    counted: Receiver<(&'static str, &'static str)>,
    health: Receiver<(SocketAddr, bool)>,
}

struct Ears {
    told: Sender<Told>,
    counted: Sender<(&'static str, &'static str)>,
    health: Sender<(SocketAddr, bool)>,
}

impl Audience for Ears {
    fn tell(&self, told: Told) {
        self.told.send(told).ok();
    }

    fn count(&self, command: &'static str, result: &'static str, _: Duration) {
        self.counted.send((command, result)).ok();
    }

    fn count_resent(&self) {}

    fn note_health(&self, place: SocketAddr, is_there: bool) {
        self.health.send((place, is_there)).ok();
    }

    fn note_standing(&self, _: usize, _: usize) {}
}

impl Bench {
    /// With a client that waits long, and pings each once.
    fn new(planes: &[(SocketAddr, u32)]) -> Self {
        Self::with(terms(planes))
    }

    fn with(terms: Terms) -> Self {
        let (told, told_out) = channel();
        let (counted, counted_out) = channel();
        let (health, health_out) = channel();
        let ears = Ears {
            told,
            counted,
            health,
        };
        let client = Client::start(terms, ears).unwrap();
        Self {
            asker: client.asker(),
            client,
            told: told_out,
            counted: counted_out,
            health: health_out,
        }
    }

    fn stop(self) {
        drop(self.asker);
        self.client.stop();
    }

    fn ask(&self, number: u32, place: Option<SocketAddr>, request: Request) {
        let ask = Ask {
            ticket: ticket(number),
            place,
            request,
        };
        self.asker.ask(ask).unwrap();
    }

    fn told(&self) -> Told {
        self.told.recv_timeout(LIMIT).expect("an answer")
    }

    /// The result of the next request that has `command`.
    fn counted(&self, command: &str) -> &'static str {
        loop {
            let counted = self.counted.recv_timeout(LIMIT);
            let (counted, result) = counted.expect("it is counted");
            if counted == command {
                return result;
            }
        }
    }

    fn health(&self) -> (SocketAddr, bool) {
        self.health.recv_timeout(LIMIT).expect("a change")
    }
}

const LIMIT: Duration = Duration::from_secs(10);

/// Answers by hand, pings too; or by itself once told to.
struct Server {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Server {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let address = socket.local_addr().unwrap();
        Self { socket, address }
    }

    /// The next request that has `command`.
    fn hears(&self, command: &str) -> Vec<u8> {
        self.hears_from(command).1
    }

    fn hears_from(&self, command: &str) -> (SocketAddr, Vec<u8>) {
        let key = format!("7:command{}:{command}", command.len());
        let mut buf = [0; 4096];
        let began = clock::now();
        // Pings go on.
        while began.elapsed() < LIMIT {
            let (length, from) = self.socket.recv_from(&mut buf).expect("a request");
            let request = &buf[..length];
            if memchr::memmem::find(request, key.as_bytes()).is_some() {
                return (from, request.to_vec());
            }
        }
        panic!("no {command} came");
    }

    fn reply_to(&self, command: &str, body: &[u8]) {
        let (from, request) = self.hears_from(command);
        let (cookie, _) = ng::split_cookie(&request).unwrap();
        let reply = [cookie, b" ", body].concat();
        self.socket.send_to(&reply, from).unwrap();
    }

    /// Answers everything from now on, until the test ends.
    fn keep_answering(&self) {
        let socket = self.socket.try_clone().unwrap();
        thread::spawn(move || {
            let mut buf = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buf) {
                let Some((cookie, body)) = ng::split_cookie(&buf[..length]) else {
                    continue;
                };
                let is_ping = memchr::memmem::find(body, b"4:ping").is_some();
                let body: &[u8] = if is_ping {
                    b"d6:result4:ponge"
                } else {
                    b"d3:sdp2:ok6:result2:oke"
                };
                let reply = [cookie, b" ", body].concat();
                socket.send_to(&reply, from).unwrap();
            }
        });
    }
}

fn terms(planes: &[(SocketAddr, u32)]) -> Terms {
    let rtpengines = planes.iter().map(|(address, weight)| Rtpengine {
        address: *address,
        weight: *weight,
    });
    Terms {
        rtpengines: rtpengines.collect(),
        timeout: Duration::from_secs(5),
        ping: Duration::from_secs(60),
    }
}

fn ticket(number: u32) -> Ticket {
    Ticket {
        session: SessionId(1),
        round: number,
    }
}

/// A call that goes to `one` before it goes to `two`.
fn name_for(one: SocketAddr, two: SocketAddr) -> String {
    let names = (0..).map(|n| format!("call-{n}"));
    let first = |name: &String| {
        let of = |place: SocketAddr| rank(name.as_bytes(), &place.to_string(), 1);
        of(one) < of(two)
    };
    names.into_iter().find(first).unwrap()
}

fn names(call: &str) -> Names {
    Names {
        call: call.into(),
        caller: "alice".into(),
        buyer: "bob".into(),
    }
}

fn offer(call: &str) -> Request {
    Request::Offer(Exchange {
        names: names(call),
        offerer: Party::Caller,
        is_first: true,
        sdp: Bytes::from_static(b"v=0"),
        sources: Sources::Announced,
        shape: Shape::default(),
    })
}
