//! Why a call was not carried out, and whether to make it again.

use std::fmt;

use perun_canister_api::{ConcludeError, DepositError, DisputeError, WithdrawError, convert};
use perun_protocol::{AssetId, PartIdx, Timestamp};

use crate::transport::Meaning;
use crate::{Advice, CallError, FundError, Refusal};

/// Why a call was not carried out, or is not known to be.
#[non_exhaustive]
#[derive(Debug)]
pub enum PerformError {
    /// The funding has another number of assets or participants than the channel.
    WrongShape,
    /// The channel has no such participant.
    UnknownPart {
        /// The position asked for.
        part: PartIdx,
    },
    /// The deposit of an asset. The assets before it are deposited, those behind it are not.
    Fund {
        /// The asset.
        asset: AssetId,
        /// What it met.
        error: FundError,
    },
    /// The claim.
    Dispute(CallError<DisputeError>),
    /// The conclusion.
    Conclude(CallError<ConcludeError>),
    /// Payouts, at least one. The others have arrived or are kept.
    Withdraw(Vec<NotWithdrawn>),
}

/// A payout that is not known to have arrived.
#[derive(Debug)]
pub struct NotWithdrawn {
    /// The asset.
    pub asset: AssetId,
    /// Whose remainder it is.
    pub part: PartIdx,
    /// What the payout met.
    pub error: CallError<WithdrawError>,
}

/// When to make the same call again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retry {
    /// Soon: it will pass.
    Soon,
    /// As soon as it is this late at the adjudicator. It may become later still.
    NotBefore(Timestamp),
    /// Now and then: something that is not ours to change must change first. Somebody should know.
    Slowly,
    /// Never: it will be refused again.
    Never,
}

impl Retry {
    /// How soon it is: the order in which calls become worth making again.
    fn rank(self) -> u8 {
        match self {
            Self::Soon => 0,
            Self::NotBefore(_) => 1,
            Self::Slowly => 2,
            Self::Never => 3,
        }
    }
}

impl<R: Refusal> CallError<R> {
    /// When to make the same call again. Only what a canister refuses for good is given up:
    /// whatever else keeps us from it may be repaired, and money waits behind it.
    pub fn retry(&self) -> Retry {
        self.retry_unless_refused(|_| Retry::Never)
    }

    fn retry_unless_refused(&self, for_good: impl FnOnce(&R) -> Retry) -> Retry {
        match self {
            Self::Unresolved(_) => Retry::Soon,
            Self::Refused(refusal) => match refusal.advice() {
                Advice::TryAgain | Advice::AskAgain => Retry::Soon,
                Advice::GiveUp => for_good(refusal),
            },
            Self::Transport { error, .. } if Meaning::of(error).is_passing => Retry::Soon,
            Self::Transport { .. } | Self::Nonsense(_) => Retry::Slowly,
        }
    }
}

impl PerformError {
    /// When to make the same call again.
    pub fn retry(&self) -> Retry {
        match self {
            Self::WrongShape | Self::UnknownPart { .. } => Retry::Never,
            Self::Fund { error, .. } => fund(error),
            Self::Dispute(error) => error.retry_unless_refused(dispute),
            Self::Conclude(error) => error.retry_unless_refused(conclude),
            Self::Withdraw(failed) => {
                let each = failed
                    .iter()
                    .map(|payout| payout.error.retry_unless_refused(withdraw));
                each.min_by_key(|retry| retry.rank())
                    .unwrap_or(Retry::Never)
            }
        }
    }
}

fn fund(error: &FundError) -> Retry {
    match error {
        FundError::Unsuitable(_)
        | FundError::UnknownPart { .. }
        | FundError::UnknownAsset
        | FundError::NothingToDeposit
        | FundError::AmountOverflow
        | FundError::NoAccount { .. } => Retry::Never,
        FundError::InsufficientFunds { .. } => Retry::Slowly,
        FundError::Read(error) => error.retry(),
        FundError::Holdings(error) => error.retry(),
        // What a ledger refuses for good depends on balance, fee or time, and the next attempt is
        // made up anew.
        FundError::Approve(error) => error.retry_unless_refused(|_| Retry::Slowly),
        FundError::Transfer(error) => error.retry_unless_refused(|_| Retry::Slowly),
        FundError::Deposit(error) => error.retry_unless_refused(|refusal| match refusal {
            DepositError::UnexpectedHolding { .. } | DepositError::BelowFee { .. } => Retry::Soon,
            DepositError::Refused(_) => Retry::Slowly,
            _ => Retry::Never,
        }),
    }
}

fn dispute(refusal: &DisputeError) -> Retry {
    match refusal {
        // A deposit may still arrive.
        DisputeError::UnknownChannel | DisputeError::InsufficientFunding { .. } => Retry::Slowly,
        _ => Retry::Never,
    }
}

