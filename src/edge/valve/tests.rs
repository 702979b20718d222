use std::collections::VecDeque;

use super::*;
use crate::net::clock;

const MS: Duration = Duration::from_millis(1);
const INVITE: &[u8] = b"INVITE sip:a@b SIP/2.0\r\nTo: <sip:a@b>\r\n\r\n";

#[test]
fn two_windows_above_the_target_shed_new_calls_within_200_ms() {
    let (mut valve, start) = bench();

    for ms in 0..=200 {
        valve.observe(start + ms * MS, 0, Some(60 * MS));
        let stage = match ms {
            0..100 => "calm",
            100..200 => "strained",
            _ => "shedding",
        };
        assert_eq!(name(&valve), stage, "{ms}");
    }
}

#[test]
fn a_queue_that_is_empty_now_and_then_is_no_overload() {
    let (mut valve, start) = bench();

    for ms in 0..2000 {
        // The process has its turn for 15 ms in 100, as in a cgroup with a quota.
        let phase = ms % 100;
        if phase < 15 {
            let wait = if phase < 10 { 85 - phase } else { 0 };
            valve.observe(start + ms * MS, 0, Some(wait * MS));
        }
        assert_eq!(name(&valve), "calm");
    }
}

/// The kernel stamps with the time of day, which an operator may set.
#[test]
fn row_34_a_clock_that_jumps_sheds_nothing() {
    let (mut valve, start) = bench();
    let hour = 3600 * 1000 * MS;
    let mut dropped = 0;

    for ms in 0..10_000 {
        // What was on its way while the clock was set forward seems to have waited for an hour; set back, for nothing.
        let wait = match ms {
            5000 => hour,
            7000 => Duration::ZERO,
            _ => MS,
        };
        valve.observe(start + ms * MS, 0, Some(wait));
        dropped += u32::from(!valve.is_open(Some(wait)));
        assert_eq!(name(&valve), "calm");
    }

    assert_eq!(dropped, 1, "one batch of INVITEs, which come again");
}

#[test]
fn the_worst_port_counts() {
    let (mut valve, start) = bench();

    for ms in 0..=200 {
        valve.observe(start + ms * MS, 0, Some(60 * MS));
        valve.observe(start + ms * MS, 1, Some(MS));
    }

    assert_eq!(name(&valve), "shedding");
    assert_eq!(valve.take_worst(), 60 * MS);
}

#[test]
fn what_goes_first_and_what_never_goes() {
    let (mut valve, now) = shedding();
    valve.observe(now, 0, Some(MS));
    let payer = Some(Payer::Trunk(0));
    let within = |method: &str| format!("{method} sip:a@b SIP/2.0\r\nTo: <sip:a@b>;tag=x\r\n\r\n");
    let outside = |method: &str| format!("{method} sip:a@b SIP/2.0\r\nTo: <sip:a@b>\r\n\r\n");

    for payer in [payer, None] {
        for method in ["ACK", "BYE", "PRACK", "INVITE", "UPDATE", "INFO"] {
            assert_eq!(judge(&mut valve, payer, &within(method)), Passage::Read);
        }
        for method in ["ACK", "BYE", "CANCEL", "PRACK"] {
            assert_eq!(judge(&mut valve, payer, &outside(method)), Passage::Read);
        }
        let response = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=b\r\n\r\n";
        assert_eq!(judge(&mut valve, payer, response), Passage::Read);
        assert_eq!(judge(&mut valve, payer, "junk"), Passage::Drop(STRAINED));
    }
    for method in ["INVITE", "OPTIONS", "REGISTER", "MESSAGE", "SUBSCRIBE"] {
        let dropped = judge(&mut valve, None, &outside(method));
        assert_eq!(dropped, Passage::Drop(STRAINED), "{method}");
    }
    // A carrier that asks whether we live is told so, but not a flood.
    let told = (0..50).filter(|_| judge(&mut valve, payer, &outside("OPTIONS")) == Passage::Read);
    assert_eq!(told.count(), 10);
}

