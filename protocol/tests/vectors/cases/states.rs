//! States: what participants sign.

use perun_protocol::encoding::{Canonical, DecodeError};
use perun_protocol::{
    Allocation, AssetIdx, Balances, BalancesError, ChannelId, LockedKind, State, StateError,
    SubAllocation, Version,
};
use serde_json::{Value, json};

use super::{File, out_of_bounds, splice, undecodable, unknown, with};
use crate::form::state_to_json;
use crate::world::{hex, longest_state, params, state, sub, table};

// Where things are in the encoding of a state of two participants and one asset.
const FINAL: usize = 40;
const ASSETS: usize = 41;
const PARTS: usize = 42;
const BALANCES: usize = 43;
const FUNDING: usize = 75;
const LOCKED_COUNT: usize = 107;
const LOCKED: usize = 108;
const LENGTH: usize = 110;
// And within a sub-allocation for two.
const SUB_ID: usize = 1;
const SUB_MAP_COUNT: usize = 49;
const SUB_MAP: usize = 50;
const SUB_LENGTH: usize = 52;

pub fn file() -> File {
    File {
        name: "states",
        about: "States, their encoding, and the digest that participants sign",
        good: good(),
        bad: [bad_lengths(), bad_tables(), bad_locked()].concat(),
    }
}

fn plain() -> State {
    state(params(1, 2).id(), 1, [239, 197], [242, 194])
}

/// A state of two participants and one asset with two sub-allocations.
pub fn locking() -> State {
    let locked = vec![
        sub(LockedKind::Sub, 0x51, &[5], &[0, 1]),
        sub(LockedKind::Virtual, 0x52, &[7], &[1, 0]),
    ];
    full(
        params(1, 2).id(),
        9,
        table(2, &[230, 194]),
        locked,
        table(2, &[242, 194]),
        &[],
    )
}

fn full(
    channel: ChannelId,
    version: u64,
    balances: Balances,
    locked: Vec<SubAllocation>,
    funding: Balances,
    app_data: &[u8],
) -> State {
    let allocation = Allocation { balances, locked };
    let version = Version::new(version);
    State::from_parts(
        channel,
        version,
        allocation,
        funding,
        app_data.to_vec(),
        false,
    )
    .unwrap()
}

fn good() -> Vec<Value> {
    const MAX: u128 = u128::MAX;
    let id = params(1, 2).id();
    let two_assets = State::new(
        params(2, 2).id(),
        Version::new(3),
        table(2, &[10, 20, 0, 7]),
        table(2, &[15, 15, 7, 0]),
    );
    let sixteen = State::new(
        params(1, 16).id(),
        Version::INITIAL,
        table(16, &[1; 16]),
        table(16, &[1; 16]),
    );
    let three = State::new(
        params(8, 3).id(),
        Version::new(1 << 32),
        table(3, &(0..24).collect::<Vec<_>>()),
        table(3, &(0..24).collect::<Vec<_>>()),
    );
    let one = table(2, &[1, 0]);
    let lock_all = vec![sub(LockedKind::Sub, 0x51, &[1], &[])];
    let same = |data: &[u8]| {
        full(
            id,
            2,
            table(2, &[242, 194]),
            vec![],
            table(2, &[242, 194]),
            data,
        )
    };
    let cases = [
        ("version 0", state(id, 0, [242, 194], [242, 194])),
        ("version 1", plain()),
        ("final", plain().finalized()),
        ("topped up", state(id, 2, [339, 197], [342, 194])),
        (
            "the last version",
            state(id, u64::MAX, [436, 0], [242, 194]),
        ),
        ("nothing for nobody", state(id, 0, [0, 0], [0, 0])),
        (
            "the largest amount, moved",
            state(id, 5, [0, MAX], [MAX, 0]),
        ),
        ("the largest sum", state(id, 5, [MAX - 1, 1], [1, MAX - 1])),
        ("two assets", two_assets.unwrap()),
        ("three participants, eight assets", three.unwrap()),
        ("sixteen participants", sixteen.unwrap()),
        ("one byte of app data", same(&[0])),
        ("app data", same(b"running hash of payment records")),
        ("the longest app data", same(&[0xda; 256])),
        ("two sub-allocations", locking()),
        (
            "everything locked, empty index map",
            full(id, 2, table(2, &[0, 0]), lock_all, one, &[]),
        ),
        ("the longest there is", longest_state()),
    ];
    let case = |(name, state): (&str, State)| {
        json!({
            "name": name,
            "value": state_to_json(&state),
            "bytes": hex(&state.encode()),
            "digest": hex(&state.digest()),
        })
    };
    cases.into_iter().map(case).collect()
}

