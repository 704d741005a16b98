//! Why an execution ended early.

use crate::reject::{ErrorCode, Reject};
use candid::Principal;
use std::fmt;
use wasmi::TrapCode;

/// The reason an execution was broken off. Everything it did is rolled back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Trap {
    /// The canister called `ic0.trap` with this text.
    Called(String),
    /// A system function was used against its contract.
    Contract(String),
    /// WebAssembly itself trapped.
    Wasm(String),
    /// More instructions than this were needed.
    InstructionLimit(u64),
    /// The query wants its data certificate, which has to be made first. Never leaves the replica:
    /// the query is run again with the certificate at hand.
    CertificateNeeded,
}

impl Trap {
    pub(crate) fn contract(text: impl Into<String>) -> Self {
        Self::Contract(text.into())
    }

    pub(crate) fn outside(what: &str) -> Self {
        Self::Contract(format!("{what} is out of bounds"))
    }

    /// The reason behind an engine error.
    pub(crate) fn from_engine(error: &wasmi::Error, instruction_limit: u64) -> Self {
        if let Some(trap) = error.downcast_ref::<Self>() {
            return trap.clone();
        }
        match error.as_trap_code() {
            Some(TrapCode::OutOfFuel) => Self::InstructionLimit(instruction_limit),
            Some(TrapCode::MemoryOutOfBounds) => Self::Wasm("heap out of bounds".into()),
            Some(TrapCode::UnreachableCodeReached) => Self::Wasm("unreachable".into()),
            Some(code) => Self::Wasm(code.trap_message().into()),
            None => Self::Wasm(error.to_string()),
        }
    }

    /// What the caller of `canister` is told.
    pub(crate) fn to_reject(&self, canister: Principal) -> Reject {
        let error = match self {
            Self::Called(_) => ErrorCode::CanisterCalledTrap,
            Self::Contract(_) | Self::CertificateNeeded => ErrorCode::CanisterContractViolation,
            Self::Wasm(_) => ErrorCode::CanisterTrapped,
            Self::InstructionLimit(_) => ErrorCode::CanisterInstructionLimitExceeded,
        };
        Reject::new(error, format!("Error from Canister {canister}: {self}."))
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Called(text) => {
                write!(f, "Canister called `ic0.trap` with message: '{text}'")
            }
            Self::Contract(text) => write!(f, "Canister violated contract: {text}"),
            Self::Wasm(text) => write!(f, "Canister trapped: {text}"),
            Self::InstructionLimit(limit) => write!(
                f,
                "Canister exceeded the limit of {limit} instructions for single message execution"
            ),
            Self::CertificateNeeded => f.write_str("no data certificate"),
        }
    }
}

impl std::error::Error for Trap {}

impl wasmi::errors::HostError for Trap {}
