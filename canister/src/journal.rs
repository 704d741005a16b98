//! Ledger calls that are under way: written down before they leave, forgotten once their outcome is
//! known.
//!
//! ```text
//! reserve --> sent --Paid----> confirmed (event)
//!              ^  |--Refused-> restored             first attempt only: surely not executed
//!              |  |--Unknown-> kept, sent again exactly as it was
//!              +--+
//!                 |--ByBalance-> the balance tells  it will not execute any more
//! ```
//!
//! An entry's number is the memo of its transfer and never used again; with `created_at_time` it
//! makes the transfer unique, so that the ledger recognises a repetition.
//!
//! Invariant: at most one entry per channel and asset. Otherwise the balance could not tell which
//! of two transfers happened.

use candid::Principal;
use perun_protocol::{Account, Amount, AssetIdx, ChannelId, Params, PartIdx, Timestamp};

/// The number of an entry, which is the memo of its transfer.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct JournalNumber(pub u64);

/// A transfer whose outcome is not known yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The channel whose funds it changes.
    pub channel: ChannelId,
    /// The asset, by its position in the channel.
    pub asset: AssetIdx,
    /// The participant whose money it is.
    pub part: PartIdx,
    /// The ledger that is called.
    pub ledger: Principal,
    /// What arrives.
    pub amount: Amount,
    /// The ledger's fee, which leaves the paying account beside it.
    pub fee: Amount,
    /// The `created_at_time` of the transfer.
    pub created_at: Timestamp,
    /// How often it was sent.
    pub sends: u32,
    /// When it was sent last.
    pub last_sent: Timestamp,
    /// From where to where.
    pub kind: Kind,
}

/// From where to where money moves.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// From an account of a depositor that approved it.
    Pull {
        /// The depositor's account.
        from: Account,
        /// The channel's params, should this be its first deposit.
        params: Params,
    },
    /// From the channel's deposit account for the participant.
    Sweep {
        /// The channel's params, should this be its first deposit.
        params: Params,
    },
    /// To the receiver that the participant authorised.
    Payout {
        /// The receiver.
        receiver: Account,
    },
}

/// A ledger remembers transfers for 24 hours (ICRC-1, `TX_WINDOW`) and accepts a `created_at_time`
/// a minute or two off. Beyond this age none of ours can execute any more.
const SURELY_EXPIRED_NS: u64 = (24 * 60 + 10) * 60 * 1_000_000_000;

/// So many transfers may have an unknown outcome before no further deposit is begun: while a ledger
/// is down, nobody can fill the memory with what it will never execute. Payouts are never held up.
pub const MAX_UNKNOWN: u64 = 10_000;

/// The shortest time between two attempts by timer.
const MIN_RETRY_NS: u64 = 30 * 1_000_000_000;
/// The longest time between two attempts by timer.
const MAX_RETRY_NS: u64 = 3_600 * 1_000_000_000;

impl Entry {
    /// What leaves the channel's funds if this executes; nothing for deposits.
    pub fn debit(&self) -> Amount {
        match self.kind {
            Kind::Payout { .. } => self
                .amount
                .checked_add(self.fee)
                .expect("amount and fee were taken from one remainder"),
            Kind::Pull { .. } | Kind::Sweep { .. } => Amount::ZERO,
        }
    }

    /// Whether the ledger is surely too old for it to execute, whatever it answers.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now.nanos_since(self.created_at) > SURELY_EXPIRED_NS
    }

    /// When the timer should try again: the pauses double from half a minute to an hour.
    pub fn next_retry(&self) -> Timestamp {
        let doublings = self.sends.saturating_sub(1).min(20);
        let pause_ns = (MIN_RETRY_NS << doublings).min(MAX_RETRY_NS);
        self.last_sent.saturating_add_nanos(pause_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_NS: u64 = 60_000_000_000;

    fn entry(sends: u32) -> Entry {
        Entry {
            channel: ChannelId::from_bytes([1; 32]),
            asset: AssetIdx::new(0),
            part: PartIdx::new(0),
            ledger: Principal::anonymous(),
            amount: Amount::new(7),
            fee: Amount::new(2),
            created_at: Timestamp::from_nanos(1_000),
            sends,
            last_sent: Timestamp::from_nanos(5_000),
            kind: Kind::Payout {
                receiver: Account::of(perun_protocol::Principal::from_slice(&[1]).unwrap()),
            },
        }
    }

    #[test]
    fn the_pauses_between_attempts_double_up_to_an_hour() {
        let half_minutes = [
            (0, 1),
            (1, 1),
            (2, 2),
            (3, 4),
            (7, 64),
            (8, 120),
            (60, 120),
            (u32::MAX, 120),
        ];
        for (sends, pause) in half_minutes {
            let next = entry(sends).next_retry();
            assert_eq!(next.nanos(), 5_000 + pause * MINUTE_NS / 2, "{sends}");
        }
    }

    #[test]
    fn it_is_expired_a_day_and_ten_minutes_after_it_was_made() {
        let day_and_more = 1_000 + (24 * 60 + 10) * MINUTE_NS;
        for (at, is_expired) in [(0, false), (day_and_more, false), (day_and_more + 1, true)] {
            let at = Timestamp::from_nanos(at);
            assert_eq!(entry(1).is_expired(at), is_expired, "at {at}");
        }
    }
}
