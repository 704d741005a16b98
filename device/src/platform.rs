//! What a board has to bring besides its flash.

/// A source of random bytes that nobody can guess: keys and nonce shares are made of them.
pub trait Random {
    /// Fills `bytes`, every bit of it random. An implementation waits until its source has gathered
    /// as much; there is no way to go on without.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// A clock that counts since the start, and never goes back. It need not know the time of day.
pub trait Clock {
    /// Nanoseconds since the start.
    fn uptime_ns(&self) -> u64;
}
