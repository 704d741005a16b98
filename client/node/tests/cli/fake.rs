//! A node with one user that answers the same at any time, and remembers what it was asked.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use perun_node::Error;
use perun_node::Resource;
use perun_node::api::{pb, v1};
use tokio::sync::broadcast;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

/// The token that the node knows.
pub const TOKEN: &str = "perun_test";
/// The session of alice.
pub const SESSION: &str = "0123456789abcdef0123456789abcdef";
/// Her channel with bob.
pub const CHANNEL: &str = "c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1";
/// The proposal of bob that waits.
pub const PROPOSAL: &str = "abababababababababababababababababababababababababababababababab";
/// Bob's key.
pub const BOB: &str = "02bb00000000000000000000000000000000000000000000000000000000000000";
/// When what waits expires: in some years.
pub const EXPIRY: i64 = 4_000_000_000;

/// What comes in pieces.
pub type Pieces<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A node that is made up.
#[derive(Clone)]
pub struct Fake {
    asked: Arc<Mutex<Vec<String>>>,
    events: broadcast::Sender<v1::Event>,
}

/// Where it listens, and its certificate.
pub struct Listening {
    /// With TLS and tokens.
    pub address: SocketAddr,
    /// In plaintext.
    pub compat: SocketAddr,
    /// As PEM.
    pub certificate: String,
}

impl Fake {
    pub fn new() -> Self {
        Self {
            asked: Arc::default(),
            events: broadcast::Sender::new(16),
        }
    }

    /// What it was asked that changes something: the call, its idempotency key, the message.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// How many listen to events.
    pub fn listeners(&self) -> usize {
        self.events.receiver_count()
    }

    /// Something happens to alice.
    pub fn happen(&self, event: v1::Event) {
        let _ = self.events.send(event);
    }

    /// Remembers a call.
    pub fn note<T: std::fmt::Debug>(&self, call: &str, request: &Request<T>) {
        let key = request.metadata().get("idempotency-key");
        let key = key.map_or("-", |key| key.to_str().unwrap());
        self.asked
            .lock()
            .unwrap()
            .push(format!("{call} {key} {:?}", request.get_ref()));
    }

    /// Serves both listeners on a thread of its own, for as long as the process lives.
    pub fn serve(&self) -> Listening {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let certificate = made.cert.pem();
        let identity = Identity::from_pem(&certificate, made.signing_key.serialize_pem());
        let (report, reported) = std::sync::mpsc::channel();
        let fake = self.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async move {
                let bind = || tokio::net::TcpListener::bind("127.0.0.1:0");
                let (tls, plain) = (bind().await.unwrap(), bind().await.unwrap());
                report
                    .send((tls.local_addr().unwrap(), plain.local_addr().unwrap()))
                    .unwrap();
                let config = ServerTlsConfig::new().identity(identity);
                let secured = Server::builder()
                    .tls_config(config)
                    .unwrap()
                    .layer(tonic::service::InterceptorLayer::new(authenticate))
                    .add_service(fake.payment_api())
                    .add_service(v1::sessions_server::SessionsServer::new(fake.clone()))
                    .add_service(v1::payments_server::PaymentsServer::new(fake.clone()))
                    .add_service(v1::history_server::HistoryServer::new(fake.clone()))
                    .add_service(v1::operations_server::OperationsServer::new(fake.clone()))
                    .add_service(v1::tokens_server::TokensServer::new(fake.clone()));
                let secured = secured.serve_with_incoming(incoming(tls));
                let compat = Server::builder().add_service(fake.payment_api());
                let compat = compat.serve_with_incoming(incoming(plain));
                let _ = tokio::join!(secured, compat);
            });
        });
        let (address, compat) = reported.recv().unwrap();
        Listening {
            address,
            compat,
            certificate,
        }
    }

    fn payment_api(&self) -> pb::payment_api_server::PaymentApiServer<Self> {
        pb::payment_api_server::PaymentApiServer::new(self.clone())
    }
}

