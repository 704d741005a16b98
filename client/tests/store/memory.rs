//! The store in memory: the same promises, at the test's pace.

use perun_client::store::{MemoryStore, Store, StoreError, Ticket};

use crate::world::{Listener, opened, payments, snapshot, snapshots};

#[test]
fn everything_is_durable_at_once() {
    let store = MemoryStore::new();
    for number in 1..4 {
        let ticket = store.write(opened(number));
        assert_eq!(store.durable(), ticket);
    }
    assert_eq!(snapshots(&store.durable_copy()).len(), 3);
}

#[test]
fn a_held_store_makes_durable_what_it_is_told_to() {
    let store = MemoryStore::held();
    let listener = Listener::at(&store);
    let first = store.write(opened(1));
    let second = store.write(payments(1, 1, b"paid"));
    let third = store.write(snapshot(1, "newest"));
    assert_eq!(store.durable(), Ticket::NONE);
    assert_eq!(store.queued(), 3);
    assert!(snapshots(&store.durable_copy()).is_empty());

    store.release_through(first);
    let old = store.durable_copy();
    store.release_through(second);
    assert_eq!(store.durable(), second);
    assert_eq!(snapshots(&store.durable_copy())[0].1, "version 1");
    store.release();
    assert_eq!(listener.heard().durable, [first, second, third]);
    assert_eq!(snapshots(&store)[0].1, "newest");
    // An old copy stays old.
    assert_eq!(snapshots(&old)[0].1, "first snapshot of 1");
}

#[test]
fn a_held_store_fails_at_the_commit_it_is_told_to() {
    let store = MemoryStore::held();
    let listener = Listener::at(&store);
    store.fail_after(1);
    let good = store.write(opened(1));
    store.release();
    let bad = store.write(opened(2));
    store.release();
    let later = store.write(opened(3));
    store.release();
    assert!(bad < later);
    assert_eq!(store.durable(), good);
    assert_eq!(listener.heard().durable, [good]);
    assert_eq!(listener.heard().failures.len(), 1);
    assert!(matches!(store.load(), Err(StoreError::Io { .. })));
    assert_eq!(snapshots(&store.durable_copy()).len(), 1);
}

#[test]
fn a_store_that_makes_durable_at_once_can_fail_too() {
    let store = MemoryStore::new();
    let listener = Listener::at(&store);
    store.fail_after(1);
    let good = store.write(opened(1));
    store.write(opened(2));
    store.write(opened(3));
    assert_eq!(store.durable(), good);
    assert_eq!(listener.heard().failures.len(), 1);
}
