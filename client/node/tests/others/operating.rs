//! What the operator does.

use std::time::Duration;

use perun_node::Error;
use perun_node::access::Caller;
use perun_node::api::v1;
use perun_node::api::v1::operations_client::OperationsClient;
use perun_node::password::Secret;
use perun_node::server::Serving;
use tokio::net::TcpListener;

use crate::world::{Channelled, PASSWORD, Scratch, World, settings, soon};

async fn operations(world: &World) -> OperationsClient<Channelled> {
    OperationsClient::with_interceptor(world.channel().await, world.bearer())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_taken_while_it_runs_is_restored() {
    let world = World::new(&["alice", "bob"]).await;
    let [alice, _bob] = world.pair().await;
    let mut operations = operations(&world).await;
    let info = operations
        .info(v1::InfoRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(info.adjudicator, world.network.adjudicator.to_text());
    assert_eq!(info.currencies[0].symbol, "ICP");

    let mut chunks = operations
        .backup(v1::BackupRequest {})
        .await
        .unwrap()
        .into_inner();
    let mut bytes = Vec::new();
    while let Some(chunk) = soon(chunks.message()).await.unwrap() {
        bytes.extend(chunk.chunk);
    }
    let scratch = Scratch::new();
    let (file, data) = (
        scratch.path().join("backup.tar"),
        scratch.path().join("data"),
    );
    std::fs::write(&file, bytes).unwrap();
    perun_node::backup::restore(&file, &data).unwrap();

    // The node that made it has gone, as it should before another one takes its place.
    operations.stop(v1::StopRequest {}).await.unwrap();
    soon(world.serving().node().stopping()).await;
    let World {
        network, serving, ..
    } = world;
    serving.unwrap().stop().await;
    let serving = Serving::start(settings(&data, &network, &[]))
        .await
        .unwrap();
    let users = serving.node().users().unwrap();
    let identity = users
        .iter()
        .find(|user| user.name == "alice")
        .unwrap()
        .identity();
    assert_eq!(identity, Some(alice.card.off_chain_address));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_served_by_whom_they_know() {
    let mut world = World::new(&["alice"]).await;
    let more = ["--devices", "127.0.0.1:0"];
    world.settings = settings(&world.settings.data, &world.network, &more);
    world.restart().await;
    let mut operations = operations(&world).await;
    let info = operations
        .info(v1::InfoRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(!info.device_address.is_empty());
    let told = operations
        .devices(v1::DevicesRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!((told.watched, told.devices), (0, Vec::new()));
    // Devices know the node by a key that stays.
    world.restart().await;
    let mut operations = self::operations(&world).await;
    let again = operations
        .info(v1::InfoRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.device_identity, info.device_identity);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_does_not_answer_is_not_waited_for() {
    // Whoever connects is heard, and gets no answer.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let world = World::new(&["alice"]).await;
    let expect = |error: Error, setting: &str| {
        assert!(
            matches!(&error, Error::ChainNotReachable { url: told, .. } if *told == url),
            "{error}"
        );
        let error = error.to_string();
        assert!(error.contains(&url) && error.contains(setting), "{error}");
    };

    let file = world.settings.data.join("sessions/alice/session.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        format!("{text}chainURL: {url}\nchainConnTimeout: 1s\n"),
    )
    .unwrap();
    let node = world.serving().node();
    let password = Some(Secret::new(PASSWORD));
    let caller = Caller::unrestricted();
    let opening = node.open_named(&caller, "alice", password);
    expect(soon(opening).await.err().unwrap(), "1s (chainConnTimeout)");

    let scratch = Scratch::new();
    let mut settings = settings(scratch.path(), &world.network, &[]);
    settings.chain_url = url.clone();
    settings.chain_conn_timeout = Duration::from_millis(1500);
    let starting = soon(Serving::start(settings)).await;
    expect(starting.err().unwrap(), "1s 500ms (chain-conn-timeout)");
}
