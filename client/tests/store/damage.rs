//! A disk that rots: what is broken is found, and is laid to whom it concerns.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use perun_client::store::{
    ClientWrite, Damage, Ending, FileStore, Flaw, Loaded, RecordKind, Store, StoreError,
};
use perun_protocol::Version;

use crate::disk::SimulatedDisk;
use crate::world::{SMALL, channel, identity, open, opened, payments, snapshot};

const INDEX: &str = "index.redb";

/// A closed store with three channels and some of everything.
fn stored() -> Arc<SimulatedDisk> {
    let disk = SimulatedDisk::new();
    fill(&open(&disk));
    disk
}

fn fill(store: &FileStore) {
    for number in 1..=3 {
        store.write(opened(number));
        store.write(payments(
            number,
            7,
            format!("small payments of {number}").as_bytes(),
        ));
        store.write(snapshot(number, &format!("newest snapshot of {number}")));
    }
    store.write_client(ClientWrite {
        cursor: Some(0x1234_5678_9abc_def0),
        entries: vec![
            ("good".to_owned(), Some(b"a good entry".to_vec())),
            ("bad".to_owned(), Some(b"another entry".to_vec())),
        ],
        ..ClientWrite::default()
    });
    let mut write = opened(9);
    write.ending = Some(Ending::Archive);
    store.write(write);
}

fn only_2_is_damaged(loaded: &Loaded, damage: Damage) {
    let found: Vec<_> = loaded.channels.iter().map(|(id, _)| *id).collect();
    assert_eq!(found, [channel(1), channel(2), channel(3)]);
    assert!(loaded.channels[0].1.is_ok());
    assert_eq!(loaded.channels[1].1, Err(damage));
    assert!(loaded.channels[2].1.is_ok());
}

fn checksum(record: RecordKind) -> Damage {
    let flaw = Flaw::Checksum;
    Damage { record, flaw }
}

#[test]
fn a_flipped_bit_in_an_opening_or_a_snapshot_concerns_its_channel() {
    for (text, kind) in [
        ("opening of 2", RecordKind::Opening),
        ("newest snapshot of 2", RecordKind::Snapshot),
    ] {
        let disk = stored();
        assert!(disk.flip_in(INDEX, text.as_bytes()) > 0);
        let store = open(&disk);
        let loaded = store.load().unwrap();
        only_2_is_damaged(&loaded, checksum(kind));
        assert!(loaded.was_salvaged);
        // The others go on.
        store.write(snapshot(3, "goes on"));
        drop(store);
        let loaded = open(&disk).load().unwrap();
        only_2_is_damaged(&loaded, checksum(kind));
        assert!(!loaded.was_salvaged);
        assert_eq!(loaded.channels[2].1.as_ref().unwrap().snapshot, b"goes on");
    }
}

#[test]
fn a_flipped_bit_in_payments_concerns_their_version() {
    let disk = stored();
    assert!(disk.flip_in(INDEX, b"small payments of 2") > 0);
    let store = open(&disk);
    let version = Version::new(7);
    let page = store.payments(&channel(2), version, 99).unwrap();
    let damage = checksum(RecordKind::Payments(version));
    assert_eq!(page[0].payments, Err(damage));
    assert!(
        store.payments(&channel(1), version, 99).unwrap()[0]
            .payments
            .is_ok()
    );
    assert!(
        store
            .load()
            .unwrap()
            .channels
            .iter()
            .all(|(_, c)| c.is_ok())
    );
}

#[test]
fn a_flipped_bit_in_what_belongs_to_the_client_is_found() {
    let disk = stored();
    assert!(disk.flip_in(INDEX, &0x1234_5678_9abc_def0_u64.to_be_bytes()) > 0);
    assert!(disk.flip_in(INDEX, b"another entry") > 0);
    let loaded = open(&disk).load().unwrap();
    assert_eq!(loaded.cursor, Some(Err(checksum(RecordKind::Cursor))));
    assert_eq!(loaded.entries["bad"], Err(checksum(RecordKind::Entry)));
    assert_eq!(loaded.entries["good"], Ok(b"a good entry".to_vec()));
    assert!(loaded.channels.iter().all(|(_, channel)| channel.is_ok()));
}

