//! A token ledger: as much of ICRC-1 and ICRC-2 as channels need.

mod refusal;

use std::convert::Infallible;
use std::fmt;

use candid::utils::ArgumentEncoder;
use candid::{CandidType, Nat, Principal};
use ic_agent::Agent;
use icrc_ledger_types::icrc1::transfer::{Memo, TransferArg, TransferError};
use icrc_ledger_types::icrc2::allowance::{Allowance as CandidAllowance, AllowanceArgs};
use icrc_ledger_types::icrc2::approve::{ApproveArgs, ApproveError};
use perun_canister_api::convert;
use perun_protocol::{Account, Amount, Timestamp};
use serde::Deserialize;
use serde_bytes::ByteBuf;

use crate::canister::{Canister, Request};
use crate::repeat::{Outcome, ask, call};
use crate::{CallError, Patience, Token, WrongAnswer};

/// An ICRC ledger. Cheap to clone.
///
/// Everything is read through the subnet, not from one node, because people rely on what they see
/// here: a balance, and the digits in which it is written.
#[derive(Clone)]
pub struct Ledger {
    canister: Canister,
    patience: Patience,
}

/// A transfer from an account of the agent's identity. Sent again exactly as it is, it moves money
/// once: the ledger recognises it by all its fields for a day after `created_at`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Transfer {
    /// Which of the identity's accounts pays; zeros are the default one.
    pub from_subaccount: [u8; 32],
    /// Who receives it.
    pub to: Account,
    /// What arrives.
    pub amount: Amount,
    /// The ledger's fee, which is paid beside the amount.
    pub fee: Amount,
    /// What makes it differ from another transfer at the same time.
    pub memo: [u8; 32],
    /// When it was made up.
    pub created_at: Timestamp,
}

/// An approval by an account of the agent's identity; it replaces any earlier one for the spender.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Approval {
    /// Which of the identity's accounts approves; zeros are the default one.
    pub from_subaccount: [u8; 32],
    /// Who may spend.
    pub spender: Account,
    /// How much, fees of the spending included.
    pub amount: Amount,
    /// What is approved at present; the ledger refuses if it is not.
    pub expected_allowance: Amount,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The ledger's fee, which the approval costs.
    pub fee: Amount,
    /// What makes it differ from another approval at the same time.
    pub memo: [u8; 32],
    /// When it was made up.
    pub created_at: Timestamp,
}

/// What a spender may spend.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Allowance {
    /// How much, fees included.
    pub amount: Amount,
    /// When it ends; `None` for never.
    pub expires_at: Option<Timestamp>,
}

impl Ledger {
    /// The ledger with this canister id, called through `agent`.
    pub fn new(agent: Agent, id: Principal) -> Self {
        Self {
            canister: Canister { agent, id },
            patience: Patience::default(),
        }
    }

    /// The same with another patience.
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Its canister id.
    pub fn id(&self) -> Principal {
        self.canister.id
    }

    /// What an account has.
    pub async fn balance(&self, account: &Account) -> Result<Amount, CallError<Infallible>> {
        let account = convert::account_to_candid(account);
        self.ask_amount("icrc1_balance_of", (account,)).await
    }

    /// What a transfer or an approval costs.
    pub async fn fee(&self) -> Result<Amount, CallError<Infallible>> {
        self.ask_amount("icrc1_fee", ()).await
    }

    /// How amounts are written.
    pub async fn token(&self) -> Result<Token, CallError<Infallible>> {
        Ok(Token {
            symbol: self.ask("icrc1_symbol", ()).await?,
            decimals: self.ask("icrc1_decimals", ()).await?,
        })
    }

    /// What `spender` may spend from the account `owner`.
    pub async fn allowance(
        &self,
        owner: &Account,
        spender: &Account,
    ) -> Result<Allowance, CallError<Infallible>> {
        const METHOD: &str = "icrc2_allowance";
        let arguments = AllowanceArgs {
            account: convert::account_to_candid(owner),
            spender: convert::account_to_candid(spender),
        };
        let allowance: CandidAllowance = self.ask(METHOD, (arguments,)).await?;
        // "Unlimited" is approved as a number far beyond what can be spent.
        let amount = units(&allowance.allowance).unwrap_or(u128::MAX);
        Ok(Allowance {
            amount: Amount::new(amount),
            expires_at: allowance.expires_at.map(Timestamp::from_nanos),
        })
    }

