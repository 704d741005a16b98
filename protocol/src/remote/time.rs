//! What time it is at the adjudicator.

use minicbor::{Decode, Encode};

use crate::Timestamp;

/// Tells the time.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct Time {
    /// The adjudicator's time as the node estimates it when it answers.
    #[n(0)]
    pub now: Timestamp,
}