fn conclude(refusal: &ConcludeError) -> Retry {
    match refusal {
        ConcludeError::ChallengeOpen { timeout_ns } => not_before(*timeout_ns),
        ConcludeError::NotRegistered => Retry::Slowly,
        ConcludeError::NotFinal | ConcludeError::WrongChannel => Retry::Never,
        ConcludeError::Refused(refusal) => dispute(refusal),
    }
}

fn withdraw(refusal: &WithdrawError) -> Retry {
    match refusal {
        WithdrawError::ChallengeOpen { timeout_ns } => not_before(*timeout_ns),
        WithdrawError::NotRegistered
        | WithdrawError::UnknownChannel
        | WithdrawError::Refused(_) => Retry::Slowly,
        _ => Retry::Never,
    }
}

fn not_before(timeout_ns: u64) -> Retry {
    Retry::NotBefore(Timestamp::from_nanos(timeout_ns))
}

/// An asset by its ledger.
struct Named<'a>(&'a AssetId);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AssetId::Icrc(ledger) = self.0;
        write!(f, "ledger {}", convert::principal_to_candid(ledger))
    }
}

impl fmt::Display for PerformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongShape => write!(
                f,
                "the funding has another number of assets or participants than the channel"
            ),
            Self::UnknownPart { part } => {
                write!(f, "the channel has no participant {part}, counted from 0")
            }
            Self::Fund { asset, error } => write!(f, "fund, {}: {error}", Named(asset)),
            Self::Dispute(error) => write!(f, "dispute: {error}"),
            Self::Conclude(error) => write!(f, "conclude: {error}"),
            Self::Withdraw(failed) => {
                write!(f, "withdraw")?;
                failed.iter().try_for_each(|payout| {
                    let NotWithdrawn { asset, error, .. } = payout;
                    write!(f, "; {}: {error}", Named(asset))
                })
            }
        }
    }
}

impl std::error::Error for PerformError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Fund { error, .. } => Some(error),
            Self::Dispute(error) => Some(error),
            Self::Conclude(error) => Some(error),
            Self::Withdraw(failed) => failed.first().map(|payout| &payout.error as _),
            Self::WrongShape | Self::UnknownPart { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ic_agent::AgentError;
    use perun_canister_api::LedgerRefusal;
    use perun_protocol::{Amount, Principal};

    fn asset() -> AssetId {
        AssetId::Icrc(Principal::from_slice(&[1]).unwrap())
    }

    fn payout(error: CallError<WithdrawError>) -> NotWithdrawn {
        NotWithdrawn {
            asset: asset(),
            part: PartIdx::new(0),
            error,
        }
    }

    fn lost<R>(error: AgentError) -> CallError<R> {
        CallError::Transport {
            error: Box::new(error),
            attempts: 1,
            in_doubt: true,
        }
    }

    #[test]
    fn a_dispute_is_given_up_only_if_the_adjudicator_refuses_for_good() {
        let retry = |error| PerformError::Dispute(error).retry();
        assert_eq!(
            retry(lost(AgentError::TimeoutWaitingForResponse())),
            Retry::Soon
        );
        assert_eq!(
            retry(lost(AgentError::CertificateVerificationFailed())),
            Retry::Slowly
        );
        let not_yet = DisputeError::UnknownChannel;
        assert_eq!(retry(CallError::Refused(not_yet)), Retry::Slowly);
        let never = DisputeError::WrongSignature { part: 1 };
        assert_eq!(retry(CallError::Refused(never)), Retry::Never);
    }

    #[test]
    fn a_window_is_waited_for() {
        let open = ConcludeError::ChallengeOpen { timeout_ns: 7 };
        let retry = PerformError::Conclude(CallError::Refused(open)).retry();
        assert_eq!(retry, Retry::NotBefore(Timestamp::from_nanos(7)));
    }

    #[test]
    fn of_several_payouts_the_soonest_counts() {
        let refused = |error| payout(CallError::Refused(error));
        let broken = LedgerRefusal::Other {
            message: String::new(),
        };
        let slowly = || refused(WithdrawError::Refused(broken.clone()));
        let never = || refused(WithdrawError::WrongSignature);
        let soon = || payout(CallError::Unresolved(WithdrawError::Pending { journal: 1 }));
        let retry = |failed| PerformError::Withdraw(failed).retry();
        assert_eq!(retry(vec![never(), soon(), slowly()]), Retry::Soon);
        assert_eq!(retry(vec![never(), slowly()]), Retry::Slowly);
        assert_eq!(retry(vec![never()]), Retry::Never);
    }

    #[test]
    fn who_has_not_enough_is_told_how_much_and_asked_again_slowly() {
        let error = PerformError::Fund {
            asset: asset(),
            error: FundError::InsufficientFunds {
                balance: Amount::new(3),
                needed: Amount::new(120),
            },
        };
        assert_eq!(error.retry(), Retry::Slowly);
        let words = error.to_string();
        assert!(words.contains("3 units, 120 are"), "{words}");
    }
}
