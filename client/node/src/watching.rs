//! Channels that the node watches for its users' other programs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ic_agent::Agent;
use perun_client::chain::Chain;
use perun_client::store::FileStore;
use perun_client::watcher::{Config, StartError, Watcher};
use perun_client::{Adjudicator, Funder};
use perun_protocol::SecretKey;
use perun_protocol::signature::Signer as _;

use crate::Error;
use crate::backup::Live;
use crate::replica::Replica;
use crate::settings::Settings;

/// The folder in the data folder.
const FOLDER: &str = "watching";

/// The watcher, and what it must not forget.
pub struct Watching {
    watcher: Watcher,
    store: Arc<FileStore>,
    folder: PathBuf,
}

impl Watching {
    /// Begins to watch what was handed in before.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if what is stored is no good, [`Error::ChainNotReachable`].
    pub async fn start(settings: &Settings, agent: &Agent) -> Result<Self, Error> {
        let folder = settings.data.join(FOLDER);
        let store = Arc::new(open(folder.clone()).await?);
        let adjudicator = Adjudicator::new(agent.clone(), settings.adjudicator);
        let config = Config {
            poll_interval: settings.poll_interval,
            ..Config::default()
        };
        let chain = Chain::new(Funder::new(adjudicator));
        let replica = Replica::of(settings);
        let failure = |error| match error {
            StartError::Adjudicator(error) => replica.unreachable(&error),
            error => unusable(&folder, &error),
        };
        let started = Watcher::start(config, chain, Arc::clone(&store) as Arc<_>);
        // All that it waits for is the adjudicator's time.
        let started = async { started.await.map_err(failure) };
        let watcher = replica.in_time(started).await?;
        Ok(Self {
            watcher,
            store,
            folder,
        })
    }

    /// The watcher.
    pub fn watcher(&self) -> &Watcher {
        &self.watcher
    }

    /// What of it is in use, for a backup.
    pub(crate) fn live(&self) -> Live {
        let store = Arc::clone(&self.store);
        Live::new(self.folder.clone(), move |to| {
            store.copy_to(to).map_err(Error::internal)
        })
    }
}

async fn open(folder: PathBuf) -> Result<FileStore, Error> {
    // A store wants an owner, and this one is nobody's: a key that everybody knows.
    let nobody = SecretKey::from_bytes(&[1; 32]).expect("a small number is a key");
    let opening = tokio::task::spawn_blocking(move || {
        let opened = FileStore::open(&folder, &nobody.public_key());
        opened.map_err(|error| unusable(&folder, &error))
    });
    opening.await.map_err(Error::internal)?
}

fn unusable(folder: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::InvalidConfig {
        name: "watching".into(),
        value: folder.display().to_string(),
        reason: reason.to_string(),
    }
}
