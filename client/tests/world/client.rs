//! Clients: people with a store, a link, and an account on the ledger.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use perun_canister_api::convert;
use perun_client::chain::Chain;
use perun_client::channel::Channel;
use perun_client::client::{ChannelTerms, Client, Config, Parts};
use perun_client::link::{TcpConfig, TcpTransport};
use perun_client::store::{MemoryStore, Store};
use perun_client::{Adjudicator, Funder};
use perun_protocol::signature::{Libsecp256k1Key, Signer as _};
use perun_protocol::{AssetId, ChallengeDuration, PublicKey};

use super::{CHALLENGE_S, World, account, units};

/// Somebody with a client.
pub struct Person {
    pub client: Client,
    pub address: SocketAddr,
    pub ledger: AssetId,
}

pub fn key(number: u8) -> Arc<Libsecp256k1Key> {
    Arc::new(Libsecp256k1Key::from_bytes(&[50 + number; 32]).unwrap())
}

impl World {
    /// A client of the user `number`, with a store in memory.
    pub async fn client(&self, number: u8) -> Person {
        self.client_on(number, Arc::new(MemoryStore::default()))
            .await
    }

    pub async fn client_on(&self, number: u8, store: Arc<dyn Store>) -> Person {
        self.client_with(number, store, quick(number)).await
    }

    pub async fn client_with(&self, number: u8, store: Arc<dyn Store>, config: Config) -> Person {
        let adjudicator: Adjudicator = self.adjudicator_for(number).await;
        let funder = Funder::new(adjudicator).with_poll_interval(Duration::from_millis(20));
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let transport = TcpTransport::bind(key(number), address, TcpConfig::default()).await;
        let transport = transport.unwrap();
        let address = transport.local_address();
        let client = Client::start(Parts {
            config,
            key: key(number),
            chain: Chain::new(funder),
            store,
            transport: Arc::new(transport),
        });
        Person {
            client: client.await.unwrap(),
            address,
            ledger: AssetId::Icrc(convert::principal(self.ledger).unwrap()),
        }
    }
}

/// Times for tests.
pub fn quick(number: u8) -> Config {
    Config {
        poll_interval: Duration::from_millis(100),
        max_view_age: Duration::from_secs(10),
        retry_after: Duration::from_millis(500),
        ..Config::quick(account(number))
    }
}

impl Person {
    pub fn identity(&self) -> PublicKey {
        self.client.identity()
    }

    pub fn terms(&self, amounts: [u128; 2]) -> ChannelTerms {
        let duration = ChallengeDuration::from_secs(CHALLENGE_S.0).unwrap();
        ChannelTerms::new(self.ledger, units(amounts[0]), units(amounts[1]), duration)
    }

    /// Opens a channel with somebody who accepts it.
    pub async fn open_with(&self, peer: &Person, amounts: [u128; 2]) -> (Channel, Channel) {
        self.client
            .connect(peer.identity(), &peer.address.to_string());
        let mut proposals = peer.client.proposals();
        let identity = peer.identity();
        let proposing = self.client.propose(&identity, self.terms(amounts));
        let accepting = async { proposals.next().await.unwrap().accept().await };
        let (ours, theirs) = tokio::join!(proposing, accepting);
        (ours.unwrap(), theirs.unwrap())
    }
}
