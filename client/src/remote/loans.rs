//! Loans: what is deposited for devices from this account, and how much of it is outstanding.
//!
//! ```text
//! Fund ──> checked ──written──> durable ──> paid ──> Funded
//!             │                              │ refused, or too late
//!             v                              v
//!      RemoteRejection              failed: given back to the limit once
//!                                   the adjudicator is seen to hold nothing
//! ```
//!
//! Invariants: no money moves for a loan that is not durable. A loan counts against its device's
//! limit from before that until its channel is seen concluded, or nothing of it can have arrived.

use std::collections::HashMap;

use minicbor::{Decode, Encode};
use perun_protocol::signature::Libsecp256k1;
use perun_protocol::{
    Amount, AssetId, Params, PartIdx, PublicKey, SignedState, Timestamp, UnverifiedSignedState,
};

use super::config::DeviceLimits;
use super::order::{Place, identity};

/// A deposit that was sent in time has arrived by so long after.
const GRACE_NS: u64 = 600 * 1_000_000_000;

/// What is, or may be, deposited for a device in one channel.
#[derive(Clone, Debug)]
pub(super) struct Loan {
    pub(super) params: Params,
    pub(super) part: PartIdx,
    /// Version 0: its funding says how much.
    pub(super) initial: SignedState,
    pub(super) fund_by: Timestamp,
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
    /// 0 paying, 1 paid, 2 failed.
    #[n(4)]
    stage: u8,
}

/// All loans that are not over.
#[derive(Debug, Default)]
pub(super) struct Loans {
    by_place: HashMap<Place, Loan>,
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

    /// Whether to look if it is over: something has happened since the last look, or nothing will
    /// any more.
    pub(super) fn is_due(&self, as_of: Timestamp) -> bool {
        match self.stage {
            Stage::Paying => false,
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
            },
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
                _ => return None,
            },
            params,
            is_touched: true,
            looked_at: Timestamp::default(),
        })
    }
}

impl Loans {
    pub(super) fn of_mut(&mut self, place: Place) -> Option<&mut Loan> {
        self.by_place.get_mut(&place)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Loan> {
        self.by_place.values()
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Loan> {
        self.by_place.values_mut()
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

    /// Whether one more loan stays within its device's limits.
    pub(super) fn has_room(&self, device: &PublicKey, loan: &Loan, limits: &DeviceLimits) -> bool {
        if self.of_device(device).count() >= limits.max_channels {
            return false;
        }
        loan.shares().all(|(asset, share)| {
            let others = self.of_device(device).flat_map(Loan::shares);
            let others = others.filter(|(other, _)| *other == asset);
            let amounts = others.map(|(_, share)| share).chain([share]);
            let limit = limits.max_funds.get(&asset).copied().unwrap_or_default();
            Amount::checked_sum(amounts).is_some_and(|sum| sum <= limit)
        })
    }

    fn of_device(&self, device: &PublicKey) -> impl Iterator<Item = &Loan> {
        let is_theirs = |loan: &&Loan| loan.device() == Some(*device);
        self.by_place.values().filter(is_theirs)
    }
}
