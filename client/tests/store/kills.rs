//! A process that writes to real files is killed, over and over.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use perun_client::store::disk::Folder;
use perun_client::store::file::FileOptions;
use perun_client::store::{FileStore, Observer, Store, StoreError, Ticket, Write};
use perun_protocol::Version;

use crate::disk::Chance;
use crate::folder::Scratch;
use crate::world::{channel, identity};

const ROUNDS: u64 = 30;
const CHANNELS: u64 = 4;
const PATH: &str = "PERUN_STORE_TO_KILL";

fn open(path: &std::path::Path) -> FileStore {
    let options = FileOptions {
        journal_length: 1 << 16,
        kept_journal_length: 1 << 18,
        ..FileOptions::default()
    };
    let folder = Folder::open(path).unwrap();
    FileStore::open_on(Arc::new(folder), &identity(1), options).unwrap()
}

/// The write with this number: of a channel in turn, with payments whose version is the number.
fn numbered(number: u64) -> Write {
    let mut write = Write::new(channel((number % CHANNELS) as u8));
    write.opening = (number < CHANNELS).then(|| vec![1]);
    write.snapshot = Some(number.to_be_bytes().to_vec());
    let length = if (number / 500).is_multiple_of(2) {
        100
    } else {
        5000
    };
    write.payments = Some((Version::new(number), vec![number as u8; length]));
    write
}

/// The highest number in a store of such writes; `None` if there is nothing. All lower ones must be
/// there, and nothing of a higher one.
fn highest(store: &FileStore) -> Option<u64> {
    let loaded = store.load().unwrap();
    let snapshots: Vec<u64> = loaded
        .channels
        .into_iter()
        .map(|(_, stored)| u64::from_be_bytes(stored.unwrap().snapshot.try_into().unwrap()))
        .collect();
    let highest = snapshots.iter().copied().max()?;
    for (of, found) in (0..CHANNELS).zip(&snapshots) {
        let newest = (0..=highest).rev().find(|number| number % CHANNELS == of);
        assert_eq!(newest, Some(*found), "channel {of} when {highest} is there");
        let mut from = of;
        loop {
            let of = channel(of as u8);
            let page = store.payments(&of, Version::new(from), 1 << 20).unwrap();
            for record in &page {
                assert_eq!(record.version.number(), from);
                let payments = record.payments.as_ref().unwrap();
                assert!(payments.iter().all(|byte| *byte == from as u8));
                from += CHANNELS;
            }
            if page.is_empty() {
                break;
            }
        }
        assert_eq!(from, found + CHANNELS, "payments go as far as the snapshot");
    }
    Some(highest)
}

/// Tells its parent what is durable.
struct Teller {
    first: u64,
    durable: AtomicU64,
}

impl Observer for Teller {
    fn durable(&self, ticket: Ticket) {
        self.durable.store(ticket.number(), Ordering::SeqCst);
        let mut out = std::io::stdout().lock();
        // Tickets count from 1, numbers from 0.
        writeln!(out, "durable {}", self.first + ticket.number() - 1).unwrap();
        out.flush().unwrap();
    }

    fn failed(&self, error: &StoreError) {
        panic!("{error}");
    }
}

/// No test of its own: the process that is killed.
#[test]
fn the_process_that_is_killed() {
    let Ok(path) = std::env::var(PATH) else {
        return;
    };
    let store = open(path.as_ref());
    let first = highest(&store).map_or(0, |number| number + 1);
    let teller = Arc::new(Teller {
        first,
        durable: AtomicU64::new(0),
    });
    store.set_observer(teller.clone());
    let mut written = 0;
    loop {
        // A bit ahead of the disk, as many channels together are.
        if written < teller.durable.load(Ordering::SeqCst) + 20 {
            store.write(numbered(first + written));
            written += 1;
        }
    }
}

#[test]
fn what_was_told_durable_survives_kills() {
    let scratch = Scratch::new();
    let mut chance = Chance::new(1);
    let mut told = None;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "kills::the_process_that_is_killed",
                "--nocapture",
            ])
            .env(PATH, scratch.store())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            let lines = out.lines().map_while(Result::ok);
            let numbers = lines.filter_map(|line| line.split_once("durable ")?.1.parse().ok());
            numbers.last()
        });
        // Also while it starts.
        std::thread::sleep(Duration::from_millis(10 + chance.below(190)));
        child.kill().unwrap();
        child.wait().unwrap();
        told = told.max(reader.join().unwrap());
        let store = open(&scratch.store());
        assert!(highest(&store) >= told, "round {round}: {told:?} was told");
    }
    assert!(told > Some(100), "too little was written to tell: {told:?}");
}
