//! Payments, archived channels, and what belongs to no channel.

use std::collections::BTreeMap;

use perun_client::store::{ClientWrite, Ending, MemoryStore, Store, Write};
use perun_protocol::Version;

use crate::disk::SimulatedDisk;
use crate::world::{channel, open, opened, payments, snapshot, snapshots};

/// All payments of a channel, page by page.
fn history(store: &dyn Store, number: u8, limit: usize) -> Vec<(u64, Vec<u8>)> {
    let mut all = Vec::new();
    let mut from = Version::INITIAL;
    loop {
        let page = store.payments(&channel(number), from, limit).unwrap();
        let Some(last) = page.last() else {
            return all;
        };
        from = last.version.next().unwrap();
        all.extend(
            page.into_iter()
                .map(|record| (record.version.number(), record.payments.unwrap())),
        );
    }
}

/// Payments of different sizes, so that some move to the index and some stay where they are.
fn paid(version: u64) -> Vec<u8> {
    let length = if version.is_multiple_of(3) { 30 } else { 1500 };
    vec![version as u8; length]
}

fn both(test: impl Fn(&dyn Store)) {
    test(&open(&SimulatedDisk::new()));
    test(&MemoryStore::new());
    test(&MemoryStore::held());
}

#[test]
fn history_comes_in_pages_and_in_order() {
    both(|store| {
        store.write(opened(1));
        store.write(opened(2));
        for version in 0..60 {
            store.write(payments(1, version, &paid(version)));
            store.write(payments(2, version * 2, &paid(version)));
        }
        let all: Vec<_> = (0..60).map(|version| (version, paid(version))).collect();
        assert_eq!(history(store, 1, usize::MAX), all);
        // One at least, whatever the limit.
        assert_eq!(history(store, 1, 0), all);
        assert_eq!(history(store, 1, 4000), all);
        let page = store.payments(&channel(1), Version::new(1), 3000).unwrap();
        assert_eq!(page.len(), 2);
        assert_eq!(page[0].version, Version::new(1));
        assert_eq!(history(store, 2, 4000).len(), 60);
        assert_eq!(history(store, 3, 4000), []);
    });
}

#[test]
fn payments_are_forgotten_one_by_one() {
    both(|store| {
        store.write(opened(1));
        for version in 0..40 {
            store.write(payments(1, version, &paid(version)));
            // Some in the commit that stores them, some later.
            if version % 4 == 0 {
                let _ = store.payments(&channel(1), Version::INITIAL, 0);
            }
            let mut write = Write::new(channel(1));
            write.forget = Some(Version::new(version / 2));
            store.write(write);
        }
        let left: Vec<_> = history(store, 1, 5000).iter().map(|(v, _)| *v).collect();
        assert_eq!(left, (20..40).collect::<Vec<_>>());
        // A version that was refused may get payments after all.
        store.write(payments(1, 3, b"again"));
        assert_eq!(history(store, 1, 5000)[0], (3, b"again".to_vec()));
    });
}

#[test]
fn an_archived_channel_is_still_read() {
    both(|store| {
        for number in 1..=5 {
            store.write(opened(number));
            store.write(payments(number, 1, b"paid"));
        }
        for number in [1, 3, 5] {
            let mut write = snapshot(number, "the last");
            write.ending = Some(Ending::Archive);
            store.write(write);
        }
        let first = store.archived(None, 2).unwrap();
        assert_eq!(first.len(), 2);
        assert_eq!(first[0].0, channel(1));
        assert_eq!(first[0].1.as_ref().unwrap().snapshot, b"the last");
        let rest = store.archived(Some(&first[1].0), 2).unwrap();
        assert_eq!(rest.len(), 1);
        assert_eq!(rest[0].0, channel(5));
        assert_eq!(history(store, 3, 99), [(1, b"paid".to_vec())]);
    });
}

