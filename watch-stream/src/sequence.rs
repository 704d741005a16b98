//! The numbers that a key signs under. None is used twice, whatever is cut, restored or copied.
//!
//! ```text
//! in flash                reserved = 64
//! used  ■■■■■■■■■■■■■■■■■■■■□□□□□□□□□□□  next = 52
//!                         ^ start: the next number is 64, what lies between is left out
//! ```
//!
//! Invariant: every number below `reserved` may have been used, and none at or above it was; likewise no
//! epoch above `epoch` was. What is stored is ahead of what is used, always.

use crate::error::{SendError, StartError};
use crate::header::{Epoch, Number, array};
use crate::storage::{MAX_RECORD_LENGTH, Record, Storage};

/// How many numbers one write reserves, and a start leaves out at most.
pub const BLOCK: u64 = 32;
/// How far an import jumps: further than any device signs between an export and its import.
pub const IMPORT_JUMP: u64 = 1 << 32;
/// Likewise for epochs; leaves room for 65,535 imports.
pub const IMPORT_EPOCH_JUMP: u32 = 1 << 16;

const FORMAT: u8 = 1;
const LENGTH: usize = 13;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence {
    next: Number,
    reserved: Number,
    epoch: Epoch,
}

impl Sequence {
    /// The beginning: the first number is 1, since the announcement has 0.
    const FIRST: Self = Self {
        next: Number(1),
        reserved: Number(1),
        epoch: Epoch(0),
    };

    /// Makes `storage` hold `state`, of a key that has signed nothing, and its first sequence.
    pub(crate) fn begin<S: Storage>(storage: &mut S, state: &[u8]) -> Result<Self, S::Error> {
        let is_empty = matches!(Self::load(storage), Ok(None));
        Self::FIRST.replace(storage, state, is_empty)
    }

    /// Makes `storage` hold `state`, whose key may be that of the state that it holds: goes on behind that.
    pub(crate) fn go_on<S: Storage>(storage: &mut S, state: &[u8]) -> Result<Self, S::Error> {
        match Self::load(storage) {
            Ok(there) => there
                .unwrap_or(Self::FIRST)
                .replace(storage, state, there.is_none()),
            Err(_) => Self::FIRST.replace(storage, state, false),
        }
    }

    /// No order of the two writes may bring the keys that are there together with numbers that they have
    /// used: where there are some, they are replaced first. The numbers that were theirs do for the new
    /// ones, too, if the power is cut in between.
    fn replace<S: Storage>(
        self,
        storage: &mut S,
        state: &[u8],
        is_empty: bool,
    ) -> Result<Self, S::Error> {
        if is_empty {
            self.store(storage)?;
            storage.store(Record::State, state)?;
        } else {
            storage.store(Record::State, state)?;
            self.store(storage)?;
        }
        Ok(self)
    }

    /// Goes on behind all that may have been used; `None` if nothing was ever stored.
    pub(crate) fn load<S: Storage>(storage: &mut S) -> Result<Option<Self>, StartError<S::Error>> {
        let mut bytes = [0; MAX_RECORD_LENGTH];
        let length = storage.load(Record::Reservation, &mut bytes);
        match length.map_err(StartError::Storage)? {
            None => Ok(None),
            Some(LENGTH) => {
                let sequence = Self::decode(&array(&bytes, 0));
                sequence.map(Some).ok_or(StartError::Damaged)
            }
            Some(_) => Err(StartError::Damaged),
        }
    }

    /// Goes on far behind `self` and `other`, and makes that durable.
    pub(crate) fn jump<S: Storage>(
        self,
        other: Option<Self>,
        storage: &mut S,
    ) -> Result<Self, SendError<S::Error>> {
        let reserved = other.map_or(self.reserved, |it| it.reserved.max(self.reserved));
        let epoch = other.map_or(self.epoch, |it| it.epoch.max(self.epoch));
        let next = reserved.plus(IMPORT_JUMP).ok_or(SendError::Exhausted)?;
        let jumped = Self {
            next,
            reserved: next,
            epoch: epoch.plus(IMPORT_EPOCH_JUMP).ok_or(SendError::Exhausted)?,
        };
        jumped.store(storage).map_err(SendError::Storage)?;
        Ok(jumped)
    }

    /// The next number, for one signature.
    pub(crate) fn take<S: Storage>(
        &mut self,
        storage: &mut S,
    ) -> Result<Number, SendError<S::Error>> {
        self.take_in(self.epoch, storage)
    }

    /// The next epoch, and the number of its keyload.
    pub(crate) fn take_epoch<S: Storage>(
        &mut self,
        storage: &mut S,
    ) -> Result<(Epoch, Number), SendError<S::Error>> {
        let epoch = self.epoch.plus(1).ok_or(SendError::Exhausted)?;
        let number = self.take_in(epoch, storage)?;
        Ok((epoch, number))
    }

    /// What comes next.
    pub(crate) const fn next(&self) -> Number {
        self.next
    }

    /// The newest epoch.
    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The end of what may have been used, and the newest epoch: what an export tells.
    pub(crate) fn encode(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0] = FORMAT;
        bytes[1..5].copy_from_slice(&self.epoch.0.to_be_bytes());
        bytes[5..].copy_from_slice(&self.reserved.0.to_be_bytes());
        bytes
    }

    /// The sequence that was encoded.
    pub(crate) fn decode(bytes: &[u8; LENGTH]) -> Option<Self> {
        let reserved = Number(u64::from_be_bytes(array(bytes, 5)));
        (bytes[0] == FORMAT).then_some(Self {
            next: reserved,
            reserved,
            epoch: Epoch(u32::from_be_bytes(array(bytes, 1))),
        })
    }

    fn take_in<S: Storage>(
        &mut self,
        epoch: Epoch,
        storage: &mut S,
    ) -> Result<Number, SendError<S::Error>> {
        let number = self.next;
        let mut taken = Self {
            next: number.plus(1).ok_or(SendError::Exhausted)?,
            epoch,
            ..*self
        };
        if number >= self.reserved || epoch != self.epoch {
            let end = number.plus(BLOCK).ok_or(SendError::Exhausted)?;
            taken.reserved = end.max(self.reserved);
            taken.store(storage).map_err(SendError::Storage)?;
        }
        *self = taken;
        Ok(number)
    }

    fn store<S: Storage>(&self, storage: &mut S) -> Result<(), S::Error> {
        storage.store(Record::Reservation, &self.encode())
    }
}

/// Bytes of an encoded sequence.
pub(crate) const SEQUENCE_LENGTH: usize = LENGTH;
