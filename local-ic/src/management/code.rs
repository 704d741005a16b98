//! Installing and removing code.

use super::{Answer, Call, check_controller, decode, nothing, remember};
use crate::reject::{ErrorCode, Reject};
use crate::replica::{InstallMode, Replica};
use candid::{CandidType, Principal};
use ic_management_canister_types::{
    CanisterInstallMode, ChangeDetails, CodeDeploymentMode, CodeDeploymentRecord,
    InstallChunkedCodeArgs, UninstallCodeArgs, WasmMemoryPersistence,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// `InstallCodeArgs` with the module as a blob: element by element it would decode slowly.
#[derive(CandidType, Deserialize)]
struct InstallCode {
    mode: CanisterInstallMode,
    canister_id: Principal,
    #[serde(with = "serde_bytes")]
    wasm_module: Vec<u8>,
    #[serde(with = "serde_bytes")]
    arg: Vec<u8>,
}

pub(super) fn install(replica: &mut Replica, call: &mut Call) -> Answer {
    let args: InstallCode = decode(&call.arg)?;
    let module = Deployment {
        id: args.canister_id,
        mode: args.mode,
        wasm: args.wasm_module,
        arg: args.arg,
    };
    deploy(replica, call, module)
}

/// Installs a module put together from uploaded chunks.
pub(super) fn install_chunked(replica: &mut Replica, call: &mut Call) -> Answer {
    let args: InstallChunkedCodeArgs = decode(&call.arg)?;
    let id = args.target_canister;
    let store = args.store_canister.unwrap_or(id);
    check_controller(replica, id, call.caller, &call.method)?;
    if store != id && store != call.caller {
        check_controller(replica, store, call.caller, &call.method)?;
    }
    let chunks = &replica.canister_ref(store)?.chunks;
    let mut wasm = Vec::new();
    for chunk in &args.chunk_hashes_list {
        let bytes = <[u8; 32]>::try_from(chunk.hash.as_slice())
            .ok()
            .and_then(|hash| chunks.get(&hash))
            .ok_or_else(|| {
                let hash = hex(&chunk.hash);
                invalid(format!(
                    "Canister {store} has no chunk with the hash {hash}"
                ))
            })?;
        if wasm.len() + bytes.len() > MAX_CHUNKED {
            return Err(invalid(format!(
                "the chunks make more than {MAX_CHUNKED} bytes"
            )));
        }
        wasm.extend_from_slice(bytes);
    }
    let hash = Sha256::digest(&wasm);
    if hash[..] != args.wasm_module_hash {
        return Err(invalid(format!(
            "the chunks make a module with the hash {}, not {}",
            hex(&hash),
            hex(&args.wasm_module_hash)
        )));
    }
    let module = Deployment {
        id,
        mode: args.mode,
        wasm,
        arg: args.arg,
    };
    deploy(replica, call, module)
}

pub(super) fn uninstall(replica: &mut Replica, call: &mut Call) -> Answer {
    let args: UninstallCodeArgs = decode(&call.arg)?;
    check_controller(replica, args.canister_id, call.caller, &call.method)?;
    replica.uninstall_code(args.canister_id)?;
    let details = ChangeDetails::CodeUninstall;
    remember(replica, args.canister_id, call.caller, details);
    nothing()
}

/// The canister a chunked install is about.
pub(super) fn target_of_chunked(arg: &[u8]) -> Result<Principal, Reject> {
    decode::<InstallChunkedCodeArgs>(arg).map(|args| args.target_canister)
}

/// The most a module from chunks may have, in bytes, as on the Internet Computer.
const MAX_CHUNKED: usize = 100 * 1024 * 1024;

struct Deployment {
    id: Principal,
    mode: CanisterInstallMode,
    wasm: Vec<u8>,
    arg: Vec<u8>,
}

fn deploy(replica: &mut Replica, call: &Call, module: Deployment) -> Answer {
    let Deployment {
        id,
        mode,
        wasm,
        arg,
    } = module;
    check_controller(replica, id, call.caller, &call.method)?;
    let (mode, recorded) = match mode {
        CanisterInstallMode::Install => (InstallMode::Install, CodeDeploymentMode::Install),
        CanisterInstallMode::Reinstall => (InstallMode::Reinstall, CodeDeploymentMode::Reinstall),
        CanisterInstallMode::Upgrade(flags) => {
            let flags = flags.unwrap_or_default();
            if flags.wasm_memory_persistence == Some(WasmMemoryPersistence::Keep) {
                return Err(invalid(
                    "keeping the heap over an upgrade is not supported here",
                ));
            }
            let skip_pre_upgrade = flags.skip_pre_upgrade.unwrap_or(false);
            (
                InstallMode::Upgrade { skip_pre_upgrade },
                CodeDeploymentMode::Upgrade,
            )
        }
    };
    replica.install_code(mode, id, &wasm, arg, call.caller)?;
    let details = ChangeDetails::CodeDeployment(CodeDeploymentRecord {
        mode: recorded,
        module_hash: Sha256::digest(&wasm).to_vec(),
    });
    remember(replica, id, call.caller, details);
    nothing()
}

fn invalid(message: impl Into<String>) -> Reject {
    Reject::new(ErrorCode::InvalidManagementPayload, message)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
