//! A history of writes, carried out on a flash whose power fails here and there, next to a map that
//! cannot fail.

use std::collections::BTreeMap;
use std::ops::Range;

use perun_device::store::{Key, Store, StoreError};

use super::nor::{Dice, Failure, Nor, Tear};

pub type Model = BTreeMap<Key, Vec<u8>>;

/// What is done to a key: new contents, or none.
pub type Change = (Key, Option<Vec<u8>>);

/// Changes of a few keys; one in twelve is a removal, one in eight long.
pub fn history(length: usize, longest: usize, seed: u64) -> Vec<Change> {
    let mut dice = Dice::new(seed);
    (0..length)
        .map(|_| {
            // 0xff everywhere: a word that looks blank although it is not.
            let key = match dice.below(5) {
                0 => Key::new(0xff, 0xff),
                n => Key::new(n as u8, 0),
            };
            if dice.below(12) == 0 {
                return (key, None);
            }
            let bound = if dice.below(8) == 0 {
                longest
            } else {
                longest / 4
            };
            let length = dice.below(bound + 1);
            let all = (dice.below(6) == 0).then_some(0xff);
            let contents = (0..length).map(|_| all.unwrap_or_else(|| dice.byte()));
            (key, Some(contents.collect()))
        })
        .collect()
}

/// The pages of the flash that the store may touch: those behind the first and before the last.
pub fn range<const P: usize>(pages: usize) -> Range<u32> {
    P as u32..((pages + 1) * P) as u32
}

pub fn flash<const R: usize, const W: usize, const P: usize>(
    pages: usize,
    tear: Tear,
    seed: u64,
) -> Nor<R, W, P> {
    let mut flash = Nor::new(pages + 2, tear, seed);
    flash.bytes[..P].fill(0x5a);
    flash.bytes[(pages + 1) * P..].fill(0x5a);
    flash
}

/// Everything that the store shows.
pub fn shown<const R: usize, const W: usize, const P: usize>(
    store: &mut Store<&mut Nor<R, W, P>>,
) -> Model {
    let keys: Vec<Key> = store.keys().collect();
    let mut shown = Model::new();
    let mut contents = Vec::new();
    for key in keys {
        assert!(store.read(key, &mut contents).unwrap());
        shown.insert(key, contents.clone());
    }
    shown
}

fn apply(model: &Model, (key, new): &Change) -> Model {
    let mut model = model.clone();
    match new {
        Some(contents) => model.insert(*key, contents.clone()),
        None => model.remove(key),
    };
    model
}

/// Carries the changes out. The power fails after so many steps, and then after so many more, and so on.
/// Returns the steps since it came back for good.
pub fn live<const R: usize, const W: usize, const P: usize>(
    flash: &mut Nor<R, W, P>,
    pages: usize,
    changes: &[Change],
    cuts: &[u64],
) -> u64 {
    let mut cuts = cuts.iter().copied();
    let mut model = Model::new();
    let mut in_flight: Option<&Change> = None;
    let mut left = changes.iter();
    flash.power(cuts.next());
    let mut since = flash.steps;
    loop {
        match boot(flash, pages, &mut model, &mut in_flight, &mut left) {
            Ok(()) => break,
            Err(StoreError::Flash(Failure::PowerCut)) => {
                flash.power(cuts.next());
                since = flash.steps;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(cuts.next(), None, "there are fewer steps than that");
    let steps = flash.steps - since;
    flash.power(None);
    for _ in 0..3 {
        // What was shown stays.
        assert_eq!(
            shown(&mut Store::open(&mut *flash, range::<P>(pages)).unwrap()),
            model
        );
    }
    assert!(flash.bytes[..P].iter().all(|byte| *byte == 0x5a));
    assert!(
        flash.bytes[(pages + 1) * P..]
            .iter()
            .all(|byte| *byte == 0x5a)
    );
    steps
}

/// From power to power cut, or to the end of the changes.
fn boot<'c, const R: usize, const W: usize, const P: usize>(
    flash: &mut Nor<R, W, P>,
    pages: usize,
    model: &mut Model,
    in_flight: &mut Option<&'c Change>,
    left: &mut impl Iterator<Item = &'c Change>,
) -> Result<(), StoreError<Failure>> {
    let mut store = Store::open(flash, range::<P>(pages))?;
    let shown = shown(&mut store);
    match in_flight.take() {
        Some(change) if shown == apply(model, change) => *model = shown,
        _ => assert_eq!(shown, *model),
    }
    for change in left {
        *in_flight = Some(change);
        let outcome = match &change.1 {
            Some(contents) => {
                let (front, back) = contents.split_at(contents.len() / 3);
                store.write_parts(change.0, &[front, back])
            }
            None => store.remove(change.0),
        };
        match outcome {
            Ok(()) => *model = apply(model, change),
            Err(StoreError::Full { .. }) => {}
            Err(error) => return Err(error),
        }
        *in_flight = None;
        assert_eq!(self::shown(&mut store), *model);
    }
    Ok(())
}
