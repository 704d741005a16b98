use http::{Request, Response};
use prometheus_client::encoding::text::encode;
use tonic::codegen::Service as _;
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
    let (one, other) = (
        ChannelId::from_bytes([1; 32]),
        ChannelId::from_bytes([2; 32]),
    );
    session.received(3);
    // Numbers go on in a channel, and each payment counts once.
    session.sent(&one, 2);
    session.sent(&one, 5);
    session.sent(&one, 5);
    session.sent(&other, 1);
    session.refused(2);
    session.disputed();
    session.moved(Direction::Sent, "ICP", 1.5);
    session.moved(Direction::Sent, "ICP", 0.25);
    session.failed(&Error::internal("no"));
    // Opened again, it goes on.
    metrics.session("alice").received(1);
    let text = text(&metrics);
    for line in [
        r#"perun_payments_total{session="alice",direction="received"} 4"#,
        r#"perun_payments_total{session="alice",direction="sent"} 6"#,
        r#"perun_payments_refused_total{session="alice"} 2"#,
        r#"perun_disputes_total{session="alice"} 1"#,
        r#"perun_paid_tokens_total{session="alice",direction="sent",currency="ICP"} 1.75"#,
        r#"perun_errors_total{code="ErrUnknownInternal"} 1"#,
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[derive(Clone)]
struct Answering(Option<&'static str>);

impl tonic::codegen::Service<Request<()>> for Answering {
    type Response = Response<()>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Response<()>, Self::Error>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let mut response = Response::new(());
        if let Some(code) = self.0 {
            let code = http::HeaderValue::from_static(code);
            response.headers_mut().insert("grpc-status", code);
        }
        std::future::ready(Ok(response))
    }
}

#[tokio::test]
async fn calls_are_counted_by_how_they_end_and_strangers_make_up_no_labels() {
    let metrics = Metrics::new();
    for (code, path) in [
        (None, "/pb.Payment_API/GetConfig"),
        (Some("5"), "/pb.Payment_API/GetConfig"),
        (Some("12"), "/pb.Payment_API/Made_up"),
        (Some("12"), "/another/thing"),
    ] {
        let mut service = metrics.layer().layer(Answering(code));
        let request = Request::builder().uri(path).body(()).unwrap();
        service.call(request).await.unwrap();
    }
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
