//! The adjudicator's event log, as valid values.

use perun_canister_api::{self as api, convert};
use perun_protocol::dispute::Rank;
use perun_protocol::signature::Digest;
use perun_protocol::{Account, Amount, AssetId, Balances, ChannelId, PartIdx, Timestamp};
use serde_bytes::ByteBuf;

use crate::WrongAnswer;
use crate::answer;

/// A page of the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventsPage {
    /// The events, in the order of their indices.
    pub events: Vec<EventRecord>,
    /// Where the next page starts.
    pub next: u64,
    /// How many events the log has, of all channels.
    pub total: u64,
    /// The adjudicator's time when the page was made. If `next` is not below `total`, nothing else
    /// has happened until then.
    pub as_of: Timestamp,
}

/// One entry of the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventRecord {
    /// Its position in the log, from 0 and without gaps.
    pub index: u64,
    /// When it happened.
    pub at: Timestamp,
    /// The channel it happened to.
    pub channel: ChannelId,
    /// What happened.
    pub event: Event,
}

/// What can happen to a channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A deposit arrived.
    Deposited {
        /// What was deposited.
        asset: AssetId,
        /// For whom.
        part: PartIdx,
        /// How much.
        amount: Amount,
        /// What is held of the asset for the participant since.
        holding: Amount,
        /// The ledger's block; none if its answer was lost.
        block: Option<u128>,
    },
    /// A claim was registered, the first one of the channel.
    Registered(Claimed),
    /// A newer claim took the place of the registered one.
    Refuted(Claimed),
    /// Payouts are fixed.
    Concluded {
        /// What is to be paid.
        outcome: Balances,
    },
    /// A payout arrived.
    Withdrawn {
        /// What was paid.
        asset: AssetId,
        /// Whose remainder it was.
        part: PartIdx,
        /// Who received it.
        receiver: Account,
        /// What the receiver got.
        paid: Amount,
        /// The ledger's fee.
        fee: Amount,
        /// The ledger's block; none if its answer was lost.
        block: Option<u128>,
    },
}

/// A claim in the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Claimed {
    /// How new it is.
    pub rank: Rank,
    /// What the participants signed, none for a refund claim. `registered` tells the state, as long
    /// as it is the newest.
    pub digest: Option<Digest>,
    /// When it can no longer be refuted.
    pub timeout: Timestamp,
}

impl EventsPage {
    /// Checks a page that was asked for from `start` on, and only of `channel` if given.
    pub(crate) fn new(
        page: &api::EventsPage,
        start: u64,
        channel: Option<ChannelId>,
    ) -> Result<Self, WrongAnswer> {
        let mut events = Vec::with_capacity(page.events.len());
        let mut least = start;
        for record in &page.events {
            let record = EventRecord::new(record)?;
            let index = record.index;
            if channel.is_some_and(|channel| channel != record.channel) {
                return Err(WrongAnswer::WrongChannel);
            }
            if index < least || index >= page.next {
                return Err(WrongAnswer::EventOrder { index });
            }
            least = index + 1;
            events.push(record);
        }
        if page.next < start {
            return Err(WrongAnswer::EventOrder { index: page.next });
        }
        Ok(Self {
            events,
            next: page.next,
            total: page.total,
            as_of: Timestamp::from_nanos(page.as_of_ns),
        })
    }
}

impl EventRecord {
    fn new(record: &api::EventRecord) -> Result<Self, WrongAnswer> {
        let channel = convert::channel(&record.channel)
            .map_err(|length| WrongAnswer::ChannelLength { length })?;
        Ok(Self {
            index: record.index,
            at: Timestamp::from_nanos(record.at_ns),
            channel,
            event: Event::new(&record.event)?,
        })
    }
}

