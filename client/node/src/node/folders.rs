//! Users' folders: which there are, and what may be opened because a caller names it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use perun_protocol::signature::Signer as _;

use super::Node;
use crate::Error;
use crate::contacts::show_identity;
use crate::keystore::Keystore;
use crate::session::Session;
use crate::session::config::SessionConfig;

/// What a user's configuration file is called.
pub const SESSION_FILE: &str = "session.yaml";

/// A user whose folder is there.
pub struct User {
    /// Its name.
    pub name: String,
    /// Its configuration file.
    pub file: PathBuf,
    /// Its session, if it is open.
    pub session: Option<Arc<Session>>,
}

impl User {
    /// Its off-chain identity as text, if its keys are there.
    pub fn identity(&self) -> Option<String> {
        if let Some(session) = &self.session {
            return Some(show_identity(&session.keys().off_chain.public_key()));
        }
        let config = SessionConfig::read(&self.file).ok()?;
        let keystore = Keystore::open(&config.off_chain_wallet.keystore).ok()?;
        Some(show_identity(&keystore.public().off_chain))
    }
}

impl Node {
    /// The users that have a folder here, by name.
    ///
    /// # Errors
    /// [`Error::Internal`] if the folder cannot be read.
    pub fn users(&self) -> Result<Vec<User>, Error> {
        let folder = self.users_folder();
        let open = self.open_sessions();
        let mut users = Vec::new();
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(users),
            Err(error) => return Err(Error::internal(format!("{}: {error}", folder.display()))),
        };
        for entry in entries {
            let folder = entry.map_err(Error::internal)?.path();
            let file = folder.join(SESSION_FILE);
            let Some(name) = folder
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
            else {
                continue;
            };
            if !file.is_file() {
                continue;
            }
            let session = open.iter().find(|session| session.name() == name).cloned();
            users.push(User {
                name,
                file,
                session,
            });
        }
        users.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(users)
    }

    /// The file that a caller names, if it may be read at all: whoever may open sessions must not learn
    /// what else lies on this machine.
    pub(super) fn permitted(&self, file: &str) -> Result<PathBuf, Error> {
        let folders = std::iter::once(self.users_folder())
            .chain(self.settings.session_folders.iter().cloned());
        let folders: Vec<_> = folders
            .filter_map(|folder| folder.canonicalize().ok())
            .collect();
        let asked = [
            self.settings.data.join(file),
            self.users_folder().join(file),
        ];
        let mut found = asked.iter().filter_map(|path| path.canonicalize().ok());
        let permitted = found.find(|path| {
            is_session_file(path) && folders.iter().any(|folder| path.starts_with(folder))
        });
        let permitted = permitted.map(|path| self.as_among_users(path));
        permitted.ok_or_else(|| {
            let requirement = format!(
                "a session.yaml in {} is expected, or in a folder of the setting sessionFolders",
                self.users_folder().display()
            );
            Error::invalid("configFile", file, requirement)
        })
    }

    /// The same file by its place among the users, if it has one by a link: a user has one folder.
    fn as_among_users(&self, file: PathBuf) -> PathBuf {
        let name = file.parent().and_then(Path::file_name);
        let place = name.map(|name| self.users_folder().join(name).join(SESSION_FILE));
        let is_it = |place: &PathBuf| place.canonicalize().is_ok_and(|place| place == file);
        place.filter(is_it).unwrap_or(file)
    }
}

/// Whether a path is a user's configuration: nothing else is opened because a caller names it.
fn is_session_file(path: &Path) -> bool {
    path.is_file() && path.file_name() == Some(SESSION_FILE.as_ref())
}

/// Whether a text can name a user: it becomes a folder's name.
///
/// # Errors
/// [`Error::InvalidArgument`].
pub fn check_name(name: &str) -> Result<(), Error> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    // What means something else in the data folder.
    let is_taken = matches!(name, "lock" | "restored");
    if (1..=64).contains(&name.len()) && name.bytes().all(is_good) && !is_taken {
        return Ok(());
    }
    let requirement = "1 to 64 letters, digits, \"-\" and \"_\" are expected";
    Err(Error::invalid("name", name, requirement))
}
