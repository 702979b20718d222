use super::*;
use crate::routing::caps::Most;
use crate::routing::zone::Zone;

#[test]
fn a_place_at_once_is_free_again_when_the_call_is_over() {
    let mut shop = Shop::new(calls(2), None);

    let first = shop.reserve().expect("a place");
    let _second = shop.reserve().expect("a place");
    let full = shop.reserve().expect_err("no place");
    assert_eq!(full, shop.full(CapKind::Concurrency, 2, 2));

    shop.book.release(first);
    assert_eq!(shop.book.calls(&shop.buyer), Some(1));
    assert!(shop.reserve().is_ok());
}

#[test]
fn calls_under_way_hold_their_places_in_windows() {
    let mut shop = Shop::new(Caps::default(), Some(quota(CapOn::Answer, 2)));

    let mut answered = shop.reserve().expect("a place");
    let failed = shop.reserve().expect("a place");
    let full = shop.reserve().expect_err("held");
    assert_eq!(full, shop.full(CapKind::Window(Span::Day), 2, 2));

    // A call that nobody answered counts no more; one that was answered does, also when it is over.
    shop.book.release(failed);
    assert_eq!(shop.commit(&mut answered, CapOn::Conversion), [""; 0]);
    assert_eq!(shop.commit(&mut answered, CapOn::Answer), ["2024-11-04"]);
    assert_eq!(shop.commit(&mut answered, CapOn::Answer), [""; 0]);
    shop.book.release(answered);
    assert_eq!(shop.used(), 1);

    let _last = shop.reserve().expect("a place");
    assert!(shop.reserve().is_err());
}

#[test]
fn what_counts_by_the_attempt_is_never_given_back() {
    let mut shop = Shop::new(Caps::default(), Some(quota(CapOn::Attempt, 1)));

    let mut counted = Vec::new();
    let hold = shop.reserve_into(&mut counted).expect("a place");
    assert_eq!(counted.len(), 1);
    shop.book.release(hold);

    assert!(shop.reserve().is_err());
}

#[test]
fn a_new_day_begins_where_the_buyer_is() {
    let mut shop = Shop::new(Caps::default(), Some(quota(CapOn::Answer, 1)));

    let mut late = shop.reserve().expect("a place");
    shop.now = "2024-11-05T04:59:59Z".parse().expect("a moment");
    assert!(shop.reserve().is_err());
    shop.now = "2024-11-05T05:00:00Z".parse().expect("a moment");
    let _early = shop.reserve().expect("a place of the next day");

    // Chosen yesterday, answered today: it counts as yesterday's.
    assert_eq!(shop.commit(&mut late, CapOn::Answer), ["2024-11-04"]);
    assert!(shop.reserve().is_err());
    shop.book.release(late);
}

#[test]
fn a_group_is_full_for_all_its_members_and_nobody_is_left_with_half_a_place() {
    let mut book = Book::default();
    let group = Party::Group("pool".into());
    let buyers = ["a", "b", "c"].map(|id| Party::Buyer(id.into()));
    let reserve = |book: &mut Book, buyer: &Party| {
        let claim = |party: &Party, caps| Claim {
            party: party.clone(),
            caps,
            quota: None,
        };
        let claims = [claim(buyer, Caps::default()), claim(&group, calls(2))];

        book.reserve(Moment::default(), &claims, &mut Vec::new())
    };

    let first = reserve(&mut book, &buyers[0]).expect("a place");
    let _second = reserve(&mut book, &buyers[1]).expect("a place");
    let full = reserve(&mut book, &buyers[2]).expect_err("the group is full");
    assert_eq!(full.party, Party::Group("pool".into()));
    assert_eq!(book.calls(&buyers[2]), Some(0));

    book.release(first);
    assert!(reserve(&mut book, &buyers[2]).is_ok());
    assert_eq!(book.calls(&buyers[0]), Some(0));
}

#[test]
fn a_second_has_so_many_calls_even_if_the_clock_is_put_back() {
    let mut shop = Shop::new(cps(4), None);
    let mut at = |millis: i64| {
        shop.now = Moment::from_millis(1_730_728_800_000 + millis);
        shop.reserve().map_err(|full| full.kind).is_ok()
    };

    assert_eq!(
        [0_i64; 6].map(&mut at),
        [true, true, true, true, false, false]
    );
    assert_eq!([249, 250, 251].map(&mut at), [false, true, false]);
    assert!(at(-3_600_000));
}

#[test]
fn a_limit_of_nothing_is_reached_at_once() {
    let mut shop = Shop::new(Caps::default(), Some(quota(CapOn::Answer, 0)));

    let full = shop.reserve().expect_err("nothing");

    assert_eq!(full, shop.full(CapKind::Window(Span::Day), 0, 0));
}