fn bad_lengths() -> Vec<Value> {
    let bytes = plain().encode();
    assert_eq!(bytes.len(), LENGTH);
    let end = |offset| DecodeError::UnexpectedEnd { offset };
    let trailing = DecodeError::TrailingBytes { count: 2 };
    let assets = |found| out_of_bounds("assets", found, 1, 8);
    let parts = |found| out_of_bounds("participants", found, 2, 16);
    let data = |found| out_of_bounds("app data", found, 0, 256);
    let set = |offset, other: &[u8]| with(&bytes, offset, other);
    vec![
        undecodable("nothing", &[], end(0)),
        undecodable("truncated in the funding", &bytes[..100], end(100)),
        undecodable(
            "truncated by one byte",
            &bytes[..LENGTH - 1],
            end(LENGTH - 1),
        ),
        undecodable(
            "two bytes too many",
            &splice(&bytes, LENGTH, 0, &[0, 0]),
            trailing,
        ),
        undecodable("final flag 2", &set(FINAL, &[2]), unknown("final flag", 2)),
        undecodable(
            "final flag 255",
            &set(FINAL, &[255]),
            unknown("final flag", 255),
        ),
        undecodable("no assets", &set(ASSETS, &[0]), assets(0)),
        undecodable("nine assets", &set(ASSETS, &[9]), assets(9)),
        undecodable("no participants", &set(PARTS, &[0]), parts(0)),
        undecodable("one participant", &set(PARTS, &[1]), parts(1)),
        undecodable("17 participants", &set(PARTS, &[17]), parts(17)),
        undecodable(
            "eight assets claimed, one there",
            &set(ASSETS, &[8]),
            end(LENGTH),
        ),
        undecodable(
            "257 bytes of app data",
            &set(108, &257_u16.to_be_bytes()),
            data(257),
        ),
        undecodable(
            "65535 bytes of app data",
            &set(108, &[255, 255]),
            data(65_535),
        ),
        undecodable(
            "app data claimed, not there",
            &set(108, &[0, 1]),
            end(LENGTH),
        ),
    ]
}

fn bad_tables() -> Vec<Value> {
    let bytes = plain().encode();
    let two_assets = State::new(
        params(2, 2).id(),
        Version::new(3),
        table(2, &[1, 1, 3, 3]),
        table(2, &[2, 0, 6, 0]),
    );
    let two_assets = two_assets.unwrap().encode();
    let overflow = |asset| {
        let asset = AssetIdx::new(asset);
        DecodeError::State(StateError::Balances(BalancesError::SumOverflow { asset }))
    };
    let lost = |asset| {
        let asset = AssetIdx::new(asset);
        DecodeError::State(StateError::NotConserved { asset })
    };
    let full = state(params(1, 2).id(), 1, [u128::MAX, 0], [u128::MAX, 0]).encode();
    // A sub-allocation of 1 unit on top of balances that take up all there is.
    let one_more = sub(LockedKind::Sub, 0x51, &[1], &[]);
    let mut one_more_bytes = vec![1, 1];
    one_more_bytes.extend(one_more.id.as_bytes());
    one_more_bytes.extend(1_u128.to_be_bytes());
    one_more_bytes.push(0);
    vec![
        undecodable(
            "the sum of the balances wraps to that of the funding",
            &with(
                &with(&bytes, BALANCES, &[255; 16]),
                BALANCES + 16,
                &437_u128.to_be_bytes(),
            ),
            overflow(0),
        ),
        undecodable(
            "the sum of the second asset's funding wraps",
            // Four amounts of balances, then the funding's third.
            &with(
                &two_assets,
                BALANCES + 6 * 16,
                &[[255; 16], [255; 16]].concat(),
            ),
            overflow(1),
        ),
        undecodable(
            "a unit out of nothing",
            &with(&bytes, BALANCES, &240_u128.to_be_bytes()),
            lost(0),
        ),
        undecodable(
            "a unit gone",
            &with(&bytes, BALANCES + 16, &196_u128.to_be_bytes()),
            lost(0),
        ),
        undecodable(
            "a unit more of funding",
            &with(&bytes, FUNDING, &243_u128.to_be_bytes()),
            lost(0),
        ),
        undecodable(
            "moved from one asset to the other",
            &with(
                &two_assets,
                BALANCES + 16,
                &[2_u128, 2].map(u128::to_be_bytes).concat(),
            ),
            lost(0),
        ),
        undecodable(
            "the second asset is not conserved",
            &with(&two_assets, BALANCES + 2 * 16, &4_u128.to_be_bytes()),
            lost(1),
        ),
        undecodable(
            "balances and locked amounts wrap to the funding",
            &splice(&full, LOCKED_COUNT, 1, &one_more_bytes),
            lost(0),
        ),
    ]
}

fn bad_locked() -> Vec<Value> {
    let bytes = locking().encode();
    let second = LOCKED + SUB_LENGTH;
    let shape = |position| DecodeError::State(StateError::LockedShape { position });
    let repeated = DecodeError::State(StateError::DuplicateLocked { position: 1 });
    let lost = DecodeError::State(StateError::NotConserved {
        asset: AssetIdx::new(0),
    });
    let kind = |tag| unknown("sub-allocation", tag);
    let count = |found| out_of_bounds("sub-allocations", found, 0, 8);
    let map = |found| out_of_bounds("index map", found, 0, 16);
    let set = |offset, other: &[u8]| with(&bytes, offset, other);
    let map_count = LOCKED + SUB_MAP_COUNT;
    vec![
        undecodable("kind 0 of a sub-allocation", &set(LOCKED, &[0]), kind(0)),
        undecodable("kind 3 of a sub-allocation", &set(second, &[3]), kind(3)),
        undecodable("nine sub-allocations", &set(LOCKED_COUNT, &[9]), count(9)),
        undecodable(
            "17 entries in an index map",
            &set(map_count, &[17]),
            map(17),
        ),
        undecodable(
            "an index map names nobody",
            &set(second + SUB_MAP + 1, &[2]),
            shape(1),
        ),
        undecodable(
            "two for one channel",
            &set(second + SUB_ID, &[0x51; 32]),
            repeated,
        ),
        undecodable(
            "a sub-allocation left out",
            &splice(&set(LOCKED_COUNT, &[1]), second, SUB_LENGTH, &[]),
            lost,
        ),
    ]
}
