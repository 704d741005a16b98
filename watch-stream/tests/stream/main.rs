//! Streams from the outside: stories, attacks, power cuts.

#[path = "../world/mod.rs"]
mod world;

mod attacks;
mod export;
mod forks;
mod golden;
mod order;
mod power;
mod story;
