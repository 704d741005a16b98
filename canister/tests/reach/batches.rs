//! Many claims in one message.

use perun_canister_api::{DisputeError, DisputeManyError, DisputeRequest, Rank};

use crate::rules::{BOB, TestChannel, World};

#[test]
fn each_of_many_claims_is_judged_as_if_alone() {
    let mut world = World::new();
    let known = world.funded(1, [100, 100]);
    let claim =
        |channel: &TestChannel, version| channel.disputing(version, &[50, 150], &[100, 100]);
    let claims = [
        claim(&world.channel(9), 1),
        claim(&known, 2),
        known.refund_claim(BOB),
        claim(&known, 3),
    ];
    let mut hand_in = |claims: &[DisputeRequest]| {
        world.mutate(|adjudicator, now| adjudicator.dispute_many(claims, now))
    };
    let results = hand_in(&claims).unwrap();
    let ranks: Vec<_> = results
        .into_iter()
        .map(|result| result.map(|registered| registered.rank))
        .collect();
    let outdated = DisputeError::Outdated {
        registered: Rank::State(2),
        submitted: Rank::Refund,
    };
    let expected = [
        Err(DisputeError::UnknownChannel),
        Ok(Rank::State(2)),
        Err(outdated),
        Ok(Rank::State(3)),
    ];
    assert_eq!(ranks, expected);
    let most = vec![claim(&known, 4); 100];
    assert_eq!(hand_in(&most).unwrap().len(), 100);
    let too_many = vec![claim(&known, 4); 101];
    let refused = hand_in(&too_many);
    let max = DisputeManyError::TooMany {
        given: 101,
        max: 100,
    };
    assert_eq!(refused, Err(max));
}
