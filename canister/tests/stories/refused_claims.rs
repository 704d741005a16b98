//! Every refusal of a claim or a conclusion, with the numbers that the reader of the error will want.

use crate::world::{ALICE, TestChannel, World, dispute_with, key, table, user};
use perun_canister_api::{Claim, ConcludeError, DisputeError, DisputeRequest, WithdrawError};
use perun_protocol::encoding::{Canonical as _, Domain, digest};
use perun_protocol::{
    Allocation, Amount, ChannelId, LockedKind, PartIdx, RefundClaim, Signer as _, State,
    SubAllocation, Version,
};
use serde_bytes::ByteBuf;

#[test]
fn a_claim_needs_a_channel_with_money() {
    let mut world = World::new();
    let channel = world.channel(1);
    let unknown = Err(DisputeError::UnknownChannel);
    assert_eq!(
        world.dispute(channel.disputing(0, &[1, 1], &[1, 1])),
        unknown
    );
    assert_eq!(world.dispute(channel.refund_claim(ALICE)), unknown);
    let refused = world.conclude(channel.concluding_elapsed());
    assert_eq!(
        refused,
        Err(ConcludeError::Refused(DisputeError::UnknownChannel))
    );
    let refused = world.withdraw(channel.withdrawing(0, ALICE, user(10)));
    assert_eq!(refused, Err(WithdrawError::UnknownChannel));
}

#[test]
fn a_claim_needs_every_signature() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let signed = channel.signed(1, &[0, 200], &[100, 100]).encode();
    let first_signature = signed.len() - 128;

    let mut refuse = |bytes: Vec<u8>, error: DisputeError| {
        let claim = Claim::State(ByteBuf::from(bytes));
        let request = DisputeRequest { claim };
        assert_eq!(world.dispute(request), Err(error));
    };
    for part in [0, 1] {
        let mut flipped = signed.clone();
        flipped[first_signature + usize::from(part) * 64 + 63] ^= 1;
        refuse(flipped, DisputeError::WrongSignature { part });
    }
    let mut one = signed[..first_signature + 64].to_vec();
    one[first_signature - 1] = 1;
    refuse(
        one,
        DisputeError::SignatureCount {
            expected: 2,
            found: 1,
        },
    );
    refuse(
        signed[..signed.len() - 1].to_vec(),
        DisputeError::Malformed {
            reason: format!(
                "the bytes end at offset {}, where more are needed",
                signed.len() - 1
            ),
        },
    );

    let three = world.channel_of(1, 3, 1);
    let of_three = TestChannel {
        params: channel.params.clone(),
        keys: three.keys,
    };
    let state = State::new(
        channel.id(),
        Version::new(1),
        table(3, &[0, 0, 200]),
        table(3, &[100, 100, 0]),
    );
    let mut wrong_shape = state.unwrap().encode();
    wrong_shape.push(3);
    let digest = digest(Domain::State, &wrong_shape[..wrong_shape.len() - 1]);
    for key in &of_three.keys {
        wrong_shape.extend(key.sign(&digest).as_bytes());
    }
    let claim = Claim::State(ByteBuf::from(wrong_shape));
    let refused = world.dispute(DisputeRequest { claim });
    assert_eq!(refused, Err(DisputeError::WrongShape));
}

#[test]
fn a_refund_claim_is_its_participants_own() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let forged = TestChannel {
        params: channel.params.clone(),
        keys: vec![key(9), key(10)],
    };
    let claim = RefundClaim {
        channel: channel.id(),
        part: PartIdx::new(0),
    };
    let signature = claim.sign(&forged.keys[0]);
    let request = |part, signature: &[u8], channel: &[u8]| DisputeRequest {
        claim: Claim::Refund {
            channel: ByteBuf::from(channel),
            part,
            signature: ByteBuf::from(signature),
        },
    };
    let id = *channel.id().as_bytes();
    let refused = world.dispute(request(0, signature.as_bytes(), &id));
    assert_eq!(refused, Err(DisputeError::WrongSignature { part: 0 }));
    let refused = world.dispute(request(7, signature.as_bytes(), &id));
    assert_eq!(refused, Err(DisputeError::WrongSignature { part: 7 }));
    let reason = "a signature has 64 bytes, not 63".to_owned();
    let refused = world.dispute(request(0, &signature.as_bytes()[1..], &id));
    assert_eq!(refused, Err(DisputeError::Malformed { reason }));
    let reason = "a channel id has 32 bytes, not 1".to_owned();
    let refused = world.dispute(request(0, signature.as_bytes(), &[1]));
    assert_eq!(refused, Err(DisputeError::Malformed { reason }));
}

#[test]
fn a_state_beyond_the_deposits_is_refused() {
    let mut world = World::new();
    let channel = world.funded(1, [242, 100]);
    let refused = world.dispute(channel.disputing(1, &[0, 436], &[242, 194]));
    let short = DisputeError::InsufficientFunding {
        asset: 0,
        part: 1,
        held: 100,
        needed: 194,
    };
    assert_eq!(refused, Err(short.clone()));
    let refused = world.conclude(channel.concluding(1, &[0, 436], &[242, 194]));
    assert_eq!(refused, Err(ConcludeError::Refused(short)));
    assert_eq!(world.registered(&channel), None);
}

#[test]
fn locked_amounts_are_not_supported_yet() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let locked = SubAllocation {
        kind: LockedKind::Sub,
        id: ChannelId::from_bytes([5; 32]),
        amounts: vec![Amount::new(50)],
        index_map: vec![],
    };
    let allocation = Allocation {
        balances: table(2, &[100, 50]),
        locked: vec![locked],
    };
    let state = State::from_parts(
        channel.id(),
        Version::new(1),
        allocation,
        table(2, &[100, 100]),
        vec![],
        false,
    );
    let refused = world.dispute(dispute_with(&channel.sign(&state.unwrap())));
    assert_eq!(refused, Err(DisputeError::LockedUnsupported));
}

#[test]
fn only_final_states_of_the_channel_conclude_it() {
    let mut world = World::new();
    let channel = world.funded(1, [100, 100]);
    let other = world.funded(2, [100, 100]);
    let not_final = channel.signed(1, &[0, 200], &[100, 100]);
    let refused = world.conclude(channel.concluding_with(&not_final));
    assert_eq!(refused, Err(ConcludeError::NotFinal));
    let final_of_other = other.sign(&other.state(1, &[0, 200], &[100, 100]).finalized());
    let refused = world.conclude(channel.concluding_with(&final_of_other));
    assert_eq!(refused, Err(ConcludeError::WrongChannel));
}
