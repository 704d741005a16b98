//! The payments of a channel as they were stored.

use std::fmt;

use perun_protocol::channel::decode_payments;
use perun_protocol::payment::Entry;
use perun_protocol::{ChannelId, Version};

use super::Shared;
use crate::store::{Damage, StoreError};

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
        let mut from = Some(from);
        while let Some(start) = from {
            let page = self.store().payments(channel, start, PAGE);
            let page = page.map_err(ReadHistoryError::Store)?;
            from = page.last().and_then(|last| last.version.next());
            for stored in page {
                let version = stored.version;
                if version > through {
                    return Ok(entries);
                }
                let bytes = stored.payments;
                let bytes =
                    bytes.map_err(|damage| ReadHistoryError::Damaged { version, damage })?;
                let (payer, payments) =
                    decode_payments(&bytes).ok_or(ReadHistoryError::NoPayments { version })?;
                entries.push(Entry {
                    version,
                    payer,
                    payments,
                });
            }
        }
        Ok(entries)
    }
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
