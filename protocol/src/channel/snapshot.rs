//! Snapshots: what of a channel must survive, as bytes.
//!
//! A map with numbered fields (CBOR, RFC 8949), so that newer software reads what older wrote.

use alloc::vec::Vec;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::commitments::{Burnt, Commitments, Pending, Proposed};
use super::{Channel, Ending, Phase, RestoreError, Setup, Turn};
use crate::encoding::Canonical;
use crate::payment::Batch;
use crate::signature::{Signer, Verifier};
use crate::wire::{Acceptance, Update, Witness};
use crate::{SignedState, Timestamp, UnverifiedSignedState, Version};

#[derive(Decode, Encode)]
#[cbor(map)]
struct Snapshot {
    #[n(0)]
    phase: u8,
    #[n(1)]
    current: Option<ByteVec>,
    #[n(2)]
    highest_signed: Option<Version>,
    /// Without its payments, which are stored apart.
    #[n(3)]
    pending: Option<Update>,
    #[n(4)]
    burnt: Option<Burnt>,
    #[n(5)]
    refused: Option<Witness>,
    #[n(6)]
    turn: u64,
    #[n(7)]
    acceptance: Option<Acceptance>,
    #[n(8)]
    is_forced: bool,
    #[n(9)]
    was_open: bool,
}

const SIGNING: u8 = 0;
const LIVE: u8 = 1;
const CLOSED: u8 = 2;

/// What is stored of payments: who pays, then the batch.
pub(super) fn encode_payments(payer: crate::PartIdx, payments: &Batch) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + payments.as_bytes().len());
    bytes.push(payer.number());
    bytes.extend_from_slice(payments.as_bytes());
    bytes
}

/// Reads what [`Record::payments`](super::Record::payments) holds: who paid, and what. `None` if
/// the bytes are no such record.
pub fn decode_payments(bytes: &[u8]) -> Option<(crate::PartIdx, Batch)> {
    let (&payer, batch) = bytes.split_first()?;
    let batch = Batch::decode(batch.to_vec()).ok()?;
    Some((crate::PartIdx::new(payer), batch))
}

/// The version of which a snapshot needs the payments to be restored: that of the proposal under
/// way. `None` if there is none, or the bytes are no snapshot.
pub fn pending_version(snapshot: &[u8]) -> Option<Version> {
    let snapshot: Snapshot = minicbor::decode(snapshot).ok()?;
    snapshot.pending.map(|update| update.version)
}

impl<S: Signer, V: Verifier> Channel<S, V> {
    pub(super) fn snapshot(&self) -> Vec<u8> {
        let (phase, acceptance) = match &self.phase {
            Phase::Signing { acceptance } => (SIGNING, acceptance.clone()),
            Phase::Funding | Phase::Acting | Phase::Settling => (LIVE, None),
            Phase::Closed => (CLOSED, None),
        };
        let commitments = &self.commitments;
        let pending = commitments.pending().map(|pending| Update {
            payments: Batch::new(),
            ..pending.update
        });
        let snapshot = Snapshot {
            phase,
            current: commitments.current().map(|signed| signed.encode().into()),
            highest_signed: commitments.highest_signed(),
            pending,
            burnt: commitments.burnt().cloned(),
            refused: commitments.refused().map(Proposed::to_witness),
            turn: self.turn.number(),
            acceptance,
            is_forced: self.ending.is_forced,
            was_open: self.was_open,
        };
        minicbor::to_vec(snapshot).expect("a vector takes every byte")
    }

    /// The channel as it was when the snapshot was made. It signs nothing until the peer has shown
    /// how far it is: the snapshot may be an old copy.
    ///
    /// `payments` is what was stored for [`pending_version`], if there is one.
    pub fn restore(
        setup: Setup,
        limits: super::Limits,
        signer: S,
        snapshot: &[u8],
        payments: Option<&[u8]>,
    ) -> Result<Self, RestoreError> {
        let mut channel = Self::blank(setup, limits, signer)?;
        let snapshot: Snapshot = minicbor::decode(snapshot).map_err(|_| RestoreError::Malformed)?;
        let current = snapshot.current.as_ref();
        let current = current
            .map(|bytes| channel.restore_signed(bytes))
            .transpose()?;
        channel.phase = match (snapshot.phase, &current) {
            (SIGNING, None) => Phase::Signing {
                acceptance: snapshot.acceptance,
            },
            (LIVE, Some(_)) => Phase::Funding,
            (CLOSED, _) => Phase::Closed,
            _ => return Err(RestoreError::Malformed),
        };
        let pending = match (snapshot.pending, &current) {
            (Some(update), Some(current)) => {
                Some(channel.restore_pending(current, update, payments)?)
            }
            (None, _) => None,
            (Some(_), None) => return Err(RestoreError::Malformed),
        };
        let signed = [
            current.as_ref().map(SignedState::version),
            pending.as_ref().map(|pending| pending.state.version()),
        ];
        if signed.into_iter().flatten().max() > snapshot.highest_signed {
            return Err(RestoreError::Malformed);
        }
        let refused = snapshot.refused.map(Proposed::from_witness);
        let refused = match refused {
            Some(None) => return Err(RestoreError::Malformed),
            refused => refused.flatten(),
        };
        if let Some(pending) = &pending {
            channel.queue.restore_under_way(&pending.update.payments);
        }
        channel.commitments = Commitments::restored(
            current,
            snapshot.highest_signed,
            pending,
            snapshot.burnt,
            refused,
        );
        channel.turn = Turn::new(snapshot.turn, channel.setup.part);
        channel.ending = Ending {
            is_forced: snapshot.is_forced,
            ..Ending::default()
        };
        channel.was_open = snapshot.was_open;
        // So that a driver that knows nothing yet has something to begin with.
        channel.emit_call(Timestamp::default(), false);
        Ok(channel)
    }

    fn restore_signed(&self, bytes: &[u8]) -> Result<SignedState, RestoreError> {
        let unverified: UnverifiedSignedState =
            Canonical::decode(bytes).map_err(|_| RestoreError::Malformed)?;
        unverified
            .verify_for::<V>(self.id, &self.setup.params)
            .map_err(|_| RestoreError::WrongState)
    }

    fn restore_pending(
        &self,
        current: &SignedState,
        mut update: Update,
        payments: Option<&[u8]>,
    ) -> Result<Pending, RestoreError> {
        let version = update.version;
        let missing = RestoreError::PendingPayments { version };
        if let Some(bytes) = payments {
            let (payer, batch) = decode_payments(bytes).ok_or(missing)?;
            if payer != self.setup.part {
                return Err(missing);
            }
            update.payments = batch;
        }
        let state = self.successor(current.state(), self.setup.part, &update);
        let state = state.map_err(|_| missing)?;
        let us = self.setup.params.participants()[self.setup.part.index()];
        if !us.verify::<V>(&state.digest(), &update.signature) {
            return Err(missing);
        }
        Ok(Pending { state, update })
    }
}
