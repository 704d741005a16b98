//! Many claims in one message.

mod world;

use perun_canister::batch::MAX_DISPUTES;
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

#[test]
fn the_largest_batch_stays_far_below_what_a_message_may_weigh() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    // Each is newer than the one before, so that each has its signatures verified.
    let claims: Vec<_> = (1..=MAX_DISPUTES as u64)
        .map(|number| version(&channel, number))
        .collect();
    world.ic.clear_executions();
    let answer = ranks(dispute_many(&mut world, claims));
    assert!(answer.iter().all(Result::is_ok));
    let counted = world
        .ic
        .instructions(world.adjudicator, "update dispute_many")
        .unwrap();
    println!("{MAX_DISPUTES} disputes of two: {counted}");
    // One slice, so that no other message waits a round for it.
    assert!(counted < 2_000_000_000, "{counted}");
}

#[test]
fn only_a_batch_may_be_long() {
    let mut world = World::new();
    let long = |bytes: usize| {
        let mut request = candid::encode_one(Vec::<DisputeRequest>::new()).unwrap();
        request.resize(bytes, 0);
        request
    };
    let bytes = perun_canister::batch::MAX_BATCH_BYTES;
    for (method, bytes) in [("dispute_many", bytes + 1), ("dispute", 16 * 1024 + 1)] {
        let sent = world
            .ic
            .submit_anew(user(0), world.adjudicator, method, long(bytes));
        assert!(sent.is_err(), "{method} takes {bytes} bytes");
    }
}
