//! Requests, answers and calls as Candid.
//!
//! ```text
//! DIDL  table of types  values
//! \_______ of T ______/ \____/
//!  made once, compared   encoded and decoded each time
//! ```
//!
//! The table costs far more than the values behind it, to make and to understand. That of a type is
//! always the same: it is made once and kept on the heap, and a message that begins with it needs no
//! look at the types (`values`). Any other message is decoded as Candid has it.

mod values;

use std::any::TypeId;
use std::cell::RefCell;
use std::collections::BTreeMap;

use candid::ser::ValueSerializer;
use candid::{CandidType, DecoderConfig, Deserialize};

/// Messages up to this length may cost the same work.
const LEAST_QUOTA_BYTES: usize = 16 * 1024;

thread_local! {
    static TABLES: RefCell<BTreeMap<TypeId, Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
}

/// A message of one value.
pub fn encode<T: CandidType + 'static>(value: T) -> Vec<u8> {
    message(&value)
}

fn message<T: CandidType + 'static>(value: &T) -> Vec<u8> {
    const ENCODES: &str = "a vector takes every byte";
    let mut values = ValueSerializer::new();
    value.idl_serialize(&mut values).expect(ENCODES);
    let values = values.get_result();
    TABLES.with_borrow_mut(|tables| {
        let table = tables.entry(TypeId::of::<T>()).or_insert_with(|| {
            let mut message = candid::encode_one(value).expect(ENCODES);
            message.truncate(message.len() - values.len());
            message
        });
        [table, values].concat()
    })
}

/// Decodes a message of one value with bounds on its size and on the work of decoding it.
pub fn decode<T>(bytes: &[u8], max_bytes: usize) -> Result<T, String>
where
    T: CandidType + for<'a> Deserialize<'a> + 'static,
{
    let length = bytes.len();
    if length > max_bytes {
        return Err(format!(
            "the message has {length} bytes, at most {max_bytes} are decoded"
        ));
    }
    let known = TABLES.with_borrow(|tables| {
        let table = tables.get(&TypeId::of::<T>())?;
        values::decode(bytes.strip_prefix(table.as_slice())?)
    });
    if let Some(value) = known {
        return Ok(value);
    }
    // A short message needs no more work than its bytes do, but for what any message may need.
    let quota = length.max(LEAST_QUOTA_BYTES.min(max_bytes));
    let mut config = DecoderConfig::new();
    config.set_decoding_quota(quota * 50);
    config.set_skipping_quota(quota);
    let value = candid::utils::decode_one_with_config(bytes, &config);
    let value = value.map_err(|error| format!("the message does not decode: {error}"))?;
    // The next one will probably begin with the same table.
    message(&value);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_what_candid_makes() {
        for value in [Ok(1u128), Err("no".to_owned()), Ok(u128::MAX), Ok(1)] {
            let expected = candid::encode_one(&value).expect("it encodes");
            assert_eq!(encode(value), expected);
        }
        assert_eq!(encode("no"), candid::encode_one("no").expect("it encodes"));
    }
}
