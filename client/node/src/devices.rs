//! Devices that the node serves: it watches their channels and deposits for them, within limits.
//!
//! ```text
//!  devices ── TCP, Noise ──> RemoteService (perun-client) ──> adjudicator, ledgers
//!                              │ <data>/devices/
//!                              ├── link.key       by which devices know the node
//!                              ├── identity.pem   whose account deposits come from
//!                              ├── records/       what it must not forget
//!                              ├── stream.key     by which devices let it into their watch streams
//!                              └── streams/       what it must not forget of each
//! ```
//!
//! No user's session has to do with it: keys and money are the node's own.

mod stream_key;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candid::Principal;
use perun_client::chain::Chain;
use perun_client::identity;
use perun_client::key;
use perun_client::link::{TcpConfig, TcpTransport};
use perun_client::remote::{
    Config, DeviceLimits, Devices as Served, MAX_MESSAGE, Parts, RemoteService, StartError,
};
use perun_client::store::FileStore;
use perun_client::{Adjudicator, Funder, Margins};
use perun_protocol::signature::{Libsecp256k1Key, Signer as _};
use perun_protocol::{Amount, AssetId, PublicKey};

use self::stream_key::StreamKey;
use self::streams::Streams;
use crate::Error;
use crate::backup::Live;
use crate::currency::Currencies;
use crate::replica::Replica;
use crate::settings::{self, Settings};

pub use self::streams::StreamFigures;
pub(crate) use self::streams::renumber as renumber_streams;

/// The folder in the data folder.
const FOLDER: &str = "devices";
/// What must not be forgotten, in that folder.
const RECORDS: &str = "records";

/// What is done for devices, until it is stopped.
pub struct Devices {
    service: Arc<RemoteService>,
    streams: Streams,
    store: Arc<FileStore>,
    folder: PathBuf,
    address: SocketAddr,
    identity: PublicKey,
    stream_key: [u8; 32],
    payer: Principal,
}

impl Devices {
    /// Begins to serve devices, and goes on with what is stored.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if the settings or the files are no good,
    /// [`Error::ChainNotReachable`] if the adjudicator does not answer.
    pub async fn start(settings: &Settings, currencies: &Currencies) -> Result<Self, Error> {
        let devices = &settings.devices;
        let listen = devices.listen.ok_or_else(|| {
            let reason = "where devices connect is expected, host:port";
            invalid("devices.listen", "", reason)
        })?;
        let config = config(devices, settings, currencies)?;
        let folder = settings.data.join(FOLDER);
        let Opened {
            key,
            stream_key,
            identity,
            store,
        } = open(folder.clone()).await?;
        let (key, store) = (Arc::new(key), Arc::new(store));
        let replica = Replica::of(settings);
        let agent = replica.connect(identity).await?;
        let payer = agent.get_principal().map_err(Error::internal)?;
        let limits = TcpConfig {
            max_message: MAX_MESSAGE,
            ..TcpConfig::default()
        };
        let transport = TcpTransport::bind(Arc::clone(&key) as Arc<_>, listen, limits).await;
        let transport = transport.map_err(|error| {
            let reason = format!("it cannot be listened at: {error}");
            invalid("devices.listen", &listen.to_string(), &reason)
        })?;
        let address = transport.local_address();
        let funder = Funder::new(Adjudicator::new(agent, settings.adjudicator));
        let served = config.devices.clone();
        let started = RemoteService::start(Parts {
            config,
            chain: Chain::new(funder),
            store: Arc::clone(&store) as Arc<_>,
            transport: Arc::new(transport),
        });
        let failure = |error| match error {
            StartError::Adjudicator(error) => replica.unreachable(&error),
            StartError::FundsForAnybody => {
                let reason = "nothing is deposited for just anybody: name the devices";
                invalid("devices.funds", "", reason)
            }
            error => invalid("devices", &folder.display().to_string(), &explain(&error)),
        };
        // All that it waits for is the adjudicator's time.
        let started = async { started.await.map_err(failure) };
        let service = Arc::new(replica.in_time(started).await?);
        let identity = key.public_key();
        let stream_public = stream_key.public_key();
        let shown = hex::encode(stream_public);
        let watched = service.watched();
        tracing::info!(%address, %payer, watched, stream_key = %shown, "serves devices");
        let parts = streams::Parts {
            devices: folder.clone(),
            key: stream_key,
            served,
            service: Arc::clone(&service),
        };
        Ok(Self {
            service,
            streams: Streams::start(&devices.streams, parts),
            store,
            folder,
            address,
            identity,
            stream_key: stream_public,
            payer,
        })
    }

