use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;

use super::*;

const INVITE: &str = "OPTIONS sip:x SIP/2.0\r\nContent-Length: 4\r\n\r\nbody";

#[test]
fn what_a_peer_writes_comes_whole_however_it_is_split_and_a_ping_gets_a_pong() {
    let bench = Bench::new(BOUNDS);
    bench.run(async {
        let mut peer = TcpStream::connect(bench.address).await.unwrap();
        for byte in format!("\r\n\r\n{INVITE}").as_bytes() {
            peer.write_all(&[*byte]).await.unwrap();
        }

        let mut pong = [0; 2];
        peer.read_exact(&mut pong).await.unwrap();
        assert_eq!(&pong, b"\r\n");
        let (flow, text) = bench.message();
        assert_eq!(text, INVITE);
        assert_eq!(flow, bench.flow(peer.local_addr().unwrap()));
    });
}

#[test]
fn a_response_goes_along_the_connection_of_its_request() {
    let bench = Bench::new(BOUNDS);
    bench.run(async {
        let mut peer = TcpStream::connect(bench.address).await.unwrap();
        peer.write_all(INVITE.as_bytes()).await.unwrap();
        let (flow, _) = bench.message();

        bench.send(flow, "SIP/2.0 200 OK\r\n\r\n").unwrap();

        assert_eq!(read(&mut peer, 18).await, "SIP/2.0 200 OK\r\n\r\n");
    });
}

#[test]
fn a_request_opens_a_connection_and_the_next_one_uses_it() {
    let bench = Bench::new(BOUNDS);
    bench.run(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let flow = bench.flow(listener.local_addr().unwrap());

        bench.send(flow, INVITE).unwrap();
        bench.send(flow, INVITE).unwrap();

        let (mut peer, _) = listener.accept().await.unwrap();
        assert_eq!(read(&mut peer, INVITE.len() * 2).await, INVITE.repeat(2));
        peer.write_all(INVITE.as_bytes()).await.unwrap();
        assert_eq!(bench.message(), (flow, INVITE.to_owned()));
        assert_eq!(bench.streams.len(), 1);
    });
}

#[test]
fn a_lost_connection_is_told_and_its_response_goes_home_to_a_known_peer_only() {
    for (peers_address, is_home) in [("127.0.0.1", true), ("127.0.0.2", false)] {
        let bench = Bench::new(BOUNDS);
        bench.run(async {
            let ip: IpAddr = peers_address.parse().unwrap();
            let home = TcpListener::bind((ip, 0)).await.unwrap();
            let port = home.local_addr().unwrap().port();
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::new(ip, 0)).unwrap();
            let mut peer = socket.connect(bench.address).await.unwrap();
            peer.write_all(INVITE.as_bytes()).await.unwrap();
            let (flow, _) = bench.message();
            drop(peer);
            assert_eq!(bench.lost(), flow);

            let response = format!(
                "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP {peers_address}:{port};branch=z9hG4bKx\r\n\r\n"
            );
            let sent = bench.send(flow, &response);

            assert_eq!(sent.is_ok(), is_home);
            if is_home {
                let (mut peer, _) = home.accept().await.unwrap();
                assert_eq!(read(&mut peer, response.len()).await, response);
            }
        });
    }
}

#[test]
fn a_peer_that_does_not_listen_is_told_at_once() {
    let bench = Bench::new(BOUNDS);
    bench.run(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let flow = bench.flow(listener.local_addr().unwrap());
        drop(listener);

        bench.send(flow, INVITE).unwrap();

        assert_eq!(bench.lost(), flow);
        assert_eq!(bench.end(), "unconnected");
    });
}

#[test]
fn a_peer_that_does_not_read_loses_its_connection_and_nobody_waits_for_it() {
    let bench = Bench::new(BOUNDS);
    bench.run(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let flow = bench.flow(listener.local_addr().unwrap());
        let message = "x".repeat(60_000);
        bench.send(flow, &message).unwrap();
        let _unread = listener.accept().await.unwrap();

        let started = std::iter::repeat_with(|| bench.send(flow, &message));
        let failed = started.take(2000).position(|sent| sent.is_err());

        assert!(failed.is_some());
        assert_eq!(bench.lost(), flow);
    });
}

#[test]
fn what_cannot_be_framed_is_told_and_then_closed() {
    let bench = Bench::new(BOUNDS);
    bench.run(async {
        let mut peer = TcpStream::connect(bench.address).await.unwrap();
        let text = "OPTIONS sip:x SIP/2.0\r\nContent-Length: -1\r\n\r\n";
        peer.write_all(text.as_bytes()).await.unwrap();
        let (flow, head) = bench.broken();
        assert_eq!(head, text);

        bench.send(flow, "SIP/2.0 400 Bad\r\n\r\n").unwrap();

        let mut all = String::new();
        peer.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "SIP/2.0 400 Bad\r\n\r\n");
        assert_eq!(bench.end(), "unreadable");
    });
}

#[test]
fn strangers_have_their_share() {
    let bench = Bench::new(Connections {
        per_stranger: 2,
        ..BOUNDS
    });
    bench.run(async {
        let ip: IpAddr = "127.0.0.9".parse().unwrap();
        let mut peers = Vec::new();
        for _ in 0..3 {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::new(ip, 0)).unwrap();
            peers.push(socket.connect(bench.address).await.unwrap());
        }

        assert_eq!(bench.refused(), "share");
        let mut known = TcpStream::connect(bench.address).await.unwrap();
        known.write_all(INVITE.as_bytes()).await.unwrap();
        assert_eq!(bench.message().1, INVITE);
    });
}

