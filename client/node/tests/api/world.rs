//! An Internet Computer, a node with users, and clients of its API.

#[path = "../../src/scratch.rs"]
mod scratch;

use std::net::SocketAddr;
use std::path::Path;

use candid::Principal;
use clap::Parser;
use perun_local_network::{Endowment, LocalNetwork, Setup};
use perun_node::api::pb::payment_api_client::PaymentApiClient;
use perun_node::api::v1::sessions_client::SessionsClient;
use perun_node::api::{IDEMPOTENCY_KEY, pb, v1};
use perun_node::password::Secret;
use perun_node::server::{Serving, TOKEN_FILE};
use perun_node::settings::{Flags, Settings};
use perun_node::users::{self, NewUser};
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use tonic::{Request, Status};

pub use self::scratch::Scratch;

/// What all users' keys are encrypted with.
pub const PASSWORD: &str = "correct horse";
/// What everybody has at first, in tokens.
pub const WEALTH: u32 = 1_000;

/// An Internet Computer and a node whose users have money.
pub struct World {
    pub network: LocalNetwork,
    pub serving: Option<Serving>,
    pub settings: Settings,
    pub token: String,
    _scratch: Scratch,
}

/// Shows a token, and a key where one is set.
#[derive(Clone)]
pub struct Bearer {
    pub token: Option<String>,
    pub key: Option<String>,
}

pub type Channelled = InterceptedService<Channel, Bearer>;

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        if let Some(token) = &self.token {
            let value = format!("Bearer {token}");
            metadata.insert("authorization", MetadataValue::try_from(value).unwrap());
        }
        if let Some(key) = &self.key {
            metadata.insert(IDEMPOTENCY_KEY, MetadataValue::try_from(key).unwrap());
        }
        Ok(request)
    }
}

/// How payments that come in are answered.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Incoming {
    Ask,
    Accept,
}

impl World {
    /// With users of these names, who answer as perun-node's do.
    pub async fn new(names: &[&str]) -> Self {
        Self::with(names, Incoming::Ask).await
    }

    pub async fn with(names: &[&str], incoming: Incoming) -> Self {
        let scratch = Scratch::new();
        let data = scratch.path().to_owned();
        let mut endowments = Vec::new();
        for name in names {
            let owner = make_user(&data, name, incoming);
            endowments.push(Endowment {
                owner,
                tokens: WEALTH,
            });
        }
        let network = LocalNetwork::start(Setup {
            endowments,
            ..Setup::default()
        });
        let network = network.await.unwrap();
        let settings = settings(&data, &network, &[]);
        let serving = Serving::start(settings.clone()).await.unwrap();
        let token = std::fs::read_to_string(data.join(TOKEN_FILE)).unwrap();
        Self {
            network,
            serving: Some(serving),
            settings,
            token: token.trim().to_owned(),
            _scratch: scratch,
        }
    }

    /// The node stops and is started again.
    pub async fn restart(&mut self) {
        self.serving.take().unwrap().stop().await;
        self.serving = Some(Serving::start(self.settings.clone()).await.unwrap());
    }

    /// The flags of a node in a process of its own.
    pub fn arguments(&self) -> Vec<String> {
        arguments(&self.settings.data, &self.network)
    }

    pub fn serving(&self) -> &Serving {
        self.serving.as_ref().unwrap()
    }

    pub async fn channel(&self) -> Channel {
        connect(&self.settings.data, self.serving().address()).await
    }

    /// perun-node's API, with this token.
    pub async fn payment_api_as(&self, token: Option<&str>) -> PaymentApiClient<Channelled> {
        let bearer = Bearer {
            token: token.map(str::to_owned),
            key: None,
        };
        PaymentApiClient::with_interceptor(self.channel().await, bearer)
    }

    /// perun-node's API, for the administrator.
    pub async fn payment_api(&self) -> PaymentApiClient<Channelled> {
        self.payment_api_as(Some(&self.token)).await
    }

    /// perun-node's API, for the administrator, whose calls have this key.
    pub async fn payment_api_with_key(&self, key: &str) -> PaymentApiClient<Channelled> {
        let bearer = Bearer {
            token: Some(self.token.clone()),
            key: Some(key.to_owned()),
        };
        PaymentApiClient::with_interceptor(self.channel().await, bearer)
    }

    /// Our own session API, for the administrator.
    pub async fn sessions_api(&self) -> SessionsClient<Channelled> {
        SessionsClient::with_interceptor(self.channel().await, self.bearer())
    }

    pub fn bearer(&self) -> Bearer {
        Bearer {
            token: Some(self.token.clone()),
            key: None,
        }
    }

    /// The user's session, opened.
    pub async fn open(&self, name: &str) -> User {
        let mut sessions = self.sessions_api().await;
        let opened = sessions.open(v1::OpenSessionRequest {
            name: name.to_owned(),
            password: PASSWORD.to_owned(),
        });
        let opened = opened.await.unwrap().into_inner();
        let card = sessions.card(v1::CardRequest {
            session_id: opened.session_id.clone(),
        });
        User {
            session: opened.session_id,
            restored: opened.restored,
            card: card.await.unwrap().into_inner().card.unwrap(),
            api: self.payment_api().await,
        }
    }

