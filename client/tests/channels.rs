//! Two clients over TCP, against the real adjudicator.

mod world;

use perun_protocol::Amount;
use world::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_opened_used_and_closed() {
    let world = World::new().await;
    let (alice, bob) = (world.client(ALICE).await, world.client(BOB).await);
    let (ours, theirs) = alice.open_with(&bob, [1_000, 500]).await;
    for _ in 0..10 {
        ours.pay(Amount::new(3)).await.unwrap();
        theirs.pay(Amount::new(1)).await.unwrap();
    }
    assert_eq!(ours.balance(), [Amount::new(980)]);
    assert_eq!(theirs.balance(), [Amount::new(520)]);
    let history = theirs.history().unwrap();
    history
        .verify(&theirs.params(), &theirs.newest().unwrap())
        .unwrap();
    let (closed, also) = tokio::join!(ours.close(), theirs.closed());
    assert_eq!(closed.unwrap().paid_out[0].receipt.paid.units(), 980 - FEE);
    assert_eq!(also.unwrap().paid_out[0].receipt.paid.units(), 520 - FEE);
}
