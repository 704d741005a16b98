//! What the owner lets the device sign, whoever asks for it.
//!
//! ```text
//!  pay, propose, accept ──> Policy ──> the channel's machine signs
//!                             └─────> PolicyError: nothing was signed, and the owner may approve
//! ```
//!
//! What a peer proposes can only pay the device (the machine sees to it), and needs no approval.
//! What the device gives away passes here: payments, and the deposits and shares of a new channel.
//!
//! Limits are hard: the owner's approval lifts [`AssetPolicy::ask_above`] and lets a channel begin
//! that leaves the device less than it deposits, nothing else.

use alloc::vec::Vec;
use core::fmt;

use perun_protocol::wire::Terms;
use perun_protocol::{Amount, AssetId, ChallengeDuration, PartIdx, PublicKey};

/// What may be signed.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The peers that are known. Nobody else is talked to.
    pub peers: Vec<PublicKey>,
    /// The assets that are known, and how much of each may be given away.
    pub assets: Vec<AssetPolicy>,
    /// The length of a period, in nanoseconds.
    pub period_ns: u64,
    /// The longest challenge duration of a channel: for so long a peer that vanishes can hold the
    /// device's money up.
    pub max_challenge: ChallengeDuration,
    /// Whether nothing is given away at all: no payments, no deposits.
    pub receive_only: bool,
    /// Whether proposals within the limits are accepted without asking the owner.
    pub accepts_proposals: bool,
}

/// How much of an asset may be given away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AssetPolicy {
    /// The asset.
    pub asset: AssetId,
    /// The most in one payment.
    pub per_payment: Amount,
    /// The most in one period, to all peers together.
    pub per_period: Amount,
    /// The most in one period, to one peer.
    pub per_peer: Amount,
    /// Payments above this need the owner's approval.
    pub ask_above: Amount,
    /// The most that is deposited in one channel.
    pub max_deposit: Amount,
}

/// Whether the owner stands behind a command, as by pressing a button that says so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Approval {
    /// Nobody was asked.
    None,
    /// The owner approves of this very command.
    Owner,
}

/// What was given away before, in the present period.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Given {
    /// To everybody.
    pub(crate) to_all: Amount,
    /// To the peer in question.
    pub(crate) to_peer: Amount,
}

/// The policy does not allow it. Nothing was signed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PolicyError {
    /// The peer is none that is known.
    UnknownPeer,
    /// The device only receives.
    ReceiveOnly,
    /// The asset is none that is known.
    UnknownAsset {
        /// The asset.
        asset: AssetId,
    },
    /// More than may be paid at once.
    PerPayment {
        /// What was to be paid.
        amount: Amount,
        /// What may be.
        limit: Amount,
    },
    /// More than may be paid in this period.
    PerPeriod {
        /// What was to be paid.
        amount: Amount,
        /// What is left of the period's limit.
        left: Amount,
    },
    /// More than may be paid to this peer in this period.
    PerPeer {
        /// What was to be paid.
        amount: Amount,
        /// What is left of the peer's limit.
        left: Amount,
    },
    /// The owner must approve.
    NeedsApproval {
        /// What was to be paid.
        amount: Amount,
        /// Up to which amount nobody is asked.
        above: Amount,
    },
    /// More than may be deposited in one channel.
    Deposit {
        /// What was to be deposited.
        amount: Amount,
        /// What may be.
        limit: Amount,
    },
    /// The channel would leave the device less than it deposits: the owner must approve.
    Gift {
        /// What it deposits.
        deposit: Amount,
        /// What it would have.
        balance: Amount,
    },
}

impl Policy {
    /// Whether there are dealings with a peer.
    pub(crate) fn knows(&self, peer: &PublicKey) -> bool {
        self.peers.contains(peer)
    }

    fn asset(&self, asset: AssetId) -> Result<&AssetPolicy, PolicyError> {
        let mut known = self.assets.iter();
        let known = known.find(|policy| policy.asset == asset);
        known.ok_or(PolicyError::UnknownAsset { asset })
    }

    /// Checks a payment.
    pub(crate) fn check_payment(
        &self,
        asset: AssetId,
        amount: Amount,
        given: Given,
        approval: Approval,
    ) -> Result<(), PolicyError> {
        if self.receive_only {
            return Err(PolicyError::ReceiveOnly);
        }
        let policy = self.asset(asset)?;
        let limit = policy.per_payment;
        if amount > limit {
            return Err(PolicyError::PerPayment { amount, limit });
        }
        let left = left(policy.per_period, given.to_all);
        if amount > left {
            return Err(PolicyError::PerPeriod { amount, left });
        }
        let left = self::left(policy.per_peer, given.to_peer);
        if amount > left {
            return Err(PolicyError::PerPeer { amount, left });
        }
        let above = policy.ask_above;
        if amount > above && approval == Approval::None {
            return Err(PolicyError::NeedsApproval { amount, above });
        }
        Ok(())
    }

    /// Checks the terms of a channel with `peer` in which the device is participant `part`.
    pub(crate) fn check_terms(
        &self,
        peer: &PublicKey,
        terms: &Terms,
        part: PartIdx,
        approval: Approval,
    ) -> Result<(), PolicyError> {
        if !self.knows(peer) {
            return Err(PolicyError::UnknownPeer);
        }
        let tables = terms.funding.rows().zip(terms.balances.rows());
        for (asset, (funding, balances)) in terms.assets.iter().zip(tables) {
            let policy = self.asset(*asset)?;
            let of_ours = |row: &[Amount]| row.get(part.index()).copied().unwrap_or_default();
            let (deposit, balance) = (of_ours(funding), of_ours(balances));
            if self.receive_only && !deposit.is_zero() {
                return Err(PolicyError::ReceiveOnly);
            }
            let limit = policy.max_deposit;
            if deposit > limit {
                let amount = deposit;
                return Err(PolicyError::Deposit { amount, limit });
            }
            if balance < deposit && approval == Approval::None {
                return Err(PolicyError::Gift { deposit, balance });
            }
        }
        Ok(())
    }
}

fn left(limit: Amount, given: Amount) -> Amount {
    limit.checked_sub(given).unwrap_or_default()
}

impl PolicyError {
    /// Whether the owner's approval would lift it.
    pub fn is_up_to_owner(&self) -> bool {
        matches!(self, Self::NeedsApproval { .. } | Self::Gift { .. })
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPeer => write!(f, "the peer is not among those of the settings"),
            Self::ReceiveOnly => write!(f, "the device is set to receive only"),
            Self::UnknownAsset { .. } => {
                write!(f, "the asset is not among those of the settings")
            }
            Self::PerPayment { amount, limit } => {
                write!(f, "{amount} is more than {limit}, the most in one payment")
            }
            Self::PerPeriod { amount, left } => {
                write!(
                    f,
                    "{amount} is more than {left}, what is left of the period's limit"
                )
            }
            Self::PerPeer { amount, left } => {
                write!(
                    f,
                    "{amount} is more than {left}, what is left of the peer's limit"
                )
            }
            Self::NeedsApproval { amount, above } => {
                write!(f, "{amount} is above {above}: the owner must approve")
            }
            Self::Deposit { amount, limit } => {
                write!(f, "{amount} is more than {limit}, the largest deposit")
            }
            Self::Gift { deposit, balance } => write!(
                f,
                "of {deposit} deposited only {balance} would be the device's: the owner must approve"
            ),
        }
    }
}

impl core::error::Error for PolicyError {}
