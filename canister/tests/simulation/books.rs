//! The oracle's own books: what must be true after every step, computed from the event log, what was
//! signed, and what the ledgers did, and never from the adjudicator's word for it.
//!
//! For every channel and asset:
//!
//! ```text
//! funds account = held + payout in flight, not executed + deposit in flight, executed
//! ```

mod claims;
mod finished;

use std::collections::BTreeMap;

use perun_canister::flow::System as _;
use perun_canister::journal::{JournalNumber, Kind};
use perun_canister_api::{
    Asset, BlockHash, ChannelRequest, Event, EventRecord, EventsRequest, Phase as TheirPhase,
    block_hash, convert,
};
use perun_protocol::AssetIdx;

use self::claims::{may_stand, newest_enforceable, outcome_of, signed_state};
use super::cast::{LEDGERS, Table, account_of_receiver, cast};
use super::coverage::{Case, Coverage};
use super::stage::Stage;

pub use self::claims::Judgement;
pub use self::finished::Record;

/// What has been seen of a channel.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Book {
    /// How many of its states all participants have signed.
    pub signed: usize,
    /// Whether an honest participant refutes what is older than the newest that it can enforce.
    pub is_watched: bool,
    pub phase: Phase,
    /// What is held or still to be paid. A payout in flight is still in it.
    pub held: Table,
    /// The entry under way for each asset.
    in_flight: Vec<Option<u64>>,
    /// When the last payout was made that left nothing.
    paid_out_ns: Option<u64>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Phase {
    Unknown,
    Open,
    Registered {
        /// The state that stands; none is a refund claim.
        standing: Option<usize>,
        timeout_ns: u64,
        /// What was held at the first registration.
        frozen: Table,
    },
    Concluded {
        standing: Option<usize>,
        /// When its window ended, as the log has it.
        timeout_ns: u64,
        record: Record,
    },
}

#[derive(Clone)]
pub struct Books {
    pub channels: Vec<Book>,
    /// How many events were seen, and the hash of the last one's block.
    pub seen: u64,
    pub tip: Option<BlockHash>,
    /// What arrived at receivers, by channel, asset and participant.
    pub paid: BTreeMap<(usize, usize, usize), u128>,
    pub coverage: Coverage,
}

impl Books {
    pub fn new(is_watched: impl Fn(usize) -> bool) -> Self {
        let channels = cast().channels.iter().enumerate();
        Self {
            channels: channels
                .map(|(number, channel)| Book {
                    signed: 0,
                    is_watched: is_watched(number),
                    phase: Phase::Unknown,
                    held: vec![vec![0; channel.parts]; channel.assets],
                    in_flight: vec![None; channel.assets],
                    paid_out_ns: None,
                })
                .collect(),
            seen: 0,
            tip: None,
            paid: BTreeMap::new(),
            coverage: Coverage::default(),
        }
    }

    /// Everything that must be true of a channel after a step.
    pub fn check(&mut self, stage: &Stage, channel: usize) {
        self.follow(stage, channel);
        self.check_stored(stage, channel);
        self.check_money(stage, channel);
        self.check_certified(stage, channel);
    }

    /// Keeps up with what happened, and checks no more than that it may happen.
    pub fn follow(&mut self, stage: &Stage, channel: usize) {
        self.read_log(stage);
        let id = cast().channels[channel].id;
        let adjudicator = stage.adjudicator();
        let in_flight = &mut self.channels[channel].in_flight;
        for (asset, in_flight) in in_flight.iter_mut().enumerate() {
            let entry = adjudicator.in_flight(id, AssetIdx::new(asset as u8));
            *in_flight = entry.map(|number| number.0);
        }
    }

