//! The stories by the rules alone, in the small world.

#[allow(unused_mut, reason = "a query of the other world needs it")]
mod stories;
#[path = "rules/mod.rs"]
mod world;
