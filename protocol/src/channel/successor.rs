//! The state that an update makes of another: both sides make it, and sign it only if it is the same.

use super::{Channel, PeerMisbehaved};
use crate::payment::{PAYMENT_APP, Tally};
use crate::signature::{Signer, Verifier};
use crate::wire::Update;
use crate::{Allocation, Amount, Balances, PartIdx, State};

impl<S: Signer, V: Verifier> Channel<S, V> {
    /// The state that `update` by `proposer` makes of `base`.
    pub(super) fn successor(
        &self,
        base: &State,
        proposer: PartIdx,
        update: &Update,
    ) -> Result<State, PeerMisbehaved> {
        if base.is_final() {
            return Err(PeerMisbehaved::UpdateAfterFinal);
        }
        let payments = &update.payments;
        let version = update.version;
        if payments.is_empty() && !update.is_final {
            return Err(PeerMisbehaved::EmptyUpdate { version });
        }
        let Allocation { balances, locked } = base.allocation();
        if payments.assets_needed() > balances.assets() {
            return Err(PeerMisbehaved::UnknownAsset);
        }
        let mut amounts = alloc::vec::Vec::with_capacity(balances.assets() * balances.parts());
        for (asset, part, amount) in balances.iter() {
            let paid = payments.total(asset);
            let next = if part == proposer {
                let overdrawn = PeerMisbehaved::Overdrawn {
                    asset,
                    has: amount,
                    pays: paid,
                };
                amount.checked_sub(paid).ok_or(overdrawn)?
            } else {
                // What one of two pays the other receives. Beyond 128 bits only if it was overdrawn.
                amount.checked_add(paid).unwrap_or(Amount::MAX)
            };
            amounts.push(next);
        }
        let balances = Balances::new(balances.parts(), amounts);
        let balances = balances.map_err(|_| PeerMisbehaved::WrongState)?;
        let app_data = if self.setup.params.app() == PAYMENT_APP {
            let tally = Tally::of(base).map_err(|_| PeerMisbehaved::WrongState)?;
            tally.after(proposer, payments).encode()
        } else {
            base.app_data().to_vec()
        };
        let allocation = Allocation {
            balances,
            locked: locked.clone(),
        };
        let next = State::from_parts(
            self.id,
            version,
            allocation,
            base.funding().clone(),
            app_data,
            update.is_final,
        );
        next.map_err(|_| PeerMisbehaved::WrongState)
    }
}
