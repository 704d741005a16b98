//! One channel: what is held for it, what is registered, what is still to be paid.
//!
//! ```text
//! Open --first claim--> Registered --timeout--> Concluded
//!   |   (freezes the      |  ^ refute (newer)      ^
//!   |    deposits)        +--+                     |
//!   +------------ a final state -------------------+
//! ```
//!
//! Invariant: in every phase the amounts add up, asset by asset, to what arrived less what was paid
//! or is on its way out.

use perun_protocol::dispute::{self, Claim, DisputeError, Rank, Registration};
use perun_protocol::signature::Digest;
use perun_protocol::{
    Amount, AssetIdx, Balances, Params, PartIdx, State, Timestamp, UnverifiedSignedState, Version,
};

use crate::clock::Uptime;

/// A channel that money has arrived for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Channel {
    pub(crate) params: Params,
    pub(crate) phase: Phase,
    /// The position of its last event in the log.
    pub(crate) last_event: Option<u64>,
}

/// How far a channel is. What makes no sense in a phase does not exist in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Phase {
    /// Nothing is registered.
    Open {
        /// The deposits.
        holdings: Balances,
    },
    /// A claim is registered and can be refuted until the timeout.
    Registered {
        /// The deposits at the first registration; claims are judged by these.
        held: Balances,
        /// Deposits since: their participants' surplus.
        late: Balances,
        /// The newest claim.
        claim: RegisteredClaim,
        /// The end of the window.
        timeout: Uptime,
    },
    /// Payouts are fixed.
    Concluded {
        /// What is still to be paid.
        remainders: Balances,
        /// The claim that stood.
        claim: RegisteredClaim,
        /// When its window ended.
        timeout: Timestamp,
    },
}

/// What is registered. The signatures were verified before it came here; they are kept so that
/// every participant can read a state that a peer completed and registered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RegisteredClaim {
    /// A refund claim.
    Refund,
    /// A state with all signatures.
    State(UnverifiedSignedState),
    /// What the event log says of a state, once the channel is finished.
    Digest {
        /// Its version.
        version: Version,
        /// Its digest.
        digest: Digest,
    },
}

impl Channel {
    /// A channel that nothing has arrived for yet.
    pub fn open(params: Params) -> Self {
        let holdings = Balances::zero(params.assets().len(), params.participants().len())
            .expect("params have a shape that balances can have");
        Self {
            params,
            phase: Phase::Open { holdings },
            last_event: None,
        }
    }

    /// Whether nothing was ever written down of it: everything that is comes with an event.
    pub(crate) fn is_new(&self) -> bool {
        self.last_event.is_none()
    }

    /// What the channel is.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// How far the channel is.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// What is held of `asset` for `part`: deposits, or what is still to be paid.
    pub fn held(&self, asset: AssetIdx, part: PartIdx) -> Option<Amount> {
        match &self.phase {
            Phase::Open { holdings } => holdings.at(asset, part),
            Phase::Registered { held, late, .. } => {
                held.at(asset, part)?.checked_add(late.at(asset, part)?)
            }
            Phase::Concluded { remainders, .. } => remainders.at(asset, part),
        }
    }

    /// What is held of `asset` for all, `None` if the channel has no such asset.
    pub fn total(&self, asset: AssetIdx) -> Option<Amount> {
        match &self.phase {
            Phase::Open { holdings } => holdings.total(asset),
            Phase::Registered { held, late, .. } => {
                held.total(asset)?.checked_add(late.total(asset)?)
            }
            Phase::Concluded { remainders, .. } => remainders.total(asset),
        }
    }

    /// Adds a deposit and returns what is held for the participant since. `None` if there is no
    /// such place or the asset's total would exceed 128 bits; then nothing changed.
    #[must_use = "nothing was credited if this is None"]
    pub fn credit(&mut self, asset: AssetIdx, part: PartIdx, amount: Amount) -> Option<Amount> {
        self.total(asset)?.checked_add(amount)?;
        let balances = match &mut self.phase {
            Phase::Open { holdings } => holdings,
            Phase::Registered { late, .. } => late,
            Phase::Concluded { remainders, .. } => remainders,
        };
        balances.checked_add_at(asset, part, amount)?;
        self.held(asset, part)
    }

