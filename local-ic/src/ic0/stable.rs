//! Stable memory, through the 64-bit functions and the older 32-bit ones.

use super::{Sys, Trap, range};

/// Both growth functions say "no" by all ones.
const NOT_GROWN: u64 = u64::MAX;

/// The most pages the 32-bit functions can speak about: 4 GiB.
const MAX_PAGES_32: u64 = 65_536;

impl Sys<'_> {
    pub(super) fn stable64_size(&mut self) -> Result<u64, Trap> {
        Ok(self.host.stable.size_pages())
    }

    pub(super) fn stable64_grow(&mut self, pages: u64) -> Result<u64, Trap> {
        Ok(self.host.stable.grow(pages).unwrap_or(NOT_GROWN))
    }

    pub(super) fn stable64_read(&mut self, dst: u64, offset: u64, size: u64) -> Result<(), Trap> {
        let target = range(self.heap.len(), dst, size)
            .ok_or_else(|| Trap::outside("the destination of stable_read"))?;
        self.moved += size;
        self.host
            .stable
            .read(offset, &mut self.heap[target])
            .ok_or_else(|| Trap::Wasm("stable memory out of bounds".into()))
    }

    pub(super) fn stable64_write(&mut self, offset: u64, src: u64, size: u64) -> Result<(), Trap> {
        let source = range(self.heap.len(), src, size)
            .ok_or_else(|| Trap::outside("the source of stable_write"))?;
        self.moved += size;
        self.host
            .stable
            .write(offset, &self.heap[source])
            .ok_or_else(|| Trap::Wasm("stable memory out of bounds".into()))
    }

    pub(super) fn stable_size(&mut self) -> Result<u32, Trap> {
        self.check_32()?;
        Ok(self.host.stable.size_pages() as u32)
    }

    pub(super) fn stable_grow(&mut self, pages: u32) -> Result<u32, Trap> {
        self.check_32()?;
        if self.host.stable.size_pages() + u64::from(pages) > MAX_PAGES_32 {
            return Ok(NOT_GROWN as u32);
        }
        Ok(self.stable64_grow(pages.into())? as u32)
    }

    pub(super) fn stable_read(&mut self, dst: u32, offset: u32, size: u32) -> Result<(), Trap> {
        self.check_32()?;
        self.stable64_read(dst.into(), offset.into(), size.into())
    }

    pub(super) fn stable_write(&mut self, offset: u32, src: u32, size: u32) -> Result<(), Trap> {
        self.check_32()?;
        self.stable64_write(offset.into(), src.into(), size.into())
    }

    fn check_32(&self) -> Result<(), Trap> {
        if self.host.stable.size_pages() > MAX_PAGES_32 {
            return Err(Trap::contract(
                "32-bit stable memory function with a memory larger than 4 GiB",
            ));
        }
        Ok(())
    }
}
