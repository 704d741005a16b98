//! The two-slot storage, cut at every step of every call to the flash, and damaged at every byte.

use std::cell::RefCell;
use std::rc::Rc;

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use perun_watch_stream::{FlashError, FlashStorage, MAX_RECORD_LENGTH, Record, Storage};

const WORD: usize = 4;
const SECTOR: usize = 512;

/// A flash that loses its power after so many words were erased or written.
#[derive(Clone)]
struct Nor(Rc<RefCell<Cells>>);

struct Cells {
    bytes: Vec<u8>,
    words_left: Option<usize>,
    words: usize,
}

impl Nor {
    fn new() -> Self {
        Self(Rc::new(RefCell::new(Cells {
            bytes: vec![0xff; 4 * REGION],
            words_left: None,
            words: 0,
        })))
    }

    fn spend(&self) -> Result<(), NorFlashErrorKind> {
        let cells = &mut *self.0.borrow_mut();
        cells.words += 1;
        match &mut cells.words_left {
            Some(0) => Err(NorFlashErrorKind::Other),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn power_on(&self) {
        self.0.borrow_mut().words_left = None;
    }
}

const REGION: usize = FlashStorage::<Nor>::REGION;

impl ErrorType for Nor {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Nor {
    const READ_SIZE: usize = WORD;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        check_read(self, offset, bytes.len())?;
        let cells = self.0.borrow();
        bytes.copy_from_slice(&cells.bytes[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.borrow().bytes.len()
    }
}

impl NorFlash for Nor {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = SECTOR;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        check_erase(self, from, to)?;
        for word in (from as usize..to as usize).step_by(WORD) {
            self.spend()?;
            self.0.borrow_mut().bytes[word..][..WORD].fill(0xff);
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        check_write(self, offset, bytes.len())?;
        for (position, word) in bytes.chunks(WORD).enumerate() {
            self.spend()?;
            let cells = &mut *self.0.borrow_mut();
            let cell = &mut cells.bytes[offset as usize + WORD * position..][..WORD];
            assert_eq!(cell, [0xff; WORD], "a word is programmed twice");
            cell.copy_from_slice(word);
        }
        Ok(())
    }
}

fn storage(nor: &Nor) -> FlashStorage<Nor> {
    FlashStorage::new(nor.clone()).unwrap()
}

fn load(nor: &Nor, record: Record) -> Result<Option<Vec<u8>>, FlashError<NorFlashErrorKind>> {
    let mut bytes = [0; MAX_RECORD_LENGTH];
    let length = storage(nor).load(record, &mut bytes)?;
    Ok(length.map(|length| bytes[..length].to_vec()))
}

fn contents(number: usize) -> Vec<u8> {
    vec![number as u8; 1 + 37 * number % 700]
}

#[test]
fn each_record_is_its_old_or_its_new_self() {
    // How many words the whole history takes.
    let nor = Nor::new();
    for number in 0..4 {
        storage(&nor)
            .store(Record::State, &contents(number))
            .unwrap();
    }
    let words = nor.0.borrow().words;
    assert!(words > 1_500, "{words}");
    for cut in 0..words {
        let nor = Nor::new();
        storage(&nor).store(Record::Reservation, b"beside").unwrap();
        nor.0.borrow_mut().words_left = Some(cut);
        let mut durable = None;
        let mut torn = None;
        for number in 0..4 {
            if storage(&nor)
                .store(Record::State, &contents(number))
                .is_err()
            {
                torn = Some(contents(number));
                break;
            }
            durable = Some(contents(number));
        }
        nor.power_on();
        let found = load(&nor, Record::State).unwrap();
        assert!(found == durable || found == torn, "cut at word {cut}");
        assert_eq!(load(&nor, Record::Reservation).unwrap().unwrap(), b"beside");
        // And it goes on from there.
        for number in 5..8 {
            storage(&nor)
                .store(Record::State, &contents(number))
                .unwrap();
            assert_eq!(load(&nor, Record::State).unwrap(), Some(contents(number)));
        }
    }
}

/// An older record in place of a damaged one would make an author sign numbers twice.
#[test]
fn a_damaged_record_is_told_and_not_replaced_by_an_older_one() {
    for stores in 1..4 {
        let nor = Nor::new();
        for number in 0..stores {
            storage(&nor)
                .store(Record::Reservation, &contents(number))
                .unwrap();
        }
        let newest = contents(stores - 1);
        let good = nor.0.borrow().bytes.clone();
        let mut told = 0;
        for position in 0..2 * REGION {
            nor.0.borrow_mut().bytes[position] ^= 0x10;
            match load(&nor, Record::Reservation) {
                Ok(found) => assert_eq!(found, Some(newest.clone()), "byte {position}"),
                Err(error) => {
                    assert_eq!(error, FlashError::Damaged);
                    told += 1;
                }
            }
            nor.0.borrow_mut().bytes.clone_from(&good);
        }
        assert!(told >= newest.len());
    }
}

#[test]
fn a_first_record_that_was_cut_was_never_there() {
    let nor = Nor::new();
    assert_eq!(load(&nor, Record::State), Ok(None));
    nor.0.borrow_mut().words_left = Some(REGION / WORD + 3);
    let cut = storage(&nor).store(Record::State, &contents(9));
    assert_eq!(cut, Err(FlashError::Flash(NorFlashErrorKind::Other)));
    nor.power_on();
    assert_eq!(load(&nor, Record::State), Ok(None));
}

#[test]
fn a_flash_that_held_something_else_is_formatted_first() {
    let nor = Nor::new();
    nor.0.borrow_mut().bytes.fill(0x5a);
    assert_eq!(load(&nor, Record::State), Err(FlashError::Damaged));
    let refused = storage(&nor).store(Record::State, b"new");
    assert_eq!(refused, Err(FlashError::Damaged));
    storage(&nor).format().unwrap();
    storage(&nor).store(Record::State, b"new").unwrap();
    assert_eq!(load(&nor, Record::State).unwrap().unwrap(), b"new");
}

#[test]
fn what_cannot_be_a_record_is_refused() {
    let nor = Nor::new();
    for length in [0, MAX_RECORD_LENGTH + 1] {
        let refused = storage(&nor).store(Record::State, &vec![1; length]);
        assert_eq!(refused, Err(FlashError::WrongLength));
    }
    storage(&nor)
        .store(Record::State, &[1; MAX_RECORD_LENGTH])
        .unwrap();
    let found = storage(&nor).load(Record::State, &mut [0; 9]);
    assert_eq!(found, Err(FlashError::WrongLength));
    nor.0.borrow_mut().bytes.truncate(4 * REGION - SECTOR);
    assert!(FlashStorage::new(nor).is_err());
}
