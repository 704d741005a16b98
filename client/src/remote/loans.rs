//! Loans: what is deposited for devices from this account, and how much of it is outstanding.
//!
//! ```text
//! Fund ──> checked ──written──> durable ──> paid ──> Funded
//!             │                              │ refused, or too late
//!             v                              v
//!      RemoteRejection              failed: forgotten once the adjudicator
//!                                   is seen to hold nothing
//! ```
//!
//! Invariants: no money moves for a loan that is not durable. A loan counts against the limits from
//! before that until its channel is seen concluded, or nothing of it can have arrived, and for a whole
//! [`PERIOD_NS`] at least: that a channel is over does not say that anything was paid back.

use std::collections::{BTreeMap, HashMap};

use minicbor::{Decode, Encode};
use perun_protocol::signature::Libsecp256k1;
use perun_protocol::{
    Amount, AssetId, Params, PartIdx, PublicKey, SignedState, Timestamp, UnverifiedSignedState,
};

use super::config::Config;
use super::order::{Place, identity};
use crate::chain::Seen;

/// For how long a loan counts at least: the limits say what may be lost within one such period.
pub(super) const PERIOD_NS: u64 = 24 * 3_600 * 1_000_000_000;
/// A deposit that was sent in time has arrived by so long after: ledgers take what was sent within a
/// day.
const GRACE_NS: u64 = PERIOD_NS + 600 * 1_000_000_000;

/// What is, or may be, deposited for a device in one channel.
#[derive(Clone, Debug)]
pub(super) struct Loan {
    pub(super) params: Params,
    pub(super) part: PartIdx,
    /// Version 0: its funding says how much.
    pub(super) initial: SignedState,
    pub(super) fund_by: Timestamp,
    /// When it was asked for last.
    pub(super) lent_at: Timestamp,
    pub(super) stage: Stage,
    /// Something may have happened that decides whether it is over.
    pub(super) is_touched: bool,
    /// As of when the channel was looked at last.
    pub(super) looked_at: Timestamp,
}

/// How far a loan is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// It is being checked, stored or paid.
    Paying,
    /// It is paid.
    Paid,
    /// It was given up. A part of it may be paid.
    Failed,
    /// The channel is over. The loan counts until its period is over too.
    Over,
}

/// What is stored of a loan.
#[derive(Decode, Encode)]
#[cbor(map)]
struct StoredLoan {
    #[n(0)]
    params: Params,
    #[n(1)]
    part: PartIdx,
    #[n(2)]
    initial: UnverifiedSignedState,
    #[n(3)]
    fund_by: Timestamp,
    /// 0 paying, 1 paid, 2 failed, 3 over.
    #[n(4)]
    stage: u8,
    #[n(5)]
    lent_at: Timestamp,
}

/// All loans that count.
#[derive(Debug, Default)]
pub(super) struct Loans {
    by_place: HashMap<Place, Loan>,
    /// How far the event log was read.
    as_of: Timestamp,
}

impl Loan {
    pub(super) fn place(&self) -> Place {
        Place {
            channel: self.initial.channel(),
            part: self.part,
        }
    }

    pub(super) fn device(&self) -> Option<PublicKey> {
        identity(&self.params, self.part)
    }

