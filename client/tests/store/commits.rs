//! When something becomes durable, and what that costs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use perun_client::store::file::FileOptions;
use perun_client::store::{FileStore, Store, StoreError, Urgency};

use crate::disk::{Chance, SimulatedDisk};
use crate::world::{
    Listener, SMALL, channel, identity, open, opened, payments, snapshot, snapshots,
};

/// A journal that no test fills, so that its passes cost no flushes.
const LONG: FileOptions = FileOptions {
    journal_length: 1 << 20,
    ..SMALL
};

fn open_long(disk: &Arc<SimulatedDisk>) -> FileStore {
    FileStore::open_on(disk.clone(), &identity(1), LONG).unwrap()
}

#[test]
fn one_commit_costs_one_flush() {
    let disk = SimulatedDisk::new();
    let store = open_long(&disk);
    let listener = Listener::at(&store);
    for number in 0..20 {
        let before = store.flushes();
        let ticket = store.write(opened(number));
        listener.durable(ticket);
        assert_eq!(store.flushes() - before, 1);
    }
    // The count is that of the disk.
    assert_eq!(store.flushes(), disk.flushes());
}

#[test]
fn what_queues_during_a_flush_shares_the_next_one() {
    let disk = SimulatedDisk::new();
    let store = open_long(&disk);
    let listener = Listener::at(&store);
    let before = store.flushes();
    disk.hold_flushes();
    let first = store.write(opened(0));
    disk.wait_for_flush();
    let mut last = first;
    for number in 1..=100 {
        last = store.write(opened(number));
    }
    assert!(store.durable() < first);
    disk.let_flushes_go();
    listener.durable(last);
    assert_eq!(store.flushes() - before, 2);
    assert_eq!(listener.heard().durable, [first, last]);
    assert_eq!(snapshots(&store).len(), 101);
}

#[test]
fn nothing_is_durable_before_its_flush_is_over() {
    let disk = SimulatedDisk::new();
    let store = open_long(&disk);
    let listener = Listener::at(&store);
    disk.hold_flushes();
    let ticket = store.write(opened(1));
    disk.wait_for_flush();
    assert!(store.durable() < ticket);
    assert!(listener.heard().durable.is_empty());
    assert!(store.backlog() > 0);
    disk.let_flushes_go();
    listener.durable(ticket);
    assert_eq!(store.durable(), ticket);
    assert_eq!(store.backlog(), 0);
}

#[test]
fn a_write_for_later_waits_for_another() {
    let disk = SimulatedDisk::new();
    let store = open_long(&disk);
    let listener = Listener::at(&store);
    let before = store.flushes();
    let mut later = opened(1);
    later.urgency = Urgency::Later;
    let later = store.write(later);
    let now = store.write(opened(2));
    listener.durable(now);
    assert_eq!(store.flushes() - before, 1);
    assert!(later < now);
    assert_eq!(snapshots(&store).len(), 2);
}

#[test]
fn a_write_for_later_is_committed_after_its_time_and_not_before() {
    let options = FileOptions {
        later: Duration::from_millis(80),
        ..LONG
    };
    let disk = SimulatedDisk::new();
    let store = FileStore::open_on(disk, &identity(1), options).unwrap();
    let listener = Listener::at(&store);
    for number in 0..3 {
        let started = Instant::now();
        let mut write = opened(number);
        write.urgency = Urgency::Later;
        let ticket = store.write(write);
        // Others do not put it off.
        let mut write = snapshot(number, "again");
        write.urgency = Urgency::Later;
        store.write(write);
        listener.durable(ticket);
        assert!(started.elapsed() >= options.later);
    }
    assert_eq!(listener.heard().durable.len(), 3);
}

#[test]
fn only_the_newest_of_a_channels_queued_snapshots_is_written() {
    let disk = SimulatedDisk::new();
    let store = open_long(&disk);
    let listener = Listener::at(&store);
    disk.hold_flushes();
    store.write(opened(1));
    disk.wait_for_flush();
    for number in 0..50 {
        store.write(payments(1, number, format!("paid {number};").as_bytes()));
    }
    let last = store.write(snapshot(1, "the newest"));
    disk.let_flushes_go();
    listener.durable(last);
    let journal = String::from_utf8_lossy(&disk.file("journal-1")).into_owned();
    assert!(!journal.contains("version 48"));
    // Payments are never dropped.
    for number in 0..50 {
        assert!(journal.contains(&format!("paid {number};")));
    }
    assert_eq!(snapshots(&store), [(1, "the newest".to_owned())]);
}

