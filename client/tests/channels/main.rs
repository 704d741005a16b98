//! Clients over TCP, against the real adjudicator: the roles of go-perun's tests, and more.

#[path = "../world/mod.rs"]
mod world;

mod disputes;
mod mallory;
mod paying;
mod persistence;
mod proposals;
mod recovery;
mod rogue;
