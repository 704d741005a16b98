//! The layer of the server that finds out who calls.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tower_layer::Layer;
use tracing::Instrument as _;

use super::Caller;
use super::body::{Call, CallBody};
use super::strangers::Strangers;
use super::traffic::{Limits, Running, Traffic, now_ns};
use crate::Error;
use crate::tokens::Tokens;

/// Names a call in the log. A caller may choose it.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Whoever asks only whether the node is there needs no token: supervisors have none.
/// A stream would hold its place for ever.
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const HEALTH_LIMITS: Limits = Limits {
    concurrent_calls: 64,
    calls_per_s: 100,
};

/// The layer of the server that finds out who calls. For `tonic::transport::Server::layer`.
#[derive(Clone, Debug)]
pub struct AccessLayer(Arc<Gate>);

/// A service behind the layer.
#[derive(Clone, Debug)]
pub struct Access<S> {
    gate: Arc<Gate>,
    inner: S,
}

#[derive(Debug)]
struct Gate {
    /// `None` lets everybody in.
    tokens: Option<Tokens>,
    limits: Limits,
    strangers: Strangers,
    /// The calls of all who have no token together.
    traffic: Traffic,
    health: Traffic,
    request_ids: RequestIds,
}

impl AccessLayer {
    /// Asks for tokens.
    pub fn new(tokens: Tokens, limits: Limits) -> Self {
        Self::with(Some(tokens), limits)
    }

    /// Takes everybody for [`Caller::unrestricted`]; the limits are for all of them together.
    pub fn without_tokens(limits: Limits) -> Self {
        Self::with(None, limits)
    }

    fn with(tokens: Option<Tokens>, limits: Limits) -> Self {
        Self(Arc::new(Gate {
            tokens,
            limits,
            strangers: Strangers::default(),
            traffic: Traffic::default(),
            health: Traffic::default(),
            request_ids: RequestIds::new(),
        }))
    }
}

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, inner: S) -> Access<S> {
        let gate = self.0.clone();
        Access { gate, inner }
    }
}

impl<S> Service<Request<Body>> for Access<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<CallBody>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let request_id = self.gate.request_ids.of(&request);
        let answer_id = request_id.clone();
        let with_id = move |mut response: Response<CallBody>| {
            response.headers_mut().insert(REQUEST_ID, answer_id);
            response
        };
        let (caller, running) = match self.gate.admit(&request) {
            Ok(admitted) => admitted,
            Err(error) => {
                let response = with_id(Status::from(error).into_http());
                return Box::pin(std::future::ready(Ok(response)));
            }
        };
        let span = tracing::info_span!(
            "call",
            request_id = request_id.to_str().unwrap_or_default(),
            method = request.uri().path(),
            caller = caller.id().unwrap_or("-"),
        );
        request.extensions_mut().insert(caller.clone());
        // What the api hands on, e.g. to a log, has it under the same name.
        request.headers_mut().insert(REQUEST_ID, request_id);
        let answered = self.inner.call(request).instrument(span.clone());
        Box::pin(async move {
            let call = Call::new(caller, running);
            let response = answered.await?;
            Ok(with_id(
                response.map(|body| CallBody::new(body, call, span)),
            ))
        })
    }
}

impl Gate {
    fn admit(&self, request: &Request<Body>) -> Result<(Caller, Running), Error> {
        let now_ns = now_ns();
        let Some(tokens) = &self.tokens else {
            let running = self.traffic.begin(&self.limits, now_ns)?;
            return Ok((Caller::unrestricted(), running));
        };
        if request.uri().path().starts_with(HEALTH) {
            let running = self.health.begin(&HEALTH_LIMITS, now_ns)?;
            return Ok((Caller::unrestricted(), running));
        }
        let secret = secret_of(request);
        let caller = secret.and_then(|secret| tokens.authenticate(secret));
        let caller = caller.map_err(|error| self.refused(request, error, now_ns))?;
        let running = match caller.traffic() {
            Some(traffic) => traffic.begin(&self.limits, now_ns)?,
            None => self.traffic.begin(&self.limits, now_ns)?,
        };
        Ok((caller, running))
    }

    fn refused(&self, request: &Request<Body>, error: Error, now_ns: u64) -> Error {
        let address = address_of(request);
        if !self.strangers.are_few(address, now_ns) {
            return Error::ResourceExhausted {
                message: "too many calls without a good token come from this address; wait".into(),
            };
        }
        let method = request.uri().path();
        tracing::warn!(%address, method, %error, "a call was refused");
        error
    }
}

/// The secret that a call brings.
fn secret_of(request: &Request<Body>) -> Result<&str, Error> {
    let unauthenticated = |message: &str| Error::Unauthenticated {
        message: message.into(),
    };
    let header = request.headers().get(AUTHORIZATION).ok_or_else(|| {
        unauthenticated("this needs a token, in metadata \"authorization: Bearer perun_…\"")
    })?;
    let text = header.to_str().ok();
    let scheme = text.and_then(|text| text.split_once(' '));
    match scheme {
        Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => Ok(secret.trim()),
        _ => Err(unauthenticated(
            "the metadata \"authorization\" is not \"Bearer perun_…\"",
        )),
    }
}

/// Where a call comes from, as far as the connection tells.
fn address_of(request: &Request<Body>) -> IpAddr {
    let extensions = request.extensions();
    let plain = extensions.get::<TcpConnectInfo>();
    let tls = extensions.get::<TlsConnectInfo<TcpConnectInfo>>();
    let connection = plain.or_else(|| tls.map(TlsConnectInfo::get_ref));
    let address = connection.and_then(TcpConnectInfo::remote_addr);
    address.map_or(Ipv4Addr::UNSPECIFIED.into(), |address| address.ip())
}

/// Makes names of calls: some random digits of this process, and a number.
#[derive(Debug)]
struct RequestIds {
    process: u32,
    next: AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        let mut random = [0; 4];
        // Without randomness the names of two runs may be the same, and nothing worse.
        let _ = getrandom::fill(&mut random);
        Self {
            process: u32::from_be_bytes(random),
            next: AtomicU64::new(1),
        }
    }

    /// The caller's own, if it is harmless to log.
    fn of(&self, request: &Request<Body>) -> HeaderValue {
        let is_harmless = |value: &&HeaderValue| {
            let bytes = value.as_bytes();
            let is_harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
            (1..=64).contains(&bytes.len()) && bytes.iter().all(is_harmless)
        };
        if let Some(own) = request.headers().get(REQUEST_ID).filter(is_harmless) {
            return own.clone();
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("{:08x}-{number:x}", self.process);
        HeaderValue::try_from(name).expect("digits make a header")
    }
}
