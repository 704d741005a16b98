//! Params: what a channel is and never ceases to be.

use alloc::vec::Vec;
use core::fmt;

use crate::encoding::{Canonical, Domain, digest};
use crate::{ChallengeDuration, Principal, PublicKey};

/// A channel needs somebody to pay.
pub const MIN_PARTICIPANTS: usize = 2;
/// Every participant of a state costs a signature verification (4 M instructions in the canister);
/// sixteen stay far below what one message may use.
pub const MAX_PARTICIPANTS: usize = 16;
/// Each asset means a ledger call per participant at the end. With [`MAX_PARTICIPANTS`] the largest
/// signed state stays below 7 KiB (`UnverifiedSignedState::MAX_ENCODED_LENGTH`).
pub const MAX_ASSETS: usize = 8;

/// The identity of a channel: the hash of its [`Params`].
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ChannelId([u8; 32]);

/// 32 bytes that make a channel unique among equal params: a hash over fresh random shares of all
/// participants, so that nobody can choose it alone.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Nonce([u8; 32]);

/// The position of a participant in [`Params::participants`], from 0.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PartIdx(u8);

/// The position of an asset in [`Params::assets`], from 0.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AssetIdx(u8);

/// Who takes part in a channel, by what it signs with.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Participant {
    /// ECDSA over secp256k1 with this compressed key.
    Secp256k1(PublicKey),
}

/// What a channel holds amounts of.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum AssetId {
    /// The token of the ICRC ledger with this principal.
    Icrc(Principal),
}

/// The rules beyond payment that a channel follows.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum App {
    /// None: a pure payment channel.
    None,
    /// The app with this identity. An adjudicator that does not know it can still enforce fully
    /// signed states, but never moves one by force.
    Id([u8; 32]),
}

/// Where a channel's funds come from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ChannelKind {
    /// From deposits at the adjudicator.
    Ledger,
    /// From amounts locked in a parent channel between the same participants.
    Sub,
    /// From amounts locked in the channels that its participants have with an intermediary.
    Virtual,
}

/// What all participants agree on once, at the opening. Its hash is the [`ChannelId`].
///
/// Invariant: the participants are 2 to 16 and different, the assets 1 to 8 and different.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Params {
    nonce: Nonce,
    participants: Vec<Participant>,
    assets: Vec<AssetId>,
    challenge_duration: ChallengeDuration,
    app: App,
    adjudicator: Principal,
    kind: ChannelKind,
    aux: [u8; 32],
}

/// Why params are refused.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ParamsError {
    /// The number of participants is not in [`MIN_PARTICIPANTS`]`..=`[`MAX_PARTICIPANTS`].
    ParticipantCount {
        /// How many were given.
        count: usize,
    },
    /// A participant repeats an earlier one; its deposit would count twice.
    DuplicateParticipant {
        /// The later of the two.
        index: PartIdx,
    },
    /// A participant's key is no point of the curve: nobody could ever sign.
    InvalidKey {
        /// Whose key it is.
        index: PartIdx,
    },
    /// The number of assets is not in `1..=`[`MAX_ASSETS`].
    AssetCount {
        /// How many were given.
        count: usize,
    },
    /// An asset repeats an earlier one.
    DuplicateAsset {
        /// The later of the two.
        index: AssetIdx,
    },
}

impl Params {
    /// Params of a ledger channel for payments only, without auxiliary data. Refused if there are
    /// too few or too many participants or assets, or one of them occurs twice; keys are not
    /// checked ([`Params::check_keys`]).
    pub fn new(
        nonce: Nonce,
        participants: Vec<Participant>,
        assets: Vec<AssetId>,
        challenge_duration: ChallengeDuration,
        adjudicator: Principal,
    ) -> Result<Self, ParamsError> {
        check_participants(&participants)?;
        check_assets(&assets)?;
        Ok(Self {
            nonce,
            participants,
            assets,
            challenge_duration,
            app: App::None,
            adjudicator,
            kind: ChannelKind::Ledger,
            aux: [0; 32],
        })
    }

    /// The same params with another app.
    pub fn with_app(self, app: App) -> Self {
        Self { app, ..self }
    }

    /// The same params for another kind of channel.
    pub fn with_kind(self, kind: ChannelKind) -> Self {
        Self { kind, ..self }
    }

    /// The same params with another auxiliary hash: 32 bytes whose meaning the participants agree
    /// on, zeros if none.
    pub fn with_aux(self, aux: [u8; 32]) -> Self {
        Self { aux, ..self }
    }

    /// The hash of these params. It costs an encoding: keep it.
    pub fn id(&self) -> ChannelId {
        ChannelId(digest(Domain::Params, &self.encode()))
    }

