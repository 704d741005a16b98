//! Accounts on ICRC ledgers, and those that the adjudicator keeps a channel's money in.
//!
//! Each channel's funds lie in a subaccount of their own, so that the ledger itself keeps channels
//! apart. Everybody can compute these accounts; nobody needs to ask where to pay.

use alloc::vec::Vec;

use crate::encoding::{Canonical, Domain, digest};
use crate::{ChannelId, Params, PartIdx, Principal};

/// An account on an ICRC ledger (ICRC-1, "Account").
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Account {
    /// Whose account it is.
    pub owner: Principal,
    /// Which of the owner's accounts; zeros are the default one.
    pub subaccount: [u8; 32],
}

impl Account {
    /// The default account of `owner`.
    pub const fn of(owner: Principal) -> Self {
        Self {
            owner,
            subaccount: [0; 32],
        }
    }

    /// Where the adjudicator of `params` holds the funds of their channel. Never pay to it
    /// directly: what arrives there counts for nobody.
    pub fn of_funds(adjudicator: Principal, channel: ChannelId) -> Self {
        let subaccount = digest(Domain::FundsAccount, channel.as_bytes());
        Self {
            owner: adjudicator,
            subaccount,
        }
    }

    /// Where any wallet can pay a deposit for `part` to; the adjudicator's `deposit` then sweeps it
    /// into the channel's funds.
    pub fn of_deposit(params: &Params, part: PartIdx) -> Self {
        Self::of_deposit_for(params.adjudicator(), params.id(), part)
    }

    /// Like [`Account::of_deposit`], for those who have the channel's id at hand.
    pub fn of_deposit_for(adjudicator: Principal, channel: ChannelId, part: PartIdx) -> Self {
        let mut bytes = Vec::new();
        channel.encode_to(&mut bytes);
        part.encode_to(&mut bytes);
        Self {
            owner: adjudicator,
            subaccount: digest(Domain::DepositAccount, &bytes),
        }
    }
}
