//! What a watcher was given for a channel, and how it is stored.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};
use perun_protocol::signature::Libsecp256k1;
use perun_protocol::{Params, SignedState, UnverifiedSignedState};

use super::WatchError;
use crate::store::Ticket;

/// What a watcher was given for a channel. Everything in it was verified.
pub(super) struct Order {
    pub(super) newest: SignedState,
    pub(super) owners: BTreeSet<String>,
    /// The newest write.
    pub(super) written: Ticket,
}

#[derive(Decode, Encode)]
#[cbor(map)]
struct StoredOrder {
    #[n(0)]
    params: Params,
    #[n(1)]
    newest: UnverifiedSignedState,
    #[n(2)]
    owners: Vec<String>,
}

impl Order {
    /// Whether a state is newer than the one that is held.
    pub(super) fn check(&self, newest: &SignedState) -> Result<bool, WatchError> {
        if newest.version() == self.newest.version() && newest.state() != self.newest.state() {
            return Err(WatchError::AnotherState {
                version: newest.version(),
            });
        }
        Ok(newest.version() > self.newest.version())
    }

    pub(super) fn encode(&self, params: &Params) -> Vec<u8> {
        let stored = StoredOrder {
            params: params.clone(),
            newest: self.newest.clone().into(),
            owners: self.owners.iter().cloned().collect(),
        };
        minicbor::to_vec(stored).expect("a vector takes every byte")
    }

    /// What [`Order::encode`] has written, verified again; `None` if it is not that.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Params, Self)> {
        let stored: StoredOrder = minicbor::decode(bytes).ok()?;
        let params = stored.params;
        let newest = stored
            .newest
            .verify_for::<Libsecp256k1>(params.id(), &params);
        let order = Self {
            newest: newest.ok()?,
            owners: stored.owners.into_iter().collect(),
            written: Ticket::NONE,
        };
        Some((params, order))
    }
}
