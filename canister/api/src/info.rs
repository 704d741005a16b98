//! How an adjudicator is set up.

use candid::{CandidType, Principal};
use serde::Deserialize;

/// The version of the interface that is described here; it grows when a client must know.
pub const INTERFACE: u16 = 3;

/// The argument of the first installation.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct InitArgs {
    /// The ICRC ledgers that the adjudicator serves, at least one. A ledger holds other people's
    /// money and is trusted with it. It must have ICRC-1 and ICRC-2, recognise a repeated transfer
    /// by `created_at_time` and memo for a day, and make a transfer before it awaits anything, as
    /// the ledgers in use do.
    pub ledgers: Vec<Principal>,
    /// The shortest challenge duration that it accepts.
    pub min_challenge_duration_s: u32,
    /// The longest challenge duration that it accepts.
    pub max_challenge_duration_s: u32,
}

/// The optional argument of an upgrade: it only ever widens what is allowed, so that no upgrade
/// can strand a channel.
#[derive(CandidType, Clone, Debug, Default, Deserialize, Eq, PartialEq)]
pub struct UpgradeArgs {
    /// Ledgers to serve from now on, beside those served before.
    pub add_ledgers: Vec<Principal>,
    /// A shorter shortest challenge duration.
    pub min_challenge_duration_s: Option<u32>,
    /// A longer longest challenge duration.
    pub max_challenge_duration_s: Option<u32>,
}

/// Answers `info`.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Info {
    /// The version of the canister's code.
    pub version: String,
    /// The version of this interface; it grows when a client must know.
    pub interface: u16,
    /// The ledgers that are served.
    pub ledgers: Vec<LedgerInfo>,
    /// The shortest challenge duration that is accepted.
    pub min_challenge_duration_s: u32,
    /// The longest challenge duration that is accepted.
    pub max_challenge_duration_s: u32,
    /// While a dispute is open, the canister shows a sign of life this often; a silence of more
    /// than two such intervals is a gap, and moves the timeout by its length.
    pub tick_interval_s: u32,
    /// The most participants that a channel can have.
    pub max_participants: u8,
    /// The most assets that a channel can have.
    pub max_assets: u8,
    /// The longest request that is decoded, in bytes.
    pub max_request_bytes: u32,
    /// The longest page of events.
    pub max_events: u32,
    /// How many channels have received a deposit.
    pub channels: u64,
    /// How many events the log has.
    pub events: u64,
    /// How many ledger calls have an outcome that is not known yet.
    pub journal: u64,
    /// The canister's time.
    pub now_ns: u64,
    /// Further limits, and what its controllers promise.
    pub policy: Policy,
}

/// Limits, and what the controllers promise.
#[derive(CandidType, Clone, Debug, Default, Deserialize, Eq, PartialEq)]
pub struct Policy {
    /// The most claims that one `dispute_many` may carry.
    pub max_disputes: u32,
    /// The longest request of `dispute_many` that is decoded, in bytes, and 1024 bytes less than the longest
    /// to explain a call (ICRC-21); of all other methods it is `max_request_bytes`.
    pub max_batch_bytes: u32,
    /// The most ledgers that may be served.
    pub max_ledgers: u32,
    /// While so many ledger calls have an unknown outcome, no deposit is begun. Payouts are never
    /// held up.
    pub max_unknown_outcomes: u64,
    /// How long an event is kept at least; none is for ever.
    pub event_retention_s: Option<u32>,
    /// How long before an upgrade it is to be announced at least: the longest challenge and a week,
    /// so that everybody can leave before. The canister cannot hold its controllers to it; a
    /// time-lock can.
    pub exit_window_s: u64,
    /// Where it stands who controls the canister, how to verify its code, and how to leave.
    pub governance: String,
}

/// A ledger that is served.
#[derive(CandidType, Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct LedgerInfo {
    /// Its principal.
    pub ledger: Principal,
    /// Its fee as last seen; none until it has told.
    pub fee: Option<u128>,
}
