//! What the adjudicator tells: holdings, states, events, its set-up.

use perun_canister_api::{
    ChannelRequest, EventsError, EventsPage, EventsRequest, Holdings, HoldingsAnswer, INTERFACE,
    Info, LedgerInfo, Policy, QueryError, StateAnswer, convert,
};
use perun_protocol::{Amount, AssetIdx, ChannelId, MAX_ASSETS, MAX_PARTICIPANTS, Timestamp};

use serde_bytes::ByteBuf;

use crate::Adjudicator;
use crate::batch::{MAX_BATCH_BYTES, MAX_DISPUTES};
use crate::channel::{Channel, Phase};
use crate::config::MAX_LEDGERS;
use crate::journal::MAX_UNKNOWN;
use perun_canister_api::Phase as CandidPhase;

/// The longest page of events: none takes more than 3 KiB, and an answer at most 2 MiB.
pub const MAX_EVENTS: u32 = 100;

/// The longest request that is decoded, in bytes. The largest carries a state with eight assets and
/// sixteen signatures, about 7 KiB.
pub const MAX_REQUEST_BYTES: usize = 16 * 1024;

/// Where it stands who controls the canister, and how to leave.
pub(crate) const GOVERNANCE: &str = "docs/governance.md in the sources";

impl Adjudicator {
    /// What is held for a channel.
    pub fn holdings(&self, request: &ChannelRequest) -> Result<HoldingsAnswer, QueryError> {
        let id = channel_id(request)?;
        let channel = self.store.channel(id);
        let holdings = channel.map(|channel| self.describe(id, &channel));
        let nothing_left = || {
            let nothing = self.finished(id)?.remainders;
            Some(Holdings {
                phase: CandidPhase::Concluded,
                amounts: convert::balances_to_candid(&nothing),
                in_flight: vec![0; nothing.assets()],
            })
        };
        Ok(HoldingsAnswer {
            holdings: holdings.or_else(nothing_left),
        })
    }

    fn describe(&self, id: ChannelId, channel: &Channel) -> Holdings {
        let params = channel.params();
        let assets = (0..params.assets().len()).map(|index| AssetIdx::new(index as u8));
        let held = |asset| {
            let parts = params.parts();
            parts
                .map(|(part, _)| channel.held(asset, part).unwrap_or_default().units())
                .collect()
        };
        let in_flight = |asset| {
            let entry = self
                .in_flight(id, asset)
                .and_then(|number| self.entry(number));
            entry.map_or(Amount::ZERO, |entry| entry.debit()).units()
        };
        Holdings {
            phase: match channel.phase() {
                Phase::Open { .. } => CandidPhase::Open,
                Phase::Registered { .. } => CandidPhase::Registered,
                Phase::Concluded { .. } => CandidPhase::Concluded,
            },
            amounts: assets.clone().map(held).collect(),
            in_flight: assets.map(in_flight).collect(),
        }
    }

    /// What is registered for a channel, and which channel that is.
    pub fn state(
        &self,
        request: &ChannelRequest,
        now: Timestamp,
    ) -> Result<(ChannelId, StateAnswer), QueryError> {
        let id = channel_id(request)?;
        let answer = StateAnswer {
            registered: self.registered(id, now),
            certificate: None,
            witness: None,
        };
        Ok((id, answer))
    }

    /// A page of the event log.
    pub fn events(
        &self,
        request: &EventsRequest,
        now: Timestamp,
    ) -> Result<EventsPage, EventsError> {
        let of = request
            .channel
            .as_ref()
            .map(|bytes| convert::channel(bytes));
        let of = of
            .transpose()
            .map_err(|length| EventsError::MalformedChannel {
                length: length as u64,
            })?;
        let limit = request.length.min(MAX_EVENTS) as usize;
        let events = match of {
            None => self.store.log.events(request.start, limit),
            Some(id) => {
                let last = match self.store.channel(id) {
                    Some(channel) => channel.last_event,
                    None => self.store.finished(id),
                };
                self.store.log.events_of(last, request.start, limit)
            }
        };
        let total = self.store.log.len();
        let next = match events.last() {
            _ if limit == 0 => request.start,
            Some((last, _)) if events.len() == limit => last + 1,
            // The page reached the log's end.
            _ => total.max(request.start),
        };
        let first = events.first().map(|(index, _)| *index);
        let parent = first
            .filter(|_| of.is_none())
            .and_then(|first| self.store.log.block_hash(first.checked_sub(1)?));
        Ok(EventsPage {
            events: events
                .iter()
                .map(|(index, event)| event.to_record(*index))
                .collect(),
            next,
            total,
            as_of_ns: now.nanos(),
            parent: parent.map(ByteBuf::from),
            certificate: None,
            witness: None,
        })
    }

    /// How this adjudicator is set up, and how much it has to do.
    pub fn info(&self, now: Timestamp) -> Info {
        let config = self.config();
        let ledgers = config.ledgers().iter();
        Info {
            version: env!("CARGO_PKG_VERSION").into(),
            interface: INTERFACE,
            ledgers: ledgers
                .map(|&ledger| LedgerInfo {
                    ledger,
                    fee: self.fee(ledger),
                })
                .collect(),
            min_challenge_duration_s: config.min_challenge_duration.secs(),
            max_challenge_duration_s: config.max_challenge_duration.secs(),
            tick_interval_s: (config.tick_ns() / 1_000_000_000) as u32,
            max_participants: MAX_PARTICIPANTS as u8,
            max_assets: MAX_ASSETS as u8,
            max_request_bytes: MAX_REQUEST_BYTES as u32,
            max_events: MAX_EVENTS,
            channels: self.store.channel_count(),
            events: self.store.log.len(),
            journal: self.store.entry_count(),
            now_ns: now.nanos(),
            policy: Policy {
                max_disputes: MAX_DISPUTES as u32,
                max_batch_bytes: MAX_BATCH_BYTES as u32,
                max_ledgers: MAX_LEDGERS as u32,
                max_unknown_outcomes: MAX_UNKNOWN,
                event_retention_s: None,
                exit_window_s: config.exit_window_s(),
                governance: GOVERNANCE.into(),
            },
        }
    }
}

fn channel_id(request: &ChannelRequest) -> Result<ChannelId, QueryError> {
    convert::channel(&request.channel).map_err(|length| QueryError::MalformedChannel {
        length: length as u64,
    })
}
