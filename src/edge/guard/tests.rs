//! Guards of several shards, and what they tell one another.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::call::policy::TrunkId;
use crate::config::{Texts, load};
use crate::net::clock;
use crate::sip::flow::{Flow, ListenerId, PeerId, Transport};
use crate::sip::locate::{Answer, Answers, Located, Question, Step, Wanted, locate};

#[test]
fn a_scanner_with_a_port_for_each_shard_has_as_many_tries_as_one() {
    for shards in [1, 2, 4, 7] {
        let mut edge = Edge::new(shards);

        let tries = (0..)
            .take_while(|port| edge.is_refused(port % shards))
            .count();

        assert_eq!(tries, 20, "{shards} shards");
        for shard in 0..shards {
            assert!(edge.is_shut(shard), "{shard} of {shards}");
        }
        assert_eq!(edge.bans, 1, "counted once");
    }
}

#[test]
fn a_shard_that_missed_the_news_of_a_ban_hears_it_when_it_tells_of_an_offence() {
    let mut edge = Edge::new(4);
    let home = usize::from(edge.guards[0].home(SCANNER.into()).0);
    let (deaf, other) = ((home + 1) % 4, (home + 2) % 4);
    edge.deaf = Some(deaf);
    while edge.is_refused(other) {}
    edge.deaf = None;
    assert!(!edge.is_shut(deaf));

    assert!(edge.is_refused(deaf));

    assert!(edge.is_shut(deaf));
    assert_eq!(edge.bans, 1, "counted once");
    edge.now += Duration::from_secs(61);
    for shard in 0..4 {
        assert!(!edge.is_shut(shard), "it ends everywhere at once");
    }
}

#[test]
fn a_friend_of_one_shard_is_a_friend_of_all_and_the_news_is_told_once_an_hour() {
    let mut edge = Edge::new(3);
    while edge.is_refused(0) {}
    let login = Event::LoggedIn {
        flow: flow(),
        trunk: TrunkId(0),
    };

    let letters = edge.happens(1, &login);
    assert_eq!(letters, 2);
    assert_eq!(edge.happens(2, &login), 0);

    for shard in 0..3 {
        assert!(!edge.is_shut(shard));
        for _ in 0..100 {
            assert!(edge.is_refused(shard), "nobody counts that of a friend");
        }
    }
    edge.now += Duration::from_secs(3601);
    assert_eq!(edge.happens(2, &login), 2);
}

#[test]
fn what_one_shard_bans_for_coming_too_often_no_shard_hears() {
    let mut edge = Edge::new(4);
    let flooded = usize::from(edge.guards[0].home(SCANNER.into()).0 + 1) % 4;

    let mut letters = 0;
    for _ in 0..400 {
        letters += edge.comes(flooded);
    }

    assert_eq!(letters, 3, "the ban alone");
    for shard in 0..4 {
        assert!(edge.is_shut(shard), "{shard}");
    }
}

/// Whatever happens in whatever order, with letters lost: a sender is heard again when its ban is over, a friend is never shut out, and
/// nobody has more tries than a few per ban, however many shards there are.
#[test]
fn any_course_of_events_ends_well() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut dice = |sides: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % sides
    };
    for _ in 0..500 {
        let shards = 1 + dice(5);
        let mut edge = Edge::new(shards);
        let mut friend_until = None;
        let (mut tries, mut since) = (0, edge.now);
        for _ in 0..400 {
            let shard = dice(shards);
            edge.deaf = (dice(4) == 0).then(|| dice(shards));
            match dice(100) {
                0 => {
                    edge.deaf = None;
                    let flow = flow();
                    let trunk = TrunkId(0);
                    edge.happens(shard, &Event::LoggedIn { flow, trunk });
                    friend_until = Some(edge.now + Duration::from_secs(22 * 3600));
                }
                1..5 => {
                    let pause = [1, 5, 61, 3700, 90_000][dice(5)];
                    edge.now += Duration::from_secs(pause);
                }
                _ => tries += usize::from(edge.is_refused(shard)),
            }
            let is_friend = friend_until.is_some_and(|until| edge.now < until);
            if is_friend {
                assert!((0..shards).all(|shard| !edge.is_shut(shard)));
            }
            if is_friend || edge.now > since + Duration::from_secs(50) {
                (tries, since) = (0, edge.now);
            }
            // Twenty, and one more for each shard that a letter to was lost, as often as one may be.
            assert!(
                tries <= 60,
                "{tries} tries within a window, {shards} shards"
            );
        }
        edge.now += Duration::from_secs(2 * 90_000);
        assert!((0..shards).all(|shard| !edge.is_shut(shard)));
    }
}

const SCANNER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 66));

/// The guards of one edge, and the letters between them.
struct Edge {
    guards: Vec<Guard>,
    now: Instant,
    /// Bans that were counted.
    bans: usize,
    /// The shard that gets no letter.
    deaf: Option<usize>,
}

impl Edge {
    fn new(shards: usize) -> Self {
        let text = include_str!("../../../conf/minimal.toml");
        let settings = load(Path::new("m.toml"), &Texts::of("m.toml", text), 1).unwrap();
        let policy = Arc::new(settings.policy);
        let now = clock::now();
        let guard = |id: usize| {
            let own = ShardId(u8::try_from(id).unwrap());
            Guard::new(now, [7; 16], (own, shards), Arc::clone(&policy))
        };
        Self {
            guards: (0..shards).map(guard).collect(),
            now,
            bans: 0,
            deaf: None,
        }
    }

