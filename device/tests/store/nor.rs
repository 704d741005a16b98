//! A NOR flash that keeps its word: it refuses what a strict one would not allow, and loses power on
//! demand.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

/// Numbers that look random.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }

    pub fn byte(&mut self) -> u8 {
        self.number() as u8
    }
}

/// What the power leaves of the word, or the page, at which it fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tear {
    /// A word is untouched; the first half of a page is erased.
    Clean,
    /// A word has some of its zeros; a page is garbage.
    Partial,
    /// Of all words of a call, some have some of their zeros; bits of a page have risen here and there.
    Scattered,
    /// As partial, but it reads differently each time. A word is never blank.
    Unstable,
}

pub const TEARS: [Tear; 4] = [Tear::Clean, Tear::Partial, Tear::Scattered, Tear::Unstable];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    PowerCut,
    /// The program did what a flash must not be asked to do.
    Misuse(&'static str),
}

impl NorFlashError for Failure {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

/// `R`, `W`, `P`: bytes of a read, of a word, of a page.
#[derive(Clone, Debug)]
pub struct Nor<const R: usize, const W: usize, const P: usize> {
    pub bytes: Vec<u8>,
    /// Which words were programmed since they were erased.
    programmed: Vec<bool>,
    /// For bits that read differently each time.
    unstable: Vec<u8>,
    pub erases: Vec<u32>,
    /// Words programmed and pages erased.
    pub steps: u64,
    cut_at: Option<u64>,
    is_off: bool,
    tear: Tear,
    dice: Dice,
}

impl<const R: usize, const W: usize, const P: usize> Nor<R, W, P> {
    pub fn new(pages: usize, tear: Tear, seed: u64) -> Self {
        let size = pages * P;
        Self {
            bytes: vec![0xff; size],
            programmed: vec![false; size / W],
            unstable: vec![0; size],
            erases: vec![0; pages],
            steps: 0,
            cut_at: None,
            is_off: false,
            tear,
            dice: Dice::new(seed),
        }
    }

    /// Contents that nobody has written through the flash.
    pub fn fill(&mut self, mut byte: impl FnMut(usize) -> u8) {
        for (at, stored) in self.bytes.iter_mut().enumerate() {
            *stored = byte(at);
        }
        self.programmed.fill(true);
    }

    /// Power again, for so many steps.
    pub fn power(&mut self, steps: Option<u64>) {
        self.is_off = false;
        self.cut_at = steps.map(|steps| self.steps + steps);
    }

    fn step(&mut self) -> bool {
        if self.cut_at == Some(self.steps) {
            self.is_off = true;
            return false;
        }
        self.steps += 1;
        true
    }

    fn check(&self, at: u32, length: usize, align: usize) -> Result<usize, Failure> {
        if self.is_off {
            return Err(Failure::PowerCut);
        }
        let at = at as usize;
        if !at.is_multiple_of(align) || !length.is_multiple_of(align) {
            return Err(Failure::Misuse("not aligned"));
        }
        if at + length > self.bytes.len() {
            return Err(Failure::Misuse("out of bounds"));
        }
        Ok(at)
    }

    /// Clears some of the zeros of a word, and always one of them if it is unstable.
    fn tear_word(&mut self, at: usize, wanted: &[u8]) {
        for (offset, byte) in wanted.iter().enumerate() {
            let zeros = !byte;
            let stored = &mut self.bytes[at + offset];
            if self.tear == Tear::Unstable {
                // The lowest zero is there to stay.
                let firm = zeros & zeros.wrapping_neg();
                *stored &= !firm;
                self.unstable[at + offset] = zeros & !firm;
            } else {
                *stored &= !(zeros & self.dice.byte());
            }
        }
        let torn = &self.bytes[at..at + W];
        self.programmed[at / W] = torn.iter().any(|byte| *byte != 0xff);
    }

    fn tear_page(&mut self, page: usize) {
        for at in page..page + P {
            match self.tear {
                Tear::Clean if at < page + P / 2 => self.bytes[at] = 0xff,
                Tear::Clean => {}
                Tear::Partial => self.bytes[at] = self.dice.byte(),
                Tear::Scattered => self.bytes[at] |= self.dice.byte(),
                Tear::Unstable => {
                    // An erasure takes charge away: what was no firm zero before is none now.
                    self.bytes[at] |= self.unstable[at];
                    self.unstable[at] = !self.bytes[at];
                }
            }
        }
        self.programmed[page / W..(page + P) / W].fill(true);
    }
}

impl<const R: usize, const W: usize, const P: usize> ErrorType for Nor<R, W, P> {
    type Error = Failure;
}

impl<const R: usize, const W: usize, const P: usize> ReadNorFlash for Nor<R, W, P> {
    const READ_SIZE: usize = R;

    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), Failure> {
        let at = self.check(at, bytes.len(), R)?;
        let is_lucky = self.dice.below(2) == 0;
        for (offset, byte) in bytes.iter_mut().enumerate() {
            let (stored, unstable) = (self.bytes[at + offset], self.unstable[at + offset]);
            *byte = match is_lucky {
                // As if nothing had failed in a word, or nothing been done to a page.
                true => stored & !unstable,
                false => stored ^ (unstable & self.dice.byte()),
            };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const R: usize, const W: usize, const P: usize> NorFlash for Nor<R, W, P> {
    const WRITE_SIZE: usize = W;
    const ERASE_SIZE: usize = P;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Failure> {
        let from = self.check(from, (to - from) as usize, P)?;
        for page in (from..to as usize).step_by(P) {
            if !self.step() {
                self.tear_page(page);
                return Err(Failure::PowerCut);
            }
            self.erases[page / P] += 1;
            self.bytes[page..page + P].fill(0xff);
            self.unstable[page..page + P].fill(0);
            self.programmed[page / W..(page + P) / W].fill(false);
        }
        Ok(())
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), Failure> {
        let at = self.check(at, bytes.len(), W)?;
        if self.programmed[at / W..(at + bytes.len()) / W].contains(&true) {
            return Err(Failure::Misuse("a word is programmed twice"));
        }
        for (done, word) in bytes.chunks(W).enumerate() {
            let word_at = at + done * W;
            if !self.step() {
                match self.tear {
                    Tear::Clean => {}
                    Tear::Partial | Tear::Unstable => self.tear_word(word_at, word),
                    Tear::Scattered => {
                        for (index, word) in bytes.chunks(W).enumerate() {
                            let at = at + index * W;
                            self.bytes[at..at + W].fill(0xff);
                            self.programmed[at / W] = false;
                            if self.dice.below(3) > 0 {
                                self.tear_word(at, word);
                            }
                        }
                    }
                }
                return Err(Failure::PowerCut);
            }
            for (stored, byte) in self.bytes[word_at..].iter_mut().zip(word) {
                *stored &= byte;
            }
            self.programmed[word_at / W] = true;
        }
        Ok(())
    }
}
