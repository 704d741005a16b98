//! The channel machine, told as stories: two of them, and everything that can come between.

mod closing;
mod deadlines;
mod disputes;
mod history;
mod opening;
mod paying;
mod restarts;
mod rollback;
mod turns;
mod world;
