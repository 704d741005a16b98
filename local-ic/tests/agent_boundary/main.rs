//! The boundary as an unmodified `ic-agent` sees it, with all its verification on, and as somebody
//! sees it who sends whatever he likes.

mod calls;
mod clock;
mod identities;
mod modules;
mod program;
mod raw;
mod refusals;
mod serving;
mod state;

use std::net::{Ipv4Addr, SocketAddr};

use candid::Principal;
use ic_agent::identity::{AnonymousIdentity, BasicIdentity};
use ic_agent::{Agent, Identity};
use local_ic::{Clock, Config, Replica, Server};

/// A served replica with one canister, which Alice controls.
struct World {
    server: Server,
    canister: Principal,
}

impl World {
    async fn new(clock: Clock) -> Self {
        let mut replica = Replica::new(Config::default());
        let canister = replica.create_canister(alice().sender().unwrap());
        replica.install(canister, &wasm(), vec![]).unwrap();
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::start(replica, anywhere, clock).await.unwrap();
        Self { server, canister }
    }

    /// An agent that has fetched the root key.
    async fn agent(&self, identity: impl Identity + 'static) -> Agent {
        let agent = Agent::builder()
            .with_url(self.server.url())
            .with_identity(identity)
            .build()
            .unwrap();
        agent.fetch_root_key().await.unwrap();
        assert_eq!(agent.read_root_key(), self.server.root_key());
        agent
    }

    async fn anonymous(&self) -> Agent {
        self.agent(AnonymousIdentity).await
    }

    /// The counter, read without HTTP.
    fn counter(&self) -> u64 {
        let anonymous = Principal::anonymous();
        let reply = self
            .server
            .with(|r| r.query(anonymous, self.canister, "read", vec![]));
        number(&reply.unwrap())
    }
}

fn wasm() -> Vec<u8> {
    wat::parse_str(include_str!("canister.wat")).unwrap()
}

fn alice() -> BasicIdentity {
    BasicIdentity::from_raw_key(&[1; 32])
}

fn bob() -> BasicIdentity {
    BasicIdentity::from_raw_key(&[2; 32])
}

fn number(reply: &[u8]) -> u64 {
    u64::from_le_bytes(reply.try_into().expect("8 bytes"))
}
