//! Why a request was not executed, and how each interface says it.
//!
//! The rules know one kind of refusal. ICRC-1, ICRC-2 and the classic calls each have their own
//! error; what one of them has no word for becomes its `GenericError` with the code and the text
//! given here. The classic calls have none, so there the call is rejected with the text.

use std::fmt;

use candid::Nat;
use icrc_ledger_types::{
    icrc1::transfer::TransferError, icrc2::approve::ApproveError,
    icrc2::transfer_from::TransferFromError,
};

use crate::amount::Amount;

/// Nothing was moved, because…
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// The caller named another fee than this ledger takes.
    BadFee {
        /// What it takes.
        expected_fee: Amount,
    },
    /// Less is burnt than a transfer would cost.
    BadBurn {
        /// The least that can be burnt.
        min_burn_amount: Amount,
    },
    /// The paying account has less than amount and fee.
    InsufficientFunds {
        /// What it has.
        balance: Amount,
    },
    /// The spender may not spend amount and fee.
    InsufficientAllowance {
        /// What it may spend.
        allowance: Amount,
    },
    /// The allowance is not the expected one.
    AllowanceChanged {
        /// What it is.
        current_allowance: Amount,
    },
    /// The approval's expiry is not in the future.
    Expired {
        /// The ledger's time, ns since 1970.
        now_ns: u64,
    },
    /// The request was created before the transaction window.
    TooOld {
        /// The length of the window, ns.
        window_ns: u64,
    },
    /// The request was created after now and the permitted drift.
    CreatedInFuture {
        /// The ledger's time, ns since 1970.
        now_ns: u64,
    },
    /// The same request was executed before.
    Duplicate {
        /// The block it led to.
        duplicate_of: u64,
    },
    /// As many transactions are remembered as the ledger was set up for. Try again later.
    TemporarilyUnavailable,
    /// The memo is too long.
    MemoTooLong {
        /// Its length in bytes.
        length: usize,
        /// The greatest length.
        limit: usize,
    },
    /// Owner and spender of an approval have the same principal.
    SelfApproval,
    /// The minting account approves a spender, or is spent from: it has no money.
    MintingAccountCannotDelegate,
    /// The minting account transfers to itself, which would be mint and burn at once.
    MintingAccountToItself,
}

impl Refusal {
    /// The `error_code` when it is told as a `GenericError`. Codes are never reused.
    pub fn code(&self) -> u64 {
        match self {
            Self::MemoTooLong { .. } => 1,
            Self::SelfApproval => 2,
            Self::MintingAccountCannotDelegate => 3,
            Self::MintingAccountToItself => 4,
            Self::BadFee { .. } => 100,
            Self::BadBurn { .. } => 101,
            Self::InsufficientFunds { .. } => 102,
            Self::InsufficientAllowance { .. } => 103,
            Self::AllowanceChanged { .. } => 104,
            Self::Expired { .. } => 105,
            Self::TooOld { .. } => 106,
            Self::CreatedInFuture { .. } => 107,
            Self::Duplicate { .. } => 108,
            Self::TemporarilyUnavailable => 109,
        }
    }

