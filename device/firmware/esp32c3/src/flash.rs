//! The device's part of the flash: the partition `perun` of `partitions.csv`.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, ReadNorFlash, check_erase, check_read, check_write,
};
use esp_hal::peripherals::FLASH;
use esp_storage::{FlashStorage, FlashStorageError};

/// As in `partitions.csv`.
const BEGIN: u32 = 0x21_0000;
const CAPACITY: usize = 0x1_0000;

/// The partition. Nothing outside of it can be reached.
pub struct Partition(FlashStorage<'static>);

impl Partition {
    /// In the chip's flash.
    pub fn new(flash: FLASH<'static>) -> Self {
        Self(FlashStorage::new(flash))
    }
}

impl ErrorType for Partition {
    type Error = FlashStorageError;
}

/// What the checks find wrong, in the words of the flash's driver.
fn refused<E>(_: E) -> FlashStorageError {
    FlashStorageError::OutOfBounds
}

impl ReadNorFlash for Partition {
    const READ_SIZE: usize = FlashStorage::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashStorageError> {
        check_read(self, offset, bytes.len()).map_err(refused)?;
        self.0.read_nor(BEGIN + offset, bytes)
    }

    fn capacity(&self) -> usize {
        CAPACITY
    }
}

impl NorFlash for Partition {
    const WRITE_SIZE: usize = FlashStorage::WRITE_SIZE;
    /// Four of the chip's: what a device must not forget wants larger ones.
    const ERASE_SIZE: usize = 4 * FlashStorage::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashStorageError> {
        check_erase(self, from, to).map_err(refused)?;
        self.0.erase(BEGIN + from, BEGIN + to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashStorageError> {
        check_write(self, offset, bytes.len()).map_err(refused)?;
        self.0.write_nor(BEGIN + offset, bytes)
    }
}
