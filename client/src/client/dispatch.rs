//! What comes in over links: to the channel it is about, if it is one of the sender.

use std::sync::{Arc, Weak};

use perun_protocol::wire::{Message, RejectCode, Text, UpdateRejection};
use perun_protocol::{PublicKey, Version};

use super::Shared;
use crate::events::ClientEvent;
use crate::link::{Handler, Hello, Verdict};

/// What the links bring, for as long as the client is there.
pub(super) struct Inbound(pub(super) Weak<Shared>);

impl Handler for Inbound {
    fn connected(&self, peer: &PublicKey, hello: &Hello) {
        if let Some(shared) = self.0.upgrade() {
            shared.handle_connected(peer, hello);
        }
    }

    fn message(&self, peer: &PublicKey, message: &[u8]) -> Verdict {
        match self.0.upgrade() {
            Some(shared) => shared.handle_bytes(peer, message),
            None => Verdict::Disconnect("the client has stopped".into()),
        }
    }

    fn disconnected(&self, peer: &PublicKey) {
        if let Some(shared) = self.0.upgrade() {
            shared.handle_disconnected(peer);
        }
    }

    fn knows(&self, peer: &PublicKey) -> bool {
        let shared = self.0.upgrade();
        shared.is_some_and(|shared| !shared.drivers_of(peer).is_empty())
    }
}

impl Shared {
    fn handle_connected(&self, peer: &PublicKey, hello: &Hello) {
        self.tell(None, ClientEvent::Connected { peer: *peer });
        for driver in self.drivers_of(peer) {
            driver.connect(hello);
        }
        self.propose_again(peer);
    }

    fn handle_bytes(self: &Arc<Self>, peer: &PublicKey, bytes: &[u8]) -> Verdict {
        let message = match Message::decode(bytes) {
            Ok(message) => message,
            Err(error) => {
                self.tell(
                    None,
                    ClientEvent::Misbehaved {
                        peer: *peer,
                        how: None,
                    },
                );
                return Verdict::Disconnect(error.to_string());
            }
        };
        match message {
            Message::Proposal(proposal) => self.handle_proposal(peer, *proposal),
            Message::Acceptance(acceptance) => self.handle_proposal_acceptance(peer, &acceptance),
            Message::ProposalRejection(rejection) => {
                self.handle_proposal_rejection(peer, rejection);
            }
            Message::Unknown { .. } => {}
            message => return self.handle_channel_message(peer, message),
        }
        Verdict::Continue
    }

    fn handle_disconnected(&self, peer: &PublicKey) {
        self.tell(None, ClientEvent::Disconnected { peer: *peer });
        for driver in self.drivers_of(peer) {
            driver.input(|machine, _| machine.handle_disconnected());
        }
    }

    fn handle_channel_message(self: &Arc<Self>, peer: &PublicKey, message: Message) -> Verdict {
        let Some(channel) = message.channel() else {
            return Verdict::Continue;
        };
        // A stranger learns of a channel of others as much as of none.
        let driver = self.driver(&channel).filter(|driver| driver.peer() == peer);
        let Some(driver) = driver else {
            self.answer_unknown(peer, &message);
            return Verdict::Continue;
        };
        if driver.is_backed_up() {
            return Verdict::Continue;
        }
        match driver.input(|machine, now| machine.handle_message(now, message)) {
            Ok(()) => Verdict::Continue,
            Err(how) => {
                self.tell(
                    channel,
                    ClientEvent::Misbehaved {
                        peer: *peer,
                        how: Some(how),
                    },
                );
                Verdict::Disconnect(how.to_string())
            }
        }
    }

    /// Whoever waits for an answer about a channel that is not there learns that.
    fn answer_unknown(&self, peer: &PublicKey, message: &Message) {
        let (channel, version) = match message {
            Message::Update(update) => (update.channel, update.version),
            // Version 0 of a channel that we proposed ourselves: the acceptance that comes before it was
            // lost or overtaken. Both come again.
            Message::UpdateAcceptance(acceptance)
                if acceptance.version == Version::INITIAL && self.proposes_to(peer) =>
            {
                return;
            }
            Message::UpdateAcceptance(acceptance) => (acceptance.channel, acceptance.version),
            Message::Sync(sync) => (sync.channel, sync.newest.state.version()),
            _ => return,
        };
        self.send(
            peer,
            &Message::UpdateRejection(UpdateRejection {
                channel,
                version,
                code: RejectCode::UnknownChannel,
                text: Text::default(),
            }),
        );
    }
}
