//! The channel machine, told as stories: two of them, and everything that can come between.

mod closing;
mod disputes;

mod opening;
mod paying;

mod turns;
mod world;
