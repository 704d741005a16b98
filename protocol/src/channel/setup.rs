//! What a channel is set up with: what never changes, and the limits its owner sets.

use minicbor::{Decode, Encode};

use crate::encoding::{Canonical, Reader};
use crate::payment::Batch;
use crate::{Account, AssetIdx, Params, PartIdx, State, Timestamp, Version, WithdrawalAuth};

/// What never changes about a channel from its owner's point of view. Stored once.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Setup {
    /// The params.
    pub params: Params,
    /// Who we are in it.
    pub part: PartIdx,
    /// Version 0.
    pub initial: State,
    /// Until when version 0 must be signed by all, on the adjudicator's clock.
    pub expires_at: Timestamp,
    /// Until when everybody deposits, on the adjudicator's clock.
    pub fund_by: Timestamp,
    /// Where our payouts go.
    pub receiver: Account,
    /// Whether we deposit only after everybody else has ("egoistic funding"). If all sides want
    /// that, nobody begins.
    pub funds_last: bool,
}

/// How long the machine waits for things, and what it decides by itself. All times are in
/// nanoseconds.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Limits {
    /// Nothing is proposed, accepted or reported received unless the channel was seen funded and
    /// undisputed so recently.
    pub max_view_age_ns: u64,
    /// After so long a message without an answer is sent again.
    pub retry_ns: u64,
    /// After so long without an answer the peer is called silent.
    pub silence_ns: u64,
    /// How long the owner has to decide on an offered update; `None` accepts by itself whatever
    /// does not lower the owner's balance, as no update does that the peer proposes.
    pub decide_ns: Option<u64>,
}

/// How many bytes of payments an update can carry to a peer that takes messages of `max_message`
/// bytes, in a channel with so many assets: the longest message about a channel, a sync, brings two
/// updates and three states besides.
pub fn max_batch(max_message: usize, assets: usize) -> usize {
    let overhead = SYNC_LENGTH + SYNC_LENGTH_PER_ASSET * assets;
    max_message.saturating_sub(overhead).min(Batch::MAX_LENGTH)
}

/// Bytes of the longest sync without payments and balances, at most.
const SYNC_LENGTH: usize = 1024;
/// Bytes that each asset adds to it, at most.
const SYNC_LENGTH_PER_ASSET: usize = 256;

impl Setup {
    /// The only other participant. The machine knows channels of two so far.
    pub(super) fn peer(&self) -> PartIdx {
        PartIdx::new(1 - self.part.number())
    }

    /// The authorisation by which our payout of an asset goes to our receiver.
    pub(super) fn withdrawal(&self, asset: AssetIdx) -> WithdrawalAuth {
        WithdrawalAuth {
            channel: self.initial.channel(),
            asset: self.params.assets()[asset.index()],
            part: self.part,
            receiver: self.receiver,
        }
    }

    /// The bytes to be stored.
    pub fn encode(&self) -> alloc::vec::Vec<u8> {
        let stored = Stored {
            params: Canonical::encode(&self.params).into(),
            part: self.part,
            initial: Canonical::encode(&self.initial).into(),
            expires_at: self.expires_at,
            fund_by: self.fund_by,
            receiver: Canonical::encode(&self.receiver).into(),
            funds_last: self.funds_last,
        };
        minicbor::to_vec(stored).expect("a vector takes every byte")
    }

    /// The set-up with these bytes, `None` if they are none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let stored: Stored = minicbor::decode(bytes).ok()?;
        let setup = Self {
            params: canonical(&stored.params)?,
            part: stored.part,
            initial: canonical(&stored.initial)?,
            expires_at: stored.expires_at,
            fund_by: stored.fund_by,
            receiver: canonical(&stored.receiver)?,
            funds_last: stored.funds_last,
        };
        let fits = setup.params.participants().len() == 2
            && setup.part.index() < 2
            && setup.initial.version() == Version::INITIAL
            && setup.initial.channel() == setup.params.id()
            && setup.initial.has_shape_of(&setup.params);
        fits.then_some(setup)
    }
}

fn canonical<T: Canonical>(bytes: &[u8]) -> Option<T> {
    let mut reader = Reader::new(bytes);
    let value = T::decode_from(&mut reader).ok()?;
    reader.is_empty().then_some(value)
}

#[derive(Decode, Encode)]
#[cbor(map)]
struct Stored {
    #[n(0)]
    params: minicbor::bytes::ByteVec,
    #[n(1)]
    part: PartIdx,
    #[n(2)]
    initial: minicbor::bytes::ByteVec,
    #[n(3)]
    expires_at: Timestamp,
    #[n(4)]
    fund_by: Timestamp,
    #[n(5)]
    receiver: minicbor::bytes::ByteVec,
    #[n(6)]
    funds_last: bool,
}