    /// Reads on in the event log, which only grows.
    pub fn read_log(&mut self, stage: &Stage) {
        loop {
            let request = EventsRequest {
                channel: None,
                start: self.seen,
                length: 100,
            };
            let page = stage.adjudicator().events(&request, stage.now());
            let page = page.expect("the request is in order");
            if page.events.is_empty() {
                assert_eq!(page.total, self.seen, "the log's length");
                return;
            }
            let parent = self.tip.map(|tip| tip.to_vec());
            assert_eq!(page.parent.map(|parent| parent.into_vec()), parent);
            for record in &page.events {
                assert_eq!(record.index, self.seen, "the log has no gaps");
                self.tip = Some(block_hash(record, self.tip.as_ref()));
                self.seen += 1;
                self.enter(stage, record);
            }
        }
    }

    fn enter(&mut self, stage: &Stage, record: &EventRecord) {
        let channel = cast()
            .channels
            .iter()
            .position(|channel| channel.id.as_bytes() == record.channel.as_slice());
        let number = channel.expect("events are about channels that exist");
        let (channel, book) = (&cast().channels[number], &mut self.channels[number]);
        let at_ns = record.at_ns;
        let settled = |book: &Book, asset: usize, block: &Option<u128>| {
            let entry = book.in_flight[asset].expect("only what is in the journal is settled");
            let executed = stage.ledgers.borrow()[asset].executed(entry);
            let executed = executed.expect("only what was executed is confirmed");
            assert!(block.is_none_or(|block| block == u128::from(executed)));
        };
        match &record.event {
            Event::Deposited {
                asset,
                part,
                amount,
                holding,
                block,
            } => {
                let asset = asset_index(asset);
                settled(book, asset, block);
                if matches!(book.phase, Phase::Unknown) {
                    book.phase = Phase::Open;
                }
                let held = &mut book.held[asset][usize::from(*part)];
                assert!(*amount > 0);
                *held += amount;
                assert_eq!(held, holding);
                if let Phase::Concluded { record, .. } = &mut book.phase
                    && *record == Record::Gone
                {
                    *record = Record::Back;
                    self.coverage.meet(Case::LateMoney);
                }
            }
            Event::Registered {
                rank,
                digest,
                timeout_ns,
            } => {
                let standing = signed_state(channel, book, *rank, digest.as_ref());
                assert!(matches!(book.phase, Phase::Open), "registered twice");
                let is_final = standing.is_some_and(|state| channel.states[state].is_final);
                let window_ns = if is_final { 0 } else { channel.challenge_ns };
                assert_eq!(*timeout_ns, at_ns + window_ns);
                let frozen = book.held.clone();
                assert!(may_stand(channel, standing, &frozen));
                book.phase = Phase::Registered {
                    standing,
                    timeout_ns: *timeout_ns,
                    frozen,
                };
            }
            Event::Refuted {
                rank,
                digest,
                timeout_ns,
            } => {
                let newer = signed_state(channel, book, *rank, digest.as_ref());
                let Phase::Registered {
                    standing,
                    timeout_ns: until_ns,
                    frozen,
                } = &mut book.phase
                else {
                    panic!("nothing to refute: {book:?}");
                };
                assert!(*standing < newer, "the registered rank never falls");
                assert!(may_stand(channel, newer, frozen));
                let is_final = newer.is_some_and(|state| channel.states[state].is_final);
                match is_final {
                    true => assert_eq!(*timeout_ns, at_ns),
                    false => assert!(*timeout_ns >= *until_ns && *timeout_ns > at_ns),
                }
                *standing = newer;
                *until_ns = *timeout_ns;
            }
            Event::Concluded { outcome } => {
                let Phase::Registered {
                    standing,
                    timeout_ns,
                    frozen,
                } = &book.phase
                else {
                    panic!("nothing to conclude: {book:?}");
                };
                assert!(at_ns >= *timeout_ns, "concluded too early");
                let expected = outcome_of(channel, *standing, frozen, &book.held);
                assert_eq!(*outcome, expected);
                if book.is_watched {
                    let newest = newest_enforceable(channel, book.signed, frozen);
                    let due = outcome_of(channel, newest, frozen, &book.held);
                    assert_eq!(expected, due, "not what the honest could enforce");
                }
                let (standing, timeout_ns) = (*standing, *timeout_ns);
                book.held = expected;
                book.phase = Phase::Concluded {
                    standing,
                    timeout_ns,
                    record: Record::Whole,
                };
            }
            Event::Withdrawn {
                asset,
                part,
                receiver,
                paid,
                fee,
                block,
            } => {
                let asset = asset_index(asset);
                settled(book, asset, block);
                let Phase::Concluded { record, .. } = book.phase else {
                    panic!("nothing to pay: {book:?}");
                };
                if record == Record::Back {
                    self.coverage.meet(Case::LatePayout);
                }
                let part = usize::from(*part);
                assert_eq!(
                    convert::account(receiver),
                    Some(account_of_receiver(number, part))
                );
                assert!(*paid > 0);
                assert_eq!(book.held[asset][part], paid + fee, "the whole remainder");
                book.held[asset][part] = 0;
                book.note_payout(stage, number, at_ns);
                *self.paid.entry((number, asset, part)).or_default() += paid;
            }
        }
    }

