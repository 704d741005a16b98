//! How the protocol's values stand in a message.

use alloc::vec::Vec;

use minicbor::bytes::ByteVec;
use minicbor::decode::Error as DecodeError;
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::dispute::Rank;
use crate::encoding::{Canonical, Reader};
use crate::payment::Batch;
use crate::{
    Account, Amount, App, AssetId, AssetIdx, Balances, ChallengeDuration, ChannelId, MAX_ASSETS,
    MAX_PARTICIPANTS, Params, PartIdx, Participant, Principal, Signature, Timestamp,
    UnverifiedSignedState, Version,
};

/// Values that travel as the bytes of their canonical encoding.
macro_rules! canonical {
    ($($value:ty),+ $(,)?) => {$(
        impl<C> Encode<C> for $value {
            fn encode<W: Write>(
                &self,
                encoder: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), EncodeError<W::Error>> {
                encoder.bytes(&Canonical::encode(self))?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $value {
            fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
                let bytes = decoder.bytes()?;
                <$value as Canonical>::decode(bytes).map_err(refused)
            }
        }
    )+};
}

canonical!(
    Account,
    App,
    AssetId,
    ChannelId,
    Params,
    Participant,
    Principal,
    Signature,
    UnverifiedSignedState,
);

/// Values that travel as a number.
macro_rules! number {
    ($($value:ty: $read:ident, $write:expr, $make:expr;)+) => {$(
        impl<C> Encode<C> for $value {
            fn encode<W: Write>(
                &self,
                encoder: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), EncodeError<W::Error>> {
                let write = $write;
                encoder.$read(write(self))?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $value {
            fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
                let make = $make;
                make(decoder.$read()?)
            }
        }
    )+};
}

number! {
    Version: u64, |version: &Version| version.number(), |number| Ok(Self::new(number));
    Timestamp: u64, |instant: &Timestamp| instant.nanos(), |nanos| Ok(Self::from_nanos(nanos));
    PartIdx: u8, |part: &PartIdx| part.number(), |number| Ok(Self::new(number));
    AssetIdx: u8, |asset: &AssetIdx| asset.number(), |number| Ok(Self::new(number));
    ChallengeDuration: u32, |duration: &ChallengeDuration| duration.secs(), |secs| {
        let duration = Self::from_secs(secs);
        duration.ok_or_else(|| DecodeError::message("a challenge duration is out of bounds"))
    };
}

impl<C> Encode<C> for Amount {
    fn encode<W: Write>(
        &self,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        let zeros = self.units().leading_zeros() as usize / 8;
        encoder.bytes(&self.units().to_be_bytes()[zeros..])?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Amount {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        let digits = decoder.bytes()?;
        if digits.len() > 16 {
            return Err(DecodeError::message("an amount exceeds 128 bits"));
        }
        let units = digits
            .iter()
            .fold(0, |units, &digit| units << 8 | u128::from(digit));
        Ok(Self::new(units))
    }
}

impl<C> Encode<C> for Batch {
    fn encode<W: Write>(
        &self,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        encoder.bytes(self.as_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Batch {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        Self::decode(decoder.bytes()?.to_vec()).map_err(refused)
    }
}

/// A table: how many participants, then its amounts, asset after asset.
impl<C> Encode<C> for Balances {
    fn encode<W: Write>(
        &self,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        let mut bytes = Vec::new();
        bytes.push(self.parts() as u8);
        for (_, _, amount) in self.iter() {
            amount.encode_to(&mut bytes);
        }
        encoder.bytes(&bytes)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Balances {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        let Some((parts, amounts)) = decoder.bytes()?.split_first() else {
            return Err(DecodeError::message("an empty table"));
        };
        let (amounts, rest) = amounts.as_chunks::<16>();
        if !rest.is_empty() {
            return Err(DecodeError::message("a table ends inside of an amount"));
        }
        let amounts = amounts.iter().map(|units| u128::from_be_bytes(*units));
        let amounts = amounts.map(Amount::new).collect();
        Self::new(usize::from(*parts), amounts).map_err(refused)
    }
}

/// The version of a state, null for a refund claim.
impl<C> Encode<C> for Rank {
    fn encode<W: Write>(
        &self,
        encoder: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        let version = match self {
            Self::Refund => None,
            Self::State(version) => Some(*version),
        };
        version.encode(encoder, context)
    }
}

impl<'b, C> Decode<'b, C> for Rank {
    fn decode(decoder: &mut Decoder<'b>, context: &mut C) -> Result<Self, DecodeError> {
        let version = Option::<Version>::decode(decoder, context)?;
        Ok(version.map_or(Self::Refund, Self::State))
    }
}

/// A table where its bytes are counted: an array of how many participants, then its amounts, asset
/// after asset, each as short as it can be.
pub(crate) mod short_table {
    use super::*;

    pub(crate) fn encode<C, W: Write>(
        table: &Balances,
        encoder: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        let amounts = table.assets() * table.parts();
        encoder.array(1 + amounts as u64)?.u8(table.parts() as u8)?;
        for (_, _, amount) in table.iter() {
            encoder.encode_with(amount, context)?;
        }
        Ok(())
    }

    pub(crate) fn decode<C>(
        decoder: &mut Decoder<'_>,
        context: &mut C,
    ) -> Result<Balances, DecodeError> {
        const MAX_LENGTH: u64 = 1 + (MAX_ASSETS * MAX_PARTICIPANTS) as u64;
        let length = decoder.array()?;
        let Some(amounts) = length.filter(|length| (1..=MAX_LENGTH).contains(length)) else {
            return Err(DecodeError::message("no table has this length"));
        };
        let parts = decoder.u8()?;
        let amounts = (1..amounts).map(|_| decoder.decode_with::<_, Amount>(context));
        let amounts = amounts.collect::<Result<_, _>>()?;
        Balances::new(usize::from(parts), amounts).map_err(refused)
    }
}

/// A list of assets, one encoding after the other.
pub(super) mod assets {
    use super::*;

    pub(in crate::wire) fn encode<C, W: Write>(
        assets: &[AssetId],
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        let mut bytes = Vec::new();
        assets.iter().for_each(|asset| asset.encode_to(&mut bytes));
        encoder.bytes(&bytes)?.ok()
    }

    pub(in crate::wire) fn decode<C>(
        decoder: &mut Decoder<'_>,
        _: &mut C,
    ) -> Result<Vec<AssetId>, DecodeError> {
        let bytes = decoder.bytes()?;
        if bytes.len() > MAX_ASSETS * AssetId::MAX_ENCODED_LENGTH {
            return Err(DecodeError::message("more assets than a channel can have"));
        }
        let mut reader = Reader::new(bytes);
        let mut assets = Vec::new();
        while !reader.is_empty() {
            assets.push(AssetId::decode_from(&mut reader).map_err(refused)?);
        }
        Ok(assets)
    }
}

/// Arrays of 32 bytes that may be all zeros, and are left out then.
pub(super) fn is_zeros(bytes: &[u8; 32]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

pub(super) fn is_false(flag: &bool) -> bool {
    !flag
}

/// What bytes hold a message inside of a message, as a byte string.
pub(super) fn nested<T: Encode<()>>(value: &T) -> ByteVec {
    let bytes = minicbor::to_vec(value);
    bytes
        .expect("a vector takes every byte, and no field refuses to be encoded")
        .into()
}

/// The reason of a value's own refusal.
fn refused(error: impl core::fmt::Display) -> DecodeError {
    DecodeError::message(alloc::format!("{error}"))
}
