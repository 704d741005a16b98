//! Valid values of every kind, the extreme ones often enough.

use perun_protocol::{
    Account, Allocation, Amount, App, AssetId, Balances, ChallengeDuration, ChannelId, ChannelKind,
    LockedKind, Nonce, Params, PartIdx, Participant, Principal, PublicKey, RefundClaim, Signature,
    State, SubAllocation, UnverifiedSignedState, Version, WithdrawalAuth,
};
use proptest::array::uniform32;
use proptest::collection::vec;
use proptest::prelude::*;

pub fn amount() -> impl Strategy<Value = u128> {
    prop_oneof![
        3 => 0..1_000_u128,
        2 => any::<u128>(),
        1 => Just(0),
        1 => Just(u128::MAX),
        1 => Just(u128::MAX / 2 + 1),
    ]
}

pub fn version() -> impl Strategy<Value = Version> {
    prop_oneof![0..4_u64, any::<u64>(), Just(u64::MAX),].prop_map(Version::new)
}

pub fn channel() -> impl Strategy<Value = ChannelId> {
    any::<[u8; 32]>().prop_map(ChannelId::from_bytes)
}

pub fn principal() -> impl Strategy<Value = Principal> {
    vec(any::<u8>(), 1..=29).prop_map(|bytes| Principal::from_slice(&bytes).unwrap())
}

pub fn account() -> impl Strategy<Value = Account> {
    let parts = (principal(), any::<[u8; 32]>());
    parts.prop_map(|(owner, subaccount)| Account { owner, subaccount })
}

/// A key, mostly one that no point of the curve has: encodings do not mind.
pub fn participant() -> impl Strategy<Value = Participant> {
    (2..=3_u8, uniform32(any::<u8>())).prop_map(|(sign, x)| {
        let mut bytes = [sign; 33];
        bytes[1..].copy_from_slice(&x);
        Participant::Secp256k1(PublicKey::from_bytes(bytes).unwrap())
    })
}

pub fn asset() -> impl Strategy<Value = AssetId> {
    principal().prop_map(AssetId::Icrc)
}

pub fn app() -> impl Strategy<Value = App> {
    prop_oneof![Just(App::None), any::<[u8; 32]>().prop_map(App::Id)]
}

pub fn kind() -> impl Strategy<Value = ChannelKind> {
    use ChannelKind::{Ledger, Sub, Virtual};
    prop_oneof![Just(Ledger), Just(Sub), Just(Virtual)]
}

pub fn duration() -> impl Strategy<Value = ChallengeDuration> {
    let (min, max) = (ChallengeDuration::MIN.secs(), ChallengeDuration::MAX.secs());
    prop_oneof![min..=max, Just(min), Just(max)]
        .prop_map(|secs| ChallengeDuration::from_secs(secs).unwrap())
}

pub fn signature() -> impl Strategy<Value = Signature> {
    vec(any::<u8>(), 64).prop_map(|bytes| Signature::from_bytes(bytes.try_into().unwrap()))
}

pub fn params() -> impl Strategy<Value = Params> {
    let lists = (vec(participant(), 2..=16), vec(asset(), 1..=8));
    let rest = (
        any::<[u8; 32]>(),
        duration(),
        app(),
        principal(),
        kind(),
        any::<[u8; 32]>(),
    );
    let all = (lists, rest).prop_map(|((participants, assets), rest)| {
        let (nonce, duration, app, adjudicator, kind, aux) = rest;
        let nonce = Nonce::from_bytes(nonce);
        let params = Params::new(nonce, participants, assets, duration, adjudicator).ok()?;
        Some(params.with_app(app).with_kind(kind).with_aux(aux))
    });
    // Short principals repeat now and then.
    all.prop_filter_map("something occurs twice", |params| params)
}

/// How many assets and participants, small ones more often.
pub fn shape() -> impl Strategy<Value = (usize, usize)> {
    prop_oneof![
        3 => (1..=2_usize, 2..=3_usize),
        1 => (1..=8_usize, 2..=16_usize),
    ]
}

