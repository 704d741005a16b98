//! What one channel costs of a heap, at most: a microcontroller has little of it.
//!
//! A counting allocator meters everything that one of two machines allocates: its state, messages
//! decoded for it and encoded by it, records until they are stored. Links bound what a message may
//! have; here payments travel in batches of at most 1 KiB, as a device would have it.

#![allow(unsafe_code)]

#[path = "channel/world/mod.rs"]
mod world;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;

use perun_protocol::Timestamp;
use perun_protocol::channel::{Channel, Limits, Output, Setup};
use perun_protocol::payment::PAYMENT_APP;
use perun_protocol::view::{Status, View};
use perun_protocol::wire::Message;

use crate::world::{
    ALICE, Adjudicator, BOB, BOTH, HOUR, Plan, START, Stamp, Stamps, Store, payment_in,
};

/// Payments of one update.
const MAX_BATCH: usize = 1_024;

/// In front of every block: how many bytes of it are metered.
const HEADER: usize = 16;

struct Meter;

thread_local! {
    static IS_METERED: Cell<bool> = const { Cell::new(false) };
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

fn padded(layout: Layout) -> (Layout, usize) {
    let offset = layout.align().max(HEADER);
    let size = layout.size() + offset;
    (Layout::from_size_align(size, offset).unwrap(), offset)
}

// SAFETY: blocks are those of the system's allocator, larger by a header in front that keeps the
// alignment; what is returned lies behind it.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (outer, offset) = padded(layout);
        let metered = if IS_METERED.get() { layout.size() } else { 0 };
        let live = LIVE.get() + metered;
        LIVE.set(live);
        PEAK.set(PEAK.get().max(live));
        // SAFETY: the size is not zero; the block is larger than the header.
        unsafe {
            let block = System.alloc(outer);
            block.cast::<usize>().write(metered);
            block.add(offset)
        }
    }

    unsafe fn dealloc(&self, inner: *mut u8, layout: Layout) {
        let (outer, offset) = padded(layout);
        // SAFETY: the block was made by `alloc` with the same layout.
        unsafe {
            let block = inner.sub(offset);
            LIVE.set(LIVE.get() - block.cast::<usize>().read());
            System.dealloc(block, outer);
        }
    }
}

#[global_allocator]
static METER: Meter = Meter;

/// What is allocated in here counts until it is freed.
fn metered<T>(work: impl FnOnce() -> T) -> T {
    IS_METERED.set(true);
    let result = work();
    IS_METERED.set(false);
    result
}

/// Starts a new peak.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    PEAK.set(LIVE.get());
    let result = work();
    (result, PEAK.get())
}

/// Two machines of which one is metered.
struct Bench {
    channels: Vec<Channel<Stamp, Stamps>>,
    queues: [VecDeque<Vec<u8>>; 2],
    stores: [Store; 2],
    metered: usize,
    assets: usize,
    now: Timestamp,
    limits: Limits,
}

impl Bench {
    fn new(assets: usize, is_metered: usize) -> Self {
        let mut plan = Plan::of([1_000_000; 2]).with_app(PAYMENT_APP);
        plan.funding = vec![[1_000_000; 2]; assets];
        let ([alice, bob], acceptance) = plan.setups(&BOTH.map(Stamp::of));
        let limits = plan.limits[0];
        let stores = [Store::new(&alice), Store::new(&bob)];
        let own = |setup: &Setup, side: usize| {
            // Only what the metered machine owns counts.
            let make = || setup.clone();
            if side == is_metered {
                metered(make)
            } else {
                make()
            }
        };
        let (alice, bob) = (own(&alice, ALICE), own(&bob, BOB));
        let propose = || Channel::propose(alice, limits, Stamp::of(ALICE)).unwrap();
        let accept = || Channel::accept(bob, limits, Stamp::of(BOB), acceptance).unwrap();
        let channels = if is_metered == ALICE {
            vec![metered(propose), accept()]
        } else {
            vec![propose(), metered(accept)]
        };
        Self {
            channels,
            queues: Default::default(),
            stores,
            metered: is_metered,
            assets,
            now: START,
            limits,
        }
    }

    fn on<T>(&mut self, side: usize, work: impl FnOnce(&mut Channel<Stamp, Stamps>) -> T) -> T {
        let channel = &mut self.channels[side];
        if side == self.metered {
            metered(|| work(channel))
        } else {
            work(channel)
        }
    }

    fn drain(&mut self, side: usize) {
        while let Some(output) = self.on(side, Channel::poll_output) {
            match output {
                Output::Send(message) => {
                    let bytes = self.on(side, |_| message.encode());
                    self.queues[1 - side].push_back(bytes.as_slice().to_vec());
                }
                Output::Persist(record) => self.stores[side].persist(record.clone()),
                Output::PersistLater(record) => self.stores[side].persist_later(record.clone()),
                Output::Call(_) | Output::Notify(_) => {}
            }
        }
    }

    fn drive(&mut self) {
        let now = self.now;
        for side in BOTH {
            self.drain(side);
        }
        while let Some(side) = BOTH.into_iter().find(|side| !self.queues[*side].is_empty()) {
            let bytes = self.queues[side].pop_front().unwrap();
            self.on(side, |channel| {
                let message = Message::decode(&bytes).unwrap();
                channel.handle_message(now, message).unwrap();
            });
            self.drain(side);
        }
    }

