//! A relay of watch streams over TCP: it keeps what is published for those who are not there, and pushes it to
//! those who are.
//!
//! ```text
//! device ──publish──> relay ──push──> watchers        keyloads, packets, heartbeats
//!        <──push────        <──publish──              subscriptions, acks
//! ```
//!
//! | file | |
//! |---|---|
//! | `stream` | what is kept of one stream, what is refused, and when a message goes |
//! | `relay` | all streams |
//! | `followers` | who is pushed what, and how many may be of whom |
//! | `budget` | how much of something may be used in a time |
//! | `files` | what survives a restart |
//! | `frames` | requests and answers as bytes |
//! | `server` | connections and their quotas |
//! | `line` | a watcher's side, which comes back whenever it breaks |
//! | `end` | the other side: a [`Transport`](perun_watch_stream::Transport) for devices and watchers |
//!
//! Nobody has to trust a relay: it can't read, change or make messages, only keep them back. It has to
//! protect itself:
//!
//! - **A stream begins with its announcement**, whose two signatures are verified. Of the author only
//!   messages by the announced key are taken. Without that check strangers could push the author's messages
//!   out, since a stream's name is public. It costs an Ed25519 verification for each message.
//! - **Acks and unsubscriptions** are verified by the key that the connection has introduced, which must have
//!   the id of a recipient of the newest keyload: otherwise a stranger's ack would drop messages.
//! - **Heartbeats and subscriptions can't be verified** without the author's keys. Heartbeats are pushed and not
//!   kept; of subscriptions the last few are. Of both only so many are taken in a second, since each costs its
//!   receivers an attempt to open it. Strangers can use that up: then subscribing takes longer, and heartbeats
//!   are missing; keyloads, packets and acks are not concerned.
//! - **Anybody can announce a stream**, and fill the table of streams: a relay in the open should serve its
//!   owner's participants only ([`Limits::participants`]).
//! - **Quotas**: streams, messages of a stream, followers of a stream, connections in all and from one address, bytes of a
//!   connection in a second, refusals until it is closed.
//!
//! Invariants:
//! - What is answered by [`Answer::Stored`](frames::Answer) is in the files, unless every watcher has
//!   acknowledged it.
//! - What every watcher has acknowledged is pushed to nobody any more, whoever brings it again.
//! - Of a stream its announcement, newest keyload, newest packet and that packet's keyload are never
//!   dropped. Everything else of the author goes once every watcher of the newest keyload has acknowledged
//!   it, or when the quota is used up, oldest first.

#![forbid(unsafe_code)]

mod budget;
pub mod end;
mod files;
mod followers;
pub mod frames;
pub mod line;
mod relay;
pub mod server;
mod stream;

pub use end::RelayEnd;
pub use frames::Refusal;
pub use line::Line;
pub use relay::Limits;
pub use server::{Server, Settings};
