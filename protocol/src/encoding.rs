//! The bytes that are signed, hashed and stored.
//!
//! Every value has exactly one encoding: integers are big-endian and of fixed width, lists carry
//! their length in front, alternatives a tag byte. [`Canonical::decode`] refuses everything that
//! [`Canonical::encode`] does not produce, never panics, and allocates only for lengths that it has
//! checked against a bound and the bytes at hand.
//!
//! ```text
//! Principal       length u8 (1..=29), bytes
//! Account         owner Principal, subaccount 32 B
//! Participant     tag u8 = 1 (secp256k1; 0 is reserved for a principal that approves by call),
//!                 compressed key 33 B
//! AssetId         tag u8 = 1 (ICRC ledger), Principal
//! App             tag u8: 0 none | 1, id 32 B
//! ChannelKind     flags u8: 0 sub | 1 ledger | 2 virtual
//! Params          nonce 32 B, count u8, Participant…, count u8, AssetId…, challenge duration u32
//!                 (s), App, adjudicator Principal, ChannelKind, aux 32 B
//! Amount          u128
//! State           channel 32 B, version u64, final u8 (0 | 1), assets u8, participants u8,
//!                 balances (assets × participants Amounts), funding (likewise), count u8,
//!                 SubAllocation…, app data length u16, app data
//! SubAllocation   kind u8 (1 sub | 2 virtual), id 32 B, Amount for each asset, count u8,
//!                 participant u8…
//! SignedState     State, count u8, signature 64 B…
//! WithdrawalAuth  channel 32 B, AssetId, participant u8, receiver Account
//! RefundClaim     channel 32 B, participant u8
//! ```
//!
//! What is hashed starts with a [`Domain`] tag, so that no two kinds of values share a digest.

use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest as _, Sha256};

use crate::signature::{Digest, PUBLIC_KEY_LENGTH, SIGNATURE_LENGTH};
use crate::{
    Account, Allocation, Amount, App, AssetId, Balances, BalancesError, ChallengeDuration,
    ChannelId, ChannelKind, LockedKind, MAX_APP_DATA_LENGTH, MAX_ASSETS, MAX_LOCKED,
    MAX_PARTICIPANTS, Nonce, Params, ParamsError, PartIdx, Participant, Principal, PublicKey,
    RefundClaim, Signature, SignedState, State, StateError, SubAllocation, Timestamp,
    UnverifiedSignedState, Version, WithdrawalAuth,
};

/// What a digest is about. The tag in front of the hashed bytes names it and its format's version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Domain {
    /// [`Params`]: the digest is the [`ChannelId`].
    Params,
    /// [`State`]: what participants sign to agree.
    State,
    /// [`WithdrawalAuth`]: what a participant signs to be paid.
    Withdrawal,
    /// [`RefundClaim`]: what a participant signs to get the deposits back.
    Refund,
    /// A channel: the digest is the subaccount that its funds lie in
    /// ([`Account::of_funds`]).
    FundsAccount,
    /// A channel and a participant: the digest is the subaccount that deposits are paid to
    /// ([`Account::of_deposit`]).
    DepositAccount,
}

impl Domain {
    /// The tag: 24 bytes, so that no tag is the beginning of another.
    pub const fn tag(self) -> &'static [u8; 24] {
        match self {
            Self::Params => b"perun-icp/params/1\0\0\0\0\0\0",
            Self::State => b"perun-icp/state/1\0\0\0\0\0\0\0",
            Self::Withdrawal => b"perun-icp/withdrawal/1\0\0",
            Self::Refund => b"perun-icp/refund/1\0\0\0\0\0\0",
            Self::FundsAccount => b"perun-icp/funds/1\0\0\0\0\0\0\0",
            Self::DepositAccount => b"perun-icp/deposit/1\0\0\0\0\0",
        }
    }
}

/// SHA-256 of the domain's tag and `bytes`.
pub fn digest(domain: Domain, bytes: &[u8]) -> Digest {
    let hash = Sha256::new().chain_update(domain.tag()).chain_update(bytes);
    hash.finalize().into()
}

/// A value with one canonical encoding.
pub trait Canonical: Sized {
    /// Appends the encoding to `out`.
    fn encode_to(&self, out: &mut Vec<u8>);

    /// Reads one value and leaves the reader behind it.
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// The encoding.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_to(&mut out);
        out
    }

    /// The value whose encoding is exactly `bytes`.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode_from(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

