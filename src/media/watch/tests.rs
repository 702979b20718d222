use std::sync::OnceLock;

use super::*;

const PCMU: Payload = Payload {
    number: 0,
    clock: 8000,
    is_dtmf: false,
};
const DTMF: Payload = Payload {
    number: 101,
    clock: 8000,
    is_dtmf: true,
};

#[test]
fn loss_is_what_the_numbers_leave_out() {
    // Numbers that came, and how many are lost of how many.
    let cases: Vec<(&str, Vec<u16>, (u64, u64))> = vec![
        ("all", (0..100).collect(), (0, 100)),
        (
            "two missing",
            (0..100).filter(|n| *n != 50 && *n != 51).collect(),
            (2, 100),
        ),
        ("in another order", vec![0, 2, 1, 3, 5, 4, 6], (0, 7)),
        ("over the wrap", vec![65_534, 65_535, 0, 1, 2], (0, 5)),
        ("missing at the wrap", vec![65_534, 1, 2], (2, 5)),
        ("late over the wrap", vec![65_534, 0, 65_535, 1], (0, 4)),
        ("twice", vec![1, 2, 2, 3], (0, 3)),
        ("a single stray", vec![1, 2, 30_000, 3, 4], (0, 4)),
        ("begun anew", vec![1, 2, 3, 40_000, 40_001, 40_002], (0, 5)),
        ("nothing", vec![], (0, 0)),
    ];
    for (what, numbers, expected) in cases {
        let mut watch = Watch::new(at(0), false);
        for number in numbers {
            watch.handle(at(0), &header(number, 0, 1), PCMU, &[]);
        }

        assert_eq!(watch.lost_of(), expected, "{what}");
    }
}

#[test]
fn another_ssrc_begins_anew_and_what_was_lost_before_counts() {
    let mut watch = Watch::new(at(0), false);
    for (number, ssrc) in [(1, 1), (3, 1), (500, 2), (501, 2), (503, 2)] {
        watch.handle(at(0), &header(number, 0, ssrc), PCMU, &[]);
    }

    assert_eq!(watch.lost_of(), (1 + 1, 3 + 4));
}

#[test]
fn numbers_go_round_for_hours() {
    let mut watch = Watch::new(at(0), false);
    for number in 0..200_000_u32 {
        watch.handle(at(0), &header(number as u16, 0, 1), PCMU, &[]);
    }

    assert_eq!(watch.lost_of(), (0, 200_000));
}

#[test]
fn jitter_is_nothing_when_packets_come_as_they_were_sent() {
    let mut watch = Watch::new(at(0), false);
    for number in 0..500 {
        watch.handle(
            at(number * 20_000),
            &header(number as u16, number as u32 * 160, 1),
            PCMU,
            &[],
        );
    }

    assert_eq!(
        (watch.jitter(), watch.jitter_max()),
        (Duration::ZERO, Duration::ZERO)
    );
}

#[test]
fn jitter_settles_at_the_mean_difference() {
    let mut watch = Watch::new(at(0), false);
    for number in 0..2000 {
        // Every other packet 8 ms late: each differs from the one before by 8 ms.
        let late = (number % 2) * 8000;
        let header = header(number as u16, number as u32 * 160, 1);
        watch.handle(at(number * 20_000 + late), &header, PCMU, &[]);
    }

    let jitter = watch.jitter();
    assert!(
        jitter.abs_diff(Duration::from_millis(8)) < Duration::from_millis(1),
        "{jitter:?}"
    );
    assert!(watch.jitter_max() >= jitter);
}

#[test]
fn jitter_takes_the_timestamps_wrap_events_and_jumps() {
    let mut watch = Watch::new(at(0), false);
    let start = u32::MAX - 1000;
    for number in 0..100_u32 {
        let time = at(u64::from(number) * 20_000);
        let stamp = start.wrapping_add(number * 160);
        let is_event = (40..50).contains(&number);
        let (stamp, meaning) = match number {
            _ if is_event => (start.wrapping_add(40 * 160), DTMF),
            90.. => (stamp.wrapping_add(1 << 30), PCMU),
            _ => (stamp, PCMU),
        };
        watch.handle(time, &header(number as u16, stamp, 1), meaning, &[0; 4]);
    }

    assert_eq!(watch.jitter_max(), Duration::ZERO);
}

#[test]
fn jitter_is_told_in_time_whatever_the_clock() {
    let opus = Payload {
        number: 111,
        clock: 48_000,
        is_dtmf: false,
    };
    let mut watch = Watch::new(at(0), false);
    for number in 0..3000_u64 {
        let late = (number % 2) * 5000;
        let header = header(number as u16, number as u32 * 960, 1);
        watch.handle(at(number * 20_000 + late), &header, opus, &[]);
    }

    let jitter = watch.jitter();
    assert!(
        jitter.abs_diff(Duration::from_millis(5)) < Duration::from_millis(1),
        "{jitter:?}"
    );
}

#[test]
fn no_clock_and_no_time_makes_it_panic() {
    let mut watch = Watch::new(at(0), true);
    for (number, clock) in [0, 1, 8000, u32::MAX, 7, 0, 90_000].into_iter().zip(0..) {
        let meaning = Payload {
            number: 0,
            clock: number,
            is_dtmf: false,
        };
        for seconds in [0, 1 << 20, 1] {
            let time = at(seconds * 1_000_000);
            let header = header(clock, u32::MAX / 2 * (u32::from(clock) % 3), 1);
            watch.handle(time, &header, meaning, &[]);
        }
    }
    assert!(watch.jitter() <= watch.jitter_max());
}

#[test]
fn each_event_gives_one_digit_however_many_packets_it_has() {
    let mut watch = Watch::new(at(0), true);
    let mut number = 0;
    for (event, stamp) in [
        (1, 800),
        (2, 2400),
        (2, 4000),
        (10, 5600),
        (11, 7200),
        (16, 8800),
        (15, 9000),
    ] {
        for repeat in 0..6 {
            number += 1;
            let end = if repeat > 2 { 0x80 } else { 0 };
            watch.handle(
                at(0),
                &header(number, stamp, 1),
                DTMF,
                &[event, end | 10, 0, 160],
            );
        }
        number += 1;
        watch.handle(
            at(0),
            &header(number, stamp + 800, 1),
            PCMU,
            &[event, 10, 0, 160],
        );
    }
    watch.handle(at(0), &header(number + 1, 20_000, 1), DTMF, &[3, 10, 0]);

    assert_eq!(watch.digits(), b"122*#D");
}

#[test]
fn digits_are_kept_only_when_asked_and_only_so_many() {
    let (mut keeps, mut does_not) = (Watch::new(at(0), true), Watch::new(at(0), false));
    for number in 0..1000 {
        for watch in [&mut keeps, &mut does_not] {
            watch.handle(
                at(0),
                &header(number, u32::from(number), 1),
                DTMF,
                &[5, 0, 0, 0],
            );
        }
    }

    assert_eq!(keeps.digits(), [b'5'; MOST_DIGITS]);
    assert_eq!(does_not.digits(), b"");
}

fn header(sequence: u16, timestamp: u32, ssrc: u32) -> Header {
    Header {
        is_marked: false,
        payload: 0,
        sequence,
        timestamp,
        ssrc,
        length: 12,
        is_padded: false,
    }
}

/// So many microseconds after the start.
fn at(us: u64) -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    #[expect(
        clippy::disallowed_methods,
        reason = "tests need some instant to begin with"
    )]
    let start = *START.get_or_init(Instant::now);
    start + Duration::from_micros(us)
}
