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

mod basics;
mod params;
mod reader;
mod state;

use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest as _, Sha256};

pub use self::reader::Reader;
use crate::signature::Digest;
use crate::{BalancesError, ParamsError, StateError};

/// What a digest is about. The tag in front of the hashed bytes names it and its format's version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Domain {
    /// [`Params`](crate::Params): the digest is the [`ChannelId`](crate::ChannelId).
    Params,
    /// [`State`](crate::State): what participants sign to agree.
    State,
    /// [`WithdrawalAuth`](crate::WithdrawalAuth): what a participant signs to be paid.
    Withdrawal,
    /// [`RefundClaim`](crate::RefundClaim): what a participant signs to get the deposits back.
    Refund,
    /// A channel: the digest is the subaccount that its funds lie in
    /// ([`Account::of_funds`](crate::Account::of_funds)).
    FundsAccount,
    /// A channel and a participant: the digest is the subaccount that deposits are paid to
    /// ([`Account::of_deposit`](crate::Account::of_deposit)).
    DepositAccount,
    /// A channel proposal as it travels: the digest is its
    /// [`ProposalId`](crate::wire::ProposalId).
    Proposal,
    /// The nonce shares of all participants, in their order: the digest is the
    /// [`Nonce`](crate::Nonce).
    Nonce,
    /// Payments so far and those that follow: the digest is what the payment app keeps in a state
    /// ([`crate::payment`]).
    Payments,
    /// An off-chain identity and the key of its links: the digest is what the identity signs to say
    /// that the key speaks for it.
    LinkKey,
    /// A payment request as it travels: the digest is the memo of the payment that answers it.
    Request,
    /// A payment request that is handed on as text: the digest is what the payee signs, and the memo
    /// of the payment that answers it.
    RequestText,
    /// The keys of a watch stream and the channel that it is about: the digest is what the participant
    /// signs whose stream it is, and its beginning names the stream.
    WatchStream,
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
            Self::Proposal => b"perun-icp/proposal/1\0\0\0\0",
            Self::Nonce => b"perun-icp/nonce/1\0\0\0\0\0\0\0",
            Self::Payments => b"perun-icp/payments/1\0\0\0\0",
            Self::LinkKey => b"perun-icp/link/1\0\0\0\0\0\0\0\0",
            Self::Request => b"perun-icp/request/1\0\0\0\0\0",
            Self::RequestText => b"perun-icp/request-text/1",
            Self::WatchStream => b"perun-icp/watch-stream/1",
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
    /// Bytes of the longest encoding. Whoever takes bytes from strangers can refuse more before it
    /// looks at them.
    const MAX_ENCODED_LENGTH: usize;

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
    /// A length, or the seconds of a challenge duration, is out of its bounds.
    OutOfBounds {
        /// What it is the length of.
        of: &'static str,
        /// What was found.
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

/// Appends a list with its length in front. Lists of valid values are short; one that is longer
/// than any decoder accepts (a public field can hold it) must not pass for a short one.
fn encode_list<T: Canonical>(items: &[T], out: &mut Vec<u8>) {
    out.push(u8::try_from(items.len()).unwrap_or(u8::MAX));
    encode_items(items, out);
}

fn encode_items<T: Canonical>(items: &[T], out: &mut Vec<u8>) {
    items.iter().for_each(|item| item.encode_to(out));
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
