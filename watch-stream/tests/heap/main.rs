//! Neither side allocates: a microcontroller may have no heap at all.
//!
//! A counting allocator sees every allocation of this thread while one of the machines runs.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::convert::Infallible;

use perun_protocol::{ChannelId, SecretKey, Timestamp, Version};
use perun_watch_stream::{
    Author, MAX_MESSAGE_LENGTH, MAX_RECORD_LENGTH, Policy, Received, Record, Schedule, Storage,
    Subscriber,
};
use rand_core::{CryptoRng, RngCore};

struct Counting;

thread_local! {
    static COUNTS: Cell<bool> = const { Cell::new(false) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTS.get() {
            ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        }
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Both records, in an array.
struct Cells([([u8; MAX_RECORD_LENGTH], Option<usize>); 2]);

impl Cells {
    const fn new() -> Self {
        Self([([0; MAX_RECORD_LENGTH], None); 2])
    }

    fn at(&mut self, record: Record) -> &mut ([u8; MAX_RECORD_LENGTH], Option<usize>) {
        &mut self.0[usize::from(record == Record::State)]
    }
}

impl Storage for Cells {
    type Error = Infallible;

    fn load(&mut self, record: Record, into: &mut [u8]) -> Result<Option<usize>, Infallible> {
        let (bytes, length) = *self.at(record);
        if let Some(length) = length {
            into[..length].copy_from_slice(&bytes[..length]);
        }
        Ok(length)
    }

    fn store(&mut self, record: Record, bytes: &[u8]) -> Result<(), Infallible> {
        let (cells, length) = self.at(record);
        cells[..bytes.len()].copy_from_slice(bytes);
        *length = Some(bytes.len());
        Ok(())
    }
}

/// Not random, but it does not allocate.
struct Counter(u8);

impl RngCore for Counter {
    fn next_u32(&mut self) -> u32 {
        u32::from_be_bytes([0; 4].map(|_: u8| self.next()))
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_be_bytes([0; 8].map(|_: u8| self.next()))
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        out.iter_mut().for_each(|byte| *byte = self.next());
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl Counter {
    fn next(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(167).wrapping_add(13);
        self.0
    }
}

impl CryptoRng for Counter {}

fn life() -> usize {
    let mut random = Counter(1);
    let owner = SecretKey::from_bytes(&[0x11; 32]).unwrap();
    let channel = ChannelId::from_bytes([7; 32]);
    let now = Timestamp::from_nanos(1);
    let mut author = Author::create(Cells::new(), channel, &owner, &mut random).unwrap();
    let announcement = author.announcement();
    let identity = ed25519_dalek::SigningKey::from_bytes(&[5; 32]);
    author.allow(identity.verifying_key().to_bytes()).unwrap();
    let mut watcher = Subscriber::follow(
        Cells::new(),
        &announcement,
        channel,
        owner.participant(),
        &[5; 32],
        &mut random,
    )
    .unwrap();
    let mut text = [0; MAX_MESSAGE_LENGTH];
    let mut acted = 0;
    for round in 0..3 {
        let subscription = watcher.subscribe(&mut random).unwrap();
        author.receive(&subscription).unwrap();
        let mut schedule = Schedule::new(Policy::USUAL, now);
        assert!(schedule.poll(&author, now).is_some());
        watcher
            .receive(author.open_epoch(&mut random).unwrap(), &mut text)
            .unwrap();
        let versions = 10 * round..10 * round + 10;
        for version in versions.map(Version::new) {
            let packet = author.publish(version, b"public", &[3; 300]).unwrap();
            if version.number() % 3 != 0 {
                continue;
            }
            let received = watcher.receive(packet, &mut text).unwrap();
            assert!(matches!(received, Received::State { .. }));
            acted += 1;
            watcher.stored(version).unwrap();
            let ack = watcher.ack().unwrap();
            author.receive(&ack).unwrap();
            let _ = schedule.guard(&author, now);
            let beat = author.heartbeat(b"alive").unwrap();
            watcher.receive(&beat, &mut text).unwrap();
        }
        watcher.rotate(&mut random).unwrap();
        let export = author.export(&[9; 32]);
        author = Author::import(author.into_storage(), &export, &[9; 32]).unwrap();
        let export = watcher.export(&[9; 32]);
        watcher = Subscriber::import(watcher.into_storage(), &export, &[9; 32]).unwrap();
        assert!(author.receive(&[round as u8; 200]).is_err());
    }
    acted
}

#[test]
fn nothing_is_allocated() {
    COUNTS.set(true);
    let acted = life();
    COUNTS.set(false);
    assert_eq!(acted, 10);
    assert_eq!(ALLOCATIONS.get(), 0);
    // The meter works.
    COUNTS.set(true);
    drop(std::hint::black_box(Box::new(1)));
    COUNTS.set(false);
    assert_eq!(ALLOCATIONS.get(), 1);
}
