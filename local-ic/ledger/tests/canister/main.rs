//! The ledger's real wasm on the embedded Internet Computer, spoken to with the types that its
//! clients use: `icrc-ledger-types` and `ic-ledger-types`.

mod classic;
mod icrc;
mod icrc3;
mod upgrade;
mod world;
