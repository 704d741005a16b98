//! Many claims in one message.

use perun_canister_api::{Claim, DisputeError, DisputeManyError, DisputeRequest, Rank};
use serde_bytes::ByteBuf;

use crate::rules::{BOB, TestChannel, World, dispute_with};

/// Whatever is wrong with a claim: the others are judged.
#[test]
fn a_claim_that_makes_no_sense_holds_up_no_other() {
    let mut world = World::new();
    let [one, other] = [1, 2].map(|nonce| world.funded(nonce, [100, 100]));
    let claim =
        |channel: &TestChannel, version| channel.disputing(version, &[50, 150], &[100, 100]);
    let of_bytes = |bytes: &[u8]| DisputeRequest {
        claim: Claim::State(ByteBuf::from(bytes)),
    };
    let mut forged = claim(&one, 2);
    if let Claim::State(bytes) = &mut forged.claim {
        *bytes.last_mut().unwrap() ^= 1;
    }
    let mut short = one.refund_claim(BOB);
    if let Claim::Refund { channel, .. } = &mut short.claim {
        channel.truncate(31);
    }
    let last = one.signed_final(3, &[50, 150], &[100, 100]);
    let claims = [
        claim(&one, 1),
        of_bytes(&[]),
        of_bytes(&[7; 32]),
        forged,
        short,
        dispute_with(&last),
        claim(&one, 4),
        claim(&other, 1),
    ];
    let results = world.mutate(|adjudicator, now| adjudicator.dispute_many(&claims, now));
    let told: Vec<_> = results
        .unwrap()
        .into_iter()
        .map(|result| match result {
            Ok(registered) => format!("{:?}", registered.rank),
            Err(error) => format!("{error:?}")
                .split([' ', '('])
                .next()
                .unwrap()
                .into(),
        })
        .collect();
    let expected = [
        "State(1)",
        "Malformed",
        "Malformed",
        "WrongSignature",
        "Malformed",
        "State(3)",
        "ChallengeElapsed",
        "State(1)",
    ];
    assert_eq!(told, expected);
}

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
