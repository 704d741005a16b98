//! From the plain types that travel to the valid types of the protocol, and back.

use perun_protocol::{self as protocol, AssetId, ChannelId, Signature, dispute};
use serde_bytes::ByteBuf;

use crate::{Account, Asset, Claim, DisputeError, ParamsError, Rank};

/// A principal that the protocol can name; `None` for the empty one.
pub fn principal(principal: candid::Principal) -> Option<protocol::Principal> {
    protocol::Principal::from_slice(principal.as_slice()).ok()
}

/// The principal as it travels.
pub fn principal_to_candid(principal: &protocol::Principal) -> candid::Principal {
    candid::Principal::from_slice(principal.as_slice())
}

/// An account that the protocol can name; `None` if its owner is the empty principal.
pub fn account(account: &Account) -> Option<protocol::Account> {
    Some(protocol::Account {
        owner: principal(account.owner)?,
        subaccount: account.subaccount.unwrap_or_default(),
    })
}

/// The account as it travels: the default subaccount is left out.
pub fn account_to_candid(account: &protocol::Account) -> Account {
    let is_default = account.subaccount == [0; 32];
    Account {
        owner: principal_to_candid(&account.owner),
        subaccount: (!is_default).then_some(account.subaccount),
    }
}

/// An asset that the protocol can name; `None` if its ledger is the empty principal.
pub fn asset(asset: Asset) -> Option<AssetId> {
    let Asset::Icrc(ledger) = asset;
    principal(ledger).map(AssetId::Icrc)
}

/// The asset as it travels.
pub fn asset_to_candid(asset: &AssetId) -> Asset {
    let AssetId::Icrc(ledger) = asset;
    Asset::Icrc(principal_to_candid(ledger))
}

/// A channel id; `Err` tells the length if it is not 32.
pub fn channel(bytes: &[u8]) -> Result<ChannelId, usize> {
    let bytes = bytes.try_into().map_err(|_| bytes.len())?;
    Ok(ChannelId::from_bytes(bytes))
}

/// The channel id as it travels.
pub fn channel_to_candid(channel: &ChannelId) -> ByteBuf {
    ByteBuf::from(channel.as_bytes().as_slice())
}

/// A signature; `Err` tells the length if it is not 64.
pub fn signature(bytes: &[u8]) -> Result<Signature, usize> {
    let bytes = bytes.try_into().map_err(|_| bytes.len())?;
    Ok(Signature::from_bytes(bytes))
}

impl From<&protocol::SignedState> for Claim {
    fn from(signed: &protocol::SignedState) -> Self {
        Self::State(ByteBuf::from(signed.encode()))
    }
}

impl From<&protocol::SignedRefundClaim> for Claim {
    fn from(signed: &protocol::SignedRefundClaim) -> Self {
        Self::Refund {
            channel: channel_to_candid(&signed.claim().channel),
            part: signed.claim().part.number(),
            signature: ByteBuf::from(signed.signature().as_bytes().as_slice()),
        }
    }
}

impl From<dispute::Rank> for Rank {
    fn from(rank: dispute::Rank) -> Self {
        match rank {
            dispute::Rank::Refund => Self::Refund,
            dispute::Rank::State(version) => Self::State(version.number()),
        }
    }
}

impl From<Rank> for dispute::Rank {
    fn from(rank: Rank) -> Self {
        match rank {
            Rank::Refund => Self::Refund,
            Rank::State(version) => Self::State(protocol::Version::new(version)),
        }
    }
}

impl From<protocol::ParamsError> for ParamsError {
    fn from(error: protocol::ParamsError) -> Self {
        use perun_protocol::ParamsError as Protocol;
        match error {
            Protocol::ParticipantCount { count } => Self::ParticipantCount {
                count: count as u64,
            },
            Protocol::DuplicateParticipant { index } => Self::DuplicateParticipant {
                index: index.number(),
            },
            Protocol::InvalidKey { index } => Self::InvalidKey {
                index: index.number(),
            },
            Protocol::AssetCount { count } => Self::AssetCount {
                count: count as u64,
            },
            Protocol::DuplicateAsset { index } => Self::DuplicateAsset {
                index: index.number(),
            },
            other => Self::Other {
                reason: other.to_string(),
            },
        }
    }
}

impl From<protocol::SignedStateError> for DisputeError {
    fn from(error: protocol::SignedStateError) -> Self {
        use perun_protocol::SignedStateError as Protocol;
        match error {
            // The channel is looked up by the id in the state, so it cannot be another's.
            Protocol::WrongChannel { .. } => Self::UnknownChannel,
            Protocol::WrongShape => Self::WrongShape,
            Protocol::SignatureCount { expected, found } => Self::SignatureCount {
                expected: expected as u64,
                found: found as u64,
            },
            Protocol::WrongSignature { part } => Self::WrongSignature {
                part: part.number(),
            },
        }
    }
}

impl From<dispute::DisputeError> for DisputeError {
    fn from(error: dispute::DisputeError) -> Self {
        use dispute::DisputeError as Protocol;
        match error {
            Protocol::ChallengeElapsed { at } => Self::ChallengeElapsed { at_ns: at.nanos() },
            Protocol::Outdated {
                registered,
                submitted,
            } => Self::Outdated {
                registered: registered.into(),
                submitted: submitted.into(),
            },
            Protocol::InsufficientFunding(error) => Self::InsufficientFunding {
                asset: error.asset.number(),
                part: error.part.number(),
                held: error.held.units(),
                needed: error.needed.units(),
            },
            Protocol::LockedUnsupported => Self::LockedUnsupported,
        }
    }
}

/// A table of amounts as it travels: for each asset for each participant.
pub fn balances_to_candid(balances: &protocol::Balances) -> Vec<Vec<u128>> {
    let rows = balances.rows();
    rows.map(|row| row.iter().map(|amount| amount.units()).collect())
        .collect()
}
