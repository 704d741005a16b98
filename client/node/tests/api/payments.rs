//! Payments with keys and memos, and payment requests.

use perun_node::api::v1::payments_client::PaymentsClient;
use perun_node::api::{pb, v1};
use tonic::Code;

use crate::errors::channel;
use crate::outcome;
use crate::world::{Incoming, World, held, payment};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_with_a_key_has_one_effect() {
    let mut world = World::with(&["alice", "bob"], Incoming::Accept).await;
    let [mut alice, mut bob] = world.pair().await;
    let channel = channel(&mut alice, &mut bob).await;
    let request = |session: &str, amount: &str| pb::SendPayChUpdateReq {
        session_id: session.to_owned(),
        ch_id: channel.clone(),
        payments: vec![payment("bob", amount)],
    };
    let mut api = world.payment_api_with_key("order 17").await;
    for _ in 0..3 {
        let sent = api.send_pay_ch_update(request(&alice.session, "0.5")).await;
        let sent = outcome!(sent.unwrap().into_inner(), send_pay_ch_update_resp);
        assert_eq!(
            held(&sent.unwrap().updated_pay_ch_info.unwrap()),
            ["2.5", "2.5"]
        );
    }
    // The key is not good for anything else.
    let other = api
        .send_pay_ch_update(request(&alice.session, "0.25"))
        .await;
    let other = outcome!(other.unwrap().into_inner(), send_pay_ch_update_resp).unwrap_err();
    assert_eq!(other.code(), pb::ErrorCode::ErrInvalidArgument);
    assert!(
        other.message.contains("idempotency-key"),
        "{}",
        other.message
    );
    // Another key is another call.
    let mut api = world.payment_api_with_key("order 18").await;
    let sent = api.send_pay_ch_update(request(&alice.session, "0.5")).await;
    let sent = outcome!(sent.unwrap().into_inner(), send_pay_ch_update_resp);
    assert_eq!(
        held(&sent.unwrap().updated_pay_ch_info.unwrap()),
        ["2", "3"]
    );

    // It is remembered over a restart.
    alice.close_session(true).await.unwrap();
    bob.close_session(true).await.unwrap();
    world.restart().await;
    let [alice, _bob] = [world.open("alice").await, world.open("bob").await];
    let mut api = world.payment_api_with_key("order 17").await;
    let sent = api.send_pay_ch_update(request(&alice.session, "0.5")).await;
    let sent = outcome!(sent.unwrap().into_inner(), send_pay_ch_update_resp);
    assert_eq!(
        held(&sent.unwrap().updated_pay_ch_info.unwrap()),
        ["2.5", "2.5"]
    );
    assert_eq!(held(&alice.restored[0]), ["2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_paid_once() {
    let world = World::with(&["alice", "bob"], Incoming::Accept).await;
    let [mut alice, mut bob] = world.pair().await;
    channel(&mut alice, &mut bob).await;
    let mut payments = PaymentsClient::with_interceptor(world.channel().await, world.bearer());
    let made = payments.create_request(v1::CreateRequestRequest {
        session_id: bob.session.clone(),
        currency: "ICP".into(),
        amount: "0.125".into(),
        memo: "two coffees".into(),
        valid_s: 600,
    });
    let text = made.await.unwrap().into_inner().text;
    let read = payments.read_request(v1::ReadRequestRequest {
        session_id: alice.session.clone(),
        text: text.clone(),
    });
    let read = read.await.unwrap().into_inner();
    assert_eq!(
        (&*read.payee_alias, &*read.amount, &*read.memo),
        ("bob", "0.125", "two coffees")
    );
    assert!(!read.is_paid);
    let pay = |text: &str, amount: &str| v1::PayRequestedRequest {
        session_id: alice.session.clone(),
        text: text.to_owned(),
        amount: amount.to_owned(),
    };
    for was_made_before in [false, true, true] {
        let paid = payments
            .pay_requested(pay(&text, ""))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(paid.was_made_before, was_made_before);
        assert_eq!(held(&paid.info.unwrap()), ["2.875", "2.125"]);
    }
    let mut changed = text.clone().into_bytes();
    let last = changed.last_mut().unwrap();
    *last = if *last == b'q' { b'p' } else { b'q' };
    let changed = String::from_utf8(changed).unwrap();
    for (text, amount) in [
        (&*changed, ""),
        ("", ""),
        ("perunreq1qqqq", ""),
        (&*text, "1"),
    ] {
        let refused = payments.pay_requested(pay(text, amount)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_finds_its_channel_and_keeps_its_memo() {
    let world = World::with(&["alice", "bob"], Incoming::Accept).await;
    let [mut alice, mut bob] = world.pair().await;
    channel(&mut alice, &mut bob).await;
    let mut payments = PaymentsClient::with_interceptor(world.channel().await, world.bearer());
    let pay = |peer: &str, amount: &str, memo: &str| v1::PayRequest {
        session_id: alice.session.clone(),
        channel: String::new(),
        peer_alias: peer.into(),
        currency: "ICP".into(),
        amount: amount.into(),
        memo: memo.into(),
    };
    let paid = payments
        .pay(pay("bob", "1", "rent"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(held(&paid.info.unwrap()), ["2", "3"]);
    for (peer, amount, memo, code) in [
        ("carol", "1", "", Code::NotFound),
        ("bob", "2.5", "", Code::InvalidArgument),
        ("bob", "1", "two\nlines", Code::InvalidArgument),
        ("bob", "1", &*"x".repeat(300), Code::InvalidArgument),
    ] {
        let refused = payments.pay(pay(peer, amount, memo)).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused:?}");
        assert!(perun_node::error::message_of(&refused).is_some());
    }
}
