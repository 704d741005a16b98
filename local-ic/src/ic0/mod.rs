//! The system interface: every function a canister may import from `ic0`.
//!
//! One table says for each import its name, its parameters, in which contexts it may be called and
//! what it costs beside the bytes it moves. The functions themselves are methods of [`Sys`], by
//! subject: [`message`] (what came and the answer to it), [`calls`] (to other canisters),
//! [`cycles`], [`canister`] (about itself), [`stable`], and [`system`] (time, counters, prices).
//!
//! Addresses and sizes are 32 bits wide, those of the `stable64_*` functions 64. Names that only
//! modules of 2022 and 2023 import are at the end of the table.

mod calls;
mod canister;
mod context;
mod cycles;
mod host;
mod message;
mod stable;
mod system;
mod trap;

pub(crate) use context::Context;
pub(crate) use host::{Certificate, Closure, Effects, Facts, Host, Input, OutgoingCall};
pub(crate) use trap::Trap;

use context::{
    ALL, ANSWERED, ANSWERING, CALLED, CALLING, CERTIFIED_QUERY, CERTIFYING, Contexts, INSPECT,
    MESSAGES, PAYING, REJECT_CALLBACKS, REPLICATED, TIMER, WITH_ARG, WITH_CYCLES, WITH_REFUND,
};
use wasmi::{Caller, Error, Linker};

/// The fixed cost of most system calls, in instructions.
const OVERHEAD: u64 = 500;

macro_rules! imports {
    ($(
        $name:ident($($arg:ident: $ty:ty),*) $(-> $result:ty)?, $contexts:expr, $cost:expr;
    )*) => {
        /// Whether there is an import `ic0.name`.
        pub(crate) fn is_known(name: &str) -> bool {
            const NAMES: &[&str] = &[$(stringify!($name)),*];
            NAMES.contains(&name)
        }

        /// Makes all functions available to modules of the linker's engine.
        pub(crate) fn link(linker: &mut Linker<Host>) -> Result<(), Error> {
            $(
                linker.func_wrap(
                    "ic0",
                    stringify!($name),
                    |caller: Caller<'_, Host>, $($arg: $ty),*| -> Result<imports!(@ $($result)?), Error> {
                        const IMPORT: Import = Import {
                            name: stringify!($name),
                            contexts: $contexts,
                            cost: $cost,
                        };
                        invoke(caller, &IMPORT, |sys| sys.$name($($arg),*))
                    },
                )?;
            )*
            Ok(())
        }
    };
    (@) => { () };
    (@ $result:ty) => { $result };
}

