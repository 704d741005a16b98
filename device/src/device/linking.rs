//! Links: bytes in, bytes out, and whom a message is for.

use alloc::vec::Vec;

use embedded_storage::nor_flash::NorFlash;
use perun_link::Hello;
use perun_protocol::channel::max_batch;
use perun_protocol::wire::{Message, RejectCode, Text, UpdateRejection};
use perun_protocol::{ChannelId, PublicKey, Version};

use super::{Device, draw};
use crate::link::{Inbound, Link, LinkError, LinkId};
use crate::{Clock, Event, Random};

impl<F: NorFlash, R: Random, C: Clock> Device<F, R, C> {
    /// A stream to `peer` is there, which the device has opened.
    ///
    /// # Errors
    /// [`LinkError::TooMany`], [`LinkError::Stranger`]: the stream is to be closed.
    pub fn dialled(&mut self, peer: PublicKey) -> Result<LinkId, LinkError> {
        if !self.is_known(&peer) {
            return Err(LinkError::Stranger(peer));
        }
        self.begin_link(Some(peer))
    }

    /// A stream is there, which somebody else has opened.
    ///
    /// # Errors
    /// [`LinkError::TooMany`]: the stream is to be closed.
    pub fn answered(&mut self) -> Result<LinkId, LinkError> {
        self.begin_link(None)
    }

    fn begin_link(&mut self, wanted: Option<PublicKey>) -> Result<LinkId, LinkError> {
        if self.has_stopped {
            return Err(LinkError::Over);
        }
        let limit = self.settings.capacity.links;
        if self.links.len() >= limit {
            let uptime_ns = self.clock.uptime_ns();
            let mut links = self.links.iter();
            match links.position(|link| link.is_idle_stranger(uptime_ns)) {
                Some(index) => drop(self.links.remove(index)),
                None => return Err(LinkError::TooMany { limit }),
            }
        }
        self.links_so_far += 1;
        let id = LinkId(self.links_so_far);
        let entropy = draw(&mut self.random);
        let uptime_ns = self.clock.uptime_ns();
        let link = Link::new(id, &self.credentials, wanted, entropy, uptime_ns)?;
        self.links.push(link);
        Ok(id)
    }

    /// Bytes have arrived on a link's stream.
    ///
    /// # Errors
    /// [`LinkError`]: the link is over and the stream is to be closed.
    pub fn receive(&mut self, id: LinkId, bytes: &[u8]) -> Result<(), LinkError> {
        for portion in bytes.chunks(Link::PORTION) {
            let received = self.receive_portion(id, portion);
            if let Err(error) = received {
                self.end_link(id);
                self.settle();
                return Err(error);
            }
        }
        Ok(())
    }

    fn receive_portion(&mut self, id: LinkId, bytes: &[u8]) -> Result<(), LinkError> {
        let uptime_ns = self.clock.uptime_ns();
        self.link(id)?.arrived(bytes, uptime_ns);
        loop {
            let max_message = self.settings.capacity.message;
            // Borrowed for itself, beside the credentials.
            let link = self.links.iter_mut().find(|link| link.id == id);
            let link = link.ok_or(LinkError::Over)?;
            let Some(inbound) = link.next(&self.credentials, max_message)? else {
                return Ok(());
            };
            let peer = link.peer;
            match (inbound, peer) {
                (Inbound::Authenticated(hello), _) => self.authenticated(id, &hello)?,
                (Inbound::Message(message), Some(peer)) => self.handle_message(&peer, message)?,
                (Inbound::Remote(message), Some(peer)) => self.handle_remote(&peer, message),
                (Inbound::Message(_) | Inbound::Remote(_), None) => {}
            }
            self.settle();
        }
    }

    /// What is to be written to a link's stream, `None` if nothing.
    pub fn transmit(&self, id: LinkId) -> Option<&[u8]> {
        let link = self.links.iter().find(|link| link.id == id)?;
        Some(link.outgoing()).filter(|outgoing| !outgoing.is_empty())
    }

    /// So many bytes of [`Device::transmit`] were written.
    pub fn transmitted(&mut self, id: LinkId, count: usize) {
        if let Ok(link) = self.link(id) {
            link.sent(count);
        }
    }

    /// Whether a link is over, so that its stream is to be closed: a newer one has taken its place,
    /// or nothing was heard on it.
    pub fn is_over(&self, id: LinkId) -> bool {
        !self.links.iter().any(|link| link.id == id)
    }

    /// Who is at the other end of a link, once it has proved that.
    pub fn peer(&self, id: LinkId) -> Option<PublicKey> {
        self.links.iter().find(|link| link.id == id)?.peer
    }

    /// A link's stream is closed.
    pub fn hung_up(&mut self, id: LinkId) {
        self.end_link(id);
        self.settle();
    }

    /// Whether a peer or watcher is connected, and has proved who it is.
    pub fn is_connected(&self, peer: &PublicKey) -> bool {
        self.links.iter().any(|link| link.peer == Some(*peer))
    }

    pub(super) fn is_watcher(&self, peer: &PublicKey) -> bool {
        self.settings.watchers.contains(peer)
    }

    fn is_known(&self, peer: &PublicKey) -> bool {
        self.is_watcher(peer) || self.settings.policy.knows(peer)
    }

    fn link(&mut self, id: LinkId) -> Result<&mut Link, LinkError> {
        let link = self.links.iter_mut().find(|link| link.id == id);
        link.ok_or(LinkError::Over)
    }