    /// What is deposited of each asset, none of it zero.
    pub(super) fn shares(&self) -> impl Iterator<Item = (AssetId, Amount)> + '_ {
        let rows = self.params.assets().iter();
        let rows = rows.zip(self.initial.state().funding().rows());
        let shares = rows.map(|(asset, row)| (*asset, row[self.part.index()]));
        shares.filter(|(_, share)| !share.is_zero())
    }

    /// When no deposit that was sent in time can arrive any more.
    pub(super) fn grace_over(&self) -> Timestamp {
        self.fund_by.saturating_add_nanos(GRACE_NS)
    }

    /// Whether it counts no more.
    pub(super) fn is_past(&self, as_of: Timestamp) -> bool {
        self.stage == Stage::Over && as_of >= self.lent_at.saturating_add_nanos(PERIOD_NS)
    }

    /// Whether to look if it is over: something has happened since the last look, or nothing will
    /// any more.
    pub(super) fn is_due(&self, as_of: Timestamp) -> bool {
        match self.stage {
            Stage::Paying | Stage::Over => false,
            Stage::Paid => self.is_touched,
            Stage::Failed => {
                let grace_over = self.grace_over();
                self.is_touched || (as_of >= grace_over && self.looked_at < grace_over)
            }
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let stored = StoredLoan {
            params: self.params.clone(),
            part: self.part,
            initial: self.initial.clone().into(),
            fund_by: self.fund_by,
            stage: match self.stage {
                Stage::Paying => 0,
                Stage::Paid => 1,
                Stage::Failed => 2,
                Stage::Over => 3,
            },
            lent_at: self.lent_at,
        };
        minicbor::to_vec(stored).expect("a vector takes every byte")
    }

    /// What [`Loan::encode`] has written, verified again; `None` if it is not that.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let stored: StoredLoan = minicbor::decode(bytes).ok()?;
        let params = stored.params;
        params.participant(stored.part)?;
        let initial = stored.initial;
        let initial = initial.verify_for::<Libsecp256k1>(params.id(), &params);
        Some(Self {
            initial: initial.ok()?,
            part: stored.part,
            fund_by: stored.fund_by,
            stage: match stored.stage {
                0 => Stage::Paying,
                1 => Stage::Paid,
                2 => Stage::Failed,
                3 => Stage::Over,
                _ => return None,
            },
            lent_at: stored.lent_at,
            params,
            is_touched: true,
            looked_at: Timestamp::default(),
        })
    }
}

impl Loans {
    pub(super) fn of(&self, place: Place) -> Option<&Loan> {
        self.by_place.get(&place)
    }

    pub(super) fn of_mut(&mut self, place: Place) -> Option<&mut Loan> {
        self.by_place.get_mut(&place)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Loan> + Clone {
        self.by_place.values()
    }

    /// What the event log tells; returns which loans count no more.
    pub(super) fn handle_seen(&mut self, seen: &Seen) -> Vec<Place> {
        self.as_of = seen.as_of;
        for loan in self.by_place.values_mut() {
            loan.is_touched |= seen.touched.contains(&loan.place().channel);
        }
        let past = self.by_place.extract_if(|_, loan| loan.is_past(seen.as_of));
        past.map(|(place, _)| place).collect()
    }

    /// Which loans are to be looked at. They are not again, unless something happens.
    pub(super) fn take_due(&mut self) -> Vec<Loan> {
        let as_of = self.as_of;
        let due = self.by_place.values_mut().filter(|loan| loan.is_due(as_of));
        let due = due.map(|loan| {
            loan.is_touched = false;
            loan.clone()
        });
        due.collect()
    }

    pub(super) fn insert(&mut self, loan: Loan) {
        self.by_place.insert(loan.place(), loan);
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<Loan> {
        self.by_place.remove(&place)
    }

    /// Whether a device has any.
    pub(super) fn has(&self, device: &PublicKey) -> bool {
        self.of_device(device).next().is_some()
    }

    /// Whether one more loan stays within its device's limits, and within those of all devices.
    pub(super) fn has_room(&self, device: &PublicKey, loan: &Loan, config: &Config) -> bool {
        let limits = &config.limits;
        self.of_device(device).count() < limits.max_channels
            && is_within(self.of_device(device), loan, &limits.max_funds)
            && is_within(self.all(), loan, &config.max_funds_total)
    }

    fn of_device(&self, device: &PublicKey) -> impl Iterator<Item = &Loan> + Clone {
        let is_theirs = |loan: &&Loan| loan.device() == Some(*device);
        self.by_place.values().filter(is_theirs)
    }
}

/// Whether one more loan beside others stays within a limit for each asset.
fn is_within<'a>(
    others: impl Iterator<Item = &'a Loan> + Clone,
    loan: &Loan,
    limits: &BTreeMap<AssetId, Amount>,
) -> bool {
    loan.shares().all(|(asset, share)| {
        let others = others.clone().flat_map(Loan::shares);
        let others = others.filter(|(other, _)| *other == asset);
        let amounts = others.map(|(_, share)| share).chain([share]);
        let limit = limits.get(&asset).copied().unwrap_or_default();
        Amount::checked_sum(amounts).is_some_and(|sum| sum <= limit)
    })
}
