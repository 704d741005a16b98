//! The Candid interface of the adjudicator: every request, answer and error, as they travel.
//!
//! These are plain types that anybody may fill with anything; the canister and the client convert
//! them to the valid types of `perun-protocol` once, at their edge ([`convert`]). Values that are
//! signed or hashed travel as blobs in their one canonical encoding
//! (`perun_protocol::encoding`), never as records that somebody would have to encode again.
//!
//! Times are nanoseconds since 1970 on the canister's clock (`…_ns`), lengths of time seconds
//! (`…_s`), amounts the ledger's smallest unit. Amounts beyond 128 bits do not decode.

#![forbid(unsafe_code)]

mod block;
mod conclude;
pub mod convert;
mod deposit;
mod dispute;
mod event;
mod info;
mod ledger;
mod query;
mod runway;
mod withdraw;

pub use block::{BLOCK_TYPES, BlockHash, block, block_hash};
pub use conclude::{ConcludeError, ConcludeRequest, Conclusion};
pub use deposit::{
    DepositAccount, DepositAccountError, DepositAccountRequest, DepositError, DepositReceipt,
    DepositRequest, DepositSource, ParamsError,
};
pub use dispute::{
    Claim, DisputeError, DisputeManyError, DisputeRequest, DisputeResult, Rank, Registered,
};
pub use event::{Event, EventRecord, EventsError, EventsPage, EventsRequest};
pub use info::{INTERFACE, Info, InitArgs, LedgerInfo, Policy, UpgradeArgs};
pub use ledger::{Asset, LedgerRefusal};
pub use query::{ChannelRequest, Holdings, HoldingsAnswer, Phase, QueryError, StateAnswer};
pub use runway::{Runway, RunwayError};
pub use withdraw::{WithdrawError, WithdrawReceipt, WithdrawRequest};

pub use icrc_ledger_types::icrc1::account::Account;
