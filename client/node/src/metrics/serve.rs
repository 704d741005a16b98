//! `/metrics` and `/healthz`.

use std::sync::{PoisonError, Weak};

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use tokio::net::TcpListener;

use super::Metrics;
use crate::connections::Connections;
use crate::node::Node;

/// The media type of OpenMetrics, as Prometheus knows it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How many connections may read them at once.
const READERS: usize = 64;

impl Metrics {
    /// Serves the figures of a node as long as it is there.
    pub fn serve(&self, listener: TcpListener, node: Weak<Node>) {
        let metrics = self.clone();
        let (of_metrics, of_health) = (node.clone(), node.clone());
        let router = Router::new()
            .route("/metrics", get(async move || metrics.answer(&of_metrics)))
            .route("/healthz", get(async move || health(&of_health)));
        let stopping = async move {
            if let Some(node) = node.upgrade() {
                node.stopping().await;
            }
        };
        tokio::spawn(async move {
            let connections = Connections::of(listener, READERS);
            let served = axum::serve(connections, router).with_graceful_shutdown(stopping);
            if let Err(error) = served.await {
                tracing::error!("metrics are not served any more: {error}");
            }
        });
    }

    /// The figures as text.
    pub fn text(&self, node: &Node) -> String {
        let snapshot = self.shared.snapshot.lock();
        // It is made anew, whatever a panic has left of it.
        let mut snapshot = snapshot.unwrap_or_else(PoisonError::into_inner);
        snapshot.take(node);
        let mut text = String::new();
        encode(&mut text, &self.shared.registry).expect("a string takes every text");
        text
    }

    fn answer(&self, node: &Weak<Node>) -> Response {
        match node.upgrade() {
            Some(node) => ([(CONTENT_TYPE, OPEN_METRICS)], self.text(&node)).into_response(),
            None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
}

/// Whether the node is there at all: who is to be told that it stops asks `grpc.health.v1`.
fn health(node: &Weak<Node>) -> StatusCode {
    match node.strong_count() {
        0 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    }
}
