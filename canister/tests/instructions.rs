//! What calls cost, counted by the replica's weights. Counts are exact: the same every time.

mod world;

use world::{ALICE, BOB, World, user};

/// One verification of an ECDSA signature over secp256k1, compiled as the adjudicator is, weighs
/// this much, decompressing the key included.
const VERIFICATION: u64 = 4_130_000;

#[test]
fn a_dispute_costs_its_signatures_and_little_more() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world.ic.clear_executions();
    world
        .dispute(channel.disputing(1, &[50, 150], &[100, 100]))
        .unwrap();
    let counted = world
        .ic
        .instructions(world.adjudicator, "update dispute")
        .unwrap();
    println!(
        "dispute: {counted} = {:.3} verifications",
        counted as f64 / VERIFICATION as f64
    );
    assert!(counted >= VERIFICATION * 2 * 9 / 10, "{counted}");
    assert!(counted <= VERIFICATION * 2 * 13 / 10, "{counted}");
}

#[test]
fn a_claim_that_is_refused_costs_no_signature() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    world
        .dispute(channel.disputing(5, &[50, 150], &[100, 100]))
        .unwrap();
    world.ic.clear_executions();
    world
        .dispute(channel.disputing(4, &[50, 150], &[100, 100]))
        .unwrap_err();
    let counted = world
        .ic
        .instructions(world.adjudicator, "update dispute")
        .unwrap();
    println!("outdated dispute: {counted}");
    assert!(counted < 1_000_000, "{counted}");
}

#[test]
fn money_costs_little_beside_its_signatures() {
    let mut world = World::new();
    let channel = world.channel(1);
    world.approve(0, user(0), 1_000);
    let by_alice = channel.by_approval(0, ALICE, 100);
    let by_bob = channel.by_approval(0, BOB, 100);
    let last = channel.concluding(1, &[100, 100], &[100, 100]);
    let payout = channel.withdrawing(0, ALICE, user(10));

    let first = counted(&mut world, |world| {
        world.deposit(by_alice).map(|_| ()).unwrap()
    });
    let second = counted(&mut world, |world| {
        world.deposit(by_bob).map(|_| ()).unwrap()
    });
    let conclude = counted(&mut world, |world| {
        world.conclude(last).map(|_| ()).unwrap()
    });
    let withdraw = counted(&mut world, |world| {
        world.withdraw(payout).map(|_| ()).unwrap()
    });
    println!("deposit: {first} first, {second} later; conclude: {conclude}; withdraw: {withdraw}");
    assert!(first < 2_000_000 && second < 2_000_000, "{first}, {second}");
    assert!(conclude < VERIFICATION * 2 + 1_500_000, "{conclude}");
    assert!(withdraw < VERIFICATION + 1_500_000, "{withdraw}");
}

/// What the adjudicator executes, in all messages and callbacks together.
fn counted(world: &mut World, run: impl FnOnce(&mut World)) -> u64 {
    world.ic.clear_executions();
    run(world);
    let executions = world.ic.executions();
    executions
        .filter(|run| run.canister == world.adjudicator)
        .map(|run| run.instructions)
        .sum()
}
