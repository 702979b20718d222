//! rtpengine as the media plane, asked by the edge's own client: Debian's daemon, in user space.
//!
//! ```text
//!   caller .2 ---- RTP ----> rtpengine .8 or .9 ---- RTP ----> buyer .4, next buyer .5
//!   somebody .3 -- RTP ---------^   ng :22222
//! ```

use std::iter;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::SocketAddrV4;
use std::net::UdpSocket;
use std::process::Command;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::Sender;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use strowger::media::figures::Figures;
use strowger::media::ng::Exchange;
use strowger::media::ng::Names;
use strowger::media::ng::Protocol;
use strowger::media::ng::Reply;
use strowger::media::ng::Request;
use strowger::media::ng::Scope;
use strowger::media::ng::Shape;
use strowger::media::ng::Sources;
use strowger::media::ng::ask::Ask;
use strowger::media::ng::ask::Failure;
use strowger::media::ng::ask::Rtpengine;
use strowger::media::ng::ask::Terms;
use strowger::media::ng::ask::Ticket;
use strowger::media::ng::ask::Told;
use strowger::media::plan::Party;
use strowger::media::plan::SessionId;
use strowger::media::plan::Suite;
use strowger::media::sdp::crypto;
use strowger::media::srtp::Receiver as SrtpReceiver;
use strowger::media::srtp::Sender as SrtpSender;
use strowger::media::srtp::suite::MOST_RTCP_GROWTH;
use strowger::media::srtp::suite::MOST_RTP_GROWTH;
use strowger::net::rtpengine::Asker;
use strowger::net::rtpengine::Audience;
use strowger::net::rtpengine::Client;

use crate::process::Process;
use crate::process::eventually;
use crate::process::is_bound;
use crate::site::Site;

/// Both hear each other and nobody else, the caller's port stays while the next buyer is tried, and the figures are
/// those of what was sent.
#[test]
fn two_parties_hear_each_other_through_rtpengine_and_nobody_else() {
    let site = Site::new();
    let engine = Daemon::start(&site, site.next_buyer());
    let desk = Desk::new(&[engine.address]);
    let caller = Phone::new(site.carrier());
    let first = Phone::new(site.carriers_proxy());
    let second = Phone::new(site.buyers_proxy());
    let stranger = Phone::new(site.stranger());

    let (to_first, place) = desk.offer("c1", "first", &caller);
    let told_caller = desk.answer("c1", "first", &first, place);
    let (to_second, again) = desk.offer_at("c1", "second", &caller, Some(place));
    desk.ask(
        Some(place),
        Request::Delete(names("c1", "first"), Scope::Attempt),
    );
    let still_told = desk.answer("c1", "second", &second, place);

    assert_eq!(place, again);
    assert_eq!(
        told_caller, still_told,
        "the caller cannot be told another port"
    );
    assert_ne!(to_first, to_second);
    for sequence in 0..20 {
        stranger.send(told_caller, sequence, 99);
        stranger.send(to_second, sequence, 99);
    }
    for sequence in 0..20 {
        caller.send(told_caller, sequence, 1);
        second.send(to_second, sequence, 2);
        first.send(to_first, sequence, 3);
        thread::sleep(Duration::from_millis(2));
    }
    for sequence in 20..40 {
        stranger.send(told_caller, sequence, 99);
        stranger.send(to_second, sequence, 99);
    }
    assert_eq!(second.heard(20), [(1, 20)], "SSRC and packets at the buyer");
    assert_eq!(
        caller.heard(20),
        [(2, 20)],
        "SSRC and packets at the caller"
    );
    assert_eq!(stranger.heard(0), []);
    assert_eq!(first.heard(0), []);

    let names = names("c1", "second");
    let told = desk.ask(Some(place), Request::Query(names.clone()));
    let Ok(Reply::Figures(figures)) = told.result else {
        panic!("{told:?}");
    };
    assert_heard(&figures, &caller, &second);
    let told = desk.ask(Some(place), Request::Delete(names.clone(), Scope::Call));
    let Ok(Reply::Deleted(Some(figures))) = told.result else {
        panic!("{told:?}");
    };
    assert_heard(&figures, &caller, &second);
    let told = desk.ask(Some(place), Request::Query(names));
    assert!(matches!(told.result, Err(Failure::Said(_))), "{told:?}");
}

