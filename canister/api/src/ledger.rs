//! Assets, and what their ledgers refuse.

use candid::{CandidType, Principal};
use serde::Deserialize;

/// What a channel holds amounts of.
#[derive(CandidType, Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub enum Asset {
    /// The token of the ICRC ledger with this principal.
    Icrc(Principal),
}

/// Why the ledger surely did not move money.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub enum LedgerRefusal {
    /// The account has less than amount and fee.
    InsufficientFunds {
        /// What it has.
        balance: u128,
    },
    /// The caller has approved less than amount and fee; `icrc2_approve` more.
    InsufficientAllowance {
        /// What is approved.
        allowance: u128,
    },
    /// The ledger changed its fee. The new one is known now: try again.
    BadFee {
        /// What the ledger asks now.
        expected_fee: u128,
    },
    /// The ledger is busy: try again.
    TemporarilyUnavailable,
    /// The call did not reach the ledger: try again.
    NotDelivered {
        /// The reject code of the Internet Computer.
        code: u32,
        /// The system's words.
        message: String,
    },
    /// Another refusal, in the ledger's words.
    Other {
        /// The words.
        message: String,
    },
}
