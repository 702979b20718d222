use super::*;

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
fn a_memory_has_a_bound_and_says_when_it_is_reached() {
    let mut memory = Memory::default();
    for call in 0..=127 {
        memory.add(news(call, 1, true, true).call);
    }
    assert!(!memory.is_cut);
    memory.add(news(128, 1, true, true).call);
    assert_eq!(memory.calls.len(), 2 * MOST_EARLIER);
    assert!(memory.is_cut);
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
