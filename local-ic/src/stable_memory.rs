//! Stable memory: sparse, and undone page by page.
//!
//! ```text
//! directory: [chunk 0] [   -   ] [chunk 2] ...      2 MiB each, present once written to
//!                |
//!              page 0, page 1, ... page 511          4 KiB each, present once written to
//! ```
//!
//! A message opens a transaction; the first write to a page in it saves that page. So both commit
//! and rollback cost as much as the message touched, however large the memory is.
//!
//! Invariant: a page that is absent reads as zeros, and no page beyond `size_pages` is present.

/// One WebAssembly page in bytes, the unit in which stable memory grows.
pub(crate) const WASM_PAGE: u64 = 65_536;

/// The most a canister may have, in WebAssembly pages: 500 GiB as on the Internet Computer.
pub(crate) const MAX_PAGES: u64 = 500 * 1024 * 1024 * 1024 / WASM_PAGE;

const PAGE: usize = 4_096;
const PAGES_PER_CHUNK: usize = 512;

#[derive(Clone)]
struct Page {
    /// The transaction that saved (or created) this page last.
    saved_in: u64,
    bytes: [u8; PAGE],
}

type Chunk = [Option<Box<Page>>; PAGES_PER_CHUNK];

struct Undo {
    size_pages: u64,
    /// The pages as they were, by number; `None` where there was none.
    pages: Vec<(u64, Option<Box<Page>>)>,
}

/// The stable memory of one canister.
#[derive(Default)]
pub(crate) struct StableMemory {
    size_pages: u64,
    directory: Vec<Option<Box<Chunk>>>,
    transaction: u64,
    undo: Option<Undo>,
}

/// What a transaction changed, kept apart from the memory it belongs to.
pub(crate) struct StableChanges {
    size_pages: u64,
    pages: Vec<(u64, Box<Page>)>,
}

impl StableMemory {
    /// A memory that holds `image`, padded with zeros to whole WebAssembly pages.
    pub(crate) fn from_image(image: &[u8]) -> Self {
        let mut memory = Self {
            size_pages: (image.len() as u64).div_ceil(WASM_PAGE),
            ..Self::default()
        };
        memory.write_unchecked(0, image);
        memory
    }

    /// The whole content; `size_pages` × 64 KiB.
    pub(crate) fn to_image(&self) -> Vec<u8> {
        let mut image = vec![0; (self.size_pages * WASM_PAGE) as usize];
        self.read_unchecked(0, &mut image);
        image
    }

    /// The size in WebAssembly pages.
    pub(crate) fn size_pages(&self) -> u64 {
        self.size_pages
    }

    /// Adds zeroed pages and tells the old size; `None` when that would exceed the limit.
    pub(crate) fn grow(&mut self, additional_pages: u64) -> Option<u64> {
        let new = self.size_pages.checked_add(additional_pages)?;
        if new > MAX_PAGES {
            return None;
        }
        Some(std::mem::replace(&mut self.size_pages, new))
    }

    /// Copies out of the memory; `None` when the range is not inside it.
    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) -> Option<()> {
        self.check_range(offset, out.len() as u64)?;
        self.read_unchecked(offset, out);
        Some(())
    }

    /// Copies into the memory; `None`, with nothing written, when the range is not inside it.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) -> Option<()> {
        self.check_range(offset, bytes.len() as u64)?;
        self.write_unchecked(offset, bytes);
        Some(())
    }

    /// Starts remembering what the memory looked like. Does nothing if that has begun already.
    pub(crate) fn begin(&mut self) {
        if self.undo.is_none() {
            self.transaction += 1;
            self.undo = Some(Undo {
                size_pages: self.size_pages,
                pages: Vec::new(),
            });
        }
    }

    /// Keeps all changes since `begin`.
    pub(crate) fn commit(&mut self) {
        self.undo = None;
    }

    /// Takes all changes since `begin` back.
    pub(crate) fn rollback(&mut self) {
        if let Some(undo) = self.undo.take() {
            self.size_pages = undo.size_pages;
            for (number, page) in undo.pages {
                *self.slot(number) = page;
            }
        }
    }

    /// Rolls back and hands out what was taken back, for a later [`Self::attach`].
    pub(crate) fn detach(&mut self) -> StableChanges {
        let size_pages = self.size_pages;
        let mut pages = Vec::new();
        if let Some(undo) = self.undo.take() {
            self.size_pages = undo.size_pages;
            for (number, old) in undo.pages {
                if let Some(new) = std::mem::replace(self.slot(number), old) {
                    pages.push((number, new));
                }
            }
        }
        StableChanges { size_pages, pages }
    }

    /// Opens a transaction in which `changes` have been made.
    pub(crate) fn attach(&mut self, changes: &StableChanges) {
        self.begin();
        self.size_pages = changes.size_pages;
        for (number, page) in &changes.pages {
            self.write_unchecked(number * PAGE as u64, &page.bytes);
        }
    }

    fn check_range(&self, offset: u64, len: u64) -> Option<()> {
        let end = offset.checked_add(len)?;
        (end <= self.size_pages * WASM_PAGE).then_some(())
    }

    fn page(&self, number: u64) -> Option<&Page> {
        let (chunk, index) = place(number);
        self.directory.get(chunk)?.as_ref()?[index].as_deref()
    }

    fn slot(&mut self, number: u64) -> &mut Option<Box<Page>> {
        let (chunk, index) = place(number);
        if self.directory.len() <= chunk {
            self.directory.resize_with(chunk + 1, || None);
        }
        &mut self.directory[chunk]
            .get_or_insert_with(|| Box::new([const { None }; PAGES_PER_CHUNK]))[index]
    }

    fn read_unchecked(&self, offset: u64, out: &mut [u8]) {
        let mut position = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let start = (position % PAGE as u64) as usize;
            let len = rest.len().min(PAGE - start);
            let (part, tail) = rest.split_at_mut(len);
            match self.page(position / PAGE as u64) {
                Some(page) => part.copy_from_slice(&page.bytes[start..start + len]),
                None => part.fill(0),
            }
            rest = tail;
            position += len as u64;
        }
    }

    fn write_unchecked(&mut self, offset: u64, bytes: &[u8]) {
        let mut position = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let start = (position % PAGE as u64) as usize;
            let len = rest.len().min(PAGE - start);
            let (part, tail) = rest.split_at(len);
            self.page_for_writing(position / PAGE as u64)[start..start + len].copy_from_slice(part);
            rest = tail;
            position += len as u64;
        }
    }

    fn page_for_writing(&mut self, number: u64) -> &mut [u8; PAGE] {
        let transaction = self.transaction;
        let open = self.undo.is_some();
        let slot = self.slot(number);
        let saved = match slot {
            Some(page) if !open || page.saved_in == transaction => None,
            Some(page) => {
                let copy = page.clone();
                page.saved_in = transaction;
                Some(Some(copy))
            }
            None => Some(None),
        };
        if let (Some(saved), Some(undo)) = (saved, self.undo.as_mut()) {
            undo.pages.push((number, saved));
        }
        &mut self
            .slot(number)
            .get_or_insert_with(|| {
                Box::new(Page {
                    saved_in: transaction,
                    bytes: [0; PAGE],
                })
            })
            .bytes
    }
}

