use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::*;
use crate::api::v1::operations_client::OperationsClient;
use crate::api::v1::operations_server::{Operations, OperationsServer};
use crate::api::v1::*;
use crate::password::Secret;
use crate::scratch::Scratch;
use crate::tokens::{NewToken, Scope};

const GENEROUS: Limits = Limits {
    concurrent_calls: 100,
    calls_per_s: 1000,
};

/// Says who calls, and streams one answer and then none for ever.
struct Echo;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Operations for Echo {
    type BackupStream = Answers<BackupResponse>;

    async fn info(&self, request: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let caller = caller_of(&request)?;
        let chosen = request.metadata().get("x-request-id").unwrap();
        Ok(Response::new(InfoResponse {
            version: caller.id().unwrap_or("nobody").to_owned(),
            chain_url: chosen.to_str().unwrap().to_owned(),
            ..InfoResponse::default()
        }))
    }

    async fn backup(
        &self,
        _: Request<BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        let first = tokio_stream::once(Ok(BackupResponse { chunk: vec![7] }));
        Ok(Response::new(Box::pin(
            first.chain(tokio_stream::pending()),
        )))
    }

    async fn devices(
        &self,
        _: Request<DevicesRequest>,
    ) -> Result<Response<DevicesResponse>, Status> {
        unimplemented!()
    }

    async fn stop(&self, request: Request<StopRequest>) -> Result<Response<StopResponse>, Status> {
        caller_of(&request)?.require(Scope::Admin)?;
        Ok(Response::new(StopResponse {}))
    }
}

async fn serve(layer: Option<AccessLayer>) -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let incoming = TcpListenerStream::new(listener);
    let (_, health) = tonic_health::server::health_reporter();
    let echo = OperationsServer::new(Echo);
    match layer {
        Some(layer) => {
            let mut server = Server::builder().layer(layer);
            let router = server.add_service(echo).add_service(health);
            tokio::spawn(router.serve_with_incoming(incoming));
        }
        None => {
            let router = Server::builder().add_service(echo);
            tokio::spawn(router.serve_with_incoming(incoming));
        }
    }
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect().await.unwrap()
}

/// A node with a token of each of two scopes.
struct World {
    _scratch: Scratch,
    tokens: Tokens,
    channel: Channel,
    admin: (String, Secret),
    reader: (String, Secret),
}

impl World {
    async fn new(limits: Limits) -> Self {
        let scratch = Scratch::new();
        let tokens = Tokens::open(&scratch.path().join("tokens.redb")).unwrap();
        let token = |scope| {
            let new = NewToken {
                label: String::new(),
                scope,
                session: None,
                limits: Vec::new(),
                valid_s: None,
            };
            tokens.create(new).unwrap()
        };
        Self {
            admin: token(Scope::Admin),
            reader: token(Scope::Read),
            channel: serve(Some(AccessLayer::new(tokens.clone(), limits))).await,
            tokens,
            _scratch: scratch,
        }
    }

    fn client(&self) -> OperationsClient<Channel> {
        OperationsClient::new(self.channel.clone())
    }

    async fn info(&self, authorization: Option<&str>) -> Result<Response<InfoResponse>, Status> {
        self.client()
            .info(with(authorization, InfoRequest {}))
            .await
    }
}

