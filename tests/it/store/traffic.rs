//! The process that is to die: calls come and go by two lanes, a keeper keeps, deliveries are made. What has been promised is
//! said on standard error, a line each:
//!
//! ```text
//!   A call        it is admitted
//!   B call        it is answered
//!   E call count  it has ended, and so many deliveries are to be made
//!   S call place  the delivery at this place of its call has arrived
//!   D call place  and that is written down
//! ```

use std::collections::VecDeque;
use std::fmt::Display;
use std::io;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use strowger::store::entry::{
    Admitted, Answered, Claim, Class, Delivered, Delivery, Ended, Header, Outcome, Past,
};
use strowger::store::{Entry, Keeper, Lane, Left, Parcel, Shelf, Store};
use strowger::types::ids::CallUuid;
use strowger::types::moment::Moment;

use crate::store::{data_of_the_child, now, open, promise};

/// Runs until it is killed.
pub(super) fn run(data: &Path) {
    let store = open(data);
    let Store {
        lanes,
        keeper,
        shelf,
        left,
        lock: _lock,
    } = store;
    let lanes: Vec<Mutex<Lane>> = lanes.into_iter().map(Mutex::new).collect();
    let [first, second, other] = lanes.as_slice() else {
        panic!("three lanes");
    };
    end_left(&left, other);
    // What is random about a run is when it begins.
    let seed = now().millis().unsigned_abs();
    thread::scope(|scope| {
        scope.spawn(|| keep(keeper, &shelf));
        scope.spawn(|| call(first, other, seed * 2));
        scope.spawn(|| call(second, other, seed * 2 + 1));
        deliver(&shelf, other);
    });
}

/// Ends the calls that the last process has left.
pub(super) fn end_left(left: &Left, lane: &Mutex<Lane>) {
    for call in &left.calls {
        let uuid = call.admitted().expect("it can be read").uuid;
        end(lane, uuid, call.answered().is_some(), true, 1);
    }
}

fn keep(mut keeper: Keeper, shelf: &Shelf) {
    loop {
        keeper.turn(now()).expect("the disk is well");
        shelf.sync().expect("the disk is well");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Calls that come, are answered or not, and end by this lane or by another.
fn call(lane: &Mutex<Lane>, other: &Mutex<Lane>, seed: u64) {
    let mut dice = Dice(seed);
    let mut open = VecDeque::new();
    loop {
        let uuid = dice.uuid();
        promise(lane, &[admission(uuid)]);
        say("A", uuid, "");
        let is_answered = dice.roll(3) > 0;
        if is_answered {
            promise(lane, &[answer(uuid)]);
            say("B", uuid, "");
        }
        open.push_back((uuid, is_answered));
        if open.len() > 5
            && let Some((uuid, is_answered)) = open.pop_front()
        {
            let lane = if dice.roll(4) == 0 { other } else { lane };
            end(lane, uuid, is_answered, false, dice.roll(3));
        }
    }
}

fn end(lane: &Mutex<Lane>, uuid: CallUuid, is_answered: bool, is_restarted: bool, count: u64) {
    let line = format!(
        r#"{{"call":"{uuid}","answered":{is_answered},"restarted":{is_restarted},"deliveries":{count}}}"#
    );
    let deliveries: Vec<_> = ["0", "1", "2"]
        .into_iter()
        .take(usize::try_from(count).unwrap_or(0))
        .map(delivery)
        .collect();
    let entry = Entry::Ended(Ended {
        uuid,
        at: now(),
        line: &line,
        past: Some(Past {
            company: "acme",
            caller: "+15550199",
            number: "+15550100",
            campaign: "solar",
            afid: None,
            buyer: is_answered.then_some("one"),
            answered: None,
            fired: Vec::new().into(),
        }),
        conversion: None,
        claims: Vec::new().into(),
        deliveries: deliveries.into(),
    });
    promise(lane, &[entry]);
    say("E", uuid, count);
}

fn deliver(shelf: &Shelf, lane: &Mutex<Lane>) {
    loop {
        for parcel in shelf.take_due(now(), 8).expect("the tables are well") {
            let place = place(&parcel);
            say("S", parcel.call, &place);
            promise(lane, &[done(&parcel)]);
            say("D", parcel.call, &place);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// The place of a delivery within its call.
pub(super) fn place(parcel: &Parcel) -> String {
    let (name, value) = parcel.headers.first().expect("it has one");
    assert_eq!(&**name, "X-Place");
    value.to_string()
}

/// That a delivery was made.
pub(super) fn done(parcel: &Parcel) -> Entry<'static> {
    Entry::Delivered(Delivered {
        id: parcel.id,
        at: now(),
        outcome: Outcome::Done,
    })
}

fn admission(uuid: CallUuid) -> Entry<'static> {
    Entry::Admitted(Admitted {
        uuid,
        at: now(),
        generation: 1,
        trunk: "carrier",
        user: None,
        company: Some("acme"),
        campaign: Some("solar"),
        afid: None,
        sid: None,
        dialled: Some("+15550100"),
        caller: Some("+15550199"),
        call_id: b"1@192.0.2.1",
        note: &[],
    })
}

fn answer(uuid: CallUuid) -> Entry<'static> {
    const CLAIMS: &[Claim<'_>] = &[Claim {
        party: "buyer:one",
        window: "total",
        until: Moment::from_millis(i64::MAX),
        count: 1,
    }];
    Entry::Answered(Answered {
        uuid,
        at: now(),
        buyer: "one",
        claims: CLAIMS.into(),
        note: &[],
    })
}

fn delivery(place: &'static str) -> Delivery<'static> {
    Delivery {
        hook: "pixel",
        phase: 0,
        class: Class::Ping,
        not_before: Moment::default(),
        is_idempotent: true,
        method: "POST",
        url: "https://hooks.example.com/",
        headers: vec![Header {
            name: "X-Place",
            value: place,
        }]
        .into(),
        body: &[],
    }
}

/// Says it in one piece: whoever reads it gets all of it, or nothing.
fn say(what: &str, call: CallUuid, more: impl Display) {
    if data_of_the_child().is_none() {
        return;
    }
    let line = format!("{what} {call} {more}\n");
    io::stderr()
        .write_all(line.as_bytes())
        .expect("somebody listens");
}

/// A source of chance, the same for the same seed.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `sides` - 1.
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }

    fn uuid(&mut self) -> CallUuid {
        let bits = (u128::from(self.next()) << 64) | u128::from(self.next());
        CallUuid::from_bytes(bits.to_be_bytes())
    }
}
