//! Code: install, reinstall, upgrade, uninstall.
//!
//! An install either takes place as a whole or changes nothing. In an upgrade one transaction of
//! the stable memory spans both modules:
//!
//! ```text
//! old: pre_upgrade --stable memory--> new: start, post_upgrade --> commit
//!        | trap                             | trap
//!        v                                  v
//!      rollback <------stable memory--------+
//! ```

use super::Replica;
use crate::ic0::{Context, Effects};
use crate::instance::{Entry, Finished, Instance};
use crate::module::{Hook, Module};
use crate::reject::{ErrorCode, Reject};
use crate::runtime;
use crate::stable_memory::StableMemory;
use candid::Principal;
use std::sync::Arc;

/// What to do with a canister's code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InstallMode {
    /// Into an empty canister.
    Install,
    /// In place of what is there; heap and stable memory are emptied.
    Reinstall,
    /// In place of what is there; stable memory is kept.
    Upgrade {
        /// Do not run the old module's `canister_pre_upgrade`.
        skip_pre_upgrade: bool,
    },
}

impl Replica {
    /// Installs a module into an empty canister and runs its `canister_init` with `arg`.
    ///
    /// # Errors
    ///
    /// When there is no such canister, it is not empty, the module is not valid (an unknown import
    /// is named), or its start function or `canister_init` traps. Nothing has changed then.
    pub fn install(&mut self, id: Principal, wasm: &[u8], arg: Vec<u8>) -> Result<(), Reject> {
        let caller = self.first_controller(id);
        self.install_code(InstallMode::Install, id, wasm, arg, caller)
    }

    /// Replaces a canister's module and empties its memories.
    ///
    /// # Errors
    ///
    /// As [`Self::install`], except that the canister may hold a module.
    pub fn reinstall(&mut self, id: Principal, wasm: &[u8], arg: Vec<u8>) -> Result<(), Reject> {
        let caller = self.first_controller(id);
        self.install_code(InstallMode::Reinstall, id, wasm, arg, caller)
    }

    /// Replaces a canister's module and keeps its stable memory: `canister_pre_upgrade` of the
    /// old one, then `canister_post_upgrade` of the new one with `arg`.
    ///
    /// Calls that are open stay open: their callbacks run in the new module, at the same table
    /// indices.
    ///
    /// # Errors
    ///
    /// When there is no such canister, it is empty, the module is not valid, or a hook traps.
    /// Nothing has changed then.
    pub fn upgrade(&mut self, id: Principal, wasm: &[u8], arg: Vec<u8>) -> Result<(), Reject> {
        let caller = self.first_controller(id);
        let mode = InstallMode::Upgrade {
            skip_pre_upgrade: false,
        };
        self.install_code(mode, id, wasm, arg, caller)
    }

    /// Installs a module over a given stable memory, as if it had just been upgraded to: runs
    /// `canister_post_upgrade` with `arg`. What the canister held before is dropped.
    ///
    /// # Errors
    ///
    /// When there is no such canister, the module is not valid, or its `canister_post_upgrade`
    /// traps. Nothing has changed then.
    pub fn install_with_stable_memory(
        &mut self,
        id: Principal,
        wasm: &[u8],
        arg: Vec<u8>,
        image: &[u8],
    ) -> Result<(), Reject> {
        let caller = self.first_controller(id);
        let setup = Setup {
            module: self.compile(id, wasm)?,
            stable: StableMemory::from_image(image),
            hook: Hook::PostUpgrade,
            arg,
            caller,
            instructions_used: 0,
            balance: self.canister_ref(id)?.cycles,
        };
        self.initialize_afresh(id, setup)
    }

    /// Installs code as the management canister does it, for `caller`.
    pub(crate) fn install_code(
        &mut self,
        mode: InstallMode,
        id: Principal,
        wasm: &[u8],
        arg: Vec<u8>,
        caller: Principal,
    ) -> Result<(), Reject> {
        let empty = self.canister_ref(id)?.instance.is_none();
        match mode {
            InstallMode::Install if !empty => {
                return Err(Reject::new(
                    ErrorCode::CanisterNonEmpty,
                    format!("Canister {id} cannot be installed because it is not empty"),
                ));
            }
            InstallMode::Upgrade { .. } if empty => {
                return Err(Reject::new(
                    ErrorCode::CanisterWasmModuleNotFound,
                    format!("Canister {id} cannot be upgraded because it contains no Wasm module"),
                ));
            }
            _ => {}
        }
        let module = self.compile(id, wasm)?;
        match mode {
            InstallMode::Upgrade { skip_pre_upgrade } => {
                self.upgrade_code(id, module, arg, caller, skip_pre_upgrade)
            }
            _ => {
                let setup = Setup {
                    module,
                    stable: StableMemory::default(),
                    hook: Hook::Init,
                    arg,
                    caller,
                    instructions_used: 0,
                    balance: self.canister_ref(id)?.cycles,
                };
                self.initialize_afresh(id, setup)
            }
        }
    }

    /// Removes a canister's code and memories; its open calls are rejected.
    pub(crate) fn uninstall_code(&mut self, id: Principal) -> Result<(), Reject> {
        let canister = self.canister_mut(id)?;
        canister.instance = None;
        canister.certified_data.clear();
        canister.timer_ns = 0;
        canister.chunks.clear();
        canister.version += 1;
        self.state_version += 1;
        self.drop_calls(id, &format!("Canister {id} has been uninstalled"));
        Ok(())
    }

    fn first_controller(&self, id: Principal) -> Principal {
        self.canisters
            .get(&id)
            .and_then(|canister| canister.facts.controllers.first().copied())
            .unwrap_or(Principal::anonymous())
    }

