//! What the watcher says: subscriptions, acks, and what they rest on.

use heapless::Vec;
use perun_protocol::Version;
use rand_core::{CryptoRng, RngCore};

use super::Subscriber;
use crate::ack::{Ack, MAX_ACK_LENGTH};
use crate::error::SendError;
use crate::header::{Epoch, Header, Kind, Number};
use crate::keys::{self, SUBSCRIPTION_LENGTH, UNSUBSCRIPTION_LENGTH};
use crate::storage::Storage;
use crate::wrap;

impl<S: Storage> Subscriber<S> {
    /// Asks the author to let us in.
    pub fn subscribe(
        &mut self,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<[u8; SUBSCRIPTION_LENGTH], SendError<S::Error>> {
        let number = self.sequence.take(&mut self.storage)?;
        let newest_key = self.kept.next_wrapping.as_ref();
        let wrapping = wrap::public_key(newest_key.unwrap_or(&self.kept.wrapping));
        keys::subscribe(
            self.stream(),
            self.kept.announcement_id,
            &self.kept.announcement.keys().wrapping,
            number,
            &self.signing,
            &wrapping,
            rng,
        )
        // Nobody could ever subscribe to an author with a weak key.
        .map_err(|_| SendError::NoWatchers)
    }

    /// Tells the author that we leave.
    pub fn unsubscribe(&mut self) -> Result<[u8; UNSUBSCRIPTION_LENGTH], SendError<S::Error>> {
        let number = self.sequence.take(&mut self.storage)?;
        let announcement = self.kept.announcement_id;
        let stream = self.stream();
        Ok(keys::unsubscribe(
            stream,
            announcement,
            number,
            &self.signing,
        ))
    }

    /// The state of this version is stored where no power cut reaches it: from now on it is what acks say.
    pub fn stored(&mut self, version: Version) -> Result<(), SendError<S::Error>> {
        if self.kept.stored.is_some_and(|stored| version <= stored) {
            return Ok(());
        }
        self.change(|kept| kept.stored = Some(version))
            .map_err(SendError::Storage)?;
        self.newest = self.newest.max(Some(version));
        Ok(())
    }

    /// What was stored is lost, down to this version; `None`: nothing is left. From now on acks say only that,
    /// and a state above it is handed out again when a packet brings it. A packet that was read already is
    /// none: its key is gone, and it stays [`Refused::Repeated`](crate::Refused::Repeated). The author's next
    /// packet brings the state, which it publishes anew in each epoch; subscribing again
    /// ([`Subscriber::subscribe`]) makes it open one. A higher version than what is stored changes nothing.
    pub fn forget(&mut self, version: Option<Version>) -> Result<(), S::Error> {
        if version < self.kept.stored {
            self.change(|kept| kept.stored = version)?;
        }
        self.newest = self.newest.min(version);
        Ok(())
    }

    /// Says what is stored. Refused before anything is.
    pub fn ack(&mut self) -> Result<Vec<u8, MAX_ACK_LENGTH>, SendError<S::Error>> {
        let version = self.kept.stored.ok_or(SendError::NothingStored)?;
        let number = self.sequence.take(&mut self.storage)?;
        let newest = self.memory.newest();
        let next_key = self.kept.next_wrapping.as_ref();
        let ack = Ack {
            watcher: self.id,
            contiguous: self.window.map_or(Number(0), |it| it.contiguous()),
            version,
            next_key: next_key.map(|secret| wrap::public_key(secret)),
        };
        let header = Header {
            kind: Kind::Ack,
            is_restart: false,
            has_next_key: false,
            stream: self.stream(),
            epoch: self.membership.map_or(Epoch(0), |(_, epoch, _)| epoch),
            number,
            previous: newest.map_or(self.kept.announcement_id, |(_, id)| id),
            public_length: 0,
            masked_length: 0,
        };
        Ok(ack.message(header, &self.signing))
    }

    /// Makes a new key for keyloads, which acks name until a keyload is sealed to it; the old one is then
    /// overwritten, and who steals the new one can't read what was recorded before.
    pub fn rotate(&mut self, rng: &mut (impl RngCore + CryptoRng)) -> Result<(), S::Error> {
        let secret = wrap::generate(rng);
        self.change(|kept| kept.next_wrapping = Some(secret))
    }
}
