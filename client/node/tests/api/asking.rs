//! Payments that the peer is asked for by a call with a key: it is asked once.

use std::time::Duration;

use perun_node::api::pb::{self, ErrorCode};

use crate::errors::channel;
use crate::outcome;
use crate::world::{Answered, User, World, held, payment, update};

/// Asks for a token, by a call with a key.
async fn ask(world: &World, alice: &User, channel: &str, key: &str) -> Answered<pb::PayChInfo> {
    let mut api = world.payment_api_with_key(key).await;
    let asked = api.send_pay_ch_update(pb::SendPayChUpdateReq {
        session_id: alice.session.clone(),
        ch_id: channel.to_owned(),
        payments: vec![payment("self", "1")],
    });
    let asked = asked.await.unwrap().into_inner();
    outcome!(asked, send_pay_ch_update_resp).map(|asked| asked.updated_pay_ch_info.unwrap())
}

/// A call that is interrupted when bob's user has been asked; what he was told.
async fn interrupted(
    world: &World,
    alice: &mut User,
    channel: &str,
    key: &str,
    to_bob: &mut tonic::Streaming<pb::SubPayChUpdatesResp>,
) -> String {
    let admin = alice.clone_api();
    let (asked, told) = tokio::join!(ask(world, &admin, channel, key), async {
        let told = update(to_bob).await.unwrap();
        alice.close_session(true).await.unwrap();
        told
    });
    assert_eq!(asked.unwrap_err().code(), ErrorCode::ErrUnknownInternal);
    told.update_id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_made_again_does_not_ask_again() {
    let mut world = World::new(&["alice", "bob"]).await;
    world.settings.response_timeout = Duration::from_secs(30);
    world.restart().await;
    let [mut alice, mut bob] = world.pair().await;
    let channel = channel(&mut alice, &mut bob).await;
    let mut to_bob = bob.subscribe_updates(&channel).await;

    // Interrupted, and made again before bob answers.
    let told = interrupted(&world, &mut alice, &channel, "first", &mut to_bob).await;
    alice = world.open("alice").await;
    let (asked, _) = tokio::join!(ask(&world, &alice, &channel, "first"), async {
        // It has been sent again by then.
        tokio::time::sleep(Duration::from_secs(3)).await;
        bob.respond_update(&channel, &told, true).await.unwrap()
    });
    assert_eq!(held(&asked.unwrap()), ["4", "1"]);
    let asked = ask(&world, &alice, &channel, "first").await.unwrap();
    assert_eq!(held(&asked), ["4", "1"]);

    // Interrupted, paid, and made again.
    let told = interrupted(&world, &mut alice, &channel, "second", &mut to_bob).await;
    alice = world.open("alice").await;
    let mut to_alice = alice.subscribe_updates(&channel).await;
    let paid = tokio::join!(bob.respond_update(&channel, &told, true), async {
        let offered = update(&mut to_alice).await.unwrap();
        alice
            .respond_update(&channel, &offered.update_id, true)
            .await
    });
    assert_eq!(held(&paid.0.unwrap()), ["0", "5"]);
    let asked = ask(&world, &alice, &channel, "second").await.unwrap();
    assert_eq!(held(&asked), ["5", "0"]);

    // The same key does not ask for anything else.
    let mut api = world.payment_api_with_key("second").await;
    let other = api.send_pay_ch_update(pb::SendPayChUpdateReq {
        session_id: alice.session.clone(),
        ch_id: channel.clone(),
        payments: vec![payment("self", "2")],
    });
    let other = outcome!(other.await.unwrap().into_inner(), send_pay_ch_update_resp);
    assert_eq!(other.unwrap_err().code(), ErrorCode::ErrInvalidArgument);

    // Bob's user was asked twice in all.
    let told = tokio::time::timeout(Duration::from_millis(500), to_bob.message()).await;
    assert!(told.is_err(), "{told:?}");
}
