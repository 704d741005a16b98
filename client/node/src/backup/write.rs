//! Making a backup.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write};
use std::path::{Path, PathBuf};

use perun_client::store::StoreError;
use perun_client::store::disk::Folder;
use tar::{Builder, EntryType, Header};

use super::manifest::{FORMAT, FileSum, Manifest, NAME, Summing};
use super::{Live, RESTORED, SESSIONS};
use crate::node::SESSION_FILE;
use crate::session::config::SessionConfig;
use crate::{Error, clock, private_file};

/// Of a store; made anew where it is opened.
const LOCK: &str = "lock";
/// Where copies are made until they are in the backup.
const COPIES: &str = ".backup-";

/// Writes a backup of a data folder. `elsewhere` are the folders of sessions that are not in it: in the
/// backup they are among the others. `live` are the things that are in use, in the order in which they are
/// to be copied.
pub(super) fn write(
    data: &Path,
    elsewhere: &[PathBuf],
    live: &[Live],
    out: impl Write,
) -> Result<(), Error> {
    let made_at_s = clock::seconds();
    let copies = Copies::make(data)?;
    let mut backup = Backup {
        data,
        elsewhere,
        tar: Builder::new(out),
        files: BTreeMap::new(),
        made_at_s,
    };
    backup.check_names()?;
    for live in live {
        let copy = copies.0.join("copy");
        (live.copy)(&copy)?;
        backup.add(&copy, &live.path, &[])?;
        remove(&copy).map_err(|error| failed(&copy, error))?;
    }
    let in_use: Vec<&Path> = live.iter().map(|live| live.path.as_path()).collect();
    backup.add(data, data, &in_use)?;
    for folder in elsewhere {
        backup.add(folder, folder, &in_use)?;
    }
    backup.finish()
}

struct Backup<'a, W: Write> {
    data: &'a Path,
    elsewhere: &'a [PathBuf],
    tar: Builder<W>,
    files: BTreeMap<String, FileSum>,
    made_at_s: i64,
}

