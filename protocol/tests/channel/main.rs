//! The channel machine, told as stories: two of them, and everything that can come between.

mod closing;
mod deadlines;
mod disputes;
mod history;
mod looks;
mod opening;
mod out_of_place;
mod paying;
mod refusals;
mod restarts;
mod rollback;
mod turns;
mod world;
