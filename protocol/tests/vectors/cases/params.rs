//! Params: what a channel id is the hash of.

use perun_protocol::encoding::{Canonical, DecodeError};
use perun_protocol::{
    App, AssetIdx, ChallengeDuration, ChannelKind, Nonce, Params, ParamsError, PartIdx,
    Participant, Principal, PublicKey,
};
use serde_json::{Value, json};

use super::{File, out_of_bounds, splice, undecodable, unknown, with};
use crate::form::{params_error_to_json, params_to_json};
use crate::world::{
    OFF_CURVE_X, PRIME, adjudicator, assets, hex, hour, longest_params, params, participants,
    unhex_array,
};

// Where things are in the encoding of `params(1, 2)`.
const PART_COUNT: usize = 32;
const PARTS: usize = 33;
const PART_LENGTH: usize = 34;
const ASSET_COUNT: usize = 101;
const ASSETS: usize = 102;
const ASSET_LENGTH: usize = 12;
const DURATION: usize = 114;
const APP: usize = 118;
const ADJUDICATOR: usize = 119;
const KIND: usize = 130;
const LENGTH: usize = 163;

pub fn file() -> File {
    File {
        name: "params",
        about: "Params, their encoding, and its hash, the channel id",
        good: good(),
        bad: [bad_lengths(), bad_lists(), bad_fields(), bad_keys()].concat(),
    }
}

fn good() -> Vec<Value> {
    let secs = |secs| ChallengeDuration::from_secs(secs).unwrap();
    let new = |duration, name: &[u8]| {
        let name = Principal::from_slice(name).unwrap();
        let nonce = Nonce::from_bytes([0; 32]);
        Params::new(nonce, participants(2), assets(1), duration, name).unwrap()
    };
    let reversed = participants(2).into_iter().rev().collect();
    let nonce = Nonce::from_bytes([0x4e; 32]);
    let reversed = Params::new(nonce, reversed, assets(1), hour(), adjudicator());
    let cases = [
        ("two participants, one asset", params(1, 2)),
        ("the same two, the other way round", reversed.unwrap()),
        ("two participants, two assets", params(2, 2)),
        ("three participants, eight assets", params(8, 3)),
        ("sixteen participants, one asset", params(1, 16)),
        ("the longest there is", longest_params()),
        ("shortest window, shortest principal", new(secs(1), &[4])),
        (
            "longest window, longest principal",
            new(secs(31_536_000), &[0xff; 29]),
        ),
        ("with an app", params(1, 2).with_app(App::Id([0xa9; 32]))),
        (
            "with an app whose id is zeros",
            params(1, 2).with_app(App::Id([0; 32])),
        ),
        ("sub-channel", params(1, 2).with_kind(ChannelKind::Sub)),
        (
            "virtual channel",
            params(1, 2).with_kind(ChannelKind::Virtual),
        ),
        ("with an auxiliary hash", params(1, 2).with_aux([0xa0; 32])),
    ];
    let case = |(name, params): (&str, Params)| {
        json!({
            "name": name,
            "value": params_to_json(&params),
            "bytes": hex(&params.encode()),
            "id": hex(params.id().as_bytes()),
        })
    };
    cases.into_iter().map(case).collect()
}

fn bad_lengths() -> Vec<Value> {
    let bytes = params(1, 2).encode();
    assert_eq!(bytes.len(), LENGTH);
    let end = |offset| DecodeError::UnexpectedEnd { offset };
    let trailing = DecodeError::TrailingBytes { count: 1 };
    vec![
        undecodable("nothing", &[], end(0)),
        undecodable("truncated in a key", &bytes[..50], end(50)),
        undecodable(
            "truncated by one byte",
            &bytes[..LENGTH - 1],
            end(LENGTH - 1),
        ),
        undecodable(
            "one byte too many",
            &splice(&bytes, LENGTH, 0, &[0]),
            trailing,
        ),
        undecodable(
            "a length in front is no part of the layout",
            &splice(&bytes, 0, 0, &[0, 0, 0, LENGTH as u8]),
            // Everything is read four bytes too early: the count is one of the nonce's bytes.
            out_of_bounds("participants", 0x4e, 0, 16),
        ),
    ]
}

