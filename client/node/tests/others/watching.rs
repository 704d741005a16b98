//! Funding and watching for channels whose client is elsewhere.

use std::sync::Arc;
use std::time::Duration;

use perun_node::api::pb::funding_api_client::FundingApiClient;
use perun_node::api::pb::start_watching_ledger_channel_resp::Response as Seen;
use perun_node::api::pb::subscribe_resp::Response as Told;
use perun_node::api::pb::watching_api_client::WatchingApiClient;
use perun_node::api::pb::{self, ErrorCode};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::channel::Outside;
use crate::world::{Channelled, World, soon};

const WINDOW: Duration = Duration::from_secs(62);

pub async fn funding_api(world: &World) -> FundingApiClient<Channelled> {
    FundingApiClient::with_interceptor(world.channel().await, world.bearer())
}

pub async fn watching_api(world: &World) -> WatchingApiClient<Channelled> {
    WatchingApiClient::with_interceptor(world.channel().await, world.bearer())
}

pub fn state_req(
    channel: &Outside,
    session: &str,
    version: u64,
) -> pb::StartWatchingLedgerChannelReq {
    pb::StartWatchingLedgerChannelReq {
        session_id: session.to_owned(),
        params: Some(channel.told_params()),
        state: Some(channel.told_state(version)),
        sigs: channel.sigs(version),
    }
}

fn code(error: Option<pb::MsgError>) -> Option<ErrorCode> {
    error.map(|error| error.code())
}

/// The versions that are registered, until it is concluded.
async fn seen(stream: &mut Streaming<pb::StartWatchingLedgerChannelResp>) -> (Vec<u64>, u64) {
    let mut registered = Vec::new();
    loop {
        let next = soon(stream.message()).await.unwrap().expect("it goes on");
        match next.response.unwrap() {
            Seen::RegisteredEvent(event) => {
                registered.push(event.adjudicator_event_base.unwrap().version);
            }
            Seen::ConcludedEvent(event) => {
                return (registered, event.adjudicator_event_base.unwrap().version);
            }
            other => panic!("{other:?}"),
        }
    }
}

pub async fn fund(world: &World, channel: &Outside, session: &str, idx: u32) -> Option<ErrorCode> {
    let funded = funding_api(world)
        .await
        .fund(pb::FundReq {
            session_id: session.to_owned(),
            params: Some(channel.told_params()),
            state: Some(channel.told_state(0)),
            idx,
            agreement: None,
        })
        .await;
    code(funded.unwrap().into_inner().error)
}

