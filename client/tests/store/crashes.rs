//! Power cuts at every single operation of the disk.
//!
//! The scenario is one long history of numbered writes. After each crash the store must show exactly
//! what some first part of it leaves, and at least as much as was reported durable.

use std::sync::Arc;

use perun_client::store::{ClientWrite, Ending, FileStore, MemoryStore, Store, Ticket, Write};
use perun_protocol::Version;

use crate::disk::{Chance, SimulatedDisk};
use crate::world::{SMALL, channel, identity, opened, payments};

const STEPS: u64 = 54;

/// The n-th write, counted from 1.
fn step(store: &dyn Store, number: u64) -> Ticket {
    let of = (number % 4) as u8;
    match number {
        1..=4 => store.write(opened(of)),
        n if n % 13 == 0 => store.write_client(ClientWrite {
            cursor: Some(n),
            entries: vec![("entry".to_owned(), (n % 2 == 0).then(|| vec![n as u8]))],
            ..ClientWrite::default()
        }),
        n if n % 17 == 0 => {
            let mut write = Write::new(channel(of));
            write.forget = Some(Version::new(n - 8));
            store.write(write)
        }
        41 => {
            let mut write = Write::new(channel(of));
            write.ending = Some(Ending::Archive);
            store.write(write)
        }
        50 => {
            let mut write = Write::new(channel(of));
            write.ending = Some(Ending::Erase);
            store.write(write)
        }
        // Channels 1 and 2 are over then.
        n if n > 41 && (of == 1 || of == 2) => store.write(payments(0, n, &[n as u8; 10])),
        n => {
            let length = if n > 20 { 2500 } else { 40 };
            store.write(payments(of, n, &vec![n as u8; length]))
        }
    }
}

/// Everything that a store shows, as text.
fn shown(store: &dyn Store) -> String {
    let loaded = store.load().unwrap();
    let mut text = format!(
        "{:?} {:?} {:?}",
        loaded.channels, loaded.cursor, loaded.entries
    );
    text += &format!("{:?}", store.archived(None, 99).unwrap());
    for number in 0..4 {
        let all = store.payments(&channel(number), Version::INITIAL, usize::MAX);
        text += &format!("{:?}", all.unwrap());
    }
    text
}

/// What each first part of the history leaves.
fn prefixes() -> Vec<String> {
    let store = MemoryStore::new();
    let mut prefixes = vec![shown(&store)];
    for number in 1..=STEPS {
        step(&store, number);
        prefixes.push(shown(&store));
    }
    prefixes
}

fn open(disk: &Arc<SimulatedDisk>) -> Result<FileStore, String> {
    FileStore::open_on(disk.clone(), &identity(1), SMALL).map_err(|error| error.to_string())
}

/// Lives the history from some step on, on a disk that may die, and gives the step that is durable.
/// `batch` writes are made between two waits.
fn live(store: &FileStore, from: u64, batch: u64) -> u64 {
    for number in from..=STEPS {
        step(store, number);
        if number % batch == 0 {
            // Waits for everything written.
            let _ = store.archived(None, 0);
        }
    }
    let _ = store.close();
    from - 1 + store.durable().number()
}

/// Crashes after so many operations, twice, and checks what is left both times.
fn crash(operations: u64, batch: u64, chance: &mut Chance, prefixes: &[String]) {
    let context = format!("{operations} operations, batches of {batch}");
    let disk = SimulatedDisk::mortal(operations);
    let durable = open(&disk).map_or(0, |store| live(&store, 1, batch));
    let disk = disk.crashed(chance);
    let found = check(&disk, durable, prefixes, &context);

    // The next life ends while it begins, or soon after.
    disk.dies_after(chance.below(40));
    let durable = open(&disk).map_or(found, |store| live(&store, found + 1, batch));
    check(&disk.crashed(chance), durable, prefixes, &context);
}

/// Opens what is left, and gives how much of the history it shows.
fn check(disk: &Arc<SimulatedDisk>, durable: u64, prefixes: &[String], context: &str) -> u64 {
    let store = open(disk).unwrap_or_else(|error| panic!("{context}: {error}"));
    let text = shown(&store);
    let found = prefixes.iter().rposition(|prefix| *prefix == text);
    let found = found.unwrap_or_else(|| panic!("{context}: no first part of the history"));
    assert!(found as u64 >= durable, "{context}: {found} < {durable}");
    drop(store);
    found as u64
}

fn crash_everywhere(batch: u64) {
    let prefixes = prefixes();
    let disk = SimulatedDisk::new();
    live(&open(&disk).unwrap(), 1, batch);
    let total = disk.operations();
    let mut chance = Chance::new(batch);
    for operations in 0..=total {
        crash(operations, batch, &mut chance, &prefixes);
    }
}

#[test]
fn a_crash_at_any_operation_leaves_a_first_part_when_writes_are_waited_for() {
    crash_everywhere(1);
}

#[test]
fn a_crash_at_any_operation_leaves_a_first_part_when_writes_share_commits() {
    crash_everywhere(7);
}
