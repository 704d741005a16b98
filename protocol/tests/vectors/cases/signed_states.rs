//! Signed states: what the adjudicator enforces.

use perun_protocol::encoding::{Canonical, DecodeError, Domain, digest};
use perun_protocol::{
    ChannelId, Nonce, Params, PartIdx, Participant, PublicKey, Signature, SignedStateError, Signer,
    State, UnverifiedSignedState, Version,
};
use serde_json::{Value, json};

use super::states::locking;
use super::{File, out_of_bounds, splice, undecodable, unknown, with};
use crate::form::signed_state_error_to_json;
use crate::world::{
    OFF_CURVE_X, ORDER, adjudicator, assets, hex, hour, longest_params, longest_state, params,
    participants, secret_bytes, secret_key, signatures, state, table, unhex_array, with_other_s,
};

pub fn file() -> File {
    File {
        name: "signed_states",
        about: "States with all signatures, and with those that are not good",
        good: good(),
        bad: [bad_bytes(), bad_values(), bad_signatures()].concat(),
    }
}

fn plain() -> State {
    state(params(1, 2).id(), 1, [239, 197], [242, 194])
}

fn good() -> Vec<Value> {
    let three = State::new(
        params(8, 3).id(),
        Version::new(4),
        table(3, &[5; 24]),
        table(3, &[5; 24]),
    );
    let sixteen = State::new(
        params(1, 16).id(),
        Version::INITIAL,
        table(16, &[1; 16]),
        table(16, &[1; 16]),
    );
    let id = params(1, 2).id();
    let cases = [
        (
            "version 0",
            params(1, 2),
            state(id, 0, [242, 194], [242, 194]),
        ),
        ("version 1", params(1, 2), plain()),
        ("final", params(1, 2), plain().finalized()),
        (
            "three participants, eight assets",
            params(8, 3),
            three.unwrap(),
        ),
        ("sixteen participants", params(1, 16), sixteen.unwrap()),
        ("with sub-allocations", params(1, 2), locking()),
        ("the longest there is", longest_params(), longest_state()),
    ];
    let case = |(name, params, state): (&str, Params, State)| {
        let count = params.participants().len();
        let signatures = signatures(&state, count);
        let keys = (0..count).map(|index| hex(&secret_bytes(index)));
        json!({
            "name": name,
            "params": hex(&params.encode()),
            "secret_keys": keys.collect::<Vec<_>>(),
            "state": hex(&state.encode()),
            "digest": hex(&state.digest()),
            "signatures": signatures.iter().map(|s| hex(s.as_bytes())).collect::<Vec<_>>(),
            "bytes": hex(&UnverifiedSignedState { state, signatures }.encode()),
        })
    };
    cases.into_iter().map(case).collect()
}

fn bad_bytes() -> Vec<Value> {
    let state = plain();
    let signatures = signatures(&state, 2);
    let bytes = UnverifiedSignedState { state, signatures }.encode();
    let (count, length) = (110, 110 + 1 + 2 * 64);
    assert_eq!(bytes.len(), length);
    let end = |offset| DecodeError::UnexpectedEnd { offset };
    let trailing = |count| DecodeError::TrailingBytes { count };
    let too_many = out_of_bounds("signatures", 17, 0, 16);
    vec![
        undecodable("nothing", &[], end(0)),
        undecodable("a state and nothing else", &bytes[..count], end(count)),
        undecodable(
            "truncated by one byte",
            &bytes[..length - 1],
            end(length - 1),
        ),
        undecodable(
            "one byte too many",
            &splice(&bytes, length, 0, &[0]),
            trailing(1),
        ),
        undecodable(
            "a signature left over",
            &with(&bytes, count, &[1]),
            trailing(64),
        ),
        undecodable("17 signatures", &with(&bytes, count, &[17]), too_many),
        undecodable(
            "a bad state",
            &with(&bytes, 40, &[2]),
            unknown("final flag", 2),
        ),
    ]
}

/// A case that decodes and does not verify for `params`.
fn unverified(
    name: &str,
    params: &Params,
    state: State,
    signatures: Vec<Signature>,
    error: SignedStateError,
) -> Value {
    json!({
        "name": name,
        "stage": "verify",
        "params": hex(&params.encode()),
        "bytes": hex(&UnverifiedSignedState { state, signatures }.encode()),
        "error": signed_state_error_to_json(&error),
    })
}

