//! Whatever a stranger sends gets an answer that names what is wrong, and the server goes on.

use candid::Principal;
use ic_transport_types::{Envelope, EnvelopeContent};
use local_ic::{Clock, Fault, Target, Until};
use serde_cbor::Value;
use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use crate::{World, number};

fn soon_ns() -> u64 {
    let expiry = SystemTime::UNIX_EPOCH.elapsed().unwrap() + Duration::from_secs(120);
    expiry.as_nanos() as u64
}

fn call(canister_id: Principal, arg: Vec<u8>) -> EnvelopeContent {
    EnvelopeContent::Call {
        nonce: None,
        ingress_expiry: soon_ns(),
        sender: Principal::anonymous(),
        canister_id,
        method_name: "inc".into(),
        arg,
        sender_info: None,
    }
}

fn query(canister_id: Principal, ingress_expiry: u64) -> EnvelopeContent {
    EnvelopeContent::Query {
        nonce: None,
        ingress_expiry,
        sender: Principal::anonymous(),
        canister_id,
        method_name: "read".into(),
        arg: vec![],
        sender_info: None,
    }
}

fn unsigned(content: EnvelopeContent) -> Vec<u8> {
    let content = Cow::Owned(content);
    let envelope = Envelope {
        content,
        sender_pubkey: None,
        sender_sig: None,
        sender_delegation: None,
    };
    envelope.encode_bytes()
}

impl World {
    fn url_for(&self, operation: &str) -> String {
        let version = if operation == "call" { "v4" } else { "v3" };
        format!("/api/{version}/canister/{}/{operation}", self.canister)
    }

