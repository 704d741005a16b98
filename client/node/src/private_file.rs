//! Files for their owner's eyes only, written whole or not at all.
//!
//! ```text
//!  bytes ──> <name>.new-<random> (0600, flushed) ──link or rename──> <name> ──> folder flushed
//! ```
//!
//! A crash leaves what was there before, or all of the new; at worst a file `<name>.new-…` beside it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Writes a file that is not there yet; [`io::ErrorKind::AlreadyExists`] if it is.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = write_beside(path, bytes)?;
    // A link, unlike a rename, never takes the place of another file.
    let linked = fs::hard_link(&new, path);
    fs::remove_file(&new)?;
    linked?;
    flush_folder_of(path)
}

/// Writes a file in place of the one that is there.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = write_beside(path, bytes)?;
    if let Err(error) = fs::rename(&new, path) {
        fs::remove_file(&new)?;
        return Err(error);
    }
    flush_folder_of(path)
}

/// Reads a file that has at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let message = format!("it has more than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// Makes a folder, and those above it that are missing, that only the owner may enter.
pub fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Whether others than the owner may read the file. Where permissions are not those of unix, it is
/// not known, and the answer is no.
pub fn is_readable_by_others(path: &Path) -> bool {
    has_any_of(path, 0o044)
}

/// Whether everybody may write the file; else as [`is_readable_by_others`].
pub fn is_writable_by_everybody(path: &Path) -> bool {
    has_any_of(path, 0o002)
}

fn has_any_of(path: &Path, permissions: u32) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & permissions != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = (path, permissions);
        false
    }
}

fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{}", hex::encode(random)));
    let new = PathBuf::from(name);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    if let Err(error) = file.write_all(bytes).and_then(|()| file.sync_all()) {
        fs::remove_file(&new)?;
        return Err(error);
    }
    Ok(new)
}

/// Which files there are is durable only once their folder is.
fn flush_folder_of(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_file_is_created_once_and_replaced_whole() {
        let scratch = Scratch::new();
        let path = scratch.path().join("keys.json");
        create(&path, b"first").unwrap();
        let again = create(&path, b"second").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read(&path, 5).unwrap(), b"first");
        replace(&path, b"second").unwrap();
        assert_eq!(read(&path, 6).unwrap(), b"second");
        // Nothing is left beside it.
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let scratch = Scratch::new();
        let path = scratch.path().join("large");
        create(&path, b"123456").unwrap();
        let error = read(&path, 5).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_written_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let scratch = Scratch::new();
        let folder = scratch.path().join("a/b");
        create_folder(&folder).unwrap();
        assert_eq!(
            fs::metadata(&folder).unwrap().permissions().mode() & 0o777,
            0o700
        );
        let path = folder.join("secret");
        create(&path, b"").unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(!is_readable_by_others(&path));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(is_readable_by_others(&path));
        replace(&path, b"").unwrap();
        assert!(!is_readable_by_others(&path));
    }
}
