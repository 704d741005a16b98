//! What ledgers refuse: in words, and whether asking again helps.

use std::fmt::{self, Formatter};

use icrc_ledger_types::icrc1::transfer::TransferError;
use icrc_ledger_types::icrc2::approve::ApproveError;

use crate::{Advice, Refusal};

impl Refusal for TransferError {
    fn advice(&self) -> Advice {
        match self {
            Self::TemporarilyUnavailable => Advice::TryAgain,
            _ => Advice::GiveUp,
        }
    }

    fn explain(&self, f: &mut Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Refusal for ApproveError {
    fn advice(&self) -> Advice {
        match self {
            Self::TemporarilyUnavailable => Advice::TryAgain,
            _ => Advice::GiveUp,
        }
    }

    fn explain(&self, f: &mut Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