    /// It still answers.
    fn assert_alive(&self) {
        let answer = self.post(
            &self.url_for("query"),
            &unsigned(query(self.canister, soon_ns())),
        );
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_envelopes_are_refused() {
    let world = World::new(Clock::Live).await;
    let nested_arrays = vec![0x81; 100_000];
    let endless_text = [&[0x7b][..], &[0xff; 8]].concat();
    let huge_array = [&[0x9b][..], &[0xff; 8]].concat();
    let valid = unsigned(call(world.canister, vec![]));
    let cut_off = &valid[..valid.len() - 3];
    let too_long = [&valid[..], b"!"].concat();
    let bodies: [&[u8]; 10] = [
        b"",
        b"\0",
        b"GET / HTTP/1.1",
        &[0xff; 64],
        &nested_arrays,
        &endless_text,
        &huge_array,
        b"\xa1\x67content\xa0",
        cut_off,
        &too_long,
    ];
    for operation in ["call", "query", "read_state"] {
        for body in bodies {
            let answer = world.post(&world.url_for(operation), body);
            assert_eq!(answer.status, 400, "{operation} {body:?}");
            let text = answer.text();
            assert!(
                text.starts_with("the body is no request envelope in CBOR: "),
                "{text}"
            );
        }
    }
    world.assert_alive();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_single_changed_byte_gets_an_answer() {
    let world = World::new(Clock::Live).await;
    let valid = unsigned(query(world.canister, soon_ns()));
    for place in 0..valid.len() {
        let mut body = valid.clone();
        body[place] ^= 0x55;
        let answer = world.post(&world.url_for("query"), &body);
        assert!(
            matches!(answer.status, 200 | 400),
            "byte {place}: {answer:?}"
        );
    }
    world.assert_alive();
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_the_wrong_type_are_refused() {
    let world = World::new(Clock::Live).await;
    let valid: Value = serde_cbor::from_slice(&unsigned(call(world.canister, vec![]))).unwrap();
    for field in [
        "request_type",
        "sender",
        "canister_id",
        "ingress_expiry",
        "method_name",
        "arg",
    ] {
        for wrong in [Value::Null, Value::Array(vec![]), Value::Bytes(vec![0; 40])] {
            // Any bytes are an argument, so are no elements, and zeros are UTF-8.
            if matches!(
                (field, &wrong),
                ("arg", Value::Array(_) | Value::Bytes(_)) | ("method_name", Value::Bytes(_))
            ) {
                continue;
            }
            let mut envelope = valid.clone();
            let Value::Map(parts) = &mut envelope else {
                unreachable!()
            };
            let Some(Value::Map(content)) = parts.get_mut(&Value::Text("content".into())) else {
                unreachable!()
            };
            content.insert(Value::Text(field.into()), wrong.clone());
            let body = serde_cbor::to_vec(&envelope).unwrap();
            let answer = world.post(&world.url_for("call"), &body);
            assert_eq!(answer.status, 400, "{field} = {wrong:?}: {answer:?}");
        }
    }
    world.assert_alive();
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_requests_and_those_from_afar_are_refused() {
    let world = World::new(Clock::Live).await;
    for (expiry, text) in [
        (soon_ns() - 121_000_000_000, "the request expired: "),
        (0, "the request expired: ingress_expiry 0 ns"),
        (soon_ns() + 600_000_000_000, "ingress_expiry "),
        (
            u64::MAX,
            "ingress_expiry 18446744073709551615 ns is too far ahead",
        ),
    ] {
        let body = unsigned(query(world.canister, expiry));
        let answer = world.post(&world.url_for("query"), &body);
        assert_eq!(answer.status, 400);
        assert!(answer.text().starts_with(text), "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_large_are_refused() {
    let world = World::new(Clock::Live).await;
    let large = unsigned(call(world.canister, vec![0; 2 << 20]));
    let answer = world.post(&world.url_for("call"), &large);
    assert_eq!(answer.status, 413);
    assert_eq!(
        answer.text(),
        "the call is larger than the 2097152 bytes that are allowed"
    );

    let larger = vec![0; 6 << 20];
    let answer = world.post(&world.url_for("query"), &larger);
    assert_eq!(answer.status, 413);
    assert_eq!(
        answer.text(),
        "the body is larger than the 5242880 bytes that are allowed"
    );

    // A length that nobody means to send must not make room for it.
    let promise = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/cbor\r\n\
         content-length: 9999999999999\r\n\r\n",
        world.url_for("call")
    );
    let answer = world.send(promise.as_bytes());
    assert_eq!(answer.status, 413, "{answer:?}");
    world.assert_alive();
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_urls_methods_and_types_are_named() {
    let world = World::new(Clock::Live).await;
    let id = world.canister;
    for (method, path, status, text) in [
        ("GET", "/".to_owned(), 404, "there is no / here"),
        (
            "GET",
            "/api/v1/status".into(),
            404,
            "there is no /api/v1/status here",
        ),
        (
            "POST",
            "/api/v2/status".into(),
            405,
            "/api/v2/status takes GET, not POST",
        ),
        (
            "POST",
            format!("/api/v4/canister/{id}/query"),
            404,
            "there is no /api/v4/",
        ),
        (
            "POST",
            format!("/api/v3/canister/{id}/install"),
            404,
            "there is no /api/v3/",
        ),
        (
            "POST",
            format!("/api/v3/node/{id}/call"),
            404,
            "there is no /api/v3/node/",
        ),
        (
            "POST",
            "/api/v3/canister/bob/call".into(),
            400,
            "'bob' in the URL is no principal",
        ),
    ] {
        let answer = world.request(method, &path, "application/cbor", b"");
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(answer.text().starts_with(text), "{}", answer.text());
    }
    let get = world.request("GET", &world.url_for("call"), "application/cbor", b"");
    assert_eq!(get.status, 405);
    let json = world.request("POST", &world.url_for("call"), "application/json", b"{}");
    assert_eq!(
        (json.status, &*json.text()),
        (415, "the content-type must be application/cbor")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_belongs_at_its_own_url() {
    let world = World::new(Clock::Live).await;
    let other = Principal::from_text("be2us-64aaa-aaaaa-qaabq-cai").unwrap();
    let answer = world.post(&world.url_for("call"), &unsigned(call(other, vec![])));
    assert_eq!(answer.status, 400);
    let text = format!(
        "the request is for canister {other}, but the URL is for {}",
        world.canister
    );
    assert_eq!(answer.text(), text);

    let answer = world.post(
        &world.url_for("call"),
        &unsigned(query(world.canister, soon_ns())),
    );
    assert_eq!(
        answer.text(),
        "the request_type is 'query', but this URL takes 'call'"
    );

    let subnet = Principal::self_authenticating(world.server.root_key());
    let path = format!("/api/v4/subnet/{subnet}/call");
    let answer = world.post(&path, &unsigned(call(world.canister, vec![])));
    assert_eq!(answer.status, 400);
    assert!(
        answer
            .text()
            .starts_with("the URL of a subnet takes requests to the management")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn older_versions_of_the_interface_are_served() {
    let world = World::new(Clock::Live).await;
    let id = world.canister;
    let answer = world.post(
        &format!("/api/v2/canister/{id}/call"),
        &unsigned(call(id, vec![])),
    );
    assert_eq!((answer.status, answer.body.len()), (202, 0));
    let read = || {
        let body = unsigned(query(id, soon_ns()));
        let answer = world.post(&format!("/api/v2/canister/{id}/query"), &body);
        assert_eq!(answer.status, 200);
        let answer = serde_cbor::from_slice(&answer.body).unwrap();
        let ic_transport_types::QueryResponse::Replied { reply, .. } = answer else {
            panic!("`read` replies")
        };
        number(&reply.arg)
    };
    // Taken, not yet done: it runs as soon as nobody else has a turn.
    while read() == 0 {
        std::thread::yield_now();
    }
    let answer = world.post(
        &format!("/api/v3/canister/{id}/call"),
        &unsigned(call(id, vec![1])),
    );
    assert_eq!((answer.status, read()), (200, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nonsense_or_nothing_do_no_harm() {
    let world = World::new(Clock::Live).await;
    let address = world.server.url().trim_start_matches("http://").to_owned();
    let silent: Vec<_> = (0..50)
        .map(|_| std::net::TcpStream::connect(&address).unwrap())
        .collect();
    let answer = world.send(b"\x16\x03\x01 hello over TLS\r\n\r\n");
    assert_eq!(answer.status, 400);
    world.assert_alive();
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_pile_up_are_turned_away_and_later_ones_taken_again() {
    let world = World::new(Clock::Manual).await;
    let id = world.canister;
    let rule = world.server.with(|replica| {
        let all = Target::ingress().to(id).method("inc").always();
        replica.faults().add(all, Fault::DelayCall(Until::Released))
    });
    let path = format!("/api/v2/canister/{id}/call");
    let hand_in = |n: u32| {
        world
            .post(&path, &unsigned(call(id, n.to_be_bytes().into())))
            .status
    };
    for n in 0..1_000 {
        assert_eq!(hand_in(n), 202, "call {n}");
    }
    assert_eq!(hand_in(1_000), 503);

    world.server.with(|replica| {
        replica.faults().release(rule);
        replica.faults().remove(rule);
        replica.run();
    });
    while hand_in(1_001) == 503 {
        std::thread::yield_now();
    }
    world.server.with(|replica| replica.run());
    assert_eq!(world.counter(), 1_001);
}
