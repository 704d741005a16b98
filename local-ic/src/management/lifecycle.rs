//! Creating, funding, starting, stopping and deleting canisters.

use super::settings::{self, check_settings};
use super::{Answer, Call, check_controller, decode, encode, nothing, remember};
use crate::canister::{Status, StopRequest};
use crate::reject::{ErrorCode, Reject};
use crate::replica::Replica;
use candid::{Nat, Principal};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterSettings, ChangeDetails, CreateCanisterArgs, CreationRecord,
    ProvisionalCreateCanisterWithCyclesArgs, ProvisionalTopUpCanisterArgs,
};

/// Creates a canister out of the attached cycles.
pub(super) fn create(replica: &mut Replica, call: &mut Call) -> Answer {
    let args: CreateCanisterArgs = decode(&call.arg)?;
    let settings = args.settings.unwrap_or_default();
    check_settings(&settings)?;
    let id = replica.create_canister(call.caller);
    replica.canister_mut(id)?.cycles = std::mem::take(&mut call.cycles);
    created(replica, id, call.caller, settings)
}

/// Creates a canister out of cycles made for it, under a chosen id if that is wanted.
pub(super) fn create_provisionally(replica: &mut Replica, call: &mut Call) -> Answer {
    let args: ProvisionalCreateCanisterWithCyclesArgs = decode(&call.arg)?;
    let settings = args.settings.unwrap_or_default();
    check_settings(&settings)?;
    let amount = args.amount.map(|amount| cycles(&amount)).transpose()?;
    let id = match args.specified_id {
        Some(id) => {
            replica.create_canister_with_id(call.caller, id)?;
            id
        }
        None => replica.create_canister(call.caller),
    };
    if let Some(amount) = amount {
        replica.canister_mut(id)?.cycles = amount;
    }
    created(replica, id, call.caller, settings)
}

fn created(
    replica: &mut Replica,
    id: Principal,
    caller: Principal,
    settings: CanisterSettings,
) -> Answer {
    settings::apply(replica, id, settings)?;
    let canister = replica.canister_ref(id)?;
    let details = ChangeDetails::Creation(CreationRecord {
        controllers: canister.facts.controllers.clone(),
        environment_variables_hash: None,
    });
    remember(replica, id, caller, details);
    encode(CanisterIdRecord { canister_id: id })
}

pub(super) fn top_up(replica: &mut Replica, call: &mut Call) -> Answer {
    let args: ProvisionalTopUpCanisterArgs = decode(&call.arg)?;
    let amount = cycles(&args.amount)?;
    let canister = replica.canister_mut(args.canister_id)?;
    canister.cycles = canister.cycles.saturating_add(amount);
    nothing()
}

pub(super) fn deposit(replica: &mut Replica, call: &mut Call) -> Answer {
    let args: CanisterIdRecord = decode(&call.arg)?;
    let canister = replica.canister_mut(args.canister_id)?;
    canister.cycles = canister
        .cycles
        .saturating_add(std::mem::take(&mut call.cycles));
    nothing()
}

pub(super) fn start(replica: &mut Replica, call: &mut Call) -> Answer {
    let args: CanisterIdRecord = decode(&call.arg)?;
    check_controller(replica, args.canister_id, call.caller, &call.method)?;
    replica.restart(args.canister_id)?;
    nothing()
}

/// Begins to stop a canister. The answer comes when it has stopped.
pub(super) fn stop(replica: &mut Replica, call: Call) {
    let checked = decode::<CanisterIdRecord>(&call.arg).and_then(|args| {
        check_controller(replica, args.canister_id, call.caller, &call.method)?;
        Ok(args.canister_id)
    });
    match checked {
        Err(reject) => replica.respond(call.origin, Err(reject), call.cycles, &call.reply_faults),
        Ok(id) => {
            let request = StopRequest {
                origin: call.origin,
                cycles: call.cycles,
                since_ns: replica.time_ns(),
                reply_faults: call.reply_faults,
            };
            // The canister was found a moment ago.
            let _ = replica.begin_stop(id, Some(request));
        }
    }
}

pub(super) fn delete(replica: &mut Replica, call: &mut Call) -> Answer {
    let args: CanisterIdRecord = decode(&call.arg)?;
    let id = args.canister_id;
    check_controller(replica, id, call.caller, &call.method)?;
    if replica.canister_ref(id)?.status() != Status::Stopped {
        return Err(Reject::new(
            ErrorCode::CanisterNotStopped,
            format!("Canister {id} must be stopped before it is deleted"),
        ));
    }
    replica.remove_canister(id);
    nothing()
}

fn cycles(amount: &Nat) -> Result<u128, Reject> {
    u128::try_from(amount.0.clone()).map_err(|_| {
        Reject::new(
            ErrorCode::InvalidManagementPayload,
            format!("{amount} cycles do not fit into 128 bits"),
        )
    })
}
