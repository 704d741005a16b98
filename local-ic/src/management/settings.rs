//! Settings, status and history of canisters.

use super::{Answer, Call, check_controller, decode, encode, nothing, remember};
use crate::canister::{Canister, Status};
use crate::reject::{ErrorCode, Reject};
use crate::replica::Replica;
use crate::stable_memory::WASM_PAGE;
use candid::{Nat, Principal};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInfoArgs, CanisterInfoResult, CanisterMetadataArgs,
    CanisterMetadataResult, CanisterSettings, CanisterStatusResult, CanisterStatusType,
    ChangeDetails, ControllersChangeRecord, DefiniteCanisterSettings, EnvironmentVariable,
    MemoryMetrics, QueryStats, UpdateSettingsArgs,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The most controllers a canister may have.
const MAX_CONTROLLERS: usize = 10;

/// The most environment variables, and the most bytes in a name or value of one.
const MAX_VARIABLES: usize = 20;
const MAX_VARIABLE_BYTES: usize = 128;

/// Refuses settings beyond the bounds.
pub(super) fn check_settings(settings: &CanisterSettings) -> Result<(), Reject> {
    let refuse = |message: String| Err(Reject::new(ErrorCode::InvalidManagementPayload, message));
    if let Some(controllers) = &settings.controllers
        && controllers.len() > MAX_CONTROLLERS
    {
        return refuse(format!(
            "{} controllers, at most {MAX_CONTROLLERS} are allowed",
            controllers.len()
        ));
    }
    if let Some(variables) = &settings.environment_variables {
        if variables.len() > MAX_VARIABLES {
            return refuse(format!(
                "{} environment variables, at most {MAX_VARIABLES} are allowed",
                variables.len()
            ));
        }
        let names: BTreeSet<_> = variables.iter().map(|variable| &variable.name).collect();
        if names.len() < variables.len() {
            return refuse("an environment variable is there twice".into());
        }
        for EnvironmentVariable { name, value } in variables {
            if name.len() > MAX_VARIABLE_BYTES || value.len() > MAX_VARIABLE_BYTES {
                return refuse(format!(
                    "the environment variable `{name}` has more than {MAX_VARIABLE_BYTES} bytes"
                ));
            }
        }
    }
    Ok(())
}

/// Takes settings over that were checked; tells whether the controllers are new.
pub(super) fn apply(
    replica: &mut Replica,
    id: Principal,
    settings: CanisterSettings,
) -> Result<bool, Reject> {
    let canister = replica.canister_mut(id)?;
    let facts = Arc::make_mut(&mut canister.facts);
    let controllers_changed = settings.controllers.is_some();
    if let Some(controllers) = settings.controllers {
        facts.controllers = controllers;
        facts.controllers.sort_unstable();
        facts.controllers.dedup();
    }
    if let Some(variables) = settings.environment_variables {
        facts.environment = variables
            .into_iter()
            .map(|variable| (variable.name, variable.value))
            .collect();
    }
    let kept = &mut canister.settings;
    let numbers: [(&mut Nat, Option<Nat>); 7] = [
        (&mut kept.compute_allocation, settings.compute_allocation),
        (&mut kept.memory_allocation, settings.memory_allocation),
        (&mut kept.freezing_threshold, settings.freezing_threshold),
        (
            &mut kept.reserved_cycles_limit,
            settings.reserved_cycles_limit,
        ),
        (&mut kept.log_memory_limit, settings.log_memory_limit),
        (&mut kept.wasm_memory_limit, settings.wasm_memory_limit),
        (
            &mut kept.wasm_memory_threshold,
            settings.wasm_memory_threshold,
        ),
    ];
    for (kept, new) in numbers {
        if let Some(new) = new {
            *kept = new;
        }
    }
    if let Some(visibility) = settings.log_visibility {
        kept.log_visibility = visibility;
    }
    canister.version += 1;
    Ok(controllers_changed)
}

pub(super) fn update(replica: &mut Replica, call: &mut Call) -> Answer {
    let args: UpdateSettingsArgs = decode(&call.arg)?;
    let id = args.canister_id;
    check_controller(replica, id, call.caller, &call.method)?;
    check_settings(&args.settings)?;
    if apply(replica, id, args.settings)? {
        let controllers = replica.canister_ref(id)?.facts.controllers.clone();
        let details = ChangeDetails::ControllersChange(ControllersChangeRecord { controllers });
        remember(replica, id, call.caller, details);
    }
    nothing()
}

