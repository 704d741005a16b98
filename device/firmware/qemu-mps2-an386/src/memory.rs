//! The heap, and with the feature `figures` how much of it and of the stack was ever used.

use core::mem::MaybeUninit;

const HEAP_BYTES: usize = 32 * 1024;

#[cfg(not(feature = "figures"))]
#[global_allocator]
static HEAP: embedded_alloc::LlffHeap = embedded_alloc::LlffHeap::empty();

#[cfg(feature = "figures")]
#[global_allocator]
static HEAP: figures::Counting = figures::Counting::empty();

#[cfg(feature = "figures")]
pub use figures::report;

/// Gives the allocator its memory.
pub fn start() {
    static mut MEMORY: MaybeUninit<[u8; HEAP_BYTES]> = MaybeUninit::uninit();
    // SAFETY: `main` calls this once, and nobody else knows the memory.
    unsafe { HEAP.init(&raw mut MEMORY as usize, HEAP_BYTES) }
}

#[cfg(feature = "figures")]
mod figures {
    use core::alloc::{GlobalAlloc, Layout};
    use core::sync::atomic::{AtomicUsize, Ordering};

    use embedded_alloc::LlffHeap;

    use super::{HEAP, HEAP_BYTES};
    use crate::time;

    /// What `cortex-m-rt` paints the stack with before anything runs.
    const PAINT: u32 = 0xcccc_cccc;

    /// An allocator that remembers the most that was in use, what it needs for itself included.
    pub struct Counting {
        heap: LlffHeap,
        peak: AtomicUsize,
        allocations: AtomicUsize,
    }

    impl Counting {
        pub const fn empty() -> Self {
            Self {
                heap: LlffHeap::empty(),
                peak: AtomicUsize::new(0),
                allocations: AtomicUsize::new(0),
            }
        }

        /// # Safety
        ///
        /// As for [`LlffHeap::init`].
        pub unsafe fn init(&self, begin: usize, length: usize) {
            // SAFETY: the caller's.
            unsafe { self.heap.init(begin, length) }
        }
    }

    // SAFETY: the allocator inside does the work.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's.
            let memory = unsafe { self.heap.alloc(layout) };
            self.peak.fetch_max(self.heap.used(), Ordering::Relaxed);
            self.allocations.fetch_add(1, Ordering::Relaxed);
            memory
        }

        unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
            // SAFETY: the caller's.
            unsafe { self.heap.dealloc(memory, layout) }
        }
    }

    /// Logs what was used since the start.
    pub fn report() {
        log::info!(
            "figures: stack {} B at most; heap {} B now, {} B at most of {} B, {} allocations; {} ns awake",
            stack_bytes(),
            HEAP.heap.used(),
            HEAP.peak.load(Ordering::Relaxed),
            HEAP_BYTES,
            HEAP.allocations.load(Ordering::Relaxed),
            time::awake_ns(),
        );
    }

    /// How deep the stack has ever been: below, the paint is untouched.
    fn stack_bytes() -> usize {
        unsafe extern "C" {
            static _stack_start: u32;
            static _stack_end: u32;
        }
        let (top, mut lowest) = (&raw const _stack_start, &raw const _stack_end);
        // SAFETY: everything between the two symbols is the stack, words that nobody writes while
        // this reads below the current frame.
        unsafe {
            while lowest < top && lowest.read_volatile() == PAINT {
                lowest = lowest.add(1);
            }
        }
        top as usize - lowest as usize
    }
}
