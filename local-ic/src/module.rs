//! Canister modules: unpacked, checked, rewritten and compiled.
//!
//! ```text
//! bytes --gunzip--> wasm --check imports and exports--> --rewrite--> --compile--> Module
//! ```
//!
//! A Rust canister exports neither its table nor its stack pointer, and a start section would run
//! before the memory can be watched. So the module is rewritten before it is compiled: memory 0,
//! table 0 and every mutable number-typed global are exported under names no canister uses, the
//! start section becomes an export, and the code is made countable (see `metering`).
//!
//! Invariant: a [`Module`] imports only functions of [`crate::ic0`], and each of its entry points
//! takes and returns nothing.

mod metering;
mod rewrite;

use crate::ic0;
use crate::runtime::Runtime;
use rewrite::rewrite;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use wasmi::ExternType;

pub(crate) use rewrite::{MEMORY, START, TABLE, global_export};

/// The most a module may have when unpacked, in bytes, as on the Internet Computer.
const MAX_MODULE_BYTES: u64 = 100 * 1024 * 1024;

/// What kind of method an export is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MethodKind {
    /// Runs in the replicated order and may change state.
    Update,
    /// Runs on a copy; its changes are dropped.
    Query,
    /// A query that may call other queries.
    CompositeQuery,
}

impl MethodKind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Update => "canister_update ",
            Self::Query => "canister_query ",
            Self::CompositeQuery => "canister_composite_query ",
        }
    }
}

/// A custom section of a module that canisters publish, e.g. `candid:service`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Metadata {
    /// The name without the `icp:public ` or `icp:private ` in front.
    pub name: String,
    /// Whether anyone may read it; else only controllers.
    pub public: bool,
    /// The section's bytes.
    pub content: Vec<u8>,
}

/// A hook that modules may export and that never runs here: no canister's heap is ever called low.
const ON_LOW_WASM_MEMORY: &str = "canister_on_low_wasm_memory";

/// The hooks a module may export beside methods.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Hook {
    Init,
    PreUpgrade,
    PostUpgrade,
    InspectMessage,
    Heartbeat,
    GlobalTimer,
}

impl Hook {
    const ALL: [Self; 6] = [
        Self::Init,
        Self::PreUpgrade,
        Self::PostUpgrade,
        Self::InspectMessage,
        Self::Heartbeat,
        Self::GlobalTimer,
    ];

    /// The export's name.
    pub(crate) fn export(self) -> &'static str {
        match self {
            Self::Init => "canister_init",
            Self::PreUpgrade => "canister_pre_upgrade",
            Self::PostUpgrade => "canister_post_upgrade",
            Self::InspectMessage => "canister_inspect_message",
            Self::Heartbeat => "canister_heartbeat",
            Self::GlobalTimer => "canister_global_timer",
        }
    }
}

/// A module ready to be instantiated.
pub(crate) struct Module {
    pub(crate) runtime: Arc<Runtime>,
    /// SHA-256 of the bytes as they were handed in, packed or not.
    pub(crate) hash: [u8; 32],
    /// Length of these bytes.
    pub(crate) size: usize,
    pub(crate) compiled: wasmi::Module,
    pub(crate) metadata: Vec<Metadata>,
    /// How many globals were exported by the rewrite.
    pub(crate) globals: usize,
    /// Whether there is a start function to run after instantiation.
    pub(crate) has_start: bool,
    methods: BTreeMap<String, MethodKind>,
    hooks: Vec<Hook>,
}

impl Module {
    /// The kind of the method with this name.
    pub(crate) fn method(&self, name: &str) -> Option<MethodKind> {
        self.methods.get(name).copied()
    }

    /// All methods by name.
    pub(crate) fn methods(&self) -> impl Iterator<Item = (&str, MethodKind)> {
        self.methods
            .iter()
            .map(|(name, kind)| (name.as_str(), *kind))
    }