fn bad_lists() -> Vec<Value> {
    let bytes = params(1, 2).encode();
    let count = |count| DecodeError::Params(ParamsError::ParticipantCount { count });
    let no_assets = DecodeError::Params(ParamsError::AssetCount { count: 0 });
    let repeated_part = |index| {
        let index = PartIdx::new(index);
        DecodeError::Params(ParamsError::DuplicateParticipant { index })
    };
    let index = AssetIdx::new(1);
    let repeated_asset = DecodeError::Params(ParamsError::DuplicateAsset { index });
    let first_part = &bytes[PARTS..PARTS + PART_LENGTH];
    let first_asset = &bytes[ASSETS..ASSETS + ASSET_LENGTH];
    let alone = splice(&bytes, PART_COUNT, 1 + PART_LENGTH, &[1]);
    let nobody = splice(&bytes, PART_COUNT, 1 + 2 * PART_LENGTH, &[0]);
    let unfunded = splice(&bytes, ASSET_COUNT, 1 + ASSET_LENGTH, &[0]);
    let twice = with(&bytes, PARTS + PART_LENGTH, first_part);
    let thrice = splice(&with(&bytes, PART_COUNT, &[3]), ASSET_COUNT, 0, first_part);
    let two_assets = splice(&with(&bytes, ASSET_COUNT, &[2]), DURATION, 0, first_asset);
    let parts = |found| out_of_bounds("participants", found, 0, 16);
    let assets = |found| out_of_bounds("assets", found, 0, 8);
    vec![
        undecodable("no participants", &nobody, count(0)),
        undecodable("one participant", &alone, count(1)),
        undecodable(
            "17 participants",
            &with(&bytes, PART_COUNT, &[17]),
            parts(17),
        ),
        undecodable(
            "255 participants",
            &with(&bytes, PART_COUNT, &[255]),
            parts(255),
        ),
        undecodable(
            "the second participant repeats the first",
            &twice,
            repeated_part(1),
        ),
        undecodable(
            "the third participant repeats the first",
            &thrice,
            repeated_part(2),
        ),
        undecodable("no assets", &unfunded, no_assets),
        undecodable("nine assets", &with(&bytes, ASSET_COUNT, &[9]), assets(9)),
        undecodable(
            "the second asset repeats the first",
            &two_assets,
            repeated_asset,
        ),
    ]
}

fn bad_fields() -> Vec<Value> {
    let bytes = params(1, 2).encode();
    let secs = |found| out_of_bounds("challenge duration", found, 1, 31_536_000);
    let principal = |found| out_of_bounds("principal", found, 1, 29);
    let sign = "sign of a compressed key";
    let year_and_a_second = 31_536_001_u32.to_be_bytes();
    let cases: [(&str, usize, &[u8], DecodeError); 15] = [
        (
            "participant tag 0, reserved",
            PARTS,
            &[0],
            unknown("participant", 0),
        ),
        ("participant tag 2", PARTS, &[2], unknown("participant", 2)),
        ("key with sign byte 0", PARTS + 1, &[0], unknown(sign, 0)),
        (
            "key with sign byte 4, uncompressed",
            PARTS + 1,
            &[4],
            unknown(sign, 4),
        ),
        ("asset tag 0", ASSETS, &[0], unknown("asset", 0)),
        ("asset tag 2", ASSETS, &[2], unknown("asset", 2)),
        ("empty ledger principal", ASSETS + 1, &[0], principal(0)),
        (
            "ledger principal of 30 bytes",
            ASSETS + 1,
            &[30],
            principal(30),
        ),
        ("no window", DURATION, &[0; 4], secs(0)),
        (
            "a window of a year and a second",
            DURATION,
            &year_and_a_second,
            secs(31_536_001),
        ),
        (
            "the longest number as window",
            DURATION,
            &[255; 4],
            secs(u32::MAX as usize),
        ),
        ("app tag 2", APP, &[2], unknown("app", 2)),
        (
            "empty adjudicator principal",
            ADJUDICATOR,
            &[0],
            principal(0),
        ),
        (
            "channel kind 3: ledger and virtual at once",
            KIND,
            &[3],
            unknown("channel kind", 3),
        ),
        (
            "channel kind 255",
            KIND,
            &[255],
            unknown("channel kind", 255),
        ),
    ];
    let case = |(name, offset, other, error): (&str, usize, &[u8], DecodeError)| {
        undecodable(name, &with(&bytes, offset, other), error)
    };
    cases.into_iter().map(case).collect()
}

/// These decode, and are refused before anybody takes money for them.
fn bad_keys() -> Vec<Value> {
    let with_key = |position: usize, x: &str| {
        let mut key = [2; 33];
        key[1..].copy_from_slice(&unhex_array::<32>(x));
        let mut participants = participants(3);
        participants[position] = Participant::Secp256k1(PublicKey::from_bytes(key).unwrap());
        let nonce = Nonce::from_bytes([0; 32]);
        Params::new(nonce, participants, assets(1), hour(), adjudicator()).unwrap()
    };
    let case = |name: &str, position: usize, x: &str| {
        let index = PartIdx::new(position as u8);
        json!({
            "name": name,
            "stage": "keys",
            "bytes": hex(&with_key(position, x).encode()),
            "error": params_error_to_json(&ParamsError::InvalidKey { index }),
        })
    };
    vec![
        case("a key off the curve", 1, OFF_CURVE_X),
        case("a key whose x is the field's prime", 0, PRIME),
        case("a key whose x is the largest number", 2, &"f".repeat(64)),
        // 0³ + 7 is no square either.
        case("a key whose x is zero", 2, &"0".repeat(64)),
    ]
}
