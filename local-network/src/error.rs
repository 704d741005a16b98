//! Why there is no network.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use local_ic::{BuildError, Reject};

/// Why there is no network.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A module could not be read.
    Module {
        /// Its file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A module could not be built.
    Build(BuildError),
    /// A canister does not install: the module is another one, or takes other arguments.
    Install {
        /// Which one.
        name: &'static str,
        /// What was met.
        error: Reject,
    },
    /// The port can't be had.
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module { path, error } => write!(f, "module {}: {error}", path.display()),
            Self::Build(error) => error.fmt(f),
            Self::Install { name, error } => write!(f, "the {name} does not install: {error}"),
            Self::Listen { address, error } => write!(f, "{address}: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Module { error, .. } | Self::Listen { error, .. } => Some(error),
            Self::Build(error) => Some(error),
            Self::Install { error, .. } => Some(error),
        }
    }
}
