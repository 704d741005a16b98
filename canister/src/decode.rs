//! Decoding what anybody may have sent, with bounds on its size and on the work of decoding it.

use candid::{CandidType, DecoderConfig, Deserialize};

use crate::answers::MAX_REQUEST_BYTES;

/// Decodes a request of at most `max` bytes; otherwise says why not.
pub fn decode_within<T>(bytes: &[u8], max: usize) -> Result<T, String>
where
    T: CandidType + for<'a> Deserialize<'a>,
{
    let length = bytes.len();
    if length > max {
        return Err(format!(
            "the request has {length} bytes, at most {max} are decoded"
        ));
    }
    // A short request needs no more work than its bytes do, but for what any request may need.
    let quota = length.max(MAX_REQUEST_BYTES);
    let mut config = DecoderConfig::new();
    config.set_decoding_quota(quota * 50);
    config.set_skipping_quota(quota);
    let decoded = candid::utils::decode_one_with_config(bytes, &config);
    decoded.map_err(|error| format!("the request does not decode: {error}"))
}
