//! Histories: every payment of a channel, checked against a signed state.

use alloc::vec::Vec;
use core::fmt;

use crate::payment::{Batch, PAYMENT_APP, Tally, TallyError};
use crate::{Amount, AssetIdx, Balances, ChannelId, Params, PartIdx, SignedState, Version};

/// The payments of one update.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The state that they led to.
    pub version: Version,
    /// Who paid.
    pub payer: PartIdx,
    /// What was paid.
    pub payments: Batch,
}

/// A channel's payments from its opening on, as somebody tells them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct History {
    /// The balances that everything started with.
    pub opening: Balances,
    /// The updates that carried payments, oldest first.
    pub entries: Vec<Entry>,
}

/// Why a history is not the one that a state stands for.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HistoryError {
    /// The channel does not have the payment app: its states prove no payments.
    NoPaymentApp,
    /// The state is one of another channel.
    WrongChannel {
        /// The channel of the params.
        expected: ChannelId,
        /// The channel of the state.
        found: ChannelId,
    },
    /// The state has no tally.
    Tally(TallyError),
    /// The history has another number of payments than the state counts.
    Count {
        /// How many the state counts.
        expected: u64,
        /// How many the history has.
        found: u64,
    },
    /// The numbers agree, but a payment, a payer, the order or an opening balance is another.
    Hash,
    /// The history is of other assets or participants than the channel.
    WrongShape,
    /// The versions of the entries do not grow, or exceed that of the state.
    Order {
        /// The first version that is out of place.
        version: Version,
    },
    /// The payments do not lead from the opening balances to those of the state.
    Balance {
        /// The asset.
        asset: AssetIdx,
        /// The participant.
        part: PartIdx,
    },
}

impl History {
    /// Checks that these are all payments that led to `signed`, in this order and by these payers:
    /// every one of them was agreed to by all participants.
    ///
    /// How payments were divided among updates is part of what is checked; the versions are not,
    /// beyond their order.
    pub fn verify(&self, params: &Params, signed: &SignedState) -> Result<(), HistoryError> {
        if params.app() != PAYMENT_APP {
            return Err(HistoryError::NoPaymentApp);
        }
        let (expected, found) = (params.id(), signed.channel());
        if expected != found {
            return Err(HistoryError::WrongChannel { expected, found });
        }
        let claimed = Tally::of(signed.state()).map_err(HistoryError::Tally)?;
        let balances = &signed.state().allocation().balances;
        if !self.opening.same_shape(balances) {
            return Err(HistoryError::WrongShape);
        }
        let mut tally = Tally::opening(&self.opening);
        let mut before = None;
        for entry in &self.entries {
            let version = entry.version;
            if before.is_some_and(|before| before >= version) || version > signed.version() {
                return Err(HistoryError::Order { version });
            }
            if entry.payer.index() >= balances.parts()
                || entry.payments.assets_needed() > balances.assets()
            {
                return Err(HistoryError::WrongShape);
            }
            tally = tally.after(entry.payer, &entry.payments);
            before = Some(version);
        }
        if tally.count != claimed.count {
            return Err(HistoryError::Count {
                expected: claimed.count,
                found: tally.count,
            });
        }
        if tally.hash != claimed.hash {
            return Err(HistoryError::Hash);
        }
        self.check_balances(balances)
    }

    /// Plays the payments and compares what everybody has in the end. Channels of two only have one
    /// payee; that of a larger one is not told by the records yet.
    fn check_balances(&self, balances: &Balances) -> Result<(), HistoryError> {
        for (asset, part, expected) in balances.iter() {
            let opening = self.opening.at(asset, part).expect("the shapes are equal");
            let paid = |by_part: bool| {
                let entries = self.entries.iter();
                let matching = entries.filter(|entry| (entry.payer == part) == by_part);
                Amount::checked_sum(matching.map(|entry| entry.payments.total(asset)))
            };
            // Sums of a long history may exceed 128 bits where the balances never did.
            let (Some(sent), Some(received)) = (paid(true), paid(false)) else {
                continue;
            };
            let left = opening
                .checked_add(received)
                .and_then(|sum| sum.checked_sub(sent));
            if left.is_some_and(|left| left != expected) {
                return Err(HistoryError::Balance { asset, part });
            }
        }
        Ok(())
    }
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPaymentApp => write!(
                f,
                "the channel does not have the payment app, so its states prove no payments"
            ),
            Self::WrongChannel { expected, found } => write!(
                f,
                "the state is one of channel {found}, the history of {expected}"
            ),
            Self::Tally(error) => error.fmt(f),
            Self::Count { expected, found } => write!(
                f,
                "the history has {found} payments, the signed state counts {expected}"
            ),
            Self::Hash => write!(
                f,
                "the history has as many payments as the signed state counts, but not the same ones"
            ),
            Self::WrongShape => write!(
                f,
                "the history is of other assets or participants than the channel"
            ),
            Self::Order { version } => {
                write!(f, "the entry of version {version} is out of order")
            }
            Self::Balance { asset, part } => write!(
                f,
                "the payments do not lead to the balance of participant {part} in asset {asset}"
            ),
        }
    }
}

impl core::error::Error for HistoryError {}