    /// Checks that every key is a point of its curve. Decoding leaves this out because it costs
    /// about 0.16 M instructions a key in wasm; whoever takes money for a channel does it once.
    pub fn check_keys(&self) -> Result<(), ParamsError> {
        for (index, participant) in self.parts() {
            let Participant::Secp256k1(key) = participant;
            if !key.is_on_curve() {
                return Err(ParamsError::InvalidKey { index });
            }
        }
        Ok(())
    }

    /// What makes the channel unique.
    pub fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// The participants; a state lists amounts and signatures in this order.
    pub fn participants(&self) -> &[Participant] {
        &self.participants
    }

    /// The participants with their positions.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = (PartIdx, &Participant)> {
        let parts = self.participants.iter().enumerate();
        parts.map(|(index, participant)| (PartIdx(index as u8), participant))
    }

    /// The participant at a position, `None` beyond the last.
    pub fn participant(&self, part: PartIdx) -> Option<&Participant> {
        self.participants.get(part.index())
    }

    /// The assets; a state lists amounts in this order.
    pub fn assets(&self) -> &[AssetId] {
        &self.assets
    }

    /// The position of an asset, `None` if the channel does not have it.
    pub fn asset_idx(&self, asset: &AssetId) -> Option<AssetIdx> {
        let position = self.assets.iter().position(|ours| ours == asset)?;
        Some(AssetIdx(position as u8))
    }

    /// How long a registered state can be refuted.
    pub fn challenge_duration(&self) -> ChallengeDuration {
        self.challenge_duration
    }

    /// The app, if any.
    pub fn app(&self) -> App {
        self.app
    }

    /// The canister that holds the funds; states of this channel mean nothing at any other.
    pub fn adjudicator(&self) -> Principal {
        self.adjudicator
    }

    /// Where the funds come from.
    pub fn kind(&self) -> ChannelKind {
        self.kind
    }

    /// The auxiliary hash, zeros if none.
    pub fn aux(&self) -> [u8; 32] {
        self.aux
    }
}

fn check_participants(participants: &[Participant]) -> Result<(), ParamsError> {
    let count = participants.len();
    if !(MIN_PARTICIPANTS..=MAX_PARTICIPANTS).contains(&count) {
        return Err(ParamsError::ParticipantCount { count });
    }
    match first_repeated(participants) {
        Some(index) => Err(ParamsError::DuplicateParticipant {
            index: PartIdx(index),
        }),
        None => Ok(()),
    }
}

fn check_assets(assets: &[AssetId]) -> Result<(), ParamsError> {
    let count = assets.len();
    if !(1..=MAX_ASSETS).contains(&count) {
        return Err(ParamsError::AssetCount { count });
    }
    match first_repeated(assets) {
        Some(index) => Err(ParamsError::DuplicateAsset {
            index: AssetIdx(index),
        }),
        None => Ok(()),
    }
}

/// The first position whose item stands at an earlier one too. Lists are at most 16 long.
fn first_repeated<T: PartialEq>(items: &[T]) -> Option<u8> {
    let repeated = (1..items.len()).find(|&i| items[..i].contains(&items[i]));
    repeated.map(|index| index as u8)
}

impl ChannelId {
    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelId({self})")
    }
}

impl fmt::Display for ChannelId {
    /// Prints `0x` and all 64 hex digits; with a precision only so many of them and an ellipsis.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(64).min(64);
        write!(f, "0x")?;
        for position in 0..digits {
            let byte = self.0[position / 2];
            let digit = if position % 2 == 0 {
                byte >> 4
            } else {
                byte & 15
            };
            write!(f, "{digit:x}")?;
        }
        if digits < 64 {
            write!(f, "…")
        } else {
            Ok(())
        }
    }
}

impl Nonce {
    /// The nonce with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartIdx {
    /// The participant at `index`, counted from 0.
    pub const fn new(index: u8) -> Self {
        Self(index)
    }

    /// The position as an index into lists of participants.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The position as a number.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for PartIdx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl AssetIdx {
    /// The asset at `index`, counted from 0.
    pub const fn new(index: u8) -> Self {
        Self(index)
    }

    /// The position as an index into lists of assets.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The position as a number.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for AssetIdx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ParamsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ParticipantCount { count } => write!(
                f,
                "a channel has {MIN_PARTICIPANTS} to {MAX_PARTICIPANTS} participants, not {count}"
            ),
            Self::DuplicateParticipant { index } => {
                write!(f, "participant {index} repeats an earlier one")
            }
            Self::InvalidKey { index } => {
                write!(f, "the key of participant {index} is no point of its curve")
            }
            Self::AssetCount { count } => {
                write!(f, "a channel has 1 to {MAX_ASSETS} assets, not {count}")
            }
            Self::DuplicateAsset { index } => write!(f, "asset {index} repeats an earlier one"),
        }
    }
}

impl core::error::Error for ParamsError {}