imports! {
    // The message and the answer to it.
    msg_arg_data_size() -> u32, WITH_ARG, OVERHEAD;
    msg_arg_data_copy(dst: u32, offset: u32, size: u32), WITH_ARG, OVERHEAD;
    msg_caller_size() -> u32, MESSAGES, OVERHEAD;
    msg_caller_copy(dst: u32, offset: u32, size: u32), MESSAGES, OVERHEAD;
    msg_caller_info_data_size() -> u32, CALLED, OVERHEAD;
    msg_caller_info_data_copy(dst: u32, offset: u32, size: u32), CALLED, OVERHEAD;
    msg_caller_info_signer_size() -> u32, CALLED, OVERHEAD;
    msg_caller_info_signer_copy(dst: u32, offset: u32, size: u32), CALLED, OVERHEAD;
    msg_reject_code() -> u32, ANSWERED, OVERHEAD;
    msg_reject_msg_size() -> u32, REJECT_CALLBACKS, OVERHEAD;
    msg_reject_msg_copy(dst: u32, offset: u32, size: u32), REJECT_CALLBACKS, OVERHEAD;
    msg_deadline() -> u64, ANSWERING, OVERHEAD;
    msg_reply_data_append(src: u32, size: u32), ANSWERING, OVERHEAD;
    msg_reply(), ANSWERING, OVERHEAD;
    msg_reject(src: u32, size: u32), ANSWERING, OVERHEAD;
    msg_method_name_size() -> u32, INSPECT, OVERHEAD;
    msg_method_name_copy(dst: u32, offset: u32, size: u32), INSPECT, OVERHEAD;
    accept_message(), INSPECT, OVERHEAD;

    // Calls to other canisters.
    call_new(
        callee_src: u32, callee_size: u32, name_src: u32, name_size: u32,
        reply_fun: u32, reply_env: u32, reject_fun: u32, reject_env: u32
    ), CALLING, 1_500;
    call_on_cleanup(function: u32, environment: u32), CALLING, OVERHEAD;
    call_data_append(src: u32, size: u32), CALLING, OVERHEAD;
    call_with_best_effort_response(timeout_s: u32), CALLING, OVERHEAD;
    call_cycles_add128(high: u64, low: u64), PAYING, OVERHEAD;
    call_perform() -> u32, CALLING, 5_000;

    // Cycles.
    msg_cycles_available128(dst: u32), WITH_CYCLES, OVERHEAD;
    msg_cycles_refunded128(dst: u32), WITH_REFUND, OVERHEAD;
    msg_cycles_accept128(high: u64, low: u64, dst: u32), WITH_CYCLES, OVERHEAD;
    cycles_burn128(high: u64, low: u64, dst: u32), REPLICATED, OVERHEAD;
    canister_cycle_balance128(dst: u32), MESSAGES, OVERHEAD;
    canister_liquid_cycle_balance128(dst: u32), MESSAGES, OVERHEAD;

    // The canister itself.
    canister_self_size() -> u32, MESSAGES, OVERHEAD;
    canister_self_copy(dst: u32, offset: u32, size: u32), MESSAGES, OVERHEAD;
    canister_status() -> u32, MESSAGES, OVERHEAD;
    canister_version() -> u64, MESSAGES, OVERHEAD;
    subnet_self_size() -> u32, MESSAGES, OVERHEAD;
    subnet_self_copy(dst: u32, offset: u32, size: u32), MESSAGES, OVERHEAD;
    subnet_self_node_count() -> u32, MESSAGES, OVERHEAD;
    is_controller(src: u32, size: u32) -> u32, ALL, 1_000;
    in_replicated_execution() -> u32, ALL, OVERHEAD;
    certified_data_set(src: u32, size: u32), CERTIFYING, OVERHEAD;
    data_certificate_present() -> u32, MESSAGES, OVERHEAD;
    data_certificate_size() -> u32, CERTIFIED_QUERY, OVERHEAD;
    data_certificate_copy(dst: u32, offset: u32, size: u32), CERTIFIED_QUERY, OVERHEAD;
    root_key_size() -> u32, REPLICATED, OVERHEAD;
    root_key_copy(dst: u32, offset: u32, size: u32), REPLICATED, OVERHEAD;
    env_var_count() -> u32, MESSAGES, OVERHEAD;
    env_var_name_size(index: u32) -> u32, MESSAGES, OVERHEAD;
    env_var_name_copy(index: u32, dst: u32, offset: u32, size: u32), MESSAGES, OVERHEAD;
    env_var_name_exists(src: u32, size: u32) -> u32, MESSAGES, OVERHEAD;
    env_var_value_size(src: u32, size: u32) -> u32, MESSAGES, OVERHEAD;
    env_var_value_copy(
        name_src: u32, name_size: u32, dst: u32, offset: u32, size: u32
    ), MESSAGES, OVERHEAD;

    // Stable memory.
    stable64_size() -> u64, ALL, 20;
    stable64_grow(pages: u64) -> u64, ALL, 100;
    stable64_read(dst: u64, offset: u64, size: u64), ALL, 20;
    stable64_write(offset: u64, src: u64, size: u64), ALL, 20;

    // Time, counters, prices, words.
    time() -> u64, MESSAGES, OVERHEAD;
    global_timer_set(timestamp_ns: u64) -> u64, TIMER, OVERHEAD;
    performance_counter(counter: u32) -> u64, ALL, 200;
    cost_call(method_size: u64, payload_size: u64, dst: u32), ALL, OVERHEAD;
    cost_create_canister(dst: u32), ALL, OVERHEAD;
    cost_http_request(request_size: u64, max_response: u64, dst: u32), ALL, OVERHEAD;
    cost_http_request_v2(src: u32, size: u32, dst: u32), ALL, OVERHEAD;
    cost_sign_with_ecdsa(src: u32, size: u32, curve: u32, dst: u32) -> u32, ALL, OVERHEAD;
    cost_sign_with_schnorr(src: u32, size: u32, algorithm: u32, dst: u32) -> u32, ALL, OVERHEAD;
    cost_vetkd_derive_key(src: u32, size: u32, curve: u32, dst: u32) -> u32, ALL, OVERHEAD;
    debug_print(src: u32, size: u32), ALL, 100;
    trap(src: u32, size: u32), ALL, OVERHEAD;

    // Names of 2022 and 2023.
    stable_size() -> u32, ALL, 20;
    stable_grow(pages: u32) -> u32, ALL, 100;
    stable_read(dst: u32, offset: u32, size: u32), ALL, 20;
    stable_write(offset: u32, src: u32, size: u32), ALL, 20;
    call_cycles_add(amount: u64), PAYING, OVERHEAD;
    msg_cycles_available() -> u64, WITH_CYCLES, OVERHEAD;
    msg_cycles_refunded() -> u64, WITH_REFUND, OVERHEAD;
    msg_cycles_accept(max_amount: u64) -> u64, WITH_CYCLES, OVERHEAD;
    canister_cycle_balance() -> u64, MESSAGES, OVERHEAD;
}

