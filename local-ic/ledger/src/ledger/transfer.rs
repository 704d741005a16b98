//! Transfers, and what they are at the minting account: mints and burns.

use candid::Nat;
use icrc_ledger_types::icrc1::account::Account;

use super::{Ledger, check_fee, check_memo};
use crate::{
    account::AccountIdentifier,
    amount::Amount,
    block::{Memo, Operation, Transaction},
    refusal::Refusal,
};

/// What a caller asks for, by whichever interface.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// Who pays.
    pub from: Account,
    /// Who is paid.
    pub to: Account,
    /// Who asks, if not the payer: it spends an allowance.
    pub spender: Option<Account>,
    /// How much arrives.
    pub amount: Nat,
    /// The fee the caller expects; `None` means any.
    pub fee: Option<Nat>,
    /// The caller's note.
    pub memo: Option<Memo>,
    /// When the caller created the request, ns since 1970; `None` means it is never a duplicate.
    pub created_at_ns: Option<u64>,
}

impl Ledger {
    /// Executes `transfer` at `now_ns` and returns the index of its block.
    ///
    /// # Errors
    /// [`Refusal`]; then no balance and no allowance has changed.
    pub fn transfer(&mut self, transfer: Transfer, now_ns: u64) -> Result<u64, Refusal> {
        check_memo(transfer.memo.as_ref())?;
        let (operation, fee) = self.operation(&transfer)?;
        let transaction = Transaction {
            operation,
            memo: transfer.memo,
            created_at_ns: transfer.created_at_ns,
        };
        self.execute(transaction, fee, now_ns)
    }

    /// What the transfer is, and what it costs.
    fn operation(&self, transfer: &Transfer) -> Result<(Operation, Amount), Refusal> {
        let from = AccountIdentifier::of(&transfer.from);
        let to = AccountIdentifier::of(&transfer.to);
        let balance = self.balance(&from);
        // Nobody has so much.
        let amount = Amount::try_from(&transfer.amount)
            .map_err(|_| Refusal::InsufficientFunds { balance })?;

        let minting = self.minting();
        match (from == minting, to == minting) {
            (true, true) => Err(Refusal::MintingAccountToItself),
            (true, false) => {
                if transfer.spender.is_some() {
                    return Err(Refusal::MintingAccountCannotDelegate);
                }
                check_fee(transfer.fee.as_ref(), Amount::ZERO)?;
                let to = transfer.to;
                Ok((Operation::Mint { to, amount }, Amount::ZERO))
            }
            (false, true) => {
                check_fee(transfer.fee.as_ref(), Amount::ZERO)?;
                self.check_burn(amount, balance)?;
                let operation = Operation::Burn {
                    from: transfer.from,
                    spender: transfer.spender,
                    amount,
                };
                Ok((operation, Amount::ZERO))
            }
            (false, false) => {
                let expected_fee = self.settings.transfer_fee;
                check_fee(transfer.fee.as_ref(), expected_fee)?;
                let operation = Operation::Transfer {
                    from: transfer.from,
                    to: transfer.to,
                    spender: transfer.spender,
                    amount,
                    fee: transfer.fee.as_ref().map(|_| expected_fee),
                };
                Ok((operation, expected_fee))
            }
        }
    }

    /// A burn has no fee, so a least amount keeps it from being a cheap way to fill the log.
    /// Whoever has less may burn all of it.
    fn check_burn(&self, amount: Amount, balance: Amount) -> Result<(), Refusal> {
        let fee = self.settings.transfer_fee;
        if amount.is_zero() {
            return Err(Refusal::BadBurn {
                min_burn_amount: fee,
            });
        }
        let min_burn_amount = fee.min(balance);
        if amount < min_burn_amount {
            return Err(Refusal::BadBurn { min_burn_amount });
        }
        Ok(())
    }

    /// Whether `from` can pay `total` and `spender` may make it. `None` is more than anybody has.
    pub(super) fn check_payment(
        &self,
        from: &Account,
        spender: Option<&Account>,
        total: Option<Amount>,
        now_ns: u64,
    ) -> Result<(), Refusal> {
        let payer = AccountIdentifier::of(from);
        let spender = spender.map(AccountIdentifier::of);
        if let Some(spender) = spender.filter(|spender| *spender != payer) {
            let allowance = self.allowances.allowance(&payer, &spender, now_ns).amount;
            if total.is_none_or(|total| total > allowance) {
                return Err(Refusal::InsufficientAllowance { allowance });
            }
        }
        self.balances.check(&payer, total)
    }

    /// Takes `total` from `from`, and from the allowance of `spender`.
    pub(super) fn pay(
        &mut self,
        from: &Account,
        spender: Option<&Account>,
        total: Amount,
        now_ns: u64,
    ) {
        let payer = AccountIdentifier::of(from);
        self.directory.learn(from);
        if let Some(spender) = spender {
            self.directory.learn(spender);
            let spender = AccountIdentifier::of(spender);
            if spender != payer {
                self.allowances.spend(&payer, &spender, total, now_ns);
            }
        }
        self.balances.take(&payer, total);
    }
}
