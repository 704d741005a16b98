//! Two clients over a network that loses, delays, repeats, swaps and cuts.

use std::sync::Arc;
use std::time::Duration;

use perun_client::link::Transport;
use perun_client::link::memory::{Faults, Network};
use perun_protocol::Amount;
use tokio::time::{sleep, timeout};

use crate::world::{ALICE, BOB, FEE, Person, World, off_chain};

async fn person(world: &World, network: &Network, number: u8) -> Person {
    let network = network.clone();
    let start = world.user(number).with(|config| {
        config.retry_after = Duration::from_millis(100);
    });
    let attach = move |_| -> Arc<dyn Transport> {
        Arc::new(network.attach(off_chain(number), &number.to_string()))
    };
    start.wrapped(attach).start().await
}

/// Opens, pays both ways from both sides at once, and closes; nothing is lost and nothing is made.
async fn runs_with(seed: u64, faults: Faults) {
    let world = World::new().await;
    let network = Network::new(seed);
    network.set_faults(faults.clone());
    let (alice, bob) = (
        person(&world, &network, ALICE).await,
        person(&world, &network, BOB).await,
    );
    // Both dial.
    bob.client.connect(alice.identity(), &ALICE.to_string());
    alice.client.connect(bob.identity(), &BOB.to_string());
    let mut proposals = bob.client.proposals();
    let identity = bob.identity();
    let proposing = alice.client.propose(&identity, alice.terms([1_000, 1_000]));
    let accepting = async { proposals.next().await.unwrap().accept().await };
    let opening = async { tokio::join!(proposing, accepting) };
    let (ours, theirs) = timeout(Duration::from_secs(150), opening).await.unwrap();
    let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
    let paying = |channel: perun_client::channel::Channel, amount: u128| async move {
        for _ in 0..40 {
            // Both pay as they can; a payment that was refused is made again.
            while channel.pay(Amount::new(amount)).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        }
    };
    let both = async { tokio::join!(paying(ours.clone(), 3), paying(theirs.clone(), 1)) };
    timeout(Duration::from_secs(120), both)
        .await
        .expect("all are paid");
    let counts = network.fault_counts();
    assert!(faults.drop == 0.0 || counts.dropped > 0, "{counts:?}");
    assert!(faults.repeat == 0.0 || counts.repeated > 0, "{counts:?}");
    assert!(faults.reorder == 0.0 || counts.reordered > 0, "{counts:?}");
    assert!(faults.cut == 0.0 || counts.cut > 0, "{counts:?}");
    // If too much is lost for too long, they close by a dispute, which takes its minute.
    let closing = async { tokio::join!(ours.close(), theirs.closed()) };
    let (closed, also) = timeout(Duration::from_secs(180), closing).await.unwrap();
    let paid_out = [closed, also].map(|closed| closed.unwrap().paid_out[0].receipt.paid.units());
    assert_eq!(paid_out, [1_000 - 80 - FEE, 1_000 + 80 - FEE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_delays() {
    let faults = Faults {
        delay: Duration::ZERO..=Duration::from_millis(15),
        ..Faults::NONE
    };
    runs_with(1, faults).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_loses() {
    let faults = Faults {
        drop: 0.2,
        ..Faults::NONE
    };
    runs_with(2, faults).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_repeats() {
    let faults = Faults {
        repeat: 0.5,
        held_up: Duration::from_millis(30),
        ..Faults::NONE
    };
    runs_with(3, faults).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_swaps() {
    let faults = Faults {
        reorder: 0.4,
        held_up: Duration::from_millis(30),
        ..Faults::NONE
    };
    runs_with(4, faults).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_cuts() {
    let faults = Faults {
        cut: 0.05,
        ..Faults::NONE
    };
    runs_with(5, faults).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_does_all_of_it() {
    for seed in 6..9 {
        let faults = Faults {
            drop: 0.1,
            repeat: 0.1,
            reorder: 0.1,
            cut: 0.02,
            delay: Duration::ZERO..=Duration::from_millis(10),
            held_up: Duration::from_millis(30),
        };
        runs_with(seed, faults).await;
    }
}
