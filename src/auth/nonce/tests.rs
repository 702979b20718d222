use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

#[test]
fn a_nonce_is_accepted_for_sixty_seconds() {
    let mut bench = Bench::new(8);
    let text = bench.issue();

    bench.pass(LIFE);
    assert!(bench.check(&text).is_ok());
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.check(&text), Err(NonceFault::Stale));
}

#[test]
fn only_the_same_text_in_the_same_realm_is_genuine() {
    let mut bench = Bench::new(8);
    let text = bench.issue();

    for place in 0..NonceText::LEN {
        let mut other = text.0;
        other[place] = if other[place] == b'0' { b'1' } else { b'0' };
        assert_eq!(
            bench.check(&NonceText(other)),
            Err(NonceFault::Forged),
            "{place}"
        );
    }
    let upper = NonceText(text.0.map(|digit| digit.to_ascii_uppercase()));
    assert_eq!(bench.check(&upper), Err(NonceFault::Forged));
    for text in [&text.0[1..], b"", b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcC"] {
        let fault = bench.book.check(bench.now, REALM, text);
        assert_eq!(fault, Err(NonceFault::Forged));
    }
    let elsewhere = bench.book.check(bench.now, "example.net", text.as_bytes());
    assert_eq!(elsewhere, Err(NonceFault::Forged));
}

#[test]
fn another_secret_makes_it_forged_and_another_shard_is_named() {
    let mut bench = Bench::new(8);
    let text = bench.issue();
    let stranger = NonceBook::new(&[8; 32], ShardId(1), bench.now, 8);
    let sibling = NonceBook::new(&[7; 32], ShardId(2), bench.now, 8);

    let at_stranger = stranger.check(bench.now, REALM, text.as_bytes());
    let at_sibling = sibling.check(bench.now, REALM, text.as_bytes());

    assert_eq!(at_stranger, Err(NonceFault::Forged));
    assert_eq!(at_sibling, Err(NonceFault::Elsewhere(ShardId(1))));
}

#[test]
fn a_nonce_says_where_it_was_sent_and_all_shards_agree() {
    let mut bench = Bench::new(8);
    let sibling = NonceBook::new(&[7; 32], ShardId(2), bench.now, 8);
    let stranger = NonceBook::new(&[8; 32], ShardId(1), bench.now, 8);
    let mut place = |book: &NonceBook, address: &str| {
        let address = address.parse().unwrap();
        let text = book.issue(bench.now, &mut bench.entropy, REALM, address);
        book.check(bench.now, REALM, text.as_bytes())
            .unwrap()
            .place()
    };

    let home = place(&bench.book, "192.0.2.7");
    assert_eq!(place(&bench.book, "::ffff:192.0.2.7"), home);
    assert_eq!(place(&sibling, "192.0.2.7"), home);
    assert_ne!(place(&bench.book, "192.0.2.8"), home);
    assert_ne!(place(&stranger, "192.0.2.7"), home, "nobody can tell");
}

#[test]
fn two_nonces_of_one_moment_differ() {
    let mut bench = Bench::new(8);

    assert!(bench.issue() != bench.issue());
}

#[test]
fn a_count_is_used_up_once_and_only_a_window_goes_back() {
    let mut bench = Bench::new(8);
    let nonce = bench.nonce();

    for (count, want) in [
        (5, true),
        (5, false),
        (1, true),
        (1, false),
        (0, true),
        (70, true),
        (7, true),
        (7, false),
        (6, false),
        (5, false),
        (71, true),
        (7, false),
        (8, true),
        (u32::MAX, true),
        (u32::MAX, false),
        (u32::MAX - 63, true),
        (u32::MAX - 64, false),
        (1, false),
    ] {
        assert_eq!(bench.use_count(nonce, count), want, "{count}");
    }
    assert_eq!(bench.book.len(), 1);
}

#[test]
fn the_table_forgets_the_dead_and_issuing_fills_nothing() {
    let mut bench = Bench::new(8);
    let first = bench.nonce();
    assert!(bench.use_count(first, 1));
    for _ in 0..100 {
        bench.issue();
    }
    assert_eq!(bench.book.len(), 1);

    bench.pass(LIFE + Duration::from_millis(1));
    let second = bench.nonce();
    assert!(bench.use_count(second, 1));

    assert_eq!(bench.book.len(), 1);
}

