//! The keys of tables, which all have one length.

use perun_protocol::{ChannelId, Timestamp};

/// A time and a channel's id is the longest key.
const KEY_BYTES: usize = 40;

/// What a key is made of stands in front, zeros fill it up.
pub(super) type Key = [u8; KEY_BYTES];

/// Makes a key. Of one table, all keys are made of parts of the same lengths, so different parts make
/// different keys, and these are in the order of the parts.
pub(super) fn key<const N: usize>(parts: [&[u8]; N]) -> Key {
    let mut key = [0; KEY_BYTES];
    let mut rest = key.as_mut_slice();
    for part in parts {
        let (place, behind) = rest.split_at_mut(part.len());
        place.copy_from_slice(part);
        rest = behind;
    }
    key
}

/// The beginning of a key.
pub(super) fn part<const N: usize>(key: &[u8]) -> [u8; N] {
    let (part, _) = key.split_first_chunk().expect("a key is longer");
    *part
}

/// The lowest key.
pub(super) const ZERO: Key = [0; size_of::<Key>()];
/// A time stands in front of an id.
pub(super) const TIME_BYTES: usize = 8;

pub(super) fn timed(at: Timestamp, id: ChannelId) -> Key {
    key([&at.nanos().to_be_bytes(), id.as_bytes()])
}

pub(super) fn time_of(key: &Key) -> Timestamp {
    Timestamp::from_nanos(u64::from_be_bytes(part(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_their_parts() {
        let of = |number: u64, id: [u8; 32]| key([&number.to_be_bytes(), &id]);
        let keys = [
            of(1, [9; 32]),
            of(2, [0; 32]),
            of(2, [1; 32]),
            of(256, [0; 32]),
        ];
        assert!(keys.is_sorted());
        assert_eq!(part(&keys[3]), 256_u64.to_be_bytes());
        assert_eq!(part::<32>(&keys[2][8..]), [1; 32]);
        assert_eq!(key([&[7]])[..3], [7, 0, 0]);
    }
}