    /// A request that the guard of this shard lets pass is refused; `false`: it did not pass.
    fn is_refused(&mut self, shard: usize) -> bool {
        if self.is_shut(shard) {
            return false;
        }
        self.happens(
            shard,
            &Event::Refused {
                why: Refusal::UnknownAddress,
                flow: flow(),
                status: Some(403),
            },
        );
        true
    }

    fn is_shut(&mut self, shard: usize) -> bool {
        let ban = self.guards[shard].bans.ban_of(self.now, SCANNER);
        ban.is_some()
    }

    /// How many letters a datagram leads to.
    fn comes(&mut self, shard: usize) -> usize {
        let (_, tidings) = self.guards[shard].judge(self.now, SCANNER, b"x");
        self.spread(shard, tidings)
    }

    /// How many letters an event leads to.
    fn happens(&mut self, shard: usize, event: &Event) -> usize {
        let tidings = self.guards[shard].handle_event(self.now, event);
        self.spread(shard, tidings)
    }

    fn spread(&mut self, shard: usize, tidings: Option<Tidings>) -> usize {
        let mut letters = 0;
        let mut waiting: VecDeque<_> = tidings.map(|one| (shard, one)).into_iter().collect();
        while let Some((from, tidings)) = waiting.pop_front() {
            let (whom, notice) = match tidings {
                Tidings::Banned { ban, .. } => {
                    self.bans += 1;
                    (None, Notice::Banned(ban))
                }
                Tidings::Tell(shard, notice) => (Some(usize::from(shard.0)), notice),
                Tidings::TellAll(notice) => (None, notice),
            };
            for to in (0..self.guards.len()).filter(|to| *to != from) {
                if whom.is_some_and(|whom| whom != to) {
                    continue;
                }
                letters += 1;
                if self.deaf != Some(to) {
                    let sender = ShardId(u8::try_from(from).unwrap());
                    let more = self.guards[to].handle_notice(self.now, sender, notice);
                    waiting.extend(more.map(|one| (to, one)));
                }
            }
            assert!(letters < 100, "it goes in circles");
        }
        letters
    }
}

fn flow() -> Flow {
    Flow {
        transport: Transport::Udp,
        listener: ListenerId(0),
        remote: SocketAddr::new(SCANNER, 5060),
        peer: PeerId::NOBODY,
    }
}

/// A buyer that DNS found may send as much as one whose address is written down, and is not banned for a BYE that
/// comes too late; where nobody was found, both are a stranger's.
#[test]
fn a_buyer_that_dns_found_is_no_stranger() {
    let (now, policy) = (clock::now(), Arc::new(named_policy()));
    let mut guard = Guard::new(now, [7; 16], (ShardId(0), 1), Arc::clone(&policy));
    let [buyer, stranger] = ["198.51.100.20", "198.51.100.21"].map(|ip| ip.parse().unwrap());
    let wanted = Arc::clone(policy.names().next().unwrap());
    let located = Some(Arc::new(located(&wanted, buyer)));
    guard.handle_told(now, &Told { wanted, located });

    for (address, is_welcome) in [(buyer, true), (stranger, false)] {
        for _ in 0..200 {
            guard.judge(now, address, b"BYE sip:us SIP/2.0\r\n");
        }
        let bans = (0..50).filter_map(|_| guard.handle_event(now, &late_bye(address)));

        assert_eq!(bans.count() > 0, !is_welcome);
        let (standing, _) = guard.judge(now, address, b"BYE sip:us SIP/2.0\r\n");
        let expected = if is_welcome {
            Standing::Welcome(Payer::Other)
        } else {
            Standing::Shut(Shut::Banned)
        };
        assert_eq!(standing, expected);
        assert_eq!(guard.is_stranger(now, address), !is_welcome);
    }
}

fn late_bye(address: IpAddr) -> Event {
    Event::Refused {
        why: Refusal::NoDialog,
        flow: Flow {
            transport: Transport::Udp,
            listener: ListenerId(0),
            remote: (address, 5060).into(),
            peer: PeerId::NOBODY,
        },
        status: Some(481),
    }
}

fn located(wanted: &Wanted, address: IpAddr) -> Located {
    let name = wanted.name();
    let answers = Answers::from([
        (Question::A(name.into()), Answer::Addresses(vec![address])),
        (Question::Aaaa(name.into()), Answer::Addresses(Vec::new())),
    ]);
    match locate(wanted, &answers) {
        Step::Done(located) => located,
        other @ (Step::Ask(_) | Step::Nowhere { .. }) => panic!("{other:?}"),
    }
}

fn named_policy() -> Policy {
    let text = include_str!("../../../conf/minimal.toml")
        .replace("203.0.113.20", "buyer.example.com:5060");
    let source = Texts::of("strowger.toml", text);
    let settings = load(Path::new("strowger.toml"), &source, 1);
    settings.unwrap_or_else(|faults| panic!("{faults}")).policy
}
