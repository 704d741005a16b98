//! A transport that loses, repeats, delays and reorders.

use std::convert::Infallible;

use perun_watch_stream::{BucketEnd, MAX_MESSAGE_LENGTH, Transport};
use rand_core::{OsRng, RngCore};

/// Messages that the relay keeps.
pub const RELAY_SLOTS: usize = 64;

/// An end of the relay, reached over a bad link.
pub struct Lossy<'a> {
    end: BucketEnd<'a, RELAY_SLOTS>,
    /// What was delayed, to be sent before something else.
    delayed: Vec<Vec<u8>>,
    mishaps: usize,
}

impl<'a> Lossy<'a> {
    pub fn over(end: BucketEnd<'a, RELAY_SLOTS>) -> Self {
        Self {
            end,
            delayed: Vec::new(),
            mishaps: 0,
        }
    }

    /// How many messages did not arrive as they were sent.
    pub fn mishaps(&self) -> usize {
        self.mishaps
    }
}

/// Room for any message.
pub fn buffer() -> [u8; MAX_MESSAGE_LENGTH] {
    [0; MAX_MESSAGE_LENGTH]
}

impl Transport for Lossy<'_> {
    type Error = Infallible;

    fn send(&mut self, message: &[u8]) -> Result<(), Infallible> {
        let fate = OsRng.next_u32() % 10;
        self.mishaps += usize::from(fate < 6);
        match fate {
            0..3 => {}
            3 => {
                self.end.send(message)?;
                self.end.send(message)?;
            }
            4..6 => self.delayed.push(message.to_vec()),
            _ => {
                self.end.send(message)?;
                for late in self.delayed.drain(..) {
                    self.end.send(&late)?;
                }
            }
        }
        Ok(())
    }

    fn receive(&mut self, into: &mut [u8]) -> Result<Option<usize>, Infallible> {
        while let Some(length) = self.end.receive(into)? {
            if OsRng.next_u32().is_multiple_of(5) {
                self.mishaps += 1;
                continue;
            }
            return Ok(Some(length));
        }
        Ok(None)
    }
}
