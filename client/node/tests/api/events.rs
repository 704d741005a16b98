//! What our own event stream tells of what waits for an answer.

use perun_node::api::v1;
use perun_node::api::v1::event::Kind;
use tonic::Streaming;

use crate::world::{World, held, soon, update};

/// The next event of a kind.
async fn event(events: &mut Streaming<v1::Event>, kind: Kind) -> v1::Event {
    soon(async {
        loop {
            let event = events.message().await.unwrap().expect("they go on");
            if event.kind() == kind {
                return event;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_proposed_is_told_in_full() {
    let world = World::new(&["alice", "bob"]).await;
    let [mut alice, mut bob] = world.pair().await;
    let mut sessions = world.sessions_api().await;
    let events = sessions.events(v1::EventsRequest {
        session_id: bob.session.clone(),
    });
    let mut events = events.await.unwrap().into_inner();

    let (opened, proposed) = tokio::join!(alice.open_channel("bob", "3", "2"), async {
        let proposed = event(&mut events, Kind::Proposed).await;
        bob.respond_proposal(&proposed.answer_id, true)
            .await
            .unwrap();
        proposed
    });
    let channel = opened.unwrap().ch_id;
    assert_eq!(held(proposed.info.as_ref().unwrap()), ["2", "3"]);
    assert_eq!(proposed.challenge_dur_secs, 60);
    assert_eq!(proposed.peer_alias, "alice");

    let (sent, offered) = tokio::join!(alice.send(&channel, "bob", "1"), async {
        let offered = event(&mut events, Kind::Offered).await;
        bob.respond_update(&channel, &offered.answer_id, true)
            .await
            .unwrap();
        offered
    });
    sent.unwrap();
    assert!(!offered.is_final);
    assert_eq!(held(offered.info.as_ref().unwrap()), ["3", "2"]);

    let mut to_bob = bob.subscribe_updates(&channel).await;
    let (closed, offered) = tokio::join!(alice.close_channel(&channel), async {
        let offered = event(&mut events, Kind::Offered).await;
        let told = update(&mut to_bob).await.unwrap();
        assert_eq!(told.update_id, offered.answer_id);
        bob.respond_update(&channel, &offered.answer_id, true)
            .await
            .unwrap();
        offered
    });
    closed.unwrap();
    assert!(offered.is_final);
}