    /// What would be registered after a claim for `state`, or after a refund claim if `None`.
    pub fn would_register(
        &self,
        state: Option<&State>,
        now: Uptime,
    ) -> Result<Registration, DisputeError> {
        let duration = self.params.challenge_duration();
        match &self.phase {
            Phase::Open { holdings } => {
                dispute::would_register(None, state, holdings, duration, now.0)
            }
            Phase::Registered {
                held,
                claim,
                timeout,
                ..
            } => {
                let standing = Registration {
                    rank: claim.rank(),
                    timeout: timeout.0,
                };
                dispute::would_register(Some(&standing), state, held, duration, now.0)
            }
            Phase::Concluded { timeout, .. } => {
                Err(DisputeError::ChallengeElapsed { at: *timeout })
            }
        }
    }

    /// Registers a claim, or refutes by it what is registered. The first one freezes the deposits.
    pub fn register(&mut self, claim: &Claim, now: Uptime) -> Result<Registration, DisputeError> {
        let registration = self.would_register(claim.state(), now)?;
        let (held, late) = match &self.phase {
            Phase::Open { holdings } => {
                let none = Balances::zero(holdings.assets(), holdings.parts());
                (holdings.clone(), none.expect("a table of the same shape"))
            }
            Phase::Registered { held, late, .. } => (held.clone(), late.clone()),
            Phase::Concluded { .. } => unreachable!("nothing can be registered any more"),
        };
        self.phase = Phase::Registered {
            held,
            late,
            claim: RegisteredClaim::from(claim),
            timeout: Uptime(registration.timeout),
        };
        Ok(registration)
    }

    /// Fixes the payouts of a registered channel and returns them; `at` is the wall time at which
    /// its window ended. `None` in any other phase.
    pub fn conclude(&mut self, at: Timestamp) -> Option<Balances> {
        let Phase::Registered {
            held, late, claim, ..
        } = &self.phase
        else {
            return None;
        };
        let mut remainders = dispute::outcome(claim.state(), held);
        for (asset, part, amount) in late.iter() {
            remainders
                .checked_add_at(asset, part, amount)
                .expect("crediting has checked that the total fits 128 bits");
        }
        for asset in (0..held.assets()).map(|index| AssetIdx::new(index as u8)) {
            assert_eq!(
                remainders.total(asset),
                self.total(asset),
                "a conclusion neither makes nor destroys money"
            );
        }
        self.phase = Phase::Concluded {
            remainders: remainders.clone(),
            claim: claim.clone(),
            timeout: at,
        };
        Some(remainders)
    }

    /// Whether it is concluded and nothing is left to be paid.
    pub fn is_paid_out(&self) -> bool {
        match &self.phase {
            Phase::Concluded { remainders, .. } => remainders
                .iter()
                .all(|(_, _, remainder)| remainder.is_zero()),
            Phase::Open { .. } | Phase::Registered { .. } => false,
        }
    }

    /// Takes a participant's whole remainder out of a concluded channel, `None` in any other phase
    /// or for a place that does not exist.
    pub fn take_remainder(&mut self, asset: AssetIdx, part: PartIdx) -> Option<Amount> {
        match &mut self.phase {
            Phase::Concluded { remainders, .. } => remainders.take_at(asset, part),
            Phase::Open { .. } | Phase::Registered { .. } => None,
        }
    }
}

impl RegisteredClaim {
    /// How new the claim is.
    pub fn rank(&self) -> Rank {
        match self {
            Self::Refund => Rank::Refund,
            Self::State(signed) => Rank::of(Some(&signed.state)),
            Self::Digest { version, .. } => Rank::State(*version),
        }
    }

    /// The state, if it is one and is still there.
    pub fn state(&self) -> Option<&State> {
        match self {
            Self::Refund | Self::Digest { .. } => None,
            Self::State(signed) => Some(&signed.state),
        }
    }

    /// Whether it is this state.
    pub fn is(&self, state: &State) -> bool {
        match self {
            Self::Refund => false,
            Self::State(signed) => signed.state == *state,
            Self::Digest { digest, .. } => *digest == state.digest(),
        }
    }

    /// As the log tells it.
    pub(crate) fn from_log(rank: Rank, digest: Option<Digest>) -> Self {
        match (rank, digest) {
            (Rank::State(version), Some(digest)) => Self::Digest { version, digest },
            (Rank::Refund, _) | (_, None) => Self::Refund,
        }
    }
}

impl From<&Claim> for RegisteredClaim {
    fn from(claim: &Claim) -> Self {
        match claim {
            Claim::Refund(_) => Self::Refund,
            Claim::State(signed) => Self::State(signed.clone().into()),
        }
    }
}
