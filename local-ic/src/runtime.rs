//! The engine, the system interface for it, and the modules compiled for it.
//!
//! They are shared by all replicas of a process: tests make hundreds of replicas out of the same
//! few modules, and compiling is most of what an install costs. What is shared never changes, so
//! replicas cannot notice each other.
//!
//! The engine keeps the code of every module it ever compiled. So when there are many modules, all
//! of it is left behind, and freed with the last canister that uses it.

use crate::cost;
use crate::ic0::{self, Host};
use crate::module::Module;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmi::{CompilationMode, Engine, Linker};

/// The deepest recursion in a canister. The Internet Computer bounds the stack in bytes instead.
const MAX_RECURSION: usize = 25_000;

/// The most the canister's operand stacks may take, in bytes.
const MAX_STACK: usize = 8 * 1024 * 1024;

/// How many modules share one engine.
const MAX_MODULES: usize = 64;

/// An engine and the functions its modules may import.
pub(crate) struct Runtime {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<Host>,
}

#[derive(Default)]
struct Shared {
    runtime: Option<Arc<Runtime>>,
    modules: HashMap<[u8; 32], Arc<Module>>,
}

static SHARED: Mutex<Option<Shared>> = Mutex::new(None);

/// Compiles a canister module, or finds it compiled.
///
/// # Errors
///
/// A sentence that names what is wrong with the module.
pub(crate) fn compile(bytes: &[u8]) -> Result<Arc<Module>, String> {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    let runtime = {
        let mut shared = lock();
        let shared = shared.get_or_insert_default();
        if let Some(module) = shared.modules.get(&hash) {
            return Ok(module.clone());
        }
        if shared.modules.len() >= MAX_MODULES {
            *shared = Shared::default();
        }
        shared
            .runtime
            .get_or_insert_with(|| Arc::new(Runtime::new()))
            .clone()
    };
    // Not under the lock: others need not wait, at worst they compile the same.
    let module = Arc::new(Module::compile(runtime.clone(), hash, bytes)?);
    if let Some(shared) = lock().as_mut()
        && shared
            .runtime
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, &runtime))
    {
        shared.modules.insert(hash, module.clone());
    }
    Ok(module)
}

fn lock() -> MutexGuard<'static, Option<Shared>> {
    // Nothing is ever half-changed in there, so a panic elsewhere does no harm.
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runtime {
    fn new() -> Self {
        let mut config = wasmi::Config::default();
        config
            .consume_fuel(true)
            .operator_cost(cost::operators())
            .fuel_cost(cost::DYNAMIC)
            // Validation of everything at once keeps installs deterministic; most functions of a
            // canister are never called, so they are translated only when they are.
            .compilation_mode(CompilationMode::LazyTranslation)
            .wasm_multi_memory(false)
            .set_max_recursion_depth(MAX_RECURSION)
            .set_max_stack_height(MAX_STACK);
        let engine = Engine::new(&config);
        let mut linker = Linker::new(&engine);
        ic0::link(&mut linker).expect("the table names every import once");
        Self { engine, linker }
    }
}
