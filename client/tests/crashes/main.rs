//! Crashes: at every boundary between two outputs, one after the other, and of real processes at
//! any moment.

#[path = "../world/mod.rs"]
mod world;

mod boundaries;
mod fragile;
mod kills;
