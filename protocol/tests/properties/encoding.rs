//! One encoding per value, and a decoder that nothing upsets.

use std::cell::Cell;
use std::fmt::Debug;

use perun_protocol::encoding::{Canonical, DecodeError};
use perun_protocol::{
    Account, Amount, App, AssetId, ChallengeDuration, ChannelId, ChannelKind, LockedKind, Params,
    PartIdx, Participant, Principal, RefundClaim, Signature, State, Timestamp,
    UnverifiedSignedState, Version, WithdrawalAuth,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

use crate::strategies as make;

/// `decode(encode(x)) == x`, within the promised length.
fn comes_back<T: Canonical + Debug + PartialEq>(value: &T) -> Result<(), TestCaseError> {
    let bytes = value.encode();
    prop_assert!(bytes.len() <= T::MAX_ENCODED_LENGTH);
    prop_assert_eq!(&T::decode(&bytes).unwrap(), value);
    Ok(())
}

/// `encode(decode(b)) == b` whenever there is a value at all. Tells whether there was.
fn is_canonical<T: Canonical + Debug>(bytes: &[u8]) -> Result<bool, TestCaseError> {
    let Ok(value) = T::decode(bytes) else {
        return Ok(false);
    };
    let again = value.encode();
    prop_assert_eq!(again, bytes, "{:?}", value);
    Ok(true)
}

/// [`is_canonical`] for every type. Tells whether any of them had a value.
fn are_canonical(bytes: &[u8]) -> Result<bool, TestCaseError> {
    let checks = [
        is_canonical::<Account>,
        is_canonical::<Amount>,
        is_canonical::<App>,
        is_canonical::<AssetId>,
        is_canonical::<ChallengeDuration>,
        is_canonical::<ChannelId>,
        is_canonical::<ChannelKind>,
        is_canonical::<LockedKind>,
        is_canonical::<Params>,
        is_canonical::<PartIdx>,
        is_canonical::<Participant>,
        is_canonical::<Principal>,
        is_canonical::<RefundClaim>,
        is_canonical::<Signature>,
        is_canonical::<State>,
        is_canonical::<Timestamp>,
        is_canonical::<UnverifiedSignedState>,
        is_canonical::<Version>,
        is_canonical::<WithdrawalAuth>,
    ];
    let mut any = false;
    for check in checks {
        any |= check(bytes)?;
    }
    Ok(any)
}

/// A change to bytes: somebody's mistake, or malice.
#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    Cut(Index),
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    // Small numbers are tags, flags and counts.
    let byte = prop_oneof![2 => 0..20_u8, 1 => any::<u8>()];
    let mutation = prop_oneof![
        8 => (any::<Index>(), byte).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        1 => (any::<Index>(), 1..70_usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        1 => (any::<Index>(), vec(any::<u8>(), 1..70)).prop_map(|(at, b)| Mutation::Insert(at, b)),
        1 => any::<Index>().prop_map(Mutation::Cut),
    ];
    vec(mutation, 1..4)
}

fn mutated(mut bytes: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
    for mutation in mutations {
        let length = bytes.len();
        match mutation {
            _ if length == 0 => {}
            Mutation::Set(at, byte) => bytes[at.index(length)] = *byte,
            Mutation::Remove(at, count) => {
                let from = at.index(length);
                bytes.drain(from..(from + count).min(length));
            }
            Mutation::Insert(at, other) => {
                let from = at.index(length);
                bytes.splice(from..from, other.iter().copied());
            }
            Mutation::Cut(at) => bytes.truncate(at.index(length)),
        }
    }
    bytes
}

/// The encoding of some value.
fn encodings() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        make::params().prop_map(|params| params.encode()),
        make::state().prop_map(|state| state.encode()),
        make::signed_state().prop_map(|signed| signed.encode()),
        make::withdrawal().prop_map(|auth| auth.encode()),
        make::refund().prop_map(|claim| claim.encode()),
        make::account().prop_map(|account| account.encode()),
    ]
}

proptest! {
    #[test]
    fn params_come_back(params in make::params()) {
        comes_back(&params)?;
        prop_assert_eq!(Params::decode(&params.encode()).unwrap().id(), params.id());
    }

    #[test]
    fn states_come_back(state in make::state()) {
        comes_back(&state)?;
        prop_assert_eq!(State::decode(&state.encode()).unwrap().digest(), state.digest());
    }

    #[test]
    fn signed_states_come_back(signed in make::signed_state()) {
        comes_back(&signed)?;
    }

    #[test]
    fn claims_come_back(auth in make::withdrawal(), claim in make::refund()) {
        comes_back(&auth)?;
        comes_back(&claim)?;
    }

    #[test]
    fn small_values_come_back(
        units in make::amount(),
        version in make::version(),
        nanos in any::<u64>(),
        (app, kind, duration) in (make::app(), make::kind(), make::duration()),
        (participant, asset) in (make::participant(), make::asset()),
        (account, channel, signature) in (make::account(), make::channel(), make::signature()),
        part in any::<u8>(),
    ) {
        comes_back(&Amount::new(units))?;
        comes_back(&version)?;
        comes_back(&Timestamp::from_nanos(nanos))?;
        comes_back(&app)?;
        comes_back(&kind)?;
        comes_back(&duration)?;
        comes_back(&participant)?;
        comes_back(&asset)?;
        comes_back(&account)?;
        comes_back(&account.owner)?;
        comes_back(&channel)?;
        comes_back(&signature)?;
        comes_back(&PartIdx::new(part))?;
        comes_back(&LockedKind::Sub)?;
        comes_back(&LockedKind::Virtual)?;
    }

    #[test]
    fn different_states_have_different_bytes(a in make::state(), b in make::state()) {
        prop_assert_eq!(a == b, a.encode() == b.encode());
    }

    #[test]
    fn arbitrary_bytes_upset_nothing(bytes in vec(any::<u8>(), 0..400)) {
        are_canonical(&bytes)?;
    }

    /// Bytes that are small numbers pass more checks.
    #[test]
    fn small_numbers_upset_nothing(bytes in vec(0..3_u8, 0..300)) {
        are_canonical(&bytes)?;
    }

    #[test]
    fn too_many_signatures_encode_to_what_nobody_accepts(
        state in make::state(),
        count in 17..600_usize,
    ) {
        let signatures = vec![Signature::from_bytes([7; 64]); count];
        let bytes = UnverifiedSignedState { state, signatures }.encode();
        let refused = matches!(
            UnverifiedSignedState::decode(&bytes),
            Err(DecodeError::OutOfBounds { of: "signatures", min: 0, max: 16, .. })
        );
        prop_assert!(refused);
    }
}

/// Changed encodings upset nothing; and as many of them still mean something, this test means
/// something too.
#[test]
fn changed_encodings_upset_nothing() {
    let (meaningful, meaningless) = (Cell::new(0), Cell::new(0));
    let checked = TestRunner::default().run(&(encodings(), mutations()), |(bytes, mutations)| {
        let bytes = mutated(bytes, &mutations);
        let counter = if are_canonical(&bytes)? {
            &meaningful
        } else {
            &meaningless
        };
        counter.set(counter.get() + 1);
        Ok(())
    });
    checked.unwrap();
    assert!(meaningful.get() > 0, "no changed encoding had a meaning");
    assert!(meaningless.get() > 0, "no changed encoding was refused");
}
