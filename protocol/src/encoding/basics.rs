//! Values that stand alone or inside of others: numbers, names, accounts.

use alloc::vec::Vec;

use super::{Canonical, DecodeError, Reader};
use crate::signature::SIGNATURE_LENGTH;
use crate::{
    Account, Amount, ChannelId, MAX_PRINCIPAL_LENGTH, PartIdx, Principal, Signature, Timestamp,
    Version,
};

impl Canonical for Amount {
    const MAX_ENCODED_LENGTH: usize = 16;

    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend(self.units().to_be_bytes());
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array().map(u128::from_be_bytes).map(Self::new)
    }
}

impl Canonical for Version {
    const MAX_ENCODED_LENGTH: usize = 8;

    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend(self.number().to_be_bytes());
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array().map(u64::from_be_bytes).map(Self::new)
    }
}

impl Canonical for Timestamp {
    const MAX_ENCODED_LENGTH: usize = 8;

    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend(self.nanos().to_be_bytes());
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array().map(u64::from_be_bytes).map(Self::from_nanos)
    }
}

impl Canonical for ChannelId {
    const MAX_ENCODED_LENGTH: usize = 32;

    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend(self.as_bytes());
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array().map(Self::from_bytes)
    }
}

impl Canonical for PartIdx {
    const MAX_ENCODED_LENGTH: usize = 1;

    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(self.number());
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.byte().map(Self::new)
    }
}

impl Canonical for Signature {
    const MAX_ENCODED_LENGTH: usize = SIGNATURE_LENGTH;

    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend(self.as_bytes());
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array::<SIGNATURE_LENGTH>().map(Self::from_bytes)
    }
}

impl Canonical for Principal {
    const MAX_ENCODED_LENGTH: usize = 1 + MAX_PRINCIPAL_LENGTH;

    fn encode_to(&self, out: &mut Vec<u8>) {
        let bytes = self.as_slice();
        out.push(bytes.len() as u8);
        out.extend(bytes);
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.length("principal", 1, MAX_PRINCIPAL_LENGTH)?;
        let bytes = reader.bytes(length)?;
        Ok(Self::from_slice(bytes).expect("the length was checked"))
    }
}

impl Canonical for Account {
    const MAX_ENCODED_LENGTH: usize = Principal::MAX_ENCODED_LENGTH + 32;

    fn encode_to(&self, out: &mut Vec<u8>) {
        self.owner.encode_to(out);
        out.extend(self.subaccount);
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let owner = Principal::decode_from(reader)?;
        let subaccount = reader.array()?;
        Ok(Self { owner, subaccount })
    }
}
