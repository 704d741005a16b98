//! The program `perun`, as a process, against a node that is made up.

mod fake;
mod fake_payment;
mod pages;
mod program;
mod safety;
mod shell;
mod snapshots;
