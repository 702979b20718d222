//! One call whose caller offers anything, and whose buyer takes all of it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use strowger::media::commons::Commons;
use strowger::media::plan::{Gate, Party, SessionId, Sources};
use strowger::media::sdp::read::{MAX_LINES, MAX_MEDIA, MAX_TEXT, Sdp};
use strowger::media::sdp::trim::{Cut, trim};
use strowger::media::session::{OtherMedia, Session, Srtp, Supply, Terms};

/// A description is its lines. What goes on names no address that its sender had to name and no key of its, and says
/// nothing that was not said but what is ours; all ports come back.
pub fn sdp(data: &[u8]) {
    let Ok(sdp) = Sdp::read(data) else {
        return;
    };
    check_lines(data, &sdp);
    check_trimmed(&sdp);
    for srtp in [Srtp::Refuse, Srtp::Allow, Srtp::Require] {
        let mut ports = Ports::default();
        let mut session = Session::new(SessionId(1), terms(Srtp::Allow));
        session.next_buyer(terms(srtp), &mut ports);
        if let Ok(told) = session.offer(Party::Caller, data, &mut ports) {
            check_told(data, &told);
            check_ports(&session, &ports);
            // The buyer takes all, early and finally, then the hunt goes on.
            let answer = moved(&told);
            for _ in 0..2 {
                if let Ok(told) = session.answer(Party::Buyer, &answer, &mut ports) {
                    check_told(&answer, &told);
                }
                check_ports(&session, &ports);
            }
            session.next_buyer(terms(srtp), &mut ports);
            if let Ok(again) = session.offer(Party::Caller, data, &mut ports) {
                check_told(data, &again);
            }
            check_ports(&session, &ports);
        }
        if session.take_moved().is_some() {
            let answer = moved(session.told(Party::Buyer));
            let _ = session.confirm(Party::Buyer, &answer, &mut ports);
        }
        session.end(&mut ports);
        assert!(ports.taken.is_empty());
        let mut claims = ports.commons.iter().map(|one| one.counts().claims);
        assert!(claims.all(|claims| claims == 0));
    }
}

fn check_lines(data: &[u8], sdp: &Sdp<'_>) {
    assert!(sdp.lines().len() <= MAX_LINES && sdp.media_count() <= MAX_MEDIA);
    let mut text = Vec::new();
    for line in sdp.lines() {
        assert!(!line.text().iter().any(|byte| b"\r\n\0".contains(byte)));
        text.extend_from_slice(line.text());
        text.push(b'\n');
    }
    let mut plain: Vec<u8> = Vec::new();
    for line in data.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.is_empty() {
            plain.extend_from_slice(line);
            plain.push(b'\n');
        }
    }
    assert_eq!(text, plain);
    for media in sdp.media() {
        let _ = media.formats();
        let _ = media.listens();
    }
}

/// What another media plane gets is a description with as many lines of media, in which nothing is new.
fn check_trimmed(sdp: &Sdp<'_>) {
    for is_refused in [false, true] {
        let cut = match is_refused {
            true => Cut::Refused,
            false => Cut::Kept {
                kept: None,
                direction: None,
            },
        };
        let trimmed = trim(sdp, &vec![cut; sdp.media_count()]);
        let Ok(told) = Sdp::read(&trimmed) else {
            // Only for its length: a line may become a little longer.
            assert!(trimmed.len() > MAX_TEXT / 2 || sdp.lines().len() >= MAX_LINES - 1);
            continue;
        };
        assert_eq!(told.media_count(), sdp.media_count());
        assert!(
            told.media()
                .all(|media| !is_refused || media.head.port == 0)
        );
        let said: BTreeSet<_> = sdp.lines().iter().map(|line| line.text()).collect();
        for line in told.lines() {
            assert!(b"mst".contains(&line.kind()) || said.contains(line.text()));
        }
    }
}

