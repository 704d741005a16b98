//! How values and errors look in the files: see `README.md` beside them.

use perun_protocol::encoding::DecodeError;
use perun_protocol::{
    Account, Allocation, Amount, App, AssetId, Balances, BalancesError, ChallengeDuration,
    ChannelId, ChannelKind, LockedKind, Nonce, Params, ParamsError, PartIdx, Participant,
    Principal, PublicKey, RefundClaim, SignedStateError, State, StateError, SubAllocation, Version,
    WithdrawalAuth,
};
use serde_json::{Value, json};

use crate::world::{hex, unhex, unhex_array};

/// The text in a field; panics with the whole case if there is none.
pub fn text<'a>(case: &'a Value, field: &str) -> &'a str {
    let found = case[field].as_str();
    found.unwrap_or_else(|| panic!("no text in field {field} of {case:#}"))
}

/// The bytes in a field.
pub fn bytes(case: &Value, field: &str) -> Vec<u8> {
    unhex(text(case, field))
}

/// Exactly `N` bytes in a field.
pub fn array<const N: usize>(case: &Value, field: &str) -> [u8; N] {
    unhex_array(text(case, field))
}

/// The list in a field.
pub fn list<'a>(case: &'a Value, field: &str) -> &'a Vec<Value> {
    let found = case[field].as_array();
    found.unwrap_or_else(|| panic!("no list in field {field} of {case:#}"))
}

fn number(case: &Value, field: &str) -> u64 {
    let found = case[field].as_u64();
    found.unwrap_or_else(|| panic!("no number in field {field} of {case:#}"))
}

fn principal(case: &Value, field: &str) -> Principal {
    Principal::from_slice(&bytes(case, field)).unwrap()
}

fn channel(case: &Value, field: &str) -> ChannelId {
    ChannelId::from_bytes(array(case, field))
}

fn part(case: &Value, field: &str) -> PartIdx {
    PartIdx::new(number(case, field).try_into().unwrap())
}

/// Params as the inputs they are made of.
pub fn params_to_json(params: &Params) -> Value {
    let participant = |Participant::Secp256k1(key): &Participant| hex(key.as_bytes());
    let participants = params.participants().iter().map(participant);
    let assets = params.assets().iter().map(asset_to_json);
    let app = match params.app() {
        App::None => Value::Null,
        App::Id(id) => hex(&id).into(),
    };
    let kind = match params.kind() {
        ChannelKind::Ledger => "ledger",
        ChannelKind::Sub => "sub",
        ChannelKind::Virtual => "virtual",
    };
    json!({
        "nonce": hex(params.nonce().as_bytes()),
        "participants": participants.map(|key| json!({ "secp256k1": key })).collect::<Vec<_>>(),
        "assets": assets.collect::<Vec<_>>(),
        "challenge_duration_secs": params.challenge_duration().secs(),
        "app": app,
        "adjudicator": hex(params.adjudicator().as_slice()),
        "kind": kind,
        "aux": hex(&params.aux()),
    })
}

/// Params from the inputs they are made of.
pub fn params_from_json(value: &Value) -> Params {
    let participant = |participant: &Value| {
        let key = PublicKey::from_bytes(array(participant, "secp256k1"));
        Participant::Secp256k1(key.unwrap())
    };
    let secs = number(value, "challenge_duration_secs").try_into().unwrap();
    let params = Params::new(
        Nonce::from_bytes(array(value, "nonce")),
        list(value, "participants")
            .iter()
            .map(participant)
            .collect(),
        list(value, "assets").iter().map(asset_from_json).collect(),
        ChallengeDuration::from_secs(secs).unwrap(),
        principal(value, "adjudicator"),
    );
    let app = match &value["app"] {
        Value::Null => App::None,
        _ => App::Id(array(value, "app")),
    };
    let kind = match text(value, "kind") {
        "ledger" => ChannelKind::Ledger,
        "sub" => ChannelKind::Sub,
        "virtual" => ChannelKind::Virtual,
        other => panic!("no channel kind: {other}"),
    };
    let params = params.unwrap().with_app(app).with_kind(kind);
    params.with_aux(array(value, "aux"))
}

