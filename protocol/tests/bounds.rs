//! Every bound, reached and exceeded; and what constructors refuse that no bytes can express.

mod world;

use std::fmt::Debug;

use perun_protocol::encoding::{Canonical, DecodeError, Domain};
use perun_protocol::payment::{Batch, BatchError, BatchFull, Payment};
use perun_protocol::{
    Account, Allocation, Amount, App, AssetIdx, Balances, BalancesError, ChallengeDuration,
    ChannelId, ChannelKind, LockedKind, Nonce, Params, ParamsError, PartIdx, Principal,
    PrincipalError, RefundClaim, SecretKey, Signature, Signer, State, StateError, SubAllocation,
    UnverifiedSignedState, Version, WithdrawalAuth,
};

use world::{
    adjudicator, assets, canister, hour, longest_params, longest_state, params, participants,
    secret_key, signatures, sub, table,
};

fn is_longest<T: Canonical + Debug + PartialEq>(value: &T, length: usize) {
    assert_eq!(value.encode().len(), length, "{value:?}");
    assert_eq!(T::MAX_ENCODED_LENGTH, length, "{value:?}");
    assert_eq!(&T::decode(&value.encode()).unwrap(), value);
}

#[test]
fn the_longest_encodings_are_as_long_as_promised() {
    let params = longest_params();
    let state = longest_state();
    let signatures = signatures(&state, 16);
    let asset = params.assets()[0];
    let receiver = Account::of(params.adjudicator());
    let channel = params.id();
    let part = PartIdx::new(15);
    is_longest(&params.adjudicator(), 30);
    is_longest(&asset, 31);
    is_longest(&receiver, 62);
    is_longest(&App::Id([1; 32]), 33);
    is_longest(&params.participants()[0], 34);
    is_longest(&ChallengeDuration::MAX, 4);
    is_longest(&ChannelKind::Virtual, 1);
    is_longest(&LockedKind::Virtual, 1);
    is_longest(&Amount::MAX, 16);
    is_longest(&Version::new(u64::MAX), 8);
    is_longest(&channel, 32);
    is_longest(&part, 1);
    is_longest(&signatures[0], 64);
    is_longest(&params, 926);
    is_longest(&state, 5_822);
    is_longest(&UnverifiedSignedState { state, signatures }, 6_847);
    let auth = WithdrawalAuth {
        channel,
        asset,
        part,
        receiver,
    };
    is_longest(&auth, 126);
    is_longest(&RefundClaim { channel, part }, 33);
}

#[test]
fn the_longest_signed_state_verifies() {
    let (params, state) = (longest_params(), longest_state());
    let signatures = signatures(&state, 16);
    let unverified = UnverifiedSignedState { state, signatures };
    let signed = unverified.clone().verify(&params).unwrap();
    assert_eq!(signed.encode(), unverified.encode());
    assert_eq!(signed.version(), Version::new(u64::MAX));
    assert_eq!(signed.version().next(), None);
    assert_eq!(UnverifiedSignedState::from(signed), unverified);
}

#[test]
fn params_have_two_to_sixteen_participants_and_one_to_eight_assets() {
    let with = |parts: usize, asset_count: usize| {
        let (participants, assets) = (participants(parts), assets(asset_count));
        let nonce = Nonce::from_bytes([0; 32]);
        Params::new(nonce, participants, assets, hour(), adjudicator())
    };
    for count in [0, 1, 17, 40] {
        let refused = with(count, 1);
        assert_eq!(refused, Err(ParamsError::ParticipantCount { count }));
    }
    for count in [0, 9, 40] {
        assert_eq!(with(2, count), Err(ParamsError::AssetCount { count }));
    }
    assert!(with(2, 1).is_ok() && with(16, 8).is_ok());
}

#[test]
fn params_name_nobody_and_nothing_twice() {
    let nonce = Nonce::from_bytes([0; 32]);
    let mut twice = participants(16);
    twice[15] = twice[3];
    let refused = Params::new(nonce, twice, assets(1), hour(), adjudicator());
    let index = PartIdx::new(15);
    assert_eq!(refused, Err(ParamsError::DuplicateParticipant { index }));
    let mut twice = assets(8);
    twice[7] = twice[0];
    let refused = Params::new(nonce, participants(2), twice, hour(), adjudicator());
    let index = AssetIdx::new(7);
    assert_eq!(refused, Err(ParamsError::DuplicateAsset { index }));
}

