//! The disk under a store: a folder of files that are written at places and flushed.
//!
//! [`Folder`] is the real one. Tests and benches put others in its place, that fail, that are slow,
//! or that forget what was not flushed.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::StoreError;

/// The name of the file by which a folder is locked.
pub(super) const LOCK: &str = "lock";

/// A folder of files.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Opens a file; `None` if there is none.
    fn open(&self, name: &str) -> io::Result<Option<Arc<dyn DiskFile>>>;

    /// Makes an empty file, in place of one that is there.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, in place of a file that has it, at once or not at all.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of the files.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Makes durable which files there are.
    fn sync(&self) -> io::Result<()>;
}

/// A file on a disk.
pub trait DiskFile: fmt::Debug + Send + Sync + 'static {
    /// Its bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has none.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads all of `bytes` from this place.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` to this place; the file grows as needed.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file, or extends it by zeros.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Makes durable everything written before, and the length.
    fn sync_data(&self) -> io::Result<()>;
}

/// A folder of the file system, open for one process and handle at a time, and (on unix) for its
/// owner only.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Held until this value is dropped.
    _lock: File,
}

impl Folder {
    /// Opens the folder, or makes it; its parent must exist. Refused if it is open elsewhere.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        make(path).map_err(StoreError::io("making its folder"))?;
        let lock = options()
            .create(true)
            .open(path.join(LOCK))
            .map_err(StoreError::io("opening its lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse {
                path: path.to_owned(),
            }),
            Err(TryLockError::Error(error)) => Err(StoreError::io("locking its folder")(error)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Disk for Folder {
    fn open(&self, name: &str) -> io::Result<Option<Arc<dyn DiskFile>>> {
        match options().open(self.path.join(name)) {
            Ok(file) => Ok(Some(Arc::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.path.join(name);
        Ok(Arc::new(options().create(true).truncate(true).open(path)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // Ours have names that are text.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn sync(&self) -> io::Result<()> {
        sync_folder(&self.path)
    }
}

impl DiskFile for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, bytes, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, mut offset: u64, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = std::os::windows::fs::FileExt::seek_read(self, bytes, offset)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            offset += count as u64;
            bytes = &mut bytes[count..];
        }
        Ok(())
    }

    #[cfg(windows)]
    fn write_at(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = std::os::windows::fs::FileExt::seek_write(self, bytes, offset)?;
            offset += count as u64;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        File::set_len(self, length)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }
}

/// How the store's files are opened: to be read and written by their owner alone.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a folder for its owner alone, durably, unless it is there.
fn make(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Ok(()) => match path.parent() {
            Some(parent) if parent != Path::new("") => sync_folder(parent),
            _ => sync_folder(Path::new(".")),
        },
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes durable which files a folder has. Where folders cannot be opened there is no such call.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}
