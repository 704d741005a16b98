//! Cycles that came, were accepted, refunded or burnt, and the balance.

use super::{Sys, Trap, wide};

impl Sys<'_> {
    pub(super) fn msg_cycles_available128(&mut self, dst: u32) -> Result<(), Trap> {
        let available = self.available();
        self.write_u128(dst, available)
    }

    pub(super) fn msg_cycles_available(&mut self) -> Result<u64, Trap> {
        narrow("msg_cycles_available", self.available())
    }

    pub(super) fn msg_cycles_refunded128(&mut self, dst: u32) -> Result<(), Trap> {
        self.write_u128(dst, self.host.input.cycles_refunded)
    }

    pub(super) fn msg_cycles_refunded(&mut self) -> Result<u64, Trap> {
        narrow("msg_cycles_refunded", self.host.input.cycles_refunded)
    }

    pub(super) fn msg_cycles_accept128(
        &mut self,
        high: u64,
        low: u64,
        dst: u32,
    ) -> Result<(), Trap> {
        let accepted = self.accept(wide(high, low));
        self.write_u128(dst, accepted)
    }

    pub(super) fn msg_cycles_accept(&mut self, max_amount: u64) -> Result<u64, Trap> {
        let accepted = self.accept(max_amount.into());
        narrow("msg_cycles_accept", accepted)
    }

    pub(super) fn cycles_burn128(&mut self, high: u64, low: u64, dst: u32) -> Result<(), Trap> {
        let burnt = wide(high, low).min(self.host.effects.balance);
        self.host.effects.balance -= burnt;
        self.write_u128(dst, burnt)
    }

    pub(super) fn canister_cycle_balance128(&mut self, dst: u32) -> Result<(), Trap> {
        self.write_u128(dst, self.host.effects.balance)
    }

    pub(super) fn canister_cycle_balance(&mut self) -> Result<u64, Trap> {
        narrow("canister_cycle_balance", self.host.effects.balance)
    }

    /// All of the balance: nothing here is frozen or reserved.
    pub(super) fn canister_liquid_cycle_balance128(&mut self, dst: u32) -> Result<(), Trap> {
        self.canister_cycle_balance128(dst)
    }

    /// What came with the call and was not accepted yet. The answer takes it back to the caller.
    fn available(&self) -> u128 {
        match self.host.is_answered() {
            true => 0,
            false => self.host.effects.cycles_available,
        }
    }

    fn accept(&mut self, max_amount: u128) -> u128 {
        let available = self.available();
        let effects = &mut self.host.effects;
        let room = u128::MAX - effects.balance;
        let accepted = max_amount.min(available).min(room);
        effects.cycles_available -= accepted;
        effects.balance += accepted;
        accepted
    }
}

/// The old functions are 64 bits wide and trap where that does not do.
fn narrow(function: &str, amount: u128) -> Result<u64, Trap> {
    u64::try_from(amount).map_err(|_| {
        Trap::Contract(format!(
            "{function}: {amount} cycles do not fit into 64 bits"
        ))
    })
}