#[test]
fn a_flipped_bit_in_an_archived_channel_is_found() {
    let disk = stored();
    assert!(disk.flip_in(INDEX, b"first snapshot of 9") > 0);
    let store = open(&disk);
    let archived = store.archived(None, 9).unwrap();
    let damage = checksum(RecordKind::Snapshot);
    assert_eq!(archived, [(channel(9), Err(damage))]);
    assert_eq!(store.load().unwrap().channels.len(), 3);
}

#[test]
fn a_record_under_another_key_is_found() {
    // As if channel 2 had the records of channel 3: the key is changed, the record stays.
    let disk = stored();
    disk.tamper(INDEX, |bytes| {
        let (from, to) = ([3; 32], [4; 32]);
        for at in 0..bytes.len() - 32 {
            if bytes[at..at + 32] == from {
                bytes[at..at + 32].copy_from_slice(&to);
            }
        }
    });
    let loaded = open(&disk).load().unwrap();
    assert_eq!(loaded.channels[2].0, channel(4));
    assert_eq!(loaded.channels[2].1, Err(checksum(RecordKind::Opening)));
    assert!(loaded.channels[1].1.is_ok());
}

#[test]
fn an_unknown_format_of_a_record_is_named() {
    let disk = stored();
    disk.tamper(INDEX, |bytes| {
        let text = b"newest snapshot of 2";
        for at in 9..bytes.len() - text.len() {
            if bytes[at..].starts_with(text) {
                bytes[at - 9] = 77;
            }
        }
    });
    let flaw = Flaw::Format { found: 77 };
    let record = RecordKind::Snapshot;
    only_2_is_damaged(&open(&disk).load().unwrap(), Damage { record, flaw });
}

/// A store whose last commits are in the journal only, one frame each.
fn not_closed() -> Arc<SimulatedDisk> {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let listener = crate::world::Listener::at(&store);
    for number in 1..=3 {
        listener.durable(store.write(opened(number)));
    }
    disk.killed()
}

#[test]
fn a_flipped_bit_in_the_journal_concerns_its_channel() {
    for (text, kind) in [
        ("opening of 2", RecordKind::Opening),
        ("first snapshot of 2", RecordKind::Snapshot),
    ] {
        let disk = not_closed();
        assert_eq!(disk.flip_in("journal-1", text.as_bytes()), 1);
        let loaded = open(&disk).load().unwrap();
        only_2_is_damaged(&loaded, checksum(kind));
        assert!(!loaded.was_torn);
    }
}

#[test]
fn a_broken_head_in_the_middle_of_the_journal_is_no_torn_end() {
    let disk = not_closed();
    let mut heads = Vec::new();
    disk.tamper("journal-1", |bytes| {
        heads = (0..bytes.len() - 8)
            .filter(|at| bytes[*at..].starts_with(b"PERUNJ"))
            .collect();
        bytes[heads[1] + 20] ^= 1;
    });
    assert_eq!(heads.len(), 3);
    let opened = FileStore::open_on(disk, &identity(1), SMALL);
    assert!(matches!(opened, Err(StoreError::Damaged { .. })));
}

#[test]
fn a_torn_end_is_cut_off_and_told() {
    let disk = not_closed();
    assert_eq!(disk.flip_in("journal-1", b"first snapshot of 3"), 1);
    let store = open(&disk);
    let loaded = store.load().unwrap();
    assert!(loaded.was_torn);
    assert_eq!(loaded.channels.len(), 2);
    drop(store);
    assert!(!open(&disk).load().unwrap().was_torn);
}

