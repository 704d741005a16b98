//! The power fails at every word and every erasure, once and twice.

use perun_device::store::{Store, StoreError};

use super::history::{Change, flash, history, live, range, shown};
use super::nor::{Failure, Nor, TEARS, Tear};

/// The power fails once, at each step in turn.
fn every_cut<const R: usize, const W: usize, const P: usize>(pages: usize, changes: &[Change]) {
    let steps = live(
        &mut flash::<R, W, P>(pages, Tear::Clean, 0),
        pages,
        changes,
        &[],
    );
    for tear in TEARS {
        for cut in 0..steps {
            let mut flash = flash::<R, W, P>(pages, tear, cut);
            live(&mut flash, pages, changes, &[cut]);
        }
    }
}

/// The power fails twice, at each pair of steps.
fn every_two_cuts<const R: usize, const W: usize, const P: usize>(
    pages: usize,
    changes: &[Change],
) {
    let steps = live(
        &mut flash::<R, W, P>(pages, Tear::Clean, 0),
        pages,
        changes,
        &[],
    );
    for tear in TEARS {
        for first in 0..steps {
            let mut once = flash::<R, W, P>(pages, tear, first);
            let rest = live(&mut once, pages, changes, &[first]);
            for second in 0..rest {
                let mut flash = flash::<R, W, P>(pages, tear, first);
                live(&mut flash, pages, changes, &[first, second]);
            }
        }
    }
}

#[test]
fn any_cut_with_words_of_1() {
    every_cut::<1, 1, 512>(2, &history(60, 90, 1));
}

#[test]
fn any_cut_with_words_of_4() {
    every_cut::<1, 4, 512>(3, &history(300, 100, 2));
}

#[test]
fn any_cut_with_words_of_8() {
    every_cut::<4, 8, 1024>(2, &history(300, 200, 3));
}

#[test]
fn any_cut_with_words_of_16() {
    every_cut::<8, 16, 512>(4, &history(300, 60, 4));
}

#[test]
fn any_cut_with_reads_larger_than_words() {
    every_cut::<16, 4, 1024>(3, &history(150, 120, 5));
}

#[test]
fn any_two_cuts_with_words_of_4() {
    every_two_cuts::<1, 4, 256>(2, &history(14, 20, 6));
}

#[test]
fn any_two_cuts_with_words_of_16() {
    every_two_cuts::<1, 16, 512>(2, &history(24, 40, 7));
    every_two_cuts::<1, 16, 512>(3, &history(40, 40, 8));
}

/// The first records of all, with any three cuts before they are there.
#[test]
fn any_three_cuts_at_birth() {
    for tear in TEARS {
        for cuts in 0..12 * 12 * 12 {
            let cuts = [cuts % 12, cuts / 12 % 12, cuts / 144];
            let mut flash = flash::<1, 8, 256>(2, tear, 0);
            for cut in cuts {
                flash.power(Some(cut));
                match Store::open(&mut flash, range::<256>(2)) {
                    Ok(mut store) => assert!(shown(&mut store).is_empty()),
                    Err(error) => assert_eq!(error, StoreError::Flash(Failure::PowerCut)),
                }
            }
            live(&mut flash, 2, &history(5, 20, 0), &[]);
        }
    }
}

/// Formatting replaces everything or nothing.
#[test]
fn any_cut_while_a_store_is_formatted() {
    let changes = history(50, 60, 9);
    for pages in [2, 3] {
        for tear in TEARS {
            for cut in 0.. {
                let mut flash: Nor<1, 4, 512> = flash(pages, tear, cut);
                live(&mut flash, pages, &changes, &[]);
                let full = shown(&mut Store::open(&mut flash, range::<512>(pages)).unwrap());
                flash.power(Some(cut));
                let is_cut = Store::format(&mut flash, range::<512>(pages)).is_err();
                flash.power(None);
                let left = shown(&mut Store::open(&mut flash, range::<512>(pages)).unwrap());
                assert!(left.is_empty() || is_cut && left == full);
                if !is_cut {
                    break;
                }
            }
        }
    }
}

/// A flash that held something else opens when it was formatted to the end, and can be formatted again
/// if it was not.
#[test]
fn any_cut_while_something_else_is_formatted() {
    for tear in TEARS {
        for cut in 0.. {
            let mut flash: Nor<1, 4, 512> = flash(3, tear, cut);
            flash.fill(|at| match at {
                512..2048 => at as u8,
                _ => 0x5a,
            });
            let opened = Store::open(&mut flash, range::<512>(3));
            assert_eq!(opened.err(), Some(StoreError::Foreign));
            flash.power(Some(cut));
            let is_cut = Store::format(&mut flash, range::<512>(3)).is_err();
            flash.power(None);
            match Store::open(&mut flash, range::<512>(3)) {
                Ok(_) => {}
                Err(error) => {
                    assert!(is_cut);
                    assert_eq!(error, StoreError::Foreign);
                    Store::format(&mut flash, range::<512>(3)).unwrap();
                }
            }
            live(&mut flash, 3, &history(20, 60, 0), &[]);
            if !is_cut {
                break;
            }
        }
    }
}
