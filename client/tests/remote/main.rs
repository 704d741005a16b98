//! Devices that cannot reach the Internet Computer, and services that watch and fund for them,
//! against the real adjudicator.
//!
//! A device here is a key, a link, and what it hears. Its peer is whoever signs with it: tests hold
//! both keys, so that old states, newer ones and final ones are at hand.

mod closing;
mod device;
mod disputes;
mod durability;
mod funding;
mod locks;
mod node;
mod refusals;
mod streams;
#[path = "../world/mod.rs"]
mod world;
