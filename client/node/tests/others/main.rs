//! What the node does for other programs' channels, and what it tells its operator.

#[path = "../api/world.rs"]
#[allow(dead_code)]
mod world;

mod channel;
mod figures;
mod late;
mod operating;
mod streams;
mod watching;
