//! A store is copied while it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use perun_client::store::disk::Disk as _;
use perun_client::store::{ClientWrite, Ending, FileStore, Store, StoreError, Write};
use perun_protocol::Version;

use crate::disk::{Chance, SimulatedDisk};
use crate::folder::Scratch;
use crate::world::{Listener, SMALL, channel, identity, open, opened, payments, snapshots};

/// All payments of a channel.
fn history(store: &dyn Store, number: u8) -> Vec<(u64, Vec<u8>)> {
    let page = store.payments(&channel(number), Version::INITIAL, usize::MAX);
    let records = page.unwrap().into_iter();
    records
        .map(|record| (record.version.number(), record.payments.unwrap()))
        .collect()
}

/// Everything that a store tells.
fn contents(store: &dyn Store, channels: impl Iterator<Item = u8>) -> String {
    let loaded = store.load().unwrap();
    assert!(!loaded.was_torn && !loaded.was_salvaged);
    let archived = store.archived(None, usize::MAX).unwrap();
    let histories: Vec<_> = channels.map(|number| history(store, number)).collect();
    format!("{loaded:?} {archived:?} {histories:?}")
}

/// A write with payments, some of which stay in journals that are kept.
fn paid(number: u8, version: u64) -> Write {
    let length = if version.is_multiple_of(7) { 3000 } else { 40 };
    payments(number, version, &vec![version as u8; length])
}

#[test]
fn a_copy_has_all_that_was_durable() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    for number in 1..=4 {
        store.write(opened(number));
    }
    for version in 0..60 {
        store.write(paid(1, version));
        store.write(paid(2, version));
        // The index follows now and then.
        if version % 20 == 0 {
            drop(store.load().unwrap());
        }
    }
    let mut archive = Write::new(channel(2));
    archive.ending = Some(Ending::Archive);
    store.write(archive);
    let mut erase = Write::new(channel(3));
    erase.ending = Some(Ending::Erase);
    store.write(erase);
    let ticket = store.write_client(ClientWrite {
        cursor: Some(7),
        entries: vec![("name".into(), Some(b"value".to_vec()))],
        ..ClientWrite::default()
    });
    Listener::at(&store).durable(ticket);

    let copy = SimulatedDisk::new();
    store.copy_onto(&*copy).unwrap();
    // What comes later is not in it.
    store.write(opened(5));
    let copied = open(&copy);
    let without = contents(&copied, 1..=5);
    drop(copied);
    let mut erase = Write::new(channel(5));
    erase.ending = Some(Ending::Erase);
    store.write(erase);
    assert_eq!(contents(&store, 1..=5), without);
    // Payments lie in kept journals, in the present one, and in the index.
    assert!(without.contains("[59, 59"), "{without}");
    // The copy is a store like any other.
    let copied = open(&copy);
    copied.write(paid(1, 60));
    drop(copied);
    assert_eq!(history(&open(&copy), 1).len(), 61);
}

#[test]
fn writers_go_on_while_a_copy_is_made() {
    let store = open(&SimulatedDisk::new());
    store.write(opened(1));
    let whole = SimulatedDisk::new();
    store.copy_onto(&*whole).unwrap();
    // Whatever it waits for.
    for flushes in 0..whole.flushes() {
        copy_and_write(flushes);
    }
}

/// Makes a copy to a disk that hangs after so many flushes, and writes meanwhile.
fn copy_and_write(flushes: u64) {
    let store = open(&SimulatedDisk::new());
    let listener = Listener::at(&store);
    listener.durable(store.write(opened(1)));
    let copy = SimulatedDisk::new();
    copy.hold_flushes_after(flushes);
    std::thread::scope(|scope| {
        let copying = scope.spawn(|| store.copy_onto(&*copy));
        copy.wait_for_flush();
        // Several passes and journals full.
        for version in 0..60 {
            let short = [version as u8; 40];
            listener.durable(store.write(payments(1, version, &short)));
        }
        for version in 60..100 {
            listener.durable(store.write(paid(1, version)));
        }
        assert!(!copying.is_finished(), "after {flushes} flushes");
        copy.let_flushes_go();
        copying.join().unwrap().unwrap();
    });
    let copied = open(&copy);
    let [(1, snapshot)] = &snapshots(&copied)[..] else {
        panic!("{:?}", snapshots(&copied));
    };
    // Some moment since the copy was asked for.
    let version = snapshot.strip_prefix("version ").map(str::parse::<u64>);
    let count = version.map_or(0, |version| version.unwrap() + 1);
    assert_eq!(history(&copied, 1).len() as u64, count);
    assert_eq!(history(&store, 1).len(), 100);
    // What waited for the copy is done when it is over.
    listener.durable(store.write(paid(1, 100)));
    drop(store.load().unwrap());
}

