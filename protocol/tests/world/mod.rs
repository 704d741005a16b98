//! The people, ledgers and channels that the tests of this package speak of.
//!
//! Everything follows from small numbers, so that a failing test can be repeated by hand.

// Each test program uses its own part of this.
#![allow(dead_code)]

use perun_protocol::{
    Allocation, Amount, App, AssetId, Balances, ChallengeDuration, ChannelId, LockedKind, Nonce,
    Params, PartIdx, Participant, Principal, SecretKey, Signature, SignedState, Signer, State,
    SubAllocation, UnverifiedSignedState, Version,
};

pub const ALICE: PartIdx = PartIdx::new(0);
pub const BOB: PartIdx = PartIdx::new(1);

/// The order of secp256k1's group (SEC 2, section 2.4.1).
pub const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
/// The prime of secp256k1's field.
pub const PRIME: &str = "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f";
/// The order halved, rounded down: the largest low s.
pub const HALF_ORDER: &str = "7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0";
/// An x coordinate without a point: 5³ + 7 is no square.
pub const OFF_CURVE_X: &str = "0000000000000000000000000000000000000000000000000000000000000005";

/// The secret key of the participant at `index`.
pub fn secret_key(index: usize) -> SecretKey {
    SecretKey::from_bytes(&secret_bytes(index)).unwrap()
}

/// The bytes of [`secret_key`]: 32 times `index` + 1.
pub fn secret_bytes(index: usize) -> [u8; 32] {
    [index as u8 + 1; 32]
}

/// `count` participants.
pub fn participants(count: usize) -> Vec<Participant> {
    (0..count)
        .map(|index| secret_key(index).participant())
        .collect()
}

/// A canister's principal: ten bytes, as the Internet Computer gives them.
pub fn canister(number: u8) -> Principal {
    Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, number, 1, 1]).unwrap()
}

/// The canister that holds the funds.
pub fn adjudicator() -> Principal {
    canister(0xAD)
}

/// The ledgers of `count` assets.
pub fn assets(count: usize) -> Vec<AssetId> {
    (0..count)
        .map(|index| AssetId::Icrc(canister(index as u8 + 1)))
        .collect()
}

/// One hour.
pub fn hour() -> ChallengeDuration {
    ChallengeDuration::from_secs(3_600).unwrap()
}

/// Params of a payment channel.
pub fn params(asset_count: usize, part_count: usize) -> Params {
    let nonce = Nonce::from_bytes([0x4e; 32]);
    Params::new(
        nonce,
        participants(part_count),
        assets(asset_count),
        hour(),
        adjudicator(),
    )
    .unwrap()
}

/// Params whose encoding is the longest there is.
pub fn longest_params() -> Params {
    let principal = |first: u8| {
        let mut bytes = [0xff; 29];
        bytes[0] = first;
        Principal::from_slice(&bytes).unwrap()
    };
    let assets = (0..8).map(|i| AssetId::Icrc(principal(i))).collect();
    let nonce = Nonce::from_bytes([0xff; 32]);
    Params::new(
        nonce,
        participants(16),
        assets,
        ChallengeDuration::MAX,
        principal(0xad),
    )
    .unwrap()
    .with_app(App::Id([0xff; 32]))
    .with_aux([0xff; 32])
}

/// A table of `parts` columns.
pub fn table(parts: usize, units: &[u128]) -> Balances {
    let amounts = units.iter().copied().map(Amount::new).collect();
    Balances::new(parts, amounts).unwrap()
}

/// A state of a channel of two with one asset.
pub fn state(channel: ChannelId, version: u64, balances: [u128; 2], funding: [u128; 2]) -> State {
    let version = Version::new(version);
    State::new(channel, version, table(2, &balances), table(2, &funding)).unwrap()
}

/// An amount locked for the channel whose id is 32 times `id`.
pub fn sub(kind: LockedKind, id: u8, amounts: &[u128], index_map: &[u8]) -> SubAllocation {
    SubAllocation {
        kind,
        id: ChannelId::from_bytes([id; 32]),
        amounts: amounts.iter().copied().map(Amount::new).collect(),
        index_map: index_map.iter().copied().map(PartIdx::new).collect(),
    }
}

/// A state whose encoding is the longest there is.
pub fn longest_state() -> State {
    let mut funding = [0; 8 * 16];
    let mut balances = [0; 8 * 16];
    for asset in 0..8 {
        funding[asset * 16 + asset] = u128::MAX;
        balances[asset * 16 + 15] = u128::MAX - 8;
    }
    let map: Vec<u8> = (0..16).rev().collect();
    let locked = (0..8).map(|id| sub(LockedKind::Virtual, id, &[1; 8], &map));
    let allocation = Allocation {
        balances: table(16, &balances),
        locked: locked.collect(),
    };
    State::from_parts(
        longest_params().id(),
        Version::new(u64::MAX),
        allocation,
        table(16, &funding),
        vec![0xda; 256],
        true,
    )
    .unwrap()
}

/// The signatures of the first `count` participants.
pub fn signatures(state: &State, count: usize) -> Vec<Signature> {
    let digest = state.digest();
    (0..count)
        .map(|index| secret_key(index).sign(&digest))
        .collect()
}

/// `state`, signed by all participants of `params`.
pub fn sign(params: &Params, state: State) -> SignedState {
    let signatures = signatures(&state, params.participants().len());
    let signed = UnverifiedSignedState { state, signatures };
    signed.verify(params).unwrap()
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of [`hex`]; panics on anything else, upper-case digits included.
pub fn unhex(text: &str) -> Vec<u8> {
    let is_digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    assert!(text.chars().all(is_digit), "not lower-case hex: {text}");
    assert!(text.len().is_multiple_of(2), "half a byte: {text}");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Exactly `N` bytes of [`hex`].
pub fn unhex_array<const N: usize>(text: &str) -> [u8; N] {
    unhex(text).try_into().expect("another length")
}

/// The signature with the other `s`: as good mathematically, and never in its one allowed form.
pub fn with_other_s(signature: &Signature) -> Signature {
    let mut bytes = *signature.as_bytes();
    let order: [u8; 32] = unhex_array(ORDER);
    let mut borrow = 0;
    for i in (0..32).rev() {
        let difference = i16::from(order[i]) - i16::from(bytes[32 + i]) - borrow;
        borrow = i16::from(difference < 0);
        bytes[32 + i] = difference.rem_euclid(256) as u8;
    }
    Signature::from_bytes(bytes)
}
