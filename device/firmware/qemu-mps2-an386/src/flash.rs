//! A flash in a file of the host: four sectors of 16 KiB, as one region of the STM32F439 has.
//!
//! Like a real one it can only be erased by the sector, and writing only clears bits. What a call has
//! written is in the file before the call returns, in chunks from front to back: whoever kills QEMU
//! has cut the power, and finds what a board would find.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read,
    check_write,
};
use semihosting::fs::File;
use semihosting::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

use crate::host;

const SECTORS: usize = 4;
const SECTOR_BYTES: usize = 16 * 1024;
const CAPACITY: usize = SECTORS * SECTOR_BYTES;
const ERASED: [u8; 64] = [0xff; 64];

/// The flash.
pub struct FileFlash(File);

/// Why the flash doesn't work.
#[derive(Debug)]
pub enum FlashError {
    /// The caller's mistake: bounds or alignment.
    Caller(NorFlashErrorKind),
    /// The host's refusal.
    Host(#[expect(dead_code, reason = "read by `Debug`")] io::Error),
}

impl From<NorFlashErrorKind> for FlashError {
    fn from(kind: NorFlashErrorKind) -> Self {
        Self::Caller(kind)
    }
}

impl From<io::Error> for FlashError {
    fn from(error: io::Error) -> Self {
        Self::Host(error)
    }
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Caller(kind) => *kind,
            Self::Host(_) => NorFlashErrorKind::Other,
        }
    }
}

impl FileFlash {
    /// Opens the file; what it doesn't hold yet is erased flash.
    pub fn open(path: &str) -> io::Result<Self> {
        let path = host::path(path);
        let mut options = File::options();
        let options = options.read(true).write(true);
        let file = options
            .open(&path)
            .or_else(|_| File::create(&path).and_then(|_| options.open(&path)))?;
        let length = file.metadata()?.len() as usize;
        let mut flash = Self(file);
        flash.fill(length, CAPACITY.saturating_sub(length))?;
        Ok(flash)
    }

    fn fill(&mut self, offset: usize, length: usize) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(offset as u64))?;
        let mut left = length;
        while left > 0 {
            let count = left.min(ERASED.len());
            self.0.write_all(&ERASED[..count])?;
            left -= count;
        }
        Ok(())
    }

    fn read_at(&mut self, offset: usize, bytes: &mut [u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(offset as u64))?;
        self.0.read_exact(bytes)
    }
}

impl ErrorType for FileFlash {
    type Error = FlashError;
}

impl ReadNorFlash for FileFlash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        check_read(self, offset, bytes.len())?;
        Ok(self.read_at(offset as usize, bytes)?)
    }

    fn capacity(&self) -> usize {
        CAPACITY
    }
}

impl NorFlash for FileFlash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR_BYTES;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        check_erase(self, from, to)?;
        Ok(self.fill(from as usize, (to - from) as usize)?)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        check_write(self, offset, bytes.len())?;
        let mut offset = offset as usize;
        for chunk in bytes.chunks(ERASED.len()) {
            let mut cells = [0; ERASED.len()];
            let cells = &mut cells[..chunk.len()];
            self.read_at(offset, cells)?;
            for (cell, byte) in cells.iter_mut().zip(chunk) {
                *cell &= byte;
            }
            self.0.seek(SeekFrom::Start(offset as u64))?;
            self.0.write_all(cells)?;
            offset += chunk.len();
        }
        Ok(())
    }
}