#[test]
fn srtp_is_offered_with_suites_that_encrypt_and_no_other() {
    let site = Site::new();
    let engine = Daemon::start(&site, site.next_buyer());
    let desk = Desk::new(&[engine.address]);
    let caller = Phone::new(site.carrier());
    let mut exchange = exchange("c1", "first", &caller);
    exchange.shape.protocol = Some(Protocol::Srtp);

    let body = desk.sdp(desk.ask(None, Request::Offer(exchange)));

    assert!(body.contains("RTP/SAVP "), "{body}");
    assert!(body.contains("AES_CM_128_HMAC_SHA1_80 inline:"), "{body}");
    for foreign in [
        "NULL_HMAC",
        "F8_128",
        "AES_192_CM",
        "a=fingerprint",
        "a=candidate",
    ] {
        assert!(!body.contains(foreign), "{foreign} in {body}");
    }
}

/// Our SRTP and its own understand each other, with every suite, over a rollover, RTCP too.
#[test]
fn what_we_encrypt_it_reads_and_what_it_encrypts_we_read() {
    let site = Site::new();
    let engine = Daemon::start(&site, site.next_buyer());
    let desk = Desk::new(&[engine.address]);
    let caller = Phone::new(site.carrier());
    let buyer = Phone::new(site.buyers_proxy());
    let caller_rtcp = Phone::at(site.carrier(), 30_001);
    let buyer_rtcp = Phone::at(site.buyers_proxy(), 30_001);
    for suite in Suite::ALL {
        let call = suite.name();
        let mut offer = exchange(call, "buyer", &caller);
        offer.shape.protocol = Some(Protocol::Srtp);
        offer.shape.suites = [suite].into_iter().collect();
        let told = desk.ask(None, Request::Offer(offer));
        let place = told.place.expect("somebody answered");
        let body = desk.sdp(told);
        let line = body.lines().find_map(|line| line.strip_prefix("a=crypto:"));
        let theirs = crypto::read(line.expect("a key").as_bytes()).expect("a key of ours");
        assert_eq!(theirs.keys.suite, suite, "{body}");
        let line = format!("{} {call} inline:{}", theirs.tag, own_key(suite));
        let ours = crypto::read(line.as_bytes()).expect("a key of ours");
        let mut answer = exchange(call, "buyer", &buyer);
        let text = buyer.sdp().replace("RTP/AVP", "RTP/SAVP");
        answer.sdp = format!("{text}a=crypto:{line}\r\n").into();
        let to_caller = audio_of(&desk.sdp(desk.ask(Some(place), Request::Answer(answer))));
        let to_buyer = audio_of(&body);
        let mut sender = SrtpSender::new(&ours.keys).expect("keys");
        let mut receiver = SrtpReceiver::new(&theirs.keys).expect("keys");

        for sequence in [65_530, 65_534, 65_535, 0, 1, 5] {
            caller.send(to_caller, sequence, 1);
            let mut buf = buyer.next().expect("a packet");
            let length = buf.len();
            assert_eq!(length, 172 + suite.rtp_tag_length());
            let length = receiver.unprotect_rtp(&mut buf, length);
            assert_eq!(length, Ok(172), "{call} {sequence}");
            assert_eq!(buf[..172], packet(sequence, 1));

            let mut buf = [packet(sequence, 2), vec![0; MOST_RTP_GROWTH]].concat();
            let length = sender.protect_rtp(&mut buf, 172).expect("it is protected");
            buyer.send_bytes(to_buyer, &buf[..length]);
            assert_eq!(caller.next(), Some(packet(sequence, 2)), "{call}");
        }
        let after = |rtp: SocketAddr| SocketAddr::new(rtp.ip(), rtp.port() + 1);
        for _ in 0..3 {
            caller_rtcp.send_bytes(after(to_caller), &report(1));
            let mut buf = buyer_rtcp.next().expect("a report");
            let length = buf.len();
            let length = receiver.unprotect_rtcp(&mut buf, length);
            assert_eq!(length, Ok(report(1).len()), "{call}");
            assert_eq!(buf[..report(1).len()], report(1));

            let mut buf = [report(2), vec![0; MOST_RTCP_GROWTH]].concat();
            let length = sender.protect_rtcp(&mut buf, report(2).len());
            buyer_rtcp.send_bytes(after(to_buyer), &buf[..length.expect("it is protected")]);
            assert_eq!(caller_rtcp.next(), Some(report(2)), "{call}");
        }
    }
}

/// Key and salt in base64, the last digit one that leaves no bits over.
fn own_key(suite: Suite) -> String {
    let digits = (suite.secret_length() * 8).div_ceil(6);
    let text: String = "WVNfX19zZW1jdGwgKCkgewkyMjA7"
        .chars()
        .cycle()
        .take(digits - 1)
        .collect();
    text + "A"
}

