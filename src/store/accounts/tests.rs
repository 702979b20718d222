use std::path::Path;
use std::time::Duration;

use super::*;
use crate::store::{Entry, Options, Store};

#[test]
fn what_is_committed_outlives_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    write(&mut store, &bound("bob", "a", 5000));
    write(&mut store, &connected("my-org", "old", b"sealed"));
    write(&mut store, &listed("my-org", "PN1", "voice"));

    // Nobody has the time to say anything.
    drop(store);
    let store = open(folder.path());

    assert_eq!(store.left.entries, 3);
    let bindings = store.shelf.bindings().unwrap();
    assert_eq!(bindings, [kept("bob", "a", 5000)]);
    let connections = store.shelf.connections().unwrap();
    assert_eq!(
        (&*connections[0].org, &*connections[0].key),
        ("my-org", "old")
    );
    assert_eq!(&*connections[0].sealed, b"sealed");
    let lines = store.shelf.lines().unwrap();
    assert_eq!((&*lines[0].sid, &*lines[0].mode), ("PN1", "voice"));
    assert_eq!(lines[0].checked, Some(at(900)));
    assert_eq!(lines[0].users, ["user:bob".into()]);
}

#[test]
fn a_store_that_never_had_any_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());

    assert!(store.shelf.bindings().unwrap().is_empty());
    assert!(store.shelf.connections().unwrap().is_empty());
    assert!(store.shelf.lines().unwrap().is_empty());
}

#[test]
fn what_is_said_again_takes_the_place_of_what_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    write(&mut store, &connected("my-org", "old", b"one"));
    write(&mut store, &connected("other", "old", b"other"));
    write(&mut store, &connected("my-org", "new", b"two"));
    write(&mut store, &listed("my-org", "PN1", "voice"));
    write(&mut store, &listed("my-org", "PN1", "ivr"));
    turn(&mut store, 1000);

    let connections = store.shelf.connections().unwrap();
    let facts: Vec<_> = connections
        .iter()
        .map(|one| (&*one.org, &*one.key, &*one.sealed))
        .collect();
    assert_eq!(
        facts,
        [("other", "old", &b"other"[..]), ("my-org", "new", b"two")]
    );
    let lines = store.shelf.lines().unwrap();
    assert_eq!((lines.len(), &*lines[0].mode), (1, "ivr"));
}

#[test]
fn a_phone_is_there_until_its_last_word_is_over_or_it_says_that_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    write(&mut store, &bound("bob", "a", 2000));
    write(&mut store, &bound("bob", "a", 4000));
    write(&mut store, &bound("bob", "b", 3000));
    write(&mut store, &bound("carol", "c", 9000));
    write(&mut store, &Entry::Unbound(spot("carol", "c")));
    write(&mut store, &Entry::Unbound(spot("carol", "never")));
    turn(&mut store, 1000);

    let there = |store: &Store| store.shelf.bindings().unwrap();
    assert_eq!(
        there(&store),
        [kept("bob", "a", 4000), kept("bob", "b", 3000)]
    );
    turn(&mut store, 2500);
    assert_eq!(there(&store).len(), 2);
    turn(&mut store, 3500);
    assert_eq!(there(&store), [kept("bob", "a", 4000)]);
    turn(&mut store, 4500);
    assert!(there(&store).is_empty());
}

#[test]
fn names_that_run_together_are_not_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    write(&mut store, &bound("ab", "c", 5000));
    write(&mut store, &bound("a", "bc", 5000));
    write(&mut store, &listed("a", "bPN", "voice"));
    write(&mut store, &listed("ab", "PN", "voice"));
    turn(&mut store, 1000);

    assert_eq!(store.shelf.bindings().unwrap().len(), 2);
    assert_eq!(store.shelf.lines().unwrap().len(), 2);
}

fn open(folder: &Path) -> Store {
    Store::open(&folder.join("data"), 1, Options::default(), at(1000)).unwrap()
}

fn write(store: &mut Store, entry: &Entry<'_>) {
    let lane = &mut store.lanes[0];
    lane.append(entry).unwrap();
    lane.commit().unwrap();
}

/// Has the keeper bring everything up to date, and look after what is too old.
fn turn(store: &mut Store, now: i64) {
    // It looks for what is too old now and then.
    for step in 0..200 {
        let now = at(now).after(Duration::from_millis(step));
        while store.keeper.turn(now).unwrap().is_more {}
    }
}

fn bound(identity: &'static str, address: &'static str, until: i64) -> Entry<'static> {
    Entry::Bound(Bound {
        place: spot(identity, address),
        until: at(until),
    })
}

fn spot(identity: &'static str, address: &'static str) -> Spot<'static> {
    Spot {
        account: "AC1",
        identity,
        channel: "fcm",
        address,
    }
}

fn kept(identity: &str, address: &str, until: i64) -> KeptBinding {
    KeptBinding {
        account: "AC1".into(),
        identity: identity.into(),
        channel: "fcm".into(),
        address: address.into(),
        until: at(until),
    }
}

fn connected(org: &'static str, key: &'static str, sealed: &'static [u8]) -> Entry<'static> {
    Entry::Connected(Connected {
        org,
        at: at(900),
        key,
        sealed,
    })
}

fn listed(org: &'static str, sid: &'static str, mode: &'static str) -> Entry<'static> {
    Entry::Listed(Listed {
        org,
        sid,
        number: "+15550100",
        mode,
        users: vec!["user:bob"].into(),
        at: at(900),
        checked: Some(at(900)),
        drift: "in_sync",
    })
}

fn at(millis: i64) -> Moment {
    Moment::from_millis(millis)
}
