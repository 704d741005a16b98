//! Channels that are over: concluded, and everything was paid a while ago. Little remains of them.
//!
//! ```text
//! concluded --last payout, then RETENTION_NS--> finished --late money--> concluded
//! hundreds of bytes                             25 bytes, and the event log
//! ```
//!
//! The 25 bytes say that the channel was there, so that nobody can open it anew, and where its last
//! event is; from there the log tells what stood and who got what. The params are gone, but whoever
//! brings late money brings them too, and their hash is the channel's id: the record comes back,
//! concluded, with what arrived, and its participant can withdraw it.
//!
//! A remainder, however small, keeps the whole record: it is somebody's, and with late money it may
//! become enough to be paid. So do very many events after the last claim.

use perun_protocol::{AssetIdx, Balances, ChannelId, Params, Timestamp};

use crate::Adjudicator;
use crate::channel::{Channel, Phase, RegisteredClaim};
use crate::event::Change;

/// How long the whole record is kept after the last payout: 30 days.
pub const RETENTION_NS: u64 = 30 * 24 * 3_600 * 1_000_000_000;

/// A channel whose last claim is not among so many of its last events keeps its whole record: who has money
/// come and go for ever shall not make everybody search for what stood. An event that is passed over costs
/// 5,000 instructions, and callers pay nothing. So does a channel of dozens of payouts, as of twelve
/// participants about four assets; such channels are few.
const MAX_LATE_EVENTS: usize = 48;

/// What is still known of a finished channel.
pub(crate) struct Finished {
    /// Nothing is left to be paid.
    pub(crate) remainders: Balances,
    /// The claim that stood.
    pub(crate) claim: RegisteredClaim,
    /// When its window ended, as the log has it.
    pub(crate) timeout: Timestamp,
    last_event: u64,
}

impl Adjudicator {
    /// A channel of which only that it was there is stored.
    pub(crate) fn finished(&self, id: ChannelId) -> Option<Finished> {
        let last_event = self.store.finished(id)?;
        let mut remainders = None;
        let history = self.store.log.history(last_event);
        let stood = history
            .map(|(_, event)| event.change)
            .find_map(|change| match change {
                Change::Concluded { outcome } => {
                    remainders = Balances::zero(outcome.assets(), outcome.parts()).ok();
                    None
                }
                Change::Registered {
                    rank,
                    digest,
                    timeout,
                }
                | Change::Refuted {
                    rank,
                    digest,
                    timeout,
                } => Some((RegisteredClaim::from_log(rank, digest), timeout)),
                Change::Deposited { .. } | Change::Withdrawn { .. } => None,
            });
        let (claim, timeout) = stood.expect("a finished channel was registered");
        Some(Finished {
            remainders: remainders.expect("a finished channel was concluded"),
            claim,
            timeout,
            last_event,
        })
    }

    /// The channel that money for `params` is for.
    pub(crate) fn channel_of(&self, id: ChannelId, params: &Params) -> Channel {
        let stored = self.store.channel(id);
        stored.unwrap_or_else(|| match self.finished(id) {
            None => Channel::open(params.clone()),
            Some(finished) => finished.into_channel(params.clone()),
        })
    }

    /// Remembers that nothing is left to be paid of a channel, should that be so.
    pub(crate) fn note_if_paid_out(&mut self, id: ChannelId, channel: &Channel, now: Timestamp) {
        if channel.is_paid_out() {
            let due = now.saturating_add_nanos(RETENTION_NS);
            self.store.add_finishing(due, id);
        }
    }

    /// Finishes one channel whose retention time is over, if there is one.
    pub(crate) fn finish_one(&mut self, now: Timestamp) {
        let Some(id) = self.store.take_finishing(now) else {
            return;
        };
        // Late money may have come, and the channel may be finished already.
        let channel = self.store.channel(id).filter(Channel::is_paid_out);
        let Some(Channel {
            params,
            last_event: Some(last_event),
            ..
        }) = channel
        else {
            return;
        };
        // Paid out again since: that payout has noted a later time.
        let latest = self.store.log.history(last_event).next();
        if latest.is_some_and(|(_, event)| now.nanos_since(event.at) < RETENTION_NS) {
            return;
        }
        let mut assets = (0..params.assets().len()).map(|index| AssetIdx::new(index as u8));
        if assets.any(|asset| self.in_flight(id, asset).is_some()) {
            let due = now.saturating_add_nanos(RETENTION_NS);
            self.store.add_finishing(due, id);
        } else if self.claim_is_near(last_event) {
            self.store.finish(id, last_event);
        }
    }

    /// Whether few events happened after the claim that stood, so that it is found quickly.
    fn claim_is_near(&self, last_event: u64) -> bool {
        let mut latest = self.store.log.history(last_event).take(MAX_LATE_EVENTS);
        latest.any(|(_, event)| {
            matches!(
                event.change,
                Change::Registered { .. } | Change::Refuted { .. }
            )
        })
    }
}

impl Finished {
    fn into_channel(self, params: Params) -> Channel {
        Channel {
            params,
            phase: Phase::Concluded {
                remainders: self.remainders,
                claim: self.claim,
                timeout: self.timeout,
            },
            last_event: Some(self.last_event),
        }
    }
}