/// What `told` says and `heard` did not is ours.
fn check_told(heard: &[u8], told: &[u8]) {
    let (Ok(heard), Ok(told)) = (Sdp::read(heard), Sdp::read(told)) else {
        panic!("what is told can be read: {}", told.escape_ascii());
    };
    assert_eq!(heard.media_count(), told.media_count());
    let said: BTreeSet<_> = heard.lines().iter().map(|line| line.text()).collect();
    for line in told.lines() {
        let is_ours = match line.attribute() {
            None => b"vosctm".contains(&line.kind()),
            Some((name, _)) => DIRECTIONS.contains(&name) || name == b"crypto",
        };
        assert!(is_ours || said.contains(line.text()));
        if line.attribute().is_some_and(|(name, _)| name == b"crypto") {
            assert!(!said.contains(line.text()));
        }
    }
    for line in heard.lines().iter().filter(|line| line.kind() == b'c') {
        let Some(address) = line.value().split(|byte| *byte == b' ').nth(2) else {
            continue;
        };
        let Some(address) = std::str::from_utf8(address)
            .ok()
            .and_then(|text| text.parse().ok())
        else {
            continue;
        };
        let address: IpAddr = address;
        // Who names our own address is told of it all the same.
        let is_ours = [OWN_4.into(), OWN_6.into()].contains(&address);
        assert!(
            address.is_unspecified()
                || is_ours
                || !told.lines().iter().any(|line| names(line.value(), address))
        );
    }
}

const DIRECTIONS: [&[u8]; 4] = [b"sendrecv", b"sendonly", b"recvonly", b"inactive"];

/// Whether `address` is a word of `value`.
fn names(value: &[u8], address: IpAddr) -> bool {
    value
        .split(|byte| byte.is_ascii_whitespace())
        .filter_map(|word| std::str::from_utf8(word).ok())
        .any(|word| word.parse() == Ok(address))
}

fn check_ports(session: &Session, ports: &Ports) {
    let mut named = BTreeSet::new();
    for stream in session.plan().streams {
        for end in stream.ends {
            let gate = end.gate;
            assert!(gate.is_shared || (named.insert(gate) && ports.taken.contains(&gate)));
        }
    }
}

/// The same from other addresses, as if a buyer had said it.
fn moved(told: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(told)
        .replace(&OWN_4.to_string(), "198.51.100.20")
        .replace(&OWN_6.to_string(), "2001:db8:ffff::20")
        .into_bytes()
}

const OWN_4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
const OWN_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 5);

fn terms(srtp: Srtp) -> Terms {
    Terms {
        codecs: None,
        other_media: OtherMedia::Relay,
        srtp,
        sources: Sources::Announced,
        // Whoever listens at one place on two lines cannot share a port with itself.
        is_shared: srtp != Srtp::Refuse,
        is_ipv6: srtp == Srtp::Require,
    }
}

struct Ports {
    taken: BTreeSet<Gate>,
    next: u16,
    dice: u64,
    commons: [Commons; 2],
}

impl Default for Ports {
    fn default() -> Self {
        let commons = |address: IpAddr| Commons::new(address, address, [60_000, 60_002]);
        Self {
            taken: BTreeSet::new(),
            next: 0,
            dice: 0,
            commons: [commons(OWN_4.into()), commons(OWN_6.into())],
        }
    }
}

impl Supply for Ports {
    fn take(&mut self, is_ipv6: bool) -> Option<Gate> {
        self.next += 2;
        let address = if is_ipv6 { OWN_6.into() } else { OWN_4.into() };
        let gate = Gate {
            address,
            port: self.next,
            is_shared: false,
        };
        assert!(self.taken.insert(gate));
        Some(gate)
    }

    fn give_back(&mut self, gate: Gate) {
        assert!(self.taken.remove(&gate));
    }

    fn commons(&mut self, is_ipv6: bool) -> Option<&mut Commons> {
        let [v4, v6] = &mut self.commons;
        Some(if is_ipv6 { v6 } else { v4 })
    }

    fn told(&self, gate: Gate) -> IpAddr {
        gate.address
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            // Knuth's MMIX generator: no key comes twice.
            self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005);
            self.dice = self.dice.wrapping_add(1_442_695_040_888_963_407);
            *byte = (self.dice >> 56) as u8;
        }
    }
}
