//! Views: what the adjudicator was certainly seen to say about a channel, and as of when.
//!
//! ```text
//! Open ──dispute──> Registered ──timeout──> Concluded ──withdraw──> (paid)
//!   │                 │  ^ refuted              ^
//!   │                 +──+                      │
//!   +───────────── a final state ───────────────+
//! ```
//!
//! A view can be older than the world, never wrong about it: whoever looks takes the time first and
//! vouches that the rest was seen not earlier.
//!
//! Invariant: for one channel the status only moves along the arrows; the rank never falls and the
//! timeout never becomes earlier.

use alloc::vec::Vec;

use crate::dispute::Rank;
use crate::{Amount, Balances, SignedState, Timestamp};

/// What was seen of a channel at its adjudicator.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct View {
    /// The adjudicator's time, not later than when anything of this was seen. What happened before
    /// is in the view.
    pub at: Timestamp,
    /// How far the channel was.
    pub status: Status,
}

/// How far a channel is, and what its adjudicator holds.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Status {
    /// Nothing is registered, deposits arrive.
    Open {
        /// The deposits; zeros if none has arrived.
        holdings: Balances,
    },
    /// A claim is registered and can be refuted until the timeout. Whether the timeout has passed
    /// is for the reader to say: the adjudicator moves on only when somebody concludes.
    Registered {
        /// How new the claim is.
        rank: Rank,
        /// The state, `None` for a refund claim.
        signed: Option<SignedState>,
        /// From this instant on it can no longer be refuted. It may move later, never earlier.
        timeout: Timestamp,
        /// The deposits. They only grow, and what came after the registration does not count for
        /// what the claim rests on.
        holdings: Balances,
    },
    /// Payouts are fixed.
    Concluded {
        /// What is still to be paid.
        remainders: Balances,
        /// For each asset: what has left for a receiver and is not known to have arrived. If it
        /// does not arrive, it is a remainder again.
        in_flight: Vec<Amount>,
    },
}
