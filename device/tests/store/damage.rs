//! Bits that are not what was written: nothing else is ever shown for them.

use perun_device::store::{Store, StoreError};

use super::history::{Model, flash, history, live, range, shown};
use super::nor::{Dice, Nor, Tear};

const PAGES: usize = 3;

type Flash = Nor<1, 4, 512>;

/// A flash with something in it, and what that is.
fn filled(length: usize) -> (Flash, Model) {
    let mut flash: Flash = flash(PAGES, Tear::Clean, 0);
    live(&mut flash, PAGES, &history(length, 100, 2), &[]);
    let model = shown(&mut open(&mut flash).unwrap());
    (flash, model)
}

fn open(flash: &mut Flash) -> Result<Store<&mut Flash>, StoreError<super::nor::Failure>> {
    Store::open(flash, range::<512>(PAGES))
}

/// Opens a flash with flipped bits. What is shown must be what was stored.
fn check(mut flash: Flash, model: &Model) -> bool {
    match open(&mut flash) {
        Ok(mut store) => {
            assert_eq!(shown(&mut store), *model);
            true
        }
        Err(error) => {
            let is_told = matches!(
                error,
                StoreError::Damaged { .. } | StoreError::Foreign | StoreError::UnknownFormat { .. }
            );
            assert!(is_told, "{error}");
            false
        }
    }
}

#[test]
fn any_flipped_bit() {
    // Histories that leave the newest page at different places.
    for length in [1, 9, 40, 41, 42, 43, 44, 200] {
        let (flash, model) = filled(length);
        let mut survived = 0;
        for at in 512..512 * (PAGES + 1) {
            for bit in 0..8 {
                let mut flash = flash.clone();
                flash.bytes[at] ^= 1 << bit;
                survived += usize::from(check(flash, &model));
            }
        }
        // Most of the flash does not matter.
        assert!(survived > 512 * 8);
    }
}

#[test]
fn any_two_flipped_bits_of_a_short_store() {
    let (flash, model) = filled(3);
    // The header of page 1 and all records in it.
    let used = 2 * 512..2 * 512 + 160;
    for first in used.clone() {
        for second in used.clone() {
            let mut flash = flash.clone();
            flash.bytes[first] ^= 1 << (second % 8);
            flash.bytes[second] ^= 1 << (first % 8);
            check(flash, &model);
        }
    }
}

#[test]
fn many_flipped_bits() {
    let mut dice = Dice::new(7);
    for length in [5, 60, 130] {
        let (flash, model) = filled(length);
        for _ in 0..4_000 {
            let mut flash = flash.clone();
            for _ in 0..1 + dice.below(12) {
                let at = 512 + dice.below(512 * PAGES);
                flash.bytes[at] ^= 1 << dice.below(8);
            }
            check(flash, &model);
        }
    }
}

#[test]
fn a_page_that_is_gone_is_missed() {
    let (flash, model) = filled(200);
    let mut was_newest = 0;
    for page in 1..=PAGES {
        let mut flash = flash.clone();
        flash.bytes[page * 512..(page + 1) * 512].fill(0xff);
        was_newest += usize::from(!check(flash, &model));
    }
    assert_eq!(was_newest, 1);
}

/// Records of an older page in the place of newer ones, with all their checksums.
#[test]
fn records_of_an_older_page_are_not_believed() {
    let (flash, model) = filled(200);
    let pages: Vec<usize> = (512..512 * (PAGES + 1)).step_by(512).collect();
    for from in &pages {
        for to in pages.iter().filter(|to| *to != from) {
            let mut flash = flash.clone();
            flash.bytes.copy_within(from + 80..from + 512, to + 80);
            check(flash, &model);
        }
    }
}

/// The same after a power cut at any step: what was shown since is missed.
#[test]
fn a_page_that_is_gone_is_missed_after_any_cut() {
    let changes = history(40, 100, 3);
    let mut whole: Flash = flash(PAGES, Tear::Clean, 0);
    for cut in 0..live(&mut whole, PAGES, &changes, &[]) {
        let mut flash: Flash = flash(PAGES, Tear::Partial, cut);
        flash.power(Some(cut));
        if let Ok(mut store) = open(&mut flash) {
            let _ = changes.iter().try_for_each(|(key, new)| match new {
                Some(contents) => store.write(*key, contents),
                None => store.remove(*key),
            });
        }
        flash.power(None);
        let model = shown(&mut open(&mut flash).unwrap());
        for page in 1..=PAGES {
            let mut flash = flash.clone();
            flash.bytes[page * 512..(page + 1) * 512].fill(0xff);
            check(flash, &model);
        }
    }
}

/// A record goes bad while the store is open: it cannot be read, nor copied to the next page.
#[test]
fn damage_while_the_store_is_open() {
    let mut flash: Flash = flash(PAGES, Tear::Clean, 0);
    let (bad, good) = (super::limits::key(1), super::limits::key(2));
    let place = {
        let mut store = open(&mut flash).unwrap();
        store.write(bad, b"something to recognise").unwrap();
        store.write(good, b"sound").unwrap();
        let flash = store.into_flash();
        let mut places = flash.bytes.windows(9).enumerate();
        places.find(|(_, bytes)| bytes == b"something").unwrap().0
    };
    // The store is opened before the damage, through a flash that both share.
    let flash = std::cell::RefCell::new(flash);
    let mut store = Store::open(super::limits::Shared(&flash), range::<512>(PAGES)).unwrap();
    flash.borrow_mut().bytes[place] ^= 0x10;
    let mut contents = Vec::new();
    let error = store.read(bad, &mut contents).unwrap_err();
    assert_eq!(error, StoreError::Damaged { key: Some(bad) });
    assert!(contents.is_empty());
    assert!(store.read(good, &mut contents).unwrap());
    let error = (0..100).find_map(|n| store.write(good, &[n; 20]).err());
    assert_eq!(error, Some(StoreError::Damaged { key: Some(bad) }));
    assert_eq!(store.write(bad, b""), Err(StoreError::Failed));
}

#[test]
fn a_damaged_record_that_was_replaced_does_no_harm() {
    let mut flash: Flash = flash(PAGES, Tear::Clean, 0);
    let key = super::limits::key(1);
    {
        let mut store = open(&mut flash).unwrap();
        store.write(key, b"something to recognise").unwrap();
        store.write(key, b"newer").unwrap();
    }
    let mut places = flash.bytes.windows(9).enumerate();
    let place = places.find(|(_, bytes)| bytes == b"something").unwrap().0;
    flash.bytes[place] ^= 0x10;
    let model = Model::from([(key, b"newer".to_vec())]);
    assert!(check(flash, &model));
}
