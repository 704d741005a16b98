//! A node: many users of payment channels behind one gRPC API, and the command line that speaks to it.
//!
//! ```text
//!  apps, perun ── gRPC, TLS ──> server ──> access ──> api ──> node ──> session ──> perun-client
//!                                 who calls │  messages │   many │   one user │
//!                                 what for  │  and back │        │            ├ contacts, keystore
//!                                           │           │        │            └ history, idempotency
//!                            tokens <───────┘           │        └ currencies, devices, settings
//! ```

#![forbid(unsafe_code)]

pub mod access;
pub mod api;
pub mod backup;
pub mod cli;
pub mod clock;
mod commits;
mod connections;
pub mod contacts;
pub mod currency;
pub mod daemon;
pub mod demo;
pub mod devices;
pub mod error;
pub mod history;
pub mod idempotency;
pub mod keystore;
mod lock;
mod logging;
pub mod metrics;
pub mod node;
pub mod password;
mod private_file;
mod redb_file;
mod replica;
pub mod request;
#[cfg(test)]
mod scratch;
pub mod server;
pub mod session;
pub mod settings;
pub mod tls;
pub mod tokens;
pub mod users;
pub mod watching;

pub use error::{ContractError, Error, Resource};