impl Event {
    fn new(event: &api::Event) -> Result<Self, WrongAnswer> {
        Ok(match event {
            api::Event::Deposited {
                asset,
                part,
                amount,
                holding,
                block,
            } => Self::Deposited {
                asset: answer::asset(*asset)?,
                part: PartIdx::new(*part),
                amount: Amount::new(*amount),
                holding: Amount::new(*holding),
                block: *block,
            },
            api::Event::Registered {
                rank,
                digest,
                timeout_ns,
            } => Self::Registered(Claimed::new(*rank, digest.as_ref(), *timeout_ns)?),
            api::Event::Refuted {
                rank,
                digest,
                timeout_ns,
            } => Self::Refuted(Claimed::new(*rank, digest.as_ref(), *timeout_ns)?),
            api::Event::Concluded { outcome } => Self::Concluded {
                outcome: answer::table(outcome)?,
            },
            api::Event::Withdrawn {
                asset,
                part,
                receiver,
                paid,
                fee,
                block,
            } => Self::Withdrawn {
                asset: answer::asset(*asset)?,
                part: PartIdx::new(*part),
                receiver: answer::account(receiver)?,
                paid: Amount::new(*paid),
                fee: Amount::new(*fee),
                block: *block,
            },
        })
    }
}

impl Claimed {
    fn new(
        rank: api::Rank,
        digest: Option<&ByteBuf>,
        timeout_ns: u64,
    ) -> Result<Self, WrongAnswer> {
        let rank = Rank::from(rank);
        let digest = digest.map(|bytes| {
            let length = bytes.len();
            Digest::try_from(bytes.as_slice()).map_err(|_| WrongAnswer::DigestLength { length })
        });
        let digest = digest.transpose()?;
        if digest.is_some() != matches!(rank, Rank::State(_)) {
            return Err(WrongAnswer::RankMismatch);
        }
        Ok(Self {
            rank,
            digest,
            timeout: Timestamp::from_nanos(timeout_ns),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concluded(index: u64, channel: u8) -> api::EventRecord {
        api::EventRecord {
            index,
            at_ns: 1,
            channel: ByteBuf::from([channel; 32]),
            event: api::Event::Concluded {
                outcome: vec![vec![1, 2]],
            },
        }
    }

    fn page(events: Vec<api::EventRecord>, next: u64) -> api::EventsPage {
        api::EventsPage {
            events,
            next,
            total: 100,
            as_of_ns: 7,
            parent: None,
            certificate: None,
            witness: None,
        }
    }

    #[test]
    fn a_page_is_in_order() {
        let events = vec![concluded(4, 1), concluded(9, 1)];
        let good = EventsPage::new(&page(events, 10), 4, None).unwrap();
        assert_eq!(good.events.len(), 2);
        for (events, next, wrong) in [
            (vec![concluded(3, 1)], 10, 3),
            (vec![concluded(5, 1), concluded(5, 1)], 10, 5),
            (vec![concluded(9, 1), concluded(5, 1)], 10, 5),
            (vec![concluded(9, 1)], 9, 9),
            (vec![concluded(u64::MAX, 1)], 9, u64::MAX),
            (vec![], 3, 3),
        ] {
            let refused = EventsPage::new(&page(events, next), 4, None);
            assert_eq!(refused, Err(WrongAnswer::EventOrder { index: wrong }));
        }
    }

    #[test]
    fn a_channels_page_is_about_that_channel() {
        let channel = ChannelId::from_bytes([1; 32]);
        let events = vec![concluded(4, 1), concluded(5, 2)];
        let refused = EventsPage::new(&page(events, 10), 4, Some(channel));
        assert_eq!(refused, Err(WrongAnswer::WrongChannel));
    }

    #[test]
    fn a_channel_id_has_32_bytes() {
        let mut record = concluded(4, 1);
        record.channel = ByteBuf::from([1; 31]);
        let refused = EventsPage::new(&page(vec![record], 10), 4, None);
        assert_eq!(refused, Err(WrongAnswer::ChannelLength { length: 31 }));
    }

    #[test]
    fn a_claim_has_the_digest_of_its_state() {
        let claimed = |rank, digest: Option<&[u8]>| {
            let digest = digest.map(ByteBuf::from);
            Claimed::new(rank, digest.as_ref(), 1).map(|claimed| claimed.digest)
        };
        let (state, refund) = (api::Rank::State(3), api::Rank::Refund);
        assert_eq!(claimed(state, Some(&[7; 32])), Ok(Some([7; 32])));
        assert_eq!(claimed(refund, None), Ok(None));
        let short = WrongAnswer::DigestLength { length: 31 };
        assert_eq!(claimed(state, Some(&[7; 31])), Err(short));
        assert_eq!(claimed(state, None), Err(WrongAnswer::RankMismatch));
        assert_eq!(
            claimed(refund, Some(&[7; 32])),
            Err(WrongAnswer::RankMismatch)
        );
    }
}
