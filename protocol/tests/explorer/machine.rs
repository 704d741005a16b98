//! One side of the explored world, and what it must never have done.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use perun_protocol::channel::{Channel, Event, Output};
use perun_protocol::wire::Message;
use perun_protocol::{Signature, Version};

use crate::world::{Stamp, Stamps, Store};

/// A machine, its store, and what was heard of it.
#[derive(Clone)]
pub struct Machine {
    pub channel: Channel<Stamp, Stamps>,
    pub store: Rc<Store>,
    /// The old copy that it may be restored from.
    pub copy: Option<Rc<Store>>,
    /// Its signatures that have arrived at the peer.
    pub held: Rc<BTreeMap<Version, Signature>>,
    /// What its owner is asked about.
    pub asked: Option<Version>,
    /// Up to which number its own payments have an outcome.
    pub resolved: u64,
    /// How many it has made since its start.
    pub made: u64,
    /// The final state that it has proposed, as far as the peer knows.
    pub ended: Option<Version>,
    /// Whether it disputes since the peer did not agree to close.
    pub disputes: bool,
}

impl Machine {
    pub fn digest(&self) -> u64 {
        let mut hasher = Mixer::default();
        self.channel.hash(&mut hasher);
        (&self.store, &self.copy, &self.held).hash(&mut hasher);
        (self.asked, self.resolved, self.made).hash(&mut hasher);
        (self.ended, self.disputes).hash(&mut hasher);
        hasher.finish()
    }

    /// Carries out one output; a message is returned.
    pub fn carry_out(&mut self, output: Output) -> Option<Message> {
        match output {
            Output::Persist(record) => Rc::make_mut(&mut self.store).persist(record),
            Output::PersistLater(record) => Rc::make_mut(&mut self.store).persist_later(record),
            Output::Send(message) => return Some(message),
            Output::Call(_) => {}
            Output::Notify(event) => match event {
                Event::Offered { version, .. } => self.asked = Some(version),
                Event::Settled { through } | Event::Refused { through, .. } => {
                    self.resolved = self.resolved.max(through);
                }
                Event::CloseRefused { .. } => self.disputes = true,
                _ => {}
            },
        }
        None
    }

    /// A message of this side has arrived: whatever it signs is held against it from now on.
    pub fn hold(&mut self, index: usize, message: &Message) -> Result<(), String> {
        let mut signed = vec![];
        match message {
            Message::Update(update) => signed.push((update.version, update.signature)),
            Message::UpdateAcceptance(acceptance) => {
                signed.push((acceptance.version, acceptance.signature));
            }
            Message::Sync(sync) => {
                signed.push((sync.newest.state.version(), sync.newest.signatures[index]));
                if let Some(update) = &sync.pending {
                    signed.push((update.version, update.signature));
                }
            }
            _ => {}
        }
        if let Message::Update(update) = message
            && update.is_final
        {
            self.ended = self.ended.or(Some(update.version));
        }
        for (version, signature) in signed {
            if self.ended.is_some_and(|ended| ended < version) {
                return Err(format!("side {index} signed something after a final state"));
            }
            match self.held.get(&version) {
                None => {
                    Rc::make_mut(&mut self.held).insert(version, signature);
                }
                Some(before) if *before == signature => {}
                Some(_) => {
                    let number = version.number();
                    return Err(format!("side {index} signed version {number} twice"));
                }
            }
        }
        Ok(())
    }
}

/// Hashes states, of which there are many and large ones, more quickly than the standard library.
/// With 64 bits, two of a million states are taken for one with a probability of 1 : 37 million.
#[derive(Default)]
pub struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.write_u64(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    fn write_u64(&mut self, word: u64) {
        // Golden ratio and square root of 2, as odd fractions of 2^64.
        let product = u128::from(self.0 ^ word ^ 0x9e37_79b9_7f4a_7c15) * 0xb504_f333_f9de_6485;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
