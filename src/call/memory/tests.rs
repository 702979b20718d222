use super::*;

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
fn what_a_store_and_this_process_know_of_a_call_is_put_together() {
    let mut memory = Memory::default();
    let mut ours = news(1, 1, true, true).call;
    ours.fired.push(("pixel".into(), Moment::from_millis(5)));
    let mut theirs = ours.clone();
    theirs.converted = Some(("sales".into(), Moment::from_millis(7)));

    memory.add(ours);
    memory.add(theirs.clone());

    assert_eq!(memory.calls, [theirs]);
    assert_eq!(memory.last_fired("pixel"), Some(Moment::from_millis(5)));
    assert_eq!(memory.last_fired("crm"), None);
    let converted = |group, buyer| memory.last_converted(group, buyer);
    assert_eq!(converted("sales", "first"), Some(Moment::from_millis(7)));
    assert_eq!(converted("sales", "second"), None);
    assert_eq!(converted("other", "first"), None);
    assert_eq!(memory.past(true).calls.len(), 1);
}

#[test]
fn a_memory_has_a_bound() {
    let mut memory = Memory::default();
    for call in 0..=255 {
        memory.add(news(call, 1, true, true).call);
    }
    assert_eq!(memory.calls.len(), 2 * MOST_EARLIER);
    let mut memories = Memories::new(1000);
    for call in 0..=200 {
        memories.note(&news(call, 1, true, true));
    }
    let known = memories.ask(&question(201, 1), 'a');
    assert_eq!(known.calls.len(), MOST_EARLIER);
    assert_eq!(known.calls[0].uuid, uuid(200), "the latest");
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