    fn check_money(&self, stage: &Stage, number: usize) {
        let (channel, book) = (&cast().channels[number], &self.channels[number]);
        let adjudicator = stage.adjudicator();
        let request = ChannelRequest {
            channel: convert::channel_to_candid(&channel.id),
        };
        let answer = adjudicator.holdings(&request).expect("the id is one");
        match (&answer.holdings, &book.phase) {
            (None, Phase::Unknown) => {}
            (Some(holdings), phase) => {
                let theirs = match phase {
                    Phase::Unknown => panic!("a channel without a deposit: {holdings:?}"),
                    Phase::Open => TheirPhase::Open,
                    Phase::Registered { .. } => TheirPhase::Registered,
                    Phase::Concluded { .. } => TheirPhase::Concluded,
                };
                assert_eq!(holdings.phase, theirs);
            }
            (None, phase) => panic!("{phase:?} is forgotten"),
        }
        for asset in 0..channel.assets {
            let ledger = &stage.ledgers.borrow()[asset];
            let entry = book.in_flight[asset].map(|number| {
                let entry = adjudicator.entry(JournalNumber(number));
                (number, entry.expect("what is in flight is in the journal"))
            });
            let mut owed = book.held[asset].clone();
            let (mut in_flight, mut arrived, mut left) = (0, 0, 0);
            if let Some((number, entry)) = &entry {
                let is_executed = ledger.executed(*number).is_some();
                match entry.kind {
                    Kind::Payout { .. } => {
                        in_flight = entry.amount.units() + entry.fee.units();
                        let place = &mut owed[entry.part.index()];
                        assert_eq!(*place, in_flight, "a payout is the whole remainder");
                        *place = 0;
                        left = if is_executed { in_flight } else { 0 };
                    }
                    Kind::Pull { .. } | Kind::Sweep { .. } if is_executed => {
                        arrived = entry.amount.units();
                    }
                    Kind::Pull { .. } | Kind::Sweep { .. } => {}
                }
            }
            if let Some(holdings) = &answer.holdings {
                assert_eq!(
                    holdings.amounts[asset], owed,
                    "channel {number}, asset {asset}"
                );
                assert_eq!(holdings.in_flight[asset], in_flight);
            }
            let held: u128 = book.held[asset].iter().sum();
            assert_eq!(
                ledger.balance(&channel.funds),
                held + arrived - left,
                "channel {number}, asset {asset}: {held} held, {arrived} arrived and {left} left \
                 in flight ({entry:?})"
            );
        }
    }
}

fn asset_index(asset: &Asset) -> usize {
    let Asset::Icrc(ledger) = asset;
    let index = LEDGERS.iter().position(|served| served == ledger);
    index.expect("only these ledgers are served")
}