    /// Where devices reach it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// By which identity devices know it.
    pub fn identity(&self) -> PublicKey {
        self.identity
    }

    /// By which Ed25519 key the authors of watch streams let it in.
    pub fn stream_key(&self) -> [u8; 32] {
        self.stream_key
    }

    /// How it goes with their watch streams.
    pub fn stream_figures(&self) -> StreamFigures {
        self.streams.figures()
    }

    /// Whose account deposits come from.
    pub fn payer(&self) -> Principal {
        self.payer
    }

    /// How many channels are watched.
    pub fn watched(&self) -> usize {
        self.service.watched()
    }

    /// How far watching is behind.
    pub fn margins(&self) -> Margins {
        self.service.margins()
    }

    /// The devices for which channels are watched.
    pub fn served(&self) -> BTreeSet<PublicKey> {
        self.service.devices()
    }

    /// What of it is in use, for a backup. Streams first: what they have acknowledged is in the records.
    pub(crate) fn live(&self) -> [Live; 2] {
        let (store, folder) = (Arc::clone(&self.store), self.folder.clone());
        let streams = Live::new(streams::folder(&self.folder), move |to| {
            streams::copy(&folder, to).map_err(Error::internal)
        });
        let records = Live::new(self.folder.join(RECORDS), move |to| {
            store.copy_to(to).map_err(Error::internal)
        });
        [streams, records]
    }

    /// Stops; what was begun goes on at the next start.
    pub async fn stop(&self) {
        self.streams.stop();
        if let Err(error) = self.service.stop().await {
            tracing::error!("devices: not everything could be stored: {error}");
        }
    }
}

/// What the folder holds, made at the first start.
struct Opened {
    /// The link's.
    key: Libsecp256k1Key,
    stream_key: StreamKey,
    /// It pays.
    identity: identity::SharedIdentity,
    /// The records.
    store: FileStore,
}

async fn open(folder: PathBuf) -> Result<Opened, Error> {
    let opening = tokio::task::spawn_blocking(move || {
        let name = folder.display().to_string();
        let failed = |error: &dyn std::fmt::Display| invalid("devices", &name, &error.to_string());
        make_private(&folder).map_err(|error| failed(&error))?;
        let key = key::load_or_create(&folder.join("link.key")).map_err(|error| failed(&error))?;
        let stream_key = StreamKey::load_or_create(&folder.join("stream.key"));
        let stream_key = stream_key.map_err(|error| failed(&error))?;
        let identity = identity::load_or_create(&folder.join("identity.pem"));
        let identity = identity.map_err(|error| failed(&error))?;
        let store = FileStore::open(&folder.join(RECORDS), &key.public_key());
        Ok(Opened {
            key,
            stream_key,
            identity,
            store: store.map_err(|error| failed(&error))?,
        })
    });
    opening.await.map_err(Error::internal)?
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn config(
    devices: &settings::Devices,
    settings: &Settings,
    currencies: &Currencies,
) -> Result<Config, Error> {
    let served = match devices.keys.is_empty() {
        true => Served::Anybody,
        false => Served::Only(devices.keys.iter().copied().collect()),
    };
    Ok(Config {
        limits: DeviceLimits {
            max_channels: devices.max_channels,
            max_funds: funds("devices.funds", &devices.funds, currencies)?,
        },
        max_funds_total: funds("devices.fundsTotal", &devices.funds_total, currencies)?,
        max_watches: devices.max_watches,
        poll_interval: settings.poll_interval,
        ..Config::new(served)
    })
}

fn funds(
    name: &str,
    amounts: &[(String, String)],
    currencies: &Currencies,
) -> Result<BTreeMap<AssetId, Amount>, Error> {
    let mut funds = BTreeMap::new();
    for (symbol, text) in amounts {
        let about = |error: Error| invalid(name, &format!("{symbol}: {text}"), &error.to_string());
        let currency = currencies.named(symbol).map_err(about)?;
        let amount = currency.parse(text).map_err(about)?;
        if funds.insert(currency.asset, amount).is_some() {
            let reason = "the currency is named more than once";
            return Err(invalid(name, symbol, reason));
        }
    }
    Ok(funds)
}

fn explain(error: &StartError) -> String {
    match error {
        StartError::Record { name, reason } => format!(
            "the record {name} cannot be used: {reason}; nothing is watched before it is repaired, or \
             the store restored from a backup"
        ),
        error => error.to_string(),
    }
}

fn invalid(name: &str, value: &str, reason: &str) -> Error {
    Error::InvalidConfig {
        name: name.to_owned(),
        value: value.to_owned(),
        reason: reason.to_owned(),
    }
}
