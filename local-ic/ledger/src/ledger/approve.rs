//! Approvals: the owner lets somebody else spend.

use candid::Nat;
use icrc_ledger_types::icrc1::account::Account;

use super::{Ledger, check_fee, check_memo};
use crate::{
    account::AccountIdentifier,
    allowances::Allowance,
    amount::Amount,
    block::{Memo, Operation, Transaction},
    refusal::Refusal,
};

/// What an owner asks for.
#[derive(Clone, Debug)]
pub struct Approval {
    /// Whose money.
    pub from: Account,
    /// Who may spend it.
    pub spender: Account,
    /// How much from now on, fees included. It replaces the allowance that was.
    pub amount: Nat,
    /// What the allowance must be before; `None` means anything.
    pub expected_allowance: Option<Nat>,
    /// Until when, ns since 1970; `None` means for ever.
    pub expires_at_ns: Option<u64>,
    /// The fee the caller expects; `None` means any.
    pub fee: Option<Nat>,
    /// The caller's note.
    pub memo: Option<Memo>,
    /// When the caller created the request, ns since 1970; `None` means it is never a duplicate.
    pub created_at_ns: Option<u64>,
}

impl Ledger {
    /// Executes `approval` at `now_ns` and returns the index of its block.
    ///
    /// # Errors
    /// [`Refusal`]; then no balance and no allowance has changed.
    pub fn approve(&mut self, approval: Approval, now_ns: u64) -> Result<u64, Refusal> {
        if approval.from.owner == approval.spender.owner {
            return Err(Refusal::SelfApproval);
        }
        if approval.from == self.settings.minting_account {
            return Err(Refusal::MintingAccountCannotDelegate);
        }
        check_memo(approval.memo.as_ref())?;
        let expected_allowance = approval
            .expected_allowance
            .as_ref()
            .map(Amount::try_from)
            .transpose()
            .map_err(|_| Refusal::AllowanceChanged {
                current_allowance: self
                    .allowance(&approval.from, &approval.spender, now_ns)
                    .amount,
            })?;
        let expected_fee = self.settings.transfer_fee;
        check_fee(approval.fee.as_ref(), expected_fee)?;

        let operation = Operation::Approve {
            from: approval.from,
            spender: approval.spender,
            // More than anybody can have means everything.
            amount: Amount::try_from(&approval.amount).unwrap_or(Amount::MAX),
            expected_allowance,
            expires_at_ns: approval.expires_at_ns,
            fee: approval.fee.as_ref().map(|_| expected_fee),
        };
        let transaction = Transaction {
            operation,
            memo: approval.memo,
            created_at_ns: approval.created_at_ns,
        };
        self.execute(transaction, expected_fee, now_ns)
    }

    /// Whether the owner can pay the fee, and the approval still makes sense.
    pub(super) fn check_approval(
        &self,
        operation: &Operation,
        fee: Amount,
        now_ns: u64,
    ) -> Result<(), Refusal> {
        let Operation::Approve {
            from,
            spender,
            expected_allowance,
            expires_at_ns,
            ..
        } = operation
        else {
            return Ok(());
        };
        self.balances
            .check(&AccountIdentifier::of(from), Some(fee))?;
        if expires_at_ns.is_some_and(|expires_at_ns| expires_at_ns <= now_ns) {
            return Err(Refusal::Expired { now_ns });
        }
        let current_allowance = self.allowance(from, spender, now_ns).amount;
        match expected_allowance {
            Some(expected) if *expected != current_allowance => {
                Err(Refusal::AllowanceChanged { current_allowance })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn commit_approval(&mut self, operation: &Operation, fee: Amount) {
        let Operation::Approve {
            from,
            spender,
            amount,
            expires_at_ns,
            ..
        } = operation
        else {
            return;
        };
        let owner = AccountIdentifier::of(from);
        self.directory.learn(from);
        self.directory.learn(spender);
        self.balances.take(&owner, fee);
        self.allowances.set(
            &owner,
            &AccountIdentifier::of(spender),
            Allowance {
                amount: *amount,
                expires_at_ns: *expires_at_ns,
            },
        );
    }
}
