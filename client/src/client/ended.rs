//! Channels that are over: what is kept of them.

use perun_protocol::channel::{Setup, pending_version};
use perun_protocol::payment::History;
use perun_protocol::{Balances, ChannelId, Params, PartIdx, PublicKey, SignedState, Version};

use super::start::{ChannelDamage, StoredOpening};
use super::{Client, ReadHistoryError, Shared};
use crate::driver::Machine;
use crate::store::{StoreError, StoredChannel};

/// A channel that is over.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The peer's off-chain identity.
    pub peer: PublicKey,
    /// The params.
    pub params: Params,
    /// Who we were in it.
    pub part: PartIdx,
    /// The newest state that both have signed; `None` if it never came to be.
    pub newest: Option<SignedState>,
    setup: Setup,
}

impl Ended {
    /// The balances that everything started with.
    pub fn opening(&self) -> &Balances {
        &self.setup.initial.allocation().balances
    }
}

impl Client {
    /// The channels behind `after` that are over, in the order of their ids, `limit` at most.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn ended_ids(
        &self,
        after: Option<&ChannelId>,
        limit: usize,
    ) -> Result<Vec<ChannelId>, StoreError> {
        let archived = self.shared.store.archived(after, limit)?;
        Ok(archived.into_iter().map(|(id, _)| id).collect())
    }

    /// What is kept of a channel that is over; `None` if none has this id.
    ///
    /// # Errors
    /// [`ChannelDamage`].
    pub fn ended(&self, id: &ChannelId) -> Result<Option<Ended>, ChannelDamage> {
        let before = before(id);
        let found = self.shared.store.archived(before.as_ref(), 1);
        let found = found.map_err(ChannelDamage::Store)?.into_iter().next();
        match found {
            Some((found, stored)) if found == *id => {
                let stored = stored.map_err(ChannelDamage::Record)?;
                self.shared.read_ended(id, stored).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// All payments of a channel that is over, as [`Channel::history`](crate::channel::Channel::history)
    /// has them of others.
    ///
    /// # Errors
    /// [`ReadHistoryError`].
    pub fn ended_history(&self, ended: &Ended) -> Result<History, ReadHistoryError> {
        let id = ended.setup.initial.channel();
        let newest = ended.newest.as_ref().map(|newest| newest.version());
        let newest = newest.unwrap_or(Version::INITIAL);
        Ok(History {
            opening: ended.opening().clone(),
            entries: self.shared.payments(&id, Version::INITIAL, newest)?,
        })
    }
}

impl Shared {
    fn read_ended(&self, id: &ChannelId, stored: StoredChannel) -> Result<Ended, ChannelDamage> {
        let StoredChannel { opening, snapshot } = stored;
        let opening: StoredOpening =
            minicbor::decode(&opening).map_err(|_| ChannelDamage::Opening)?;
        let setup = Setup::decode(&opening.setup).ok_or(ChannelDamage::Opening)?;
        if setup.initial.channel() != *id {
            return Err(ChannelDamage::Opening);
        }
        let payments = match pending_version(&snapshot) {
            None => None,
            Some(version) => self.stored_payments(id, version)?,
        };
        let (limits, payments) = (self.config.limits(), payments.as_deref());
        let machine = Machine::restore(setup.clone(), limits, self.key(), &snapshot, payments);
        let machine = machine.map_err(ChannelDamage::Snapshot)?;
        Ok(Ended {
            peer: opening.peer,
            params: setup.params.clone(),
            part: setup.part,
            newest: machine.newest().cloned(),
            setup,
        })
    }
}

/// The id before this one; `None` if it is the first.
fn before(id: &ChannelId) -> Option<ChannelId> {
    let mut bytes = *id.as_bytes();
    for byte in bytes.iter_mut().rev() {
        let (less, borrows) = byte.overflowing_sub(1);
        *byte = less;
        if !borrows {
            return Some(ChannelId::from_bytes(bytes));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_right_after_the_one_before_it() {
        let id = |first: u8, last: u8| {
            let mut bytes = [0; 32];
            (bytes[0], bytes[31]) = (first, last);
            ChannelId::from_bytes(bytes)
        };
        assert_eq!(before(&id(0, 0)), None);
        assert_eq!(before(&id(0, 7)), Some(id(0, 6)));
        let mut bytes = [0xff; 32];
        bytes[0] = 4;
        assert_eq!(before(&id(5, 0)), Some(ChannelId::from_bytes(bytes)));
    }
}
