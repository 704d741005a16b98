//! The adjudicator: a canister that holds the funds of payment channels and pays out what the
//! newest state signed by all participants says.
//!
//! This library is the rules: no `ic_cdk`, time as an argument, so that plain tests run them. Only
//! the [`flow`]s await, and only through the trait [`flow::System`]. The program `adjudicator` beside
//! it is the shell: it reads caller and time, calls ledgers, and replies.
//!
//! ```text
//!        deposit                    dispute, conclude               withdraw
//!           │                             │                            │
//!   params, holdings ─────────────> claims, timeout ────────────> remainders
//!           │                             │                            │
//!           └──> journal ──> ledger       └──> event log <──┘   journal ──> ledger
//! ```
//!
//! Invariants, for every channel and asset, after every message:
//! - holdings plus what is in flight to a receiver = what arrived less what was paid;
//! - the ledger's balance of the channel's funds account is at least that;
//! - no ledger call leaves that is not in the [`journal`], and none leaves twice as two.

#![forbid(unsafe_code)]

pub mod adjudicator;
pub mod answers;
pub mod batch;
pub mod blocks;
mod certified;
pub mod channel;
mod claim;
pub mod clock;
pub mod config;
pub mod consent;
mod deposit;
pub mod encoding;
pub mod event;
pub mod finished;
pub mod flow;
pub mod http;
pub mod journal;
pub mod logs;
mod metrics;
mod page;
pub mod runway;
mod settle;
mod store;
mod stored;
pub mod text;
pub mod verdict;
mod withdraw;

pub use adjudicator::Adjudicator;
pub use deposit::{Deposit, Source};
pub use settle::Settlement;
pub use store::StableBytes;
pub use withdraw::Withdrawal;
