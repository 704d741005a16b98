//! What the watch stream of a channel needs of its device, and tells it.

use alloc::rc::Rc;
use alloc::vec::Vec;

use embedded_storage::nor_flash::NorFlash;
use perun_protocol::{ChannelId, SecretKey, Version};
use rand_core::{CryptoRng, RngCore};

use super::Device;
use crate::driver::Driver;
use crate::{Clock, Event, Random, watching};

impl<F: NorFlash, R: Random, C: Clock> Device<F, R, C> {
    /// What stands in a packet for the newest state of a channel; `is_whole` with what never changes about
    /// it. `None` while there is none that both have signed.
    pub(crate) fn order(&self, channel: &ChannelId, is_whole: bool) -> Option<Vec<u8>> {
        let machine = &self.channel(channel)?.machine;
        let newest = machine.newest()?;
        let message = match is_whole {
            true => watching::introduction(machine, newest),
            false => watching::watch(machine, newest, Some(newest.clone().into())),
        };
        Some(message.encode())
    }

    /// The newest version of a channel that both have signed.
    pub(crate) fn newest(&self, channel: &ChannelId) -> Option<Version> {
        self.channel(channel).and_then(Driver::newest)
    }

    /// Whether the device has the channel: from its opening until it is over.
    pub(crate) fn has_channel(&self, channel: &ChannelId) -> bool {
        self.channel(channel).is_some()
    }

    /// One of those who follow the stream says that it has stored `told`, if that is what it says; as many as
    /// the settings ask for have stored `guarded`.
    pub(crate) fn handle_streamed(
        &mut self,
        channel: &ChannelId,
        told: Option<Version>,
        guarded: Option<Version>,
    ) {
        let Some(driver) = self.driver(channel) else {
            return;
        };
        let newest = driver.newest();
        let before = driver.streamed;
        // Nobody has stored what was never signed.
        driver.streamed = guarded.filter(|version| Some(*version) <= newest);
        let guarded = driver.streamed.filter(|version| before < Some(*version));
        let channel = *channel;
        if let Some(told) = told.filter(|told| Some(*told) > newest) {
            self.tell(Event::StreamContradicts { channel, told });
        }
        if let Some(version) = guarded {
            self.tell(Event::StreamGuarded { channel, version });
        }
        self.settle();
    }

    /// The key, which vouches for the stream's keys, and randomness for them.
    pub(crate) fn key_and_random(&mut self) -> (Rc<SecretKey>, Entropy<'_, R>) {
        (Rc::clone(&self.key), Entropy(&mut self.random))
    }

    pub(crate) fn uptime_ns(&self) -> u64 {
        self.clock.uptime_ns()
    }

    fn channel(&self, channel: &ChannelId) -> Option<&Driver> {
        let mut drivers = self.drivers.iter();
        drivers.find(|driver| driver.machine.id() == *channel)
    }
}

/// The board's randomness in the words of cryptography crates.
pub(crate) struct Entropy<'a, R>(&'a mut R);

impl<R: Random> RngCore for Entropy<'_, R> {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl<R: Random> CryptoRng for Entropy<'_, R> {}
