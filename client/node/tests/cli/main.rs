//! The program `perun`, as a process, against a node that is made up; and what `perund` does without one.

mod fake;
mod fake_payment;
mod operator;
mod pages;
mod program;
mod safety;
#[path = "../../src/scratch.rs"]
mod scratch;
mod shell;
mod snapshots;