    /// Two users whose sessions are open and who know each other.
    pub async fn pair(&self) -> [User; 2] {
        let [mut alice, mut bob] = [self.open("alice").await, self.open("bob").await];
        alice.add(&bob.card).await;
        bob.add(&alice.card).await;
        [alice, bob]
    }
}

/// A user with an open session.
pub struct User {
    pub session: String,
    pub restored: Vec<pb::PayChInfo>,
    pub card: pb::PeerId,
    pub api: PaymentApiClient<Channelled>,
}

/// What a call answered.
pub type Answered<T> = Result<T, pb::MsgError>;

/// Success or error of a message of perun-node.
#[macro_export]
macro_rules! outcome {
    ($answer:expr, $module:ident) => {
        match $answer.response.expect("every answer is one of both") {
            perun_node::api::pb::$module::Response::MsgSuccess(success) => Ok(success),
            perun_node::api::pb::$module::Response::Error(error) => Err(error),
        }
    };
}

impl User {
    /// The same user at another terminal.
    pub fn clone_api(&self) -> Self {
        Self {
            session: self.session.clone(),
            restored: Vec::new(),
            card: self.card.clone(),
            api: self.api.clone(),
        }
    }

    pub async fn add(&mut self, card: &pb::PeerId) {
        let added = self.api.add_peer_id(pb::AddPeerIdReq {
            session_id: self.session.clone(),
            peer_id: Some(card.clone()),
        });
        let added = added.await.unwrap().into_inner();
        outcome!(added, add_peer_id_resp).unwrap();
    }

    pub async fn open_channel(
        &mut self,
        peer: &str,
        ours: &str,
        theirs: &str,
    ) -> Answered<pb::PayChInfo> {
        let opened = self.api.open_pay_ch(pb::OpenPayChReq {
            session_id: self.session.clone(),
            opening_bal_info: Some(balances(peer, ours, theirs)),
            challenge_dur_secs: 60,
        });
        let opened = opened.await.unwrap().into_inner();
        outcome!(opened, open_pay_ch_resp).map(|opened| opened.opened_pay_ch_info.unwrap())
    }

    pub async fn subscribe_proposals(&mut self) -> tonic::Streaming<pb::SubPayChProposalsResp> {
        let subscribed = self.api.sub_pay_ch_proposals(pb::SubPayChProposalsReq {
            session_id: self.session.clone(),
        });
        subscribed.await.unwrap().into_inner()
    }

    pub async fn respond_proposal(
        &mut self,
        id: &str,
        accept: bool,
    ) -> Answered<Option<pb::PayChInfo>> {
        let responded = self
            .api
            .respond_pay_ch_proposal(pb::RespondPayChProposalReq {
                session_id: self.session.clone(),
                proposal_id: id.to_owned(),
                accept,
            });
        let responded = responded.await.unwrap().into_inner();
        outcome!(responded, respond_pay_ch_proposal_resp)
            .map(|responded| responded.opened_pay_ch_info)
    }

    pub async fn subscribe_updates(
        &mut self,
        channel: &str,
    ) -> tonic::Streaming<pb::SubPayChUpdatesResp> {
        let subscribed = self.api.sub_pay_ch_updates(pb::SubpayChUpdatesReq {
            session_id: self.session.clone(),
            ch_id: channel.to_owned(),
        });
        subscribed.await.unwrap().into_inner()
    }

    pub async fn send(
        &mut self,
        channel: &str,
        payee: &str,
        amount: &str,
    ) -> Answered<pb::PayChInfo> {
        let sent = self.api.send_pay_ch_update(pb::SendPayChUpdateReq {
            session_id: self.session.clone(),
            ch_id: channel.to_owned(),
            payments: vec![payment(payee, amount)],
        });
        let sent = sent.await.unwrap().into_inner();
        outcome!(sent, send_pay_ch_update_resp).map(|sent| sent.updated_pay_ch_info.unwrap())
    }

    pub async fn respond_update(
        &mut self,
        channel: &str,
        update: &str,
        accept: bool,
    ) -> Answered<pb::PayChInfo> {
        let responded = self.api.respond_pay_ch_update(pb::RespondPayChUpdateReq {
            session_id: self.session.clone(),
            ch_id: channel.to_owned(),
            update_id: update.to_owned(),
            accept,
        });
        let responded = responded.await.unwrap().into_inner();
        outcome!(responded, respond_pay_ch_update_resp)
            .map(|responded| responded.updated_pay_ch_info.unwrap())
    }

    pub async fn close_channel(&mut self, channel: &str) -> Answered<pb::PayChInfo> {
        let closed = self.api.close_pay_ch(pb::ClosePayChReq {
            session_id: self.session.clone(),
            ch_id: channel.to_owned(),
        });
        let closed = closed.await.unwrap().into_inner();
        outcome!(closed, close_pay_ch_resp).map(|closed| closed.closed_pay_ch_info.unwrap())
    }

