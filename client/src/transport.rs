//! What an error of the agent means: whether the call may have run, and whether trying again can
//! help.

use ic_agent::AgentError;
use ic_agent::agent::{RejectCode, RejectResponse};

/// What an error of the agent means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Meaning {
    /// The call may have taken effect, wholly or up to an await.
    pub(crate) may_have_run: bool,
    /// It may be over soon.
    pub(crate) is_passing: bool,
}

impl Meaning {
    /// The call never left, and would not the next time either.
    const NEVER_SENT: Self = Self {
        may_have_run: false,
        is_passing: false,
    };
    /// The subnet itself says that it did not run.
    const NOT_RUN: Self = Self {
        may_have_run: false,
        is_passing: true,
    };
    /// Nobody who can be trusted says anything.
    const UNKNOWN: Self = Self {
        may_have_run: true,
        is_passing: true,
    };
    /// Nobody who can be trusted says anything, and it will be the same the next time.
    const HOPELESS: Self = Self {
        may_have_run: true,
        is_passing: false,
    };

    /// Errs on the side of "may have run": repeating is safe, believing wrongly is not.
    pub(crate) fn of(error: &AgentError) -> Self {
        match error {
            AgentError::InvalidReplicaUrl(_)
            | AgentError::UrlParseError(_)
            | AgentError::InvalidMethodError(_)
            | AgentError::PrincipalError(_)
            | AgentError::SigningError(_)
            | AgentError::CannotCalculateRequestId(_) => Self::NEVER_SENT,
            AgentError::RouteProviderError(_) => Self::NOT_RUN,
            AgentError::CertifiedReject { reject, .. } => match reject.reject_code {
                RejectCode::SysTransient => Self::NOT_RUN,
                RejectCode::SysFatal | RejectCode::DestinationInvalid => Self::NEVER_SENT,
                RejectCode::CanisterError if is_wrong_canister(reject) => Self::NEVER_SENT,
                // A trap; it may be one behind an await. Or the canister is stopped for an upgrade.
                RejectCode::CanisterError => Self::UNKNOWN,
                RejectCode::CanisterReject => Self::HOPELESS,
            },
            // Not signed by the subnet: whoever stands between may say so of a call that ran.
            AgentError::UncertifiedReject { reject, .. } => match reject.reject_code {
                RejectCode::CanisterError if is_wrong_canister(reject) => Self::HOPELESS,
                RejectCode::SysTransient | RejectCode::CanisterError => Self::UNKNOWN,
                RejectCode::SysFatal
                | RejectCode::DestinationInvalid
                | RejectCode::CanisterReject => Self::HOPELESS,
            },
            AgentError::HttpError(http) => match http.status {
                408 | 425 | 429 => Self::UNKNOWN,
                400..=499 => Self::HOPELESS,
                _ => Self::UNKNOWN,
            },
            AgentError::CertificateVerificationFailed()
            | AgentError::CertificateNotAuthorized()
            | AgentError::CertificateHasTooManyDelegations
            | AgentError::CertificateOutdated(_)
            | AgentError::DerKeyLengthMismatch { .. }
            | AgentError::DerPrefixMismatch { .. } => Self::HOPELESS,
            _ => Self::UNKNOWN,
        }
    }
}

/// Whether the canister has no such method, or no module at all.
fn is_wrong_canister(reject: &RejectResponse) -> bool {
    matches!(reject.error_code.as_deref(), Some("IC0536" | "IC0537"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ic_agent::agent_error::HttpErrorPayload;

    fn reject(reject_code: RejectCode) -> RejectResponse {
        RejectResponse {
            reject_code,
            reject_message: String::new(),
            error_code: None,
        }
    }

    fn certified(code: RejectCode) -> Meaning {
        Meaning::of(&AgentError::CertifiedReject {
            reject: reject(code),
            operation: None,
        })
    }

    #[test]
    fn a_lost_answer_leaves_doubt() {
        let lost = Meaning::of(&AgentError::TimeoutWaitingForResponse());
        assert_eq!(lost, Meaning::UNKNOWN);
    }

    #[test]
    fn only_the_subnet_is_believed_that_a_call_did_not_run() {
        assert!(!certified(RejectCode::SysTransient).may_have_run);
        let uncertified = Meaning::of(&AgentError::UncertifiedReject {
            reject: reject(RejectCode::SysTransient),
            operation: None,
        });
        assert!(uncertified.may_have_run);
    }

    #[test]
    fn a_trap_may_be_one_behind_an_await() {
        assert!(certified(RejectCode::CanisterError).may_have_run);
        assert!(certified(RejectCode::CanisterError).is_passing);
    }

    #[test]
    fn a_canister_that_does_not_exist_or_is_another_is_not_waited_for() {
        assert!(!certified(RejectCode::DestinationInvalid).is_passing);
        let without_method = RejectResponse {
            error_code: Some("IC0536".into()),
            ..reject(RejectCode::CanisterError)
        };
        let meaning = Meaning::of(&AgentError::CertifiedReject {
            reject: without_method,
            operation: None,
        });
        assert_eq!(meaning, Meaning::NEVER_SENT);
    }

    #[test]
    fn what_the_boundary_refuses_is_refused_again_unless_it_was_busy() {
        let http = |status| {
            Meaning::of(&AgentError::HttpError(HttpErrorPayload {
                status,
                content_type: None,
                content: Vec::new(),
            }))
        };
        assert!(!http(400).is_passing);
        assert!(http(429).is_passing);
        assert!(http(503).is_passing);
    }
}
