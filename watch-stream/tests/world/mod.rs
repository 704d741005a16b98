//! What the tests share: randomness that repeats, storage that fails when told to, an author with
//! watchers.
#![allow(dead_code, reason = "each test binary uses its own share")]

pub mod folder;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use perun_protocol::{ChannelId, Participant, SecretKey, Version};
use perun_watch_stream::{Author, MAX_MESSAGE_LENGTH, Received, Record, Storage, Subscriber};
use rand_core::{CryptoRng, RngCore};
use sha2::{Digest, Sha256};

/// SHA-256 of a seed and a counter: the same bytes each time.
pub struct Random {
    seed: u64,
    counter: u64,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { seed, counter: 0 }
    }
}

impl RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        self.next_u64() as u32
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_be_bytes(bytes)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let hash = Sha256::new()
                .chain_update(self.seed.to_be_bytes())
                .chain_update(self.counter.to_be_bytes());
            self.counter += 1;
            chunk.copy_from_slice(&hash.finalize()[..chunk.len()]);
        }
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for Random {}

/// The power went out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PowerCut;

impl std::fmt::Display for PowerCut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("power cut")
    }
}

/// When the power goes out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cut {
    /// Before the write with this number, counted from 0, has any effect.
    Before(usize),
    /// After it had its effect, but before anybody knows.
    After(usize),
}

/// Records that survive the power: handles of the same memory share them.
#[derive(Clone, Default)]
pub struct Flash(Rc<RefCell<Cells>>);

#[derive(Clone, Default)]
struct Cells {
    records: HashMap<Record, Vec<u8>>,
    writes: usize,
    cut: Option<Cut>,
    is_off: bool,
}

impl Flash {
    pub fn cut_at(&self, cut: Cut) {
        let mut cells = self.0.borrow_mut();
        cells.writes = 0;
        cells.cut = Some(cut);
    }

    /// The power is back, and stays.
    pub fn power_on(&self) {
        let mut cells = self.0.borrow_mut();
        cells.cut = None;
        cells.is_off = false;
    }

    pub fn writes(&self) -> usize {
        self.0.borrow().writes
    }

    /// A second memory with what this one holds now: an image of the flash, written to another device.
    pub fn image(&self) -> Self {
        Self(Rc::new(RefCell::new(self.0.borrow().clone())))
    }

    pub fn record(&self, record: Record) -> Option<Vec<u8>> {
        self.0.borrow().records.get(&record).cloned()
    }

    pub fn put(&self, record: Record, bytes: Vec<u8>) {
        self.0.borrow_mut().records.insert(record, bytes);
    }
}

impl Storage for Flash {
    type Error = PowerCut;

    fn load(&mut self, record: Record, into: &mut [u8]) -> Result<Option<usize>, PowerCut> {
        let cells = self.0.borrow();
        Ok(cells.records.get(&record).map(|bytes| {
            into[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        }))
    }

    fn store(&mut self, record: Record, bytes: &[u8]) -> Result<(), PowerCut> {
        let cells = &mut *self.0.borrow_mut();
        let write = cells.writes;
        cells.writes += 1;
        if cells.is_off || cells.cut == Some(Cut::Before(write)) {
            cells.is_off = true;
            return Err(PowerCut);
        }
        cells.records.insert(record, bytes.to_vec());
        if cells.cut == Some(Cut::After(write)) {
            cells.is_off = true;
            return Err(PowerCut);
        }
        Ok(())
    }
}

pub const CHANNEL: [u8; 32] = [0xc4; 32];

pub fn owner() -> SecretKey {
    SecretKey::from_bytes(&[0x11; 32]).unwrap()
}

pub fn participant() -> Participant {
    owner().participant()
}

/// The Ed25519 public key of a watcher's identity.
pub fn identity_key(seed: u8) -> [u8; 32] {
    let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
    key.verifying_key().to_bytes()
}

/// An owned [`Received`], for comparing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Got {
    Epoch(u32),
    Removed(u32),
    State(u64, Vec<u8>),
    Superseded(u64),
    Held(u64),
    Forked(u64),
    Heartbeat(Vec<u8>, bool),
}

