//! What survives a restart: a folder for each stream, a file for each message.
//!
//! A file is written under another name, made durable and renamed, so that it is whole or not there. What is
//! found at a start is verified like what strangers send.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use perun_watch_stream::StreamId;

use crate::frames::MAX_BODY_LENGTH;
use crate::stream::hex;

/// The folder of all streams.
pub(crate) struct Files {
    root: PathBuf,
}

/// What is being written.
const DRAFT: &str = "draft";

/// The files of one stream: name and contents.
pub(crate) type Found = Vec<(String, Vec<u8>)>;

impl Files {
    /// The folder at `root`, which is made if it is not there.
    pub(crate) fn open(root: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&root)?;
        Ok(Self { root })
    }

    /// Writes a file; it is durable when this returns.
    pub(crate) fn put(&self, stream: StreamId, name: &str, bytes: &[u8]) -> io::Result<()> {
        let folder = self.folder(stream);
        if !folder.exists() {
            fs::create_dir(&folder)?;
            sync_folder(&self.root)?;
        }
        let draft = folder.join(DRAFT);
        let mut file = File::create(&draft)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&draft, folder.join(name))?;
        sync_folder(&folder)
    }

    /// Removes a file. That it comes back after a power cut does no harm.
    pub(crate) fn remove(&self, stream: StreamId, name: &str) -> io::Result<()> {
        match fs::remove_file(self.folder(stream).join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The files of each stream, by name. Drafts, and files that are longer than any message, are passed over.
    pub(crate) fn load(&self) -> io::Result<Vec<Found>> {
        let mut streams = Vec::new();
        for folder in fs::read_dir(&self.root)? {
            let folder = folder?.path();
            if folder.is_dir() {
                streams.push(load(&folder)?);
            }
        }
        Ok(streams)
    }

    fn folder(&self, stream: StreamId) -> PathBuf {
        self.root.join(hex(&stream.0))
    }
}

fn load(folder: &Path) -> io::Result<Found> {
    let mut found = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        let is_short = file.metadata()?.len() <= (MAX_BODY_LENGTH + 32) as u64;
        if let (true, Ok(name)) = (is_short, file.file_name().into_string())
            && name != DRAFT
        {
            found.push((name, fs::read(file.path())?));
        }
    }
    found.sort();
    Ok(found)
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
