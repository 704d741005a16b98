//! What of a session copies itself into a backup.

use std::path::Path;
use std::sync::Arc;

use super::Session;
use crate::backup::Live;
use crate::{Error, history};

/// The name of the file with the calls that have keys.
pub(super) const CALLS: &str = "calls.redb";

impl Session {
    /// Where it and all of its files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is in use, in the order in which it is to be copied: what the store knows was done has its
    /// key in the calls.
    pub(crate) fn live(self: &Arc<Self>) -> Vec<Live> {
        let folder = &self.folder;
        let live = |path, copy: fn(&Self, &Path) -> Result<(), Error>| {
            let session = Arc::clone(self);
            Live::new(path, move |to| copy(&session, to))
        };
        vec![
            live(self.database.clone(), |session, to| {
                session.store.copy_to(to).map_err(Error::internal)
            }),
            live(folder.join(history::FILE), |session, to| {
                session.history.copy_to(to)
            }),
            live(folder.join(CALLS), |session, to| session.calls.copy_to(to)),
        ]
    }
}
