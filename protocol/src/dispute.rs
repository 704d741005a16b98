//! Disputes: which claim wins, until when, and what it pays.
//!
//! ```text
//! none --dispute--> Registered --timeout--> concluded --withdraw--> paid
//!   |                 |  ^ refute (newer)      ^
//!   |                 +--+                     |
//!   +------- a final state --------------------+
//! ```
//!
//! Invariants: the rank of what is registered never falls. The timeout that the first registration
//! sets is neither extended nor made earlier by a refutation, except that a final state ends the
//! window at once: nothing can be newer.
//!
//! The adjudicator decides by these rules; whoever watches it predicts its decisions by the same.

use core::fmt;

use crate::{
    Amount, AssetIdx, Balances, ChallengeDuration, PartIdx, SignedRefundClaim, SignedState, State,
    Timestamp, Version,
};

/// What somebody hands in. Once registered, only a claim of higher [`Rank`] takes its place.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Claim {
    /// "No state was ever signed by all": everybody gets the deposits back.
    Refund(SignedRefundClaim),
    /// A state that all signed.
    State(SignedState),
}

/// How new a claim is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Rank {
    /// A refund claim: older than any state.
    Refund,
    /// A state of this version.
    State(Version),
}

/// What stands at the adjudicator.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Registration {
    /// The newest claim handed in.
    pub rank: Rank,
    /// From this instant on it can no longer be refuted.
    pub timeout: Timestamp,
}

/// A deposit that a state rests on is not there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InsufficientFunding {
    /// The asset that is short.
    pub asset: AssetIdx,
    /// The participant that is short.
    pub part: PartIdx,
    /// What the adjudicator holds for it.
    pub held: Amount,
    /// What the state rests on.
    pub needed: Amount,
}

/// Why a claim does not become what is registered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DisputeError {
    /// The time to refute is over.
    ChallengeElapsed {
        /// When it ended.
        at: Timestamp,
    },
    /// Something at least as new is registered.
    Outdated {
        /// What is registered.
        registered: Rank,
        /// What was handed in.
        submitted: Rank,
    },
    /// The deposits do not cover the state, and it is not version 0. The first place that is short
    /// is named.
    InsufficientFunding(InsufficientFunding),
    /// The state locks amounts for other channels, which is not supported yet.
    LockedUnsupported,
}

impl Claim {
    /// How new it is.
    pub fn rank(&self) -> Rank {
        Rank::of(self.state())
    }

    /// The state, if it is one.
    pub fn state(&self) -> Option<&State> {
        match self {
            Self::Refund(_) => None,
            Self::State(signed) => Some(signed.state()),
        }
    }
}

impl Rank {
    /// The rank of a state, or of a refund claim if there is none.
    pub fn of(state: Option<&State>) -> Self {
        state.map_or(Self::Refund, |state| Self::State(state.version()))
    }
}

/// Decides what is registered after `claim` was handed in at `now`. `standing` is what is
/// registered before, `held` the deposits: those at the first registration, which freezes them.
///
/// The first registration sets the timeout to `now` + `duration`; a later one keeps it, so that
/// nobody can prolong a dispute. A final state can never be refuted: its timeout is `now`.
///
/// Errors are checked in this order: the window is over; something at least as new stands; amounts
/// are locked; the deposits do not cover the state. A version 0 that is not covered is registered
/// all the same, and then pays the deposits back ([`outcome`]).
pub fn register(
    standing: Option<&Registration>,
    claim: &Claim,
    held: &Balances,
    duration: ChallengeDuration,
    now: Timestamp,
) -> Result<Registration, DisputeError> {
    would_register(standing, claim.state(), held, duration, now)
}

/// What [`register`] decides if the signatures on `state` (on the refund claim, if `None`) turn out
/// to be good: it costs next to nothing and spares verifying what would be refused anyway.
pub fn would_register(
    standing: Option<&Registration>,
    state: Option<&State>,
    held: &Balances,
    duration: ChallengeDuration,
    now: Timestamp,
) -> Result<Registration, DisputeError> {
    let submitted = Rank::of(state);
    if let Some(standing) = standing {
        if standing.timeout <= now {
            return Err(DisputeError::ChallengeElapsed {
                at: standing.timeout,
            });
        }
        if submitted <= standing.rank {
            return Err(DisputeError::Outdated {
                registered: standing.rank,
                submitted,
            });
        }
    }
    if let Some(state) = state {
        if !state.allocation().locked.is_empty() {
            return Err(DisputeError::LockedUnsupported);
        }
        if state.version() != Version::INITIAL {
            covered(held, state.funding()).map_err(DisputeError::InsufficientFunding)?;
        }
    }
    let timeout = match (state, standing) {
        (Some(state), _) if state.is_final() => now,
        (_, Some(standing)) => standing.timeout,
        (_, None) => now.saturating_add_nanos(duration.nanos()),
    };
    Ok(Registration {
        rank: submitted,
        timeout,
    })
}

/// Whether every deposit is at least what the state rests on; otherwise the first that is not. In a
/// place that `held` does not have, nothing is held.
pub fn covered(held: &Balances, funding: &Balances) -> Result<(), InsufficientFunding> {
    for (asset, part, needed) in funding.iter() {
        let held = held.at(asset, part).unwrap_or(Amount::ZERO);
        if held < needed {
            return Err(InsufficientFunding {
                asset,
                part,
                held,
                needed,
            });
        }
    }
    Ok(())
}

/// What everybody gets once `state` stands unrefuted, `None` for a refund claim, out of the
/// deposits `held`. The sums are those of `held`, less what the state has locked: [`register`]
/// refuses states that lock anything.
///
/// A covered state pays its balances, and what a deposit exceeds the funding by goes back to whom
/// it came for. Everything else pays the deposits back: a refund claim, a version 0 that is not
/// covered, and what [`register`] never lets stand (another state that is not covered, or one of
/// another shape).
pub fn outcome(state: Option<&State>, held: &Balances) -> Balances {
    let covering = state
        .filter(|state| state.funding().same_shape(held) && covered(held, state.funding()).is_ok());
    let Some(state) = covering else {
        return held.clone();
    };
    let balances = &state.allocation().balances;
    let paid = balances.iter().zip(held.iter()).zip(state.funding().iter());
    let amounts = paid.map(|(((_, _, balance), (_, _, held)), (_, _, funding))| {
        let surplus = held.checked_sub(funding).expect("the state is covered");
        balance
            .checked_add(surplus)
            .expect("balances add up to the funding, so no payout exceeds the asset's sum held")
    });
    Balances::new(held.parts(), amounts.collect())
        .expect("the sums are at most those of the deposits, in the same shape")
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refund => write!(f, "a refund claim"),
            Self::State(version) => write!(f, "version {version}"),
        }
    }
}

impl fmt::Display for InsufficientFunding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "participant {} has deposited {} of asset {}, the state rests on {}",
            self.part, self.held, self.asset, self.needed
        )
    }
}

impl fmt::Display for DisputeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ChallengeElapsed { at } => write!(f, "the time to refute ended at {at}"),
            Self::Outdated {
                registered,
                submitted,
            } => write!(f, "{registered} is registered, {submitted} is not newer"),
            Self::InsufficientFunding(error) => error.fmt(f),
            Self::LockedUnsupported => {
                write!(f, "states with locked amounts cannot be enforced yet")
            }
        }
    }
}

impl core::error::Error for InsufficientFunding {}
impl core::error::Error for DisputeError {}
