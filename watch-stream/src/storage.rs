//! What must survive a power cut: two records, each replaced as a whole.

use heapless::Vec;
use zeroize::Zeroize as _;

use crate::error::StartError;

/// Bytes of the longest record.
pub const MAX_RECORD_LENGTH: usize = 1_024;

/// Which record.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Record {
    /// Up to which number and epoch signatures may have been made. Small, and written once for a block of
    /// numbers.
    Reservation,
    /// Keys, watchers or the author, what was acted on. Written when one of these changes.
    State,
}

/// Memory that survives power cuts. It keeps secret keys: whoever can read it is the author, or the
/// watcher.
pub trait Storage {
    /// Why it failed.
    type Error;

    /// Copies what was stored last into the beginning of `into`, which has [`MAX_RECORD_LENGTH`] bytes,
    /// and says how long it is; `None` if nothing ever was. A record that is damaged must be told by an
    /// error, never by an older one.
    fn load(&mut self, record: Record, into: &mut [u8]) -> Result<Option<usize>, Self::Error>;

    /// Replaces the record. Durable when this returns; after a power cut or an error in between, either the
    /// old one or the new one is there, whole. 1 to [`MAX_RECORD_LENGTH`] bytes.
    fn store(&mut self, record: Record, bytes: &[u8]) -> Result<(), Self::Error>;
}

impl<S: Storage + ?Sized> Storage for &mut S {
    type Error = S::Error;

    fn load(&mut self, record: Record, into: &mut [u8]) -> Result<Option<usize>, Self::Error> {
        (**self).load(record, into)
    }

    fn store(&mut self, record: Record, bytes: &[u8]) -> Result<(), Self::Error> {
        (**self).store(record, bytes)
    }
}

/// A record in memory, overwritten when it is dropped.
pub(crate) struct RecordBytes(pub(crate) Vec<u8, MAX_RECORD_LENGTH>);

impl RecordBytes {
    /// What `storage` holds of the state.
    pub(crate) fn load<S: Storage>(storage: &mut S) -> Result<Option<Self>, StartError<S::Error>> {
        let mut bytes = Self(Vec::new());
        bytes
            .0
            .resize(MAX_RECORD_LENGTH, 0)
            .expect("it is its capacity");
        let length = storage.load(Record::State, &mut bytes.0);
        let Some(length) = length.map_err(StartError::Storage)? else {
            return Ok(None);
        };
        bytes.0.truncate(length);
        Ok(Some(bytes))
    }
}

impl Drop for RecordBytes {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}
