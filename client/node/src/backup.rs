//! Backups of a running node, and restoring them.
//!
//! ```text
//!  data folder ──files that nobody writes in place───────────────┐
//!  stores, histories, calls, tokens ──each a copy of one moment──┴──> tar, manifest.json at its end
//!
//!  tar ──> a folder beside the data folder ──every file checked──> data folder, sessions marked
//! ```
//!
//! Open sessions whose folders are elsewhere (`session-folders`) are in the backup as well. A restore puts
//! them among the others in the data folder: where they were, the files may still be those that are newer.
//!
//! Each thing that is in use makes a copy of itself. Of a session the store is copied first and the
//! calls with keys after it: what the store knows was done has its key in the backup, so that after a
//! restore it is not done again.
//!
//! A backup is old at the moment when it was made. Whoever registers an old state of a channel can lose
//! all of it, so each restored session is marked ([`RESTORED`]) until the peers of all its channels have
//! shown how far they are.
//!
//! A restored subscriber of a device's watch stream is an old copy, too. It goes on with numbers that the
//! original has not come to, since the device passes over those that it has heard.
//!
//! A backup has everything that the node knows: users' keys are encrypted in it, but the key of its
//! certificate and the administrator's token are not.

mod manifest;
mod restore;
mod write;

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::devices::Devices;
use crate::node::{Node, TOKENS_FILE};
use crate::session::Session;
use crate::users::FOLDER as SESSIONS;

pub use self::restore::restore;

/// The file in a session's folder that says that it was restored, and not all of its channels are
/// confirmed by their peers yet.
pub const RESTORED: &str = "restored";

/// Copies something that is in use to a new place.
type Copy = Box<dyn Fn(&Path) -> Result<(), Error> + Send>;

/// Something that is in use, and copies itself.
pub(crate) struct Live {
    /// Where it is, a file or a folder.
    path: PathBuf,
    /// Copies it as it is at one moment to a path where nothing is.
    copy: Copy,
}

/// Writes a backup of a node, sessions that are open among others, while everything goes on. Waits for
/// the disk.
///
/// # Errors
/// [`Error::Internal`] if something cannot be read or written; [`Error::FailedPrecondition`] if a
/// session is opened meanwhile. What was written then is no backup.
pub fn write_backup(node: &Node, out: impl Write) -> Result<(), Error> {
    let data = &node.settings().data;
    let sessions = node.open_sessions();
    let folders = sessions.iter().map(|session| session.folder().to_owned());
    let elsewhere: Vec<_> = folders.filter(|folder| !folder.starts_with(data)).collect();
    let mut live: Vec<Live> = sessions.iter().flat_map(Session::live).collect();
    live.extend(node.devices().into_iter().flat_map(Devices::live));
    live.push(node.watching().live());
    // Last: all that the stores know was spent is in it.
    let tokens = node.tokens().clone();
    live.push(Live::new(data.join(TOKENS_FILE), move |to| {
        tokens.copy_to(to)
    }));
    write::write(data, &elsewhere, &live, out)
}

impl Live {
    pub(crate) fn new(
        path: PathBuf,
        copy: impl Fn(&Path) -> Result<(), Error> + Send + 'static,
    ) -> Self {
        Self {
            path,
            copy: Box::new(copy),
        }
    }
}

#[cfg(test)]
mod tests;
