//! The rules of a token ledger, complete enough to test payment software against.
//!
//! It speaks ICRC-1 (transfers), ICRC-2 (allowances), ICRC-3 (the block log) and the classic
//! calls of the ICP ledger (`transfer`, `account_balance`, `query_blocks`), all on the same
//! balances. Where the standards leave room it does what the ledgers in use do.
//!
//! ```text
//!  request --> shape, fee --> window: age, duplicate --> allowance, funds --> balances
//!                 |                  |                          |                |
//!                 +---- Refusal -----+--------------------------+             Block, tip certified
//! ```
//!
//! Invariants: a refused request changes no balance and no allowance; the balances' sum is the
//! total supply; blocks are only appended, and each contains the hash of the one before.
//!
//! This library has no `ic_cdk`, so plain tests run it; `main.rs` is the canister around it.
//! Deliberately absent: archives (a test ledger's blocks stay in it), a fee collector (fees are
//! burnt), and any method that exists only for tests.
#![forbid(unsafe_code)]

pub mod account;
pub mod allowances;
pub mod amount;
pub mod balances;
pub mod block;
pub mod chain;
pub mod classic;
pub mod deduplication;
pub mod ledger;
pub mod memory;
pub mod refusal;
pub mod settings;
pub mod standards;
