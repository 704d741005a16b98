//! What the tests write, and how they wait.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use perun_client::store::file::FileOptions;
use perun_client::store::{FileStore, Observer, Store, StoreError, Ticket, Write};
use perun_protocol::{ChannelId, PublicKey, SecretKey, Signer as _, Version};

use crate::disk::SimulatedDisk;

/// Longer than any test should take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Small enough that passes end and journals are kept within a test.
pub const SMALL: FileOptions = FileOptions {
    later: Duration::from_secs(3600),
    queue_limit: 1 << 24,
    journal_length: 4096,
    kept_journal_length: 16384,
};

pub fn identity(number: u8) -> PublicKey {
    SecretKey::from_bytes(&[number; 32]).unwrap().public_key()
}

pub fn channel(number: u8) -> ChannelId {
    ChannelId::from_bytes([number; 32])
}

/// A channel's first write.
pub fn opened(number: u8) -> Write {
    let mut write = Write::new(channel(number));
    write.opening = Some(format!("opening of {number}").into_bytes());
    write.snapshot = Some(format!("first snapshot of {number}").into_bytes());
    write
}

/// A later one.
pub fn snapshot(number: u8, contents: &str) -> Write {
    let mut write = Write::new(channel(number));
    write.snapshot = Some(contents.as_bytes().to_vec());
    write
}

/// Payments to a version; the snapshot tells the version.
pub fn payments(number: u8, version: u64, bytes: &[u8]) -> Write {
    let mut write = snapshot(number, &format!("version {version}"));
    write.payments = Some((Version::new(version), bytes.to_vec()));
    write
}

pub fn open(disk: &Arc<SimulatedDisk>) -> FileStore {
    FileStore::open_on(disk.clone(), &identity(1), SMALL).unwrap()
}

/// The snapshots of all channels that are loaded.
pub fn snapshots(store: &dyn Store) -> Vec<(u8, String)> {
    let channels = store.load().unwrap().channels;
    channels
        .into_iter()
        .map(|(id, channel)| {
            let snapshot = channel.unwrap().snapshot;
            (id.as_bytes()[0], String::from_utf8(snapshot).unwrap())
        })
        .collect()
}

/// Remembers what a store tells, and can be waited for.
#[derive(Default)]
pub struct Listener {
    heard: Mutex<Heard>,
    changed: Condvar,
}

#[derive(Clone, Default)]
pub struct Heard {
    pub durable: Vec<Ticket>,
    pub failures: Vec<String>,
}

impl Listener {
    pub fn at(store: &dyn Store) -> Arc<Self> {
        let listener = Arc::new(Self::default());
        store.set_observer(listener.clone());
        listener
    }

    pub fn heard(&self) -> Heard {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until this ticket is durable.
    pub fn durable(&self, ticket: Ticket) {
        self.wait(|heard| heard.durable.last() >= Some(&ticket));
    }

    /// Waits until the store has failed.
    pub fn failed(&self) {
        self.wait(|heard| !heard.failures.is_empty());
    }

    fn wait(&self, until: impl Fn(&Heard) -> bool) {
        let heard = self.heard.lock().unwrap();
        let (heard, timeout) = self
            .changed
            .wait_timeout_while(heard, PATIENCE, |heard| !until(heard))
            .unwrap();
        assert!(!timeout.timed_out(), "waited in vain");
        drop(heard);
    }
}

impl Observer for Listener {
    fn durable(&self, ticket: Ticket) {
        self.heard.lock().unwrap().durable.push(ticket);
        self.changed.notify_all();
    }

    fn failed(&self, error: &StoreError) {
        self.heard.lock().unwrap().failures.push(error.to_string());
        self.changed.notify_all();
    }
}