#[test]
fn an_invite_that_has_waited_too_long_is_dropped_at_any_time() {
    let (mut valve, now) = bench();
    valve.observe(now, 0, Some(400 * MS));
    let glance = Glance::at(INVITE);
    let payer = Some(Payer::Trunk(0));

    assert!(valve.is_open(Some(399 * MS)) && !valve.is_open(Some(400 * MS)));
    let old = valve.judge(payer, &glance, Some(400 * MS));
    assert_eq!(old, Passage::Drop(STALE));
    let fresh = valve.judge(payer, &glance, Some(399 * MS));
    assert_eq!(fresh, Passage::Read);
    let bye = b"BYE sip:a@b SIP/2.0\r\nTo: <sip:a@b>;tag=x\r\n\r\n";
    let old = valve.judge(payer, &Glance::at(bye), Some(9000 * MS));
    assert_eq!(old, Passage::Read);
}

#[test]
fn a_trunk_that_floods_takes_nothing_from_one_that_does_not() {
    let (mut valve, mut now) = shedding();
    let (mut quiet, mut loud) = (0, 0);
    for _ in 0..20 {
        now += WINDOW;
        // Just late enough to stay as it is.
        valve.observe(now, 0, Some(40 * MS));
        for call in 0..200 {
            let of_loud = judge(&mut valve, Some(Payer::Trunk(1)), INVITE_TEXT);
            loud += u32::from(of_loud == Passage::Read);
            if call % 20 == 0 {
                let of_quiet = judge(&mut valve, Some(Payer::Trunk(2)), INVITE_TEXT);
                quiet += u32::from(of_quiet == Passage::Read);
            }
        }
    }

    assert!(quiet >= 190, "{quiet} of 200");
    assert!((1000..2000).contains(&loud), "{loud} of 4000");
}

#[test]
fn shares_below_one_are_saved_up() {
    let (mut valve, mut now) = bench();
    for _ in 0..=2 {
        valve.observe(now, 0, Some(60 * MS));
        judge(&mut valve, Some(Payer::Trunk(0)), INVITE_TEXT);
        now += WINDOW;
    }
    let mut admitted = [0; 10];
    for _ in 0..100 {
        valve.observe(now, 0, Some(40 * MS));
        for trunk in 0..10 {
            let passage = judge(&mut valve, Some(Payer::Trunk(trunk)), INVITE_TEXT);
            admitted[trunk as usize] += u32::from(passage == Passage::Read);
        }
        now += WINDOW;
    }

    let (least, most) = (
        admitted.iter().min().unwrap(),
        admitted.iter().max().unwrap(),
    );
    assert!(*least >= 5 && most - least <= 2, "{admitted:?}");
    assert!(
        admitted.iter().sum::<u32>() < 600,
        "less than one each a window: {admitted:?}"
    );
}

#[test]
fn who_was_let_in_without_credentials_may_come_back_with_some() {
    let (mut valve, mut now) = shedding();
    let login = "INVITE sip:a@b SIP/2.0\r\nTo: <sip:a@b>\r\nAuthorization: Digest x\r\n\r\n";
    let payer = Some(Payer::Trunk(0));
    let (mut invited, mut in_full) = (0, 0);
    for _ in 0..20 {
        now += WINDOW;
        valve.observe(now, 0, Some(40 * MS));
        for _ in 0..200 {
            if judge(&mut valve, payer, INVITE_TEXT) == Passage::Read {
                invited += 1;
                in_full += u32::from(judge(&mut valve, payer, login) == Passage::Read);
            }
        }
    }

    assert!(invited > 500);
    assert_eq!(in_full, invited);
}