fn place(number: u64) -> (usize, usize) {
    let per_chunk = PAGES_PER_CHUNK as u64;
    ((number / per_chunk) as usize, (number % per_chunk) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(memory: &StableMemory, offset: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0xee; len];
        memory.read(offset, &mut out).expect("inside the memory");
        out
    }

    #[test]
    fn a_write_across_pages_and_chunks_reads_back() {
        let mut memory = StableMemory::default();
        memory.grow(64).unwrap();
        let offset = (PAGE * PAGES_PER_CHUNK - 3) as u64;
        memory.write(offset, b"abcdef").unwrap();
        assert_eq!(read(&memory, offset - 1, 8), b"\0abcdef\0");
    }

    #[test]
    fn ranges_outside_are_refused_and_write_nothing() {
        let mut memory = StableMemory::default();
        assert_eq!(memory.write(0, b"x"), None);
        memory.grow(1).unwrap();
        assert_eq!(memory.write(WASM_PAGE - 1, b"xy"), None);
        assert_eq!(memory.write(u64::MAX, b"xy"), None);
        assert_eq!(memory.read(WASM_PAGE, &mut [0]), None);
        assert_eq!(memory.write(WASM_PAGE, b""), Some(()));
        assert_eq!(memory.to_image(), vec![0; WASM_PAGE as usize]);
    }

    #[test]
    fn rollback_restores_content_and_size_and_commit_keeps_them() {
        let mut memory = StableMemory::from_image(b"old");
        memory.begin();
        memory.write(0, b"new").unwrap();
        memory.write(0, b"newer").unwrap();
        memory.grow(3).unwrap();
        memory.write(2 * WASM_PAGE, b"far").unwrap();
        memory.rollback();
        assert_eq!(memory.size_pages(), 1);
        assert_eq!(&read(&memory, 0, 5), b"old\0\0");

        // Growing again must not bring back what was rolled back.
        memory.begin();
        memory.grow(3).unwrap();
        assert_eq!(&read(&memory, 2 * WASM_PAGE, 3), b"\0\0\0");
        memory.write(0, b"kept").unwrap();
        memory.commit();
        memory.rollback();
        assert_eq!(
            (memory.size_pages(), &read(&memory, 0, 4)[..]),
            (4, &b"kept"[..])
        );
    }

    #[test]
    fn detached_changes_can_be_attached_again() {
        let mut memory = StableMemory::from_image(b"base");
        memory.begin();
        memory.grow(1).unwrap();
        memory.write(1, b"OO").unwrap();
        memory.write(WASM_PAGE, b"new page").unwrap();
        let changes = memory.detach();
        assert_eq!(
            (memory.size_pages(), &read(&memory, 0, 4)[..]),
            (1, &b"base"[..])
        );
        memory.attach(&changes);
        assert_eq!(&read(&memory, 0, 4), b"bOOe");
        assert_eq!(&read(&memory, WASM_PAGE, 8), b"new page");
        memory.rollback();
        assert_eq!(
            (memory.size_pages(), &read(&memory, 0, 4)[..]),
            (1, &b"base"[..])
        );
    }

    #[test]
    fn growth_stops_at_the_limit() {
        let mut memory = StableMemory::default();
        assert_eq!(memory.grow(MAX_PAGES), Some(0));
        assert_eq!(memory.grow(1), None);
        assert_eq!(memory.grow(u64::MAX), None);
        memory.write(MAX_PAGES * WASM_PAGE - 1, b"z").unwrap();
        assert_eq!(&read(&memory, MAX_PAGES * WASM_PAGE - 2, 2), b"\0z");
    }
}
