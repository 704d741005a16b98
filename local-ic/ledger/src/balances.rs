//! Who has how much.
//!
//! Invariant: the sum of all balances is the total supply. Hence no balance can overflow, and
//! whoever takes a fee without giving it to somebody has burnt it.

use ic_stable_structures::{Cell, StableCell};

use crate::{
    account::AccountIdentifier,
    amount::Amount,
    memory::{self, Layout, Memory, StableMap},
    refusal::Refusal,
};

/// The balances of all accounts; an account without an entry has nothing.
pub struct Balances {
    by_account: StableMap<AccountIdentifier, u128>,
    supply: StableCell<u128, Memory>,
}

impl Balances {
    /// Opens the balances in stable memory; an empty memory means nobody has anything.
    pub fn open(layout: &Layout) -> Self {
        Self {
            by_account: StableMap::init(layout.memory(memory::BALANCES)),
            supply: Cell::init(layout.memory(memory::SUPPLY), 0),
        }
    }

    /// What `account` has.
    pub fn balance(&self, account: &AccountIdentifier) -> Amount {
        Amount::new(self.by_account.get(account).unwrap_or(0))
    }

    /// The sum of all balances.
    pub fn total_supply(&self) -> Amount {
        Amount::new(*self.supply.get())
    }

    /// Whether `account` has `needed`, where `None` is more than anybody can have.
    ///
    /// # Errors
    /// [`Refusal::InsufficientFunds`] with what it has.
    pub fn check(
        &self,
        account: &AccountIdentifier,
        needed: Option<Amount>,
    ) -> Result<(), Refusal> {
        let balance = self.balance(account);
        match needed {
            Some(needed) if needed <= balance => Ok(()),
            _ => Err(Refusal::InsufficientFunds { balance }),
        }
    }

    /// Whether `amount` can be minted.
    ///
    /// # Errors
    /// [`Refusal::InsufficientFunds`] with what is left before the supply overflows.
    pub fn check_mint(&self, amount: Amount) -> Result<(), Refusal> {
        let balance = Amount::MAX
            .checked_sub(self.total_supply())
            .expect("no supply exceeds the largest amount");
        if amount > balance {
            return Err(Refusal::InsufficientFunds { balance });
        }
        Ok(())
    }

    /// Takes `amount` out of `account` and of the supply.
    ///
    /// # Panics
    /// If it was not [checked](Balances::check) before.
    pub fn take(&mut self, account: &AccountIdentifier, amount: Amount) {
        let rest = self
            .balance(account)
            .checked_sub(amount)
            .expect("funds are checked before they are taken");
        let supply = self
            .total_supply()
            .checked_sub(amount)
            .expect("the supply is the sum of the balances");
        if rest.is_zero() {
            self.by_account.remove(account);
        } else {
            self.by_account.insert(*account, rest.into());
        }
        self.supply.set(supply.into());
    }

    /// Adds `amount` to `account` and to the supply.
    ///
    /// # Panics
    /// If it was neither taken from another account nor [checked](Balances::check_mint) before.
    pub fn give(&mut self, account: &AccountIdentifier, amount: Amount) {
        let supply = self
            .total_supply()
            .checked_add(amount)
            .expect("mints are checked before they happen");
        let balance = self
            .balance(account)
            .checked_add(amount)
            .expect("no balance exceeds the supply");
        if !balance.is_zero() {
            self.by_account.insert(*account, balance.into());
        }
        self.supply.set(supply.into());
    }

    #[cfg(test)]
    pub(crate) fn sum(&self) -> Amount {
        self.by_account
            .values()
            .try_fold(Amount::ZERO, |sum, balance| {
                sum.checked_add(Amount::new(balance))
            })
            .expect("the supply fits, so the sum does")
    }

    #[cfg(test)]
    pub(crate) fn accounts(&self) -> u64 {
        self.by_account.len()
    }
}

#[cfg(test)]
mod tests {
    use candid::Principal;
    use icrc_ledger_types::icrc1::account::Account;

    use super::*;
    use crate::memory::StableMemory;

    fn someone(seed: u8) -> AccountIdentifier {
        AccountIdentifier::of(&Account::from(Principal::self_authenticating([seed; 32])))
    }

    #[test]
    fn what_is_taken_and_given_stays_in_sum() {
        let mut balances = Balances::open(&Layout::new(StableMemory::default()));
        balances.give(&someone(1), Amount::new(10));
        balances.take(&someone(1), Amount::new(7));
        balances.give(&someone(2), Amount::new(5));
        assert_eq!(balances.balance(&someone(1)), Amount::new(3));
        assert_eq!(balances.balance(&someone(2)), Amount::new(5));
        assert_eq!(balances.total_supply(), Amount::new(8));
        assert_eq!(balances.sum(), Amount::new(8));
    }

    #[test]
    fn an_empty_account_costs_no_memory() {
        let mut balances = Balances::open(&Layout::new(StableMemory::default()));
        balances.give(&someone(1), Amount::ZERO);
        assert_eq!(balances.accounts(), 0);
        balances.give(&someone(1), Amount::new(4));
        assert_eq!(balances.accounts(), 1);
        balances.take(&someone(1), Amount::new(4));
        assert_eq!(balances.accounts(), 0);
    }

    #[test]
    fn checks_say_what_is_there() {
        let mut balances = Balances::open(&Layout::new(StableMemory::default()));
        balances.give(&someone(1), Amount::new(10));
        assert_eq!(balances.check(&someone(1), Some(Amount::new(10))), Ok(()));
        let refusal = Err(Refusal::InsufficientFunds {
            balance: Amount::new(10),
        });
        assert_eq!(balances.check(&someone(1), Some(Amount::new(11))), refusal);
        assert_eq!(balances.check(&someone(1), None), refusal);
    }

    #[test]
    fn the_supply_cannot_overflow() {
        let mut balances = Balances::open(&Layout::new(StableMemory::default()));
        balances.give(&someone(1), Amount::new(10));
        let room = Amount::new(u128::MAX - 10);
        assert_eq!(balances.check_mint(room), Ok(()));
        assert_eq!(
            balances.check_mint(Amount::MAX),
            Err(Refusal::InsufficientFunds { balance: room })
        );
    }
}
