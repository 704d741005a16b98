//! States: who gets what if the channel ended now.

use alloc::vec::Vec;
use core::fmt;

use crate::encoding::{Canonical, Domain, digest};
use crate::signature::Digest;
use crate::{
    Amount, AssetIdx, Balances, BalancesError, ChannelId, MAX_PARTICIPANTS, Params, PartIdx,
};

/// Sub-allocations in one state, at most. Each adds up to 178 bytes to every signed state.
pub const MAX_LOCKED: usize = 8;
/// Bytes of app data in one state, at most: a running hash and some numbers, not a document.
pub const MAX_APP_DATA_LENGTH: usize = 256;

/// How many times the allocation has been replaced; the state that all sign before anybody deposits
/// is version 0.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Version(u64);

/// Who gets what, and what is locked away for other channels.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Allocation {
    /// What each participant would get of each asset.
    pub balances: Balances,
    /// Amounts that belong to nobody until a sub- or virtual channel is settled.
    pub locked: Vec<SubAllocation>,
}

/// An amount of each asset, locked for another channel.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct SubAllocation {
    /// What kind of channel it is locked for.
    pub kind: LockedKind,
    /// The channel it is locked for.
    pub id: ChannelId,
    /// One amount for each asset of this channel.
    pub amounts: Vec<Amount>,
    /// For each participant of the other channel, in its order, who that is in this one.
    pub index_map: Vec<PartIdx>,
}

/// What an amount is locked for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum LockedKind {
    /// A channel among the same participants.
    Sub,
    /// A channel across an intermediary.
    Virtual,
}

/// One state of a channel. Signed by all participants it is a
/// [`SignedState`](crate::SignedState).
///
/// Invariant: for each asset the balances and locked amounts add up to the funding, and everything
/// has the same shape.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct State {
    channel: ChannelId,
    version: Version,
    allocation: Allocation,
    funding: Balances,
    app_data: Vec<u8>,
    is_final: bool,
}

/// Why a state is refused.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StateError {
    /// Balances or funding are no proper table.
    Balances(BalancesError),
    /// The funding has another shape than the balances.
    FundingShape,
    /// Balances and locked amounts of an asset do not add up to its funding.
    NotConserved {
        /// The asset.
        asset: AssetIdx,
    },
    /// More than [`MAX_LOCKED`] sub-allocations.
    TooManyLocked {
        /// How many were given.
        count: usize,
    },
    /// A sub-allocation has not one amount per asset, its index map has more than
    /// [`MAX_PARTICIPANTS`] entries, or one of them names no participant.
    LockedShape {
        /// Its position in the list.
        position: usize,
    },
    /// A sub-allocation names a channel that an earlier one names.
    DuplicateLocked {
        /// Its position in the list.
        position: usize,
    },
    /// More than [`MAX_APP_DATA_LENGTH`] bytes of app data.
    AppDataTooLong {
        /// How many were given.
        length: usize,
    },
}

impl Version {
    /// The version that all sign before anybody deposits.
    pub const INITIAL: Self = Self(0);

    /// The version with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// `None` when the counter is spent: such a channel can only be concluded.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl State {
    /// A state that nobody has locked anything in, without app data, and not final. `funding` is
    /// the deposits it rests on. Refused like [`State::from_parts`].
    pub fn new(
        channel: ChannelId,
        version: Version,
        balances: Balances,
        funding: Balances,
    ) -> Result<Self, StateError> {
        let allocation = Allocation {
            balances,
            locked: Vec::new(),
        };
        Self::from_parts(channel, version, allocation, funding, Vec::new(), false)
    }

    /// A state from all of its fields. Refused unless each asset's balances and locked amounts add
    /// up to its funding, everything has the same shape, and lists are within their bounds.
    pub fn from_parts(
        channel: ChannelId,
        version: Version,
        allocation: Allocation,
        funding: Balances,
        app_data: Vec<u8>,
        is_final: bool,
    ) -> Result<Self, StateError> {
        let state = Self {
            channel,
            version,
            allocation,
            funding,
            app_data,
            is_final,
        };
        state.check()?;
        Ok(state)
    }

