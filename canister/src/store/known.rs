//! What of the tables is kept in mind on the heap, so that it is looked up once. An upgrade forgets it, and
//! it is looked up again.
//!
//! Invariant: it is what the tables say. They change by the methods of the store only, which change this,
//! too; and what a trap undoes, it undoes here as well.

use std::cell::RefCell;
use std::collections::BTreeMap;

use candid::Principal;
use perun_protocol::ChannelId;
use perun_protocol::encoding::Reader;

use super::keys::ZERO;
use super::table::Table;
use crate::channel::Channel;
use crate::stored::{Record as _, decode};

/// What is kept in mind.
pub(super) struct Known {
    /// All fees.
    pub(super) fees: BTreeMap<Principal, u128>,
    /// What was found of the channel that was looked at last: a call looks at one many times.
    pub(super) channel: RefCell<Option<(ChannelId, Found)>>,
}

/// What there is of a channel.
pub(super) enum Found {
    Channel(Box<Channel>),
    /// It is finished. The position of its last event.
    Finished(u64),
    Nothing,
}

impl Known {
    pub(super) fn of(fees: &Table) -> Self {
        // One by one: to collect them, they would be sorted, by 40 KB of code.
        let mut known = Self {
            fees: BTreeMap::new(),
            channel: RefCell::default(),
        };
        for (key, fee) in fees.from(ZERO) {
            let ledger = Principal::take(&mut Reader::new(&key));
            let ledger = ledger.expect("it was written so");
            known.fees.insert(ledger, decode(&fee));
        }
        known
    }
}