    pub async fn channels(&mut self) -> Answered<Vec<pb::PayChInfo>> {
        let infos = self.api.get_pay_chs_info(pb::GetPayChsInfoReq {
            session_id: self.session.clone(),
        });
        let infos = infos.await.unwrap().into_inner();
        outcome!(infos, get_pay_chs_info_resp).map(|infos| infos.open_pay_chs_info)
    }

    pub async fn close_session(&mut self, force: bool) -> Answered<Vec<pb::PayChInfo>> {
        let closed = self.api.close_session(pb::CloseSessionReq {
            session_id: self.session.clone(),
            force,
        });
        let closed = closed.await.unwrap().into_inner();
        outcome!(closed, close_session_resp).map(|closed| closed.open_pay_chs_info)
    }
}

pub fn payment(payee: &str, amount: &str) -> pb::Payment {
    pb::Payment {
        currency: "ICP".into(),
        payee: payee.to_owned(),
        amount: amount.to_owned(),
    }
}

/// Balances of a channel of ICP with a peer.
pub fn balances(peer: &str, ours: &str, theirs: &str) -> pb::BalInfo {
    pb::BalInfo {
        currencies: vec!["ICP".into()],
        parts: vec!["self".into(), peer.to_owned()],
        bals: vec![pb::bal_info::Bal {
            bal: vec![ours.to_owned(), theirs.to_owned()],
        }],
    }
}

/// What both have of the first currency, we first.
pub fn held(info: &pb::PayChInfo) -> [&str; 2] {
    let balances = info.bal_info.as_ref().unwrap();
    assert_eq!(balances.parts[0], "self");
    [&balances.bals[0].bal[0], &balances.bals[0].bal[1]]
}

/// The next proposal, which has to come soon.
pub async fn proposal(
    stream: &mut tonic::Streaming<pb::SubPayChProposalsResp>,
) -> Answered<pb::sub_pay_ch_proposals_resp::Notify> {
    let next = soon(stream.message())
        .await
        .unwrap()
        .expect("the stream goes on");
    match next.response.unwrap() {
        pb::sub_pay_ch_proposals_resp::Response::Notify(notify) => Ok(notify),
        pb::sub_pay_ch_proposals_resp::Response::Error(error) => Err(error),
    }
}

/// The next update, which has to come soon.
pub async fn update(
    stream: &mut tonic::Streaming<pb::SubPayChUpdatesResp>,
) -> Answered<pb::sub_pay_ch_updates_resp::Notify> {
    let next = soon(stream.message())
        .await
        .unwrap()
        .expect("the stream goes on");
    match next.response.unwrap() {
        pb::sub_pay_ch_updates_resp::Response::Notify(notify) => Ok(notify),
        pb::sub_pay_ch_updates_resp::Response::Error(error) => Err(error),
    }
}

pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    let limit = std::time::Duration::from_secs(60);
    tokio::time::timeout(limit, future)
        .await
        .expect("it should have come by now")
}

/// An address that nobody listens at: peers find a user there again after a restart.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Settings by flags, as an operator gives them; everything happens within seconds.
pub fn settings(data: &Path, network: &LocalNetwork, more: &[&str]) -> Settings {
    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        flags: Flags,
    }
    let arguments = arguments(data, network);
    let more = more.iter().map(|argument| (*argument).to_owned());
    let program = std::iter::once("perund".to_owned())
        .chain(arguments)
        .chain(more);
    Settings::load(&Program::try_parse_from(program).unwrap().flags).unwrap()
}

/// The flags of a node on this network.
fn arguments(data: &Path, network: &LocalNetwork) -> Vec<String> {
    let arguments = [
        ("--data", data.to_str().unwrap()),
        ("--listen", "127.0.0.1:0"),
        ("--chain-url", &network.server.url()),
        ("--adjudicator", &network.adjudicator.to_text()),
        ("--response-timeout", "5s"),
        ("--poll-interval", "500ms"),
        ("--max-view-age", "10s"),
    ];
    let arguments = arguments.iter().flat_map(|(flag, value)| [*flag, *value]);
    arguments.map(str::to_owned).collect()
}

/// A connection to a node whose certificate is in this folder.
pub async fn connect(data: &Path, address: SocketAddr) -> Channel {
    let certificate = std::fs::read(data.join("tls.crt")).unwrap();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(certificate))
        .domain_name("localhost");
    let endpoint = Channel::from_shared(format!("https://{address}")).unwrap();
    endpoint.tls_config(tls).unwrap().connect().await.unwrap()
}

/// Makes a user whose peers reach it at any free port; its principal.
fn make_user(data: &Path, name: &str, incoming: Incoming) -> Principal {
    let folder = data.join(users::FOLDER);
    let made = users::create(
        &folder,
        &NewUser {
            name: name.to_owned(),
            password: Secret::new(PASSWORD),
            comm_address: free_address(),
            recovery_words: None,
            identity_pem: None,
        },
    )
    .unwrap();
    if incoming == Incoming::Ask {
        let file = folder.join(name).join("session.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let asking = text.replace("incomingPayments: accept", "incomingPayments: ask");
        assert_ne!(asking, text);
        std::fs::write(&file, asking).unwrap();
    }
    made.public.principal
}
