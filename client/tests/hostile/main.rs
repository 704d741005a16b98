//! A client among peers that lie, flood, babble and fall silent, and over a network that loses,
//! repeats and swaps. Meanwhile it goes on paying somebody honest.

mod babble;
mod faults;
mod insider;
mod mallory;
mod proposals;
#[path = "../world/mod.rs"]
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use perun_client::channel::Channel;
use perun_protocol::Amount;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use world::{ALICE, BOB, Person, World};

/// Alice and Bob with a channel through which they pay each other all the time.
struct Honest {
    world: World,
    alice: Person,
    bob: Person,
    ours: Channel,
    theirs: Channel,
    paid: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    paying: JoinHandle<Duration>,
}

impl Honest {
    async fn new() -> Self {
        let world = World::new().await;
        let (alice, bob) = (world.client(ALICE).await, world.client(BOB).await);
        let (ours, theirs) = alice.open_with(&bob, [1_000, 1_000]).await;
        let (paid, is_over) = (Arc::default(), Arc::default());
        let paying = tokio::spawn(pay(
            ours.clone(),
            theirs.clone(),
            Arc::clone(&paid),
            Arc::clone(&is_over),
        ));
        Self {
            world,
            alice,
            bob,
            ours,
            theirs,
            paid,
            is_over,
            paying,
        }
    }

    fn paid(&self) -> u64 {
        self.paid.load(Ordering::Relaxed)
    }

    /// Payments go on.
    async fn is_well(&self) {
        let before = self.paid();
        let begun = Instant::now();
        while self.paid() < before + 4 {
            assert!(begun.elapsed() < Duration::from_secs(20), "nothing is paid");
            assert!(!self.paying.is_finished(), "paying has failed");
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Everybody has what he should have, and no payment took long.
    async fn end(self) {
        self.is_well().await;
        self.is_over.store(true, Ordering::Relaxed);
        let slowest = self.paying.await.unwrap();
        assert!(slowest < Duration::from_secs(10), "{slowest:?}");
        assert_eq!(self.ours.balance(), [Amount::new(1_000)]);
        assert_eq!(self.theirs.balance(), [Amount::new(1_000)]);
        let (closed, also) = tokio::join!(self.ours.close(), self.theirs.closed());
        for closed in [closed, also] {
            let paid = closed.unwrap().paid_out[0].receipt.paid.units();
            assert_eq!(paid, 1_000 - world::FEE);
        }
        self.alice.client.stop().await.unwrap();
        self.bob.client.stop().await.unwrap();
    }
}

/// Pays there and back, until it is over; how long the slowest payment took.
async fn pay(
    ours: Channel,
    theirs: Channel,
    paid: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
) -> Duration {
    let mut slowest = Duration::ZERO;
    while !is_over.load(Ordering::Relaxed) {
        for payer in [&ours, &theirs] {
            let begun = Instant::now();
            payer.pay(Amount::new(1)).await.unwrap();
            slowest = slowest.max(begun.elapsed());
            paid.fetch_add(1, Ordering::Relaxed);
        }
        sleep(Duration::from_millis(1)).await;
    }
    slowest
}
