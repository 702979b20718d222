use super::*;
use crate::types::number::Number;

#[test]
fn calls_that_go_on_hear_of_one_another_and_nobody_else_does() {
    let mut memories = Memories::new(10);
    assert_eq!(memories.ask(&question(1, 1), 'a'), Memory::default());
    assert_eq!(memories.ask(&question(2, 1), 'b'), Memory::default());
    memories.ask(&question(3, 2), 'c');

    assert_eq!(memories.note(&news(1, 1, true, false)), ['b']);
    assert_eq!(memories.note(&news(1, 1, true, true)), ['b']);
    assert!(memories.note(&news(2, 1, true, true)).is_empty());
    let known = memories.ask(&question(4, 1), 'd');

    let calls: Vec<_> = known.calls.iter().map(|call| call.uuid).collect();
    assert_eq!(calls, [uuid(2), uuid(1)]);
}

#[test]
fn calls_of_which_nothing_is_to_be_remembered_leave_nothing() {
    let mut memories = Memories::new(10);
    for call in 0..100 {
        memories.ask(&question(call, 1), 'a');
        assert!(memories.note(&news(call, 1, false, true)).is_empty());
    }
    assert!(memories.is_empty());
}

#[test]
fn so_many_calls_that_are_over_are_remembered_and_the_oldest_forgotten_first() {
    let mut memories = Memories::new(3);
    for call in 0..10 {
        memories.ask(&question(call, call), 'a');
        memories.note(&news(call, call, true, true));
    }
    memories.ask(&question(10, 20), 'z');

    assert_eq!(memories.len(), 4);
    assert_eq!(memories.ask(&question(11, 6), 'a').calls, []);
    assert_eq!(memories.ask(&question(12, 7), 'a').calls.len(), 1);
}

#[test]
fn what_is_said_after_the_end_completes_what_is_known() {
    let mut memories = Memories::<char>::new(3);
    memories.note(&news(1, 1, true, true));
    let mut late = news(1, 1, true, true);
    late.call.converted = Some(("sales".into(), Moment::from_millis(7)));
    memories.note(&late);

    let known = memories.ask(&question(2, 1), 'a');

    assert_eq!(known.calls, [late.call]);
    assert_eq!(memories.len(), 2);
}

#[test]
fn a_caller_who_calls_often_is_known_by_its_last_calls_and_said_to_be_known_in_part() {
    let mut memories = Memories::new(1000);
    for call in 0..64 {
        memories.ask(&question(call, 1), 'a');
        memories.note(&news(call, 1, true, true));
    }
    let known = memories.ask(&question(100, 1), 'a');
    assert_eq!((known.calls.len(), known.is_cut), (64, false));
    memories.note(&news(100, 1, true, true));

    let known = memories.ask(&question(101, 1), 'a');
    assert_eq!((known.calls.len(), known.is_cut), (64, true));
    assert_eq!(known.calls[0].uuid, uuid(100), "the latest");
    assert_eq!(memories.len(), 65);
    // What is forgotten is of no interest to who asks for what was later.
    let since = Moment::from_millis(2);
    let late = Question {
        since,
        ..question(102, 1)
    };
    assert!(!memories.ask(&late, 'a').is_cut);
    // Nor does it take anything from others.
    let known = memories.ask(&question(103, 2), 'a');
    assert_eq!(known, Memory::default());
}

#[test]
fn of_many_calls_at_once_so_many_are_told_and_the_others_know_that_they_are_not() {
    let mut memories = Memories::new(1000);
    for call in 0..200 {
        let known = memories.ask(&question(call, 1), call);
        assert_eq!(known.is_cut, usize::from(call) >= MOST_FOLLOWERS, "{call}");
    }
    let told = memories.note(&news(7, 1, true, false));
    assert_eq!(told.len(), MOST_FOLLOWERS - 1);
    assert!(!told.contains(&7));
    for call in 0..200 {
        memories.note(&news(call, 1, call % 2 == 0, true));
    }

    assert_eq!(memories.len(), MOST_EARLIER);
    assert!(memories.note(&news(198, 1, true, true)).is_empty());
}

#[test]
fn whoever_calls_again_and_again_takes_no_place_of_others() {
    let mut memories = Memories::new(100);
    memories.note(&news(1, 2, true, true));
    for round in 0..1000_u32 {
        let mut often = news(0, 1, true, true);
        let mut bytes = [9; 16];
        bytes[..4].copy_from_slice(&round.to_be_bytes());
        often.call.uuid = CallUuid::from_bytes(bytes);
        memories.note(&often);
    }

    assert_eq!(memories.len(), 65);
    assert_eq!(memories.ask(&question(2, 2), 'a').calls.len(), 1);
}

fn of(caller: u8) -> Of {
    let caller = format!("+155555501{caller:02}");
    Of {
        company: "acme".into(),
        caller: Number::from_e164(caller.as_bytes()).unwrap(),
    }
}

fn uuid(call: u8) -> CallUuid {
    CallUuid::from_bytes([call; 16])
}

fn question(call: u8, caller: u8) -> Question {
    Question {
        of: of(caller),
        since: Moment::default(),
        call: Remembered::new(uuid(call), "solar".into()),
    }
}

fn news(call: u8, caller: u8, is_answered: bool, is_over: bool) -> News {
    let answered = Some(("first".into(), Moment::from_millis(1))).filter(|_| is_answered);
    News {
        of: of(caller),
        call: Remembered {
            answered,
            ..Remembered::new(uuid(call), "solar".into())
        },
        is_over,
    }
}
