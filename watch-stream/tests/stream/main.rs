//! Streams from the outside: stories, attacks, power cuts.

#[path = "../world/mod.rs"]
mod world;

mod acks;
mod attacks;
mod export;
mod flash;
mod forks;
mod garbage;
mod golden;
mod order;
mod policy;
mod power;
mod replacing;
mod story;
mod stranger;
mod transports;
