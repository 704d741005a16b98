//! What a backup says of itself: its files, with their hashes.

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Its name in the backup. It is the last file: without it the backup was cut short.
pub(super) const NAME: &str = "manifest.json";
/// What this program writes and reads.
pub(super) const FORMAT: &str = "perun-backup/1";
/// The longest manifest that is read.
pub(super) const MAX_LENGTH: u64 = 64 << 20;

/// What a backup has.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) format: String,
    /// The version of the program that has made it.
    pub(super) version: String,
    /// When it was begun, in seconds since 1970.
    pub(super) made_at_s: i64,
    /// By path.
    pub(super) files: BTreeMap<String, FileSum>,
}

/// How a file is recognised.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileSum {
    pub(super) length: u64,
    pub(super) sha256: String,
}

/// Passes bytes on and sums them.
pub(super) struct Summing<R> {
    inner: R,
    length: u64,
    hash: Sha256,
}

impl<R> Summing<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            length: 0,
            hash: Sha256::new(),
        }
    }

    pub(super) fn sum(self) -> FileSum {
        FileSum {
            length: self.length,
            sha256: hex::encode(self.hash.finalize()),
        }
    }
}

impl<R: Read> Read for Summing<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(bytes)?;
        self.length += count as u64;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }
}
