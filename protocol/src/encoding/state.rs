//! States, and what participants sign besides.

use alloc::vec::Vec;

use super::reader::check_length;
use super::{Canonical, DecodeError, Reader, encode_items, encode_list};
use crate::{
    Account, Allocation, Amount, AssetId, Balances, ChannelId, LockedKind, MAX_APP_DATA_LENGTH,
    MAX_ASSETS, MAX_LOCKED, MAX_PARTICIPANTS, MIN_PARTICIPANTS, PartIdx, RefundClaim, Signature,
    SignedState, State, SubAllocation, UnverifiedSignedState, Version, WithdrawalAuth,
};

/// Bytes of the longest [`SubAllocation`], which is encoded inside of a state only: how many
/// amounts it has is the state's to know.
const MAX_SUB_ALLOCATION_LENGTH: usize = LockedKind::MAX_ENCODED_LENGTH
    + ChannelId::MAX_ENCODED_LENGTH
    + MAX_ASSETS * Amount::MAX_ENCODED_LENGTH
    + (1 + MAX_PARTICIPANTS * PartIdx::MAX_ENCODED_LENGTH);

impl Canonical for LockedKind {
    const MAX_ENCODED_LENGTH: usize = 1;

    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::Sub => 1,
            Self::Virtual => 2,
        });
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte()? {
            1 => Ok(Self::Sub),
            2 => Ok(Self::Virtual),
            tag => Err(DecodeError::UnknownTag {
                of: "sub-allocation",
                tag,
            }),
        }
    }
}

impl Canonical for State {
    const MAX_ENCODED_LENGTH: usize = ChannelId::MAX_ENCODED_LENGTH
        + Version::MAX_ENCODED_LENGTH
        + 3
        + 2 * MAX_ASSETS * MAX_PARTICIPANTS * Amount::MAX_ENCODED_LENGTH
        + (1 + MAX_LOCKED * MAX_SUB_ALLOCATION_LENGTH)
        + (2 + MAX_APP_DATA_LENGTH);

    fn encode_to(&self, out: &mut Vec<u8>) {
        let Allocation { balances, locked } = self.allocation();
        self.channel().encode_to(out);
        self.version().encode_to(out);
        out.push(u8::from(self.is_final()));
        out.push(balances.assets() as u8);
        out.push(balances.parts() as u8);
        for table in [balances, self.funding()] {
            table.rows().for_each(|row| encode_items(row, out));
        }
        out.push(locked.len() as u8);
        for sub in locked {
            sub.kind.encode_to(out);
            sub.id.encode_to(out);
            encode_items(&sub.amounts, out);
            encode_list(&sub.index_map, out);
        }
        out.extend((self.app_data().len() as u16).to_be_bytes());
        out.extend(self.app_data());
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let channel = ChannelId::decode_from(reader)?;
        let version = Version::decode_from(reader)?;
        let is_final = match reader.byte()? {
            0 => false,
            1 => true,
            tag => {
                let of = "final flag";
                return Err(DecodeError::UnknownTag { of, tag });
            }
        };
        let assets = reader.length("assets", 1, MAX_ASSETS)?;
        let parts = reader.length("participants", MIN_PARTICIPANTS, MAX_PARTICIPANTS)?;
        let balances = Balances::new(parts, reader.items(assets * parts)?)?;
        let funding = Balances::new(parts, reader.items(assets * parts)?)?;
        let locked = (0..reader.length("sub-allocations", 0, MAX_LOCKED)?)
            .map(|_| decode_sub_allocation(reader, assets))
            .collect::<Result<_, _>>()?;
        let length = usize::from(u16::from_be_bytes(reader.array()?));
        let length = check_length("app data", length, 0, MAX_APP_DATA_LENGTH)?;
        let app_data = reader.bytes(length)?.to_vec();
        let allocation = Allocation { balances, locked };
        Self::from_parts(channel, version, allocation, funding, app_data, is_final)
            .map_err(DecodeError::State)
    }
}

/// A sub-allocation of a channel with `assets` assets.
fn decode_sub_allocation(
    reader: &mut Reader<'_>,
    assets: usize,
) -> Result<SubAllocation, DecodeError> {
    Ok(SubAllocation {
        kind: LockedKind::decode_from(reader)?,
        id: ChannelId::decode_from(reader)?,
        amounts: reader.items(assets)?,
        index_map: reader.list("index map", MAX_PARTICIPANTS)?,
    })
}

impl Canonical for UnverifiedSignedState {
    const MAX_ENCODED_LENGTH: usize =
        State::MAX_ENCODED_LENGTH + (1 + MAX_PARTICIPANTS * Signature::MAX_ENCODED_LENGTH);

    fn encode_to(&self, out: &mut Vec<u8>) {
        self.state.encode_to(out);
        encode_list(&self.signatures, out);
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            state: State::decode_from(reader)?,
            signatures: reader.list("signatures", MAX_PARTICIPANTS)?,
        })
    }
}

impl SignedState {
    /// The encoding of the state and its signatures, which decodes as an
    /// [`UnverifiedSignedState`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.state().encode();
        encode_list(self.signatures(), &mut out);
        out
    }
}

impl Canonical for WithdrawalAuth {
    const MAX_ENCODED_LENGTH: usize = ChannelId::MAX_ENCODED_LENGTH
        + AssetId::MAX_ENCODED_LENGTH
        + PartIdx::MAX_ENCODED_LENGTH
        + Account::MAX_ENCODED_LENGTH;

    fn encode_to(&self, out: &mut Vec<u8>) {
        self.channel.encode_to(out);
        self.asset.encode_to(out);
        self.part.encode_to(out);
        self.receiver.encode_to(out);
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            channel: ChannelId::decode_from(reader)?,
            asset: AssetId::decode_from(reader)?,
            part: PartIdx::decode_from(reader)?,
            receiver: Account::decode_from(reader)?,
        })
    }
}

impl Canonical for RefundClaim {
    const MAX_ENCODED_LENGTH: usize = ChannelId::MAX_ENCODED_LENGTH + PartIdx::MAX_ENCODED_LENGTH;

    fn encode_to(&self, out: &mut Vec<u8>) {
        self.channel.encode_to(out);
        self.part.encode_to(out);
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            channel: ChannelId::decode_from(reader)?,
            part: PartIdx::decode_from(reader)?,
        })
    }
}