fn bad_values() -> Vec<Value> {
    let ours = params(1, 2);
    let found = ChannelId::from_bytes([0xc1; 32]);
    let foreign = state(found, 1, [239, 197], [242, 194]);
    let expected = ours.id();
    let wrong_channel = SignedStateError::WrongChannel { expected, found };
    let shaped = |parts: usize, units: &[u128]| {
        let table = table(parts, units);
        State::new(ours.id(), Version::new(1), table.clone(), table).unwrap()
    };
    let count = |found| SignedStateError::SignatureCount { expected: 2, found };
    let case = |name, state: State, signed: usize, error| {
        let signatures = signatures(&state, signed);
        unverified(name, &ours, state, signatures, error)
    };
    vec![
        case("a state of another channel", foreign, 2, wrong_channel),
        case(
            "an asset too many",
            shaped(2, &[1; 4]),
            2,
            SignedStateError::WrongShape,
        ),
        case(
            "a participant too many",
            shaped(3, &[1; 3]),
            3,
            SignedStateError::WrongShape,
        ),
        case("no signatures", plain(), 0, count(0)),
        case("one signature for two participants", plain(), 1, count(1)),
        case(
            "three signatures for two participants",
            plain(),
            3,
            count(3),
        ),
    ]
}

fn bad_signatures() -> Vec<Value> {
    let ours = params(1, 2);
    let state = plain();
    let good = signatures(&state, 2);
    let case = |name, part: u8, signature: Signature| {
        let mut signatures = good.clone();
        signatures[usize::from(part)] = signature;
        let part = PartIdx::new(part);
        let error = SignedStateError::WrongSignature { part };
        unverified(name, &ours, state.clone(), signatures, error)
    };
    let bob = |digest| secret_key(1).sign(&digest);
    let edited = |offset: usize, other: &[u8]| {
        let bytes = with(good[1].as_bytes(), offset, other);
        Signature::from_bytes(bytes.try_into().unwrap())
    };
    let order: [u8; 32] = unhex_array(ORDER);
    let bytes = state.encode();
    let other_version = crate::world::state(ours.id(), 2, [239, 197], [242, 194]);
    let mut swapped = good.clone();
    swapped.reverse();
    let first = SignedStateError::WrongSignature {
        part: PartIdx::new(0),
    };
    vec![
        case("by somebody else", 1, secret_key(2).sign(&state.digest())),
        unverified(
            "the right ones, swapped",
            &ours,
            state.clone(),
            swapped,
            first,
        ),
        case("high s", 1, with_other_s(&good[1])),
        case("high s, first participant", 0, with_other_s(&good[0])),
        case("over another version", 1, bob(other_version.digest())),
        case(
            "over the final state instead",
            1,
            bob(state.clone().finalized().digest()),
        ),
        case(
            "over the bytes without a domain tag",
            1,
            bob(untagged(&bytes)),
        ),
        case(
            "over the withdrawal domain",
            1,
            bob(digest(Domain::Withdrawal, &bytes)),
        ),
        case(
            "over the params domain",
            1,
            bob(digest(Domain::Params, &bytes)),
        ),
        case(
            "over the refund domain",
            1,
            bob(digest(Domain::Refund, &bytes)),
        ),
        case("r = 0", 1, edited(0, &[0; 32])),
        case("s = 0", 1, edited(32, &[0; 32])),
        case("r = the order", 1, edited(0, &order)),
        case("s = the order", 1, edited(32, &order)),
        case("zeros", 0, Signature::from_bytes([0; 64])),
        case("ones", 1, Signature::from_bytes([255; 64])),
        off_curve(),
    ]
}

/// SHA-256 of the bytes alone: what a careless implementation would sign.
fn untagged(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}

/// Params whose second key is no point of the curve: nothing verifies against it.
fn off_curve() -> Value {
    let mut key = [2; 33];
    key[1..].copy_from_slice(&unhex_array::<32>(OFF_CURVE_X));
    let mut participants = participants(2);
    participants[1] = Participant::Secp256k1(PublicKey::from_bytes(key).unwrap());
    let nonce = Nonce::from_bytes([0x4e; 32]);
    let params = Params::new(nonce, participants, assets(1), hour(), adjudicator()).unwrap();
    let state = state(params.id(), 1, [239, 197], [242, 194]);
    let signatures = signatures(&state, 2);
    let part = PartIdx::new(1);
    let error = SignedStateError::WrongSignature { part };
    unverified("a key off the curve", &params, state, signatures, error)
}
