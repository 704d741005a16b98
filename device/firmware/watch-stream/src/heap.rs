//! None. `perun-protocol` knows a heap, so that there has to be an allocator; it has nothing to give.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;

struct Nothing;

// SAFETY: no memory is ever given out.
unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static HEAP: Nothing = Nothing;
