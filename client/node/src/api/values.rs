//! The protocol's values, assembled from perun-node's messages and taken apart into them.
//!
//! What is signed is the canonical encoding of `perun-protocol`, not these messages. So whatever they
//! leave out ([`pb::Params::canonical`], [`pb::State::funding`]) has to be told, or to follow from the
//! rest; and whatever they tell twice has to agree.

mod telling;

use perun_protocol::encoding::Canonical as _;
use perun_protocol::signature::{Libsecp256k1, Signature};
use perun_protocol::{
    Allocation, Amount, App, AssetId, Balances, ChallengeDuration, ChannelId, ChannelKind, Nonce,
    Params, Participant, Principal, PublicKey, SignedState, State, UnverifiedSignedState, Version,
};

pub(super) use self::telling::{concluded, registered, sighting};
use super::pb;
use crate::Error;

/// Params, as told by them and, if they do not tell all, by a state.
pub(super) fn params(
    told: &pb::Params,
    state: Option<&pb::State>,
    adjudicator: Principal,
) -> Result<Params, Error> {
    let params = match told.canonical.is_empty() {
        false => {
            let bytes = &told.canonical;
            let decoded =
                (bytes.len() <= Params::MAX_ENCODED_LENGTH).then(|| Params::decode(bytes));
            let params = decoded.and_then(Result::ok);
            let params = params.ok_or_else(|| wrong("params.canonical", bytes, "no params"))?;
            check_agreement(told, &params)?;
            params
        }
        true => assemble(told, state, adjudicator)?,
    };
    if params.adjudicator() != adjudicator {
        let requirement = "another adjudicator settles this channel";
        return Err(Error::invalid(
            "params",
            hex::encode(params.adjudicator().as_slice()),
            requirement,
        ));
    }
    if told.id != params.id().as_bytes() {
        let requirement = format!("it is {} by the other fields", params.id());
        return Err(wrong("params.id", &told.id, &requirement));
    }
    Ok(params)
}

fn assemble(
    told: &pb::Params,
    state: Option<&pb::State>,
    adjudicator: Principal,
) -> Result<Params, Error> {
    let allocation = state.and_then(|state| state.allocation.as_ref());
    let allocation = allocation.ok_or_else(|| {
        let requirement = "without it, a state has to tell the assets";
        wrong("params.canonical", &[], requirement)
    })?;
    let participants: Result<_, _> = told.parts.iter().map(|part| participant(part)).collect();
    let duration = u32::try_from(told.challenge_duration).ok();
    let duration = duration.and_then(ChallengeDuration::from_secs);
    let duration = duration.ok_or_else(|| {
        let requirement = "a number of seconds that is a challenge duration is expected";
        Error::invalid(
            "params.challenge_duration",
            told.challenge_duration.to_string(),
            requirement,
        )
    })?;
    let nonce = array(&told.nonce).ok_or_else(|| wrong("params.nonce", &told.nonce, "32 bytes"))?;
    let params = Params::new(
        Nonce::from_bytes(nonce),
        participants?,
        assets(&allocation.assets)?,
        duration,
        adjudicator,
    );
    let params = params.map_err(|error| Error::invalid("params", "", error.to_string()))?;
    Ok(params.with_app(app(&told.app)?).with_kind(kind(told)?))
}

/// What is told beside the canonical encoding must be the same, unless it is left out.
fn check_agreement(told: &pb::Params, params: &Params) -> Result<(), Error> {
    let duration = told.challenge_duration;
    let parts: Vec<_> = params.participants().iter().map(key_bytes).collect();
    let of_app = match params.app() {
        App::None => Vec::new(),
        App::Id(id) => id.to_vec(),
    };
    let agreements = [
        (
            "challenge_duration",
            duration == 0 || duration == u64::from(params.challenge_duration().secs()),
        ),
        ("parts", told.parts.is_empty() || told.parts == parts),
        (
            "nonce",
            told.nonce.is_empty() || told.nonce == params.nonce().as_bytes(),
        ),
        ("app", told.app.is_empty() || told.app == of_app),
        ("kind", kind(told).is_ok_and(|kind| kind == params.kind())),
    ];
    match agreements.iter().find(|(_, agrees)| !agrees) {
        None => Ok(()),
        Some((name, _)) => Err(Error::invalid(
            "params",
            *name,
            "params.canonical says something else",
        )),
    }
}

/// The state, of a channel with these params.
pub(super) fn state(told: &pb::State, params: &Params) -> Result<State, Error> {
    if told.id != params.id().as_bytes() {
        return Err(wrong(
            "state.id",
            &told.id,
            "the id of the params is expected",
        ));
    }
    let allocation = told.allocation.as_ref();
    let allocation =
        allocation.ok_or_else(|| Error::invalid("state.allocation", "", "it is missing"))?;
    if !allocation.locked.is_empty() {
        let requirement = "sub-channels are not supported";
        return Err(Error::invalid("state.allocation.locked", "", requirement));
    }
    if assets(&allocation.assets)? != params.assets() {
        let requirement = "the assets of the params are expected";
        return Err(Error::invalid("state.allocation.assets", "", requirement));
    }
    if app(&told.app)? != params.app() && !told.app.is_empty() {
        return Err(wrong(
            "state.app",
            &told.app,
            "the app of the params is expected",
        ));
    }
    let parts = params.participants().len();
    let held = balances(
        "state.allocation.balances",
        allocation.balances.as_ref(),
        parts,
    )?;
    let funding = match &told.funding {
        Some(funding) => balances("state.funding", Some(funding), parts)?,
        None if told.version == 0 => held.clone(),
        None => {
            let requirement = "of a later state than version 0 it has to be told";
            return Err(Error::invalid("state.funding", "", requirement));
        }
    };
    let allocation = Allocation {
        balances: held,
        locked: Vec::new(),
    };
    let version = Version::new(told.version);
    let data = told.data.clone();
    let state = State::from_parts(
        params.id(),
        version,
        allocation,
        funding,
        data,
        told.is_final,
    );
    state.map_err(|error| Error::invalid("state", told.version.to_string(), error.to_string()))
}

