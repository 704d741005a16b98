//! Orders: what a device has handed in for one of its channels, and how it is stored.

use minicbor::{Decode, Encode};
use perun_protocol::remote::{SignedReceiver, UnverifiedView};
use perun_protocol::signature::Libsecp256k1;
use perun_protocol::view::View;
use perun_protocol::{
    AssetIdx, ChannelId, Params, PartIdx, Participant, PublicKey, SignedState,
    SignedWithdrawalAuth, Timestamp, UnverifiedSignedState,
};

/// The channel and the participant for whom something is done: what names a watch and a loan.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Place {
    pub(super) channel: ChannelId,
    pub(super) part: PartIdx,
}

/// What a watcher needs. Everything in it was verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Order {
    pub(super) params: Params,
    pub(super) part: PartIdx,
    /// One for each asset: where the payouts go.
    pub(super) auths: Vec<SignedWithdrawalAuth>,
    pub(super) newest: SignedState,
    /// Whether the newest state is to be registered although nothing is.
    pub(super) is_forced: bool,
    /// When it was given, on the adjudicator's clock.
    pub(super) given_at: Timestamp,
}

/// How a watch ended: nothing is left to be done, ever.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct End {
    /// What was seen last.
    pub(super) view: View,
    /// The assets of which our remainder is too small to be paid out.
    pub(super) kept: Vec<AssetIdx>,
}

/// What is stored of an order.
#[derive(Decode, Encode)]
#[cbor(map)]
struct StoredOrder {
    #[n(0)]
    params: Params,
    #[n(1)]
    part: PartIdx,
    #[n(2)]
    receivers: Vec<SignedReceiver>,
    #[n(3)]
    newest: UnverifiedSignedState,
    #[n(4)]
    is_forced: bool,
    #[n(5)]
    given_at: Timestamp,
    /// What was seen last, once nothing is left to be done.
    #[n(6)]
    over: Option<UnverifiedView>,
    #[n(7)]
    kept: Vec<AssetIdx>,
}

impl Place {
    /// What begins the name of every watch's record.
    pub(super) const WATCH: &str = "watch/";
    /// What begins the name of every loan's record.
    pub(super) const LOAN: &str = "loan/";

    /// The name of a record that begins like this.
    pub(super) fn name(&self, kind: &str) -> String {
        format!("{kind}{}/{}", self.channel, self.part)
    }
}

impl Order {
    pub(super) fn place(&self) -> Place {
        Place {
            channel: self.newest.channel(),
            part: self.part,
        }
    }

    /// The identity of the participant, who alone gives orders.
    pub(super) fn device(&self) -> PublicKey {
        identity(&self.params, self.part).expect("the authorisations were verified by its key")
    }

    /// The bytes to be stored.
    pub(super) fn encode(&self, over: Option<&End>) -> Vec<u8> {
        let stored = StoredOrder {
            params: self.params.clone(),
            part: self.part,
            receivers: self.auths.iter().map(SignedReceiver::of).collect(),
            newest: self.newest.clone().into(),
            is_forced: self.is_forced,
            given_at: self.given_at,
            over: over.map(|end| UnverifiedView::of(&end.view, None)),
            kept: over.map(|end| end.kept.clone()).unwrap_or_default(),
        };
        minicbor::to_vec(stored).expect("a vector takes every byte")
    }

    /// What [`Order::encode`] has written, verified again; `None` if it is not that.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Self, Option<End>)> {
        let stored: StoredOrder = minicbor::decode(bytes).ok()?;
        let (params, part) = (stored.params, stored.part);
        let id = params.id();
        let auths =
            SignedReceiver::verify_all::<Libsecp256k1>(&stored.receivers, id, &params, part)?;
        let newest = stored.newest.verify_for::<Libsecp256k1>(id, &params).ok()?;
        let over = match stored.over {
            Some(view) => Some(End {
                view: view.verify_with::<Libsecp256k1>(&params, None).ok()?,
                kept: stored.kept,
            }),
            None => None,
        };
        let order = Self {
            params,
            part,
            auths,
            newest,
            is_forced: stored.is_forced,
            given_at: stored.given_at,
        };
        Some((order, over))
    }
}

/// The identity of a participant: the key by which it proves on a link who it is.
pub(super) fn identity(params: &Params, part: PartIdx) -> Option<PublicKey> {
    let Participant::Secp256k1(key) = params.participant(part)?;
    Some(*key)
}
