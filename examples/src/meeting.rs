//! How two processes find each other, and folders that are gone afterwards.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Failure, Person, Place};

/// Where somebody is reached, and the network that the channel is to be on.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Meeting {
    /// The network.
    pub place: Place,
    /// The name of whoever waits.
    pub name: String,
    /// Where he listens.
    pub address: SocketAddr,
}

/// A folder of its own among the temporary ones, gone when this is dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Meeting {
    /// With `person`, who is on the network `place`.
    pub fn of(person: &Person, place: Place) -> Self {
        Self {
            place,
            name: person.name.into(),
            address: person.address,
        }
    }

    /// Writes it down for another process.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        Ok(fs::write(path, serde_json::to_vec_pretty(self)?)?)
    }

    /// What another process wrote.
    ///
    /// # Errors
    /// If the file is not there, or is something else.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = fs::read(path).map_err(|error| {
            let path = path.display();
            format!("{path}: {error}; is the other side running?")
        })?;
        let meeting = serde_json::from_slice(&bytes);
        meeting.map_err(|error| format!("{}: {error}", path.display()).into())
    }
}

impl Scratch {
    /// A new, empty folder.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(name: &str) -> Result<Self, Failure> {
        let unique = format!("perun-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It is among the temporary files anyway.
        let _ = fs::remove_dir_all(&self.0);
    }
}
