//! Pages wear alike, and as slowly as is promised.

use perun_device::store::{Store, footprint, writes_per_erase};

use super::history::{flash, history, live, range};
use super::limits::key;
use super::nor::{Nor, Tear};

#[test]
fn pages_wear_alike() {
    let mut flash: Nor<1, 4, 512> = flash(5, Tear::Clean, 0);
    live(&mut flash, 5, &history(2_000, 100, 1), &[]);
    let used = &flash.erases[1..6];
    let (least, most) = (used.iter().min().unwrap(), used.iter().max().unwrap());
    assert!(*least > 20, "{used:?}");
    assert!(most - least <= 1, "{used:?}");
}

/// The formula in the documentation, measured.
#[test]
fn as_many_records_an_erasure_as_promised() {
    let mut flash: Nor<1, 4, 16_384> = flash(4, Tear::Clean, 0);
    let mut store = Store::open(&mut flash, range::<16_384>(4)).unwrap();
    store.write(key(1), &[1; 700]).unwrap();
    let live = 2 * footprint(700, 4);
    let promised = writes_per_erase(16_384, 4, live, 700) as u32;
    // To the first record of a new page.
    let erases = store.wear().erases;
    while store.wear().erases == erases {
        store.write(key(0), &[0; 700]).unwrap();
    }
    let (erases, writes) = (store.wear().erases, store.wear().writes);
    for _ in 0..promised * 10 {
        store.write(key(0), &[0; 700]).unwrap();
    }
    assert_eq!(store.wear().erases, erases + 10);
    assert_eq!(store.wear().writes, writes + promised * 10);
}

/// A device that does nothing but start again does not wear its flash.
#[test]
fn starting_again_and_again() {
    let mut flash: Nor<1, 4, 4096> = flash(2, Tear::Clean, 0);
    let mut store = Store::open(&mut flash, range::<4096>(2)).unwrap();
    store.write(key(0), &[0; 500]).unwrap();
    drop(store);
    let steps = flash.steps;
    for _ in 0..100 {
        Store::open(&mut flash, range::<4096>(2)).unwrap();
    }
    assert_eq!(flash.steps, steps);
}

#[test]
fn what_is_written_is_counted() {
    let mut flash: Nor<1, 8, 512> = flash(2, Tear::Clean, 0);
    let mut store = Store::open(&mut flash, range::<512>(2)).unwrap();
    let before = store.wear();
    store.write(key(0), &[0; 21]).unwrap();
    let after = store.wear();
    let written = footprint(21, 8) as u64;
    assert_eq!(after.written_bytes, before.written_bytes + written);
    assert_eq!(after.writes, before.writes + 1);
}
