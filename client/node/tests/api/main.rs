//! The node's API, through generated clients over TLS, against the real canisters.

mod crash;
mod errors;
mod payments;
mod sessions;
mod subscribers;
mod tutorial;
mod world;
