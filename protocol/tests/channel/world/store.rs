//! What survives a crash.

use std::collections::BTreeMap;

use perun_protocol::Version;
use perun_protocol::channel::{Channel, Limits, Record, Setup, decode_payments, pending_version};
use perun_protocol::payment::Entry;
use perun_protocol::signature::{Signer, Verifier};

/// The last durable record of a channel, its payments, and what is to be stored some time.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Store {
    setup: Vec<u8>,
    snapshot: Option<Vec<u8>>,
    payments: BTreeMap<Version, Vec<u8>>,
    later: Vec<Record>,
}

impl Store {
    pub fn new(setup: &Setup) -> Self {
        Self {
            setup: setup.encode(),
            snapshot: None,
            payments: BTreeMap::new(),
            later: vec![],
        }
    }

    /// Stores now, and everything that waited before it.
    pub fn persist(&mut self, record: Record) {
        self.flush();
        self.apply(record);
    }

    pub fn persist_later(&mut self, record: Record) {
        self.later.push(record);
    }

    /// What was to be stored later is.
    pub fn flush(&mut self) {
        for record in std::mem::take(&mut self.later) {
            self.apply(record);
        }
    }

    /// What was to be stored later never is.
    pub fn lose_later(&mut self) {
        self.later.clear();
    }

    pub fn has_later(&self) -> bool {
        !self.later.is_empty()
    }

    fn apply(&mut self, record: Record) {
        self.snapshot = Some(record.snapshot);
        if let Some(version) = record.forget {
            self.payments.remove(&version);
        }
        self.payments.extend(record.payments);
    }

    /// The machine as it is stored.
    #[track_caller]
    pub fn restore<S: Signer, V: Verifier>(&self, limits: Limits, signer: S) -> Channel<S, V> {
        let setup = Setup::decode(&self.setup).unwrap();
        let snapshot = self.snapshot.as_ref().expect("nothing is stored yet");
        let pending = pending_version(snapshot);
        let payments = pending.and_then(|version| self.payments.get(&version));
        let payments = payments.map(Vec::as_slice);
        Channel::restore(setup, limits, signer, snapshot, payments).unwrap()
    }

    pub fn setup(&self) -> &[u8] {
        &self.setup
    }

    /// The last snapshot.
    #[track_caller]
    pub fn snapshot(&self) -> &[u8] {
        self.snapshot.as_ref().expect("nothing is stored yet")
    }

    /// The payments that led to a version.
    pub fn payments(&self, version: Version) -> Option<&[u8]> {
        self.payments.get(&version).map(Vec::as_slice)
    }

    pub fn is_empty(&self) -> bool {
        self.snapshot.is_none()
    }

    pub fn snapshot_length(&self) -> usize {
        self.snapshot.as_ref().map_or(0, Vec::len)
    }

    /// Every payment stored that led to `through` or an earlier version.
    pub fn entries(&self, through: Version) -> Vec<Entry> {
        let stored = self.payments.range(..=through);
        let entries = stored.map(|(version, bytes)| {
            let (payer, payments) = decode_payments(bytes).unwrap();
            Entry {
                version: *version,
                payer,
                payments,
            }
        });
        entries.collect()
    }
}
