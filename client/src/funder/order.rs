//! A deposit as it is made up, before anything is paid.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use perun_protocol::{Account, Amount, AssetId, ChannelId, Params, PartIdx, Timestamp};

use crate::Transfer;

/// By which of the adjudicator's two doors money comes in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Door {
    /// ICRC-2: approve, then let the adjudicator pull. Costs two fees.
    Approval,
    /// Pay into the deposit account, then have it swept. Costs two fees, and any wallet can do the
    /// first step.
    DepositAccount,
}

/// A deposit with everything that makes it happen once.
#[derive(Clone, Debug)]
pub struct DepositOrder {
    pub(super) params: Params,
    pub(super) part: PartIdx,
    pub(super) asset: AssetId,
    pub(super) amount: Amount,
    pub(super) fee: Amount,
    pub(super) with_fee: Amount,
    pub(super) door: Door,
    pub(super) payer: Account,
    pub(super) expected_holding: Amount,
    pub(super) created_at: Timestamp,
    pub(super) memo: [u8; 32],
    pub(super) begun: bool,
}

impl DepositOrder {
    /// What the participant is to be credited.
    pub fn amount(&self) -> Amount {
        self.amount
    }

    /// The ledger's fee when the order was made up. A deposit costs it twice.
    pub fn fee(&self) -> Amount {
        self.fee
    }

    /// The account that pays.
    pub fn payer(&self) -> Account {
        self.payer
    }

    /// The transfer to the deposit account: share and one fee for the sweep.
    pub(super) fn transfer(&self) -> Transfer {
        Transfer {
            from_subaccount: self.payer.subaccount,
            to: Account::of_deposit(&self.params, self.part),
            amount: self.with_fee,
            fee: self.fee,
            memo: self.memo,
            created_at: self.created_at,
        }
    }
}

/// A memo that no other order has: ledgers take two transfers for one if they are equal and were
/// made up at the same time, and several orders can see the same time of the subnet.
///
/// The first half shows people which channel it was for; the second is this machine's time, the
/// process and a counter.
pub(super) fn new_memo(channel: ChannelId) -> [u8; 32] {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = since_1970.map_or(0, |passed| passed.as_nanos() as u64);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let mut memo = [0; 32];
    memo[..16].copy_from_slice(&channel.as_bytes()[..16]);
    memo[16..24].copy_from_slice(&nanos.to_be_bytes());
    memo[24..28].copy_from_slice(&std::process::id().to_be_bytes());
    memo[28..].copy_from_slice(&count.to_be_bytes());
    memo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_orders_share_a_memo() {
        let channel = ChannelId::from_bytes([7; 32]);
        let (first, second) = (new_memo(channel), new_memo(channel));
        assert_ne!(first, second);
        assert_eq!(first[..16], channel.as_bytes()[..16]);
    }
}