#[test]
fn close_makes_everything_durable_and_ends_it() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let mut write = opened(1);
    write.urgency = Urgency::Later;
    let ticket = store.write(write);
    store.close().unwrap();
    assert_eq!(store.durable(), ticket);
    store.close().unwrap();
    let late = store.write(snapshot(1, "too late"));
    assert!(matches!(store.load(), Err(StoreError::Closed)));
    assert!(store.durable() < late);
    drop(store);
    let store = open(&disk);
    assert_eq!(snapshots(&store), [(1, "first snapshot of 1".to_owned())]);
}

#[test]
fn a_store_that_is_dropped_closes() {
    let disk = SimulatedDisk::new();
    open(&disk).write(opened(1));
    assert_eq!(snapshots(&open(&disk)).len(), 1);
}

#[test]
fn a_failed_flush_is_the_end() {
    let disk = SimulatedDisk::new();
    let store = open_long(&disk);
    let listener = Listener::at(&store);
    let good = store.write(opened(1));
    listener.durable(good);
    // The frame is written, the flush fails.
    disk.dies_after(1);
    let bad = store.write(opened(2));
    listener.failed();
    for number in 3..10 {
        assert!(store.write(opened(number)) > bad);
    }
    assert!(matches!(store.load(), Err(StoreError::Io { .. })));
    assert!(matches!(store.close(), Err(StoreError::Io { .. })));
    assert_eq!(store.durable(), good);
    assert_eq!(listener.heard().durable, [good]);
    assert_eq!(listener.heard().failures.len(), 1);
    // Who comes late hears of it, too.
    let late = Listener::at(&store);
    assert_eq!(late.heard().failures.len(), 1);
    assert_eq!(late.heard().durable, [good]);
    drop(store);

    let store = open_long(&disk.crashed(&mut Chance::new(1)));
    let found = snapshots(&store);
    assert_eq!(found[0], (1, "first snapshot of 1".to_owned()));
    assert!(found.iter().all(|(number, _)| *number <= 2));
}

#[test]
fn a_full_disk_is_the_end_wherever_it_strikes() {
    for operations in 0..40 {
        let disk = SimulatedDisk::new();
        let store = open(&disk);
        let listener = Listener::at(&store);
        disk.dies_after(operations);
        let mut written = Vec::new();
        let big = vec![7; 900];
        for version in 0..40 {
            written.push(store.write(payments(1, version, &big)));
            // Each in a commit of its own, or failed.
            let _ = store.load();
        }
        listener.failed();
        let durable = store.durable();
        assert!(durable < written[39]);
        drop(store);
        assert_eq!(listener.heard().failures.len(), 1);
        assert!(listener.heard().durable.iter().all(|t| *t <= durable));
    }
}

#[test]
fn more_than_may_be_queued_is_the_end() {
    let options = FileOptions {
        queue_limit: 10_000,
        ..LONG
    };
    let disk = SimulatedDisk::new();
    let store = FileStore::open_on(disk.clone(), &identity(1), options).unwrap();
    let listener = Listener::at(&store);
    disk.hold_flushes();
    let first = store.write(opened(1));
    disk.wait_for_flush();
    for version in 0..20 {
        store.write(payments(1, version, &[0; 600]));
    }
    // The memory is given back although the disk hangs.
    assert!(store.backlog() < 2000);
    disk.let_flushes_go();
    listener.failed();
    assert_eq!(store.durable(), first);
    assert!(matches!(
        store.load(),
        Err(StoreError::Overrun { limit: 10_000, .. })
    ));
}

#[test]
fn an_observer_that_comes_late_is_told_the_present() {
    let store = open_long(&SimulatedDisk::new());
    let ticket = store.write(opened(1));
    Listener::at(&store).durable(ticket);
    let second = Listener::at(&store);
    assert_eq!(second.heard().durable, [ticket]);
    assert_eq!(store.load().unwrap().channels[0].0, channel(1));
}
