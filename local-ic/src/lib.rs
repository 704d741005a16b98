//! To be written.

mod auth;
mod certificate;
mod state_tree;