#[test]
fn what_was_counted_before_counts_and_can_be_set_back() {
    let mut shop = Shop::new(Caps::default(), Some(quota(CapOn::Conversion, 3)));
    let counted = Counted {
        party: shop.buyer.clone(),
        window: shop.window(),
    };
    shop.book.count(&counted, 3);

    assert!(shop.reserve().is_err());
    shop.book.reset(&counted.party, counted.window);
    assert!(shop.reserve().is_ok());
}

#[test]
fn a_burst_never_overshoots_and_nothing_leaks() {
    let mut shop = Shop::new(calls(25), Some(quota(CapOn::Answer, 100)));
    let mut under_way = Vec::new();
    let mut answered = 0_u32;

    // Whatever becomes of them: some end, some are answered first.
    for step in 0_u32..5000 {
        if let Ok(hold) = shop.reserve() {
            under_way.push(hold);
        }
        assert!(under_way.len() <= 25);
        if step % 3 == 0 && !under_way.is_empty() {
            let mut hold = under_way.swap_remove(step as usize % under_way.len());
            if step % 2 == 0 {
                answered += u32::try_from(shop.commit(&mut hold, CapOn::Answer).len()).unwrap();
            }
            shop.book.release(hold);
        }
        assert!(shop.used() <= 100);
    }
    for hold in under_way {
        shop.book.release(hold);
    }

    assert_eq!(answered, 100);
    assert_eq!(shop.used(), 100);
    assert_eq!(shop.book.calls(&shop.buyer), Some(0));
}

#[test]
fn a_place_that_is_resumed_is_in_the_windows_in_which_its_buyer_was_chosen() {
    let mut shop = Shop::new(Caps::default(), Some(quota(CapOn::Answer, 1)));
    let chosen = shop.now;
    let claim = Claim {
        party: shop.buyer.clone(),
        caps: shop.caps,
        quota: shop.quota.clone().map(Arc::new),
    };
    shop.now = "2024-11-05T05:01:00Z".parse().expect("a moment");
    let _new = shop.reserve().expect("a place of the next day");

    let mut late = shop.book.resume(chosen, &[claim], false);

    assert_eq!(shop.used(), 1, "that of the next day alone");
    assert_eq!(shop.commit(&mut late, CapOn::Answer), ["2024-11-04"]);
    assert_eq!(shop.used(), 1);
    shop.book.release(late);
}

/// One buyer with its limits.
struct Shop {
    book: Book,
    buyer: Party,
    caps: Caps,
    quota: Option<Quota>,
    now: Moment,
}

impl Shop {
    fn new(caps: Caps, quota: Option<Quota>) -> Self {
        Self {
            book: Book::default(),
            buyer: Party::Buyer("one".into()),
            caps,
            quota,
            now: "2024-11-04T14:00:00Z".parse().expect("a moment"),
        }
    }

    fn reserve(&mut self) -> Result<Hold, Full> {
        self.reserve_into(&mut Vec::new())
    }

    fn reserve_into(&mut self, counted: &mut Vec<Counted>) -> Result<Hold, Full> {
        let claim = Claim {
            party: self.buyer.clone(),
            caps: self.caps,
            quota: self.quota.clone().map(Arc::new),
        };
        self.book.reserve(self.now, &[claim], counted)
    }

    fn commit(&mut self, hold: &mut Hold, what: CapOn) -> Vec<String> {
        let mut counted = Vec::new();
        self.book.commit(hold, what, &mut counted);
        let windows = counted.iter().map(|one| one.window.to_string());
        windows.collect()
    }

    fn window(&self) -> Window {
        Span::Day.window(york().local(self.now))
    }

    fn used(&self) -> u32 {
        self.book
            .counted(&self.buyer, self.window())
            .expect("known")
    }

    fn full(&self, kind: CapKind, have: u32, cap: u32) -> Full {
        let party = self.buyer.clone();
        Full {
            party,
            kind,
            have,
            cap,
        }
    }
}

fn calls(most: u32) -> Caps {
    Caps {
        max_calls: Some(most),
        max_cps: None,
    }
}

fn cps(most: u32) -> Caps {
    Caps {
        max_calls: None,
        max_cps: Some(most),
    }
}

fn quota(on: CapOn, day: u32) -> Quota {
    Quota {
        most: Most {
            day: Some(day),
            ..Most::default()
        },
        on,
        zone: york(),
    }
}

fn york() -> Zone {
    Zone::named("America/New_York").expect("a zone")
}
