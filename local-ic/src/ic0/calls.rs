//! Building a call to another canister and queueing it.
//!
//! A call is built by `call_new` and the functions after it, and queued by `call_perform`. It
//! leaves only when the message ends well. A half-built call that is dropped gives its cycles back.

use super::{Closure, Host, OutgoingCall, Sys, Trap, wide};
use candid::Principal;

/// The longest a caller may wait for a best-effort answer, in seconds.
const MAX_TIMEOUT_S: u32 = 300;

/// The most an argument may have, in bytes: the limit within one subnet.
const MAX_ARG: usize = 10 * 1024 * 1024;

/// The most a method name may have, in bytes.
const MAX_METHOD_NAME: u32 = 20_000;

/// The most open calls from one canister to another.
const MAX_OPEN_CALLS: usize = 500;

/// The most bytes of arguments in the calls of one message. The Internet Computer bounds the memory
/// of all messages on a subnet instead.
const MAX_QUEUED_BYTES: usize = 512 * 1024 * 1024;

/// What a queued call counts beside its argument, in bytes.
const CALL_OVERHEAD: usize = 1024;

/// `call_perform`'s answer for a full queue: the reject code of a transient error.
const NOT_QUEUED: u32 = 2;

impl Host {
    fn building(&mut self, function: &str) -> Result<&mut OutgoingCall, Trap> {
        self.effects.building.as_mut().ok_or_else(|| {
            Trap::Contract(format!("{function}: there is no call under construction"))
        })
    }

    /// Drops a half-built call, if there is one; its cycles go back.
    pub(crate) fn drop_half_built_call(&mut self) {
        if let Some(call) = self.effects.building.take() {
            self.effects.balance = self.effects.balance.saturating_add(call.cycles);
        }
    }
}

impl Sys<'_> {
    #[expect(clippy::too_many_arguments, reason = "the interface has that many")]
    pub(super) fn call_new(
        &mut self,
        callee_src: u32,
        callee_size: u32,
        name_src: u32,
        name_size: u32,
        reply_fun: u32,
        reply_env: u32,
        reject_fun: u32,
        reject_env: u32,
    ) -> Result<(), Trap> {
        self.host.drop_half_built_call();
        if name_size > MAX_METHOD_NAME {
            return Err(Trap::Contract(format!(
                "call_new: method name of {name_size} bytes, at most {MAX_METHOD_NAME} are allowed"
            )));
        }
        let callee = Principal::try_from_slice(self.read(callee_src.into(), callee_size.into())?)
            .map_err(|error| {
            Trap::Contract(format!("call_new: the callee is no id: {error}"))
        })?;
        let method = self.read(name_src.into(), name_size.into())?;
        let method = String::from_utf8_lossy(method).into_owned();
        self.host.effects.building = Some(OutgoingCall {
            callee,
            method,
            arg: Vec::new(),
            cycles: 0,
            on_reply: Closure {
                function: reply_fun,
                environment: reply_env,
            },
            on_reject: Closure {
                function: reject_fun,
                environment: reject_env,
            },
            on_cleanup: None,
            timeout_s: None,
        });
        Ok(())
    }

    pub(super) fn call_on_cleanup(&mut self, function: u32, environment: u32) -> Result<(), Trap> {
        let call = self.host.building("call_on_cleanup")?;
        let closure = Closure {
            function,
            environment,
        };
        if call.on_cleanup.replace(closure).is_some() {
            return Err(Trap::contract("call_on_cleanup: already called"));
        }
        Ok(())
    }

    pub(super) fn call_data_append(&mut self, src: u32, size: u32) -> Result<(), Trap> {
        let total = self.host.building("call_data_append")?.arg.len() + size as usize;
        if total > MAX_ARG {
            return Err(Trap::Contract(format!(
                "call_data_append: application payload size ({total}) cannot be larger than {MAX_ARG}"
            )));
        }
        let data = self.read(src.into(), size.into())?.to_vec();
        let call = self.host.building("call_data_append")?;
        call.arg.extend_from_slice(&data);
        Ok(())
    }

    pub(super) fn call_with_best_effort_response(&mut self, timeout_s: u32) -> Result<(), Trap> {
        let call = self.host.building("call_with_best_effort_response")?;
        let timeout_s = timeout_s.min(MAX_TIMEOUT_S);
        if call.timeout_s.replace(timeout_s).is_some() {
            return Err(Trap::contract(
                "call_with_best_effort_response: already called",
            ));
        }
        Ok(())
    }

    pub(super) fn call_cycles_add128(&mut self, high: u64, low: u64) -> Result<(), Trap> {
        let amount = wide(high, low);
        let balance = self.host.effects.balance;
        let call = self.host.building("call_cycles_add")?;
        let Some(left) = balance.checked_sub(amount) else {
            return Err(Trap::Contract(format!(
                "call_cycles_add: insufficient cycles: {amount} wanted, {balance} held"
            )));
        };
        // No overflow: together they are at most the balance at the start and what was accepted.
        call.cycles += amount;
        self.host.effects.balance = left;
        Ok(())
    }

    pub(super) fn call_cycles_add(&mut self, amount: u64) -> Result<(), Trap> {
        self.call_cycles_add128(0, amount)
    }

    pub(super) fn call_perform(&mut self) -> Result<u32, Trap> {
        let call = self.host.building("call_perform")?;
        let (callee, bytes) = (call.callee, call.arg.len() + CALL_OVERHEAD);
        let effects = &mut self.host.effects;
        let open = effects.open_calls.get(&callee).copied().unwrap_or(0);
        if open >= MAX_OPEN_CALLS || effects.queued_bytes + bytes > MAX_QUEUED_BYTES {
            self.host.drop_half_built_call();
            return Ok(NOT_QUEUED);
        }
        effects.queued_bytes += bytes;
        effects.open_calls.insert(callee, open + 1);
        self.host
            .effects
            .calls
            .extend(self.host.effects.building.take());
        Ok(0)
    }
}
