//! The HTTPS interface of the Internet Computer, over plain HTTP on loopback.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/v2/status` | root key, health |
//! | `POST /api/{v2,v3,v4}/canister/<id>/call` | v2: 202; later: certificate, or 202 and polling |
//! | `POST /api/{v2,v3}/canister/<id>/query` | reply or reject, signed by the node |
//! | `POST /api/{v2,v3}/canister/<id>/read_state` | certificate of the paths asked for |
//! | the same with `subnet/<id>` | for calls to the management canister and the subnet's state |
//!
//! All bodies are CBOR; everything refused before it reaches the replica is answered by a status
//! code and one sentence that names what was wrong. Nothing a stranger sends makes this panic, and
//! everything he can make us keep is bounded: connections, bodies, and the time both may take.

pub(crate) mod call;
pub(crate) mod paths;
mod query;
mod read_state;

use std::convert::Infallible;
use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::Duration;

use candid::Principal;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use ic_transport_types::{Envelope, EnvelopeContent};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::auth::{Authenticated, Window, authenticate};
use crate::certificate::self_described_cbor;
use crate::network::Node;

/// The largest body of a request, bytes: the public replica's limit.
pub(crate) const MAX_BODY: usize = 5 * 1024 * 1024;
/// The largest envelope of a call, bytes: what an application subnet of the public network takes.
/// Larger modules go in as gzip or by chunks there, so they have to here.
pub(crate) const MAX_INGRESS: usize = 2 * 1024 * 1024;
/// How much of a body that is too large is read and thrown away, so that its sender gets to see
/// the answer instead of a broken connection.
const MAX_DRAINED: usize = 64 * 1024 * 1024;
/// Connections at a time; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 256;
/// How long the head of a request may take, also while a connection is idle. So long can all places
/// be held by those who say nothing. No round number, so that agents which poll at round ones do
/// not meet the closing of their connection.
const HEAD_TIMEOUT: Duration = Duration::from_millis(16_700);
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Accepts connections until dropped.
pub(crate) async fn serve(listener: TcpListener, node: Arc<Node>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Dropping the set with this future ends the connections too.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let place = Arc::clone(&places)
            .acquire_owned()
            .await
            .expect("never closed");
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Most likely out of file descriptors: give others time to close theirs.
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        let node = Arc::clone(&node);
        connections.spawn(async move {
            serve_connection(stream, node).await;
            drop(place);
        });
    }
}

async fn serve_connection(stream: TcpStream, node: Arc<Node>) {
    // Answers are small and complete, so waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let node = Arc::clone(&node);
        async move { Ok::<_, Infallible>(answer(node, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection ended");
    }
}

/// What a request is refused with before it reaches the replica.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    status: StatusCode,
    text: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, text: impl Display) -> Self {
        Self {
            status,
            text: text.to_string(),
        }
    }

    fn bad_request(text: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.text)
    }
}

impl From<crate::turns::Broken> for Refusal {
    fn from(_: crate::turns::Broken) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the replica has stopped after an internal error; see the server's output",
        )
    }
}

type Answer = Response<Full<Bytes>>;

async fn answer<B>(node: Arc<Node>, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes, Error: Display> + Unpin,
{
    let result = match route(request.method(), request.uri().path()) {
        Ok(Endpoint::Status) => Ok(status(&node)),
        Ok(Endpoint::Envelope {
            operation,
            effective,
        }) => match read_envelope(request).await {
            Ok(body) => match operation {
                Operation::Call { wait } => call::call(node, effective, body, wait).await,
                Operation::Query => query::query(node, effective, body).await,
                Operation::ReadState => read_state::read_state(node, effective, body).await,
            },
            Err(refusal) => Err(refusal),
        },
        Err(refusal) => Err(refusal),
    };
    result.unwrap_or_else(|refusal| {
        tracing::debug!(%refusal, "refused a request");
        text(refusal.status, refusal.text)
    })
}

/// What a URL asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Endpoint {
    Status,
    Envelope {
        operation: Operation,
        effective: Effective,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Operation {
    /// `wait`: answer with the certificate, not only that the call was taken.
    Call {
        wait: bool,
    },
    Query,
    ReadState,
}

/// To whom a request is routed: what stands in the URL, while the envelope says to whom it goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Effective {
    Canister(Principal),
    Subnet(Principal),
}

fn route(method: &Method, path: &str) -> Result<Endpoint, Refusal> {
    let not_found = || {
        Refusal::new(
            StatusCode::NOT_FOUND,
            format_args!("there is no {path} here"),
        )
    };
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (endpoint, allowed) = match segments[..] {
        ["api", "v2", "status"] => (Endpoint::Status, Method::GET),
        ["api", version, scope, id, operation] => {
            let operation = match (operation, version) {
                ("call", "v2") => Operation::Call { wait: false },
                ("call", "v3" | "v4") => Operation::Call { wait: true },
                ("query", "v2" | "v3") => Operation::Query,
                ("read_state", "v2" | "v3") => Operation::ReadState,
                _ => return Err(not_found()),
            };
            let id = Principal::from_text(id).map_err(|error| {
                Refusal::bad_request(format_args!("'{id}' in the URL is no principal: {error}"))
            });
            let effective = match scope {
                "canister" => Effective::Canister(id?),
                "subnet" => Effective::Subnet(id?),
                _ => return Err(not_found()),
            };
            (
                Endpoint::Envelope {
                    operation,
                    effective,
                },
                Method::POST,
            )
        }
        _ => return Err(not_found()),
    };
    if method != allowed {
        return Err(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            format_args!("{path} takes {allowed}, not {method}"),
        ));
    }
    Ok(endpoint)
}