fn asset_to_json(AssetId::Icrc(ledger): &AssetId) -> Value {
    json!({ "icrc": hex(ledger.as_slice()) })
}

fn asset_from_json(value: &Value) -> AssetId {
    AssetId::Icrc(principal(value, "icrc"))
}

/// A state as the inputs it is made of.
pub fn state_to_json(state: &State) -> Value {
    let locked = state.allocation().locked.iter().map(|sub| {
        let kind = match sub.kind {
            LockedKind::Sub => "sub",
            LockedKind::Virtual => "virtual",
        };
        json!({
            "kind": kind,
            "id": hex(sub.id.as_bytes()),
            "amounts": amounts_to_json(&sub.amounts),
            "index_map": sub.index_map.iter().map(|part| part.number()).collect::<Vec<_>>(),
        })
    });
    json!({
        "channel": hex(state.channel().as_bytes()),
        "version": state.version().to_string(),
        "final": state.is_final(),
        "balances": balances_to_json(&state.allocation().balances),
        "funding": balances_to_json(state.funding()),
        "locked": locked.collect::<Vec<_>>(),
        "app_data": hex(state.app_data()),
    })
}

/// A state from the inputs it is made of.
pub fn state_from_json(value: &Value) -> State {
    let locked = list(value, "locked").iter().map(|sub| {
        let kind = match text(sub, "kind") {
            "sub" => LockedKind::Sub,
            "virtual" => LockedKind::Virtual,
            other => panic!("no kind of sub-allocation: {other}"),
        };
        let part = |index: &Value| PartIdx::new(index.as_u64().unwrap().try_into().unwrap());
        SubAllocation {
            kind,
            id: channel(sub, "id"),
            amounts: amounts_from_json(&sub["amounts"]),
            index_map: list(sub, "index_map").iter().map(part).collect(),
        }
    });
    let allocation = Allocation {
        balances: balances_from_json(&value["balances"]),
        locked: locked.collect(),
    };
    State::from_parts(
        channel(value, "channel"),
        Version::new(text(value, "version").parse().unwrap()),
        allocation,
        balances_from_json(&value["funding"]),
        bytes(value, "app_data"),
        value["final"].as_bool().unwrap(),
    )
    .unwrap()
}

fn balances_to_json(balances: &Balances) -> Value {
    balances.rows().map(amounts_to_json).collect()
}

fn balances_from_json(rows: &Value) -> Balances {
    let rows: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(amounts_from_json)
        .collect();
    Balances::new(rows[0].len(), rows.concat()).unwrap()
}

fn amounts_to_json(amounts: &[Amount]) -> Value {
    amounts.iter().map(Amount::to_string).collect()
}

fn amounts_from_json(amounts: &Value) -> Vec<Amount> {
    let amount = |amount: &Value| Amount::new(amount.as_str().unwrap().parse().unwrap());
    amounts.as_array().unwrap().iter().map(amount).collect()
}

/// A withdrawal authorisation as the inputs it is made of.
pub fn withdrawal_to_json(auth: &WithdrawalAuth) -> Value {
    json!({
        "channel": hex(auth.channel.as_bytes()),
        "asset": asset_to_json(&auth.asset),
        "part": auth.part.number(),
        "receiver": account_to_json(&auth.receiver),
    })
}

/// A withdrawal authorisation from the inputs it is made of.
pub fn withdrawal_from_json(value: &Value) -> WithdrawalAuth {
    WithdrawalAuth {
        channel: channel(value, "channel"),
        asset: asset_from_json(&value["asset"]),
        part: part(value, "part"),
        receiver: account_from_json(&value["receiver"]),
    }
}

/// A refund claim as the inputs it is made of.
pub fn refund_to_json(claim: &RefundClaim) -> Value {
    json!({ "channel": hex(claim.channel.as_bytes()), "part": claim.part.number() })
}

/// A refund claim from the inputs it is made of.
pub fn refund_from_json(value: &Value) -> RefundClaim {
    RefundClaim {
        channel: channel(value, "channel"),
        part: part(value, "part"),
    }
}

