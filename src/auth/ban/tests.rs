use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const REFUSAL: Weight = Weight(10);

#[test]
fn twenty_refusals_ban_and_each_ban_is_twice_as_long() {
    let (mut bans, mut now) = bench(Rules::default());
    let one = address(1);
    let mut lengths = Vec::new();

    for _ in 0..9 {
        let mut refusals = 0;
        let ban = loop {
            refusals += 1;
            if let Some(ban) = bans.charge(now, one, REFUSAL) {
                break ban;
            }
        };
        assert_eq!(refusals, 20);
        assert_eq!(bans.judge(now, one), Verdict::Drop(Shut::Banned));
        assert_eq!(bans.charge(now, one, REFUSAL), None, "it is banned already");
        lengths.push(ban.length.as_secs() / 60);
        now += ban.length;
        assert_eq!(bans.judge(now, one), Verdict::Read);
    }

    assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
}

#[test]
fn a_ban_is_forgotten_after_the_longest_one() {
    let (mut bans, now) = bench(Rules::default());
    let ban = |bans: &mut Bans, now| {
        let charged: Vec<_> = (0..20)
            .filter_map(|_| bans.charge(now, address(1), REFUSAL))
            .collect();
        charged[0].length
    };

    assert_eq!(ban(&mut bans, now), MINUTE);
    let later = now + MINUTE + Duration::from_secs(3601);

    assert_eq!(ban(&mut bans, later), MINUTE);
}

#[test]
fn what_is_slow_enough_is_never_banned() {
    let (mut bans, now) = bench(Rules::default());

    for count in 0..1000 {
        let at = now + count * Duration::from_millis(3001);
        assert_eq!(bans.charge(at, address(1), REFUSAL), None, "{count}");
    }
}

#[test]
fn a_stranger_has_a_burst_and_a_rate_and_others_have_their_own() {
    let (mut bans, now) = bench(Rules::default());
    let read = |bans: &mut Bans, at, one| {
        let passed = (0..1000).filter(|_| bans.judge(at, one) == Verdict::Read);
        passed.count()
    };

    assert_eq!(read(&mut bans, now, address(1)), 100);
    assert_eq!(bans.judge(now, address(1)), Verdict::Drop(Shut::Rate));
    let later = now + Duration::from_secs(1);
    assert_eq!(read(&mut bans, later, address(1)), 20);
    assert_eq!(read(&mut bans, later, address(2)), 100);
}

#[test]
fn an_ipv6_network_is_one_stranger() {
    let (mut bans, now) = bench(Rules::default());
    let passed = (0..1000_u128).filter(|host| {
        let address = IpAddr::V6((0x2001_0db8_u128 << 96 | host).into());
        bans.judge(now, address) == Verdict::Read
    });

    assert_eq!(passed.count(), 100);
}

#[test]
fn all_strangers_together_have_a_budget() {
    let rules = Rules {
        strangers: 1000,
        ..Rules::default()
    };
    let (mut bans, now) = bench(rules);
    let mut read = 0;
    for ms in 0..2000 {
        for host in 0..20 {
            let address = address(ms * 20 + host);
            let at = now + Duration::from_millis(u64::from(ms));
            read += u32::from(bans.judge(at, address) == Verdict::Read);
        }
    }

    assert!((2100..=2300).contains(&read), "{read}");
}

#[test]
fn a_friend_is_neither_counted_nor_banned_and_no_ban_holds_against_it() {
    let (mut bans, now) = bench(Rules::default());
    let one = address(1);
    for _ in 0..20 {
        bans.charge(now, one, REFUSAL);
    }
    assert_eq!(bans.active(now), 1);

    bans.befriend(now, one, 7);

    assert_eq!((bans.active(now), bans.friend(now, one)), (0, Some(7)));
    for _ in 0..1000 {
        assert_eq!(bans.charge(now, one, REFUSAL), None);
        assert_eq!(bans.judge(now, one), Verdict::Friend(7));
    }
    let next_day = now + Duration::from_secs(24 * 3600);
    assert_eq!(bans.judge(next_day, one), Verdict::Read);
    assert_eq!(bans.friend(next_day, one), None);
}

#[test]
fn a_banned_sender_is_heard_now_and_then_if_it_calls() {
    let (mut bans, now) = bench(Rules::default());
    for _ in 0..20 {
        bans.charge(now, address(1), REFUSAL);
    }

    for has_credentials in [false, true] {
        let pass = |_: &u32| bans.lets_invite_pass(now, address(1), has_credentials);
        assert_eq!((0..100).filter(pass).count(), 2, "{has_credentials}");
    }
    let seconds = (1..=60).filter(|second| {
        let at = now + Duration::from_secs(*second);
        bans.lets_invite_pass(at, address(1), false)
    });
    assert_eq!(seconds.count(), 30);
}

#[test]
fn a_million_senders_take_the_room_of_those_that_fit() {
    let rules = Rules {
        senders: 1024,
        strangers: 0,
        ..Rules::default()
    };
    let (mut bans, now) = bench(rules);
    for host in 0..1_000_000 {
        bans.judge(now, address(host));
    }

    assert_eq!(bans.sets.len() * WAYS, 1024);
    assert!(size_of::<Place>() <= 72, "{}", size_of::<Place>());
}

#[test]
fn a_flood_from_everywhere_washes_out_neither_friends_nor_bans() {
    let rules = Rules {
        senders: 1024,
        ..Rules::default()
    };
    let (mut bans, now) = bench(rules);
    for host in 0..50 {
        for _ in 0..20 {
            bans.charge(now, address(host), REFUSAL);
        }
        bans.befriend(now, address(1000 + host), host);
    }
    let (banned, friends) = (bans.active(now), 50);

    let mut at = now;
    for host in 0..100_000 {
        at = now + Duration::from_micros(u64::from(host) * 50);
        bans.judge(at, address(1_000_000 + host));
        bans.charge(at, address(1_000_000 + host), REFUSAL);
    }

    assert_eq!(bans.active(at), banned);
    let left = (0..50).filter(|host| bans.friend(at, address(1000 + host)) == Some(*host));
    assert_eq!(left.count(), friends);
}

#[test]
fn zeroes_switch_off() {
    let rules = Rules {
        refusals: 0,
        rate: 0,
        strangers: 0,
        ..Rules::default()
    };
    let (mut bans, now) = bench(rules);

    for _ in 0..10_000 {
        assert_eq!(bans.judge(now, address(1)), Verdict::Read);
        assert_eq!(bans.charge(now, address(1), Weight(100)), None);
    }
    assert!(bans.sets.is_empty(), "nobody is written down");
}

fn bench(rules: Rules) -> (Bans, Instant) {
    #[expect(
        clippy::disallowed_methods,
        reason = "some start is needed; no test reads on"
    )]
    let now = Instant::now();
    (Bans::new(now, [7; 16], rules), now)
}

fn address(host: u32) -> IpAddr {
    IpAddr::V4((0x0a00_0000 + host).into())
}
