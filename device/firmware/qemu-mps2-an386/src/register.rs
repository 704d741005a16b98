//! Registers of the machine.

/// A 32-bit register at a fixed address.
#[derive(Clone, Copy)]
pub struct Register(usize);

impl Register {
    /// # Safety
    ///
    /// A register of this machine lies at `address`, and reading or writing it doesn't change
    /// memory that Rust knows of.
    pub const unsafe fn at(address: usize) -> Self {
        Self(address)
    }

    /// Reads it, with whatever that does to the hardware.
    pub fn read(self) -> u32 {
        // SAFETY: what `at` asks for.
        unsafe { (self.0 as *const u32).read_volatile() }
    }

    /// Writes it, with whatever that does to the hardware.
    pub fn write(self, value: u32) {
        // SAFETY: what `at` asks for.
        unsafe { (self.0 as *mut u32).write_volatile(value) }
    }
}
