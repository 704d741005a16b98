//! A stream's records in two files.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use perun_watch_stream::{Record, Storage};
use sha2::{Digest as _, Sha256};

const DIGEST_LENGTH: usize = 32;

/// The records of one stream in a folder of their own, for the owner's eyes only: they hold secret keys.
///
/// A record is replaced by a new file that takes the old one's name once it is durable, and ends with its
/// SHA-256, so that damage is told.
#[derive(Debug)]
pub struct StreamFiles {
    folder: PathBuf,
}

impl StreamFiles {
    /// In this folder, which is made if it is not there.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
        let folder = folder.to_owned();
        Ok(Self { folder })
    }

    fn path(&self, record: Record) -> PathBuf {
        self.folder.join(match record {
            Record::Reservation => "reservation",
            Record::State => "state",
        })
    }
}

impl Storage for StreamFiles {
    type Error = io::Error;

    fn load(&mut self, record: Record, into: &mut [u8]) -> io::Result<Option<usize>> {
        let path = self.path(record);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let damaged = || {
            let text = format!("{} is damaged", path.display());
            io::Error::new(ErrorKind::InvalidData, text)
        };
        let length = bytes.len().checked_sub(DIGEST_LENGTH);
        let (contents, digest) = bytes.split_at(length.ok_or_else(damaged)?);
        if digest != &Sha256::digest(contents)[..] {
            return Err(damaged());
        }
        let place = into.get_mut(..contents.len()).ok_or_else(damaged)?;
        place.copy_from_slice(contents);
        Ok(Some(contents.len()))
    }

    fn store(&mut self, record: Record, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(record);
        let new = path.with_extension("new");
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&new)?;
        file.write_all(bytes)?;
        file.write_all(&Sha256::digest(bytes))?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&self.folder)?.sync_all()
    }
}
