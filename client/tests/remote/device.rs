//! A device: a participant's key, links to services, and what it hears.

use std::sync::Arc;

use perun_client::link::memory::Network;
use perun_client::link::{Handler, Hello, Peers, Verdict};
use perun_protocol::remote::{
    DisputeNotice, ForceClose, Fund, RemoteCode, RemoteMessage, SignedReceiver, UnverifiedStatus,
    UnverifiedView, Watch, WatchAck,
};
use perun_protocol::view::{Status, View};
use perun_protocol::{
    Account, Nonce, Params, PartIdx, Principal, PublicKey, SecretKey, SignedState, Signer as _,
    Timestamp, Version,
};
use tokio::sync::mpsc;

use crate::node::{Node, address};
use crate::world::*;

/// Somebody with a key who is linked to one service.
pub struct Device {
    pub peers: Peers,
    pub node: PublicKey,
    heard: mpsc::UnboundedReceiver<RemoteMessage>,
}

struct Ear(mpsc::UnboundedSender<RemoteMessage>);

impl Handler for Ear {
    fn connected(&self, _: &PublicKey, _: &Hello) {}

    fn message(&self, _: &PublicKey, message: &[u8]) -> Verdict {
        // The test may have ended.
        let _ = self.0.send(RemoteMessage::decode(message).unwrap());
        Verdict::Continue
    }

    fn disconnected(&self, _: &PublicKey) {}
}

impl Device {
    /// The participant with this key, connected to `node`.
    pub async fn connect(network: &Network, key: &SecretKey, node: &Node) -> Self {
        let identity = key.public_key();
        let (ear, heard) = mpsc::unbounded_channel();
        let transport = network.attach(identity, &format!("device of {:?}", node.identity));
        let peers = Peers::start(Arc::new(transport), Arc::new(Ear(ear)));
        peers.want(node.identity, &address(&node.identity));
        until("a link", || peers.is_connected(&node.identity)).await;
        Self {
            peers,
            node: node.identity,
            heard,
        }
    }

    pub fn say(&self, message: &RemoteMessage) {
        self.peers.send(&self.node, &message.encode()).unwrap();
    }

    pub async fn hear(&mut self) -> RemoteMessage {
        let heard = soon("a message", self.heard.recv()).await;
        heard.expect("links hear for as long as they are there")
    }

    /// The next message, if one came already.
    pub fn heard(&mut self) -> Option<RemoteMessage> {
        self.heard.try_recv().ok()
    }

    /// The next ack of which something is so; others are skipped.
    pub async fn ack(&mut self, is_meant: impl Fn(&WatchAck) -> bool) -> WatchAck {
        loop {
            match self.hear().await {
                RemoteMessage::WatchAck(ack) if is_meant(&ack) => return *ack,
                RemoteMessage::WatchAck(_) | RemoteMessage::DisputeNotice(_) => {}
                other => panic!("{other:?} instead of an ack"),
            }
        }
    }

    /// The next ack that names this version.
    pub async fn acked(&mut self, version: u64) -> WatchAck {
        self.ack(|ack| ack.version == Some(Version::new(version)))
            .await
    }

    /// The next notice; acks are skipped.
    pub async fn notice(&mut self) -> DisputeNotice {
        loop {
            match self.hear().await {
                RemoteMessage::DisputeNotice(notice) => return notice,
                RemoteMessage::WatchAck(_) => {}
                other => panic!("{other:?} instead of a notice"),
            }
        }
    }

    /// The next rejection; acks and notices are skipped.
    pub async fn rejected(&mut self) -> RemoteCode {
        loop {
            match self.hear().await {
                RemoteMessage::RemoteRejection(rejection) => return rejection.code,
                RemoteMessage::WatchAck(_) | RemoteMessage::DisputeNotice(_) => {}
                other => panic!("{other:?} instead of a rejection"),
            }
        }
    }

    /// Waits until nothing is left to be paid to `part`, and returns how the channel was seen last.
    pub async fn over(&mut self, channel: &TestChannel, part: PartIdx) -> View {
        let ack = self.ack(|ack| is_over(ack, part)).await;
        let view = ack.view.expect("whoever says that it is over has seen it");
        view.verify(&channel.params, None).unwrap()
    }

    pub async fn goodbye(self) {
        soon("a goodbye", self.peers.shutdown()).await;
    }
}

/// Whether nothing is left to be paid to `part`, and nothing can come back.
fn is_over(ack: &WatchAck, part: PartIdx) -> bool {
    let Some(UnverifiedView {
        status:
            UnverifiedStatus::Concluded {
                remainders,
                in_flight,
            },
        ..
    }) = &ack.view
    else {
        return false;
    };
    let is_kept = |asset: usize| ack.kept.iter().any(|kept| kept.index() == asset);
    let mut rows = remainders.rows().enumerate();
    let is_paid = rows.all(|(asset, row)| row[part.index()].is_zero() || is_kept(asset));
    is_paid && in_flight.iter().all(|amount| amount.is_zero())
}

pub fn is_registered(ack: &WatchAck) -> bool {
    ack.view
        .as_ref()
        .is_some_and(|view| matches!(view.status, UnverifiedStatus::Registered { .. }))
}

pub fn is_over_without_remainders(view: &View) -> bool {
    match &view.status {
        Status::Concluded { remainders, .. } => remainders.is_zero(),
        _ => false,
    }
}

impl TestChannel {
    /// The same channel at another adjudicator.
    pub fn elsewhere(&self) -> Self {
        let params = &self.params;
        let keys = self.keys.clone();
        let moved = Params::new(
            Nonce::from_bytes([99; 32]),
            keys.iter().map(SecretKey::participant).collect(),
            params.assets().to_vec(),
            params.challenge_duration(),
            Principal::from_slice(&[9]).unwrap(),
        );
        let params = moved.unwrap();
        Self { params, keys }
    }
}

/// The first order for a channel: payouts go to `receiver`.
pub fn first_watch(
    channel: &TestChannel,
    part: PartIdx,
    newest: &SignedState,
    receiver: Account,
) -> Watch {
    let auths = channel.params.assets().iter();
    let auths = auths.map(|asset| channel.authorise_of(*asset, part, receiver));
    Watch {
        channel: channel.params.id(),
        part,
        params: Some(channel.params.clone()),
        auths: auths.map(|auth| SignedReceiver::of(&auth)).collect(),
        newest: Some(newest.clone().into()),
        knows: None,
    }
}

/// A later one.
pub fn next_watch(channel: &TestChannel, part: PartIdx, newest: Option<&SignedState>) -> Watch {
    Watch {
        channel: channel.params.id(),
        part,
        params: None,
        auths: vec![],
        newest: newest.map(|newest| newest.clone().into()),
        knows: None,
    }
}

pub fn watch(watch: Watch) -> RemoteMessage {
    RemoteMessage::Watch(Box::new(watch))
}

pub fn force_close(
    channel: &TestChannel,
    part: PartIdx,
    newest: Option<&SignedState>,
) -> RemoteMessage {
    RemoteMessage::ForceClose(Box::new(ForceClose {
        channel: channel.params.id(),
        part,
        newest: newest.map(|newest| newest.clone().into()),
    }))
}

pub fn fund(
    channel: &TestChannel,
    part: PartIdx,
    initial: &SignedState,
    fund_by: Timestamp,
) -> RemoteMessage {
    RemoteMessage::Fund(Box::new(Fund {
        channel: channel.params.id(),
        part,
        params: channel.params.clone(),
        initial: initial.clone().into(),
        fund_by,
    }))
}