impl From<Received<'_>> for Got {
    fn from(received: Received<'_>) -> Self {
        match received {
            Received::Epoch(epoch) => Self::Epoch(epoch.0),
            Received::Removed(epoch) => Self::Removed(epoch.0),
            Received::State {
                version, payload, ..
            } => Self::State(version.number(), payload.to_vec()),
            Received::Superseded { version, .. } => Self::Superseded(version.number()),
            Received::Held { number } => Self::Held(number.0),
            Received::Forked { number } => Self::Forked(number.0),
            Received::Heartbeat {
                payload, misses, ..
            } => Self::Heartbeat(payload.to_vec(), misses),
        }
    }
}

/// A watcher with its flash; stores each state that it is given and the version with it.
pub struct Watcher {
    pub flash: Flash,
    pub side: Subscriber<Flash>,
}

pub type Refusal = perun_watch_stream::ReceiveError<PowerCut>;

impl Watcher {
    pub fn follow(announcement: &[u8], seed: u8, random: &mut Random) -> Self {
        let flash = Flash::default();
        let channel = ChannelId::from_bytes(CHANNEL);
        let side = Subscriber::follow(
            flash.clone(),
            announcement,
            channel,
            participant(),
            &[seed; 32],
            random,
        )
        .unwrap();
        Self { flash, side }
    }

    pub fn receive(&mut self, message: &[u8]) -> Result<Got, Refusal> {
        let mut text = [0; MAX_MESSAGE_LENGTH];
        let got = self.side.receive(message, &mut text).map(Got::from)?;
        self.keep(&got);
        Ok(got)
    }

    pub fn release(&mut self) -> Option<Got> {
        let mut text = [0; MAX_MESSAGE_LENGTH];
        let got = self.side.release(&mut text).unwrap().map(Got::from);
        if let Some(got) = &got {
            self.keep(got);
        }
        got
    }

    pub fn restart(&mut self) {
        self.side = Subscriber::start(self.flash.clone()).unwrap().unwrap();
    }

    fn keep(&mut self, got: &Got) {
        if let Got::State(version, _) = got {
            self.side.stored(Version::new(*version)).unwrap();
        }
    }
}

/// An author with watchers that have subscribed, and an epoch that all can read.
pub struct World {
    pub random: Random,
    pub flash: Flash,
    pub author: Author<Flash>,
    pub watchers: Vec<Watcher>,
}

impl World {
    pub fn with_watchers(count: u8) -> Self {
        let mut random = Random::new(7);
        let flash = Flash::default();
        let channel = ChannelId::from_bytes(CHANNEL);
        let author = Author::create(flash.clone(), channel, &owner(), &mut random).unwrap();
        let mut world = Self {
            random,
            flash,
            author,
            watchers: Vec::new(),
        };
        for position in 0..count {
            world.add_watcher(0x41 + position);
        }
        if count > 0 {
            world.open_epoch();
        }
        world
    }

    pub fn add_watcher(&mut self, seed: u8) {
        let announcement = self.author.announcement();
        let mut watcher = Watcher::follow(&announcement, seed, &mut self.random);
        self.author.allow(identity_key(seed)).unwrap();
        let subscription = watcher.side.subscribe(&mut self.random).unwrap();
        self.author.receive(&subscription).unwrap();
        self.watchers.push(watcher);
    }

    /// Opens an epoch, shows its keyload to all watchers and returns it.
    pub fn open_epoch(&mut self) -> Vec<u8> {
        let keyload = self.keyload();
        for watcher in &mut self.watchers {
            let _ = watcher.receive(&keyload);
        }
        keyload
    }

    pub fn keyload(&mut self) -> Vec<u8> {
        self.author.open_epoch(&mut self.random).unwrap().to_vec()
    }

    pub fn publish(&mut self, version: u64) -> Vec<u8> {
        let payload = payload(version);
        let published = self.author.publish(Version::new(version), &[], &payload);
        published.unwrap().to_vec()
    }

    /// The author's device loses its power and starts again.
    pub fn restart(&mut self) {
        self.flash.power_on();
        self.author = Author::start(self.flash.clone()).unwrap().unwrap();
    }
}

/// What is published as this version.
pub fn payload(version: u64) -> Vec<u8> {
    format!("the signed state of version {version}").into_bytes()
}

pub fn state(version: u64) -> Got {
    Got::State(version, payload(version))
}
