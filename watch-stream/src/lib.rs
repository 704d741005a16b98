//! Watch streams: signed and encrypted messages from one device to several watchers, over relays that
//! nobody trusts and links that lose, repeat and reorder.
//!
//! ```text
//!            announcement, keyloads, packets (signed), tagged packets (heartbeats)
//! Author ───────────────────────────────────────────────> relay ──> Subscriber … Subscriber
//! (device) <───────────────────────────────────────────── relay <── (watchers)
//!            subscriptions, acks (signed), unsubscriptions
//! ```
//!
//! A device that has a payment channel publishes each new signed state in its stream. Watchers keep the
//! newest and refute with it; their acks tell the device how many of them have it. The crate is a pair of
//! machines without I/O, clock or heap: bytes in, bytes out; randomness and storage are handed in.
//!
//! | file | |
//! |---|---|
//! | `header`, `message`, `announcement`, `keys`, `keyload`, `ack` | the bytes of each message |
//! | `wrap`, `cipher`, `chain`, `labels` | how cryptography is put together |
//! | `sequence`, `storage`, `flash`, `export` | what survives power cuts and moves |
//! | `author`, `subscriber`, `window` | the two sides |
//! | `policy` | when a device sends, and whether it may go on |
//! | `transport` | ways for messages to travel |
//!
//! # What is claimed
//!
//! Of relays and networks nothing is assumed; of keys, that who is honest keeps them; of the author's
//! randomness, that an epoch's secret can't be guessed.
//!
//! - **Whose stream.** A stream belongs to one participant of one channel: the participant signed the
//!   author's keys, and the stream's name is a hash of all that.
//! - **Authenticity.** Keyloads and packets are the author's and unchanged, every byte of header and body:
//!   `verify_strict` of Ed25519 over the header and a hash of the body. A relay can't relabel, move or
//!   redirect a message. Nothing in a watcher changes before that check.
//! - **Secrecy.** Payloads and channel versions of packets can be read by the watchers that its keyload lists,
//!   and by nobody else. There is no payload without a key, and no first block that is left unmasked.
//! - **Removal.** A watcher that was removed reads nothing that is published afterwards: nothing can be
//!   published before a new epoch without it. One that is added reads nothing that was published before.
//! - **Forward secrecy within an epoch.** Who takes the author's memory, or the keys of a watcher's epochs, can't
//!   read the packets that went out, or were read, before. A watcher's whole memory holds its wrapping key as
//!   well, and that opens every recorded keyload that was sealed to it. Packets of those epochs are out of reach
//!   only once the watcher has changed it ([`Subscriber::rotate`]) and a keyload to the new one came.
//! - **Recovery.** An epoch heals a chain key that leaked, a rotation a wrapping key.
//! - **No number twice.** Numbers are reserved in flash before use, so a power cut at any moment makes the
//!   author skip some, never repeat one.
//! - **No key twice.** After a start, an import or a change of watchers, nothing goes out before a keyload with
//!   a fresh secret. If two copies of an author ran from one memory all the same, nonces depend on the
//!   payload, so that they still mask different payloads differently.
//! - **Freshness.** The version that a watcher acts on never falls, unless it says itself that what it had
//!   stored is lost ([`Subscriber::forget`]). What is lost, late, repeated or out of order
//!   blocks no newer state, which is complete in itself; a keyload that comes late lets the packet that
//!   overtook it be read.
//! - **Forks.** Two messages that an honest author can't both have signed are kept as evidence that anybody can
//!   verify, if a watcher sees both within [`REMEMBERED`] messages ([`Fork`]). It acts on the higher version.
//! - **What is guarded.** An ack is the watcher's signed word that it has stored a version. Of two acks the
//!   newer one counts, and none from before the author's start, so a watcher that says that it lost states
//!   ([`Subscriber::forget`]), or subscribes anew, no longer counts as a guard. One that lost its whole storage
//!   can't say so: its numbers start anew, and are refused until it is removed and allowed again.
//! - **Exports** hold no key in clear, and going on from one repeats neither numbers nor keys.
//! - **Bounds.** Whatever a stranger sends is refused without a panic, without allocation, and within bounds:
//!   [`MAX_MESSAGE_LENGTH`], [`MAX_WATCHERS`], [`MAX_EPOCH_PACKETS`], [`SKIPPED`].
//!
//! # What is not
//!
//! - **Heartbeats** are authenticated by a key that all watchers have: any of them can make one, and can keep
//!   others from counting within the epoch.
//! - **Traffic is visible.** Who relays sees the stream's name, numbers, lengths and times, the ids of
//!   watchers, and the versions in acks.
//! - **A relay can keep everything back.** That shows by missing acks only, so the author must not count a state
//!   as guarded before enough of them came.
//! - **A watcher can lie** about what it has stored, or pass on what it reads. Ask several. A claim of a version
//!   that was never published counts as none.
//! - **The author's memory while it runs** is all that is needed to read and sign on, until the owner makes a new
//!   stream. A stolen signing key is not healed by anything.
//! - **A watcher's wrapping key** opens every recorded keyload since its last rotation.
//! - **Not across starts**: after one, a watcher can't tell numbers that were left out from messages it never
//!   got; states before the newest are then not asked for.
//! - **No deniability, no secrecy against quantum computers.** The suite is fixed; another one would be another
//!   number in the header.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod ack;
mod announcement;
mod author;
mod chain;
mod cipher;
mod error;
mod export;
mod flash;
mod header;
mod keyload;
mod keys;
mod labels;
mod message;
mod policy;
mod sequence;
mod storage;
mod subscriber;
mod transport;
mod window;
mod wrap;

pub use ack::{Ack, MAX_ACK_LENGTH};
pub use announcement::{ANNOUNCEMENT_LENGTH, Announcement, AuthorKeys};
pub use author::{Acked, Author, Heard, PACKET_OVERHEAD, TAGGED_OVERHEAD, Watcher};
pub use chain::MAX_EPOCH_PACKETS;
pub use cipher::MASKED_OVERHEAD;
pub use error::{ReceiveError, Refused, SendError, StartError};
pub use export::{Export, MAX_EXPORT_LENGTH};
pub use flash::{FlashError, FlashStorage, Unsuitable};
pub use header::{Epoch, HEADER_LENGTH, Header, Kind, Malformed, MessageId, Number, StreamId};
pub use keys::{SUBSCRIPTION_LENGTH, UNSUBSCRIPTION_LENGTH, WatcherId};
pub use message::{MAX_MESSAGE_LENGTH, Message, SIGNATURE_LENGTH, SignedHeader};
pub use policy::{Due, Guard, Policy, Schedule};
pub use sequence::{BLOCK, IMPORT_EPOCH_JUMP, IMPORT_JUMP};
pub use storage::{MAX_RECORD_LENGTH, Record, Storage};
pub use subscriber::{Fork, REMEMBERED, Received, SKIPPED, Subscriber};
pub use transport::{Bucket, BucketEnd, Transport};
pub use window::{WINDOW, Window};

/// Watchers of a stream at most: what a keyload has room for, and more than any device needs.
pub const MAX_WATCHERS: usize = 10;
