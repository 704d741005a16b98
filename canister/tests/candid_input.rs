//! Requests of strangers as bytes: good ones, damaged ones, garbage. `fuzz/fuzz_targets/candid.rs` plays
//! the same for longer.

mod rules;

use perun_canister_api::{Claim, DisputeRequest};
use proptest::prelude::*;
use rules::stranger::{good_requests, play};
use rules::{ALICE, World, user};
use serde_bytes::ByteBuf;

#[test]
fn good_requests_are_played_as_they_are() {
    for number in 0..good_requests() {
        play(&[128 + number as u8]);
    }
}

#[test]
fn no_length_is_believed() {
    let mut world = World::new();
    let channel = world.funded(1, [60, 40]);
    let before = world.size();
    for length in [0, 1, 31, 33, 63, 65, 1_000] {
        let blob = ByteBuf::from(vec![7; length]);
        let good = channel.refund_claim(ALICE);
        let Claim::Refund { signature, .. } = good.claim else {
            unreachable!("a refund claim");
        };
        for (channel, signature) in [
            (blob.clone(), signature),
            (channel.id_bytes(), blob.clone()),
        ] {
            let claim = Claim::Refund {
                channel,
                part: 0,
                signature,
            };
            world.dispute(DisputeRequest { claim }).unwrap_err();
        }
        let claim = Claim::State(blob.clone());
        world.dispute(DisputeRequest { claim }).unwrap_err();
        let mut last = channel.concluding(1, &[60, 40], &[60, 40]);
        last.channel = blob.clone();
        world.conclude(last.clone()).unwrap_err();
        last.channel = channel.id_bytes();
        last.final_state = Some(blob.clone());
        world.conclude(last).unwrap_err();
        let good = channel.withdrawing(0, ALICE, user(9));
        for damage in 0..2 {
            let mut payout = good.clone();
            let field = match damage {
                0 => &mut payout.channel,
                _ => &mut payout.signature,
            };
            *field = blob.clone();
            world.withdraw(payout).unwrap_err();
        }
        let mut deposit = channel.by_approval(0, ALICE, 5);
        deposit.params = blob;
        world.deposit(deposit).unwrap_err();
    }
    assert_eq!(world.size(), before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_request_panics_or_grows_anything(
        choice in 128..=255_u8,
        edits in prop::collection::vec((0..400_u16, any::<u8>()), 1..4),
    ) {
        let edits = edits.into_iter().flat_map(|(place, mask)| {
            let [low, high] = place.to_le_bytes();
            [low, high, mask]
        });
        play(&[choice].into_iter().chain(edits).collect::<Vec<_>>());
    }

    #[test]
    fn garbage_is_refused(
        choice in 0..128_u8,
        has_magic in any::<bool>(),
        garbage in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let magic: &[u8] = if has_magic { b"DIDL" } else { b"" };
        play(&[&[choice], magic, &garbage].concat());
    }
}
