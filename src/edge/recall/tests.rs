use std::time::Duration;

use mio::{Poll, Token};

use super::*;
use crate::call::memory::Of;
use crate::edge::inbox::{Inbox, inbox};
use crate::net::clock;
use crate::store::entry::{Conversion, Ended, Fired, Past};
use crate::store::{Entry, Options, Store};
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;
use crate::types::number::Number;

#[test]
fn without_a_store_the_answer_is_what_this_process_remembers() {
    let shard = Shard::new();
    let mut remembrance = Remembrance::start(None).unwrap();
    let desk = remembrance.desk(shard.mailbox.clone());

    desk.ask(Ticket::of_test(1), question(1));
    assert_eq!(shard.next(), (1, Recalled::All(Memory::default())));
    let call = answered(1, 2000);
    desk.remember(&news(call.clone()));
    desk.ask(Ticket::of_test(2), question(2));
    let Recalled::All(memory) = shard.next().1 else {
        panic!("no answer");
    };

    assert_eq!(memory.calls, [call]);
    // A call that goes on hears of another one.
    let call = answered(3, 2500);
    desk.remember(&news(call.clone()));
    assert_eq!(shard.next(), (2, Recalled::News(call)));
    drop(desk);
    remembrance.stop();
}

#[test]
fn what_the_store_knows_and_what_it_does_not_know_yet_is_one_answer() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path(), 1, Options::default(), moment()).unwrap();
    let old = answered(1, 2000);
    store.lanes[0].append(&ended(&old)).unwrap();
    // Too old to be asked for.
    store.lanes[0].append(&ended(&answered(7, 20))).unwrap();
    store.lanes[0].commit().unwrap();
    store.keeper.turn(moment()).unwrap();
    let shard = Shard::new();
    let mut remembrance = Remembrance::start(Some(store.shelf.clone())).unwrap();
    let desk = remembrance.desk(shard.mailbox.clone());
    let new = answered(2, 3000);
    desk.remember(&news(new.clone()));

    desk.ask(Ticket::of_test(4), question(3));

    let (ticket, Recalled::All(memory)) = shard.next() else {
        panic!("no answer");
    };
    let mut known = old;
    known.converted = Some(("sales".into(), Moment::from_millis(2600)));
    known.fired = vec![("pixel".into(), Moment::from_millis(2500))];
    assert_eq!(ticket, 4);
    assert_eq!(memory.calls, [new, known]);
    drop(desk);
    remembrance.stop();
}

#[test]
fn of_a_caller_who_calls_too_often_it_is_said_that_not_all_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path(), 1, Options::default(), moment()).unwrap();
    for call in 0..65 {
        // The first one is older than what is asked for.
        let at = if call == 0 { 20 } else { 2000 };
        store.lanes[0].append(&ended(&answered(call, at))).unwrap();
    }
    store.lanes[0].commit().unwrap();
    store.keeper.turn(moment()).unwrap();
    let shard = Shard::new();
    let mut remembrance = Remembrance::start(Some(store.shelf.clone())).unwrap();
    let desk = remembrance.desk(shard.mailbox.clone());
    desk.ask(Ticket::of_test(1), question(200));
    assert!(matches!(shard.next().1, Recalled::All(_)));

    let last = ended(&answered(65, 3000));
    store.lanes[0].append(&last).unwrap();
    store.lanes[0].commit().unwrap();
    store.keeper.turn(moment()).unwrap();
    desk.ask(Ticket::of_test(2), question(201));

    let Recalled::Part(memory, "many") = shard.next().1 else {
        panic!("it is said to be all");
    };
    assert_eq!(memory.calls.len(), 64);
    drop(desk);
    remembrance.stop();
}

/// The inbox of a shard.
struct Shard {
    mailbox: Mailbox,
    inbox: Inbox,
    _poll: Poll,
}

impl Shard {
    fn new() -> Self {
        let poll = Poll::new().unwrap();
        let (mailbox, inbox) = inbox(poll.registry(), Token(0)).unwrap();
        Self {
            mailbox,
            inbox,
            _poll: poll,
        }
    }

    fn next(&self) -> (u32, Recalled) {
        let until = clock::now() + Duration::from_secs(5);
        while clock::now() < until {
            match self.inbox.next_letter() {
                Some(Letter::Recalled { ticket, recalled }) => {
                    let round = (0..9).find(|round| Ticket::of_test(*round) == ticket);
                    return (round.unwrap(), *recalled);
                }
                Some(_) => panic!("another letter"),
                None => thread::sleep(Duration::from_millis(1)),
            }
        }
        panic!("nobody answers");
    }
}

fn of() -> Of {
    Of {
        company: "acme".into(),
        caller: Number::from_e164(b"+15550199").unwrap(),
    }
}

fn question(call: u8) -> Box<Question> {
    Box::new(Question {
        of: of(),
        since: Moment::from_millis(1000),
        call: Remembered::new(CallUuid::from_bytes([call; 16]), "solar".into()),
    })
}

fn answered(call: u8, at: i64) -> Remembered {
    Remembered {
        answered: Some(("first".into(), Moment::from_millis(at))),
        ..Remembered::new(CallUuid::from_bytes([call; 16]), "solar".into())
    }
}

fn news(call: Remembered) -> News {
    News {
        of: of(),
        call,
        is_over: true,
    }
}

fn ended(call: &Remembered) -> Entry<'static> {
    let (_, answered) = call.answered.clone().unwrap();
    let later = |millis| Moment::from_millis(answered.millis() + millis);
    let hooks = [Fired {
        hook: "pixel",
        at: later(500),
    }];
    Entry::Ended(Ended {
        uuid: call.uuid,
        at: later(600),
        line: "{}",
        past: Some(Past {
            company: "acme",
            caller: "+15550199",
            number: "+15550100",
            campaign: "solar",
            afid: None,
            buyer: Some("first"),
            answered: Some(answered),
            fired: hooks.to_vec().into(),
        }),
        conversion: Some(Conversion {
            at: later(600),
            group: "sales",
            is_converted: true,
            payout: None,
            revenue: None,
            is_payout_duplicate: false,
            is_revenue_duplicate: false,
        }),
        claims: Vec::new().into(),
        deliveries: Vec::new().into(),
    })
}
