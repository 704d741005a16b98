//! Links between peers, without their sockets: a handshake that proves who the other side is, and
//! frames that nobody else reads, forges, repeats or leaves out.
//!
//! ```text
//! dialler  -> e                        Handshake: length u16 │ message of Noise XX, three times
//!          <- e, ee, s, es, Hello
//!          -> s, se, Hello
//!          <> frames                   Sealer, Opener: length u32 │ sealed kind and message
//! ```
//!
//! A peer is its off-chain identity, a secp256k1 key, which signs in the [`Hello`] for the static key
//! that the handshake proves. Client and device speak this over TCP or any other stream of bytes, and
//! carry the bytes themselves; nothing here waits, reads a clock or draws randomness.
//!
//! The handshake is Noise XX (The Noise Protocol Framework, revision 34) with X25519, ChaChaPoly and
//! SHA-256, by the crate `snow`, which hashes with the same `sha2` as everything else here.
//!
//! Invariants: memory grows with bytes that have arrived, not with bytes that were promised. Whoever
//! a finished handshake's [`Hello::identity`] is has proved it.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(test)]
extern crate std;

mod frames;
mod handshake;
mod hello;
mod resolver;

pub use frames::{FrameError, FrameKind, Opener, Sealer, TooLong, empty};
pub use handshake::{Credentials, Handshake, HandshakeError, MAX_HANDSHAKE_MESSAGE};
pub use hello::{Hello, HelloError};

/// What a finished handshake leaves: the keys of both directions.
pub type Session = snow::StatelessTransportState;