    /// Sends to a peer or watcher, if it is connected. Whatever is lost is said again when it is.
    pub(super) fn send(&mut self, peer: &PublicKey, message: &[u8]) {
        let link = self.links.iter_mut().find(|link| link.peer == Some(*peer));
        let failed = link.and_then(|link| link.send(message).err().map(|_| link.id));
        if let Some(id) = failed {
            self.end_link(id);
        }
    }

    #[inline(never)]
    fn authenticated(&mut self, id: LinkId, hello: &Hello) -> Result<(), LinkError> {
        let peer = hello.identity;
        if !self.is_known(&peer) {
            return Err(LinkError::Stranger(peer));
        }
        let us = self.identity();
        let is_other = |link: &&Link| link.peer == Some(peer) && link.id != id;
        if let Some(older) = self.links.iter().find(is_other) {
            let newer = self.links.iter().find(|link| link.id == id);
            if newer.is_some_and(|newer| older.outlives(newer, &us, &peer)) {
                return Err(LinkError::Over);
            }
            let older = older.id;
            self.end_link(older);
        }
        self.link(id)?.is_told = true;
        self.tell(Event::Connected { peer });
        if self.is_watcher(&peer) {
            self.watcher_connected(&peer);
        } else {
            self.peer_connected(&peer);
        }
        Ok(())
    }

    fn peer_connected(&mut self, peer: &PublicKey) {
        let of_peer = self.drivers.iter().filter(|driver| driver.peer == *peer);
        let channels: Vec<_> = of_peer.map(|driver| driver.machine.id()).collect();
        for channel in &channels {
            self.connect_channel(channel);
        }
        self.propose_again(peer);
    }

    /// Tells a channel of the link to its peer, if there is one and a watcher has said how far the
    /// channel is.
    pub(super) fn connect_channel(&mut self, channel: &ChannelId) {
        self.charge_queued();
        let now = self.now();
        let limit = self.settings.capacity.batch;
        let Self { drivers, links, .. } = self;
        let mut drivers = drivers.iter_mut();
        let driver = drivers.find(|driver| driver.machine.id() == *channel);
        let Some(driver) = driver.filter(|driver| driver.is_checked) else {
            return;
        };
        if let Some(link) = links.iter().find(|link| link.peer == Some(driver.peer)) {
            let assets = driver.machine.params().assets().len();
            let max_batch = max_batch(link.max_message, assets).min(limit);
            driver.machine.handle_connected(now, max_batch);
            if let Some(early) = driver.early.take() {
                // One that no honest peer sends has changed nothing.
                let _ = driver.machine.handle_message(now, early);
            }
        }
    }

    fn end_link(&mut self, id: LinkId) {
        let Some(index) = self.links.iter().position(|link| link.id == id) else {
            return;
        };
        let link = self.links.swap_remove(index);
        let Some(peer) = link.peer.filter(|_| link.is_told) else {
            return;
        };
        if self.is_connected(&peer) {
            // By the link that has taken the place of this one.
            return;
        }
        self.tell(Event::Disconnected { peer });
        if self.is_watcher(&peer) {
            self.watcher_disconnected(&peer);
        }
        for driver in self.drivers.iter_mut().filter(|driver| driver.peer == peer) {
            driver.early = None;
            driver.machine.handle_disconnected();
        }
    }

    pub(super) fn check_links(&mut self, uptime_ns: u64) {
        let mut over = Vec::new();
        for link in &mut self.links {
            if link.check(uptime_ns).is_err() {
                over.push(link.id);
            }
        }
        for id in over {
            self.end_link(id);
        }
    }

    fn handle_message(&mut self, peer: &PublicKey, message: Message) -> Result<(), LinkError> {
        if self.is_watcher(peer) {
            // A watcher has no business with channels of its own here.
            return Ok(());
        }
        match message {
            Message::Proposal(proposal) => self.handle_proposal(peer, *proposal),
            Message::Acceptance(acceptance) => self.handle_acceptance(peer, &acceptance),
            Message::ProposalRejection(rejection) => self.handle_rejection(peer, rejection),
            Message::Unknown { .. } => {}
            message => return self.handle_channel_message(peer, message),
        }
        Ok(())
    }

    #[inline(never)]
    fn handle_channel_message(
        &mut self,
        peer: &PublicKey,
        message: Message,
    ) -> Result<(), LinkError> {
        let Some(channel) = message.channel() else {
            return Ok(());
        };
        let now = self.now();
        let driver = self.driver(&channel).filter(|driver| driver.peer == *peer);
        let Some(driver) = driver else {
            self.answer_unknown(peer, &message);
            return Ok(());
        };
        // While the last update waits for a watcher, what would wait behind it is as good as lost: the
        // peer says it again, and cannot make the device keep more than that.
        let would_wait = matches!(
            message,
            Message::Update(_) | Message::Sync(_) | Message::TurnRequest(_) | Message::TurnPass(_)
        );
        if driver.is_waiting() && would_wait {
            return Ok(());
        }
        if !driver.is_checked {
            // How far the peer is can be told later; anything else is said again.
            if let Message::Sync(_) = message {
                driver.early = Some(message);
            }
            return Ok(());
        }
        let handled = driver.machine.handle_message(now, message);
        handled.map_err(LinkError::Misbehaved)
    }

    /// Whoever waits for an answer about a channel that is not there learns that.
    #[inline(never)]
    fn answer_unknown(&mut self, peer: &PublicKey, message: &Message) {
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
        let rejection = Message::UpdateRejection(UpdateRejection {
            channel,
            version,
            code: RejectCode::UnknownChannel,
            text: Text::default(),
        });
        self.send(peer, &rejection.encode());
    }
}