#[test]
fn params_find_their_participants_and_assets() {
    let params = params(2, 3);
    let second = AssetIdx::new(1);
    assert_eq!(params.asset_idx(&assets(2)[1]), Some(second));
    assert_eq!(params.asset_idx(&assets(3)[2]), None);
    assert_eq!(
        params.participant(PartIdx::new(2)),
        Some(&participants(3)[2])
    );
    assert_eq!(params.participant(PartIdx::new(3)), None);
    let parts: Vec<_> = params.parts().map(|(part, _)| part.number()).collect();
    assert_eq!(parts, [0, 1, 2]);
}

/// A plain state of 1 and 1, changed in one respect.
fn state_with(
    change: impl FnOnce(&mut Allocation, &mut Balances, &mut Vec<u8>),
) -> Result<State, StateError> {
    let mut allocation = Allocation {
        balances: table(2, &[1, 1]),
        locked: vec![],
    };
    let (mut funding, mut app_data) = (table(2, &[1, 1]), vec![]);
    change(&mut allocation, &mut funding, &mut app_data);
    let channel = ChannelId::from_bytes([7; 32]);
    State::from_parts(
        channel,
        Version::INITIAL,
        allocation,
        funding,
        app_data,
        false,
    )
}

fn nothing_locked(id: u8) -> SubAllocation {
    sub(LockedKind::Sub, id, &[0], &[0, 1])
}

#[test]
fn a_state_has_one_shape() {
    for other in [table(3, &[1, 1, 0]), table(2, &[1, 1, 0, 0])] {
        let refused = state_with(|_, funding, _| *funding = other);
        assert_eq!(refused, Err(StateError::FundingShape));
    }
    let shapes: [(&[u128], &[u8]); 4] = [
        (&[], &[]),
        (&[0, 0], &[]),
        (&[0], &[0; 17]),
        (&[0], &[0, 1, 2]),
    ];
    for (amounts, index_map) in shapes {
        let refused = state_with(|allocation, _, _| {
            let odd = sub(LockedKind::Sub, 1, amounts, index_map);
            allocation.locked = vec![nothing_locked(0), odd];
        });
        assert_eq!(refused, Err(StateError::LockedShape { position: 1 }));
    }
}

#[test]
fn a_state_has_its_bounds() {
    let locking = |count: u8| {
        state_with(|allocation, _, _| allocation.locked = (0..count).map(nothing_locked).collect())
    };
    assert!(locking(8).is_ok());
    assert_eq!(locking(9), Err(StateError::TooManyLocked { count: 9 }));
    let noting = |length| state_with(|_, _, app_data| *app_data = vec![0; length]);
    assert!(noting(256).is_ok());
    assert_eq!(noting(257), Err(StateError::AppDataTooLong { length: 257 }));
}

#[test]
fn a_state_locks_for_a_channel_once() {
    let refused = state_with(|allocation, _, _| {
        allocation.locked = [1, 2, 1].map(nothing_locked).to_vec();
    });
    assert_eq!(refused, Err(StateError::DuplicateLocked { position: 2 }));
}

#[test]
fn a_state_conserves_each_asset() {
    for balances in [[2, 1], [0, 1], [0, 0]] {
        let refused = state_with(|allocation, _, _| allocation.balances = table(2, &balances));
        let asset = AssetIdx::new(0);
        assert_eq!(refused, Err(StateError::NotConserved { asset }));
    }
    let locked = state_with(|allocation, _, _| {
        allocation.balances = table(2, &[1, 0]);
        allocation.locked = vec![sub(LockedKind::Sub, 1, &[1], &[])];
    });
    assert!(locked.is_ok());
}