#[test]
fn retry_after_is_said_only_when_more_than_half_is_shed_and_differs() {
    let (mut valve, mut now) = shedding();
    let payer = Some(Payer::Trunk(0));
    let mut waits = Vec::new();
    let mut refused_at_first = 0;
    for window in 0..40 {
        now += WINDOW;
        valve.observe(now, 0, Some(40 * MS));
        let calls = if window < 10 { 100 } else { 1000 };
        for _ in 0..calls {
            match judge(&mut valve, payer, INVITE_TEXT) {
                Passage::Refuse(None) if window < 10 => refused_at_first += 1,
                Passage::Refuse(wait) if window < 10 => panic!("{wait:?} with a quarter shed"),
                Passage::Refuse(Some(wait)) if window > 20 => waits.push(wait),
                Passage::Refuse(wait) if window > 20 => panic!("{wait:?} with most shed"),
                Passage::Refuse(_) | Passage::Read | Passage::Drop(_) | Passage::Shut(_) => {}
            }
        }
    }

    assert!(refused_at_first > 0);
    for wait in 1..=5 {
        let count = waits.iter().filter(|one| **one == wait).count();
        assert!(
            count * 10 > waits.len(),
            "{wait}: {count} of {}",
            waits.len()
        );
    }
    assert!(waits.iter().all(|wait| (1..=5).contains(wait)));
}

#[test]
fn it_opens_again_when_the_load_is_gone() {
    let (mut valve, mut now) = shedding();
    let mut windows = 0;
    while name(&valve) != "calm" {
        now += WINDOW;
        windows += 1;
        valve.observe(now, 0, Some(MS));
        judge(&mut valve, Some(Payer::Trunk(0)), INVITE_TEXT);
        assert!(windows < 50);
    }

    assert!(windows <= 20, "{windows} windows: two seconds are enough");
    assert!(valve.shares.is_empty());
}

#[test]
fn without_a_target_nothing_is_shed() {
    let start = clock::now();
    let rules = Overload {
        target: Duration::ZERO,
        stale: Duration::ZERO,
    };
    let mut valve = Valve::new(rules, start, 1);

    for ms in 0..1000 {
        valve.observe(start + ms * MS, 0, Some(900 * MS));
        assert!(valve.is_open(Some(900 * MS)));
    }
}

/// A server that holds 1,000 calls a second; half of a call's work comes with the INVITE, half later. To refuse one costs 9 % of
/// a call, as measured: an INVITE in, a 503 out, an ACK in. So at twice the load no more than 90 % can be served, at three
/// times 80 %.
#[test]
fn at_twice_and_thrice_the_load_most_of_the_capacity_is_served() {
    let least = [(1.0, 0.97), (1.5, 0.92), (2.0, 0.87), (3.0, 0.78)];
    assert_served(ALL_THE_TIME, &least);
}

/// As in a cgroup with a quota, or on a machine that others use, too: what is let in shows in the wait only at the next turn.
#[test]
fn in_turns_of_15_ms_in_100_most_of_the_capacity_is_served() {
    assert_served(0.15, &[(1.0, 0.95), (1.5, 0.91), (2.0, 0.84), (3.0, 0.77)]);
}

#[test]
fn a_stall_of_two_seconds_costs_little_more_than_two_seconds() {
    for part in [ALL_THE_TIME, 0.15] {
        let whole = simulate(2.0, part, None).goodput;
        let stalled = simulate(2.0, part, Some((4.0, 2.0))).goodput;
        let most = whole * 10.0 / 12.0;
        assert!(stalled >= 0.85 * most, "{part}: {stalled:.3} of {most:.3}");
    }
}

#[test]
fn the_ack_of_a_refusal_is_not_read_and_others_are() {
    let (mut valve, _) = shedding();
    let ack = |tag: &str| format!("ACK sip:a@b SIP/2.0\r\nTo: <sip:a@b>;tag={tag}\r\n\r\n");
    let payer = Some(Payer::Trunk(0));

    assert_eq!(
        judge(&mut valve, payer, &ack("shed0f")),
        Passage::Drop(SHED)
    );
    assert_eq!(judge(&mut valve, payer, &ack("0fshed")), Passage::Read);
}

struct Run {
    /// Calls completed, as a part of what the server can do.
    goodput: f64,
    /// Calls that were let in and not completed in the end.
    lost: u32,
}

/// Asserts what is served at least of so many times the capacity, and that all that was let in is served.
fn assert_served(part: f64, cases: &[(f64, f64)]) {
    for (offered, least) in cases {
        let run = simulate(*offered, part, None);
        assert!(
            run.goodput >= *least,
            "offered {offered}: {:.3}",
            run.goodput
        );
        assert_eq!(run.lost, 0);
    }
}

