//! What a ledger's answer says about the money.
//!
//! A lost answer is not a refusal. And once one attempt's answer is lost, a later refusal says
//! nothing about that attempt's outcome: ledgers check fee and age before they look for duplicates.
//! It says one thing, though: messages from one canister to another are delivered in the order in
//! which they were sent (or not at all), so when a later one was answered, all before it are over.
//! Then the balance tells what they did.

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
    /// Whether the money moved, the balance tells; it will not move any more.
    ByBalance,
    /// Nothing: send it again exactly as it was.
    Unknown,
}

/// After so many attempts without any answer the balance is asked. A ledger that traps on this
/// transfer, or lacks the method, will never answer otherwise.
const MAX_LOST: u32 = 3;

impl Answer {
    /// The verdict on the `attempt`-th attempt, counted from 1. `is_expired` if the transfer is
    /// older than any ledger would execute.
    pub fn verdict(self, attempt: u32, is_expired: bool) -> Verdict {
        let is_first = attempt <= 1;
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
            Self::Refused(refusal) | Self::NotDelivered(refusal) if is_first => {
                Verdict::Refused(refusal)
            }
            Self::TooOld | Self::Refused(_) => Verdict::ByBalance,
            Self::Lost if attempt >= MAX_LOST => Verdict::ByBalance,
            Self::Lost | Self::NotDelivered(_) if is_expired => Verdict::ByBalance,
            Self::Lost | Self::NotDelivered(_) => Verdict::Unknown,
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
        for answer in [Answer::Refused(refused()), Answer::NotDelivered(refused())] {
            assert_eq!(answer.verdict(1, false), Verdict::Refused(refused()));
        }
        assert_eq!(
            Answer::Refused(refused()).verdict(2, false),
            Verdict::ByBalance
        );
        // What was not delivered does not show that what was sent before it is over.
        assert_eq!(
            Answer::NotDelivered(refused()).verdict(2, false),
            Verdict::Unknown
        );
        assert_eq!(
            Answer::NotDelivered(refused()).verdict(2, true),
            Verdict::ByBalance
        );
    }

    #[test]
    fn a_lost_answer_is_never_a_refusal() {
        assert_eq!(Answer::Lost.verdict(1, false), Verdict::Unknown);
        assert_eq!(Answer::Lost.verdict(2, false), Verdict::Unknown);
        assert_eq!(Answer::Lost.verdict(3, false), Verdict::ByBalance);
        assert_eq!(Answer::Lost.verdict(1, true), Verdict::ByBalance);
    }

    #[test]
    fn a_duplicate_is_a_payment_only_of_what_was_sent() {
        assert_eq!(
            Answer::Duplicate(Some(3)).verdict(2, false),
            Verdict::Paid(Some(3))
        );
        assert!(matches!(
            Answer::Duplicate(Some(3)).verdict(1, false),
            Verdict::Refused(LedgerRefusal::Other { .. })
        ));
    }

    #[test]
    fn what_is_too_old_can_no_longer_happen() {
        assert_eq!(Answer::TooOld.verdict(2, false), Verdict::ByBalance);
        assert!(matches!(
            Answer::TooOld.verdict(1, false),
            Verdict::Refused(_)
        ));
    }
}
