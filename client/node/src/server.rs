//! Listeners, and stopping without interrupting anything.
//!
//! ```text
//!  127.0.0.1:50001   TLS, tokens      pb.*, perun.v1.*, reflection, health
//!  127.0.0.1:50002   --compat only    pb.* in plaintext, without tokens
//!  127.0.0.1:9090    if asked for     /metrics, /healthz
//! ```
//!
//! Each has only so many connections at once, and keeps none that is silent: see `connections`.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic_health::ServingStatus;

use crate::access::AccessLayer;
use crate::api::pb::funding_api_server::FundingApiServer;
use crate::api::pb::payment_api_server::PaymentApiServer;
use crate::api::pb::watching_api_server::WatchingApiServer;
use crate::api::v1::history_server::HistoryServer;
use crate::api::v1::operations_server::OperationsServer;
use crate::api::v1::payments_server::PaymentsServer;
use crate::api::v1::sessions_server::SessionsServer;
use crate::api::v1::tokens_server::TokensServer;
use crate::api::{
    DESCRIPTIONS, FundingService, HistoryService, OperationsService, PaymentService,
    PaymentsService, SessionsService, TokensService, WatchingService,
};
use crate::connections::{CONNECTIONS, Connections, HANDSHAKE_WITHIN, PING_EVERY};
use crate::node::Node;
use crate::settings::Settings;
use crate::{Error, private_file, tls};

/// The file in the data folder that says where the API is served, while it is.
pub const ADDRESS_FILE: &str = "perund.address";
/// The file in the data folder with the secret of the first administrator's token.
pub const TOKEN_FILE: &str = "admin.token";
/// The longest message that is taken, in bytes.
const MAX_MESSAGE: usize = 1024 * 1024;
/// How long calls have to end once everything is closed.
const END_WITHIN: Duration = Duration::from_secs(5);

/// A node that is served.
pub struct Serving {
    node: Arc<Node>,
    address: SocketAddr,
    compat: Option<SocketAddr>,
    address_file: PathBuf,
    servers: Vec<JoinHandle<Result<(), tonic::transport::Error>>>,
}

impl Serving {
    /// Starts a node and serves it.
    ///
    /// # Errors
    /// As [`Node::start`], and [`Error::InvalidConfig`] if an address cannot be had or the certificate
    /// is not good.
    pub async fn start(settings: Settings) -> Result<Self, Error> {
        let certificate = tls::load_or_create(&settings.data, &settings.tls_names)?;
        // Before anything is begun that would have to be ended.
        let listener = bind("listen", settings.listen).await?;
        let compat_listener = match settings.compat {
            Some(address) => Some(bind("compat", address).await?),
            None => None,
        };
        let metrics_listener = match settings.metrics {
            Some(address) => Some(bind("metrics", address).await?),
            None => None,
        };
        let address = listener.local_addr().map_err(Error::internal)?;
        let node = Node::start(settings).await?;
        let settings = node.settings();
        node.tokens()
            .create_first(&settings.data.join(TOKEN_FILE))?;

        let identity = Identity::from_pem(&certificate.cert_pem, certificate.key_pem.expose());
        let tls = ServerTlsConfig::new()
            .identity(identity)
            .timeout(HANDSHAKE_WITHIN);
        let builder = builder().tls_config(tls).map_err(Error::internal)?;
        let access = AccessLayer::new(node.tokens().clone(), settings.limits);
        let routes = all_services(&node).await?;
        let router = builder
            .layer(node.metrics().layer())
            .layer(access)
            .add_routes(routes);
        let incoming = Connections::of(listener, CONNECTIONS).stream();
        let stopping = stopped(Arc::clone(&node));
        let mut servers = vec![tokio::spawn(
            router.serve_with_incoming_shutdown(incoming, stopping),
        )];

        let compat = match compat_listener {
            None => None,
            Some(listener) => {
                let address = listener.local_addr().map_err(Error::internal)?;
                tracing::warn!(
                    %address,
                    "whoever reaches this address can spend everything: it has neither tokens nor TLS"
                );
                let access = AccessLayer::without_tokens(settings.limits);
                let routes = perun_node_services(&node);
                let router = self::builder()
                    .layer(node.metrics().layer())
                    .layer(access)
                    .add_routes(routes);
                let incoming = Connections::of(listener, CONNECTIONS).stream();
                let stopping = stopped(Arc::clone(&node));
                servers.push(tokio::spawn(
                    router.serve_with_incoming_shutdown(incoming, stopping),
                ));
                Some(address)
            }
        };
        if let Some(listener) = metrics_listener {
            node.metrics().serve(listener, Arc::downgrade(&node));
        }
        let address_file = settings.data.join(ADDRESS_FILE);
        // Whoever waits for the file must not find it empty.
        let written = private_file::replace(&address_file, address.to_string().as_bytes());
        written.map_err(Error::internal)?;
        tracing::info!(%address, "serves");
        Ok(Self {
            node,
            address,
            compat,
            address_file,
            servers,
        })
    }

