//! The node killed in the middle of payments, again and again.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use perun_node::api::pb::payment_api_client::PaymentApiClient;
use perun_node::api::v1::sessions_client::SessionsClient;
use perun_node::api::{pb, v1};
use perun_node::server::ADDRESS_FILE;
use tonic::transport::Channel;

use crate::errors::channel;
use crate::outcome;
use crate::world::{Bearer, Incoming, PASSWORD, User, World, connect, held, payment};

/// How often it is killed.
const KILLS: usize = 4;
/// How many payments are made between two kills, at most.
const PAYMENTS: u32 = 40;

/// A node in a process of its own, on the world's data folder.
struct Process(Child);

impl Process {
    async fn start(world: &World) -> Self {
        let data = &world.settings.data;
        let _ = std::fs::remove_file(data.join(ADDRESS_FILE));
        let child = Command::new(env!("CARGO_BIN_EXE_perund"))
            .args(world.arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(data.join("perund.log")).unwrap())
            .spawn()
            .unwrap();
        let process = Self(child);
        for _ in 0..600 {
            if data.join(ADDRESS_FILE).exists() {
                return process;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let log = std::fs::read_to_string(data.join("perund.log")).unwrap();
        panic!("it does not start:\n{log}");
    }

    fn kill(mut self) {
        // SIGKILL: nothing is ended well.
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Both users, whose sessions are open.
async fn open(world: &World) -> (Channel, [User; 2]) {
    let data = &world.settings.data;
    let address = std::fs::read_to_string(data.join(ADDRESS_FILE)).unwrap();
    let connection = connect(data, address.parse().unwrap()).await;
    let mut users = Vec::new();
    for name in ["alice", "bob"] {
        let mut sessions = SessionsClient::with_interceptor(connection.clone(), world.bearer());
        let opened = sessions.open(v1::OpenSessionRequest {
            name: name.into(),
            password: PASSWORD.into(),
        });
        let opened = opened.await.unwrap().into_inner();
        users.push(User {
            session: opened.session_id,
            restored: opened.restored,
            card: pb::PeerId::default(),
            api: PaymentApiClient::with_interceptor(connection.clone(), world.bearer()),
        });
    }
    (connection, users.try_into().ok().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_and_what_was_not_is_made_once() {
    let mut world = World::with(&["alice", "bob"], Incoming::Accept).await;
    let [mut alice, mut bob] = world.pair().await;
    let channel = channel(&mut alice, &mut bob).await;
    world.serving.take().unwrap().stop().await;

    let mut paid = 0;
    for kill in 0..KILLS {
        let process = Process::start(&world).await;
        let (connection, [alice, _bob]) = open(&world).await;
        // The payments that a kill interrupted are made again with their keys, then new ones.
        let (killed, kill_now) = tokio::sync::oneshot::channel::<()>();
        let paying = async {
            for _ in 0..PAYMENTS {
                let bearer = Bearer {
                    key: Some(format!("payment {paid}")),
                    ..world.bearer()
                };
                let mut api = PaymentApiClient::with_interceptor(connection.clone(), bearer);
                let sent = api.send_pay_ch_update(pb::SendPayChUpdateReq {
                    session_id: alice.session.clone(),
                    ch_id: channel.clone(),
                    payments: vec![payment("bob", "0.001")],
                });
                let Ok(sent) = sent.await else {
                    return;
                };
                outcome!(sent.into_inner(), send_pay_ch_update_resp).unwrap();
                paid += 1;
            }
            let _ = killed.send(());
        };
        let killing = async {
            let enough = Duration::from_millis(300 + 217 * u64::try_from(kill).unwrap());
            let _ = tokio::time::timeout(enough, kill_now).await;
            process.kill();
        };
        tokio::join!(paying, killing);
    }

    let _process = Process::start(&world).await;
    let (connection, [mut alice, _bob]) = open(&world).await;
    // The last one may or may not have been made; with its key it is now.
    let bearer = Bearer {
        key: Some(format!("payment {paid}")),
        ..world.bearer()
    };
    let mut api = PaymentApiClient::with_interceptor(connection.clone(), bearer);
    let sent = api.send_pay_ch_update(pb::SendPayChUpdateReq {
        session_id: alice.session.clone(),
        ch_id: channel.clone(),
        payments: vec![payment("bob", "0.001")],
    });
    outcome!(sent.await.unwrap().into_inner(), send_pay_ch_update_resp).unwrap();
    paid += 1;
    let infos = alice.channels().await.unwrap();
    let left = format!("{:.3}", 3.0 - f64::from(paid) * 0.001);
    assert_eq!(
        held(&infos[0])[0],
        left.trim_end_matches('0'),
        "after {paid} payments"
    );
}