fn with<T>(authorization: Option<&str>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(authorization) = authorization {
        let value = authorization.parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    request
}

fn bearer(secret: &Secret) -> String {
    format!("Bearer {}", secret.expose())
}

#[tokio::test]
async fn a_token_says_who_calls() {
    let world = World::new(GENEROUS).await;
    for (id, secret) in [&world.admin, &world.reader] {
        for scheme in ["Bearer", "bearer"] {
            let header = format!("{scheme} {}", secret.expose());
            let answer = world.info(Some(&header)).await.unwrap();
            assert_eq!(answer.get_ref().version, *id);
        }
    }
}

#[tokio::test]
async fn without_a_good_token_no_call_arrives() {
    let world = World::new(GENEROUS).await;
    let (id, secret) = &world.reader;
    for (header, text) in [
        (None, "this needs a token"),
        (Some("Basic YTpi".to_owned()), "is not \"Bearer"),
        (Some(secret.expose().to_owned()), "is not \"Bearer"),
        (
            Some("Bearer perun_00".to_owned()),
            "does not know the token",
        ),
        (Some(format!("Bearer {id}")), "does not know the token"),
        (Some("Bearer ".to_owned()), "does not know the token"),
    ] {
        let status = world.info(header.as_deref()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{header:?}");
        assert!(status.message().contains(text), "{status:?}");
        let message = crate::error::message_of(&status).unwrap();
        assert_eq!(message.message, status.message());
    }
    world.tokens.revoke(id).unwrap();
    let status = world.info(Some(&bearer(secret))).await.unwrap_err();
    assert!(status.message().contains("revoked"), "{status:?}");
}

#[tokio::test]
async fn a_scope_is_asked_for_by_the_call() {
    let world = World::new(GENEROUS).await;
    let stop = async |secret: &Secret| {
        let request = with(Some(&bearer(secret)), StopRequest {});
        world.client().stop(request).await
    };
    let status = stop(&world.reader.1).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    stop(&world.admin.1).await.unwrap();
}

#[tokio::test]
async fn only_a_server_with_the_layer_serves() {
    let channel = serve(None).await;
    let mut client = OperationsClient::new(channel);
    let mut request = Request::new(InfoRequest {});
    request
        .metadata_mut()
        .insert("x-request-id", "a".parse().unwrap());
    let status = client.info(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn the_listener_without_tokens_asks_for_none() {
    let channel = serve(Some(AccessLayer::without_tokens(GENEROUS))).await;
    let mut client = OperationsClient::new(channel);
    let answer = client.info(InfoRequest {}).await.unwrap();
    assert_eq!(answer.get_ref().version, "nobody");
    client.stop(StopRequest {}).await.unwrap();
}

#[tokio::test]
async fn supervisors_need_no_token() {
    let world = World::new(GENEROUS).await;
    let mut health = HealthClient::new(world.channel.clone());
    health.check(HealthCheckRequest::default()).await.unwrap();
}

#[tokio::test]
async fn who_guesses_is_told_to_wait_and_locks_nobody_out() {
    let world = World::new(GENEROUS).await;
    let mut codes = Vec::new();
    for _ in 0..40 {
        let status = world.info(Some("Bearer perun_guess")).await.unwrap_err();
        codes.push(status.code());
    }
    assert!(
        codes[..20]
            .iter()
            .all(|code| *code == Code::Unauthenticated)
    );
    assert_eq!(codes[39], Code::ResourceExhausted);
    world.info(Some(&bearer(&world.reader.1))).await.unwrap();
}

#[tokio::test]
async fn one_caller_can_not_take_it_all() {
    let limits = Limits {
        concurrent_calls: 2,
        calls_per_s: 1000,
    };
    let world = World::new(limits).await;
    let listen = async |secret: &Secret| {
        let request = with(Some(&bearer(secret)), BackupRequest {});
        world.client().backup(request).await
    };
    let reader = &world.reader.1;
    let first = listen(reader).await.unwrap();
    let _second = listen(reader).await.unwrap();
    let status = listen(reader).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    // Another caller is another count.
    listen(&world.admin.1).await.unwrap();
    // A listener that goes away is a call that has ended.
    drop(first);
    let mut status = Ok(());
    for _ in 0..100 {
        match listen(reader).await {
            Ok(_) => return,
            Err(error) => status = Err(error),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    status.unwrap();
}

#[tokio::test]
async fn calls_a_second_are_counted_by_caller() {
    let limits = Limits {
        concurrent_calls: 10,
        calls_per_s: 5,
    };
    let world = World::new(limits).await;
    let mut refused = 0;
    for _ in 0..30 {
        if let Err(status) = world.info(Some(&bearer(&world.reader.1))).await {
            assert_eq!(status.code(), Code::ResourceExhausted);
            refused += 1;
        }
    }
    assert!(refused > 10, "{refused}");
    world.info(Some(&bearer(&world.admin.1))).await.unwrap();
}

#[tokio::test]
async fn a_stream_ends_when_its_token_is_revoked() {
    let world = World::new(GENEROUS).await;
    let (id, secret) = &world.reader;
    let request = with(Some(&bearer(secret)), BackupRequest {});
    let mut stream = world.client().backup(request).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().chunk, [7]);
    let waiting = tokio::spawn(async move { stream.message().await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished());
    world.tokens.revoke(id).unwrap();
    let ended = timeout(Duration::from_secs(10), waiting).await.unwrap();
    let status = ended.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("revoked"), "{status:?}");
}

#[tokio::test]
async fn a_call_has_a_name() {
    let world = World::new(GENEROUS).await;
    let secret = bearer(&world.reader.1);
    let named = async |name: Option<&str>| {
        let mut request = with(Some(&secret), InfoRequest {});
        if let Some(name) = name {
            let metadata = request.metadata_mut();
            metadata.insert("x-request-id", name.parse().unwrap());
        }
        let answer = world.client().info(request).await.unwrap();
        let told = answer.metadata().get("x-request-id").unwrap();
        let told = told.to_str().unwrap().to_owned();
        assert_eq!(answer.get_ref().chain_url, told);
        told
    };
    assert_eq!(named(Some("order-7.a:b_c")).await, "order-7.a:b_c");
    let first = named(None).await;
    assert_ne!(first, named(None).await);
    // Nothing that would forge lines of a log.
    for bad in ["two words", "", &"x".repeat(65), "a\"b"] {
        assert_ne!(named(Some(bad)).await, bad);
    }
}