    /// Whether the module exports `hook`.
    pub(crate) fn has(&self, hook: Hook) -> bool {
        self.hooks.contains(&hook)
    }
}

/// The export under which a method is found.
pub(crate) fn method_export(kind: MethodKind, name: &str) -> String {
    format!("{}{name}", kind.prefix())
}

impl Module {
    /// Unpacks, checks and compiles `bytes`, whose SHA-256 is `hash`.
    ///
    /// # Errors
    ///
    /// A sentence that names what is wrong with the module.
    pub(crate) fn compile(
        runtime: Arc<Runtime>,
        hash: [u8; 32],
        bytes: &[u8],
    ) -> Result<Self, String> {
        let unpacked;
        let wasm = if bytes.starts_with(&[0x1f, 0x8b]) {
            unpacked = gunzip(bytes)?;
            &unpacked
        } else {
            bytes
        };
        let parts = rewrite(wasm)?;
        let compiled = wasmi::Module::new(&runtime.engine, &parts.wasm)
            .map_err(|error| format!("validation failed: {error}"))?;
        check_imports(&compiled)?;
        let (methods, hooks) = entry_points(&compiled, &parts.exports)?;
        Ok(Self {
            runtime,
            hash,
            size: bytes.len(),
            compiled,
            metadata: parts.metadata,
            globals: parts.mutable_globals,
            has_start: parts.has_start,
            methods,
            hooks,
        })
    }
}

fn check_imports(compiled: &wasmi::Module) -> Result<(), String> {
    for import in compiled.imports() {
        let (module, name) = (import.module(), import.name());
        if module != "ic0" || !ic0::is_known(name) {
            return Err(format!("the import `{module}.{name}` does not exist here"));
        }
        if !matches!(import.ty(), ExternType::Func(_)) {
            return Err(format!("the import `ic0.{name}` is not a function"));
        }
    }
    Ok(())
}

type EntryPoints = (BTreeMap<String, MethodKind>, Vec<Hook>);

fn entry_points(compiled: &wasmi::Module, exports: &[String]) -> Result<EntryPoints, String> {
    let mut methods = BTreeMap::new();
    let mut hooks = Vec::new();
    for name in exports.iter().filter(|name| name.starts_with("canister_")) {
        match compiled.get_export(name) {
            Some(ExternType::Func(ty)) if ty.params().is_empty() && ty.results().is_empty() => {}
            _ => {
                return Err(format!(
                    "the export `{name}` must be a function without parameters and results"
                ));
            }
        }
        if let Some(hook) = Hook::ALL.into_iter().find(|hook| hook.export() == name) {
            hooks.push(hook);
        } else if let Some((kind, method)) = method_name(name) {
            if methods.insert(method.to_owned(), kind).is_some() {
                return Err(format!("the method `{method}` is exported twice"));
            }
        } else if name != ON_LOW_WASM_MEMORY {
            return Err(format!(
                "the export `{name}` has the reserved prefix `canister_` but no meaning"
            ));
        }
    }
    Ok((methods, hooks))
}

/// Splits an export at its first space only: method names may contain more of them.
fn method_name(export: &str) -> Option<(MethodKind, &str)> {
    [
        MethodKind::Update,
        MethodKind::Query,
        MethodKind::CompositeQuery,
    ]
    .into_iter()
    .find_map(|kind| export.strip_prefix(kind.prefix()).map(|name| (kind, name)))
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut wasm = Vec::new();
    flate2::read::GzDecoder::new(bytes)
        .take(MAX_MODULE_BYTES + 1)
        .read_to_end(&mut wasm)
        .map_err(|error| format!("cannot be unpacked: {error}"))?;
    if wasm.len() as u64 > MAX_MODULE_BYTES {
        return Err(format!(
            "larger than {MAX_MODULE_BYTES} bytes when unpacked"
        ));
    }
    Ok(wasm)
}
