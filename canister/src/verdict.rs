//! What a ledger's answer says about the money.
//!
//! A lost answer is not a refusal. And once one attempt's answer is lost, a later refusal says
//! nothing about that attempt: ledgers check fee and age before they look for duplicates.

use perun_canister_api::LedgerRefusal;

/// A ledger's answer to a transfer, or why there is none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// It made the transfer in this block; `None` if the number exceeds 128 bits.
    Paid(Option<u128>),
    /// It knows the same transfer from this block.
    Duplicate(Option<u128>),
    /// The transfer's `created_at_time` lies before what it remembers.
    TooOld,
    /// It did not make the transfer.
    Refused(LedgerRefusal),
    /// The call never reached it.
    NotDelivered(LedgerRefusal),
    /// It may have executed: no answer, a trap, or words that make no sense.
    Lost,
}

/// What is known about an attempt and all before it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The money moved, once.
    Paid(Option<u128>),
    /// The money did not move and will not.
    Refused(LedgerRefusal),
    /// It can no longer move; whether it did, the balance tells.
    Expired,
    /// Nothing: send it again exactly as it was.
    Unknown,
}

impl Answer {
    /// The verdict. `is_first` if nothing was sent before this attempt; `is_expired` if the
    /// transfer is older than any ledger would execute.
    pub fn verdict(self, is_first: bool, is_expired: bool) -> Verdict {
        match self {
            Self::Paid(block) => Verdict::Paid(block),
            Self::Duplicate(block) if !is_first => Verdict::Paid(block),
            // Nothing was sent yet, so this is somebody else's transfer, not our payment.
            Self::Duplicate(block) => Verdict::Refused(LedgerRefusal::Other {
                message: format!("the ledger takes it for the transfer in block {block:?}"),
            }),
            Self::TooOld if is_first => Verdict::Refused(LedgerRefusal::Other {
                message: "the ledger's clock is more than a day ahead".into(),
            }),
            Self::TooOld => Verdict::Expired,
            Self::Refused(refusal) | Self::NotDelivered(refusal) if is_first => {
                Verdict::Refused(refusal)
            }
            // Only what reached the ledger shows that the time is over there too.
            Self::Refused(_) if is_expired => Verdict::Expired,
            Self::Lost | Self::Refused(_) | Self::NotDelivered(_) => Verdict::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> LedgerRefusal {
        LedgerRefusal::BadFee { expected_fee: 7 }
    }

    #[test]
    fn a_refusal_counts_on_the_first_attempt_only() {
        let answer = Answer::Refused(refused());
        assert_eq!(
            answer.clone().verdict(true, false),
            Verdict::Refused(refused())
        );
        assert_eq!(answer.clone().verdict(false, false), Verdict::Unknown);
        assert_eq!(answer.verdict(false, true), Verdict::Expired);
    }

    #[test]
    fn a_lost_answer_is_never_a_refusal() {
        for (is_first, is_expired) in [(true, false), (true, true), (false, false), (false, true)] {
            assert_eq!(Answer::Lost.verdict(is_first, is_expired), Verdict::Unknown);
        }
    }

    #[test]
    fn a_duplicate_is_a_payment_only_of_what_was_sent() {
        assert_eq!(
            Answer::Duplicate(Some(3)).verdict(false, false),
            Verdict::Paid(Some(3))
        );
        assert!(matches!(
            Answer::Duplicate(Some(3)).verdict(true, false),
            Verdict::Refused(LedgerRefusal::Other { .. })
        ));
    }

    #[test]
    fn what_is_too_old_can_no_longer_happen() {
        assert_eq!(Answer::TooOld.verdict(false, false), Verdict::Expired);
        let undelivered = Answer::NotDelivered(refused());
        assert_eq!(undelivered.verdict(false, true), Verdict::Unknown);
    }
}
