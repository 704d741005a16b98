//! What the store refuses, and what it always takes.

use std::cell::RefCell;

use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use perun_device::store::{Key, MAX_KEYS, MAX_LENGTH, Store, StoreError, Unsuitable, footprint};

use super::history::{flash, range, shown};
use super::nor::{Failure, Nor, Tear};

pub fn key(slot: u8) -> Key {
    Key::new(1, slot)
}

/// A flash that the test can look at while the store has it.
pub struct Shared<'a, F>(pub &'a RefCell<F>);

impl<F: ErrorType> ErrorType for Shared<'_, F> {
    type Error = F::Error;
}

impl<F: ReadNorFlash> ReadNorFlash for Shared<'_, F> {
    const READ_SIZE: usize = F::READ_SIZE;

    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), F::Error> {
        self.0.borrow_mut().read(at, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.borrow().capacity()
    }
}

impl<F: NorFlash> NorFlash for Shared<'_, F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), F::Error> {
        self.0.borrow_mut().erase(from, to)
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), F::Error> {
        self.0.borrow_mut().write(at, bytes)
    }
}

#[test]
fn records_come_back() {
    let mut flash: Nor<1, 4, 512> = flash(2, Tear::Clean, 0);
    let mut contents = vec![1];
    {
        let mut store = Store::open(&mut flash, range::<512>(2)).unwrap();
        assert!(!store.read(key(0), &mut contents).unwrap());
        assert!(contents.is_empty());
        store.write(key(0), b"").unwrap();
        store.write_parts(key(1), &[b"one", b"", b", two"]).unwrap();
        store.write(key(2), b"three").unwrap();
        store.remove(key(2)).unwrap();
        let before = store.wear();
        store.remove(key(2)).unwrap();
        assert_eq!(store.wear(), before, "what is not there is not removed");
        assert_eq!(before.writes, 4);
    }
    let mut store = Store::open(&mut flash, range::<512>(2)).unwrap();
    assert!(
        store.read(key(0), &mut contents).unwrap(),
        "empty is not absent"
    );
    assert!(contents.is_empty());
    assert!(store.read(key(1), &mut contents).unwrap());
    assert_eq!(contents, b"one, two");
    assert!(!store.read(key(2), &mut contents).unwrap());
    assert_eq!(store.keys().count(), 2);
}

#[test]
fn a_full_store_still_replaces_and_removes() {
    let mut flash: Nor<1, 4, 1024> = flash(2, Tear::Clean, 0);
    let mut store = Store::open(&mut flash, range::<1024>(2)).unwrap();
    let mut count = 0;
    let refused = loop {
        let free = store.free();
        match store.write(key(count), &[count; 50]) {
            Ok(()) => assert_eq!(store.free(), free - footprint(50, 4)),
            Err(error) => break error,
        }
        count += 1;
    };
    let (needed, free) = (footprint(50, 4), store.free());
    assert_eq!(refused, StoreError::Full { needed, free });
    assert!(needed > free);
    // A smaller one still fits, if it is small enough.
    assert_eq!(store.footprint(0), footprint(0, 4));
    for round in 0..20 {
        for slot in 0..count {
            store.write(key(slot), &[round; 50]).unwrap();
        }
    }
    let longer = store.write(key(0), &[0; 50 + 68]);
    assert!(matches!(longer, Err(StoreError::Full { .. })));
    store.write(key(0), &[0; 10]).unwrap();
    for slot in 1..count {
        store.remove(key(slot)).unwrap();
    }
    assert_eq!(shown(&mut store).len(), 1);
}

/// The reserve: whatever is live can be replaced once before the page is full.
#[test]
fn every_live_record_can_be_replaced_without_a_compaction_each() {
    let mut flash: Nor<1, 4, 1024> = flash(2, Tear::Clean, 0);
    let mut store = Store::open(&mut flash, range::<1024>(2)).unwrap();
    let count = (0..)
        .find(|n| store.write(key(*n), &[7; 30]).is_err())
        .unwrap();
    let before = store.wear().erases;
    for slot in 0..count {
        store.write(key(slot), &[8; 30]).unwrap();
    }
    assert!(store.wear().erases <= before + 1);
}

#[test]
fn there_are_only_so_many_keys() {
    let mut flash: Nor<1, 1, 4096> = flash(2, Tear::Clean, 0);
    {
        let mut store = Store::open(&mut flash, range::<4096>(2)).unwrap();
        for slot in 0..MAX_KEYS {
            store.write(key(slot as u8), &[slot as u8]).unwrap();
        }
        let refused = store.write(key(0xff), b"");
        assert_eq!(refused, Err(StoreError::TooManyKeys { limit: MAX_KEYS }));
        for round in 0..250 {
            store.write(key(round % MAX_KEYS as u8), b"again").unwrap();
        }
        store.remove(key(3)).unwrap();
        store.write(key(0xff), b"").unwrap();
    }
    let mut store = Store::open(&mut flash, range::<4096>(2)).unwrap();
    assert_eq!(shown(&mut store).len(), MAX_KEYS);
}