#[test]
fn copies_of_a_busy_store_are_states_that_it_had() {
    let scratch = Scratch::new();
    let store = FileStore::open(&scratch.store(), &identity(1)).unwrap();
    let listener = Listener::at(&store);
    for number in 0..4 {
        store.write(opened(number));
    }
    let stops = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            // One write a version, to the channels in turn.
            let mut last = 0;
            while !stops.load(Ordering::Relaxed) {
                let ticket = store.write(paid((last % 4) as u8, last));
                if last.is_multiple_of(4) {
                    listener.durable(ticket);
                }
                last += 1;
            }
            last
        });
        for round in 0..5 {
            let before = store.durable().number();
            let folder = scratch.store().with_extension(round.to_string());
            store.copy_to(&folder).unwrap();
            let copied = FileStore::open(&folder, &identity(1)).unwrap();
            let mut all: Vec<u64> = (0..4)
                .flat_map(|number| history(&copied, number))
                .map(|(version, bytes)| {
                    assert!(bytes.iter().all(|byte| *byte == version as u8));
                    version
                })
                .collect();
            all.sort_unstable();
            // Nothing is missing in between, and four writes came before.
            assert_eq!(all, (0..all.len() as u64).collect::<Vec<_>>());
            assert!(all.len() as u64 + 4 >= before, "{before} in {}", all.len());
            for (number, snapshot) in snapshots(&copied) {
                let newest = history(&copied, number).pop();
                if let Some((version, _)) = newest {
                    assert_eq!(snapshot, format!("version {version}"));
                }
            }
        }
        stops.store(true, Ordering::Relaxed);
        assert!(writing.join().unwrap() > 100);
    });
}

#[test]
fn half_a_copy_is_no_store() {
    let store = open(&SimulatedDisk::new());
    store.write(opened(1));
    for version in 0..60 {
        store.write(paid(1, version));
    }
    drop(store.load().unwrap());
    let whole = SimulatedDisk::new();
    store.copy_onto(&*whole).unwrap();
    let mut chance = Chance::new(1);
    for operations in 0..whole.operations() {
        let dying = SimulatedDisk::mortal(operations);
        if store.copy_onto(&*dying).is_ok() {
            // Its last operations free what is not needed any more.
            continue;
        }
        let left = dying.crashed(&mut chance);
        let names = left.names().unwrap();
        if names.iter().all(|name| name == "unfinished-journal") {
            continue;
        }
        // It may have become whole by the very last thing that was done.
        if let Ok(opened) = FileStore::open_on(left, &identity(1), SMALL) {
            assert!(operations + 8 > whole.operations(), "{operations}");
            assert_eq!(contents(&opened, 1..=1), contents(&store, 1..=1));
        }
    }
}

#[test]
fn a_copy_takes_no_others_place() {
    let scratch = Scratch::new();
    let store = FileStore::open(&scratch.store(), &identity(1)).unwrap();
    let refused = store.copy_to(&scratch.store()).unwrap_err();
    assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
    let folder = scratch.store().with_extension("copy");
    store.copy_to(&folder).unwrap();
    let refused = store.copy_to(&folder).unwrap_err();
    assert!(matches!(refused, StoreError::Io { .. }), "{refused}");
    store.close().unwrap();
    let refused = store.copy_to(&scratch.store().with_extension("late"));
    assert!(matches!(refused, Err(StoreError::Closed)), "{refused:?}");
}

#[test]
fn a_reader_keeps_no_journal_from_being_removed_for_good() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let listener = Listener::at(&store);
    store.write(opened(1));
    let copy = SimulatedDisk::new();
    copy.hold_flushes();
    std::thread::scope(|scope| {
        let copying = scope.spawn(|| store.copy_onto(&*copy));
        copy.wait_for_flush();
        for version in 0..100 {
            listener.durable(store.write(paid(1, version)));
        }
        copy.let_flushes_go();
        copying.join().unwrap().unwrap();
    });
    let mut erase = Write::new(channel(1));
    erase.ending = Some(Ending::Erase);
    listener.durable(store.write(erase));
    drop(store.load().unwrap());
    // The next one finds nobody reading.
    listener.durable(store.write(opened(2)));
    drop(store);
    let journals = disk_names(&disk);
    assert_eq!(journals.len(), 1, "{journals:?}");
    assert_eq!(history(&open(&disk), 1), []);
}

fn disk_names(disk: &Arc<SimulatedDisk>) -> Vec<String> {
    let mut names = disk.names().unwrap();
    names.retain(|name| name.starts_with("journal-"));
    names
}
