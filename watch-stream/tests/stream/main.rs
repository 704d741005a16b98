//! Streams from the outside: stories, attacks, power cuts.

#[path = "../world/mod.rs"]
mod world;

mod golden;
mod story;