#[test]
fn a_principal_has_1_to_29_bytes() {
    for length in [0, 30, 1_000] {
        let refused = Principal::from_slice(&vec![1; length]);
        assert_eq!(refused, Err(PrincipalError { length }));
    }
    for length in [1, 29] {
        let bytes = vec![1; length];
        assert_eq!(Principal::from_slice(&bytes).unwrap().as_slice(), bytes);
    }
    // Trailing zeros count.
    assert_ne!(Principal::from_slice(&[1]), Principal::from_slice(&[1, 0]));
}

#[test]
fn no_domain_tag_begins_another() {
    let tags = [
        Domain::Params,
        Domain::State,
        Domain::Withdrawal,
        Domain::Refund,
        Domain::FundsAccount,
        Domain::DepositAccount,
        Domain::Proposal,
        Domain::Nonce,
        Domain::Payments,
        Domain::LinkKey,
        Domain::Request,
        Domain::RequestText,
        Domain::WatchStream,
    ]
    .map(Domain::tag);
    for (position, tag) in tags.iter().enumerate() {
        assert!(!tags[..position].contains(tag));
    }
}

#[test]
fn errors_say_what_was_wrong() {
    let asset = AssetIdx::new(3);
    let sum = BalancesError::SumOverflow { asset };
    let shape = BalancesError::WrongShape {
        parts: 2,
        amounts: 3,
    };
    let said = [
        (
            DecodeError::from(sum).to_string(),
            "the sum of asset 3 exceeds 128 bits",
        ),
        (
            StateError::from(shape).to_string(),
            "3 amounts are no table of 2 participants: 1 to 8 assets and 2 to 16 participants",
        ),
        (
            StateError::FundingShape.to_string(),
            "the funding has another shape than the balances",
        ),
        (
            StateError::TooManyLocked { count: 9 }.to_string(),
            "9 sub-allocations, at most 8 are allowed",
        ),
        (
            StateError::AppDataTooLong { length: 300 }.to_string(),
            "300 bytes of app data, at most 256 are allowed",
        ),
        (
            PrincipalError { length: 30 }.to_string(),
            "a principal has 1 to 29 bytes, not 30",
        ),
    ];
    for (text, expected) in said {
        assert_eq!(text, expected);
    }
}

#[test]
fn ids_are_shown_whole_or_cut() {
    let id = ChannelId::from_bytes([0xab; 32]);
    assert_eq!(id.to_string(), format!("0x{}", "ab".repeat(32)));
    assert_eq!(format!("{id:.5}"), "0xababa…");
    assert_eq!(format!("{id:.99}"), id.to_string());
    assert_eq!(format!("{id:?}"), format!("ChannelId({id})"));
    assert_eq!(
        format!("{:?}", canister(3)),
        "Principal(00000000000000030101)"
    );
}

#[test]
fn a_secret_is_never_shown() {
    let secret = secret_key(0xbb - 1);
    let shown = format!("{secret:?} {secret:#?}");
    assert!(!shown.contains("bbbbbbbb"), "{shown}");
    assert!(shown.starts_with("SecretKey of(PublicKey("), "{shown}");
    assert!(SecretKey::from_bytes(&[0; 32]).is_none());
    let signature: Signature = secret.sign(&[0; 32]);
    let digits: String = (signature.as_bytes().iter())
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(format!("{signature:?}"), format!("Signature({digits})"));
}

#[test]
fn a_batch_has_at_most_half_a_mebibyte() {
    let payment = Payment {
        asset: AssetIdx::new(0),
        amount: Amount::new(1),
        memo: None,
    };
    let mut batch = Batch::new();
    // Two bytes each.
    for _ in 0..262_144 {
        batch.push(&payment, usize::MAX).unwrap();
    }
    let limit = usize::MAX;
    assert_eq!(
        batch.push(&payment, limit),
        Err(BatchFull::Length { limit })
    );
    let mut bytes = batch.as_bytes().to_vec();
    assert_eq!(bytes.len(), 524_288);
    assert_eq!(Batch::decode(bytes.clone()), Ok(batch));
    bytes.extend([0, 1]);
    let length = bytes.len();
    assert_eq!(Batch::decode(bytes), Err(BatchError::TooLong { length }));
}
