//! A transport of files in a folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process;

use perun_watch_stream::{MAX_MESSAGE_LENGTH, Transport};

/// A folder with a file for each message, named by its place: `00000000.msg` and on. Several programs can
/// send to it and receive from it.
pub struct Folder {
    path: PathBuf,
    /// The place of the next message to receive.
    next: u32,
}

impl Folder {
    /// The folder at `path`, which is made if there is none. Receives from its first message on.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        fs::create_dir_all(&path)?;
        Ok(Self { path, next: 0 })
    }

    fn message(&self, place: u32) -> PathBuf {
        self.path.join(format!("{place:08}.msg"))
    }
}

impl Transport for Folder {
    type Error = io::Error;

    /// A reader sees the message whole or not at all: it is written under another name and then linked to
    /// the first place that is free.
    fn send(&mut self, message: &[u8]) -> Result<(), io::Error> {
        let draft = self.path.join(format!("{}.draft", process::id()));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&draft)?;
        file.write_all(message)?;
        let mut place = self.next;
        let placed = loop {
            match fs::hard_link(&draft, self.message(place)) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => place += 1,
                placed => break placed,
            }
        };
        fs::remove_file(&draft)?;
        placed
    }

    fn receive(&mut self, into: &mut [u8]) -> Result<Option<usize>, io::Error> {
        loop {
            let Some(bytes) = read(&self.message(self.next))? else {
                return Ok(None);
            };
            self.next += 1;
            if let Some(into) = into.get_mut(..bytes.len()) {
                into.copy_from_slice(&bytes);
                return Ok(Some(bytes.len()));
            }
        }
    }
}

/// The file's bytes, but no more than tell that it is too long; `None` if there is no such file.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(MAX_MESSAGE_LENGTH as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
