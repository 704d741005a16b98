//! Files with secrets, made once.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

/// Writes a file that is not there yet, for its owner's eyes only; durable when this returns.
///
/// # Errors
/// What the system says, [`io::ErrorKind::AlreadyExists`] among others.
pub(crate) fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(contents)?;
    file.sync_all()
}