fn incoming(listener: tokio::net::TcpListener) -> tokio_stream::wrappers::TcpListenerStream {
    tokio_stream::wrappers::TcpListenerStream::new(listener)
}

fn authenticate(request: Request<()>) -> Result<Request<()>, Status> {
    let shown = request.metadata().get("authorization");
    match shown.and_then(|value| value.to_str().ok()) {
        Some("Bearer perun_test") => Ok(request),
        _ => {
            let message = "the token is not known".to_owned();
            Err(Error::Unauthenticated { message }.to_status())
        }
    }
}

/// Alice's balances.
pub fn balances(peer: &str, own: &str, peers: &str) -> pb::BalInfo {
    pb::BalInfo {
        currencies: vec!["ICP".into()],
        parts: vec!["self".into(), peer.into()],
        bals: vec![pb::bal_info::Bal {
            bal: vec![own.into(), peers.into()],
        }],
    }
}

/// Her channel.
pub fn info(own: &str, peers: &str, version: u64) -> pb::PayChInfo {
    pb::PayChInfo {
        ch_id: CHANNEL.into(),
        bal_info: Some(balances("bob", own, peers)),
        version: version.to_string(),
    }
}

/// Bob as a contact.
pub fn bob() -> pb::PeerId {
    pb::PeerId {
        alias: "bob".into(),
        off_chain_address: BOB.into(),
        comm_address: "127.0.0.1:5752".into(),
        comm_type: "tcp".into(),
    }
}

/// These, and then nothing more for ever.
pub fn endless<T: Send + 'static>(first: Vec<T>) -> Pieces<T> {
    let first = tokio_stream::iter(first.into_iter().map(Ok));
    Box::pin(first.chain(tokio_stream::pending()))
}

#[tonic::async_trait]
impl v1::sessions_server::Sessions for Fake {
    type EventsStream = Pieces<v1::Event>;

    async fn create(
        &self,
        request: Request<v1::CreateSessionRequest>,
    ) -> Result<Response<v1::CreateSessionResponse>, Status> {
        self.note("create", &request);
        Ok(Response::new(v1::CreateSessionResponse {
            recovery_words: "abandon ability able".into(),
            off_chain_address: "02cc".into(),
            on_chain_address: "aaaaa-aa".into(),
        }))
    }

    async fn open(
        &self,
        request: Request<v1::OpenSessionRequest>,
    ) -> Result<Response<v1::OpenSessionResponse>, Status> {
        self.note("open", &request);
        if request.get_ref().name != "alice" {
            return Err(Error::not_found(Resource::Session, &*request.get_ref().name).into());
        }
        Ok(Response::new(v1::OpenSessionResponse {
            session_id: SESSION.into(),
            restored: vec![info("1.5", "2", 7)],
        }))
    }

    async fn list(
        &self,
        _: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        let session = |name: &str, id: &str| v1::list_sessions_response::Session {
            name: name.into(),
            session_id: id.into(),
            off_chain_address: "02aa".into(),
            channels: u32::from(!id.is_empty()),
        };
        Ok(Response::new(v1::ListSessionsResponse {
            sessions: vec![session("alice", SESSION), session("carol", "")],
        }))
    }

    async fn balances(
        &self,
        _: Request<v1::BalancesRequest>,
    ) -> Result<Response<v1::BalancesResponse>, Status> {
        Ok(Response::new(v1::BalancesResponse {
            account: "aaaaa-aa".into(),
            balances: vec![v1::balances_response::Balance {
                currency: "ICP".into(),
                ledger: "ryjl3-tyaaa-aaaaa-aaaba-cai".into(),
                amount: "998.4999".into(),
                fee: "0.0001".into(),
            }],
        }))
    }

    async fn list_contacts(
        &self,
        _: Request<v1::ListContactsRequest>,
    ) -> Result<Response<v1::ListContactsResponse>, Status> {
        Ok(Response::new(v1::ListContactsResponse {
            contacts: vec![bob()],
        }))
    }

