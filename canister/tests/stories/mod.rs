//! What participants live through and what they are refused. Told in both worlds: by the rules alone, and by
//! the canister's wasm with real ledgers.

mod disputes;
mod lifecycle;
mod refused_claims;
mod refused_deposits;
mod refused_withdrawals;
