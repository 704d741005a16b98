//! Many claims in one message.

mod world;

use perun_canister::batch::{MAX_BATCH_BYTES, MAX_DISPUTES};
use perun_canister_api::{
    DisputeError, DisputeManyError, DisputeRequest, DisputeResult, Rank, Registered,
};
use world::{BOB, TestChannel, World, user};

type Answer = Result<Vec<DisputeResult>, DisputeManyError>;

fn dispute_many(world: &mut World, requests: Vec<DisputeRequest>) -> Answer {
    world.call("dispute_many", requests)
}

fn ranks(answer: Answer) -> Vec<Result<Rank, DisputeError>> {
    let results = answer.unwrap().into_iter();
    results
        .map(|result| result.map(|registered: Registered| registered.rank))
        .collect()
}

fn version(channel: &TestChannel, version: u64) -> DisputeRequest {
    channel.disputing(version, &[50, 150], &[100, 100])
}

#[test]
fn a_claim_that_is_refused_holds_up_no_other() {
    let mut world = World::new();
    let (one, other) = (world.funded(1, [100, 100]), world.funded(2, [100, 100]));
    let unknown = world.channel(3);
    let answer = dispute_many(
        &mut world,
        vec![version(&one, 1), version(&unknown, 9), version(&other, 2)],
    );
    let expected = [
        Ok(Rank::State(1)),
        Err(DisputeError::UnknownChannel),
        Ok(Rank::State(2)),
    ];
    assert_eq!(ranks(answer), expected);
    assert_eq!(world.registered(&one).unwrap().rank, Rank::State(1));
    assert_eq!(world.registered(&other).unwrap().rank, Rank::State(2));
}

#[test]
fn a_channel_may_come_twice_and_the_order_counts() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let claims = vec![
        channel.refund_claim(BOB),
        version(&channel, 5),
        version(&channel, 4),
    ];
    let outdated = DisputeError::Outdated {
        registered: Rank::State(5),
        submitted: Rank::State(4),
    };
    let expected = [Ok(Rank::Refund), Ok(Rank::State(5)), Err(outdated)];
    assert_eq!(ranks(dispute_many(&mut world, claims)), expected);
    let events = world.events(&channel);
    assert_eq!(events.len(), 4, "two deposits, registered, refuted");
}

#[test]
fn more_than_may_be_are_refused_as_a_whole() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let too_many = Err(DisputeManyError::TooMany {
        given: MAX_DISPUTES as u64 + 1,
        max: MAX_DISPUTES as u32,
    });
    let claims = vec![version(&channel, 1); MAX_DISPUTES + 1];
    assert_eq!(dispute_many(&mut world, claims), too_many);
    assert_eq!(world.registered(&channel), None);
    assert_eq!(dispute_many(&mut world, vec![]), Ok(vec![]));
}

/// What a round executes of one message; the rest would come with the next.
const SLICE: u64 = 2_000_000_000;

/// The instructions of a batch whose claims are all registered.
fn weigh(world: &mut World, claims: Vec<DisputeRequest>) -> u64 {
    world.ic.clear_executions();
    let answer = ranks(dispute_many(world, claims));
    assert!(answer.iter().all(Result::is_ok));
    let counted = world
        .ic
        .instructions(world.adjudicator, "update dispute_many");
    counted.unwrap()
}

#[test]
fn a_hundred_claims_of_two_are_over_within_a_round() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    // Each is newer than the one before, so that each has its signatures verified.
    let claims = (1..=MAX_DISPUTES as u64).map(|number| version(&channel, number));
    let claims: Vec<_> = claims.collect();
    assert!(candid::encode_one(&claims).unwrap().len() < MAX_BATCH_BYTES * 2 / 3);
    let counted = weigh(&mut world, claims);
    println!("{MAX_DISPUTES} claims of two: {counted}");
    assert!(counted < SLICE, "{counted}");
}

#[test]
fn no_batch_outlasts_a_round() {
    const PARTS: usize = 16;
    let mut world = World::new();
    let channel = world.channel_of(1, PARTS, 1);
    world.deposit_approved(&channel, 0, BOB, 100);
    let mut amounts = [0; PARTS];
    amounts[BOB] = 100;
    let claim = |number| channel.disputing(number, &amounts, &amounts);
    let mut claims = Vec::new();
    while candid::encode_one(&claims).unwrap().len() <= MAX_BATCH_BYTES {
        claims.push(claim(claims.len() as u64 + 1));
    }
    claims.pop();
    let signatures = claims.len() * PARTS;
    let counted = weigh(&mut world, claims);
    println!("{signatures} signatures in one batch: {counted}");
    assert!(counted < SLICE, "{counted}");
    // Nothing else carries a signature in fewer bytes.
    let at_most = MAX_BATCH_BYTES as u64 / (64 + 16 + 16);
    assert!(counted / signatures as u64 * at_most < SLICE);
}

#[test]
fn only_a_batch_may_be_long() {
    let mut world = World::new();
    let long = |bytes: usize| {
        let mut request = candid::encode_one(Vec::<DisputeRequest>::new()).unwrap();
        request.resize(bytes, 0);
        request
    };
    for (method, bytes) in [
        ("dispute_many", MAX_BATCH_BYTES + 1),
        ("dispute", 16 * 1024 + 1),
    ] {
        let sent = world
            .ic
            .submit_anew(user(0), world.adjudicator, method, long(bytes));
        let refused = sent.unwrap_err().message;
        let why = format!("has {bytes} bytes, at most");
        assert!(refused.contains(&why), "{method}: {refused}");
    }
}
