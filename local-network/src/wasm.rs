//! The canisters' modules.

use std::fs;
use std::path::{Path, PathBuf};

use local_ic::canister_wasm;

use crate::StartError;

/// The modules of both canisters.
pub(crate) struct Modules {
    pub(crate) ledger: Vec<u8>,
    pub(crate) adjudicator: Vec<u8>,
}

impl Modules {
    /// Those in a folder, or those that are built.
    pub(crate) async fn find(folder: Option<PathBuf>) -> Result<Self, StartError> {
        let find = move || match folder {
            Some(folder) => Self::read(&folder),
            None => Self::build(),
        };
        // Building blocks for as long as it takes, so it gets a thread of its own.
        let found = tokio::task::spawn_blocking(find).await;
        found.expect("building and reading do not panic, and nobody cancels them")
    }

    fn read(folder: &Path) -> Result<Self, StartError> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).map_err(|error| StartError::Module { path, error })
        };
        Ok(Self {
            ledger: read("ledger.wasm")?,
            adjudicator: read("adjudicator.wasm")?,
        })
    }

    fn build() -> Result<Self, StartError> {
        let build = |name| canister_wasm(name).map_err(StartError::Build);
        Ok(Self {
            ledger: build("ledger")?,
            adjudicator: build("adjudicator")?,
        })
    }
}
