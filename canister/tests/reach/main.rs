//! What the rules answer by themselves, beside the life of a channel.

mod batches;
mod blocks;
mod events;
mod journal;
mod proofs;
#[path = "../rules/mod.rs"]
mod rules;
mod windows;