    /// Transfers, once however often it is called with the same argument, and returns the block.
    ///
    /// # Errors
    /// The ledger's refusal. After an attempt that may have taken effect, only success decides:
    /// the fee and the age of a transfer are checked before the ledger recognises it.
    pub async fn transfer(&self, transfer: &Transfer) -> Result<u128, CallError<TransferError>> {
        const METHOD: &str = "icrc1_transfer";
        let arguments = TransferArg {
            from_subaccount: subaccount(transfer.from_subaccount),
            to: convert::account_to_candid(&transfer.to),
            fee: Some(Nat::from(transfer.fee.units())),
            created_at_time: Some(transfer.created_at.nanos()),
            memo: Some(memo(transfer.memo)),
            amount: Nat::from(transfer.amount.units()),
        };
        let request = Request::update(METHOD, (arguments,));
        let outcome = call(&self.canister, &request, &self.patience).await?;
        let block = match outcome {
            Outcome::Accepted(block) => block,
            Outcome::Refused {
                refusal: TransferError::Duplicate { duplicate_of },
                ..
            } => duplicate_of,
            refused => refused.into_result()?,
        };
        self.amount(METHOD, &block)
    }

    /// Approves, once however often it is called with the same argument, and returns the block.
    ///
    /// # Errors
    /// The ledger's refusal; as with [`Ledger::transfer`].
    pub async fn approve(&self, approval: &Approval) -> Result<u128, CallError<ApproveError>> {
        const METHOD: &str = "icrc2_approve";
        let arguments = ApproveArgs {
            from_subaccount: subaccount(approval.from_subaccount),
            spender: convert::account_to_candid(&approval.spender),
            amount: Nat::from(approval.amount.units()),
            expected_allowance: Some(Nat::from(approval.expected_allowance.units())),
            expires_at: Some(approval.expires_at.nanos()),
            fee: Some(Nat::from(approval.fee.units())),
            memo: Some(memo(approval.memo)),
            created_at_time: Some(approval.created_at.nanos()),
        };
        let request = Request::update(METHOD, (arguments,));
        let outcome = call(&self.canister, &request, &self.patience).await?;
        let block = match outcome {
            Outcome::Accepted(block) => block,
            Outcome::Refused {
                refusal: ApproveError::Duplicate { duplicate_of },
                ..
            } => duplicate_of,
            refused => refused.into_result()?,
        };
        self.amount(METHOD, &block)
    }

    async fn ask<T>(
        &self,
        method: &'static str,
        arguments: impl ArgumentEncoder,
    ) -> Result<T, CallError<Infallible>>
    where
        T: CandidType + for<'a> Deserialize<'a>,
    {
        let request = Request::read(method, arguments);
        ask(&self.canister, &request, &self.patience).await
    }

    async fn ask_amount(
        &self,
        method: &'static str,
        arguments: impl ArgumentEncoder,
    ) -> Result<Amount, CallError<Infallible>> {
        let amount: Nat = self.ask(method, arguments).await?;
        self.amount(method, &amount).map(Amount::new)
    }

    fn amount<R>(&self, method: &'static str, nat: &Nat) -> Result<u128, CallError<R>> {
        let overflow = || CallError::nonsense(self.id(), method, WrongAnswer::AmountOverflow);
        units(nat).ok_or_else(overflow)
    }
}

fn units(nat: &Nat) -> Option<u128> {
    u128::try_from(&nat.0).ok()
}

fn subaccount(bytes: [u8; 32]) -> Option<[u8; 32]> {
    (bytes != [0; 32]).then_some(bytes)
}

fn memo(bytes: [u8; 32]) -> Memo {
    Memo(ByteBuf::from(bytes))
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("id", &self.canister.id.to_text())
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
