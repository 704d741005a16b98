//! Many claims in one message: a watcher of many channels hands them in for the price of one.
//!
//! Each entry is judged as if it had come alone, in the order given, so that one that is refused holds
//! up no other, and a channel may come twice.

use perun_canister_api::{DisputeManyError, DisputeRequest, DisputeResult};
use perun_protocol::Timestamp;

use crate::Adjudicator;

/// The most claims in one message.
///
/// | what bounds it | allows |
/// |---|---|
/// | a slice of 2 G instructions, i.e. one round, at 8.3 M for two signatures | 240 |
/// | the answer of 2 MiB: each entry may tell the 7 KiB that are registered | 290 |
/// | 40 G instructions in all, at 66 M for sixteen signatures | 600 |
///
/// With a hundred a usual message is over within one round: it delays a refutation that comes behind it
/// by less than a tick. The worst weighs a sixth of what a message may.
pub const MAX_DISPUTES: usize = 100;

/// The longest request of that many, in bytes: twice a hundred claims of two participants. Far below
/// the 2 MiB that a message may have, because the canister pays for each byte of a stranger's.
pub const MAX_BATCH_BYTES: usize = 128 * 1024;

impl Adjudicator {
    /// Registers claims one after the other, and tells of each what became of it.
    pub fn dispute_many(
        &mut self,
        requests: &[DisputeRequest],
        now: Timestamp,
    ) -> Result<Vec<DisputeResult>, DisputeManyError> {
        if requests.len() > MAX_DISPUTES {
            return Err(DisputeManyError::TooMany {
                given: requests.len() as u64,
                max: MAX_DISPUTES as u32,
            });
        }
        let results = requests.iter().map(|request| self.dispute(request, now));
        Ok(results.collect())
    }
}