/// Registers a state for its second participant.
pub async fn register(
    world: &World,
    channel: &Outside,
    session: &str,
    version: u64,
) -> Option<ErrorCode> {
    let registered = funding_api(world)
        .await
        .register(pb::RegisterReq {
            session_id: session.to_owned(),
            adj_req: Some(channel.adjudicator_req(version, 1)),
            signed_states: Vec::new(),
        })
        .await;
    code(registered.unwrap().into_inner().error)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_state_is_refuted_by_the_node_and_everybody_is_paid() {
    let world = World::new(&["alice", "bob"]).await;
    let [alice, bob] = [world.open("alice").await, world.open("bob").await];
    let channel = Outside::new(&world, ["alice", "bob"]);
    let id = channel.params.id().as_bytes().to_vec();
    let funded = tokio::join!(
        fund(&world, &channel, &alice.session, 0),
        fund(&world, &channel, &bob.session, 1),
    );
    assert_eq!(funded, (None, None));

    let (states, requests) = mpsc::channel(4);
    states
        .send(state_req(&channel, &alice.session, 1))
        .await
        .unwrap();
    let mut watching = watching_api(&world).await;
    let started = watching
        .start_watching_ledger_channel(ReceiverStream::new(requests))
        .await;
    let mut sightings = started.unwrap().into_inner();
    states
        .send(state_req(&channel, &alice.session, 5))
        .await
        .unwrap();
    // One that is not signed by all is refused, and changes nothing.
    let mut unsigned = state_req(&channel, &alice.session, 9);
    unsigned.sigs.pop();
    states.send(unsigned).await.unwrap();
    let refused = soon(sightings.message()).await.unwrap().unwrap();
    assert!(
        matches!(refused.response, Some(Seen::Error(_))),
        "{refused:?}"
    );

    let mut funding = funding_api(&world).await;
    let subscribe = pb::SubscribeReq {
        session_id: bob.session.clone(),
        ch_id: id.clone(),
    };
    let mut first = funding
        .subscribe(subscribe.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(register(&world, &channel, &bob.session, 0).await, None);
    // Whoever comes later learns the same.
    let mut second = funding.subscribe(subscribe).await.unwrap().into_inner();
    for stream in [&mut first, &mut second] {
        for version in [0, 5] {
            let next = soon(stream.message()).await.unwrap().unwrap().response;
            let Some(Told::RegisteredEvent(event)) = next else {
                panic!("{next:?}");
            };
            let base = event.adjudicator_event_base.unwrap();
            assert_eq!((base.version, &base.ch_id), (version, &id));
            // A state that something newer stands for is not told.
            if version == 5 {
                assert_eq!(event.state.unwrap(), channel.told_state(5));
                assert_eq!(event.sigs, channel.sigs(5));
            }
        }
    }

    world.network.server.with(|replica| replica.advance(WINDOW));
    let (versions, concluded) = seen(&mut sightings).await;
    assert_eq!(versions.last(), Some(&5), "{versions:?}");
    assert_eq!(concluded, 5);
    assert!(soon(sightings.message()).await.unwrap().is_none());
    for stream in [&mut first, &mut second] {
        let next = soon(stream.message()).await.unwrap().unwrap().response;
        assert!(matches!(next, Some(Told::ConcludedEvent(_))), "{next:?}");
        assert!(soon(stream.message()).await.unwrap().is_none());
    }
    for (user, idx) in [(&alice, 0), (&bob, 1)] {
        let withdrawn = funding.withdraw(pb::WithdrawReq {
            session_id: user.session.clone(),
            adj_req: Some(channel.adjudicator_req(5, idx)),
            state_map: Vec::new(),
        });
        let withdrawn = withdrawn.await.unwrap().into_inner();
        assert_eq!(code(withdrawn.error), None);
    }
    let adjudicator = world.serving().node().adjudicator();
    let held = adjudicator
        .holdings(&channel.params)
        .await
        .unwrap()
        .unwrap();
    assert!(held.amounts.is_zero(), "{held:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_outlives_its_stream_and_the_node_and_is_its_owners() {
    let mut world = World::new(&["alice", "bob"]).await;
    let [alice, bob] = [world.open("alice").await, world.open("bob").await];
    let channel = Outside::new(&world, ["alice", "bob"]);
    let id = channel.params.id().as_bytes().to_vec();
    let funded = tokio::join!(
        fund(&world, &channel, &alice.session, 0),
        fund(&world, &channel, &bob.session, 1),
    );
    assert_eq!(funded, (None, None));
    let one = tokio_stream::once(state_req(&channel, &alice.session, 5));
    let started = watching_api(&world)
        .await
        .start_watching_ledger_channel(one)
        .await;
    drop(started.unwrap());
    let stop = |session: &str| pb::StopWatchingReq {
        session_id: session.to_owned(),
        ch_id: id.clone(),
    };
    let stopped = watching_api(&world)
        .await
        .stop_watching(stop(&bob.session))
        .await;
    let not_found = Some(ErrorCode::ErrResourceNotFound);
    assert_eq!(code(stopped.unwrap().into_inner().error), not_found);

    world.restart().await;
    let bob = world.open("bob").await;
    assert_eq!(register(&world, &channel, &bob.session, 0).await, None);
    // Nobody of alice is there: the node refutes it nevertheless.
    let adjudicator = world.serving().node().adjudicator();
    soon(async {
        loop {
            let standing = adjudicator
                .registered(&channel.params)
                .await
                .unwrap()
                .unwrap();
            if standing.signed_state == Some(channel.signed(5)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let alice = world.open("alice").await;
    for error in [None, not_found] {
        let stopped = watching_api(&world)
            .await
            .stop_watching(stop(&alice.session))
            .await;
        assert_eq!(code(stopped.unwrap().into_inner().error), error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_session_and_does_not_keep_it() {
    let world = World::new(&["alice", "bob"]).await;
    let mut alice = world.open("alice").await;
    let channel = Outside::new(&world, ["alice", "bob"]);
    let (states, requests) = mpsc::channel(4);
    let first = state_req(&channel, &alice.session, 1);
    states.send(first).await.unwrap();
    let mut watching = watching_api(&world).await;
    let started = watching
        .start_watching_ledger_channel(ReceiverStream::new(requests))
        .await;
    let mut sightings = started.unwrap().into_inner();
    let session = {
        let sessions = world.serving().node().open_sessions();
        Arc::downgrade(&sessions[0])
    };
    alice.close_session(true).await.unwrap();
    // `states` is still there: the client has not ended it.
    assert!(soon(sightings.message()).await.unwrap().is_none());
    soon(async {
        while session.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(world.serving().node().watching().watcher().watched(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused() {
    let world = World::new(&["alice", "bob"]).await;
    let alice = world.open("alice").await;
    let channel = Outside::new(&world, ["alice", "bob"]);
    let invalid = Some(ErrorCode::ErrInvalidArgument);
    let mut funding = funding_api(&world).await;

    let asset = world.network.ledger.as_slice().to_vec();
    let session_id = alice.session.clone();
    let is_registered = funding.is_asset_registered(pb::IsAssetRegisteredReq { session_id, asset });
    let is_registered = is_registered.await.unwrap().into_inner();
    assert_eq!(
        crate::outcome!(is_registered, is_asset_registered_resp).map(|told| told.is_registered),
        Ok(true)
    );

    // Payouts of others are theirs.
    let withdrawn = funding.withdraw(pb::WithdrawReq {
        session_id: alice.session.clone(),
        adj_req: Some(channel.adjudicator_req(1, 1)),
        state_map: Vec::new(),
    });
    assert_eq!(code(withdrawn.await.unwrap().into_inner().error), invalid);
    // Nothing is registered.
    let withdrawn = funding.withdraw(pb::WithdrawReq {
        session_id: alice.session.clone(),
        adj_req: Some(channel.adjudicator_req(1, 0)),
        state_map: Vec::new(),
    });
    let refused = code(withdrawn.await.unwrap().into_inner().error);
    assert_eq!(refused, Some(ErrorCode::ErrFailedPreCondition));
    assert_eq!(fund(&world, &channel, &alice.session, 2).await, invalid);
    let progressed = funding.progress(pb::ProgressReq {
        session_id: alice.session.clone(),
        ..pb::ProgressReq::default()
    });
    let refused = code(progressed.await.unwrap().into_inner().error);
    assert_eq!(refused, Some(ErrorCode::ErrFailedPreCondition));
    let unsubscribed = funding.unsubscribe(pb::UnsubscribeReq {
        session_id: alice.session.clone(),
        ch_id: vec![1; 32],
    });
    let refused = code(unsubscribed.await.unwrap().into_inner().error);
    assert_eq!(refused, Some(ErrorCode::ErrResourceNotFound));
    let nobody = fund(&world, &channel, "nobody", 0).await;
    assert_eq!(nobody, Some(ErrorCode::ErrResourceNotFound));
}
