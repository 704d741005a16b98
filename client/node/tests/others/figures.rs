//! What the operator sees: the text of `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use perun_node::api::v1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::channel::Outside;
use crate::watching::{fund, register, state_req, watching_api};
use crate::world::{Incoming, World, proposal, settings, soon};

pub async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Where the figures of the world's node are from now on.
pub async fn serve(world: &World) -> SocketAddr {
    let node = world.serving().node();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    node.metrics().serve(listener, Arc::downgrade(node));
    address
}

/// Waits until all of these lines are there.
pub async fn shows(address: SocketAddr, lines: &[&str]) {
    let mut text = String::new();
    for _ in 0..200 {
        text = get(address, "/metrics").await;
        if lines.iter().all(|line| text.lines().any(|is| is == *line)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{lines:?} in {text}");
}

/// The figure of this name and these labels, if it is there.
fn figure(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.strip_prefix(name)?.trim().parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_tell_what_is_and_what_was_called() {
    let world = World::new(&["alice", "bob"]).await;
    let [_alice, _bob] = world.pair().await;
    let address = serve(&world).await;
    shows(
        address,
        &[
            "perun_sessions 2",
            r#"perun_grpc_calls_total{method="perun.v1.Sessions/Open",code="OK"} 2"#,
            r#"perun_payments_total{session="alice",direction="sent"} 0"#,
            r#"perun_served_channels{owner="programs"} 0"#,
        ],
    )
    .await;
    let text = get(address, "/metrics").await;
    // Nobody is watched for, so nothing is old, and no devices are served.
    assert!(!text.contains("perun_served_view_age_seconds{"), "{text}");
    assert!(!text.contains(r#"owner="devices""#), "{text}");
    assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(get(address, "/else").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_count_once_by_currency_and_errors_by_code() {
    let world = World::with(&["alice", "bob"], Incoming::Accept).await;
    let [mut alice, mut bob] = world.pair().await;
    let address = serve(&world).await;
    let mut proposals = bob.subscribe_proposals().await;
    let (opened, _) = tokio::join!(alice.open_channel("bob", "3", "2"), async {
        let told = proposal(&mut proposals).await.unwrap();
        bob.respond_proposal(&told.proposal_id, true).await.unwrap()
    });
    let channel = opened.unwrap().ch_id;
    for amount in ["0.5", "1", "0.25"] {
        alice.send(&channel, "bob", amount).await.unwrap();
    }
    bob.send(&channel, "alice", "0.125").await.unwrap();
    let lines = [
        r#"perun_payments_total{session="alice",direction="sent"} 3"#,
        r#"perun_payments_total{session="alice",direction="received"} 1"#,
        r#"perun_payments_total{session="bob",direction="received"} 3"#,
        r#"perun_paid_tokens_total{session="alice",direction="sent",currency="ICP"} 1.75"#,
        r#"perun_paid_tokens_total{session="bob",direction="received",currency="ICP"} 1.75"#,
        r#"perun_paid_tokens_total{session="bob",direction="sent",currency="ICP"} 0.125"#,
    ];
    shows(address, &lines).await;
    // Nothing is counted again when the session is.
    alice.close_session(true).await.unwrap();
    world.open("alice").await;
    shows(address, &lines).await;

    // Within a message of perun-node, within its streams, and by the status of our own API.
    let mut nobody = bob.clone_api();
    nobody.session = "0123".into();
    nobody.channels().await.unwrap_err();
    proposal(&mut nobody.subscribe_proposals().await)
        .await
        .unwrap_err();
    let mut sessions = world.sessions_api().await;
    let opened = sessions.open(v1::OpenSessionRequest {
        name: "carol".to_owned(),
        password: String::new(),
    });
    opened.await.unwrap_err();
    bob.send(&channel, "alice", "1x").await.unwrap_err();
    shows(
        address,
        &[
            r#"perun_errors_total{code="ErrResourceNotFound"} 3"#,
            r#"perun_errors_total{code="ErrInvalidArgument"} 1"#,
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn margins_of_what_is_watched_for_others_are_told() {
    let mut world = World::new(&["alice", "bob"]).await;
    let more = ["--devices", "127.0.0.1:0"];
    world.settings = settings(&world.settings.data, &world.network, &more);
    world.restart().await;
    let [alice, bob] = [world.open("alice").await, world.open("bob").await];
    let address = serve(&world).await;
    let channel = Outside::new(&world, ["alice", "bob"]);
    let funded = tokio::join!(
        fund(&world, &channel, &alice.session, 0),
        fund(&world, &channel, &bob.session, 1),
    );
    assert_eq!(funded, (None, None));
    let one = tokio_stream::once(state_req(&channel, &alice.session, 5));
    let mut watching = watching_api(&world).await;
    drop(watching.start_watching_ledger_channel(one).await.unwrap());
    shows(
        address,
        &[
            r#"perun_served_channels{owner="programs"} 1"#,
            r#"perun_served_channels{owner="devices"} 0"#,
            r#"perun_served_disputes_total{owner="programs"} 0"#,
        ],
    )
    .await;
    let age = r#"perun_served_view_age_seconds{owner="programs"}"#;
    let left = r#"perun_served_refutation_left_seconds{owner="programs"}"#;
    let text = get(address, "/metrics").await;
    // It follows the log twice a second.
    assert!(figure(&text, age).unwrap() < 30.0, "{text}");
    assert_eq!(figure(&text, left), None);

    assert_eq!(register(&world, &channel, &bob.session, 0).await, None);
    // What bob has registered, and by what it was refuted.
    let disputes = r#"perun_served_disputes_total{owner="programs"}"#;
    soon(async {
        while figure(&get(address, "/metrics").await, disputes) < Some(1.0) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let text = get(address, "/metrics").await;
    let left = figure(&text, left).unwrap();
    assert!(left > 0.0 && left <= 60.0, "{text}");
}
