//! A service for devices that can be stopped, killed and started again.

use std::sync::Arc;
use std::time::Duration;

use perun_client::link::memory::Network;
use perun_client::remote::{Config, Devices, Parts, RemoteService};
use perun_client::store::{MemoryStore, Store};
use perun_protocol::{PublicKey, Signer as _};

use crate::world::*;

/// A service at its address.
pub struct Node {
    pub service: RemoteService,
    pub store: Arc<dyn Store>,
    pub identity: PublicKey,
    config: Config,
    network: Network,
    /// Whose account pays.
    number: u8,
}

/// Serves the participants of the tests' channels, quickly, and deposits up to 2000 for each.
pub fn config(world: &World) -> Config {
    let channel = world.channel(0);
    let asset = channel.asset();
    let devices = channel.keys.iter().map(|key| key.public_key());
    let mut config = Config::new(Devices::Only(devices.collect()));
    config.poll_interval = Duration::from_millis(100);
    config.limits.max_funds = [(asset, units(2_000))].into();
    config.max_funds_total = [(asset, units(3_000))].into();
    config
}

impl Node {
    /// A service of the user `number`.
    pub async fn start(world: &World, network: &Network, number: u8) -> Self {
        Self::start_with(world, network, number, config(world)).await
    }

    pub async fn start_with(world: &World, network: &Network, number: u8, config: Config) -> Self {
        let store = Arc::new(MemoryStore::new());
        Self::start_on(world, network, number, config, store).await
    }

    pub async fn start_on(
        world: &World,
        network: &Network,
        number: u8,
        config: Config,
        store: Arc<dyn Store>,
    ) -> Self {
        let identity = off_chain(number);
        let transport = network.attach(identity, &address(&identity));
        let parts = Parts {
            config: config.clone(),
            chain: world.chain_for(number).await,
            store: Arc::clone(&store),
            transport: Arc::new(transport),
        };
        Self {
            service: RemoteService::start(parts).await.unwrap(),
            store,
            identity,
            config,
            network: network.clone(),
            number,
        }
    }

    /// Drops it, without a goodbye, and starts it on what `store` has.
    pub async fn restart_on(self, world: &World, store: Arc<dyn Store>) -> Self {
        let Self {
            service,
            config,
            network,
            number,
            ..
        } = self;
        drop(service);
        Self::start_on(world, &network, number, config, store).await
    }
}

/// Where a service is reached.
pub fn address(identity: &PublicKey) -> String {
    format!("{identity:?}")
}
