//! The device's half of a payment channel: what runs where there is no operating system.
//!
//! - [`store`]: records in flash that survive every power cut.
//!
//! This crate needs an allocator and nothing else. It stands on `perun_protocol` and knows no board:
//! flash comes in through the traits of `embedded_storage`.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod store;
