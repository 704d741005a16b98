//! Moving an author or a watcher to another device: all that it keeps, encrypted.
//!
//! ```text
//! 1 format ‖ nonce 24 ‖ ciphertext ‖ tag 16      masked like a payload (src/cipher.rs)
//! plaintext = sequence 13 ‖ record of the state
//! ```
//!
//! The key is the owner's: 32 random bytes on a device; on a host what Argon2id makes of a password and a
//! salt. An export is a copy, and any copy may be older than what its original has signed since. So an
//! import never goes on where the export was made: it leaves [`IMPORT_JUMP`](crate::IMPORT_JUMP) numbers out,
//! and opens a new epoch with fresh keys. Two imports of one export still are two authors with the same
//! numbers; they mask with different keys, and watchers who see both have evidence of it
//! ([`Fork`](crate::Fork)).

use heapless::Vec;

use crate::cipher::{MASKED_OVERHEAD, NONCE_LENGTH, TAG_LENGTH, expand, mask, unmask};
use crate::error::{SendError, StartError};
use crate::header::array;
use crate::keyload::push;
use crate::labels;
use crate::sequence::{SEQUENCE_LENGTH, Sequence};
use crate::storage::{MAX_RECORD_LENGTH, Record, RecordBytes, Storage};

/// Bytes of the longest export.
pub const MAX_EXPORT_LENGTH: usize =
    FORMAT.len() + MASKED_OVERHEAD + SEQUENCE_LENGTH + MAX_RECORD_LENGTH;

/// An export.
pub type Export = Vec<u8, MAX_EXPORT_LENGTH>;

const FORMAT: [u8; 1] = [1];

/// Seals what is kept.
pub(crate) fn seal(key: &[u8; 32], sequence: &Sequence, record: &RecordBytes) -> Export {
    let mut out = Export::new();
    push(&mut out, &FORMAT);
    push(&mut out, &[0; NONCE_LENGTH]);
    push(&mut out, &sequence.encode());
    push(&mut out, &record.0);
    push(&mut out, &[0; TAG_LENGTH]);
    let key = expand(key, labels::EXPORT, &[]);
    let (format, masked) = out.split_at_mut(FORMAT.len());
    mask(&key, format, masked);
    out
}

/// Opens an export and makes `storage` hold it, once `check` has found its record good; numbers and epochs
/// jump over all that the export and `storage` have seen.
pub(crate) fn take_up<S: Storage>(
    storage: &mut S,
    key: &[u8; 32],
    export: &[u8],
    check: impl FnOnce(&[u8]) -> bool,
) -> Result<(), StartError<S::Error>> {
    let masked = export.strip_prefix(&FORMAT);
    let masked = masked.ok_or(StartError::WrongExport)?;
    let mut text = zeroize::Zeroizing::new([0; SEQUENCE_LENGTH + MAX_RECORD_LENGTH]);
    let key = expand(key, labels::EXPORT, &[]);
    let length = unmask(&key, &FORMAT, masked, &mut *text);
    let text = length.and_then(|length| text.get(..length));
    let parts = text.and_then(|text| text.split_at_checked(SEQUENCE_LENGTH));
    let (sequence, record) = parts.ok_or(StartError::WrongExport)?;
    let sequence = Sequence::decode(&array(sequence, 0)).filter(|_| check(record));
    let sequence = sequence.ok_or(StartError::WrongExport)?;
    let there = Sequence::load(storage)?;
    sequence.jump(there, storage).map_err(|error| match error {
        SendError::Storage(error) => StartError::Storage(error),
        _ => StartError::Exhausted,
    })?;
    storage
        .store(Record::State, record)
        .map_err(StartError::Storage)
}