    /// The same state, final: it can be concluded without a dispute.
    pub fn finalized(self) -> Self {
        Self {
            is_final: true,
            ..self
        }
    }

    fn check(&self) -> Result<(), StateError> {
        let Allocation { balances, locked } = &self.allocation;
        if !self.funding.same_shape(balances) {
            return Err(StateError::FundingShape);
        }
        if locked.len() > MAX_LOCKED {
            let count = locked.len();
            return Err(StateError::TooManyLocked { count });
        }
        for (position, sub) in locked.iter().enumerate() {
            let is_known = |part: &PartIdx| part.index() < balances.parts();
            if sub.amounts.len() != balances.assets()
                || sub.index_map.len() > MAX_PARTICIPANTS
                || !sub.index_map.iter().all(is_known)
            {
                return Err(StateError::LockedShape { position });
            }
            if locked[..position]
                .iter()
                .any(|earlier| earlier.id == sub.id)
            {
                return Err(StateError::DuplicateLocked { position });
            }
        }
        for (index, (row, funded)) in balances.rows().zip(self.funding.rows()).enumerate() {
            let locked = locked.iter().map(|sub| sub.amounts[index]);
            let allocated = Amount::checked_sum(row.iter().copied().chain(locked));
            if allocated.is_none() || allocated != Amount::checked_sum(funded.iter().copied()) {
                let asset = AssetIdx::new(index as u8);
                return Err(StateError::NotConserved { asset });
            }
        }
        if self.app_data.len() > MAX_APP_DATA_LENGTH {
            let length = self.app_data.len();
            return Err(StateError::AppDataTooLong { length });
        }
        Ok(())
    }

    /// Whether this state has as many assets and participants as `params`.
    pub fn has_shape_of(&self, params: &Params) -> bool {
        self.funding.assets() == params.assets().len()
            && self.funding.parts() == params.participants().len()
    }

    /// What the participants sign.
    pub fn digest(&self) -> Digest {
        digest(Domain::State, &self.encode())
    }

    /// The channel this is a state of.
    pub fn channel(&self) -> ChannelId {
        self.channel
    }

    /// How many states came before.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Who gets what.
    pub fn allocation(&self) -> &Allocation {
        &self.allocation
    }

    /// The deposits that this state rests on: it can be enforced in full only if the adjudicator
    /// holds at least these.
    pub fn funding(&self) -> &Balances {
        &self.funding
    }

    /// The app's data, at most [`MAX_APP_DATA_LENGTH`] bytes.
    pub fn app_data(&self) -> &[u8] {
        &self.app_data
    }

    /// Whether the participants agreed that this is the end.
    pub fn is_final(&self) -> bool {
        self.is_final
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<BalancesError> for StateError {
    fn from(error: BalancesError) -> Self {
        Self::Balances(error)
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Balances(error) => error.fmt(f),
            Self::FundingShape => write!(f, "the funding has another shape than the balances"),
            Self::NotConserved { asset } => write!(
                f,
                "balances and locked amounts of asset {asset} do not add up to its funding"
            ),
            Self::TooManyLocked { count } => {
                write!(
                    f,
                    "{count} sub-allocations, at most {MAX_LOCKED} are allowed"
                )
            }
            Self::LockedShape { position } => write!(
                f,
                "sub-allocation {position} does not fit the channel's assets and participants"
            ),
            Self::DuplicateLocked { position } => write!(
                f,
                "sub-allocation {position} is for the same channel as an earlier one"
            ),
            Self::AppDataTooLong { length } => write!(
                f,
                "{length} bytes of app data, at most {MAX_APP_DATA_LENGTH} are allowed"
            ),
        }
    }
}

impl core::error::Error for StateError {}
