//! Restoring a backup.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use tar::{Archive, Entry, EntryType};

use super::manifest::{FORMAT, FileSum, MAX_LENGTH, Manifest, NAME, Summing};
use super::{RESTORED, SESSIONS};
use crate::node::TOKENS_FILE;
use crate::server::TOKEN_FILE;
use crate::{Error, private_file};

/// Restores a backup into a data folder that is missing or empty, all of it or nothing. Its sessions
/// are marked: see [`RESTORED`].
///
/// # Errors
/// [`Error::FailedPrecondition`] if something is in the folder; [`Error::InvalidConfig`] of "backup", which names
/// the file in it that is damaged.
pub fn restore(backup: &Path, data: &Path) -> Result<(), Error> {
    check_empty(data)?;
    let refused = |reason: String| Error::InvalidConfig {
        name: "backup".to_owned(),
        value: backup.display().to_string(),
        reason,
    };
    let file = File::open(backup).map_err(|error| refused(error.to_string()))?;
    let unpacked = Unpacked::make(data)?;
    let manifest = unpacked.fill(file).map_err(refused)?;
    mark(&unpacked.path, &manifest).map_err(Error::internal)?;
    forget_tokens(&unpacked.path).map_err(Error::internal)?;
    sync_folders(&unpacked.path).map_err(Error::internal)?;
    unpacked.put(data).map_err(|error| failed(data, error))
}

fn check_empty(data: &Path) -> Result<(), Error> {
    match fs::read_dir(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(data, error)),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Error::FailedPrecondition {
                message: format!(
                    "{} is not empty: nothing is restored over what is there",
                    data.display()
                ),
            }),
        },
    }
}

/// A folder beside the data folder, gone with this unless it was put in its place.
struct Unpacked {
    path: PathBuf,
    is_placed: bool,
}

impl Unpacked {
    fn make(data: &Path) -> Result<Self, Error> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(Error::internal)?;
        let mut name = data.file_name().unwrap_or_default().to_owned();
        name.push(format!(".restoring-{}", hex::encode(random)));
        let path = data.with_file_name(name);
        private_file::create_folder(&path).map_err(|error| failed(&path, error))?;
        Ok(Self {
            path,
            is_placed: false,
        })
    }

    /// Unpacks a backup and checks everything in it. Errors are in words.
    fn fill(&self, backup: impl Read) -> Result<Manifest, String> {
        let mut archive = Archive::new(backup);
        let entries = archive.entries().map_err(|error| error.to_string())?;
        let mut found = BTreeMap::new();
        let mut last = "its beginning".to_owned();
        let mut manifest = None;
        for entry in entries {
            let entry = entry.map_err(|error| format!("behind {last}: {error}"))?;
            let name = name_of(&entry)?;
            if manifest.is_some() {
                return Err(format!("{name} is behind the manifest"));
            }
            let wrong = |error: io::Error| format!("{name}: {error}");
            if name == NAME {
                manifest = Some(read_manifest(entry)?);
            } else {
                let sum = unpack(entry, &self.path.join(&name)).map_err(wrong)?;
                if found.insert(name.clone(), sum).is_some() {
                    return Err(format!("{name} is there twice"));
                }
            }
            last = name;
        }
        let manifest = manifest.ok_or("it is not whole: the manifest at its end is missing")?;
        compare(&manifest, &found)?;
        Ok(manifest)
    }

    /// Takes the place of the data folder.
    fn put(mut self, data: &Path) -> io::Result<()> {
        if data.exists() {
            // Only an empty one can be removed.
            fs::remove_dir(data)?;
        }
        fs::rename(&self.path, data)?;
        self.is_placed = true;
        match data.parent() {
            Some(parent) if parent != Path::new("") => sync(parent),
            _ => sync(Path::new(".")),
        }
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        if !self.is_placed
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), "what was unpacked stays: {error}");
        }
    }
}

/// The path of an entry, if it is one of a file within the folder.
fn name_of(entry: &Entry<'_, impl Read>) -> Result<String, String> {
    let path = entry.path().map_err(|error| error.to_string())?;
    let name = path.to_str().ok_or("a file's name is no text")?.to_owned();
    let is_within = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || !is_within {
        return Err(format!("{name:?} is no place in a data folder"));
    }
    if entry.header().entry_type() != EntryType::Regular {
        return Err(format!("{name} is no file"));
    }
    Ok(name)
}

fn unpack(entry: Entry<'_, impl Read>, path: &Path) -> io::Result<FileSum> {
    if let Some(folder) = path.parent() {
        private_file::create_folder(folder)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let mut summing = Summing::new(entry);
    io::copy(&mut summing, &mut file)?;
    file.sync_all()?;
    Ok(summing.sum())
}

fn read_manifest(entry: Entry<'_, impl Read>) -> Result<Manifest, String> {
    let mut bytes = Vec::new();
    let read = entry.take(MAX_LENGTH).read_to_end(&mut bytes);
    read.map_err(|error| format!("{NAME}: {error}"))?;
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| format!("{NAME}: {error}"))?;
    if manifest.format != FORMAT {
        let format = manifest.format;
        return Err(format!(
            "it has the format {format:?}; this program knows {FORMAT:?}"
        ));
    }
    Ok(manifest)
}

fn compare(manifest: &Manifest, found: &BTreeMap<String, FileSum>) -> Result<(), String> {
    for (name, sum) in &manifest.files {
        match found.get(name) {
            None => return Err(format!("{name} is missing")),
            Some(found) if found != sum => {
                return Err(format!("{name} is damaged: it is not what was backed up"));
            }
            Some(_) => {}
        }
    }
    match found
        .keys()
        .find(|name| !manifest.files.contains_key(*name))
    {
        Some(name) => Err(format!("{name} was not backed up")),
        None => Ok(()),
    }
}

/// Marks every session.
fn mark(folder: &Path, manifest: &Manifest) -> io::Result<()> {
    let sessions = match fs::read_dir(folder.join(SESSIONS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        sessions => sessions?,
    };
    for session in sessions {
        let path = session?.path();
        if path.is_dir() {
            let text = format!("from a backup made at {}\n", manifest.made_at_s);
            private_file::create(&path.join(RESTORED), text.as_bytes())?;
        }
    }
    Ok(())
}

/// A token that was revoked since, perhaps because it was stolen, must not be good again: all are made
/// anew, beginning with the administrator's.
fn forget_tokens(folder: &Path) -> io::Result<()> {
    for name in [TOKENS_FILE, TOKEN_FILE] {
        match fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Makes durable which files there are.
fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync(folder)
}

fn sync(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn failed(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::internal(format!("{}: {error}", path.display()))
}
