//! Params and what they are made of.

use alloc::vec::Vec;

use super::{Canonical, DecodeError, Reader, encode_list};
use crate::signature::PUBLIC_KEY_LENGTH;
use crate::{
    App, AssetId, ChallengeDuration, ChannelKind, MAX_ASSETS, MAX_PARTICIPANTS, Nonce, Params,
    Participant, Principal, PublicKey,
};

impl Canonical for Participant {
    const MAX_ENCODED_LENGTH: usize = 1 + PUBLIC_KEY_LENGTH;

    fn encode_to(&self, out: &mut Vec<u8>) {
        let Self::Secp256k1(key) = self;
        out.push(1);
        out.extend(key.as_bytes());
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte()? {
            1 => {
                let bytes = reader.array::<PUBLIC_KEY_LENGTH>()?;
                let of = "sign of a compressed key";
                let unknown = DecodeError::UnknownTag { of, tag: bytes[0] };
                let key = PublicKey::from_bytes(bytes).ok_or(unknown)?;
                Ok(Self::Secp256k1(key))
            }
            tag => Err(DecodeError::UnknownTag {
                of: "participant",
                tag,
            }),
        }
    }
}

impl Canonical for AssetId {
    const MAX_ENCODED_LENGTH: usize = 1 + Principal::MAX_ENCODED_LENGTH;

    fn encode_to(&self, out: &mut Vec<u8>) {
        let Self::Icrc(ledger) = self;
        out.push(1);
        ledger.encode_to(out);
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte()? {
            1 => Principal::decode_from(reader).map(Self::Icrc),
            tag => Err(DecodeError::UnknownTag { of: "asset", tag }),
        }
    }
}

impl Canonical for App {
    const MAX_ENCODED_LENGTH: usize = 1 + 32;

    fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => out.push(0),
            Self::Id(id) => {
                out.push(1);
                out.extend(id);
            }
        }
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte()? {
            0 => Ok(Self::None),
            1 => reader.array().map(Self::Id),
            tag => Err(DecodeError::UnknownTag { of: "app", tag }),
        }
    }
}

impl Canonical for ChannelKind {
    const MAX_ENCODED_LENGTH: usize = 1;

    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::Sub => 0,
            Self::Ledger => 1,
            Self::Virtual => 2,
        });
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte()? {
            0 => Ok(Self::Sub),
            1 => Ok(Self::Ledger),
            2 => Ok(Self::Virtual),
            tag => Err(DecodeError::UnknownTag {
                of: "channel kind",
                tag,
            }),
        }
    }
}

impl Canonical for ChallengeDuration {
    const MAX_ENCODED_LENGTH: usize = 4;

    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend(self.secs().to_be_bytes());
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let secs = reader.array().map(u32::from_be_bytes)?;
        let out_of_bounds = DecodeError::OutOfBounds {
            of: "challenge duration",
            length: secs as usize,
            min: Self::MIN.secs() as usize,
            max: Self::MAX.secs() as usize,
        };
        Self::from_secs(secs).ok_or(out_of_bounds)
    }
}

impl Canonical for Params {
    const MAX_ENCODED_LENGTH: usize = 32
        + (1 + MAX_PARTICIPANTS * Participant::MAX_ENCODED_LENGTH)
        + (1 + MAX_ASSETS * AssetId::MAX_ENCODED_LENGTH)
        + ChallengeDuration::MAX_ENCODED_LENGTH
        + App::MAX_ENCODED_LENGTH
        + Principal::MAX_ENCODED_LENGTH
        + ChannelKind::MAX_ENCODED_LENGTH
        + 32;

    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend(self.nonce().as_bytes());
        encode_list(self.participants(), out);
        encode_list(self.assets(), out);
        self.challenge_duration().encode_to(out);
        self.app().encode_to(out);
        self.adjudicator().encode_to(out);
        self.kind().encode_to(out);
        out.extend(self.aux());
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let nonce = Nonce::from_bytes(reader.array()?);
        let participants = reader.list("participants", MAX_PARTICIPANTS)?;
        let assets = reader.list("assets", MAX_ASSETS)?;
        let challenge_duration = ChallengeDuration::decode_from(reader)?;
        let app = App::decode_from(reader)?;
        let adjudicator = Principal::decode_from(reader)?;
        let kind = ChannelKind::decode_from(reader)?;
        let aux = reader.array()?;
        let params = Self::new(nonce, participants, assets, challenge_duration, adjudicator)
            .map_err(DecodeError::Params)?;
        Ok(params.with_app(app).with_kind(kind).with_aux(aux))
    }
}
