//! Sessions: isolated from each other, restored, and opened by those who may.

use perun_node::api::pb::{self, ErrorCode};
use perun_node::api::v1;
use perun_node::api::v1::tokens_client::TokensClient;
use tonic::Code;

use crate::errors::channel;
use crate::outcome;
use crate::world::{PASSWORD, World, held, proposal, soon};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_restored_with_its_channels_and_goes_on() {
    let mut world = World::new(&["alice", "bob"]).await;
    let [mut alice, mut bob] = world.pair().await;
    let channel = channel(&mut alice, &mut bob).await;
    let before = alice.session.clone();

    // By closing and opening again, then by a restart of the node.
    alice.close_session(true).await.unwrap();
    let mut alice = world.open("alice").await;
    assert_ne!(alice.session, before);
    assert_eq!(alice.restored[0].ch_id, channel);
    assert_eq!(held(&alice.restored[0]), ["3", "2"]);
    alice.close_session(true).await.unwrap();
    bob.close_session(true).await.unwrap();

    world.restart().await;
    let [mut alice, mut bob] = [world.open("alice").await, world.open("bob").await];
    assert_eq!(bob.restored[0].ch_id, channel);
    // The contacts are still there, and the peers find each other again.
    assert_eq!(
        alice.restored[0].bal_info.as_ref().unwrap().parts,
        ["self", "bob"]
    );
    let mut to_bob = bob.subscribe_updates(&channel).await;
    let (sent, _) = tokio::join!(alice.send(&channel, "bob", "1"), async {
        let told = crate::world::update(&mut to_bob).await.unwrap();
        bob.respond_update(&channel, &told.update_id, true)
            .await
            .unwrap()
    });
    assert_eq!(held(&sent.unwrap()), ["2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_for_a_subscriber_is_told() {
    let world = World::new(&["alice", "bob"]).await;
    let [mut alice, mut bob] = world.pair().await;
    // Bob's user is away when the proposal comes, and subscribes twice: the first subscriber dies.
    let mut opening = alice.clone_api();
    let opening = tokio::spawn(async move { opening.open_channel("bob", "1", "1").await });
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let mut proposals = bob.subscribe_proposals().await;
    let first = proposal(&mut proposals).await.unwrap();
    drop(proposals);
    let second = loop {
        let mut proposals = bob.subscribe_proposals().await;
        if let Ok(told) = proposal(&mut proposals).await {
            break told;
        }
    };
    assert_eq!(first, second);
    bob.respond_proposal(&second.proposal_id, true)
        .await
        .unwrap();
    soon(opening).await.unwrap().unwrap();
    assert_eq!(alice.channels().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_one_session_does_not_see_another() {
    let world = World::new(&["alice", "bob"]).await;
    let [mut alice, mut bob] = world.pair().await;
    let channel = channel(&mut alice, &mut bob).await;
    let token = make_token(&world, v1::Scope::Spend, "alice", &[("ICP", "1")], 0).await;

    let mut api = world.payment_api_as(Some(&token)).await;
    let infos = |session: &str| pb::GetPayChsInfoReq {
        session_id: session.to_owned(),
    };
    let own = api
        .get_pay_chs_info(infos(&alice.session))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        outcome!(own, get_pay_chs_info_resp)
            .unwrap()
            .open_pay_chs_info
            .len(),
        1
    );
    // Bob's session answers as one that is not there.
    let other = api
        .get_pay_chs_info(infos(&bob.session))
        .await
        .unwrap()
        .into_inner();
    let other = outcome!(other, get_pay_chs_info_resp).unwrap_err();
    let none = api
        .get_pay_chs_info(infos("0123"))
        .await
        .unwrap()
        .into_inner();
    let none = outcome!(none, get_pay_chs_info_resp).unwrap_err();
    assert_eq!(other.code(), ErrorCode::ErrResourceNotFound);
    assert_eq!(other.message.replace(&bob.session, "0123"), none.message);

    // Within its limit it pays, and not beyond.
    let mut alice = alice;
    alice.api = api;
    let mut bob = bob;
    let mut to_bob = bob.subscribe_updates(&channel).await;
    let (sent, _) = tokio::join!(alice.send(&channel, "bob", "0.75"), async {
        let told = crate::world::update(&mut to_bob).await.unwrap();
        bob.respond_update(&channel, &told.update_id, true)
            .await
            .unwrap()
    });
    sent.unwrap();
    let beyond = alice.api.send_pay_ch_update(pb::SendPayChUpdateReq {
        session_id: alice.session.clone(),
        ch_id: channel.clone(),
        payments: vec![crate::world::payment("bob", "0.26")],
    });
    let beyond = beyond.await.unwrap_err();
    assert_eq!(beyond.code(), Code::PermissionDenied, "{beyond:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_need_a_good_token_with_the_right_scope() {
    let world = World::new(&["alice"]).await;
    let alice = world.open("alice").await;
    let reading = make_token(&world, v1::Scope::Read, "", &[], 0).await;
    let expired = make_token(&world, v1::Scope::Admin, "", &[], 1).await;
    tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
    let changed = format!("{}x", world.token);
    for token in [
        None,
        Some(""),
        Some("perun_nonsense"),
        Some(&*changed),
        Some(&*expired),
    ] {
        let mut api = world.payment_api_as(token).await;
        let refused = api.time(pb::TimeReq {}).await.unwrap_err();
        assert_eq!(
            refused.code(),
            Code::Unauthenticated,
            "{token:?}: {refused:?}"
        );
        assert!(!refused.message().contains(&world.token));
    }
    let mut api = world.payment_api_as(Some(&reading)).await;
    api.time(pb::TimeReq {}).await.unwrap();
    let closing = api.close_session(pb::CloseSessionReq {
        session_id: alice.session.clone(),
        force: true,
    });
    assert_eq!(closing.await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_made_and_opened_with_its_password_only() {
    let world = World::new(&["alice"]).await;
    let mut sessions = world.sessions_api().await;
    let order = |name: &str, password: &str| v1::CreateSessionRequest {
        name: name.into(),
        password: password.into(),
        comm_address: "127.0.0.1:0".into(),
        recovery_words: String::new(),
        identity_pem: String::new(),
    };
    let made = sessions
        .create(order("carol", PASSWORD))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(made.recovery_words.split(' ').count(), 24);
    for (name, password, code) in [
        ("carol", PASSWORD, Code::AlreadyExists),
        ("../x", PASSWORD, Code::InvalidArgument),
        ("", PASSWORD, Code::InvalidArgument),
        ("dave", "short", Code::InvalidArgument),
    ] {
        let refused = sessions.create(order(name, password)).await.unwrap_err();
        assert_eq!(refused.code(), code, "{name:?}");
    }
    let open = |password: &str| v1::OpenSessionRequest {
        name: "carol".into(),
        password: password.into(),
    };
    let wrong = sessions.open(open("incorrect horse")).await.unwrap_err();
    assert!(wrong.message().contains("password"), "{wrong:?}");
    let opened = sessions.open(open(PASSWORD)).await.unwrap().into_inner();
    assert_eq!(opened.restored, []);

    // The same words make the same user, e.g. on another machine.
    let mut again = order("carol2", PASSWORD);
    again.recovery_words = made.recovery_words;
    let again = sessions.create(again).await.unwrap().into_inner();
    assert_eq!(again.off_chain_address, made.off_chain_address);
    assert_eq!(again.on_chain_address, made.on_chain_address);
    assert_eq!(again.recovery_words, "");

    let listed = sessions
        .list(v1::ListSessionsRequest {})
        .await
        .unwrap()
        .into_inner()
        .sessions;
    let names: Vec<_> = listed.iter().map(|session| &*session.name).collect();
    assert_eq!(names, ["alice", "carol", "carol2"]);
    assert_eq!(listed[1].session_id, opened.session_id);
    assert_eq!(listed[2].off_chain_address, made.off_chain_address);
    assert_eq!(listed[2].session_id, "");
}

/// A token made by the administrator.
pub async fn make_token(
    world: &World,
    scope: v1::Scope,
    session: &str,
    limits: &[(&str, &str)],
    valid_s: u64,
) -> String {
    let mut tokens = TokensClient::with_interceptor(world.channel().await, world.bearer());
    let limits = limits.iter().map(|(currency, per_day)| v1::SpendLimit {
        currency: (*currency).to_owned(),
        per_day: (*per_day).to_owned(),
    });
    let made = tokens.create(v1::CreateTokenRequest {
        label: "a test".into(),
        scope: scope.into(),
        session: session.to_owned(),
        limits: limits.collect(),
        valid_s,
    });
    made.await.unwrap().into_inner().secret
}
