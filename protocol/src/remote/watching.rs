//! Watching by a node: what the device hands in, and what it is told.

use alloc::vec::Vec;

use minicbor::{Decode, Encode};

use super::UnverifiedView;
use crate::dispute::Rank;
use crate::signature::{K256, Verifier};
use crate::{
    Account, AssetIdx, ChannelId, Params, PartIdx, Signature, SignedWithdrawalAuth, Timestamp,
    UnverifiedSignedState, Version, WithdrawalAuth,
};

/// Hands in what a watcher needs, or asks how far it is and what it sees.
///
/// The first one of a channel brings params, authorisations and the newest state; each later one the
/// newest state alone, or nothing.
#[derive(Clone, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct Watch {
    /// The channel.
    #[n(0)]
    pub channel: ChannelId,
    /// Who the sender is in it.
    #[n(1)]
    pub part: PartIdx,
    /// The params, with the first one of a channel.
    #[n(2)]
    pub params: Option<Params>,
    /// One for each asset, in their order, with the params.
    #[n(3)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub auths: Vec<SignedReceiver>,
    /// The newest state that all have signed.
    #[n(4)]
    pub newest: Option<UnverifiedSignedState>,
    /// The highest version that the sender has, so that the answer can show it a newer one.
    #[n(5)]
    pub knows: Option<Version>,
}

/// A receiver, and the participant's signature on the withdrawal authorisation that names it. The
/// rest of the authorisation follows from where it stands.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct SignedReceiver {
    /// Who is to be paid.
    #[n(0)]
    pub receiver: Account,
    /// The participant's signature on the [`WithdrawalAuth`].
    #[n(1)]
    pub signature: Signature,
}

/// Says what is durable at the watcher, and what it saw.
#[derive(Clone, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct WatchAck {
    /// The channel.
    #[n(0)]
    pub channel: ChannelId,
    /// Whose watch it is.
    #[n(1)]
    pub part: PartIdx,
    /// The version that is durably stored: it will refute everything older, come what may. `None`
    /// if none is yet.
    #[n(2)]
    pub version: Option<Version>,
    /// The adjudicator's time as the watcher estimates it when it answers.
    #[n(3)]
    pub now: Timestamp,
    /// What the watcher saw of the channel, and as of when; `None` if nothing yet.
    #[n(4)]
    pub view: Option<UnverifiedView>,
    /// The watcher's newest state, if it is newer than what the device said that it knows.
    #[n(5)]
    pub newer: Option<UnverifiedSignedState>,
    /// The assets of which the device's remainder is too small to be paid out
    /// ([`Channel::handle_kept`](crate::channel::Channel::handle_kept)).
    #[n(6)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub kept: Vec<AssetIdx>,
}

/// Asks the watcher to register the newest state now, as if the peer were gone.
#[derive(Clone, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct ForceClose {
    /// The channel.
    #[n(0)]
    pub channel: ChannelId,
    /// Who the sender is in it.
    #[n(1)]
    pub part: PartIdx,
    /// The newest state that all have signed, if the watcher may not have it.
    #[n(2)]
    pub newest: Option<UnverifiedSignedState>,
}

/// Says that something is registered at the adjudicator.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Hash, PartialEq)]
#[cbor(map)]
pub struct DisputeNotice {
    /// The channel.
    #[n(0)]
    pub channel: ChannelId,
    /// Whose watch it is.
    #[n(1)]
    pub part: PartIdx,
    /// How new what is registered is.
    #[n(2)]
    pub registered: Rank,
    /// The version that the watcher holds, and refutes with if it is newer.
    #[n(3)]
    pub held: Version,
    /// Until when what is registered can be refuted.
    #[n(4)]
    pub timeout: Timestamp,
    /// The adjudicator's time as the watcher estimates it.
    #[n(5)]
    pub now: Timestamp,
}

impl SignedReceiver {
    /// What stands in a message for this authorisation.
    pub fn of(signed: &SignedWithdrawalAuth) -> Self {
        Self {
            receiver: signed.auth().receiver,
            signature: *signed.signature(),
        }
    }

    /// The authorisations that `receivers` stand for, one for each asset of `params`, verified;
    /// `None` if there are not as many, or one was not signed by `part`. `id` is that of `params`.
    pub fn verify_all<V: Verifier>(
        receivers: &[Self],
        id: ChannelId,
        params: &Params,
        part: PartIdx,
    ) -> Option<Vec<SignedWithdrawalAuth>> {
        if receivers.len() != params.assets().len() {
            return None;
        }
        let pairs = receivers.iter().zip(params.assets());
        pairs
            .map(|(receiver, asset)| {
                let auth = WithdrawalAuth {
                    channel: id,
                    asset: *asset,
                    part,
                    receiver: receiver.receiver,
                };
                auth.verify_with::<V>(params, receiver.signature)
            })
            .collect()
    }
}

impl Watch {
    /// The type number of the message, by which a rejection names it.
    pub const KIND: u16 = 66;

    /// The authorisations, verified against `params` ([`SignedReceiver::verify_all`]).
    pub fn verify_auths(&self, params: &Params) -> Option<Vec<SignedWithdrawalAuth>> {
        SignedReceiver::verify_all::<K256>(&self.auths, params.id(), params, self.part)
    }
}
