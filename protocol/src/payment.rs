//! Payments: how many travel in one update, and how a history of them is proved.
//!
//! ```text
//!  pay, pay, pay …  ──> Batch ──travels, is stored and hashed as the same bytes──> Batch
//!                         │
//!   app data of state n ──┴── running hash ──> app data of state n + 1
//! ```
//!
//! An update carries a [`Batch`]: any number of payments by its proposer, folded into one new state,
//! so that one pair of signatures carries them all. With [`App::Id`]`(`[`APP`]`)` the state's app
//! data is a [`Tally`]: how many payments there were, and a running hash over all of them and the
//! opening balances. Whoever holds a signed state can then check any history against it
//! ([`History`]). Without the app, states bind only what each participant has in the end.
//!
//! A record is as short as a payment can be told, and every payment has one form:
//!
//! ```text
//! header 1 B     bits 0-3  bytes of the amount, less one
//!                bit  4    a memo follows
//!                bits 5-7  position of the asset
//! amount 1-16 B  big-endian, the first byte not 0
//! memo   32 B    if there is one
//! ```

mod batch;
mod history;
mod tally;

pub use self::batch::{Batch, BatchError, BatchFull, Payment, Payments};
pub use self::history::{Entry, History, HistoryError};
pub use self::tally::{APP, Tally, TallyError};

use crate::App;

/// The app of channels whose states prove their payments.
pub const PAYMENT_APP: App = App::Id(APP);