#[test]
fn an_archived_channel_is_not_loaded() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    store.write(opened(1));
    store.write(opened(2));
    let mut write = snapshot(1, "the last");
    write.ending = Some(Ending::Archive);
    store.write(write);
    assert_eq!(snapshots(&store), [(2, "first snapshot of 2".to_owned())]);
    drop(store);
    assert_eq!(snapshots(&open(&disk)).len(), 1);
}

#[test]
fn an_erased_channel_leaves_nothing() {
    both(|store| {
        for number in [1, 2, 3] {
            store.write(opened(number));
            for version in 0..30 {
                store.write(payments(number, version, &paid(version)));
            }
        }
        let mut write = Write::new(channel(3));
        write.ending = Some(Ending::Archive);
        store.write(write);
        for number in [1, 3] {
            let mut write = Write::new(channel(number));
            write.ending = Some(Ending::Erase);
            store.write(write);
        }
        assert_eq!(history(store, 1, 5000), []);
        assert_eq!(history(store, 3, 5000), []);
        assert_eq!(history(store, 2, 5000).len(), 30);
        assert!(store.archived(None, 9).unwrap().is_empty());
    });
}

#[test]
fn what_the_client_stores_is_there_after_a_restart() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    assert!(store.load().unwrap().cursor.is_none());
    for cursor in 1..=3 {
        store.write_client(ClientWrite {
            cursor: Some(cursor),
            entries: vec![
                ("changes".to_owned(), Some(vec![cursor as u8])),
                ("goes".to_owned(), (cursor < 3).then(|| vec![1])),
            ],
            ..ClientWrite::default()
        });
    }
    drop(store);
    let loaded = open(&disk).load().unwrap();
    assert_eq!(loaded.cursor, Some(Ok(3)));
    let expected = BTreeMap::from([("changes".to_owned(), Ok(vec![3]))]);
    assert_eq!(loaded.entries, expected);
}

#[test]
fn everything_is_there_after_a_restart() {
    let disk = SimulatedDisk::new();
    for round in 0..6 {
        let store = open(&disk);
        for version in round * 20..(round + 1) * 20 {
            if version == 0 {
                store.write(opened(1));
            }
            store.write(payments(1, version, &paid(version)));
        }
        let all: Vec<_> = (0..(round + 1) * 20).map(|v| (v, paid(v))).collect();
        assert_eq!(history(&store, 1, 9000), all);
        drop(store);
        let store = open(&disk);
        assert_eq!(history(&store, 1, 9000), all);
        assert_eq!(
            snapshots(&store)[0].1,
            format!("version {}", round * 20 + 19)
        );
    }
}

#[test]
fn small_payments_outlive_the_journal_they_were_in() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    store.write(opened(1));
    // Several times round the journal.
    for version in 0..200 {
        let mut write = payments(1, version, &version.to_be_bytes());
        write.snapshot = Some(vec![1; 200]);
        store.write(write);
        let read = store
            .payments(&channel(1), Version::new(version), 1)
            .unwrap();
        assert_eq!(read.len(), 1);
    }
    let all: Vec<_> = (0..200)
        .map(|v: u64| (v, v.to_be_bytes().to_vec()))
        .collect();
    assert_eq!(history(&store, 1, 500), all);
    assert!(!disk.has("journal-2"));
    drop(store);
    assert_eq!(history(&open(&disk), 1, 500), all);
}

#[test]
fn a_journal_is_kept_as_long_as_it_is_needed() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    store.write(opened(1));
    let mut version = 0;
    while !disk.has("journal-2") {
        store.write(payments(1, version, &[version as u8; 2000]));
        store.load().unwrap();
        version += 1;
    }
    assert!(disk.has("journal-1"));
    for version in 0..version {
        assert!(disk.has("journal-1"));
        let mut write = Write::new(channel(1));
        write.forget = Some(Version::new(version));
        store.write(write);
        store.load().unwrap();
    }
    assert!(!disk.has("journal-1"));
    drop(store);
    assert_eq!(history(&open(&disk), 1, 9000), []);
}
