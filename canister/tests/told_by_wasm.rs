//! The same stories by the canister's wasm, with the wasm of real ledgers.

mod stories;
mod world;