    fn compile(&self, id: Principal, wasm: &[u8]) -> Result<Arc<Module>, Reject> {
        runtime::compile(wasm).map_err(|problem| invalid(id, &problem))
    }

    fn upgrade_code(
        &mut self,
        id: Principal,
        module: Arc<Module>,
        arg: Vec<u8>,
        caller: Principal,
        skip_pre_upgrade: bool,
    ) -> Result<(), Reject> {
        let (time_ns, limit) = (self.time_ns, self.config.install_instructions);
        let hook = Hook::PreUpgrade;
        let canister = self.canister_mut(id)?;
        let mut input = canister.input(Context::PreUpgrade, time_ns, limit);
        input.caller = caller;
        let mut setup = Setup {
            module,
            stable: StableMemory::default(),
            hook: Hook::PostUpgrade,
            arg,
            caller,
            instructions_used: 0,
            balance: canister.cycles,
        };
        let mut certified_data = None;
        if let Some(old) = canister.instance.as_mut()
            && old.module().has(hook)
            && !skip_pre_upgrade
        {
            let finished = old.run(Entry::Export(hook.export()), input);
            self.note(id, "pre_upgrade", &finished);
            if let Err(trap) = finished.result {
                self.undo_upgrade(id, None)?;
                return Err(trap.to_reject(id));
            }
            setup.instructions_used = finished.instructions;
            setup.balance = finished.effects.balance;
            certified_data = finished.effects.certified_data;
        }
        if let Some(old) = self.canister_mut(id)?.instance.as_mut() {
            setup.stable = old.take_stable();
        }
        setup.stable.begin();
        match self.initialize(id, setup) {
            Ok((instance, mut effects)) => {
                effects.certified_data = effects.certified_data.or(certified_data);
                self.replace(id, instance, effects)
            }
            Err(failed) => {
                let (reject, stable) = *failed;
                self.undo_upgrade(id, Some(stable))?;
                Err(reject)
            }
        }
    }

    fn undo_upgrade(&mut self, id: Principal, stable: Option<StableMemory>) -> Result<(), Reject> {
        if let Some(old) = self.canister_mut(id)?.instance.as_mut() {
            if let Some(stable) = stable {
                old.put_stable(stable);
            }
            old.rollback();
        }
        Ok(())
    }

    /// Installs with nothing kept of what was there.
    fn initialize_afresh(&mut self, id: Principal, setup: Setup) -> Result<(), Reject> {
        let (instance, mut effects) = self.initialize(id, setup).map_err(|failed| failed.0)?;
        effects.certified_data.get_or_insert_default();
        self.replace(id, instance, effects)
    }

    /// Makes an instance and runs its start function and its hook. On failure the stable memory
    /// comes back, with its transaction still open.
    fn initialize(
        &mut self,
        id: Principal,
        setup: Setup,
    ) -> Result<(Instance, Effects), Box<(Reject, StableMemory)>> {
        let limit = self.config.install_instructions;
        let Some(canister) = self.canisters.get(&id) else {
            return Err(Box::new((Reject::canister_not_found(id), setup.stable)));
        };
        let mut input = canister.input(Context::Init, self.time_ns, limit);
        input.caller = setup.caller;
        input.balance = setup.balance;
        // A new module starts with its timer off.
        input.timer_ns = 0;
        let (module, hook) = (setup.module, setup.hook);
        let mut instance = Instance::new(module.clone(), setup.stable, self.config.max_heap_bytes)
            .map_err(|(problem, stable)| Box::new((invalid(id, &problem), stable)))?;
        let mut left = limit.saturating_sub(setup.instructions_used);
        let mut effects = Effects::of(&input);
        if module.has_start {
            input.instruction_limit = left;
            let finished = instance.start(input.clone());
            self.note(id, "start", &finished);
            left = left.saturating_sub(finished.instructions);
            if let Err(trap) = finished.result {
                return Err(Box::new((trap.to_reject(id), instance.take_stable())));
            }
        }
        if module.has(hook) {
            input.instruction_limit = left;
            input.arg = setup.arg;
            let finished = instance.run(Entry::Export(hook.export()), input);
            let label = match hook {
                Hook::Init => "init",
                _ => "post_upgrade",
            };
            self.note(id, label, &finished);
            if let Err(trap) = finished.result {
                return Err(Box::new((trap.to_reject(id), instance.take_stable())));
            }
            effects = finished.effects;
        }
        Ok((instance, effects))
    }

    fn note(&mut self, id: Principal, label: &str, finished: &Finished) {
        if let Some(canister) = self.canisters.get_mut(&id) {
            canister.print(finished.effects.debug_output.clone());
        }
        self.record(id, label.into(), finished);
    }

    fn replace(
        &mut self,
        id: Principal,
        mut instance: Instance,
        effects: Effects,
    ) -> Result<(), Reject> {
        instance.commit();
        let canister = self.canister_mut(id)?;
        canister.instance = Some(instance);
        canister.timer_ns = 0;
        canister.apply(effects);
        canister.version += 1;
        self.state_version += 1;
        Ok(())
    }
}

/// What a new instance is made of.
struct Setup {
    module: Arc<Module>,
    stable: StableMemory,
    /// `canister_init` or `canister_post_upgrade`.
    hook: Hook,
    arg: Vec<u8>,
    caller: Principal,
    /// By `canister_pre_upgrade`; all hooks share one limit.
    instructions_used: u64,
    /// What the canister has after `canister_pre_upgrade`, in cycles.
    balance: u128,
}

fn invalid(id: Principal, problem: &str) -> Reject {
    Reject::new(
        ErrorCode::CanisterInvalidWasm,
        format!("Error from Canister {id}: Canister's Wasm module is not valid: {problem}"),
    )
}