impl<W: Write> Backup<'_, W> {
    /// Two users of one name could not be put back.
    fn check_names(&self) -> Result<(), Error> {
        for folder in self.elsewhere {
            let taken = self.data.join(name_of(folder)?);
            if taken.exists() {
                let (folder, taken) = (folder.display(), taken.display());
                let message =
                    format!("{folder} and {taken} have the same name: rename one of them");
                return Err(Error::FailedPrecondition { message });
            }
        }
        Ok(())
    }

    /// Adds a file or folder as if it were at `place`, without what is in `but`.
    fn add(&mut self, path: &Path, place: &Path, but: &[&Path]) -> Result<(), Error> {
        let metadata = match self.may_be_linked(place) {
            true => fs::metadata(path),
            false => fs::symlink_metadata(path),
        };
        let kind = match metadata {
            // Somebody has put another in its place, or it was for a moment only.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            metadata => metadata.map_err(|error| failed(path, error))?.file_type(),
        };
        if kind.is_dir() {
            return self.add_folder(path, place, but);
        }
        if !kind.is_file() {
            tracing::warn!(path = %path.display(), "it is no file, and not in the backup");
            return Ok(());
        }
        self.add_file(path, place)
    }

    fn add_folder(&mut self, path: &Path, place: &Path, but: &[&Path]) -> Result<(), Error> {
        // A session that is not open must not be opened meanwhile; nobody else writes in it.
        let database = database_of(path).filter(|database| !but.contains(&&**database));
        let _locked = database.map(|database| lock(&database)).transpose()?;
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(|error| failed(path, error))? {
            names.push(entry.map_err(|error| failed(path, error))?.file_name());
        }
        names.sort();
        for name in names {
            let (path, place) = (path.join(&name), place.join(&name));
            if but.contains(&&*path) || is_left_out(&name.to_string_lossy()) {
                continue;
            }
            self.add(&path, &place, but)?;
        }
        Ok(())
    }

    fn add_file(&mut self, path: &Path, place: &Path) -> Result<(), Error> {
        let failed = |error: &dyn std::fmt::Display| failed(path, error);
        let name = self.name(place)?;
        let file = File::open(path).map_err(|error| failed(&error))?;
        let metadata = file.metadata().map_err(|error| failed(&error))?;
        let length = metadata.len();
        // A log may grow meanwhile: what it had is in the backup.
        let mut summing = Summing::new(file.take(length));
        let mut header = header(length, self.made_at_s);
        self.tar
            .append_data(&mut header, &name, &mut summing)
            .map_err(|error| failed(&error))?;
        let sum = summing.sum();
        if sum.length != length {
            // The backup would go on in the middle of it.
            return Err(failed(&"it was cut while it was read"));
        }
        self.files.insert(name, sum);
        Ok(())
    }

    /// Users' folders may be elsewhere, and only a link to them here. No other link is followed.
    fn may_be_linked(&self, place: &Path) -> bool {
        let sessions = self.data.join(SESSIONS);
        place == sessions || place.parent() == Some(&sessions)
    }

    /// How a place is called in the backup: relative, with slashes.
    fn name(&self, place: &Path) -> Result<String, Error> {
        let mut folders = self.elsewhere.iter();
        let relative = match folders.find(|folder| place.starts_with(folder)) {
            Some(folder) => {
                let within = place.strip_prefix(folder).map_err(Error::internal)?;
                name_of(folder)?.join(within)
            }
            None => {
                let within = place.strip_prefix(self.data).map_err(Error::internal)?;
                within.to_owned()
            }
        };
        let parts = relative.iter().map(|part| {
            let text = part.to_str().map(str::to_owned);
            text.ok_or_else(|| failed(place, "its name is no text"))
        });
        Ok(parts.collect::<Result<Vec<_>, _>>()?.join("/"))
    }

    fn finish(mut self) -> Result<(), Error> {
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            made_at_s: self.made_at_s,
            files: self.files,
        };
        let manifest = serde_json::to_vec_pretty(&manifest).map_err(Error::internal)?;
        let mut header = header(manifest.len() as u64, self.made_at_s);
        let added = self.tar.append_data(&mut header, NAME, &*manifest);
        added
            .and_then(|()| self.tar.into_inner())
            .and_then(|mut out| out.flush())
            .map_err(Error::internal)
    }
}

/// Where a session that lies elsewhere is put back.
fn name_of(folder: &Path) -> Result<PathBuf, Error> {
    let name = folder.file_name();
    let name = name.ok_or_else(|| failed(folder, "a session's folder has a name"))?;
    Ok(Path::new(SESSIONS).join(name))
}

/// Where the store is of a user with this folder, if it is one and has one.
fn database_of(folder: &Path) -> Option<PathBuf> {
    let file = folder.join(SESSION_FILE);
    // What cannot be read cannot be opened meanwhile.
    let config = SessionConfig::read(&file).ok()?;
    Some(config.database).filter(|database| database.is_dir())
}

/// Holds a store's lock.
fn lock(database: &Path) -> Result<Folder, Error> {
    Folder::open(database).map_err(|error| match error {
        StoreError::InUse { .. } => Error::FailedPrecondition {
            message: format!(
                "{} was opened while the backup was made; make it again",
                database.display()
            ),
        },
        error => Error::internal(error),
    })
}

/// Locks, files that are being written, copies of other backups, and that this is a restored session:
/// a restore of this says so anew.
fn is_left_out(name: &str) -> bool {
    name == LOCK || name == RESTORED || name.contains(".new-") || name.starts_with(COPIES)
}

fn header(length: u64, made_at_s: i64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(length);
    header.set_mode(0o600);
    header.set_mtime(u64::try_from(made_at_s).unwrap_or(0));
    header
}

fn failed(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::internal(format!("{}: {error}", path.display()))
}

fn remove(path: &Path) -> std::io::Result<()> {
    match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

/// A folder for copies, gone with this.
struct Copies(PathBuf);

impl Copies {
    fn make(data: &Path) -> Result<Self, Error> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(Error::internal)?;
        let path = data.join(format!("{COPIES}{}", hex::encode(random)));
        private_file::create_folder(&path).map_err(|error| failed(&path, error))?;
        Ok(Self(path))
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), "copies of a backup stay: {error}");
        }
    }
}
