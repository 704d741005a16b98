//! Contacts: which peers a user knows, by which names, and where they listen.
//!
//! ```text
//!  contacts.yaml ──open──> aliases ──> Peer <── identities
//!        ^                    │
//!        └── rename, flushed ─┴── add, remove: the file is read again first
//! ```
//!
//! The file is perun-node's ID provider file, with our identities:
//!
//! ```yaml
//! bob:
//!   alias: bob
//!   comm_address: 127.0.0.1:5752
//!   comm_type: tcp
//!   offchain_address: "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"
//! ```
//!
//! Invariant: an alias has one identity and an identity one alias. People may edit the file while a
//! session is open: a change is made to what the file says then, and is refused if that makes no
//! sense, so nobody's work is written over. Only comments are lost.

mod book;
mod peer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use perun_protocol::PublicKey;

use self::book::Book;
use crate::{Error, Resource, private_file};

pub use self::peer::{COMM_TYPE, Peer, SELF, read_identity, show_identity};

/// The contacts of a user.
pub struct Contacts {
    path: PathBuf,
    book: RwLock<Arc<Book>>,
    /// Held while the file is changed, so that readers need not wait for the disk.
    changing: Mutex<()>,
}

impl Contacts {
    /// Reads the file; without one there are no contacts yet. The folder must exist.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`], which names the line.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            path: path.to_owned(),
            book: RwLock::new(Arc::new(Book::read(path)?)),
            changing: Mutex::new(()),
        })
    }

    /// Adds a contact; it is durable when this returns. Waits for the disk.
    ///
    /// # Errors
    /// [`Error::Exists`] if the alias or the identity is known, even as the same contact.
    pub fn add(&self, peer: Peer) -> Result<(), Error> {
        peer.check()?;
        self.change(|book| {
            if book.named(&peer.alias).is_some() {
                return Err(Error::exists(Resource::PeerId, peer.alias));
            }
            if let Some(known) = book.of_identity(&peer.identity) {
                return Err(Error::exists(Resource::PeerId, known.alias.clone()));
            }
            book.insert(peer);
            Ok(())
        })
    }

    /// Forgets a contact; durable when this returns. Waits for the disk. Channels with the peer go
    /// on.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn remove(&self, alias: &str) -> Result<Peer, Error> {
        self.change(|book| {
            let removed = book.remove(alias);
            removed.ok_or_else(|| Error::not_found(Resource::PeerId, alias))
        })
    }

    /// The contact with this name.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn get(&self, alias: &str) -> Result<Peer, Error> {
        let book = self.book();
        let peer = book.named(alias).cloned();
        peer.ok_or_else(|| Error::not_found(Resource::PeerId, alias))
    }

    /// The contact with this off-chain identity.
    pub fn by_identity(&self, identity: &PublicKey) -> Option<Peer> {
        self.book().of_identity(identity).cloned()
    }

    /// All contacts, in the order of their aliases.
    pub fn list(&self) -> Vec<Peer> {
        self.book().iter().cloned().collect()
    }

    fn book(&self) -> Arc<Book> {
        let book = self.book.read();
        Arc::clone(&book.unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Book) -> Result<T, Error>) -> Result<T, Error> {
        let changing = self.changing.lock();
        let _changing = changing.unwrap_or_else(PoisonError::into_inner);
        let mut book = Book::read(&self.path)?;
        let changed = change(&mut book)?;
        private_file::replace(&self.path, book.to_yaml().as_bytes())
            .map_err(|error| Error::internal(format!("{}: {error}", self.path.display())))?;
        *self.book.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
        Ok(changed)
    }
}

impl fmt::Debug for Contacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contacts")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
