//! A file that is written as it comes in, whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::failure::Failure;

/// A file that was not there. It is gone with this, unless it was finished: half of it must not be taken
/// for all.
pub struct NewFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    is_whole: bool,
}

impl NewFile {
    /// Makes it, for its owner only.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let opened = options.open(path);
        Ok(Self {
            file: opened.map_err(|error| Failure::own(path.display(), error))?,
            path: path.to_owned(),
            bytes: 0,
            is_whole: false,
        })
    }

    /// Adds to it.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        self.bytes += chunk.len() as u64;
        let written = self.file.write_all(chunk);
        written.map_err(|error| Failure::own(self.path.display(), error))
    }

    /// Makes it durable. How many bytes it has.
    pub fn finish(mut self) -> Result<u64, Failure> {
        let synced = self.file.sync_all();
        synced.map_err(|error| Failure::own(self.path.display(), error))?;
        self.is_whole = true;
        Ok(self.bytes)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_whole {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn half_a_file_does_not_stay() {
        let scratch = Scratch::new();
        let path = scratch.path().join("file");
        let mut half = NewFile::create(&path).unwrap();
        half.write(b"half").unwrap();
        assert!(NewFile::create(&path).is_err());
        drop(half);
        assert!(!path.exists());
        let mut whole = NewFile::create(&path).unwrap();
        whole.write(b"whole").unwrap();
        assert_eq!(whole.finish().unwrap(), 5);
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert!(NewFile::create(&path).is_err());
        assert!(path.exists());
    }
}
