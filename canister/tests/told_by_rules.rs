//! The stories by the rules alone, in the small world.

#[allow(unused_mut, reason = "in the other world a question takes its turn")]
mod stories;
#[path = "rules/mod.rs"]
mod world;