    fn connect(&mut self) {
        self.queues = Default::default();
        let now = self.now;
        for side in BOTH {
            self.on(side, Channel::handle_disconnected);
            self.on(side, |channel| channel.handle_connected(now, MAX_BATCH));
        }
    }

    fn show(&mut self, side: usize, view: &View) {
        let now = self.now;
        self.on(side, |channel| channel.handle_view(now, view.clone()));
        self.drain(side);
    }

    fn open(&mut self) {
        self.connect();
        self.drive();
        let holdings = self.channels[ALICE].setup().initial.funding().clone();
        let (at, status) = (self.now, Status::Open { holdings });
        let view = View { at, status };
        for side in BOTH {
            self.show(side, &view);
        }
        self.drive();
        assert!(self.channels.iter().all(Channel::is_open));
    }

    /// One payment that is proposed at once, and behind it as many as one update takes.
    fn pay(&mut self, side: usize) {
        let (now, assets) = (self.now, self.assets);
        self.on(side, |channel| {
            for number in 0.. {
                let payment = payment_in((number % assets) as u8, 1);
                if channel.pay(now, &payment).is_err() {
                    return;
                }
            }
        });
    }
}

/// The peak of a channel's whole life, and what it keeps while nothing happens.
fn measure(assets: usize, side: usize) -> (usize, usize) {
    let before = LIVE.get();
    let ((at_rest, bench), peak) = peak_of(|| {
        let mut bench = Bench::new(assets, side);
        bench.open();
        let at_rest = LIVE.get() - before;
        // Full batches both ways, with as much waiting as fits.
        for _ in 0..3 {
            for payer in BOTH {
                bench.pay(payer);
            }
            bench.drive();
        }
        // The link breaks with a full proposal under way, in each direction.
        for payer in BOTH {
            bench.pay(payer);
            bench.drain(payer);
            let lost = bench.queues[1 - payer].len();
            assert!(lost > 0);
            bench.connect();
            bench.drive();
        }
        // A restart.
        bench.pay(side);
        bench.drain(side);
        let signer = Stamp::of(side);
        drop(bench.channels.remove(side));
        let (store, limits) = (&bench.stores[side], bench.limits);
        let restored = metered(|| store.restore(limits, signer));
        bench.channels.insert(side, restored);
        let holdings = bench.channels[side].setup().initial.funding().clone();
        let at = bench.now;
        let open = View {
            at,
            status: Status::Open { holdings },
        };
        bench.show(side, &open);
        bench.connect();
        bench.drive();
        // A dispute with an old state, and the payout.
        let now = bench.now;
        let other = bench.channels[1 - side].newest().unwrap().clone();
        let mut adjudicator = Adjudicator::new(bench.channels[side].params());
        for (asset, owner, amount) in other.state().funding().iter() {
            adjudicator.deposit(asset.number(), owner, amount);
        }
        adjudicator.dispute(now, &other);
        bench.show(side, &adjudicator.view(now));
        bench.now = now.saturating_add_nanos(2 * HOUR);
        let now = bench.now;
        bench.show(side, &adjudicator.view(now));
        adjudicator.conclude(now);
        bench.show(side, &adjudicator.view(now));
        (at_rest, bench)
    });
    drop(bench);
    (peak - before, at_rest)
}

#[test]
fn a_channel_fits_into_a_small_heap() {
    let inline = size_of::<Channel<Stamp, Stamps>>();
    println!("the machine itself: {inline} bytes");
    assert!(inline <= 2 * 1024);
    for (assets, max_peak, max_at_rest) in [(1, 12 * 1024, 2 * 1024), (8, 16 * 1024, 4 * 1024)] {
        for side in BOTH {
            let (peak, at_rest) = measure(assets, side);
            println!("{assets} assets, side {side}: {at_rest} bytes at rest, {peak} at most");
            assert!(peak <= max_peak, "{assets} assets: {peak}");
            assert!(at_rest <= max_at_rest, "{assets} assets: {at_rest}");
        }
    }
}

/// What claims to be long is not believed: decoding costs memory in proportion to the bytes there are.
#[test]
fn a_length_that_a_stranger_claims_allocates_nothing() {
    let heads: [&[u8]; 6] = [
        // A byte string, a text, a list, a map; a tag with a byte string behind it; a batch.
        &[0x5b, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x7b, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x9b, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0xbb, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0xc1, 0x5a, 0xff, 0xff, 0xff, 0xff],
        &[0x5a, 0x00, 0x08, 0x00, 0x00],
    ];
    for kind in 0..24 {
        for head in heads {
            for field in 0..9 {
                let body = [&[0x82, kind, 0xa1, field], head].concat();
                let bare = [&[0x82, kind], head].concat();
                for bytes in [body, bare] {
                    let before = LIVE.get();
                    let (_, peak) = peak_of(|| metered(|| drop(Message::decode(&bytes))));
                    // The text of an error, at most.
                    assert!(peak - before < 512, "{}: {bytes:?}", peak - before);
                }
            }
        }
    }
}
