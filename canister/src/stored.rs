//! The bytes of records in stable memory.
//!
//! Each record starts with a format version. No format but the present one was ever deployed; once one
//! is, later versions of the canister read it, too. What the protocol already encodes is stored in that encoding.
//!
//! Here are the form of a record and the values that records are made of; the records themselves are
//! in [`records`].
//!
//! Invariant: only this canister writes its stable memory, so bytes that do not decode are a bug of
//! ours, and stopping is the only safe answer.

mod records;

use std::borrow::Cow;
use std::marker::PhantomData;

use candid::Principal;
use ic_stable_structures::Storable;
use ic_stable_structures::storable::Bound;
use perun_protocol::dispute::Rank;
use perun_protocol::encoding::{Canonical, DecodeError, Reader};
use perun_protocol::signature::Digest;
use perun_protocol::{
    Account, Amount, AssetId, AssetIdx, Balances, ChallengeDuration, ChannelId, Params, PartIdx,
    Timestamp, UnverifiedSignedState, Version,
};

use crate::clock::Uptime;

/// The format that is written: of records, and of the tables that hold them. An upgrade begins by reading
/// the set-up, so a memory of another format is refused before anything is changed.
pub(crate) const FORMAT: u8 = 3;

/// A record in stable memory.
#[derive(Clone, Debug)]
pub struct Stored<T>(pub T);

/// The same as its bytes: a map hands out what a new record replaces, which nobody looks at.
#[derive(Clone, Debug)]
pub struct Encoded<T>(Vec<u8>, PhantomData<T>);

/// Something that has a place in stable memory.
pub trait Record: Sized {
    /// Appends the record's bytes.
    fn put(&self, out: &mut Vec<u8>);

    /// Reads what [`Record::put`] wrote.
    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// The bytes of a record.
pub fn encode<T: Record>(record: &T) -> Vec<u8> {
    let mut out = vec![FORMAT];
    record.put(&mut out);
    out
}

/// The record that [`encode`] made them of.
pub fn decode<T: Record>(bytes: &[u8]) -> T {
    let mut reader = Reader::new(bytes);
    let format = reader.byte().expect("a record has a format version");
    assert_eq!(
        format, FORMAT,
        "stable memory has another format than this module reads"
    );
    let record = T::take(&mut reader);
    let record = record.and_then(|record| reader.finish().map(|()| record));
    record.unwrap_or_else(|error| panic!("a record decodes as it was written: {error}"))
}

impl<T: Record> Storable for Stored<T> {
    fn to_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Owned(encode(&self.0))
    }

    fn into_bytes(self) -> Vec<u8> {
        encode(&self.0)
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        Self(decode(&bytes))
    }

    const BOUND: Bound = Bound::Unbounded;
}

impl<T: Record> Encoded<T> {
    pub fn of(record: &T) -> Self {
        Self(encode(record), PhantomData)
    }

    pub fn decode(&self) -> T {
        decode(&self.0)
    }
}

impl<T> Storable for Encoded<T> {
    fn to_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.0)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        Self(bytes.into_owned(), PhantomData)
    }

    const BOUND: Bound = Bound::Unbounded;
}

/// What the protocol encodes is stored as the protocol encodes it.
macro_rules! as_the_protocol_encodes {
    ($($type:ty),+) => {$(
        impl Record for $type {
            fn put(&self, out: &mut Vec<u8>) {
                self.encode_to(out);
            }

            fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Self::decode_from(reader)
            }
        }
    )+};
}

as_the_protocol_encodes!(
    Account,
    Amount,
    AssetId,
    ChallengeDuration,
    ChannelId,
    Params,
    PartIdx,
    Timestamp,
    UnverifiedSignedState
);

impl Record for u32 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.to_be_bytes());
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array().map(Self::from_be_bytes)
    }
}

impl Record for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.to_be_bytes());
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array().map(Self::from_be_bytes)
    }
}

impl Record for u128 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.to_be_bytes());
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array().map(Self::from_be_bytes)
    }
}

impl<T: Record> Record for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte()? {
            0 => Ok(None),
            1 => T::take(reader).map(Some),
            tag => Err(DecodeError::UnknownTag { of: "option", tag }),
        }
    }
}

impl Record for Digest {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array()
    }
}

impl Record for Rank {
    fn put(&self, out: &mut Vec<u8>) {
        let version = match self {
            Self::Refund => None,
            Self::State(version) => Some(version.number()),
        };
        version.put(out);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version: Option<u64> = Record::take(reader)?;
        Ok(version.map_or(Self::Refund, |number| Self::State(Version::new(number))))
    }
}

impl Record for AssetIdx {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.number());
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.byte().map(Self::new)
    }
}

impl Record for Uptime {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Timestamp::take(reader).map(Self)
    }
}

impl Record for Principal {
    fn put(&self, out: &mut Vec<u8>) {
        let bytes = self.as_slice();
        out.push(bytes.len() as u8);
        out.extend(bytes);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = usize::from(reader.byte()?);
        let bytes = reader.bytes(length)?;
        Self::try_from_slice(bytes).map_err(|_| DecodeError::OutOfBounds {
            of: "principal",
            length,
            min: 0,
            max: Self::MAX_LENGTH_IN_BYTES,
        })
    }
}

impl Record for Balances {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend([self.assets() as u8, self.parts() as u8]);
        self.iter().for_each(|(_, _, amount)| amount.put(out));
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (assets, parts) = (usize::from(reader.byte()?), usize::from(reader.byte()?));
        let amounts = (0..assets * parts).map(|_| Amount::take(reader));
        Ok(Self::new(parts, amounts.collect::<Result<_, _>>()?)?)
    }
}
