//! A canister's module in memory: run a message, then keep or take back what it did.
//!
//! ```text
//!            run                  commit
//! settled --------> in progress ----------> settled (with the changes)
//!    ^                |      |
//!    |    rollback    |      | detach
//!    +----------------+      +-----> settled, and the changes in hand; attach puts them back
//! ```
//!
//! Beside the engine's heap lies a shadow of it, as of the last commit. Commit and rollback compare
//! the two page by page and copy what differs, so they cost one comparison of the heap. The engine
//! and its store live on from message to message; only a rollback of a message in which the heap
//! grew makes a new store, because a heap cannot shrink.
//!
//! As on the Internet Computer, changes to tables and dropped segments are not kept apart from a
//! message: they are no part of a canister's state.

use crate::ic0::{self, Context, Effects, Host, Input, Trap};
use crate::module::{self, Module};
use crate::stable_memory::{StableChanges, StableMemory, WASM_PAGE};
use std::sync::Arc;
use wasmi::{Func, Global, Memory, Nullable, Ref, Store, StoreLimitsBuilder, Table, Val};

/// The unit in which changes of the heap are found and copied, in bytes.
const PAGE: usize = 4_096;

/// The most entries a table may have.
const MAX_TABLE: usize = 1_000_000;

/// Where an execution begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entry<'a> {
    /// An exported function.
    Export(&'a str),
    /// A function of table 0, with its argument.
    Closure(ic0::Closure),
}

/// How an execution went. Nothing is kept or taken back yet.
pub(crate) struct Finished {
    pub(crate) result: Result<(), Trap>,
    pub(crate) instructions: u64,
    /// Of the argument, or of the reply to a call.
    pub(crate) argument_bytes: usize,
    pub(crate) effects: Effects,
}

/// What a message changed, taken out of the instance.
pub(crate) struct Changes {
    heap_len: usize,
    heap: Vec<(usize, Box<[u8]>)>,
    globals: Vec<Val>,
    stable: StableChanges,
}

/// A module with its memories.
pub(crate) struct Instance {
    module: Arc<Module>,
    max_heap_bytes: usize,
    live: Live,
    /// The heap as of the last commit.
    shadow: Vec<u8>,
    /// The mutable globals as of the last commit.
    shadow_globals: Vec<Val>,
}

/// What the engine holds.
struct Live {
    store: Store<Host>,
    instance: wasmi::Instance,
    memory: Option<Memory>,
    table: Option<Table>,
    globals: Vec<Global>,
}

impl Instance {
    /// Instantiates `module` over `stable`. The start function has not run yet.
    ///
    /// # Errors
    ///
    /// A sentence about what does not fit, and the stable memory back.
    pub(crate) fn new(
        module: Arc<Module>,
        stable: StableMemory,
        max_heap_bytes: usize,
    ) -> Result<Self, (String, StableMemory)> {
        let host = Host {
            stable,
            ..Host::default()
        };
        let live = Live::new(&module, host, max_heap_bytes)
            .map_err(|refused| (refused.0, refused.1.stable))?;
        let shadow = live.heap().to_vec();
        let shadow_globals = live.globals();
        Ok(Self {
            module,
            max_heap_bytes,
            live,
            shadow,
            shadow_globals,
        })
    }

    pub(crate) fn module(&self) -> &Arc<Module> {
        &self.module
    }

    pub(crate) fn stable(&self) -> &StableMemory {
        &self.live.store.data().stable
    }

    /// Takes the stable memory out, for the next module over it.
    pub(crate) fn take_stable(&mut self) -> StableMemory {
        std::mem::take(&mut self.live.store.data_mut().stable)
    }

    /// Puts the stable memory back after a failed upgrade.
    pub(crate) fn put_stable(&mut self, stable: StableMemory) {
        self.live.store.data_mut().stable = stable;
    }

    /// The heap's size in bytes.
    pub(crate) fn heap_len(&self) -> usize {
        self.live.heap().len()
    }

