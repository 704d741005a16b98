//! Restoring a backup.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write as _};
use std::path::{Component, Path, PathBuf};

use tar::{Archive, Entry, EntryType};

use super::RESTORED;
use super::manifest::{FORMAT, FileSum, MAX_LENGTH, Manifest, NAME, Summing};
use crate::node::{SESSION_FILE, TOKENS_FILE};
use crate::server::TOKEN_FILE;
use crate::{Error, devices, private_file};

/// Restores a backup into a data folder that is missing or empty, all of it or nothing. Its sessions
/// are marked: see [`RESTORED`].
///
/// # Errors
/// [`Error::FailedPrecondition`] if something is in the folder, if the disk is full, or if the folder is a
/// file system of its own; [`Error::InvalidConfig`] of "backup", which names the file in it that is damaged.
pub fn restore(backup: &Path, data: &Path) -> Result<(), Error> {
    check_empty(data)?;
    check_place(data)?;
    let refused = |reason: String| Error::InvalidConfig {
        name: "backup".to_owned(),
        value: backup.display().to_string(),
        reason,
    };
    let file = File::open(backup).map_err(|error| refused(error.to_string()))?;
    let unpacked = Unpacked::make(data)?;
    let manifest = unpacked.fill(file).map_err(|stop| match stop {
        Stop::Backup(reason) => refused(reason),
        Stop::Disk(error) => failed(data, error),
    })?;
    let marked = mark(&unpacked.path, &manifest)
        .and_then(|()| forget_tokens(&unpacked.path))
        .and_then(|()| devices::renumber_streams(&unpacked.path))
        .and_then(|()| sync_folders(&unpacked.path));
    marked.map_err(|error| failed(data, error))?;
    unpacked.put(data).map_err(|error| failed(data, error))
}

/// Why a backup is not unpacked.
enum Stop {
    /// What is wrong with it, in words.
    Backup(String),
    /// It cannot be written.
    Disk(io::Error),
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Backup(reason)
    }
}

impl From<&str> for Stop {
    fn from(reason: &str) -> Self {
        Self::Backup(reason.to_owned())
    }
}

fn check_empty(data: &Path) -> Result<(), Error> {
    match fs::read_dir(data) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
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

/// What is unpacked beside a folder can take its place, unless another file system begins there.
fn check_place(data: &Path) -> Result<(), Error> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let device = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.dev());
        let folder = device(data);
        if folder.is_some() && folder != data.parent().and_then(device) {
            let data = data.display();
            let message = format!(
                "{data} is a file system of its own, and nothing can take its place at once: restore into \
                 a folder in it, like {data}/perund"
            );
            return Err(Error::FailedPrecondition { message });
        }
    }
    #[cfg(not(unix))]
    let _ = data;
    Ok(())
}

/// A folder beside the data folder, gone with this unless it was put in its place.
struct Unpacked {
    path: PathBuf,
    /// Folders above it that were not there, innermost first.
    above: Vec<PathBuf>,
    is_placed: bool,
}

impl Unpacked {
    fn make(data: &Path) -> Result<Self, Error> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(Error::internal)?;
        let mut name = data.file_name().unwrap_or_default().to_owned();
        name.push(format!(".restoring-{}", hex::encode(random)));
        let path = data.with_file_name(name);
        let above = path.ancestors().skip(1);
        let above = above.take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        let above = above.map(Path::to_owned).collect();
        private_file::create_folder(&path).map_err(|error| failed(&path, error))?;
        Ok(Self {
            path,
            above,
            is_placed: false,
        })
    }

    /// Unpacks a backup and checks everything in it.
    fn fill(&self, backup: impl Read) -> Result<Manifest, Stop> {
        let mut archive = Archive::new(backup);
        let entries = archive.entries().map_err(|error| error.to_string())?;
        let mut found = BTreeMap::new();
        let mut last = "its beginning".to_owned();
        let mut manifest = None;
        for entry in entries {
            let entry = entry.map_err(|error| format!("behind {last}: {error}"))?;
            let name = name_of(&entry)?;
            if manifest.is_some() {
                return Err(format!("{name} is behind the manifest").into());
            }
            if name == NAME {
                manifest = Some(read_manifest(entry)?);
            } else {
                if found.contains_key(&name) {
                    return Err(format!("{name} is there twice").into());
                }
                let sum = unpack(entry, &name, &self.path.join(&name))?;
                found.insert(name.clone(), sum);
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
        if self.is_placed {
            return;
        }
        let removed = fs::remove_dir_all(&self.path);
        let mut above = self.above.iter();
        if let Err(error) = removed.and_then(|()| above.try_for_each(fs::remove_dir)) {
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

fn unpack(entry: Entry<'_, impl Read>, name: &str, path: &Path) -> Result<FileSum, Stop> {
    let mut file = create(path).map_err(Stop::Disk)?;
    let mut summing = Summing::new(entry);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = summing.read(&mut buffer);
        let read = read.map_err(|error| format!("{name}: {error}"))?;
        if read == 0 {
            break;
        }
        file.write_all(&buffer[..read]).map_err(Stop::Disk)?;
    }
    file.sync_all().map_err(Stop::Disk)?;
    Ok(summing.sum())
}

fn create(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        private_file::create_folder(folder)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
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

/// Marks every session, wherever it is.
fn mark(folder: &Path, manifest: &Manifest) -> io::Result<()> {
    if folder.join(SESSION_FILE).is_file() {
        let text = format!("from a backup made at {}\n", manifest.made_at_s);
        private_file::create(&folder.join(RESTORED), text.as_bytes())?;
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            mark(&entry.path(), manifest)?;
        }
    }
    Ok(())
}

/// A token that was revoked since, perhaps because it was stolen, must not be good again: all are made
/// anew, beginning with the administrator's.
fn forget_tokens(folder: &Path) -> io::Result<()> {
    for name in [TOKENS_FILE, TOKEN_FILE] {
        match fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
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

fn failed(data: &Path, error: io::Error) -> Error {
    let data = data.display();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::FailedPrecondition {
            message: format!("there is no room for {data}: {error}; nothing was restored"),
        },
        _ => Error::internal(format!("{data}: {error}")),
    }
}
