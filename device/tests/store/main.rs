//! The flash store, against a flash in which the power fails at every word.

mod cuts;
mod damage;
mod history;
mod limits;
mod nor;
mod wear;