    /// Runs the start function of a module that has one.
    pub(crate) fn start(&mut self, mut input: Input) -> Finished {
        input.context = Context::Start;
        self.run(Entry::Export(module::START), input)
    }

    /// Runs one message up to its end or trap. Follow it with [`Self::commit`],
    /// [`Self::rollback`] or [`Self::detach`].
    pub(crate) fn run(&mut self, entry: Entry<'_>, input: Input) -> Finished {
        let limit = input.instruction_limit;
        let argument_bytes = input.arg.len();
        let heap_before = self.live.heap().len();
        let host = self.live.store.data_mut();
        host.stable.begin();
        host.heap_before = heap_before;
        host.effects = Effects::of(&input);
        host.input = input;
        let result = match self.live.store.set_fuel(limit) {
            Ok(()) => self.live.call(entry),
            Err(error) => Err(error),
        };
        let result = result.map_err(|error| Trap::from_engine(&error, limit));
        let left = match &result {
            Err(Trap::InstructionLimit(_)) => 0,
            _ => self.live.store.get_fuel().unwrap_or(0),
        };
        let grown = (self.live.heap().len() - heap_before) as u64;
        let host = self.live.store.data_mut();
        host.drop_half_built_call();
        Finished {
            result,
            instructions: limit.saturating_sub(left).saturating_sub(grown),
            argument_bytes,
            effects: std::mem::take(&mut host.effects),
        }
    }

    /// Keeps what was done since the last commit.
    pub(crate) fn commit(&mut self) {
        let heap = self.live.heap();
        let (old, new) = heap.split_at(self.shadow.len());
        for (now, then) in old.chunks(PAGE).zip(self.shadow.chunks_mut(PAGE)) {
            if now != then {
                then.copy_from_slice(now);
            }
        }
        self.shadow.extend_from_slice(new);
        self.shadow_globals = self.live.globals();
        self.live.store.data_mut().stable.commit();
    }

    /// Takes back what was done since the last commit.
    pub(crate) fn rollback(&mut self) {
        self.live.store.data_mut().stable.rollback();
        self.restore();
    }

    /// Rolls back, and hands out what was taken back.
    pub(crate) fn detach(&mut self) -> Changes {
        let heap = self.live.heap();
        let mut changed = Vec::new();
        for (number, now) in heap.chunks(PAGE).enumerate() {
            let start = number * PAGE;
            if self.shadow.get(start..start + now.len()) != Some(now) {
                changed.push((start, now.into()));
            }
        }
        let changes = Changes {
            heap_len: heap.len(),
            heap: changed,
            globals: self.live.globals(),
            stable: self.live.store.data_mut().stable.detach(),
        };
        self.restore();
        changes
    }

    /// Does again what a message did before its changes were detached.
    pub(crate) fn attach(&mut self, changes: &Changes) {
        self.live.store.data_mut().stable.attach(&changes.stable);
        self.live.grow_to(changes.heap_len);
        let heap = self.live.heap_mut();
        for (start, page) in &changes.heap {
            if let Some(target) = heap.get_mut(*start..start + page.len()) {
                target.copy_from_slice(page);
            }
        }
        self.live.set_globals(&changes.globals);
    }

    fn restore(&mut self) {
        if self.live.heap().len() > self.shadow.len() {
            self.renew();
        }
        let shadow_len = self.shadow.len();
        let heap = self.live.heap_mut();
        for (now, then) in heap.chunks_mut(PAGE).zip(self.shadow.chunks(PAGE)) {
            if now != then {
                now.copy_from_slice(then);
            }
        }
        if let Some(beyond) = heap.get_mut(shadow_len..) {
            beyond.fill(0);
        }
        self.live.set_globals(&self.shadow_globals);
    }