/// An account as owner and subaccount.
pub fn account_to_json(account: &Account) -> Value {
    json!({ "owner": hex(account.owner.as_slice()), "subaccount": hex(&account.subaccount) })
}

/// An account from owner and subaccount.
pub fn account_from_json(value: &Value) -> Account {
    Account {
        owner: principal(value, "owner"),
        subaccount: array(value, "subaccount"),
    }
}

/// The account that an adjudicator keeps money in, from what it is made of: the funds of a channel
/// if `part` is null, else the deposit account of that participant.
pub fn kept_account_from_json(value: &Value) -> Account {
    let (owner, id) = (principal(value, "adjudicator"), channel(value, "channel"));
    match &value["part"] {
        Value::Null => Account::of_funds(owner, id),
        _ => Account::of_deposit_for(owner, id, part(value, "part")),
    }
}

/// A decoding error: its name, its numbers, and its text.
pub fn decode_error_to_json(error: &DecodeError) -> Value {
    let form = match error {
        DecodeError::UnexpectedEnd { offset } => {
            json!({ "name": "UnexpectedEnd", "offset": offset })
        }
        DecodeError::TrailingBytes { count } => json!({ "name": "TrailingBytes", "count": count }),
        DecodeError::UnknownTag { of, tag } => {
            json!({ "name": "UnknownTag", "of": of, "tag": tag })
        }
        DecodeError::OutOfBounds {
            of,
            length,
            min,
            max,
        } => json!({ "name": "OutOfBounds", "of": of, "length": length, "min": min, "max": max }),
        DecodeError::Params(error) => params_error_to_json(error),
        DecodeError::State(error) => state_error_to_json(error),
        other => panic!("give {other:?} a form, a case and a line in README.md"),
    };
    with_text(form, error)
}

/// Why params are refused.
pub fn params_error_to_json(error: &ParamsError) -> Value {
    let form = match error {
        ParamsError::ParticipantCount { count } => {
            json!({ "name": "Params.ParticipantCount", "count": count })
        }
        ParamsError::DuplicateParticipant { index } => {
            json!({ "name": "Params.DuplicateParticipant", "index": index.number() })
        }
        ParamsError::InvalidKey { index } => {
            json!({ "name": "Params.InvalidKey", "index": index.number() })
        }
        ParamsError::AssetCount { count } => json!({ "name": "Params.AssetCount", "count": count }),
        ParamsError::DuplicateAsset { index } => {
            json!({ "name": "Params.DuplicateAsset", "index": index.number() })
        }
        other => panic!("give {other:?} a form, a case and a line in README.md"),
    };
    with_text(form, error)
}

fn state_error_to_json(error: &StateError) -> Value {
    match error {
        StateError::Balances(BalancesError::SumOverflow { asset }) => {
            json!({ "name": "State.SumOverflow", "asset": asset.number() })
        }
        StateError::NotConserved { asset } => {
            json!({ "name": "State.NotConserved", "asset": asset.number() })
        }
        StateError::LockedShape { position } => {
            json!({ "name": "State.LockedShape", "position": position })
        }
        StateError::DuplicateLocked { position } => {
            json!({ "name": "State.DuplicateLocked", "position": position })
        }
        other => panic!("no bytes should cause {other:?}: decoding bounds it before"),
    }
}

/// Why signatures do not make a signed state.
pub fn signed_state_error_to_json(error: &SignedStateError) -> Value {
    let form = match error {
        SignedStateError::WrongChannel { expected, found } => json!({
            "name": "SignedState.WrongChannel",
            "expected": hex(expected.as_bytes()),
            "found": hex(found.as_bytes()),
        }),
        SignedStateError::WrongShape => json!({ "name": "SignedState.WrongShape" }),
        SignedStateError::SignatureCount { expected, found } => json!({
            "name": "SignedState.SignatureCount",
            "expected": expected,
            "found": found,
        }),
        SignedStateError::WrongSignature { part } => {
            json!({ "name": "SignedState.WrongSignature", "part": part.number() })
        }
    };
    with_text(form, error)
}

fn with_text(mut form: Value, error: &impl ToString) -> Value {
    form["text"] = error.to_string().into();
    form
}
