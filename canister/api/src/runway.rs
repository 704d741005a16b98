//! How long the cycles last. Told to controllers only: to anybody else it would say how long to go on
//! draining them.

use candid::CandidType;
use serde::Deserialize;

/// Answers `cycles_runway`. What it cannot know is what comes: a flood of messages burns more than any
/// day before, and a subnet may change its prices.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Runway {
    /// What the canister has.
    pub balance_cycles: u128,
    /// Below this balance it is frozen: it takes no message then, no refutation either. Time in which
    /// it is frozen counts for no challenge duration.
    pub frozen_below_cycles: u128,
    /// What it burns for its memory if nobody calls it, as the subnet says.
    pub idle_burn_per_day_cycles: u128,
    /// What it burned by its own readings, a day; none before there are two. From readings between
    /// which the balance rose nothing can be told, so these are left out.
    pub measured_burn_per_day_cycles: Option<u128>,
    /// The length of time that this was measured over.
    pub measured_over_s: u64,
    /// The days until it is frozen, at the greater of the two; none if it burns nothing.
    pub days_left: Option<u64>,
}

/// Why it is not told.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub enum RunwayError {
    /// The caller is no controller of the canister.
    NotController,
    /// The subnet has not said what the canister burns: try again.
    Unavailable {
        /// The system's words.
        message: String,
    },
}
