//! Randomness of the hardware: analog noise, tested by the generator itself while it runs.

use embassy_stm32::Peri;
use embassy_stm32::interrupt::typelevel::{Binding, HASH_RNG};
use embassy_stm32::peripherals::RNG;
use embassy_stm32::rng::{InterruptHandler, Rng};
use perun_application::Random;

/// Every byte comes from the generator; nothing is stretched from a seed.
pub struct HardwareRandom(Rng<'static, RNG>);

impl HardwareRandom {
    /// Starts the generator.
    pub fn new(
        generator: Peri<'static, RNG>,
        interrupts: impl Binding<HASH_RNG, InterruptHandler<RNG>> + 'static,
    ) -> Self {
        Self(Rng::new(generator, interrupts))
    }

    /// What the network makes its port and sequence numbers from.
    pub fn seed(&mut self) -> u64 {
        self.0.next_u64()
    }
}

impl Random for HardwareRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}