    /// Makes a new store with a heap of the committed size. Should there be no memory for that, the
    /// heap stays large and its new part is zeroed.
    fn renew(&mut self) {
        let host = std::mem::take(self.live.store.data_mut());
        let host = match Live::new(&self.module, host, self.max_heap_bytes) {
            Ok(mut live) => {
                live.grow_to(self.shadow.len());
                if live.heap().len() == self.shadow.len() {
                    self.live = live;
                    return;
                }
                std::mem::take(live.store.data_mut())
            }
            Err(refused) => refused.1,
        };
        let memory = self.live.memory;
        *self.live.store.data_mut() = Host { memory, ..host };
    }
}

impl Live {
    fn new(
        module: &Module,
        host: Host,
        max_heap_bytes: usize,
    ) -> Result<Self, Box<(String, Host)>> {
        let runtime = &module.runtime;
        let mut store = Store::new(&runtime.engine, host);
        let host = store.data_mut();
        host.memory = None;
        host.limits = StoreLimitsBuilder::new()
            .memory_size(max_heap_bytes)
            .table_elements(MAX_TABLE)
            .build();
        store.limiter(|host| &mut host.limits);
        // Data segments are copied now; that is no canister's work.
        let instance = store.set_fuel(u64::MAX).and_then(|()| {
            runtime
                .linker
                .instantiate_and_start(&mut store, &module.compiled)
        });
        let instance = match instance {
            Ok(instance) => instance,
            Err(error) => return Err(Box::new((error.to_string(), store.into_data()))),
        };
        let memory = instance.get_memory(&store, module::MEMORY);
        let table = instance.get_table(&store, module::TABLE);
        let globals = (0..module.globals)
            .filter_map(|index| instance.get_global(&store, &module::global_export(index)))
            .collect();
        store.data_mut().memory = memory;
        Ok(Self {
            store,
            instance,
            memory,
            table,
            globals,
        })
    }

    fn call(&mut self, entry: Entry<'_>) -> Result<(), wasmi::Error> {
        match entry {
            Entry::Export(name) => self
                .instance
                .get_typed_func::<(), ()>(&self.store, name)?
                .call(&mut self.store, ()),
            Entry::Closure(closure) => {
                let function = self.closure(closure.function).ok_or_else(|| {
                    wasmi::Error::host(Trap::Wasm(format!(
                        "the callback {} is no function of the table",
                        closure.function
                    )))
                })?;
                let function = function.typed::<u32, ()>(&self.store).map_err(|_| {
                    wasmi::Error::host(Trap::Wasm(format!(
                        "the callback {} does not take one address and return nothing",
                        closure.function
                    )))
                })?;
                function.call(&mut self.store, closure.environment)
            }
        }
    }

    fn closure(&self, index: u32) -> Option<Func> {
        match self.table?.get(&self.store, index.into())? {
            Ref::Func(Nullable::Val(function)) => Some(function),
            _ => None,
        }
    }

    fn heap(&self) -> &[u8] {
        match self.memory {
            Some(memory) => memory.data(&self.store),
            None => &[],
        }
    }

    fn heap_mut(&mut self) -> &mut [u8] {
        match self.memory {
            Some(memory) => memory.data_mut(&mut self.store),
            None => &mut [],
        }
    }

    /// Makes the heap at least as long; a length it had before is always granted.
    fn grow_to(&mut self, len: usize) {
        let missing = len.saturating_sub(self.heap().len()) as u64 / WASM_PAGE;
        if let (Some(memory), true) = (self.memory, missing > 0) {
            // Checked by every user of the heap: they look at its length.
            let _ = memory.grow(&mut self.store, missing);
        }
    }

    fn globals(&self) -> Vec<Val> {
        self.globals
            .iter()
            .map(|global| global.get(&self.store))
            .collect()
    }

    fn set_globals(&mut self, values: &[Val]) {
        for (global, value) in self.globals.iter().zip(values) {
            global
                .set(&mut self.store, value.clone())
                .expect("only mutable globals are exported, and a value keeps its type");
        }
    }
}