struct Import {
    name: &'static str,
    contexts: Contexts,
    cost: u64,
}

/// One system call in progress: the canister's heap, and what the replica shares with it.
pub(crate) struct Sys<'a> {
    heap: &'a mut [u8],
    host: &'a mut Host,
    /// Instructions of this message up to here.
    instructions: u64,
    /// Bytes this call moved, one instruction each.
    moved: u64,
}

fn invoke<R>(
    mut caller: Caller<'_, Host>,
    import: &Import,
    body: impl FnOnce(&mut Sys<'_>) -> Result<R, Trap>,
) -> Result<R, Error> {
    let fuel = caller.get_fuel()?;
    let limit = caller.data().input.instruction_limit;
    let out_of_instructions = || Error::host(Trap::InstructionLimit(limit));
    // One more, because no basic block is entered (see `cost`).
    let left = fuel
        .checked_sub(import.cost + 1)
        .ok_or_else(out_of_instructions)?;
    let (result, moved) = {
        let (heap, host) = match caller.data().memory {
            Some(memory) => memory.data_and_store_mut(&mut caller),
            None => (Default::default(), caller.data_mut()),
        };
        if !import.contexts.contain(host.input.context) {
            return Err(Error::host(Trap::Contract(format!(
                "\"ic0_{}\" cannot be executed in {} mode",
                import.name,
                host.input.context.name()
            ))));
        }
        let grown = heap.len().saturating_sub(host.heap_before) as u64;
        let mut sys = Sys {
            heap,
            host,
            instructions: limit.saturating_sub(left).saturating_sub(grown),
            moved: 0,
        };
        let result = body(&mut sys).map_err(Error::host)?;
        (result, sys.moved)
    };
    let left = left.checked_sub(moved).ok_or_else(out_of_instructions)?;
    caller.set_fuel(left)?;
    Ok(result)
}

impl Sys<'_> {
    /// The canister's bytes `src..src + size`.
    fn read(&mut self, src: u64, size: u64) -> Result<&[u8], Trap> {
        self.moved += size;
        range(self.heap.len(), src, size)
            .map(|range| &self.heap[range])
            .ok_or_else(|| Trap::outside("the source"))
    }

    fn read_text(&mut self, function: &str, src: u32, size: u32) -> Result<String, Trap> {
        let bytes = self.read(src.into(), size.into())?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(Trap::Contract(format!(
                "{function}: no UTF-8 text: {error}"
            ))),
        }
    }

    /// Hands `size` bytes of `data` from `offset` on to the canister at `dst`.
    fn copy(
        &mut self,
        data: fn(&Host) -> Result<&[u8], Trap>,
        dst: u32,
        offset: u32,
        size: u32,
    ) -> Result<(), Trap> {
        let bytes = data(self.host)?;
        self.moved += copy_out(self.heap, bytes, dst, offset, size)?;
        Ok(())
    }

    fn write_u128(&mut self, dst: u32, value: u128) -> Result<(), Trap> {
        let bytes = value.to_le_bytes();
        self.moved += copy_out(self.heap, &bytes, dst, 0, bytes.len() as u32)?;
        Ok(())
    }
}

/// Copies out of `data` into the heap and tells how many bytes that were.
fn copy_out(heap: &mut [u8], data: &[u8], dst: u32, offset: u32, size: u32) -> Result<u64, Trap> {
    let source = range(data.len(), offset.into(), size.into())
        .ok_or_else(|| Trap::outside("the range of the data to copy"))?;
    let target = range(heap.len(), dst.into(), size.into())
        .ok_or_else(|| Trap::outside("the destination"))?;
    heap[target].copy_from_slice(&data[source]);
    Ok(size.into())
}

/// The range, unless it reaches beyond `len`.
fn range(len: usize, start: u64, size: u64) -> Option<std::ops::Range<usize>> {
    let end = start.checked_add(size)?;
    (end <= len as u64).then_some(start as usize..end as usize)
}

fn size_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

fn wide(high: u64, low: u64) -> u128 {
    (u128::from(high) << 64) | u128::from(low)
}