/// A sender report without blocks (RFC 3550 §6.4.1), and a CNAME.
fn report(ssrc: u32) -> Vec<u8> {
    let mut report = vec![0x80, 200, 0, 6];
    report.extend(ssrc.to_be_bytes());
    report.extend([0; 20]);
    report.extend([0x81, 202, 0, 3]);
    report.extend(ssrc.to_be_bytes());
    report.extend(*b"\x01\x04name\0\0");
    report
}

#[test]
fn a_call_begins_at_the_next_rtpengine_when_one_is_killed() {
    let mut site = Site::new();
    let one = site.buyer("one");
    let mut first = Daemon::start(&site, one);
    let second = Daemon::start(&site, site.next_buyer());
    let desk = Desk::new(&[first.address, second.address]);
    let caller = Phone::new(site.carrier());
    let at_first = |call: &String| desk.offer(call, "buyer", &caller).1 == first.address;
    let call = (0..64).map(|n| format!("call-{n}")).find(at_first);
    let call = call.expect("one of 64 calls goes to each");

    first.process.kill();
    let places: Vec<_> = (100..132)
        .map(|n| desk.offer(&format!("call-{n}"), "buyer", &caller).1)
        .collect();

    assert_eq!(places, [second.address; 32]);
    let gone = desk.ask(
        Some(first.address),
        Request::Delete(names(&call, "buyer"), Scope::Call),
    );
    assert!(
        matches!(gone.result, Err(Failure::Unreachable | Failure::Silent)),
        "{gone:?}"
    );
}

/// A daemon that forwards in user space; it ends when this is dropped.
pub(crate) struct Daemon {
    process: Process,
    pub(crate) address: SocketAddr,
}

impl Daemon {
    fn start(site: &Site, address: Ipv4Addr) -> Self {
        Self::start_at(site, address, &[])
    }

    /// Starts one that relays at `also` too.
    pub(crate) fn start_at(site: &Site, address: Ipv4Addr, also: &[IpAddr]) -> Self {
        let mut command = Command::new("rtpengine");
        command.args(["--config-file=none", "--foreground", "--log-stderr"]);
        command.args(["--log-level=4", "--table=-1", "--num-threads=1"]);
        command.args(["--port-min=20000", "--port-max=20999"]);
        command.arg(format!("--interface={address}"));
        for address in also {
            command.arg(format!("--interface={address}"));
        }
        command.arg(format!("--listen-ng={address}:{PORT}"));
        let name = format!("rtpengine-{address}");
        let mut process = Process::start(&name, &mut command, site.folder(), "rtpengine-daemon");
        let is_ready = eventually(Duration::from_secs(10), || {
            !process.is_running() || is_bound("udp", address, PORT)
        });
        assert!(
            is_ready && process.is_running(),
            "{name} does not listen:\n{}",
            process.said()
        );
        Self {
            process,
            address: (address, PORT).into(),
        }
    }
}

const PORT: u16 = 22222;

/// Asks and waits for the answer.
struct Desk {
    asker: Asker,
    told: Receiver<Told>,
    _client: Client,
}

struct Ears(Sender<Told>);

impl Audience for Ears {
    fn tell(&self, told: Told) {
        self.0.send(told).ok();
    }

    fn count(&self, _: &'static str, _: &'static str, _: Duration) {}

    fn count_resent(&self) {}

    fn note_health(&self, _: SocketAddr, _: bool) {}

    fn note_standing(&self, _: usize, _: usize) {}
}

impl Desk {
    fn new(engines: &[SocketAddr]) -> Self {
        let rtpengines = engines.iter().map(|address| Rtpengine {
            address: *address,
            weight: 1,
        });
        let terms = Terms {
            rtpengines: rtpengines.collect(),
            timeout: Duration::from_secs(1),
            ping: Duration::from_secs(1),
        };
        let (sender, told) = channel();
        let client = Client::start(terms, Ears(sender)).expect("a thread");
        Self {
            asker: client.asker(),
            told,
            _client: client,
        }
    }

    fn ask(&self, place: Option<SocketAddr>, request: Request) -> Told {
        let ticket = Ticket {
            session: SessionId(0),
            round: 1,
        };
        let ask = Ask {
            ticket,
            place,
            request,
        };
        self.asker.ask(ask).expect("there is room");
        self.told
            .recv_timeout(Duration::from_secs(10))
            .expect("an answer")
    }

    fn sdp(&self, told: Told) -> String {
        match told.result {
            Ok(Reply::Sdp(sdp)) => String::from_utf8(sdp.to_vec()).expect("text"),
            other => panic!("no SDP: {other:?}"),
        }
    }