/// The part of a server that has its core for itself.
const ALL_THE_TIME: f64 = 1.0;

/// 12 s of a server that runs for the first `part` of each 100 ms, as much faster as that is shorter, and not at all from the first
/// second of `stall` on, for its second.
fn simulate(offered: f64, part: f64, stall: Option<(f64, f64)>) -> Run {
    const CAPACITY: f64 = 1000.0;
    let call = 0.0005 * part;
    let in_turn = |time: f64| {
        let turn = time * 10.0;
        if turn.fract() < part {
            time
        } else {
            turn.ceil() / 10.0 + 1e-6
        }
    };
    let start = clock::now();
    let mut valve = Valve::new(Overload::default(), start, 1);
    let at = |time: f64| start + Duration::from_secs_f64(time);
    // What is in the queue, by arrival: an INVITE, or the rest of a call.
    let mut queue: VecDeque<(f64, bool)> = VecDeque::new();
    let mut rest: VecDeque<f64> = VecDeque::new();
    let (mut time, mut next, mut completed, mut admitted) = (0.0, 0.0, 0_u32, 0_u32);
    let end = 12.0;
    let mut stall = stall;
    while time < end + 3.0 {
        if let Some((_, length)) = stall.take_if(|(since, _)| *since <= time) {
            time += length;
        }
        time = in_turn(time);
        while next <= time && next < end {
            queue.push_back((next, true));
            next += 1.0 / (CAPACITY * offered);
        }
        while rest.front().is_some_and(|due| *due <= time) {
            let due = rest.pop_front().unwrap();
            queue.push_back((due, false));
        }
        let Some((arrived, _)) = queue.front().copied() else {
            valve.observe(at(time), 0, None);
            time += 0.001;
            continue;
        };
        let wait = Some(Duration::from_secs_f64((time - arrived).max(0.0)));
        let now = at(time);
        valve.observe(now, 0, wait);
        for _ in 0..queue.len().min(64) {
            let (_, is_invite) = queue.pop_front().unwrap();
            time = in_turn(time);
            let passage = if !is_invite || valve.is_open(wait) {
                Passage::Read
            } else {
                judge(&mut valve, Some(Payer::Trunk(0)), INVITE_TEXT)
            };
            time += match passage {
                Passage::Read => call,
                Passage::Refuse(_) => 0.18 * call,
                Passage::Drop(_) | Passage::Shut(_) => 0.05 * call,
            };
            if passage == Passage::Read && is_invite {
                admitted += 1;
                rest.push_back(time + 0.2);
            } else if passage == Passage::Read {
                completed += u32::from(time <= end);
                admitted -= 1;
            }
        }
    }
    Run {
        goodput: f64::from(completed) / (CAPACITY * end),
        lost: admitted,
    }
}

const INVITE_TEXT: &str = "INVITE sip:a@b SIP/2.0\r\nTo: <sip:a@b>\r\n\r\n";

fn judge(valve: &mut Valve, payer: Option<Payer>, text: &str) -> Passage {
    valve.judge(payer, &Glance::at(text.as_bytes()), Some(MS))
}

fn name(valve: &Valve) -> &'static str {
    match valve.stage {
        Stage::Calm => "calm",
        Stage::Strained => "strained",
        Stage::Shedding { .. } => "shedding",
    }
}

fn bench() -> (Valve, Instant) {
    let start = clock::now();
    (Valve::new(Overload::default(), start, 1), start)
}

/// One that has begun to shed, after it had handled 100 calls in a window.
fn shedding() -> (Valve, Instant) {
    let (mut valve, start) = bench();
    let mut now = start;
    for _ in 0..=2 {
        valve.observe(now, 0, Some(60 * MS));
        for _ in 0..100 {
            judge(&mut valve, Some(Payer::Trunk(0)), INVITE_TEXT);
        }
        now += WINDOW;
    }
    assert_eq!(name(&valve), "shedding");
    (valve, now - WINDOW)
}