async fn read_envelope<B>(request: Request<B>) -> Result<Vec<u8>, Refusal>
where
    B: Body<Data = Bytes, Error: Display> + Unpin,
{
    let kind = request
        .headers()
        .get(CONTENT_TYPE)
        .map(HeaderValue::as_bytes);
    if kind != Some(b"application/cbor") {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the content-type must be application/cbor",
        ));
    }
    tokio::time::timeout(BODY_TIMEOUT, read_body(request.into_body()))
        .await
        .unwrap_or_else(|_| {
            let text = format_args!(
                "the body did not arrive within {} s",
                BODY_TIMEOUT.as_secs()
            );
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, text))
        })
}

async fn read_body<B>(mut body: B) -> Result<Vec<u8>, Refusal>
where
    B: Body<Data = Bytes, Error: Display> + Unpin,
{
    if body.size_hint().lower() > MAX_DRAINED as u64 {
        return Err(too_large("the body", MAX_BODY));
    }
    let mut bytes = Vec::new();
    let mut read = 0usize;
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| Refusal::bad_request(format_args!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        read = read.saturating_add(data.len());
        if read <= MAX_BODY {
            bytes.extend_from_slice(&data);
        } else if read <= MAX_DRAINED {
            bytes = Vec::new();
        } else {
            break;
        }
    }
    if read > MAX_BODY {
        return Err(too_large("the body", MAX_BODY));
    }
    Ok(bytes)
}

fn too_large(what: &str, limit: usize) -> Refusal {
    Refusal::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format_args!("{what} is larger than the {limit} bytes that are allowed"),
    )
}

/// Decodes an envelope and verifies who sent it. `expected` is the kind its URL stands for.
fn authenticated(body: &[u8], expected: &str, window: Window) -> Result<Authenticated, Refusal> {
    let envelope: Envelope<'_> = serde_cbor::from_slice(body).map_err(|error| {
        Refusal::bad_request(format_args!(
            "the body is no request envelope in CBOR: {error}"
        ))
    })?;
    let kind = match &*envelope.content {
        EnvelopeContent::Call { .. } => "call",
        EnvelopeContent::Query { .. } => "query",
        EnvelopeContent::ReadState { .. } => "read_state",
    };
    if kind != expected {
        return Err(Refusal::bad_request(format_args!(
            "the request_type is '{kind}', but this URL takes '{expected}'"
        )));
    }
    authenticate(envelope, window).map_err(Refusal::bad_request)
}

/// Runs what waits for the replica or computes for a while, without holding up other connections.
async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, Refusal> + Send + 'static,
) -> Result<R, Refusal> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            tracing::error!(%error, "a request could not be handled");
            Err(Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal error; see the server's output",
            ))
        })
}

fn status(node: &Node) -> Answer {
    #[derive(Serialize)]
    struct Status<'a> {
        impl_version: &'a str,
        replica_health_status: &'a str,
        #[serde(with = "serde_bytes")]
        root_key: &'a [u8],
    }
    let healthy = !node.is_broken();
    cbor(&Status {
        impl_version: concat!("local-ic ", env!("CARGO_PKG_VERSION")),
        replica_health_status: if healthy { "healthy" } else { "stopped" },
        root_key: node.keys().root_key_der(),
    })
}

fn cbor<T: Serialize>(value: &T) -> Answer {
    with_type(
        StatusCode::OK,
        "application/cbor",
        self_described_cbor(value),
    )
}

fn text(status: StatusCode, text: impl Into<String>) -> Answer {
    with_type(status, "text/plain; charset=utf-8", text.into())
}

fn with_type(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
