//! Peers that are no clients: somebody with keys and a connection, who says what a test wants.

use std::future::poll_fn;

use perun_canister_api::convert;
use perun_client::Door;
use perun_client::channel::Channel;
use perun_client::link::{Connection, FrameKind, TcpConfig, TcpTransport, Transport as _};
use perun_protocol::payment::{Batch, Payment};
use perun_protocol::signature::{Libsecp256k1Key, Signer as _};
use perun_protocol::wire::{
    Acceptance, Message, Proposal, Sync, Terms, Update, UpdateAcceptance, UpdateRejection,
};
use perun_protocol::{
    App, AssetId, AssetIdx, ChallengeDuration, Params, Participant, Signature, SignedState, State,
    UnverifiedSignedState, Version,
};

use crate::world::*;

/// Somebody with keys and a connection.
pub struct Rogue {
    pub number: u8,
    pub key: std::sync::Arc<Libsecp256k1Key>,
    transport: TcpTransport,
    connection: Option<Connection>,
}

/// A channel of a rogue, who proposed it: he is participant 0, and his victim participant 1.
pub struct RogueChannel {
    pub params: Params,
    pub current: SignedState,
    pub turn: u64,
}

/// What only a proposal by hand can say.
pub fn proposal_by(world: &World, rogue: &Rogue, shares: [u128; 2]) -> Proposal {
    let now = world.time();
    let after = |seconds: u64| now.saturating_add_nanos(seconds * 1_000_000_000);
    Proposal {
        terms: Terms {
            adjudicator: convert::principal(world.adjudicator).unwrap(),
            assets: vec![AssetId::Icrc(convert::principal(world.ledger).unwrap())],
            challenge_duration: ChallengeDuration::from_secs(CHALLENGE_S.0).unwrap(),
            app: App::None,
            aux: [0; 32],
            balances: table(shares),
            funding: table(shares),
            fund_by: after(600),
        },
        participant: Participant::Secp256k1(rogue.key.public_key()),
        nonce_share: [rogue.number; 32],
        expires_at: after(60),
    }
}

impl Rogue {
    pub async fn new(number: u8) -> Self {
        let key = key(number);
        let anywhere = "127.0.0.1:0";
        let transport = TcpTransport::bind(key.clone(), anywhere, TcpConfig::default()).await;
        Self {
            number,
            key,
            transport: transport.unwrap(),
            connection: None,
        }
    }

    /// Connects anew, whatever was before.
    pub async fn connect(&mut self, victim: &Person) {
        let address = victim.address.to_string();
        let connecting = self.transport.connect(victim.identity(), &address);
        self.connection = Some(soon("a connection", connecting).await.unwrap());
    }