/// A state that every participant has signed.
pub(super) fn signed_state(
    told: &pb::State,
    signatures: &[Vec<u8>],
    params: &Params,
) -> Result<SignedState, Error> {
    let state = state(told, params)?;
    let signature = |bytes: &Vec<u8>| {
        let signature = array(bytes).map(Signature::from_bytes);
        signature.ok_or_else(|| wrong("sigs", bytes, "64 bytes each are expected"))
    };
    let signatures: Result<_, _> = signatures.iter().map(signature).collect();
    let unverified = UnverifiedSignedState {
        state,
        signatures: signatures?,
    };
    let verified = unverified.verify_for::<Libsecp256k1>(params.id(), params);
    verified.map_err(|error| Error::invalid("sigs", "", error.to_string()))
}

/// Amounts of all assets.
pub(super) fn balances(
    name: &'static str,
    told: Option<&pb::Balances>,
    parts: usize,
) -> Result<Balances, Error> {
    let told = told.ok_or_else(|| Error::invalid(name, "", "they are missing"))?;
    let mut amounts = Vec::new();
    for row in &told.balances {
        if row.balance.len() != parts {
            let requirement = "an amount for each participant is expected";
            return Err(Error::invalid(
                name,
                row.balance.len().to_string(),
                requirement,
            ));
        }
        for bytes in &row.balance {
            let requirement = "at most 16 bytes without leading zeros are expected";
            amounts.push(amount(bytes).ok_or_else(|| wrong(name, bytes, requirement))?);
        }
    }
    let balances = Balances::new(parts, amounts);
    balances.map_err(|error| Error::invalid(name, "", error.to_string()))
}

/// A channel's id.
pub(super) fn channel_id(bytes: &[u8]) -> Result<ChannelId, Error> {
    let id = array(bytes).map(ChannelId::from_bytes);
    id.ok_or_else(|| wrong("chID", bytes, "32 bytes are expected"))
}

/// The ledger with this canister id.
pub(super) fn ledger(name: &'static str, bytes: &[u8]) -> Result<candid::Principal, Error> {
    let id = candid::Principal::try_from_slice(bytes);
    id.map_err(|_| wrong(name, bytes, "the bytes of a canister id are expected"))
}

fn kind(told: &pb::Params) -> Result<ChannelKind, Error> {
    match (told.ledger_channel, told.virtual_channel) {
        (true, false) => Ok(ChannelKind::Ledger),
        _ => {
            let requirement = "only ledger channels are supported";
            Err(Error::invalid(
                "params.ledger_channel",
                told.ledger_channel.to_string(),
                requirement,
            ))
        }
    }
}

fn assets(told: &[Vec<u8>]) -> Result<Vec<AssetId>, Error> {
    let asset = |bytes: &Vec<u8>| match Principal::from_slice(bytes) {
        Ok(ledger) => Ok(AssetId::Icrc(ledger)),
        Err(_) => Err(wrong(
            "state.allocation.assets",
            bytes,
            "canister ids of ledgers, as bytes",
        )),
    };
    told.iter().map(asset).collect()
}

fn participant(bytes: &[u8]) -> Result<Participant, Error> {
    let key = array(bytes).and_then(PublicKey::from_bytes);
    let key = key.filter(PublicKey::is_on_curve);
    let key = key.ok_or_else(|| {
        wrong(
            "params.parts",
            bytes,
            "compressed secp256k1 keys, 33 bytes each",
        )
    })?;
    Ok(Participant::Secp256k1(key))
}

fn key_bytes(participant: &Participant) -> Vec<u8> {
    let Participant::Secp256k1(key) = participant;
    key.as_bytes().to_vec()
}

fn app(bytes: &[u8]) -> Result<App, Error> {
    match (bytes, array(bytes)) {
        ([], _) => Ok(App::None),
        (_, Some(id)) => Ok(App::Id(id)),
        (_, None) => Err(wrong(
            "app",
            bytes,
            "nothing, or the 32 bytes of an app's id",
        )),
    }
}

fn amount(bytes: &[u8]) -> Option<Amount> {
    if bytes.len() > 16 || bytes.first() == Some(&0) {
        return None;
    }
    let units = bytes
        .iter()
        .fold(0_u128, |units, byte| units << 8 | u128::from(*byte));
    Some(Amount::new(units))
}

fn array<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// A wrong value of bytes, of which only the first are shown.
fn wrong(name: &'static str, bytes: &[u8], requirement: &str) -> Error {
    const SHOWN: usize = 40;
    let mut value = hex::encode(&bytes[..bytes.len().min(SHOWN)]);
    if bytes.len() > SHOWN {
        value.push('…');
    }
    Error::invalid(name, value, requirement)
}

#[cfg(test)]
mod tests;
