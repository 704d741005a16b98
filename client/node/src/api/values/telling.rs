//! The protocol's values as perun-node's messages tell them.

use perun_client::watcher::Sighting;
use perun_protocol::dispute::Rank;
use perun_protocol::{
    Amount, App, AssetId, Balances, ChannelId, Params, SignedState, State, Timestamp, Version,
};

use crate::api::pb;
use crate::api::pb::adjudicator_event_base::{Timeout, TimeoutType};

/// A state as perun-node tells it.
pub(super) fn told_state(state: &State, params: &Params) -> pb::State {
    let assets = params.assets().iter();
    let assets = assets.map(|AssetId::Icrc(ledger)| ledger.as_slice().to_vec());
    pb::State {
        id: state.channel().as_bytes().to_vec(),
        version: state.version().number(),
        app: match params.app() {
            App::None => Vec::new(),
            App::Id(id) => id.to_vec(),
        },
        allocation: Some(pb::Allocation {
            assets: assets.collect(),
            balances: Some(told_balances(&state.allocation().balances)),
            locked: Vec::new(),
        }),
        data: state.app_data().to_vec(),
        is_final: state.is_final(),
        funding: Some(told_balances(state.funding())),
    }
}

/// Balances as perun-node tells them.
fn told_balances(balances: &Balances) -> pb::Balances {
    let bytes = |amount: &Amount| {
        let bytes = amount.units().to_be_bytes();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes[zeros..].to_vec()
    };
    let row = |row: &[Amount]| pb::Balance {
        balance: row.iter().map(bytes).collect(),
    };
    pb::Balances {
        balances: balances.rows().map(row).collect(),
    }
}

/// That a claim is registered.
pub(in crate::api) fn registered(
    channel: &ChannelId,
    rank: Rank,
    timeout: Timestamp,
    signed: Option<(&SignedState, &Params)>,
) -> pb::RegisteredEvent {
    let version = match rank {
        Rank::Refund => Version::INITIAL,
        Rank::State(version) => version,
    };
    let signatures = |signed: &SignedState| {
        let signatures = signed.signatures().iter();
        signatures
            .map(|signature| signature.as_bytes().to_vec())
            .collect()
    };
    pb::RegisteredEvent {
        adjudicator_event_base: Some(base(channel, version, Some(timeout))),
        state: signed.map(|(signed, params)| told_state(signed.state(), params)),
        sigs: signed
            .map(|(signed, _)| signatures(signed))
            .unwrap_or_default(),
    }
}

/// That a channel is concluded, by this version as far as known.
pub(in crate::api) fn concluded(channel: &ChannelId, version: Version) -> pb::ConcludedEvent {
    pb::ConcludedEvent {
        adjudicator_event_base: Some(base(channel, version, None)),
    }
}

/// What a watcher has seen.
pub(in crate::api) fn sighting(
    params: &Params,
    sighting: &Sighting,
) -> pb::start_watching_ledger_channel_resp::Response {
    use pb::start_watching_ledger_channel_resp::Response;
    let id = params.id();
    match sighting {
        Sighting::Registered {
            rank,
            signed,
            timeout,
        } => {
            let signed = signed.as_ref().map(|signed| (signed, params));
            Response::RegisteredEvent(registered(&id, *rank, *timeout, signed))
        }
        Sighting::Concluded { newest } => {
            Response::ConcludedEvent(concluded(&id, newest.version()))
        }
    }
}

fn base(
    channel: &ChannelId,
    version: Version,
    timeout: Option<Timestamp>,
) -> pb::AdjudicatorEventBase {
    let timeout = match timeout {
        Some(timeout) => Timeout {
            // Rounded up: not over before it is.
            sec: i64::try_from(timeout.nanos().div_ceil(1_000_000_000)).unwrap_or(i64::MAX),
            r#type: TimeoutType::Time.into(),
        },
        None => Timeout {
            sec: 0,
            r#type: TimeoutType::Elapsed.into(),
        },
    };
    pb::AdjudicatorEventBase {
        ch_id: channel.as_bytes().to_vec(),
        timeout: Some(timeout),
        version: version.number(),
    }
}
