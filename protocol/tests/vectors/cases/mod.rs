//! What the files hold, made anew: inputs that follow from small numbers, and the error that is
//! expected of each bad case, written down rather than observed.

mod accounts;
mod claims;
mod params;
mod signatures;
mod signed_states;
mod states;

use perun_protocol::encoding::DecodeError;
use serde_json::{Value, json};

use crate::form::decode_error_to_json;
use crate::world::hex;

/// One file.
pub struct File {
    /// Its name without `.json`.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Cases that must succeed.
    pub good: Vec<Value>,
    /// Cases that must be refused with the error they name.
    pub bad: Vec<Value>,
}

/// All files.
pub fn files() -> Vec<File> {
    vec![
        accounts::file(),
        claims::refunds(),
        claims::withdrawals(),
        params::file(),
        signatures::digests(),
        signatures::file(),
        signed_states::file(),
        states::file(),
    ]
}

impl File {
    /// The file as it is written.
    pub fn to_json(&self) -> Value {
        json!({ "about": self.about, "good": self.good, "bad": self.bad })
    }
}

/// Bytes that must not decode.
fn undecodable(name: &str, bytes: &[u8], error: DecodeError) -> Value {
    json!({
        "name": name,
        "stage": "decode",
        "bytes": hex(bytes),
        "error": decode_error_to_json(&error),
    })
}

/// `bytes` with other ones from `offset` on.
fn with(bytes: &[u8], offset: usize, other: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[offset..offset + other.len()].copy_from_slice(other);
    changed
}

/// `bytes` with `count` of them from `offset` on replaced by any number of others.
fn splice(bytes: &[u8], offset: usize, count: usize, other: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed.splice(offset..offset + count, other.iter().copied());
    changed
}

/// A part, asset or sub-allocation tag that means nothing.
fn unknown(of: &'static str, tag: u8) -> DecodeError {
    DecodeError::UnknownTag { of, tag }
}

fn out_of_bounds(of: &'static str, length: usize, min: usize, max: usize) -> DecodeError {
    DecodeError::OutOfBounds {
        of,
        length,
        min,
        max,
    }
}
