//! Somebody with an off-chain key, a store, a client, and an account on the ledger.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use candid::Principal;
use ic_agent::identity::BasicIdentity;
use perun_canister_api::convert;
use perun_client::agent::connect;
use perun_client::chain::Chain;
use perun_client::client::{ChannelTerms, Client, Config, Parts};
use perun_client::identity::SharedIdentity;
use perun_client::link::{TcpConfig, TcpTransport};
use perun_client::store::FileStore;
use perun_client::{Adjudicator, Funder, Ledger, Token};
use perun_local_network::{Endowment, LocalNetwork, Setup};
use perun_protocol::signature::{Libsecp256k1Key, Signer as _};
use perun_protocol::{Account, Amount, AssetId, ChallengeDuration, PublicKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Failure;

/// What everybody has at first, in tokens.
const WEALTH_TOKENS: u32 = 1_000;

/// Where an adjudicator and a ledger are reached.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Place {
    /// The replica.
    pub url: String,
    /// The adjudicator.
    pub adjudicator: Principal,
    /// The ledger.
    pub ledger: Principal,
}

/// Somebody who pays and is paid through channels.
pub struct Person {
    /// What he is called.
    pub name: &'static str,
    /// His client.
    pub client: Client,
    /// Where peers reach him.
    pub address: SocketAddr,
    /// The account that deposits come from and payouts go to.
    pub account: Account,
    /// The ledger, asked in his name.
    pub ledger: Ledger,
    /// How the ledger's amounts are written.
    pub token: Token,
}

/// Who somebody is.
pub struct Papers {
    /// What he is called.
    pub name: &'static str,
    /// Whose calls the Internet Computer believes his to be.
    pub identity: SharedIdentity,
    /// His off-chain key.
    pub key: Arc<Libsecp256k1Key>,
    /// As [`connect`] takes it.
    pub fetch_root_key: bool,
}

impl Papers {
    /// Those of somebody on this machine's network: everybody can compute them.
    ///
    /// # Errors
    /// If the name makes no key.
    pub fn demo(name: &'static str) -> Result<Self, Failure> {
        Ok(Self {
            name,
            identity: identity(name),
            key: off_chain_key(name)?,
            fetch_root_key: true,
        })
    }

    /// His account.
    ///
    /// # Errors
    /// If the identity has none.
    pub fn account(&self) -> Result<Account, Failure> {
        let owner = self.identity.sender()?;
        let owner = convert::principal(owner).ok_or("the identity has no account")?;
        Ok(Account::of(owner))
    }
}

/// Keys that everybody can compute, since they are for an Internet Computer on this machine only.
fn demo_key(name: &str, purpose: &str) -> [u8; 32] {
    let text = format!("perun example: {purpose} of {name}");
    Sha256::digest(text).into()
}

fn identity(name: &str) -> SharedIdentity {
    Arc::new(BasicIdentity::from_raw_key(&demo_key(name, "account")))
}

/// The off-chain identity of the person with this name.
pub fn off_chain_identity(name: &str) -> Result<PublicKey, Failure> {
    Ok(off_chain_key(name)?.public_key())
}

fn off_chain_key(name: &str) -> Result<Arc<Libsecp256k1Key>, Failure> {
    let key = Libsecp256k1Key::from_bytes(&demo_key(name, "channels"));
    Ok(Arc::new(key.ok_or("the hash of the name is no key")?))
}

impl Place {
    /// An embedded Internet Computer on which these people have money.
    ///
    /// # Errors
    /// As [`LocalNetwork::start`].
    pub async fn local(names: &[&str]) -> Result<(LocalNetwork, Self), Failure> {
        let mut endowments = Vec::new();
        for name in names {
            endowments.push(Endowment {
                owner: identity(name).sender()?,
                tokens: WEALTH_TOKENS,
            });
        }
        let network = LocalNetwork::start(Setup {
            endowments,
            ..Setup::default()
        });
        let network = network.await?;
        let place = Self {
            url: network.server.url(),
            adjudicator: network.adjudicator,
            ledger: network.ledger,
        };
        Ok((network, place))
    }
}

impl Person {
    /// Starts the client of somebody on this machine's network, which keeps its store under `folder`
    /// and goes on with what is stored there.
    ///
    /// # Errors
    /// Whatever keeps it from starting, in words.
    pub async fn start(
        name: &'static str,
        place: &Place,
        folder: &Path,
        address: SocketAddr,
    ) -> Result<Self, Failure> {
        let papers = Papers::demo(name)?;
        Self::start_with(papers, place, &folder.join(name), address, Config::quick).await
    }

    /// Starts the client of somebody with these papers, which keeps its store in `folder`.
    ///
    /// # Errors
    /// Whatever keeps it from starting, in words.
    pub async fn start_with(
        papers: Papers,
        place: &Place,
        folder: &Path,
        address: SocketAddr,
        config: impl FnOnce(Account) -> Config,
    ) -> Result<Self, Failure> {
        let account = papers.account()?;
        let Papers {
            name,
            identity,
            key,
            fetch_root_key,
        } = papers;
        let config = config(account);
        let agent = connect(&place.url, identity, fetch_root_key).await?;
        let ledger = Ledger::new(agent.clone(), place.ledger);
        let token = ledger.token().await?;
        let funder = Funder::new(Adjudicator::new(agent, place.adjudicator));
        let funder = funder.with_poll_interval(config.poll_interval / 2);
        let store = FileStore::open(folder, &key.public_key())?;
        let transport = TcpTransport::bind(key.clone(), address, TcpConfig::default()).await?;
        let address = transport.local_address();
        let client = Client::start(Parts {
            config,
            key,
            chain: Chain::new(funder),
            store: Arc::new(store),
            transport: Arc::new(transport),
            leave_out: Vec::new(),
        })
        .await?;
        Ok(Self {
            name,
            client,
            address,
            account,
            ledger,
            token,
        })
    }

    /// A channel about the ledger's token to which both deposit so many tokens.
    ///
    /// # Errors
    /// If the ledger's name is none, or the amount does not fit.
    pub fn terms(&self, tokens: u32) -> Result<ChannelTerms, Failure> {
        let ledger = self.ledger.id();
        let ledger = convert::principal(ledger).ok_or("the ledger has no name")?;
        let amount = self.token.parse(&tokens.to_string())?;
        let shortest = LocalNetwork::CHALLENGE_DURATIONS_S.0;
        let duration = ChallengeDuration::from_secs(shortest).ok_or("no challenge duration")?;
        Ok(ChannelTerms::new(
            AssetId::Icrc(ledger),
            amount,
            amount,
            duration,
        ))
    }

    /// What the ledger says that he has.
    ///
    /// # Errors
    /// What the ledger says instead.
    pub async fn wealth(&self) -> Result<Amount, Failure> {
        Ok(self.ledger.balance(&self.account).await?)
    }
}
