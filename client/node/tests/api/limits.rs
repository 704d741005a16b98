//! What a token may spend: counted before money moves, and given back only if certainly none did.

use std::time::Duration;

use perun_node::api::pb::ErrorCode;
use perun_node::api::v1;
use perun_node::api::v1::tokens_client::TokensClient;

use crate::errors::channel;
use crate::sessions::make_token;
use crate::world::{Incoming, User, World, held, proposal, update};

/// Alice's session in the hands of somebody who may spend two tokens.
async fn limited(world: &World, alice: &User) -> User {
    let token = make_token(world, v1::Scope::Spend, "alice", &[("ICP", "2")], 0).await;
    User {
        api: world.payment_api_as(Some(&token)).await,
        ..alice.clone_api()
    }
}

/// What the last token has spent.
async fn spent(world: &World) -> String {
    let mut tokens = TokensClient::with_interceptor(world.channel().await, world.bearer());
    let listed = tokens.list(v1::ListTokensRequest {}).await.unwrap();
    let tokens = listed.into_inner().tokens;
    let limited = tokens.iter().find(|token| !token.limits.is_empty());
    let spent = &limited.unwrap().spent;
    spent
        .first()
        .map_or("0".into(), |spent| spent.per_day.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_was_asked_for_can_be_spent_again() {
    let world = World::with(&["alice", "bob"], Incoming::Accept).await;
    let [mut alice, mut bob] = world.pair().await;
    let channel = channel(&mut alice, &mut bob).await;
    let mut limited = limited(&world, &alice).await;

    // A user who says no to a channel.
    let mut proposals = bob.subscribe_proposals().await;
    let (opened, _) = tokio::join!(limited.open_channel("bob", "2", "0"), async {
        let told = proposal(&mut proposals).await.unwrap();
        bob.respond_proposal(&told.proposal_id, false)
            .await
            .unwrap()
    });
    assert_eq!(opened.unwrap_err().code(), ErrorCode::ErrPeerRejected);
    assert_eq!(spent(&world).await, "0");

    // A peer that is away all the time.
    bob.close_session(true).await.unwrap();
    let (opened, sent) = {
        let mut other = limited.clone_api();
        // Only one of both at a time is within the limit.
        let opened = other.open_channel("bob", "2", "0").await;
        assert_eq!(spent(&world).await, "0");
        (opened, limited.send(&channel, "bob", "2").await)
    };
    for code in [opened.unwrap_err().code(), sent.unwrap_err().code()] {
        assert_eq!(code, ErrorCode::ErrPeerRequestTimedOut);
    }
    assert_eq!(spent(&world).await, "0");

    // All of it is left.
    let _bob = world.open("bob").await;
    let sent = loop {
        match limited.send(&channel, "bob", "2").await {
            // They have not found each other again yet.
            Err(error) if error.code() == ErrorCode::ErrPeerRequestTimedOut => {}
            sent => break sent.unwrap(),
        }
    };
    assert_eq!(held(&sent), ["1", "4"]);
    assert_eq!(spent(&world).await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_unproposed_can_be_spent_again() {
    let world = World::with(&["alice", "bob"], Incoming::Accept).await;
    let [mut alice, mut bob] = world.pair().await;
    let channel = channel(&mut alice, &mut bob).await;
    let mut limited = limited(&world, &alice).await;
    limited.send(&channel, "bob", "0.5").await.unwrap();

    // Nobody proposes anything while the adjudicator is not seen.
    let (network, adjudicator) = (&world.network, world.network.adjudicator);
    network
        .server
        .with(|replica| replica.stop(adjudicator))
        .unwrap();
    tokio::time::sleep(world.settings.max_view_age + Duration::from_secs(1)).await;
    let sent = limited.send(&channel, "bob", "1.5").await;
    assert_eq!(sent.unwrap_err().code(), ErrorCode::ErrPeerRequestTimedOut);
    assert_eq!(spent(&world).await, "0.5");

    network
        .server
        .with(|replica| replica.start(adjudicator))
        .unwrap();
    let sent = limited.send(&channel, "bob", "1.5").await.unwrap();
    assert_eq!(held(&sent), ["1", "4"]);
    assert_eq!(spent(&world).await, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_proposed_and_refused_stays_counted() {
    let world = World::new(&["alice", "bob"]).await;
    let [mut alice, mut bob] = world.pair().await;
    let channel = channel(&mut alice, &mut bob).await;
    let mut limited = limited(&world, &alice).await;
    let mut to_bob = bob.subscribe_updates(&channel).await;
    let (sent, _) = tokio::join!(limited.send(&channel, "bob", "0.75"), async {
        let told = update(&mut to_bob).await.unwrap();
        bob.respond_update(&channel, &told.update_id, false)
            .await
            .unwrap()
    });
    assert_eq!(sent.unwrap_err().code(), ErrorCode::ErrPeerRejected);
    // Bob has the signature, and could make use of it.
    assert_eq!(spent(&world).await, "0.75");
    // What is refused by this node is not counted.
    let nobody = limited.send(&channel, "carol", "0.5").await;
    assert_eq!(nobody.unwrap_err().code(), ErrorCode::ErrInvalidArgument);
    assert_eq!(spent(&world).await, "0.75");
}
