//! The tally: what a state says about the payments that led to it.

use alloc::vec::Vec;
use core::fmt;

use crate::encoding::{Canonical, Domain, digest};
use crate::payment::Batch;
use crate::signature::Digest;
use crate::{Balances, PartIdx, State};

/// The identity of the payment app: SHA-256 of "perun-icp/payment-app/1".
pub const APP: [u8; 32] = [
    0x0f, 0xee, 0x5b, 0x31, 0x31, 0x68, 0x85, 0x5a, 0x9b, 0x42, 0x2c, 0xc1, 0x5e, 0x00, 0x2f, 0x75,
    0x79, 0xe9, 0x47, 0x8a, 0x32, 0x9e, 0x42, 0x98, 0xfc, 0xbf, 0x55, 0x22, 0xe5, 0x87, 0x39, 0xaa,
];

/// Bytes of an encoded tally: count u64, hash 32 B.
const LENGTH: usize = 8 + 32;

/// How many payments there were, and the running hash over them.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Tally {
    /// How many payments there were since the opening.
    pub count: u64,
    /// The hash of the opening balances, then of the hash before, who paid, and the batch.
    pub hash: Digest,
}

/// The app data of a state is no tally.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TallyError {
    /// How many bytes the app data has; a tally has 40.
    pub length: usize,
}

impl Tally {
    /// The tally of version 0, which binds the balances that everything starts with.
    pub fn opening(balances: &Balances) -> Self {
        let mut bytes = Vec::new();
        for (_, _, amount) in balances.iter() {
            amount.encode_to(&mut bytes);
        }
        Self {
            count: 0,
            hash: digest(Domain::Payments, &bytes),
        }
    }

    /// The tally after `payer` has paid `batch`; the same one if the batch is empty.
    pub fn after(&self, payer: PartIdx, batch: &Batch) -> Self {
        if batch.is_empty() {
            return *self;
        }
        let mut bytes = Vec::with_capacity(32 + 1 + batch.as_bytes().len());
        bytes.extend_from_slice(&self.hash);
        bytes.push(payer.number());
        bytes.extend_from_slice(batch.as_bytes());
        Self {
            count: self.count.saturating_add(batch.count().into()),
            hash: digest(Domain::Payments, &bytes),
        }
    }

    /// The tally that a state of a channel with the payment app carries.
    pub fn of(state: &State) -> Result<Self, TallyError> {
        let length = state.app_data().len();
        let data: [u8; LENGTH] = state
            .app_data()
            .try_into()
            .map_err(|_| TallyError { length })?;
        let (count, hash) = data.split_at(8);
        Ok(Self {
            count: u64::from_be_bytes(count.try_into().expect("8 bytes were split off")),
            hash: hash.try_into().expect("32 bytes are left"),
        })
    }

    /// The app data that says so: count (big-endian) and hash.
    pub fn encode(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(LENGTH);
        data.extend(self.count.to_be_bytes());
        data.extend(self.hash);
        data
    }
}

impl fmt::Display for TallyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the app data is no tally of payments: {} bytes instead of {LENGTH}",
            self.length
        )
    }
}

impl core::error::Error for TallyError {}

#[cfg(test)]
mod tests {
    use sha2::Digest as _;

    #[test]
    fn the_app_is_the_hash_of_its_name() {
        let hash = sha2::Sha256::digest(b"perun-icp/payment-app/1");
        assert_eq!(super::APP, <[u8; 32]>::from(hash));
    }
}