    async fn remove_contact(
        &self,
        request: Request<v1::RemoveContactRequest>,
    ) -> Result<Response<v1::RemoveContactResponse>, Status> {
        self.note("remove_contact", &request);
        Ok(Response::new(v1::RemoveContactResponse {}))
    }

    async fn card(
        &self,
        _: Request<v1::CardRequest>,
    ) -> Result<Response<v1::CardResponse>, Status> {
        let mut card = bob();
        card.alias = "alice".into();
        Ok(Response::new(v1::CardResponse { card: Some(card) }))
    }

    async fn channels(
        &self,
        _: Request<v1::ChannelsRequest>,
    ) -> Result<Response<v1::ChannelsResponse>, Status> {
        Ok(Response::new(v1::ChannelsResponse {
            channels: vec![v1::Channel {
                info: Some(info("1.5", "2", 7)),
                peer_alias: "bob".into(),
                phase: v1::channel::Phase::Open.into(),
                peer_connected: true,
                synced: true,
                challenge_duration_s: 3600,
                secured: vec!["1.5".into()],
                view_age_s: 0.5,
                refutation_left_s: 0.0,
            }],
        }))
    }

    async fn force_close(
        &self,
        request: Request<v1::ForceCloseRequest>,
    ) -> Result<Response<v1::ForceCloseResponse>, Status> {
        self.note("force_close", &request);
        Ok(Response::new(v1::ForceCloseResponse {
            info: Some(info("1.5", "2", 7)),
        }))
    }

    async fn events(
        &self,
        _: Request<v1::EventsRequest>,
    ) -> Result<Response<Self::EventsStream>, Status> {
        let events = tokio_stream::wrappers::BroadcastStream::new(self.events.subscribe());
        let events = events.filter_map(|event| event.ok().map(Ok));
        Ok(Response::new(Box::pin(events)))
    }
}

#[tonic::async_trait]
impl v1::payments_server::Payments for Fake {
    async fn pay(
        &self,
        request: Request<v1::PayRequest>,
    ) -> Result<Response<v1::PayResponse>, Status> {
        self.note("pay", &request);
        if request.get_ref().amount == "666" {
            return Err(Status::unavailable("the line is cut"));
        }
        Ok(Response::new(v1::PayResponse {
            info: Some(info("1", "2.5", 8)),
            was_made_before: false,
        }))
    }

    async fn create_request(
        &self,
        request: Request<v1::CreateRequestRequest>,
    ) -> Result<Response<v1::CreateRequestResponse>, Status> {
        self.note("create_request", &request);
        Ok(Response::new(v1::CreateRequestResponse {
            text: "perunreq1tea".into(),
        }))
    }

    async fn read_request(
        &self,
        request: Request<v1::ReadRequestRequest>,
    ) -> Result<Response<v1::ReadRequestResponse>, Status> {
        let amount = match request.get_ref().text.as_str() {
            "perunreq1tea" => "0.5",
            "perunreq1open" => "",
            other => return Err(Error::invalid("text", other, "no payment request").into()),
        };
        Ok(Response::new(v1::ReadRequestResponse {
            payee: BOB.into(),
            payee_alias: "bob".into(),
            currency: "ICP".into(),
            amount: amount.into(),
            memo: "tea\u{1b}[31m".into(),
            expiry: EXPIRY,
            is_paid: false,
        }))
    }

    async fn pay_requested(
        &self,
        request: Request<v1::PayRequestedRequest>,
    ) -> Result<Response<v1::PayResponse>, Status> {
        self.note("pay_requested", &request);
        Ok(Response::new(v1::PayResponse {
            info: Some(info("1", "2.5", 8)),
            was_made_before: true,
        }))
    }
}

#[tonic::async_trait]
impl v1::history_server::History for Fake {
    type ExportStream = Pieces<v1::ExportHistoryResponse>;

