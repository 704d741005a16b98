//! The node's API, through generated clients over TLS, against the real canisters.

mod asking;
mod chain_errors;
mod crash;
mod errors;
mod events;
mod limits;
mod payments;
mod sessions;
mod subscribers;
mod tutorial;
mod world;