#[test]
fn a_full_table_makes_old_nonces_stale_and_never_takes_a_count_twice() {
    let mut bench = Bench::new(2);
    let texts: Vec<_> = (0..4)
        .map(|_| {
            bench.pass(Duration::from_millis(1));
            bench.issue()
        })
        .collect();

    // In this order the last one comes to a full table as the oldest of all.
    for index in [1, 2, 3, 0] {
        let Ok(nonce) = bench.check(&texts[index]) else {
            assert_eq!(index, 0);
            continue;
        };
        assert!(bench.use_count(nonce, 1));
    }
    let again: Vec<_> = texts
        .iter()
        .map(|text| match bench.check(text) {
            Ok(nonce) => Ok(bench.use_count(nonce, 1)),
            Err(fault) => Err(fault),
        })
        .collect();

    let stale = Err(NonceFault::Stale);
    assert_eq!(again, [stale, stale, Ok(false), Ok(false)]);
    assert_eq!(bench.book.len(), 2);
}

#[test]
fn a_table_made_smaller_keeps_the_newest() {
    let mut bench = Bench::new(9);
    let texts = [1, 2, 3].map(|_| {
        bench.pass(Duration::from_millis(10));
        let text = bench.issue();
        let nonce = bench.check(&text).unwrap();
        assert!(bench.use_count(nonce, 1));
        text
    });

    bench.book.set_capacity(2);
    bench.pass(Duration::from_millis(10));
    let last = bench.nonce();

    assert!(bench.use_count(last, 1));
    assert_eq!(bench.book.len(), 2);
    let found = texts.map(|text| bench.check(&text).is_ok());
    assert_eq!(found, [false, false, true]);
}

#[test]
fn the_oldest_newcomer_to_a_full_table_gets_one_use() {
    let mut bench = Bench::new(1);
    let old = bench.issue();
    bench.pass(Duration::from_millis(1));
    let young = bench.nonce();
    assert!(bench.use_count(young, 1));

    let nonce = bench.check(&old).unwrap();
    assert!(bench.use_count(nonce, 1));

    assert_eq!(bench.check(&old), Err(NonceFault::Stale));
    assert!(!bench.use_count(young, 1));
    assert!(bench.use_count(young, 2));
}

proptest! {
    #[test]
    fn no_count_of_a_nonce_is_taken_twice(
        capacity in 0_usize..6,
        uses in prop::collection::vec((0_usize..8, 0_u32..80, 0_u64..9_000), 0..200),
    ) {
        let mut bench = Bench::new(capacity);
        let mut texts: Vec<_> = (0..8).map(|_| bench.issue()).collect();
        let mut taken = BTreeSet::new();
        for (index, count, millis) in uses {
            bench.pass(Duration::from_millis(millis));
            match bench.check(&texts[index]) {
                Ok(nonce) => {
                    if bench.use_count(nonce, count) {
                        prop_assert!(taken.insert((nonce, count)));
                    }
                }
                Err(fault) => {
                    prop_assert_eq!(fault, NonceFault::Stale);
                    texts[index] = bench.issue();
                }
            }
            prop_assert!(bench.book.len() <= capacity);
        }
    }
}

const REALM: &str = "example.com";

struct Bench {
    book: NonceBook,
    entropy: Entropy,
    now: Instant,
}

impl Bench {
    #[expect(
        clippy::disallowed_methods,
        reason = "some start is needed; no test reads on"
    )]
    fn new(capacity: usize) -> Self {
        let now = Instant::now();
        Self {
            book: NonceBook::new(&[7; 32], ShardId(1), now, capacity),
            entropy: Entropy::from_seed([3; 32]),
            now,
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn issue(&mut self) -> NonceText {
        self.book.issue(self.now, &mut self.entropy, REALM, HOME)
    }

    fn nonce(&mut self) -> Nonce {
        let text = self.issue();
        self.check(&text).unwrap()
    }

    fn check(&self, text: &NonceText) -> Result<Nonce, NonceFault> {
        self.book.check(self.now, REALM, text.as_bytes())
    }

    fn use_count(&mut self, nonce: Nonce, count: u32) -> bool {
        self.book.use_count(self.now, nonce, count)
    }
}