    fn generic(self) -> (Nat, String) {
        (Nat::from(self.code()), self.to_string())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadFee { expected_fee } => write!(f, "the fee is {expected_fee}"),
            Self::BadBurn { min_burn_amount } => {
                write!(f, "at least {min_burn_amount} must be burnt")
            }
            Self::InsufficientFunds { balance } => {
                write!(f, "the account has only {balance}")
            }
            Self::InsufficientAllowance { allowance } => {
                write!(f, "the spender may spend only {allowance}")
            }
            Self::AllowanceChanged { current_allowance } => {
                write!(f, "the allowance is {current_allowance}")
            }
            Self::Expired { now_ns } => write!(f, "the approval expired, it is {now_ns} ns"),
            Self::TooOld { window_ns } => {
                write!(f, "the request is older than {window_ns} ns")
            }
            Self::CreatedInFuture { now_ns } => {
                write!(
                    f,
                    "the request was created in the future, it is {now_ns} ns"
                )
            }
            Self::Duplicate { duplicate_of } => {
                write!(f, "the request was executed in block {duplicate_of}")
            }
            Self::TemporarilyUnavailable => {
                f.write_str("too many transactions in the window, try again later")
            }
            Self::MemoTooLong { length, limit } => {
                write!(f, "the memo has {length} bytes, more than {limit}")
            }
            Self::SelfApproval => f.write_str("nobody can approve itself as a spender"),
            Self::MintingAccountCannotDelegate => {
                f.write_str("the minting account has nothing that others could spend")
            }
            Self::MintingAccountToItself => {
                f.write_str("the minting account cannot transfer to itself")
            }
        }
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for TransferError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BadFee { expected_fee } => Self::BadFee {
                expected_fee: expected_fee.into(),
            },
            Refusal::BadBurn { min_burn_amount } => Self::BadBurn {
                min_burn_amount: min_burn_amount.into(),
            },
            Refusal::InsufficientFunds { balance } => Self::InsufficientFunds {
                balance: balance.into(),
            },
            Refusal::TooOld { .. } => Self::TooOld,
            Refusal::CreatedInFuture { now_ns } => Self::CreatedInFuture {
                ledger_time: now_ns,
            },
            Refusal::Duplicate { duplicate_of } => Self::Duplicate {
                duplicate_of: duplicate_of.into(),
            },
            Refusal::TemporarilyUnavailable => Self::TemporarilyUnavailable,
            other => {
                let (error_code, message) = other.generic();
                Self::GenericError {
                    error_code,
                    message,
                }
            }
        }
    }
}

impl From<Refusal> for TransferFromError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BadFee { expected_fee } => Self::BadFee {
                expected_fee: expected_fee.into(),
            },
            Refusal::BadBurn { min_burn_amount } => Self::BadBurn {
                min_burn_amount: min_burn_amount.into(),
            },
            Refusal::InsufficientFunds { balance } => Self::InsufficientFunds {
                balance: balance.into(),
            },
            Refusal::InsufficientAllowance { allowance } => Self::InsufficientAllowance {
                allowance: allowance.into(),
            },
            Refusal::TooOld { .. } => Self::TooOld,
            Refusal::CreatedInFuture { now_ns } => Self::CreatedInFuture {
                ledger_time: now_ns,
            },
            Refusal::Duplicate { duplicate_of } => Self::Duplicate {
                duplicate_of: duplicate_of.into(),
            },
            Refusal::TemporarilyUnavailable => Self::TemporarilyUnavailable,
            other => {
                let (error_code, message) = other.generic();
                Self::GenericError {
                    error_code,
                    message,
                }
            }
        }
    }
}

impl From<Refusal> for ApproveError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BadFee { expected_fee } => Self::BadFee {
                expected_fee: expected_fee.into(),
            },
            Refusal::InsufficientFunds { balance } => Self::InsufficientFunds {
                balance: balance.into(),
            },
            Refusal::AllowanceChanged { current_allowance } => Self::AllowanceChanged {
                current_allowance: current_allowance.into(),
            },
            Refusal::Expired { now_ns } => Self::Expired {
                ledger_time: now_ns,
            },
            Refusal::TooOld { .. } => Self::TooOld,
            Refusal::CreatedInFuture { now_ns } => Self::CreatedInFuture {
                ledger_time: now_ns,
            },
            Refusal::Duplicate { duplicate_of } => Self::Duplicate {
                duplicate_of: duplicate_of.into(),
            },
            Refusal::TemporarilyUnavailable => Self::TemporarilyUnavailable,
            other => {
                let (error_code, message) = other.generic();
                Self::GenericError {
                    error_code,
                    message,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_interface_has_its_own_word_or_the_generic_one() {
        let refusal = Refusal::InsufficientAllowance {
            allowance: Amount::new(3),
        };
        assert_eq!(
            TransferFromError::from(refusal),
            TransferFromError::InsufficientAllowance {
                allowance: Nat::from(3u8)
            }
        );
        // A plain transfer spends no allowance; if it ever were refused so, it would still say why.
        assert_eq!(
            TransferError::from(refusal),
            TransferError::GenericError {
                error_code: Nat::from(103u8),
                message: "the spender may spend only 3".into()
            }
        );
        assert_eq!(
            ApproveError::from(Refusal::SelfApproval),
            ApproveError::GenericError {
                error_code: Nat::from(2u8),
                message: "nobody can approve itself as a spender".into()
            }
        );
    }
}
