//! The heap.

use core::mem::MaybeUninit;

use embedded_alloc::LlffHeap;

const HEAP_BYTES: usize = 32 * 1024;

#[global_allocator]
static HEAP: LlffHeap = LlffHeap::empty();

/// Gives the allocator its memory.
pub fn start() {
    static mut MEMORY: MaybeUninit<[u8; HEAP_BYTES]> = MaybeUninit::uninit();
    // SAFETY: `main` calls this once, and nobody else knows the memory.
    unsafe { HEAP.init(&raw mut MEMORY as usize, HEAP_BYTES) }
}
