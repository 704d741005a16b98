use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::{Body as _, Frame};
use prometheus_client::encoding::text::encode;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Bytes, Service as _};
use tower_layer::Layer as _;

use super::*;

fn text(metrics: &Metrics) -> String {
    let mut text = String::new();
    encode(&mut text, &metrics.shared.registry).unwrap();
    text
}

#[test]
fn what_happens_in_a_session_is_counted() {
    let metrics = Metrics::new();
    let session = metrics.session("alice");
    for _ in 0..3 {
        session.paid(Direction::Received, "ICP", 1.0);
    }
    session.paid(Direction::Sent, "ICP", 1.5);
    session.paid(Direction::Sent, "ICP", 0.25);
    session.refused(2);
    session.disputed();
    session.failed(&Error::internal("no"));
    // Opened again, it goes on.
    metrics
        .session("alice")
        .paid(Direction::Received, "ICP", 0.5);
    let text = text(&metrics);
    for line in [
        r#"perun_payments_total{session="alice",direction="received"} 4"#,
        r#"perun_payments_total{session="alice",direction="sent"} 2"#,
        r#"perun_payments_refused_total{session="alice"} 2"#,
        r#"perun_disputes_total{session="alice"} 1"#,
        r#"perun_paid_tokens_total{session="alice",direction="sent",currency="ICP"} 1.75"#,
        r#"perun_paid_tokens_total{session="alice",direction="received",currency="ICP"} 3.5"#,
        r#"perun_errors_total{code="ErrUnknownInternal"} 1"#,
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

/// Answers everything with this.
#[derive(Clone)]
struct Answering(fn() -> Response<Body>);

impl tonic::codegen::Service<Request<()>> for Answering {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Response<Body>, Self::Error>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        std::future::ready(Ok(self.0()))
    }
}

/// Calls a method of a server that answers with this, and reads the answer.
async fn call(metrics: &Metrics, path: &str, answer: fn() -> Response<Body>) {
    let mut service = metrics.layer().layer(Answering(answer));
    let request = Request::builder().uri(path).body(()).unwrap();
    let mut body = service.call(request).await.unwrap().into_body();
    while std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context))
        .await
        .is_some()
    {}
}

fn with_code(code: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let code = http::HeaderValue::from_static(code);
    response.headers_mut().insert("grpc-status", code);
    response
}

#[tokio::test]
async fn calls_are_counted_by_how_they_end_and_strangers_make_up_no_labels() {
    let metrics = Metrics::new();
    let get_config = "/pb.Payment_API/GetConfig";
    call(&metrics, get_config, || Response::new(Body::empty())).await;
    call(&metrics, get_config, || with_code("5")).await;
    call(&metrics, "/pb.Payment_API/Made_up", || with_code("12")).await;
    call(&metrics, "/another/thing", || with_code("12")).await;
    let text = text(&metrics);
    for line in [
        r#"perun_grpc_calls_total{method="pb.Payment_API/GetConfig",code="OK"} 1"#,
        r#"perun_grpc_calls_total{method="pb.Payment_API/GetConfig",code="NOT_FOUND"} 1"#,
        r#"perun_grpc_calls_total{method="other",code="UNIMPLEMENTED"} 2"#,
        r#"perun_grpc_latency_seconds_count{method="pb.Payment_API/GetConfig"} 2"#,
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("Made_up"), "{text}");
}

#[tokio::test]
async fn errors_are_counted_wherever_an_answer_tells_them() {
    let metrics = Metrics::new();
    let path = "/pb.Payment_API/OpenSession";
    // Within the message.
    call(&metrics, path, || {
        let mut response = Response::new(Body::empty());
        response
            .extensions_mut()
            .insert(ErrorCode::ErrInvalidConfig);
        response
    })
    .await;
    // At the beginning.
    call(&metrics, path, || {
        Error::invalid("amount", "1x", "").to_status().into_http()
    })
    .await;
    // At the end.
    call(&metrics, path, || {
        let mut trailers = http::HeaderMap::new();
        let status = Error::Stopped.to_status();
        status.add_header(&mut trailers).unwrap();
        Response::new(Body::new(Trailers(Some(trailers))))
    })
    .await;
    // Somebody else's, and none.
    call(&metrics, path, || with_code("12")).await;
    call(&metrics, path, || Response::new(Body::empty())).await;
    let text = text(&metrics);
    for line in [
        r#"perun_errors_total{code="ErrInvalidConfig"} 1"#,
        r#"perun_errors_total{code="ErrInvalidArgument"} 1"#,
        r#"perun_errors_total{code="ErrUnknownInternal"} 1"#,
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert_eq!(text.matches("perun_errors_total{").count(), 3, "{text}");
}

/// An answer that has nothing but an end.
struct Trailers(Option<http::HeaderMap>);

impl http_body::Body for Trailers {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.0.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }
}
