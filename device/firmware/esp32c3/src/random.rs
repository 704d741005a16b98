//! Randomness of the hardware: noise of the analog-to-digital converter, which this keeps running.

use esp_hal::peripherals::{ADC1, RNG};
use esp_hal::rng::{Trng, TrngSource};
use perun_application::Random;

/// Every byte comes from the generator; nothing is stretched from a seed.
pub struct HardwareRandom {
    generator: Trng,
    // Behind the generator, which must be dropped first.
    _noise: TrngSource<'static>,
}

impl HardwareRandom {
    /// Starts the generator.
    pub fn new(generator: RNG<'static>, converter: ADC1<'static>) -> Self {
        let noise = TrngSource::new(generator, converter);
        Self {
            generator: Trng::try_new().expect("its source runs"),
            _noise: noise,
        }
    }

    /// What the network makes its port and sequence numbers from.
    pub fn seed(&mut self) -> u64 {
        let mut seed = [0; 8];
        self.generator.read(&mut seed);
        u64::from_le_bytes(seed)
    }
}

impl Random for HardwareRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.generator.read(bytes);
    }
}
