//! What the operator sees and does.

use std::sync::Arc;

use perun_node::api::v1;
use perun_node::api::v1::operations_client::OperationsClient;
use perun_node::server::Serving;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{Channelled, Scratch, World, settings, soon};

async fn operations(world: &World) -> OperationsClient<Channelled> {
    OperationsClient::with_interceptor(world.channel().await, world.bearer())
}

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_tell_what_is_and_what_was_called() {
    let world = World::new(&["alice", "bob"]).await;
    let [_alice, _bob] = world.pair().await;
    let node = world.serving().node();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    node.metrics().serve(listener, Arc::downgrade(node));
    let text = get(address, "/metrics").await;
    for line in [
        "perun_sessions 2",
        r#"perun_grpc_calls_total{method="perun.v1.Sessions/Open",code="OK"} 2"#,
        r#"perun_payments_total{session="alice",direction="sent"} 0"#,
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(get(address, "/else").await.starts_with("HTTP/1.1 404"));
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
