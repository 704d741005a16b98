//! The management canister, `aaaaa-aa`.
//!
//! It is no canister but the system itself: its methods are executed in a step of their own like
//! any message, and all but `stop_canister` answer at once. Users and canisters may call it; a few
//! methods that need cycles or are pointless for users are for canisters only.
//!
//! Absent on purpose, and therefore rejected as unknown: threshold signatures, HTTPS outcalls,
//! Bitcoin, snapshots, logs, migration.

mod chunks;
mod code;
mod lifecycle;
mod settings;

use crate::call_context::Origin;
use crate::faults::ReplyFault;
use crate::reject::{ErrorCode, Reject};
use crate::replica::{Ingress, Replica};
use candid::{CandidType, DecoderConfig, Principal};
use ic_management_canister_types::{
    CanisterIdRecord, Change, ChangeDetails, ChangeOrigin, FromCanisterRecord, FromUserRecord,
};
use serde::Deserialize;

/// A call that has arrived.
pub(crate) struct Call {
    pub(crate) origin: Origin,
    pub(crate) caller: Principal,
    pub(crate) method: String,
    pub(crate) arg: Vec<u8>,
    /// Attached; what a method does not take goes back.
    pub(crate) cycles: u128,
    pub(crate) reply_faults: Vec<ReplyFault>,
}

type Answer = Result<Vec<u8>, Reject>;

/// Executes a call and answers it, unless it is one that is answered later.
pub(crate) fn execute(replica: &mut Replica, mut call: Call) {
    if call.method == "stop_canister" {
        lifecycle::stop(replica, call);
        return;
    }
    let answer = dispatch(replica, &mut call);
    replica.respond(call.origin, answer, call.cycles, &call.reply_faults);
}

/// Refuses calls by users that make no sense to execute.
///
/// # Errors
///
/// The reject of a call that does not get in.
pub(crate) fn inspect(replica: &Replica, ingress: &Ingress) -> Result<(), Reject> {
    match ingress.method_name.as_str() {
        "raw_rand" | "create_canister" | "deposit_cycles" => Err(Reject::new(
            ErrorCode::CanisterRejectedMessage,
            format!(
                "Method `{}` of the management canister can only be called by canisters",
                ingress.method_name
            ),
        )),
        "provisional_create_canister_with_cycles" | "provisional_top_up_canister" => Ok(()),
        "canister_info" | "canister_metadata" => Ok(()),
        "install_chunked_code" => {
            let target = code::target_of_chunked(&ingress.arg)?;
            check_controller(replica, target, ingress.sender, &ingress.method_name)
        }
        "install_code" | "uninstall_code" | "update_settings" | "start_canister"
        | "stop_canister" | "delete_canister" | "canister_status" | "upload_chunk"
        | "stored_chunks" | "clear_chunk_store" => {
            let target: CanisterIdRecord = decode(&ingress.arg)?;
            check_controller(
                replica,
                target.canister_id,
                ingress.sender,
                &ingress.method_name,
            )
        }
        method => Err(unknown(method)),
    }
}

fn dispatch(replica: &mut Replica, call: &mut Call) -> Answer {
    match call.method.as_str() {
        "create_canister" => lifecycle::create(replica, call),
        "provisional_create_canister_with_cycles" => lifecycle::create_provisionally(replica, call),
        "provisional_top_up_canister" => lifecycle::top_up(replica, call),
        "deposit_cycles" => lifecycle::deposit(replica, call),
        "start_canister" => lifecycle::start(replica, call),
        "delete_canister" => lifecycle::delete(replica, call),
        "raw_rand" => encode(serde_bytes::ByteBuf::from(replica.random_bytes())),
        "install_code" => code::install(replica, call),
        "install_chunked_code" => code::install_chunked(replica, call),
        "uninstall_code" => code::uninstall(replica, call),
        "upload_chunk" => chunks::upload(replica, call),
        "stored_chunks" => chunks::stored(replica, call),
        "clear_chunk_store" => chunks::clear(replica, call),
        "canister_status" => settings::status(replica, call),
        "canister_info" => settings::info(replica, call),
        "canister_metadata" => settings::metadata(replica, call),
        "update_settings" => settings::update(replica, call),
        method => Err(unknown(method)),
    }
}

fn unknown(method: &str) -> Reject {
    Reject::new(
        ErrorCode::UnknownManagementMessage,
        format!("Management canister has no method '{method}' here"),
    )
}

/// Decodes an argument within bounds: a stranger must not make this work for long.
fn decode<T: CandidType + for<'de> Deserialize<'de>>(arg: &[u8]) -> Result<T, Reject> {
    const QUOTA: usize = 200_000_000;
    const SKIPPING_QUOTA: usize = 10_000_000;
    let mut config = DecoderConfig::new();
    config
        .set_decoding_quota(QUOTA)
        .set_skipping_quota(SKIPPING_QUOTA)
        .set_full_error_message(false);
    candid::utils::decode_one_with_config(arg, &config).map_err(|error| {
        Reject::new(
            ErrorCode::InvalidManagementPayload,
            format!("Error decoding candid: {error}"),
        )
    })
}

fn encode<T: CandidType>(value: T) -> Answer {
    candid::encode_one(value).map_err(|error| {
        Reject::new(
            ErrorCode::InvalidManagementPayload,
            format!("Error encoding the answer: {error}"),
        )
    })
}

/// The answer of methods that have nothing to say.
fn nothing() -> Answer {
    Ok(candid::encode_args(()).unwrap_or_default())
}

fn check_controller(
    replica: &Replica,
    id: Principal,
    caller: Principal,
    method: &str,
) -> Result<(), Reject> {
    let canister = replica.canister_ref(id)?;
    // A canister may ask for its own status and keep its own chunks.
    let own = id == caller
        && matches!(
            method,
            "canister_status" | "upload_chunk" | "stored_chunks" | "clear_chunk_store"
        );
    if canister.is_controller(caller) || own {
        return Ok(());
    }
    Err(Reject::new(
        ErrorCode::CanisterInvalidController,
        format!("Only the controllers of canister {id} can call `{method}` on it, not {caller}"),
    ))
}

/// Writes a change of a canister into its history.
fn remember(replica: &mut Replica, id: Principal, caller: Principal, details: ChangeDetails) {
    let origin = match replica.canister_ref(caller) {
        Ok(canister) => ChangeOrigin::FromCanister(FromCanisterRecord {
            canister_id: caller,
            canister_version: Some(canister.version),
        }),
        Err(_) => ChangeOrigin::FromUser(FromUserRecord { user_id: caller }),
    };
    let timestamp_nanos = replica.time_ns();
    if let Ok(canister) = replica.canister_mut(id) {
        canister.remember(Change {
            timestamp_nanos,
            canister_version: canister.version,
            origin,
            details: Some(details),
        });
    }
}