pub(super) fn status(replica: &mut Replica, call: &mut Call) -> Answer {
    let args: CanisterIdRecord = decode(&call.arg)?;
    check_controller(replica, args.canister_id, call.caller, &call.method)?;
    let canister = replica.canister_ref(args.canister_id)?;
    let memory = memory_metrics(canister);
    let total = [
        &memory.wasm_memory_size,
        &memory.stable_memory_size,
        &memory.wasm_binary_size,
        &memory.custom_sections_size,
        &memory.wasm_chunk_store_size,
    ]
    .into_iter()
    .fold(Nat::from(0u8), |sum, size| sum + size.clone());
    let zero = || Nat::from(0u8);
    encode(CanisterStatusResult {
        status: match canister.status() {
            Status::Running => CanisterStatusType::Running,
            Status::Stopping => CanisterStatusType::Stopping,
            Status::Stopped => CanisterStatusType::Stopped,
        },
        ready_for_migration: canister.status() == Status::Stopped,
        version: canister.version,
        settings: definite(canister),
        module_hash: canister.info().module_hash.map(|hash| hash.to_vec()),
        memory_size: total,
        memory_metrics: memory,
        cycles: canister.cycles.into(),
        reserved_cycles: zero(),
        idle_cycles_burned_per_day: zero(),
        query_stats: QueryStats {
            num_calls_total: zero(),
            num_instructions_total: zero(),
            request_payload_bytes_total: zero(),
            response_payload_bytes_total: zero(),
        },
    })
}

pub(super) fn info(replica: &mut Replica, call: &mut Call) -> Answer {
    let args: CanisterInfoArgs = decode(&call.arg)?;
    let canister = replica.canister_ref(args.canister_id)?;
    let wanted = args.num_requested_changes.unwrap_or(0);
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let skipped = canister.history.len().saturating_sub(wanted);
    encode(CanisterInfoResult {
        total_num_changes: canister.total_changes,
        recent_changes: canister.history.iter().skip(skipped).cloned().collect(),
        module_hash: canister.info().module_hash.map(|hash| hash.to_vec()),
        controllers: canister.facts.controllers.clone(),
    })
}

/// A published custom section; private ones only for controllers.
pub(super) fn metadata(replica: &mut Replica, call: &mut Call) -> Answer {
    let args: CanisterMetadataArgs = decode(&call.arg)?;
    let canister = replica.canister_ref(args.canister_id)?;
    let allowed = canister.is_controller(call.caller);
    let section = canister
        .info()
        .metadata
        .iter()
        .find(|section| section.name == args.name && (section.public || allowed));
    match section {
        Some(section) => encode(CanisterMetadataResult {
            value: section.content.clone(),
        }),
        None => Err(Reject::new(
            ErrorCode::InvalidManagementPayload,
            format!(
                "Canister {} has no metadata `{}` to show",
                args.canister_id, args.name
            ),
        )),
    }
}

fn definite(canister: &Canister) -> DefiniteCanisterSettings {
    let settings = canister.settings.clone();
    DefiniteCanisterSettings {
        controllers: canister.facts.controllers.clone(),
        compute_allocation: settings.compute_allocation,
        memory_allocation: settings.memory_allocation,
        freezing_threshold: settings.freezing_threshold,
        reserved_cycles_limit: settings.reserved_cycles_limit,
        log_visibility: settings.log_visibility,
        log_memory_limit: settings.log_memory_limit,
        wasm_memory_limit: settings.wasm_memory_limit,
        wasm_memory_threshold: settings.wasm_memory_threshold,
        environment_variables: canister
            .facts
            .environment
            .iter()
            .cloned()
            .map(|(name, value)| EnvironmentVariable { name, value })
            .collect(),
    }
}

fn memory_metrics(canister: &Canister) -> MemoryMetrics {
    let info = canister.info();
    let module = canister.instance.as_ref().map(|instance| instance.module());
    let sections: usize = info
        .metadata
        .iter()
        .map(|section| section.name.len() + section.content.len())
        .sum();
    let chunks: usize = canister.chunks.values().map(Vec::len).sum();
    let size = |bytes: usize| Nat::from(bytes as u64);
    MemoryMetrics {
        wasm_memory_size: size(info.heap_bytes),
        stable_memory_size: (info.stable_pages * WASM_PAGE).into(),
        global_memory_size: size(module.map_or(0, |module| module.globals * 8)),
        wasm_binary_size: size(module.map_or(0, |module| module.size)),
        custom_sections_size: size(sections),
        canister_history_size: size(0),
        wasm_chunk_store_size: size(chunks),
        snapshots_size: size(0),
        log_memory_store_size: size(0),
    }
}