#[test]
fn a_record_is_only_so_long() {
    let mut flash: Nor<1, 4, 262_144> = flash(2, Tear::Clean, 0);
    let mut store = Store::open(&mut flash, range::<262_144>(2)).unwrap();
    let longest = vec![9; MAX_LENGTH];
    store.write(key(0), &longest).unwrap();
    let refused = store.write_parts(key(1), &[&longest, b"!"]);
    let (length, limit) = (MAX_LENGTH + 1, MAX_LENGTH);
    assert_eq!(refused, Err(StoreError::TooLong { length, limit }));
    for _ in 0..6 {
        store.write(key(1), &longest[1..]).unwrap();
    }
    drop(store);
    let mut store = Store::open(&mut flash, range::<262_144>(2)).unwrap();
    assert_eq!(shown(&mut store)[&key(0)], longest);
}

#[test]
fn a_store_that_failed_does_nothing_more() {
    let mut flash: Nor<1, 4, 512> = flash(2, Tear::Partial, 0);
    {
        let shared = RefCell::new(&mut flash);
        let mut store = Store::open(Shared(&shared), range::<512>(2)).unwrap();
        store.write(key(0), b"durable").unwrap();
        shared.borrow_mut().power(Some(3));
        let failure = StoreError::Flash(Failure::PowerCut);
        assert_eq!(store.write(key(1), b"not durable"), Err(failure));
        shared.borrow_mut().power(None);
        assert_eq!(store.write(key(1), b"again"), Err(StoreError::Failed));
        assert_eq!(store.remove(key(0)), Err(StoreError::Failed));
        let read = store.read(key(0), &mut Vec::new());
        assert_eq!(read, Err(StoreError::Failed));
    }
    let mut store = Store::open(&mut flash, range::<512>(2)).unwrap();
    assert_eq!(shown(&mut store)[&key(0)], b"durable");
}

#[test]
fn ranges_and_flashes_that_do_not_fit() {
    fn refused<const R: usize, const W: usize, const P: usize>(
        range: std::ops::Range<u32>,
    ) -> Option<StoreError<Failure>> {
        Store::open(&mut Nor::<R, W, P>::new(4, Tear::Clean, 0), range).err()
    }
    let unsuitable = |reason| Some(StoreError::Unsuitable(reason));
    assert_eq!(refused::<1, 4, 512>(0..1024), None);
    assert_eq!(refused::<1, 4, 512>(0..512), unsuitable(Unsuitable::Pages));
    assert_eq!(refused::<1, 4, 512>(0..0), unsuitable(Unsuitable::Pages));
    assert_eq!(
        refused::<1, 4, 512>(16..1024),
        unsuitable(Unsuitable::Range)
    );
    assert_eq!(refused::<1, 4, 512>(0..1000), unsuitable(Unsuitable::Range));
    assert_eq!(
        refused::<1, 4, 512>(1024..4096),
        unsuitable(Unsuitable::Range)
    );
    #[expect(clippy::reversed_empty_ranges, reason = "it must be refused")]
    let reversed = refused::<1, 4, 512>(1024..0);
    assert_eq!(reversed, unsuitable(Unsuitable::Range));
    assert_eq!(
        refused::<1, 4, 128>(0..256),
        unsuitable(Unsuitable::PageSize)
    );
    assert_eq!(
        refused::<1, 4, 520>(0..1040),
        unsuitable(Unsuitable::PageSize)
    );
    assert_eq!(
        refused::<1, 32, 512>(0..1024),
        unsuitable(Unsuitable::Words)
    );
    assert_eq!(refused::<3, 4, 512>(0..1024), unsuitable(Unsuitable::Words));
}

#[test]
fn another_shape_is_not_taken_for_the_store() {
    let mut flash: Nor<1, 4, 512> = flash(4, Tear::Clean, 0);
    let mut store = Store::open(&mut flash, range::<512>(4)).unwrap();
    store.write(key(0), b"kept").unwrap();
    drop(store);
    let opened = Store::open(&mut flash, range::<512>(3));
    // It has been a store, as the birth mark tells.
    assert_eq!(opened.err(), Some(StoreError::Damaged { key: None }));
    let mut store = Store::open(&mut flash, range::<512>(4)).unwrap();
    for _ in 0..100 {
        store.write(key(0), b"kept").unwrap();
    }
    drop(store);
    let opened = Store::open(&mut flash, range::<512>(3));
    assert_eq!(opened.err(), Some(StoreError::Foreign));
    let mut store = Store::open(&mut flash, range::<512>(4)).unwrap();
    assert_eq!(shown(&mut store)[&key(0)], b"kept");
}