    /// Where `buyer` is told to send to, and the rtpengine of the call.
    fn offer(&self, call: &str, buyer: &str, caller: &Phone) -> (SocketAddr, SocketAddr) {
        self.offer_at(call, buyer, caller, None)
    }

    fn offer_at(
        &self,
        call: &str,
        buyer: &str,
        caller: &Phone,
        place: Option<SocketAddr>,
    ) -> (SocketAddr, SocketAddr) {
        let told = self.ask(place, Request::Offer(exchange(call, buyer, caller)));
        let place = told.place.expect("somebody answered");
        (audio_of(&self.sdp(told)), place)
    }

    /// Where the caller is told to send to.
    fn answer(&self, call: &str, name: &str, buyer: &Phone, place: SocketAddr) -> SocketAddr {
        let answer = Request::Answer(exchange(call, name, buyer));
        audio_of(&self.sdp(self.ask(Some(place), answer)))
    }
}

/// A socket that speaks RTP.
struct Phone {
    socket: UdpSocket,
    address: SocketAddrV4,
}

impl Phone {
    fn new(address: Ipv4Addr) -> Self {
        Self::at(address, 30_000)
    }

    fn at(address: Ipv4Addr, port: u16) -> Self {
        let address = SocketAddrV4::new(address, port);
        let socket = UdpSocket::bind(address).expect("an address of the test's own");
        Self { socket, address }
    }

    fn send(&self, to: SocketAddr, sequence: u16, ssrc: u32) {
        self.send_bytes(to, &packet(sequence, ssrc));
    }

    fn send_bytes(&self, to: SocketAddr, bytes: &[u8]) {
        self.socket.send_to(bytes, to).expect("it is sent");
    }

    /// The next packet, which must come; `None`: it does not.
    fn next(&self) -> Option<Vec<u8>> {
        self.next_within(Duration::from_secs(3))
    }

    fn next_within(&self, limit: Duration) -> Option<Vec<u8>> {
        self.socket.set_read_timeout(Some(limit)).expect("a limit");
        let mut buf = [0; 2000];
        let length = self.socket.recv(&mut buf).ok()?;
        Some(buf[..length].to_vec())
    }

    /// Each SSRC that came, in order of coming, and how many packets: waits for as many as are wanted, and then whether more
    /// come.
    fn heard(&self, wanted: usize) -> Vec<(u32, usize)> {
        let mut packets: Vec<_> = (0..wanted).map_while(|_| self.next()).collect();
        let more = || self.next_within(Duration::from_millis(300));
        packets.extend(iter::from_fn(more));
        let mut heard: Vec<(u32, usize)> = Vec::new();
        for packet in packets {
            assert_eq!(packet.len(), 172);
            let ssrc = u32::from_be_bytes(packet[8..12].try_into().expect("four bytes"));
            match heard.iter_mut().find(|(known, _)| *known == ssrc) {
                Some((_, packets)) => *packets += 1,
                None => heard.push((ssrc, 1)),
            }
        }
        heard
    }

    fn sdp(&self) -> String {
        let (ip, port) = (self.address.ip(), self.address.port());
        format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n\
             a=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
        )
    }
}

/// 20 ms of G.711.
fn packet(sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.resize(172, 0xd5);
    packet
}

fn assert_heard(figures: &Figures, caller: &Phone, buyer: &Phone) {
    let [from_caller, from_buyer] = &figures.parties;
    assert_eq!((from_caller.packets, from_buyer.packets), (20, 20));
    assert_eq!((from_caller.bytes, from_buyer.bytes), (3200, 3200));
    assert_eq!((from_caller.dropped, from_buyer.dropped), (40, 40));
    assert_eq!(from_caller.source, Some(caller.address.into()));
    assert_eq!(from_buyer.source, Some(buyer.address.into()));
}

fn names(call: &str, buyer: &str) -> Names {
    Names {
        call: call.into(),
        caller: "caller".into(),
        buyer: buyer.into(),
    }
}

fn exchange(call: &str, buyer: &str, writer: &Phone) -> Exchange {
    Exchange {
        names: names(call, buyer),
        offerer: Party::Caller,
        is_first: true,
        sdp: writer.sdp().into(),
        sources: Sources::Announced,
        shape: Shape::default(),
    }
}

/// Where the body wants audio to be sent.
fn audio_of(sdp: &str) -> SocketAddr {
    let rest = |start: &str| sdp.lines().find_map(|line| line.strip_prefix(start));
    let ip = rest("c=IN IP4 ").expect("an address");
    let line = rest("m=audio ").expect("audio");
    let port = line.split(' ').next().expect("a port");
    format!("{ip}:{port}").parse().expect("an address")
}