    async fn list(
        &self,
        request: Request<v1::ListHistoryRequest>,
    ) -> Result<Response<v1::ListHistoryResponse>, Status> {
        let payment = |version, direction: v1::Direction, memo: &str| v1::PaymentRecord {
            channel: CHANNEL.into(),
            peer_alias: "bob".into(),
            version,
            index: 0,
            at_ms: 1_780_000_000_000 + i64::try_from(version).unwrap(),
            time_is_late: version == 1,
            direction: direction.into(),
            currency: "ICP".into(),
            amount: "0.5".into(),
            memo_hash: String::new(),
            memo: memo.into(),
        };
        // Two pages.
        let (payment, next) = match request.get_ref().page_token.as_str() {
            "" => (payment(2, v1::Direction::Sent, "=tea, with milk"), "2"),
            _ => (payment(1, v1::Direction::Received, ""), ""),
        };
        Ok(Response::new(v1::ListHistoryResponse {
            payments: vec![payment],
            next_page_token: next.into(),
        }))
    }

    async fn export(
        &self,
        _: Request<v1::ExportHistoryRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        let chunk = |text: &str| v1::ExportHistoryResponse {
            chunk: text.as_bytes().to_vec(),
        };
        let chunks = vec![Ok(chunk("{\"a\":")), Ok(chunk("1}\n"))];
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }
}

#[tonic::async_trait]
impl v1::operations_server::Operations for Fake {
    type BackupStream = Pieces<v1::BackupResponse>;

    async fn info(
        &self,
        _: Request<v1::InfoRequest>,
    ) -> Result<Response<v1::InfoResponse>, Status> {
        Ok(Response::new(v1::InfoResponse {
            version: "1.2.3".into(),
            chain_url: "http://127.0.0.1:4943".into(),
            adjudicator: "rrkah-fqaaa-aaaaa-aaaaq-cai".into(),
            interface: 1,
            min_challenge_duration_s: 60,
            max_challenge_duration_s: 3600,
            currencies: vec![v1::info_response::Currency {
                symbol: "ICP".into(),
                ledger: "ryjl3-tyaaa-aaaaa-aaaba-cai".into(),
                decimals: 8,
                fee: "0.0001".into(),
            }],
            started: 1_780_000_000,
            ..v1::InfoResponse::default()
        }))
    }

    async fn backup(
        &self,
        _: Request<v1::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        let chunk = v1::BackupResponse {
            chunk: vec![7; 1000],
        };
        let broken = Err(Error::internal("the disk").to_status());
        Ok(Response::new(Box::pin(tokio_stream::iter(vec![
            Ok(chunk),
            broken,
        ]))))
    }

    async fn devices(
        &self,
        _: Request<v1::DevicesRequest>,
    ) -> Result<Response<v1::DevicesResponse>, Status> {
        let devices = vec![BOB.into()];
        Ok(Response::new(v1::DevicesResponse {
            watched: 2,
            devices,
        }))
    }

    async fn stop(
        &self,
        request: Request<v1::StopRequest>,
    ) -> Result<Response<v1::StopResponse>, Status> {
        self.note("stop", &request);
        Err(Error::PermissionDenied {
            message: "it needs ADMIN".into(),
        }
        .to_status())
    }
}

#[tonic::async_trait]
impl v1::tokens_server::Tokens for Fake {
    async fn create(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        self.note("token", &request);
        Ok(Response::new(v1::CreateTokenResponse {
            id: "t2".into(),
            secret: "perun_secret".into(),
        }))
    }

    async fn list(
        &self,
        _: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let limit = |per_day: &str| v1::SpendLimit {
            currency: "ICP".into(),
            per_day: per_day.into(),
        };
        Ok(Response::new(v1::ListTokensResponse {
            tokens: vec![v1::list_tokens_response::Token {
                id: "t1".into(),
                label: "shop".into(),
                scope: v1::Scope::Spend.into(),
                session: "alice".into(),
                limits: vec![limit("5")],
                spent: vec![limit("1.5")],
                expiry: EXPIRY,
                revoked: false,
            }],
        }))
    }

    async fn revoke(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        self.note("revoke", &request);
        Ok(Response::new(v1::RevokeTokenResponse {}))
    }
}
