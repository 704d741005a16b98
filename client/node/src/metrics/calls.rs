//! Calls of the API: how many, how they ended, and how long they took.
//!
//! Two kinds of answers tell an error. perun-node's API tells it within the message, and whoever makes
//! such an answer puts its [`ErrorCode`] into the extensions. Ours tells it by the status, at the
//! beginning or at the end.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{HeaderMap, Request, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tonic::codegen::Service;
use tonic::{Code, Status};
use tower_layer::Layer;

use super::ending::Ending;
use super::{Errors, seconds};
use crate::api;
use crate::api::pb::ErrorCode;
use crate::error::message_of;

/// What calls that nobody has described are counted as: a stranger must not make up labels.
const OTHER: &str = "other";

/// What is known of calls.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    /// Paths of calls that are described.
    paths: Arc<HashSet<String>>,
    calls: Family<CallLabels, Counter>,
    latencies: Family<MethodLabels, Histogram, fn() -> Histogram>,
    errors: Errors,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct CallLabels {
    method: String,
    code: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct MethodLabels {
    method: String,
}

/// Counts calls.
#[derive(Clone, Debug)]
pub struct CallsLayer(Figures);

/// A service whose calls are counted.
#[derive(Clone, Debug)]
pub struct Calls<S> {
    figures: Figures,
    inner: S,
}

impl Figures {
    pub(super) fn register(registry: &mut Registry, errors: Errors) -> Self {
        let figures = Self {
            paths: Arc::new(api::paths().into_iter().collect()),
            calls: Family::default(),
            // From a tenth of a millisecond to some minutes.
            latencies: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.0001, 4.0, 12))
            }),
            errors,
        };
        let help = "Calls of the API by how they were answered";
        registry.register("grpc_calls", help, figures.calls.clone());
        let help = "Time until the answer to a call, or the first of its stream, was known";
        let latencies = figures.latencies.clone();
        registry.register_with_unit("grpc_latency", help, seconds(), latencies);
        figures
    }

    fn method(&self, path: &str) -> String {
        let known = self.paths.get(path);
        known
            .map_or(OTHER, String::as_str)
            .trim_start_matches('/')
            .to_owned()
    }

    fn answered(&self, method: String, code: Code, began: Instant) {
        let labels = CallLabels {
            method,
            code: code_name(code),
        };
        self.calls.get_or_create(&labels).inc();
        let method = MethodLabels {
            method: labels.method,
        };
        let latency = self.latencies.get_or_create(&method);
        latency.observe(began.elapsed().as_secs_f64());
    }
}

impl CallsLayer {
    pub(super) fn new(figures: Figures) -> Self {
        Self(figures)
    }
}

impl<S> Layer<S> for CallsLayer {
    type Service = Calls<S>;

    fn layer(&self, inner: S) -> Calls<S> {
        Calls {
            figures: self.0.clone(),
            inner,
        }
    }
}

impl<S, In, Out> Service<Request<In>> for Calls<S>
where
    S: Service<Request<In>, Response = Response<Out>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    Out: http_body::Body + Send + Unpin + 'static,
{
    type Response = Response<Ending<Out>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        let figures = self.figures.clone();
        let method = figures.method(request.uri().path());
        let began = Instant::now();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            // What fails without an answer says so here; an answer that begins is one.
            let code = response.headers().get("grpc-status");
            let code = code.map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
            figures.answered(method, code, began);
            let told = response.extensions().get().copied();
            if let Some(error) = told.or_else(|| code_in(response.headers())) {
                figures.errors.failed(error);
            }
            Ok(response.map(|body| Ending::new(body, figures.errors)))
        })
    }
}

/// The code of an error of ours that these headers or trailers tell.
pub(super) fn code_in(headers: &HeaderMap) -> Option<ErrorCode> {
    let status = Status::from_header_map(headers)?;
    Some(message_of(&status)?.code())
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