/// One asset's amounts for `parts` participants and `locked` sub-allocations, and the funding of
/// the same sum.
fn row(parts: usize, locked: usize) -> impl Strategy<Value = (Vec<u128>, Vec<u128>)> {
    let numbers = (vec(amount(), parts + locked), vec(any::<u128>(), parts - 1));
    numbers.prop_map(move |(mut allocated, cuts)| {
        clip(&mut allocated, u128::MAX);
        let total = allocated.iter().sum();
        (allocated, split(total, &cuts))
    })
}

/// Lowers amounts so that they add up to at most `limit`.
pub fn clip(amounts: &mut [u128], limit: u128) {
    let mut left = limit;
    for amount in amounts {
        *amount = (*amount).min(left);
        left -= *amount;
    }
}

/// `total` in one more pieces than there are cuts.
pub fn split(total: u128, cuts: &[u128]) -> Vec<u128> {
    let within = |cut: &u128| total.checked_add(1).map_or(*cut, |end| cut % end);
    let mut cuts: Vec<u128> = cuts.iter().map(within).collect();
    cuts.sort_unstable();
    let mut pieces = Vec::new();
    let mut before = 0;
    for cut in cuts.into_iter().chain([total]) {
        pieces.push(cut - before);
        before = cut;
    }
    pieces
}

/// A table from its rows.
pub fn table(rows: &[Vec<u128>]) -> Balances {
    let amounts = rows.concat().into_iter().map(Amount::new).collect();
    Balances::new(rows[0].len(), amounts).unwrap()
}

/// A state of this shape with this many sub-allocations.
pub fn state_of(assets: usize, parts: usize, locked: usize) -> impl Strategy<Value = State> {
    let lock_kind = prop_oneof![Just(LockedKind::Sub), Just(LockedKind::Virtual)];
    let index_map = vec((0..parts as u8).prop_map(PartIdx::new), 0..=16);
    (
        vec(row(parts, locked), assets),
        vec((lock_kind, any::<[u8; 32]>(), index_map), locked),
        (
            channel(),
            version(),
            any::<bool>(),
            vec(any::<u8>(), 0..=256),
        ),
    )
        .prop_map(
            move |(rows, locks, (channel, version, is_final, app_data))| {
                let locked = locks.into_iter().enumerate().map(|(position, lock)| {
                    let (kind, mut id, index_map) = lock;
                    // Different for each, which random bytes are only nearly always.
                    id[0] = position as u8;
                    let amounts = rows
                        .iter()
                        .map(|(allocated, _)| allocated[parts + position]);
                    SubAllocation {
                        kind,
                        id: ChannelId::from_bytes(id),
                        amounts: amounts.map(Amount::new).collect(),
                        index_map,
                    }
                });
                let balances = rows
                    .iter()
                    .map(|(allocated, _)| allocated[..parts].to_vec());
                let funding = rows.iter().map(|(_, funding)| funding.clone());
                let allocation = Allocation {
                    balances: table(&balances.collect::<Vec<_>>()),
                    locked: locked.collect(),
                };
                let funding = table(&funding.collect::<Vec<_>>());
                State::from_parts(channel, version, allocation, funding, app_data, is_final)
                    .unwrap()
            },
        )
}

pub fn state() -> impl Strategy<Value = State> {
    let locked = prop_oneof![3 => Just(0), 1 => 0..=8_usize];
    (shape(), locked).prop_flat_map(|((assets, parts), locked)| state_of(assets, parts, locked))
}

pub fn signed_state() -> impl Strategy<Value = UnverifiedSignedState> {
    let parts = (state(), vec(signature(), 0..=16));
    parts.prop_map(|(state, signatures)| UnverifiedSignedState { state, signatures })
}

pub fn withdrawal() -> impl Strategy<Value = WithdrawalAuth> {
    let parts = (channel(), asset(), any::<u8>(), account());
    parts.prop_map(|(channel, asset, part, receiver)| WithdrawalAuth {
        channel,
        asset,
        part: PartIdx::new(part),
        receiver,
    })
}

pub fn refund() -> impl Strategy<Value = RefundClaim> {
    (channel(), any::<u8>()).prop_map(|(channel, part)| RefundClaim {
        channel,
        part: PartIdx::new(part),
    })
}