#[test]
fn a_silent_connection_is_closed_in_its_time_and_a_kept_one_is_not() {
    let bench = Bench::new(Connections {
        idle: Duration::from_millis(100),
        idle_known: Duration::from_secs(60),
        ..BOUNDS
    });
    bench.run(async {
        let mut flows = Vec::new();
        let mut peers = Vec::new();
        for _ in 0..2 {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
            let mut peer = socket.connect(bench.address).await.unwrap();
            peer.write_all(INVITE.as_bytes()).await.unwrap();
            flows.push(bench.message().0);
            peers.push(peer);
        }

        bench.streams.lines().keep(flows[0]);

        assert_eq!(bench.lost(), flows[1]);
        assert_eq!(bench.end(), "idle");
        assert_eq!(bench.streams.len(), 1);
    });
}

#[test]
fn what_is_sent_when_all_ends_is_lost_at_once() {
    let Bench {
        streams,
        heard,
        address,
    } = Bench::new(BOUNDS);
    let flow = Flow {
        transport: Transport::Tcp,
        listener: ListenerId(0),
        remote: address,
        peer: PeerId::NOBODY,
    };
    let lines = streams.lines();
    drop(streams);
    let (done, is_done) = channel();

    std::thread::spawn(move || {
        let _ = lines.send(flow, Bytes::from_static(INVITE.as_bytes()));
        let places = lock(&lines.table).quota.len();
        let _ = done.send(places);
    });

    assert_eq!(is_done.recv_timeout(Duration::from_secs(5)), Ok(0));
    assert!(
        heard
            .try_iter()
            .any(|heard| matches!(heard, Heard::Lost(lost) if lost == flow))
    );
}

const BOUNDS: Connections = Connections {
    most: 16,
    per_stranger: 8,
    idle: Duration::from_secs(60),
    idle_known: Duration::from_secs(60),
    connect: Duration::from_secs(3),
};

/// What was heard.
enum Heard {
    Message(Flow, String),
    Broken(Flow, String),
    Lost(Flow),
    Ended(&'static str),
    Refused(&'static str),
}

struct Ear(Sender<Heard>);

impl Bring for Ear {
    fn message(&self, flow: Flow, bytes: &Bytes) -> bool {
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.0.send(Heard::Message(flow, text)).is_ok()
    }

    fn broken(&self, flow: Flow, _: ParseError, head: &Bytes) -> bool {
        let text = String::from_utf8_lossy(head).into_owned();
        self.0.send(Heard::Broken(flow, text)).is_ok()
    }

    fn lost(&self, flow: Flow) {
        let _ = self.0.send(Heard::Lost(flow));
    }

    fn happened(&self, what: Happened) {
        let heard = match what {
            Happened::Ended { end, .. } => Heard::Ended(end.label()),
            Happened::Refused { why, .. } => Heard::Refused(why.label()),
            Happened::Opened { .. } | Happened::Unaccepted(_) => return,
        };
        let _ = self.0.send(heard);
    }

    fn sent(&self) {}

    fn holds(&self, _: usize) {}
}

/// Streams with one door, and 127.0.0.1 known.
struct Bench {
    streams: Streams<Ear>,
    heard: Receiver<Heard>,
    address: SocketAddr,
}

impl Bench {
    fn new(connections: Connections) -> Self {
        let (ear, heard) = channel();
        let socket = sockets::bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        let door = Door {
            listener: ListenerId(0),
            transport: Transport::Tcp,
            socket,
        };
        let mut known = Allowlist::new();
        known.insert("127.0.0.1/32".parse().unwrap(), Known::Buyer);
        let terms = Terms {
            known,
            connections,
            tls: None,
        };
        let streams = Streams::start(vec![door], 1, terms, Ear(ear)).unwrap();
        Self {
            streams,
            heard,
            address,
        }
    }

    fn run(&self, test: impl Future<Output = ()>) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test);
    }

    fn send(&self, flow: Flow, text: &str) -> Result<(), Unsent> {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        self.streams.lines().send(flow, bytes)
    }

    fn flow(&self, remote: SocketAddr) -> Flow {
        Flow {
            transport: Transport::Tcp,
            listener: ListenerId(0),
            remote,
            peer: PeerId::NOBODY,
        }
    }

    /// The first thing heard that `pick` takes; what comes before is passed over.
    fn hear<T>(&self, pick: impl Fn(Heard) -> Option<T>) -> T {
        loop {
            match self.heard.recv_timeout(Duration::from_secs(5)) {
                Ok(heard) => {
                    if let Some(found) = pick(heard) {
                        return found;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("nothing of the kind was heard")
                }
            }
        }
    }

    fn message(&self) -> (Flow, String) {
        self.hear(|heard| {
            let Heard::Message(flow, text) = heard else {
                return None;
            };
            Some((flow, text))
        })
    }

    fn broken(&self) -> (Flow, String) {
        self.hear(|heard| {
            let Heard::Broken(flow, text) = heard else {
                return None;
            };
            Some((flow, text))
        })
    }

    fn lost(&self) -> Flow {
        self.hear(|heard| {
            let Heard::Lost(flow) = heard else {
                return None;
            };
            Some(flow)
        })
    }

    fn end(&self) -> &'static str {
        self.hear(|heard| {
            let Heard::Ended(why) = heard else {
                return None;
            };
            Some(why)
        })
    }

    fn refused(&self) -> &'static str {
        self.hear(|heard| {
            let Heard::Refused(why) = heard else {
                return None;
            };
            Some(why)
        })
    }
}

async fn read(peer: &mut TcpStream, length: usize) -> String {
    let mut buffer = vec![0; length];
    peer.read_exact(&mut buffer).await.unwrap();
    String::from_utf8(buffer).unwrap()
}