    /// The node.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Where the API is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where perun-node's API is served in plaintext.
    pub fn compat_address(&self) -> Option<SocketAddr> {
        self.compat
    }

    /// Serves until somebody asks the node to stop, and stops it.
    pub async fn run(self) {
        self.node.stopping().await;
        self.stop().await;
    }

    /// Stops: nobody new is let in, sessions are closed, what was begun becomes durable.
    pub async fn stop(self) {
        tracing::info!("stops");
        self.node.stop();
        let _ = fs::remove_file(&self.address_file);
        // Streams end with their sessions, and calls with their streams.
        self.node.close_all().await;
        for mut server in self.servers {
            if tokio::time::timeout(END_WITHIN, &mut server).await.is_err() {
                server.abort();
            }
        }
        tracing::info!("has stopped");
    }
}

/// Runs a node until it is told to stop, by a signal or by a call.
///
/// # Errors
/// As [`Serving::start`].
pub async fn run(settings: Settings) -> Result<(), Error> {
    let mut terminated = signal(SignalKind::terminate()).map_err(Error::internal)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(Error::internal)?;
    let serving = tokio::select! {
        serving = Serving::start(settings) => serving?,
        _ = terminated.recv() => return Ok(()),
        _ = interrupted.recv() => return Ok(()),
    };
    // Nobody may be there to be told.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tokio::select! {
        () = serving.node.stopping() => {}
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    serving.stop().await;
    Ok(())
}

async fn bind(name: &str, address: SocketAddr) -> Result<TcpListener, Error> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| Error::InvalidConfig {
        name: name.to_owned(),
        value: address.to_string(),
        reason: format!("it cannot be listened at: {error}; is another node running?"),
    })
}

fn builder() -> Server {
    Server::builder()
        // A connection whose other end is gone must not keep a subscription.
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_EVERY))
        .max_concurrent_streams(Some(4096))
}

/// Ends when the node is to stop.
async fn stopped(node: Arc<Node>) {
    node.stopping().await;
}

/// What perun-node serves.
fn perun_node_services(node: &Arc<Node>) -> Routes {
    let payment = PaymentService::new(Arc::clone(node));
    let payment = PaymentApiServer::new(payment).max_decoding_message_size(MAX_MESSAGE);
    let funding = FundingService::new(Arc::clone(node));
    let funding = FundingApiServer::new(funding).max_decoding_message_size(MAX_MESSAGE);
    let watching = WatchingService::new(Arc::clone(node));
    let watching = WatchingApiServer::new(watching).max_decoding_message_size(MAX_MESSAGE);
    Routes::new(payment)
        .add_service(funding)
        .add_service(watching)
}

async fn all_services(node: &Arc<Node>) -> Result<Routes, Error> {
    let sessions = SessionsService::new(Arc::clone(node));
    let sessions = SessionsServer::new(sessions).max_decoding_message_size(MAX_MESSAGE);
    let payments = PaymentsService::new(Arc::clone(node));
    let payments = PaymentsServer::new(payments).max_decoding_message_size(MAX_MESSAGE);
    let history = HistoryService::new(Arc::clone(node));
    let history = HistoryServer::new(history).max_decoding_message_size(MAX_MESSAGE);
    let tokens = TokensService::new(node.tokens().clone(), Arc::clone(node.currencies()));
    let tokens = TokensServer::new(tokens).max_decoding_message_size(MAX_MESSAGE);
    let operations = OperationsService::new(Arc::clone(node));
    let operations = OperationsServer::new(operations).max_decoding_message_size(MAX_MESSAGE);
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status("", ServingStatus::Serving).await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTIONS)
        .build_v1()
        .map_err(Error::internal)?;
    let stopping = stopped(Arc::clone(node));
    tokio::spawn(async move {
        stopping.await;
        health
            .set_service_status("", ServingStatus::NotServing)
            .await;
    });
    Ok(perun_node_services(node)
        .add_service(sessions)
        .add_service(payments)
        .add_service(history)
        .add_service(operations)
        .add_service(tokens)
        .add_service(health_service)
        .add_service(reflection))
}
