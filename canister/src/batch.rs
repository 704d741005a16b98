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
/// | a slice of 2 G instructions, at 8.7 M for two signatures | 230 |
/// | the answer of 2 MiB: the states that are taken come back, 40 KiB together, and some hundred bytes each | more |
pub const MAX_DISPUTES: usize = 100;

/// The longest request of that many, in bytes: a hundred claims of two participants take 24 KiB. Nothing
/// heavier fits than 426 signatures, 1.8 G instructions: each comes with at least 96 bytes, which are itself,
/// a balance and a deposit.
///
/// So a message ends in the round in which it begins: up to 2 G instructions are one slice. The same is true
/// of every other message that writes an event: none verifies more than sixteen signatures, reads more than
/// 48 events of a channel (a batch: for each claim), closes more than a hundred windows or finishes more
/// than one channel. An event has the time of the round in which its message began. Were it in the log only
/// rounds later, a certificate from between would be younger than the event and not show it; as it is,
/// **a certificate shows every event whose time is before its own**.
pub const MAX_BATCH_BYTES: usize = 40 * 1024;

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