#[test]
fn a_cut_or_missing_file_is_an_error() {
    for name in [INDEX, "journal-1"] {
        let disk = not_closed();
        let length = disk.file(name).len();
        disk.tamper(name, |bytes| bytes.truncate(100));
        let opened = catch_unwind(AssertUnwindSafe(|| {
            FileStore::open_on(disk.clone(), &identity(1), SMALL)
        }));
        let opened = opened.expect("panics are caught");
        match (name, opened) {
            (INDEX, Err(StoreError::NotAStore { .. } | StoreError::Damaged { .. })) => {}
            // A journal that ends early is one whose end was torn.
            ("journal-1", Ok(store)) => assert!(store.load().unwrap().was_torn),
            (name, opened) => panic!("{name} cut from {length}: {opened:?}"),
        }
    }
    // Once the index has followed frames, they must be there.
    let disk = not_closed();
    let store = open(&disk);
    store.write(payments(1, 1, b"paid"));
    store.load().unwrap();
    let disk = disk.killed();
    disk.tamper("journal-1", |bytes| bytes.truncate(100));
    let opened = FileStore::open_on(disk, &identity(1), SMALL);
    assert!(matches!(opened, Err(StoreError::Damaged { .. })));
}

/// Whatever byte of the journal breaks: nothing that is shown is wrong, and nothing is missing unsaid.
#[test]
fn no_broken_byte_of_the_journal_goes_unnoticed() {
    let disk = not_closed();
    let good = open(&disk.killed()).load().unwrap().channels;
    let used = disk.file("journal-1").iter().rposition(|byte| *byte != 0);
    for at in 0..=used.unwrap() {
        let disk = disk.killed();
        disk.tamper("journal-1", |bytes| bytes[at] ^= 1 << (at % 8));
        let loaded = FileStore::open_on(disk, &identity(1), SMALL).and_then(|store| store.load());
        let Ok(loaded) = loaded else {
            continue;
        };
        for (id, channel) in &good {
            let now = loaded.channels.iter().find(|(found, _)| found == id);
            match now {
                Some((_, Err(_))) => {}
                Some((_, now)) => assert_eq!(now, channel, "byte {at}"),
                None => assert!(loaded.was_torn, "byte {at}: a channel is gone"),
            }
        }
    }
}

/// Whatever byte of the index breaks: nothing that is shown is wrong, and nothing is missing unsaid.
#[test]
fn no_broken_byte_of_the_index_goes_unnoticed() {
    let disk = stored();
    let good = open(&disk).load().unwrap();
    drop(open(&disk));
    let length = disk.file(INDEX).len();
    let mut found = 0;
    for at in (0..length).step_by(29) {
        let disk = disk.killed();
        disk.tamper(INDEX, |bytes| bytes[at] ^= 1 << (at % 8));
        let loaded = FileStore::open_on(disk, &identity(1), SMALL).and_then(|store| store.load());
        let Ok(loaded) = loaded else {
            found += 1;
            continue;
        };
        // A channel may be known by another name, but only as damaged.
        let mut damaged = loaded.channels.iter().filter(|(_, c)| c.is_err()).count();
        damaged += loaded.entries.values().filter(|e| e.is_err()).count();
        damaged += usize::from(matches!(loaded.cursor, Some(Err(_))));
        for (id, channel) in &good.channels {
            let now = loaded.channels.iter().find(|(found, _)| found == id);
            match now {
                Some((_, now)) if now.is_err() => found += 1,
                Some((_, now)) => assert_eq!(now, channel, "byte {at}"),
                None => assert!(damaged > 0, "byte {at}: a channel is gone"),
            }
        }
        for name in good.entries.keys() {
            let is_there = loaded.entries.contains_key(name);
            assert!(is_there || damaged > 0, "byte {at}: an entry is gone");
        }
        assert!(loaded.cursor.is_some() || damaged > 0, "byte {at}");
    }
    assert!(found > 0);
}
