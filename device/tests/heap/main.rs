//! How much heap a device takes at most: what the crate's documentation says is measured here, on 64
//! bits. A microcontroller's pointers take half.

#![allow(unsafe_code)]

#[path = "../channels/world/mod.rs"]
#[allow(dead_code)]
mod world;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Mutex;

use perun_device::{Approval, LinkError, LinkId};
use perun_protocol::payment::Payment;
use perun_protocol::{AssetIdx, SecretKey};

use crate::world::host::{HostLink, credentials};
use crate::world::{World, inside, units, within};

/// With one channel, two watchers and all links taken, in bytes.
const MOST: usize = 28 * 1024;
/// While nothing happens, with an open channel and three links, in bytes.
const AT_REST: usize = 12 * 1024;

/// Counts what is allocated by the device, wherever it is freed.
struct Counting;

#[global_allocator]
static HEAP: Counting = Counting;

/// Live allocations of the device: address and length.
static LIVE: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());
static COUNTS: Mutex<(usize, usize)> = Mutex::new((0, 0));

thread_local! {
    static IS_COUNTING: Cell<bool> = const { Cell::new(false) };
}

fn note(f: impl FnOnce(&mut Vec<(usize, usize)>, &mut (usize, usize))) {
    if IS_COUNTING.try_with(|flag| flag.replace(true)) != Ok(false) {
        return;
    }
    f(&mut LIVE.lock().unwrap(), &mut COUNTS.lock().unwrap());
    IS_COUNTING.with(|flag| flag.set(false));
}

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        let memory = unsafe { System.alloc(layout) };
        if inside() {
            note(|live, (now, most)| {
                live.push((memory as usize, layout.size()));
                *now += layout.size();
                *most = (*most).max(*now);
            });
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        note(|live, (now, _)| {
            if let Some(at) = live
                .iter()
                .position(|(address, _)| *address == memory as usize)
            {
                *now -= live.swap_remove(at).1;
            }
        });
        // SAFETY: the caller's.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Bytes now, and at most since this was asked last.
fn count() -> (usize, usize) {
    let mut counts = COUNTS.lock().unwrap();
    let answer = *counts;
    counts.1 = counts.0;
    answer
}

fn answered(world: &mut World) -> Result<LinkId, LinkError> {
    let device = world.device();
    within(|| device.answered())
}

#[test]
fn the_heap_is_bounded() {
    let mut world = World::new(2);
    world.settings.policy.assets[0].per_period = units(u128::MAX);
    world.settings.policy.assets[0].per_peer = units(u128::MAX);
    world.start(world::flash(world::nor::Tear::Clean)).unwrap();
    world.run(8);
    let (idle, opening) = count();
    world.propose(Approval::None).unwrap();
    world.run(20);
    assert!(world.overview().is_open, "{:?}", world.events);
    let (rest, opening) = (count().0, opening.max(count().1));
    let pay = |amount: u128| Payment {
        asset: AssetIdx::new(0),
        amount: units(amount),
        // Long, so that updates are as long as they may be.
        memo: Some([7; 32]),
    };
    let mut most = 0;
    for round in 0..6 {
        let channel = world.channel();
        for _ in 0..20 {
            let device = world.device();
            let _ = within(|| device.pay(&channel, &pay(1), Approval::None));
            let now = world.now();
            let _ = world.peer.machine.as_mut().unwrap().pay(now, &pay(1));
        }
        // Strangers take the links that are left, and fall silent in the middle.
        while let Ok(id) = answered(&mut world) {
            let stranger = SecretKey::from_bytes(&[0x70; 32]).unwrap();
            let us = world.device().identity();
            let mut link = HostLink::new(&credentials(&stranger, 3), Some(us), round);
            let bytes = std::mem::take(&mut link.outgoing);
            let device = world.device();
            let _ = within(|| device.receive(id, &bytes));
            // The beginning of a message as long as any.
            let part = [&1024u16.to_be_bytes()[..], &[4; 1000]].concat();
            within(|| device.receive(id, &part)).unwrap();
        }
        // A frame that promises as much as may be, and comes in part.
        world.watchers_reachable = round % 2 == 0;
        if round % 2 == 1 {
            world.cut_off_watchers();
            world.run(40);
            world.watchers_reachable = true;
        }
        world.run(30);
        world.restart();
        world.run(30);
        most = most.max(count().1);
    }
    println!("started {idle}, opening {opening}, at rest {rest}, at most {most} bytes");
    assert!(rest <= AT_REST && opening.max(most) <= MOST);
}