    pub fn disconnect(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.sender.close();
        }
    }

    pub fn send(&self, message: &Message) {
        self.send_bytes(&message.encode());
    }

    pub fn send_bytes(&self, bytes: &[u8]) {
        // The victim may have hung up already.
        let connection = self.connection.as_ref().unwrap();
        let _ = connection.sender.send(FrameKind::Message, bytes);
    }

    /// The next message of the victim, `None` if it has hung up.
    pub async fn next(&mut self) -> Option<Message> {
        let connection = self.connection.as_mut().unwrap();
        let receiving = async {
            loop {
                let frame = poll_fn(|context| {
                    let frame = std::task::ready!(connection.receiver.poll_receive(context));
                    std::task::Poll::Ready(match frame {
                        Ok(Some((kind, bytes))) => Some((kind, bytes.to_vec())),
                        Ok(None) | Err(_) => None,
                    })
                });
                match frame.await? {
                    (FrameKind::Message, bytes) => return Some(Message::decode(&bytes).unwrap()),
                    (FrameKind::Goodbye, _) => return None,
                    (FrameKind::Ping, _) => {
                        let _ = connection.sender.send(FrameKind::Pong, &[]);
                    }
                    _ => {}
                }
            }
        };
        soon("a message", receiving).await
    }

    /// The next message that a test wants to see; those before are skipped.
    pub async fn await_message<T>(&mut self, mut find: impl FnMut(&Message) -> Option<T>) -> T {
        loop {
            let message = self.next().await.expect("the victim says something");
            if let Some(found) = find(&message) {
                return found;
            }
        }
    }

    pub async fn await_proposal(&mut self) -> Proposal {
        self.await_message(|message| match message {
            Message::Proposal(proposal) => Some((**proposal).clone()),
            _ => None,
        })
        .await
    }

    pub async fn await_sync(&mut self) -> Sync {
        self.await_message(|message| match message {
            Message::Sync(sync) => Some((**sync).clone()),
            _ => None,
        })
        .await
    }

    pub async fn await_update(&mut self) -> Update {
        self.await_message(|message| match message {
            Message::Update(update) => Some((**update).clone()),
            _ => None,
        })
        .await
    }

    pub async fn await_acceptance(&mut self, version: Version) -> UpdateAcceptance {
        self.await_message(|message| match message {
            Message::UpdateAcceptance(acceptance) if acceptance.version == version => {
                Some(acceptance.clone())
            }
            _ => None,
        })
        .await
    }

    pub async fn await_rejection(&mut self) -> UpdateRejection {
        self.await_message(|message| match message {
            Message::UpdateRejection(rejection) => Some(rejection.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until the victim hangs up, whatever it says before.
    pub async fn hung_up(&mut self) {
        while self.next().await.is_some() {}
        self.disconnect();
    }

    /// Proposes and takes the victim's signature on version 0, without giving the own one.
    pub async fn propose(&mut self, proposal: &Proposal) -> (Params, State, Signature) {
        self.send(&Message::Proposal(Box::new(proposal.clone())));
        let acceptance: Acceptance = self
            .await_message(|message| match message {
                Message::Acceptance(acceptance) => Some(acceptance.clone()),
                _ => None,
            })
            .await;
        let (params, initial) = proposal.channel(&acceptance).unwrap();
        let signed = self.await_acceptance(Version::INITIAL).await;
        (params, initial, signed.signature)
    }

    /// Opens a channel with the victim, as honest people do.
    pub async fn open(
        &mut self,
        world: &World,
        victim: &Person,
        shares: [u128; 2],
    ) -> (RogueChannel, Channel) {
        self.connect(victim).await;
        let proposal = proposal_by(world, self, shares);
        let mut proposals = victim.client.proposals();
        let accepting = async { proposals.next().await.unwrap().accept().await };
        let funder = world.funder_for(self.number).await;
        let opening = async {
            let (params, initial, theirs) = self.propose(&proposal).await;
            let signed = self.complete(&params, initial, theirs);
            let version_0 = self.acceptance_of(&signed);
            self.send(&Message::UpdateAcceptance(version_0));
            let asset = params.assets()[0];
            let deposit = funder.deposit(&params, FIRST, asset, units(shares[0]), Door::Approval);
            deposit.await.unwrap();
            RogueChannel {
                params,
                current: signed,
                turn: 0,
            }
        };
        let both = async { tokio::join!(opening, accepting) };
        let (ours, theirs) = soon("an open channel", both).await;
        (ours, theirs.unwrap())
    }

    /// Both signatures on a state.
    pub fn complete(&self, params: &Params, state: State, theirs: Signature) -> SignedState {
        let ours = self.key.sign(&state.digest());
        let signatures = vec![ours, theirs];
        UnverifiedSignedState { state, signatures }
            .verify(params)
            .unwrap()
    }

    /// The own signature on a state that both have signed.
    pub fn acceptance_of(&self, signed: &SignedState) -> UpdateAcceptance {
        UpdateAcceptance {
            channel: signed.channel(),
            version: signed.version(),
            part: FIRST,
            signature: self.key.sign(&signed.state().digest()),
            asks_turn: false,
        }
    }

    /// An update that moves `amount` to the victim, as honest people make it, and its state.
    pub fn update(&self, channel: &RogueChannel, version: u64, amount: u128) -> (Update, State) {
        let state = channel.state_after(version, amount, 0);
        let mut payments = Batch::new();
        let payment = Payment {
            asset: AssetIdx::new(0),
            amount: units(amount),
            memo: None,
        };
        if amount > 0 {
            payments.push(&payment, Batch::MAX_LENGTH).unwrap();
        }
        let update = Update {
            channel: channel.params.id(),
            version: Version::new(version),
            skipped: version - channel.current.version().number() - 1,
            turn: channel.turn,
            is_final: false,
            passes_turn: false,
            payments,
            signature: self.key.sign(&state.digest()),
        };
        (update, state)
    }

    /// Pays, as honest people do.
    pub async fn pay(&mut self, channel: &mut RogueChannel, amount: u128) {
        let version = channel.current.version().number() + 1;
        let (update, state) = self.update(channel, version, amount);
        self.send(&Message::Update(Box::new(update)));
        let accepted = self.await_acceptance(Version::new(version)).await;
        channel.current = self.complete(&channel.params, state, accepted.signature);
    }

    /// A sync that tells the truth.
    pub fn sync(&self, channel: &RogueChannel) -> Sync {
        Sync {
            channel: channel.params.id(),
            turn: channel.turn,
            newest: channel.current.clone().into(),
            pending: None,
            witness: None,
            offered: None,
            signed_through: Some(channel.current.version()),
            wants_answer: false,
        }
    }
}

impl RogueChannel {
    /// The state after the rogue has paid and the victim has.
    pub fn state_after(&self, version: u64, paid: u128, received: u128) -> State {
        let state = self.current.state();
        let [rogue, victim] = self.shares();
        let shares = table([
            (rogue + received).saturating_sub(paid),
            (victim + paid).saturating_sub(received),
        ]);
        let version = Version::new(version);
        State::new(self.params.id(), version, shares, state.funding().clone()).unwrap()
    }

    pub fn shares(&self) -> [u128; 2] {
        let balances = &self.current.state().allocation().balances;
        [FIRST, SECOND].map(|part| balances.at(AssetIdx::new(0), part).unwrap().units())
    }
}
