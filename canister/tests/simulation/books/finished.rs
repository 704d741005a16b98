//! Channels that are over: when their records may go, and what stays of them.
//!
//! ```text
//! whole --nothing left, RETENTION_NS--> gone --late money--> back --nothing left, RETENTION_NS--> gone
//! ```
//!
//! When exactly a record goes is the adjudicator's affair, one with each message; the books only see
//! that it is gone, and know whether it may be.

use perun_canister::finished::RETENTION_NS;
use perun_canister::journal::Kind;
use perun_canister_api::{Asset, DepositAccountError, DepositAccountRequest, convert};
use perun_protocol::AssetIdx;

use super::{Book, Books, Phase};
use crate::cast::{LEDGERS, Table, cast};
use crate::coverage::Case;
use crate::stage::Stage;

/// What is stored of a concluded channel.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Record {
    /// Everything.
    Whole,
    /// No more than that it was there.
    Gone,
    /// Late money brought it back, without the state that stood.
    Back,
}

impl Books {
    /// Sees whose records are gone. To be looked at after every step: money that comes late is
    /// credited some steps after the message by which its channel's record may have gone.
    pub fn see_finished(&mut self, stage: &Stage) {
        for number in 0..self.channels.len() {
            let book = &self.channels[number];
            let is_due = book
                .paid_out_ns
                .is_some_and(|paid_out_ns| paid_out_ns + RETENTION_NS <= stage.now_ns());
            if !is_due || !book.is_stored() || is_stored(stage, number) {
                continue;
            }
            assert!(book.is_paid_out(), "{book:?} is forgotten");
            let assets = (0..book.held.len()).map(|asset| AssetIdx::new(asset as u8));
            let id = cast().channels[number].id;
            for asset in assets {
                let entry = stage.adjudicator().in_flight(id, asset);
                assert_eq!(entry, None, "forgotten with money on its way");
            }
            let Phase::Concluded { record, .. } = &mut self.channels[number].phase else {
                unreachable!("only what is concluded is paid out");
            };
            self.coverage.meet(match record {
                Record::Back => Case::FinishedAgain,
                Record::Whole | Record::Gone => Case::Finished,
            });
            *record = Record::Gone;
        }
    }

    /// Nothing else takes a record away, and nothing but money brings it back.
    pub(super) fn check_stored(&self, stage: &Stage, number: usize) {
        let book = &self.channels[number];
        assert_eq!(is_stored(stage, number), book.is_stored(), "{book:?}");
    }

    /// How many channels have a whole record.
    pub fn stored(&self) -> u64 {
        self.channels.iter().filter(|book| book.is_stored()).count() as u64
    }
}

impl Book {
    /// Whether nothing is left to be paid of a concluded channel, nor on its way out.
    fn is_paid_out(&self) -> bool {
        matches!(self.phase, Phase::Concluded { .. }) && is_empty(&self.held)
    }

    /// Whether its record will go some day.
    pub fn will_finish(&self) -> bool {
        self.is_stored() && self.is_paid_out()
    }

    pub fn is_finished(&self) -> bool {
        let record = match self.phase {
            Phase::Concluded { record, .. } => record,
            _ => Record::Whole,
        };
        record == Record::Gone
    }

    fn is_stored(&self) -> bool {
        !matches!(self.phase, Phase::Unknown) && !self.is_finished()
    }

    /// Notes a payout at `at_ns`, should nothing be left after it but what is on its way out. The last one
    /// counts.
    pub(super) fn note_payout(&mut self, stage: &Stage, number: usize, at_ns: u64) {
        let adjudicator = stage.adjudicator();
        let mut left = self.held.clone();
        for (asset, left) in left.iter_mut().enumerate() {
            let asset = AssetIdx::new(asset as u8);
            let entry = adjudicator.in_flight(cast().channels[number].id, asset);
            let entry = entry.and_then(|number| adjudicator.entry(number));
            if let Some(entry) = entry.filter(|entry| matches!(entry.kind, Kind::Payout { .. })) {
                left[entry.part.index()] = 0;
            }
        }
        if is_empty(&left) {
            self.paid_out_ns = Some(at_ns);
        }
    }
}

fn is_empty(table: &Table) -> bool {
    table.iter().flatten().all(|&amount| amount == 0)
}

/// Whether a whole record is stored: nothing else tells how many participants there are.
fn is_stored(stage: &Stage, number: usize) -> bool {
    let channel = &cast().channels[number];
    let request = DepositAccountRequest {
        channel: convert::channel_to_candid(&channel.id),
        asset: Asset::Icrc(LEDGERS[0]),
        part: channel.parts as u8,
        share: 1,
    };
    matches!(
        stage.adjudicator().deposit_account(&request),
        Err(DepositAccountError::UnknownPart { .. })
    )
}
