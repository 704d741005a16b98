//! Client side of the adjudicator: deposit, dispute, conclude, withdraw, and see what is held.
//!
//! ```text
//!             Funder: by approval, or through the deposit account
//!            /      \
//!     Ledger          Adjudicator: deposit, dispute, conclude, withdraw, holdings, events
//!            \      /
//!            ic-agent: signs requests, verifies certificates
//!               |
//!      the Internet Computer, or whatever speaks its interface
//! ```
//!
//! Everything goes in and comes out as valid values of `perun-protocol`. What the canister answers
//! is checked once, here; what makes no sense is an error of its own ([`Nonsense`]) and never a
//! panic.
//!
//! A call whose answer is lost may have taken effect. Every call is therefore such that the same
//! call can be made again, and is made again, with the same arguments, for as long as the caller's
//! [`Patience`] lasts:
//!
//! | call | what makes it safe to repeat |
//! |---|---|
//! | [`Ledger::transfer`], [`Ledger::approve`] | `created_at_time` and memo: the ledger knows duplicates |
//! | [`Adjudicator::deposit_approved`] | the expected holding: it cannot be pulled twice |
//! | [`Adjudicator::sweep`] | an empty deposit account cannot be swept |
//! | [`Adjudicator::dispute`], [`Adjudicator::claim_refund`] | what is registered can be read |
//! | [`Adjudicator::conclude`], [`Adjudicator::conclude_final`] | concluding again changes nothing |
//! | [`Adjudicator::withdraw`] | a remainder is paid once; the event log shows it |
//!
//! [`chain`] puts these together for channels: what is seen, what is to be done until it is done,
//! what happens, and what time it is.
//!
//! Only `perun-protocol`'s rules decide about money; here nothing is decided, only carried.

#![forbid(unsafe_code)]

pub mod adjudicator;
pub mod agent;
mod answer;
mod call_error;
mod canister;
mod certified;
pub mod chain;
pub mod channel;
pub mod client;
mod driver;
mod event;
pub mod events;
mod funder;
pub mod identity;
pub mod key;
mod ledger;
pub mod link;
mod margins;
mod new_file;
mod patience;
mod refusal;
pub mod remote;
mod repeat;
pub mod store;
mod suitability;
mod suspension;
mod token;
mod transport;
pub mod watcher;

pub use adjudicator::Adjudicator;
pub use answer::{
    Conclusion, DepositAccount, DepositReceipt, Holdings, Registered, WithdrawReceipt,
};
pub use call_error::{CallError, Nonsense, WrongAnswer};
pub use certified::Unproven;
pub use event::{Claimed, Event, EventRecord, EventsPage};
pub use funder::{DepositOrder, Door, FundError, Funder, WaitError};
pub use ledger::{Allowance, Approval, Ledger, Transfer};
pub use margins::Margins;
pub use patience::Patience;
pub use refusal::{Advice, Refusal};
pub use suitability::{CheckError, Unsuitable};
pub use token::{ParseAmountError, Token};

pub use perun_canister_api::{
    ConcludeError, DepositAccountError, DepositError, DisputeError, EventsError, INTERFACE, Info,
    LedgerRefusal, ParamsError, Phase, QueryError, WithdrawError,
};
