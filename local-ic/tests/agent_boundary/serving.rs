//! The life of a server, and that of several beside each other.

use std::net::{SocketAddr, TcpStream};

use ic_agent::{Agent, AgentError};
use local_ic::{Clock, Config, Replica, Server};

use crate::World;

fn address(server: &Server) -> SocketAddr {
    server.url().trim_start_matches("http://").parse().unwrap()
}

#[tokio::test]
async fn a_stopped_server_is_gone() {
    let world = World::new(Clock::Live).await;
    let address = address(&world.server);
    // A connection that is open and says nothing doesn't keep it alive.
    let _idle = TcpStream::connect(address).unwrap();
    world.server.stop().await;
    assert!(TcpStream::connect(address).is_err());

    // The address can be used again at once.
    let replica = Replica::new(Config::default());
    let next = Server::start(replica, address, Clock::Live).await.unwrap();
    let replica = Replica::new(Config::default());
    let error = Server::start(replica, address, Clock::Live)
        .await
        .err()
        .expect("taken");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    next.stop().await;
}

#[tokio::test]
async fn networks_of_different_seeds_are_not_mistaken_for_each_other() {
    let world = World::new(Clock::Live).await;
    let config = Config {
        seed: 1,
        ..Config::default()
    };
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let other = Server::start(Replica::new(config), anywhere, Clock::Live)
        .await
        .unwrap();
    assert_ne!(other.root_key(), world.server.root_key());

    let agent = Agent::builder()
        .with_url(world.server.url())
        .build()
        .unwrap();
    agent.set_root_key(other.root_key());
    let read = agent.read_state_canister_controllers(world.canister).await;
    assert!(
        matches!(read, Err(AgentError::CertificateVerificationFailed())),
        "{read:?}"
    );
    let query = agent.query(&world.canister, "read").call().await;
    assert!(query.is_err(), "{query:?}");
}

#[tokio::test]
async fn the_status_is_what_tools_look_for() {
    let world = World::new(Clock::Live).await;
    let status = world.anonymous().await.status().await.unwrap();
    assert_eq!(status.replica_health_status.as_deref(), Some("healthy"));
    assert_eq!(status.root_key, Some(world.server.root_key()));
    assert!(status.impl_version.unwrap().starts_with("local-ic "));
}

#[tokio::test]
async fn after_a_panic_nothing_is_pretended() {
    let world = World::new(Clock::Live).await;
    let agent = world.anonymous().await;
    let panic = std::panic::AssertUnwindSafe(|| world.server.with(|_| panic!("on purpose")));
    assert!(std::panic::catch_unwind(panic).is_err());

    let status = agent.status().await.unwrap();
    assert_eq!(status.replica_health_status.as_deref(), Some("stopped"));
    match agent.update(&world.canister, "inc").call().await {
        Err(AgentError::HttpError(error)) => {
            assert_eq!(error.status, 500);
            let text = String::from_utf8(error.content).unwrap();
            assert!(
                text.starts_with("the replica has stopped after an internal error"),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
    world.server.stop().await;
}

#[tokio::test]
async fn a_long_message_holds_nobody_up_for_longer_than_itself() {
    let world = World::new(Clock::Live).await;
    let agent = world.anonymous().await;
    // The first query of an agent also fetches the subnet's keys, which is not what is looked at.
    agent.query(&world.canister, "read").call().await.unwrap();

    // Twenty long messages wait in a row; a query is answered between two of them.
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (agent, canister) = (agent.clone(), world.canister);
        calls.spawn(async move { agent.update(&canister, "toil").await.unwrap() });
    }
    calls.join_next().await.unwrap().unwrap();
    agent.query(&world.canister, "read").call().await.unwrap();
    // Were it last in the queue, the counter would have reached its end.
    assert!(world.counter() < 20, "the query waited for everybody");
    assert_eq!(calls.join_all().await.len(), 19);
    assert_eq!(world.counter(), 20);
}
