//! Why a message was not answered with a reply.
//!
//! A canister sees a code and a text; agents also see the error code (`IC0503`), which says more
//! exactly what happened. Both follow the public replica, because canisters and clients branch on
//! them: code 6 means "the outcome is unknown", all others mean "surely not executed, or executed
//! and rolled back".

use candid::Principal;
use std::fmt;

/// The class of a rejection, as `ic0.msg_reject_code` reports it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u32)]
pub enum RejectCode {
    /// The system can never do this.
    SysFatal = 1,
    /// The system cannot do this now; a later attempt may succeed.
    SysTransient = 2,
    /// There is no such canister or method to deliver to.
    DestinationInvalid = 3,
    /// The canister rejected the call by `ic0.msg_reject`, or the management canister refused it.
    CanisterReject = 4,
    /// The canister trapped, is stopped, or lacks the method.
    CanisterError = 5,
    /// Nobody knows whether the call was executed: a bounded-wait call ran out of time.
    SysUnknown = 6,
}

impl RejectCode {
    /// The number canisters and agents see.
    pub fn as_u32(self) -> u32 {
        self as u32
    }

    /// The class with this number; `None` unless it is 1 to 6.
    pub fn from_u32(code: u32) -> Option<Self> {
        Some(match code {
            1 => Self::SysFatal,
            2 => Self::SysTransient,
            3 => Self::DestinationInvalid,
            4 => Self::CanisterReject,
            5 => Self::CanisterError,
            6 => Self::SysUnknown,
            _ => return None,
        })
    }
}

/// A rejection: class, text, and the exact error code.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reject {
    /// The class, which the caller's reject callback sees.
    pub code: RejectCode,
    /// What went wrong, in a sentence that names the canister where there is one.
    pub message: String,
    /// The exact error, in the replica's numbering, e.g. `IC0503`.
    pub error_code: String,
}

impl Reject {
    pub(crate) fn new(error: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code: error.reject_code(),
            message: message.into(),
            error_code: error.to_string(),
        }
    }

    /// A rejection with a class chosen freely, as fault rules need it. The error code is the most
    /// general one of the class.
    pub fn with_code(code: RejectCode, message: impl Into<String>) -> Self {
        let error = match code {
            RejectCode::SysFatal => ErrorCode::SubnetOversubscribed,
            RejectCode::SysTransient => ErrorCode::CanisterQueueFull,
            RejectCode::DestinationInvalid => ErrorCode::CanisterNotFound,
            RejectCode::CanisterReject => ErrorCode::CanisterRejectedMessage,
            RejectCode::CanisterError => ErrorCode::CanisterTrapped,
            RejectCode::SysUnknown => ErrorCode::ResponseDropped,
        };
        Self::new(error, message)
    }

    pub(crate) fn canister_not_found(id: Principal) -> Self {
        Self::new(
            ErrorCode::CanisterNotFound,
            format!("Canister {id} not found"),
        )
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "reject code {} ({}): {}",
            self.code.as_u32(),
            self.error_code,
            self.message
        )
    }
}

impl std::error::Error for Reject {}

/// The errors this replica can report, numbered as in the public replica. The hundreds digit is
/// the reject code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u16)]
pub(crate) enum ErrorCode {
    SubnetOversubscribed = 101,
    CanisterQueueFull = 201,
    CanisterIdAlreadyExists = 205,
    StopCanisterRequestTimeout = 206,
    CanisterNotFound = 301,
    CanisterRejectedMessage = 406,
    UnknownManagementMessage = 407,
    InvalidManagementPayload = 408,
    CanisterTrapped = 502,
    CanisterCalledTrap = 503,
    CanisterContractViolation = 504,
    CanisterInvalidWasm = 505,
    CanisterDidNotReply = 506,
    CanisterStopped = 508,
    CanisterStopping = 509,
    CanisterNotStopped = 510,
    CanisterStoppingCancelled = 511,
    CanisterInvalidController = 512,
    CanisterNonEmpty = 514,
    CanisterInstructionLimitExceeded = 522,
    QueryCallGraphTooDeep = 525,
    QueryCallGraphTotalInstructionLimitExceeded = 526,
    CompositeQueryCalledInReplicatedMode = 527,
    CanisterMethodNotFound = 536,
    CanisterWasmModuleNotFound = 537,
    DeadlineExpired = 601,
    ResponseDropped = 602,
}

impl ErrorCode {
    fn reject_code(self) -> RejectCode {
        RejectCode::from_u32(u32::from(self as u16 / 100))
            .expect("every error number above starts with a digit from 1 to 6")
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IC{:04}", *self as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_number_gives_the_reject_code() {
        let cases = [
            (
                ErrorCode::CanisterCalledTrap,
                RejectCode::CanisterError,
                "IC0503",
            ),
            (
                ErrorCode::CanisterNotFound,
                RejectCode::DestinationInvalid,
                "IC0301",
            ),
            (ErrorCode::DeadlineExpired, RejectCode::SysUnknown, "IC0601"),
        ];
        for (error, code, text) in cases {
            let reject = Reject::new(error, "");
            assert_eq!((reject.code, reject.error_code.as_str()), (code, text));
        }
    }

    #[test]
    fn a_freely_chosen_class_keeps_its_code() {
        for number in 1..=6 {
            let code = RejectCode::from_u32(number).unwrap();
            assert_eq!(Reject::with_code(code, "x").code, code);
            assert_eq!(code.as_u32(), number);
        }
        assert_eq!(RejectCode::from_u32(0), None);
        assert_eq!(RejectCode::from_u32(7), None);
    }
}
