//! Payment channels: the values two or more parties sign, their one canonical encoding, their
//! signatures, and the rule that decides a dispute.
//!
//! ```text
//!  Params ──hash──> ChannelId <──names── State ──signed by all──> SignedState
//!                       ^                                             │
//!                       └──names── WithdrawalAuth, RefundClaim        └──> dispute: who wins, until when
//! ```
//!
//! This crate stands on floor 0: it knows no Internet Computer, socket, clock or randomness, and
//! builds without `std` for wasm and for microcontrollers. Canister, client and device share it, so
//! that all three mean the same bytes.
//!
//! Invariants:
//! - A value that exists is valid: constructors and decoders check bounds, shapes and sums.
//! - A [`SignedState`] exists only if every participant's signature on it was verified.
//! - Every value has exactly one encoding; decoding refuses any other ([`encoding`]).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(test)]
extern crate std;

mod account;
mod amount;
mod balances;
pub mod channel;
pub mod dispute;
pub mod encoding;
mod params;
pub mod payment;
mod principal;
mod refund;
pub mod remote;
pub mod signature;
mod signed_state;
mod state;
mod time;
pub mod view;
pub mod wire;
mod withdrawal;

pub use account::Account;
pub use amount::Amount;
pub use balances::{Balances, BalancesError};
pub use params::{
    App, AssetId, AssetIdx, ChannelId, ChannelKind, MAX_ASSETS, MAX_PARTICIPANTS, MIN_PARTICIPANTS,
    Nonce, Params, ParamsError, PartIdx, Participant,
};
pub use principal::{MAX_PRINCIPAL_LENGTH, Principal, PrincipalError};
pub use refund::{RefundClaim, SignedRefundClaim};
pub use signature::{PublicKey, SecretKey, Signature, Signer};
pub use signed_state::{SignedState, SignedStateError, UnverifiedSignedState};
pub use state::{
    Allocation, LockedKind, MAX_APP_DATA_LENGTH, MAX_LOCKED, State, StateError, SubAllocation,
    Version,
};
pub use time::{ChallengeDuration, Timestamp};
pub use withdrawal::{SignedWithdrawalAuth, WithdrawalAuth};
