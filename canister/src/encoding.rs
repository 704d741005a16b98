//! Requests, answers and calls as Candid.
//!
//! ```text
//! DIDL  types          values
//! \____ of T ________/ \____/
//!   `tables`: data      `writer`, `reader`
//!      │
//!      └─ a message that begins otherwise: `types`, `coercion` ──> values of T
//! ```
//!
//! To make and to understand the types costs far more than the values behind them, and they are always
//! the same. So they lie here as data, and a message that begins with them needs no look at them. Any
//! other is first made one of the expected types, within bounds.

mod bytes;
mod coercion;
mod reader;
mod tables;
mod types;
mod writer;

use candid::CandidType;
use serde::Deserialize;

use writer::Writer;
pub(crate) use writer::leb128;

/// What a message carries.
pub trait Message {
    /// What all messages of this type begin with.
    const TYPES: &'static [u8];
}

/// A message of one value.
pub fn encode<T: Message + CandidType>(value: T) -> Vec<u8> {
    // Most messages are that short.
    let mut message = Vec::with_capacity(T::TYPES.len() + 128);
    message.extend_from_slice(T::TYPES);
    let mut writer = Writer(message);
    let written = value.idl_serialize(&mut writer);
    written.expect("all messages are of types that can be written");
    writer.0
}

/// Decodes a message of one value. Otherwise says what is wrong with it.
pub fn decode<T>(message: &[u8], max_bytes: usize) -> Result<T, String>
where
    T: Message + for<'a> Deserialize<'a>,
{
    let length = message.len();
    if length > max_bytes {
        return Err(format!(
            "the message has {length} bytes, at most {max_bytes} are decoded"
        ));
    }
    if let Some(values) = message.strip_prefix(T::TYPES)
        && let Some(value) = reader::read(values)
    {
        return Ok(value);
    }
    // What is wrong with values of the expected types is told here, too.
    let coerced = coercion::coerce(message, T::TYPES)
        .map_err(|refused| format!("the message does not decode: {refused}"))?;
    reader::read(&coerced).ok_or_else(|| {
        "the message does not decode: a number or a blob has not the size that it must have".into()
    })
}