/// Why bytes are no encoding.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DecodeError {
    /// The bytes end where more are needed.
    UnexpectedEnd {
        /// Where the missing bytes should begin.
        offset: usize,
    },
    /// Bytes follow the value.
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// A tag, flag or sign byte has a value without meaning.
    UnknownTag {
        /// What it should tell.
        of: &'static str,
        /// Its value.
        tag: u8,
    },
    /// A length is beyond its bound.
    OutOfBounds {
        /// What the length is of.
        of: &'static str,
        /// The length.
        length: usize,
        /// The least that is allowed.
        min: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// The values do not make params.
    Params(ParamsError),
    /// The values do not make a state.
    State(StateError),
}

/// Reads values from bytes, one after the other, and never beyond their end.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the beginning of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.offset..];
        let Some(taken) = rest.get(..count) else {
            let offset = self.bytes.len();
            return Err(DecodeError::UnexpectedEnd { offset });
        };
        self.offset += count;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.bytes(N)?;
        Ok(bytes.try_into().expect("exactly N bytes were taken"))
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// A length of one byte in `min..=max`.
    fn length(&mut self, of: &'static str, min: usize, max: usize) -> Result<usize, DecodeError> {
        check_length(of, self.byte()?.into(), min, max)
    }

    /// A list with its length in front.
    fn list<T: Canonical>(&mut self, of: &'static str, max: usize) -> Result<Vec<T>, DecodeError> {
        let length = self.length(of, 0, max)?;
        self.items(length)
    }

    /// A list whose length is known and bounded.
    fn items<T: Canonical>(&mut self, length: usize) -> Result<Vec<T>, DecodeError> {
        (0..length).map(|_| T::decode_from(self)).collect()
    }

    /// Checks that nothing is left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.bytes.len() - self.offset {
            0 => Ok(()),
            count => Err(DecodeError::TrailingBytes { count }),
        }
    }
}

fn check_length(
    of: &'static str,
    length: usize,
    min: usize,
    max: usize,
) -> Result<usize, DecodeError> {
    if (min..=max).contains(&length) {
        return Ok(length);
    }
    Err(DecodeError::OutOfBounds {
        of,
        length,
        min,
        max,
    })
}

/// Appends a list with its length, which every caller has bounded below 256, in front.
fn encode_list<T: Canonical>(items: &[T], out: &mut Vec<u8>) {
    out.push(items.len() as u8);
    encode_items(items, out);
}

fn encode_items<T: Canonical>(items: &[T], out: &mut Vec<u8>) {
    items.iter().for_each(|item| item.encode_to(out));
}

impl Canonical for Amount {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend(self.units().to_be_bytes());
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array().map(u128::from_be_bytes).map(Self::new)
    }
}

impl Canonical for Version {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend(self.number().to_be_bytes());
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array().map(u64::from_be_bytes).map(Self::new)
    }
}

impl Canonical for Timestamp {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend(self.nanos().to_be_bytes());
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array().map(u64::from_be_bytes).map(Self::from_nanos)
    }
}

impl Canonical for ChannelId {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend(self.as_bytes());
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array().map(Self::from_bytes)
    }
}

impl Canonical for PartIdx {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(self.number());
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.byte().map(Self::new)
    }
}

impl Canonical for Signature {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend(self.as_bytes());
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array::<SIGNATURE_LENGTH>().map(Self::from_bytes)
    }
}

impl Canonical for Principal {
    fn encode_to(&self, out: &mut Vec<u8>) {
        let bytes = self.as_slice();
        out.push(bytes.len() as u8);
        out.extend(bytes);
    }

    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.length("principal", 1, crate::MAX_PRINCIPAL_LENGTH)?;
        let bytes = reader.bytes(length)?;
        Ok(Self::from_slice(bytes).expect("the length was checked"))
    }
}

impl Canonical for Account {
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

impl Canonical for Participant {
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

impl Canonical for LockedKind {
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
        let parts = reader.length("participants", crate::MIN_PARTICIPANTS, MAX_PARTICIPANTS)?;
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

impl From<BalancesError> for DecodeError {
    fn from(error: BalancesError) -> Self {
        Self::State(error.into())
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnexpectedEnd { offset } => {
                write!(f, "the bytes end at offset {offset}, where more are needed")
            }
            Self::TrailingBytes { count } => write!(f, "{count} bytes follow the value"),
            Self::UnknownTag { of, tag } => write!(f, "{tag} is no {of} tag"),
            Self::OutOfBounds {
                of,
                length,
                min,
                max,
            } => write!(f, "{of}: {length} is not in {min}..={max}"),
            Self::Params(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for DecodeError {}
