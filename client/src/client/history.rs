//! The payments of a channel as they were stored.

use std::fmt;

use perun_protocol::channel::decode_payments;
use perun_protocol::payment::Entry;
use perun_protocol::{ChannelId, Version};

use super::{Client, Shared};
use crate::store::{Damage, StoreError, StoredPayments};

/// How many bytes of payments are read at once.
const PAGE: usize = 1024 * 1024;

/// Why a history cannot be read.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum ReadHistoryError {
    /// The store cannot be read.
    Store(StoreError),
    /// The payments of a version are damaged.
    Damaged {
        /// The version.
        version: Version,
        /// What is wrong.
        damage: Damage,
    },
    /// The payments of a version are stored well, and are none.
    NoPayments {
        /// The version.
        version: Version,
    },
}

impl Shared {
    /// The payments of a channel that led from one version to another, both included. A proposal under
    /// way is stored too, and not agreed to yet: `through` is never newer than what both have signed.
    pub(crate) fn payments(
        &self,
        channel: &ChannelId,
        from: Version,
        through: Version,
    ) -> Result<Vec<Entry>, ReadHistoryError> {
        let mut entries = Vec::new();
        let mut next = Some(from);
        while let Some(from) = next.filter(|from| *from <= through) {
            let page = self.payments_page(channel, from, through, PAGE)?;
            next = page.last().and_then(|last| last.version.next());
            entries.extend(page);
        }
        Ok(entries)
    }

    /// The first of them, as many as fit `limit` bytes as they are stored, but one at least if there is
    /// one.
    fn payments_page(
        &self,
        channel: &ChannelId,
        from: Version,
        through: Version,
        limit: usize,
    ) -> Result<Vec<Entry>, ReadHistoryError> {
        let page = self.store().payments(channel, from, limit);
        let page = page.map_err(ReadHistoryError::Store)?.into_iter();
        let agreed = page.take_while(|stored| stored.version <= through);
        agreed.map(read_entry).collect()
    }
}

impl Client {
    /// The payments of a channel, of one that is over, too, that led from one version to another, both
    /// included: as many updates as fit `limit` bytes as they are stored, but one at least if there is
    /// one. Those behind them begin after the last version of these; there are none if this is empty.
    ///
    /// A proposal under way is stored too, and not agreed to yet: `through` has to be a version that
    /// both have signed.
    ///
    /// # Errors
    /// [`ReadHistoryError`].
    pub fn payments_page(
        &self,
        channel: &ChannelId,
        from: Version,
        through: Version,
        limit: usize,
    ) -> Result<Vec<Entry>, ReadHistoryError> {
        self.shared.payments_page(channel, from, through, limit)
    }
}

fn read_entry(stored: StoredPayments) -> Result<Entry, ReadHistoryError> {
    let StoredPayments { version, payments } = stored;
    let bytes = payments.map_err(|damage| ReadHistoryError::Damaged { version, damage })?;
    let read = decode_payments(&bytes);
    let (payer, payments) = read.ok_or(ReadHistoryError::NoPayments { version })?;
    Ok(Entry {
        version,
        payer,
        payments,
    })
}

impl fmt::Display for ReadHistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Damaged { version, damage } => {
                write!(f, "the payments of version {version}: {damage}")
            }
            Self::NoPayments { version } => {
                write!(
                    f,
                    "what is stored as the payments of version {version} are none"
                )
            }
        }
    }
}

impl std::error::Error for ReadHistoryError {}
