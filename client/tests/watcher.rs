//! Somebody who watches for others, with nothing but the states that they signed.

mod world;

use std::sync::Arc;
use std::time::Duration;

use perun_client::store::{MemoryStore, Store};
use perun_client::watcher::{Config, Sighting, Sightings, WatchError, Watcher};
use perun_client::{Event, Phase};
use perun_protocol::dispute::Rank;
use perun_protocol::{SignedState, Version};

use world::*;

const STATE: [u128; 2] = [1_000, 500];

async fn start(world: &World, store: Arc<dyn Store>) -> Watcher {
    let config = Config {
        poll_interval: Duration::from_millis(100),
        max_watches_per_owner: 2,
        ..Config::default()
    };
    let chain = world.chain_for(3).await;
    Watcher::start(config, chain, store).await.unwrap()
}

/// The signed states of these versions, in each of which ten more were paid.
fn states<const N: usize>(channel: &TestChannel, versions: [u64; N]) -> [SignedState; N] {
    versions.map(|version| {
        let paid = u128::from(version) * 10;
        channel.signed(version, [1_000 - paid, 500 + paid], STATE)
    })
}

async fn registered(sightings: &mut Sightings) -> Rank {
    match soon("a sighting", sightings.next()).await {
        Some(Sighting::Registered { rank, .. }) => rank,
        other => panic!("{other:?}"),
    }
}

async fn register(world: &World, channel: &TestChannel, signed: &SignedState) {
    let adjudicator = world.adjudicator_for(9).await;
    let registered = adjudicator.dispute(&channel.params, signed);
    soon("a registration", registered).await.unwrap();
}

#[test]
fn an_old_state_is_refuted_and_the_payout_left_to_the_owner() {
    story(async {
        let world = World::new().await;
        let channel = world.funded(1, STATE).await;
        let [old, middle, newest] = states(&channel, [0, 3, 7]);
        let watcher = start(&world, Arc::new(MemoryStore::new())).await;
        let params = &channel.params;
        watcher
            .watch("alice", params, middle.clone())
            .await
            .unwrap();
        let mut first = watcher
            .watch("alice", params, newest.clone())
            .await
            .unwrap();
        // An older one changes nothing.
        watcher.watch("alice", params, old.clone()).await.unwrap();
        let mut second = watcher.sightings("alice", &params.id()).unwrap();
        let margins = watcher.margins();
        assert_eq!((margins.channels, margins.disputes), (1, 0));
        assert_eq!(margins.refutation_left, None);

        register(&world, &channel, &old).await;
        for sightings in [&mut first, &mut second] {
            while registered(sightings).await != Rank::State(Version::new(7)) {}
        }
        // Who listens late learns what is.
        let mut late = watcher.sightings("alice", &params.id()).unwrap();
        assert_eq!(registered(&mut late).await, Rank::State(Version::new(7)));
        // What the peer has registered, and what it was refuted by.
        until("two claims", || watcher.margins().disputes == 2).await;
        let margins = watcher.margins();
        assert_eq!(margins.channels, 1);
        assert!(margins.refutation_left.unwrap() <= WINDOW, "{margins:?}");
        assert!(margins.view_age.unwrap() < WINDOW, "{margins:?}");

        world.advance(WINDOW);
        for sightings in [&mut first, &mut late] {
            let sighting = soon("the end", sightings.next()).await;
            let newest = newest.clone();
            assert_eq!(sighting, Some(Sighting::Concluded { newest }));
            assert_eq!(soon("the end of all", sightings.next()).await, None);
        }
        let adjudicator = world.adjudicator_for(9).await;
        let held = adjudicator.holdings(params).await.unwrap().unwrap();
        assert_eq!(held.phase, Phase::Concluded);
        assert_eq!(world.held(&channel).await, [930, 570]);
        until("the end of the watch", || watcher.watched() == 0).await;
        let margins = watcher.margins();
        assert_eq!((margins.channels, margins.view_age), (0, None));
        watcher.stop().await.unwrap();
    });
}

#[test]
fn a_watch_survives_restarts_and_ends_for_good() {
    story(async {
        let world = World::new().await;
        let channel = world.funded(1, STATE).await;
        let [old, newest] = states(&channel, [0, 7]);
        let store = Arc::new(MemoryStore::new());
        let watcher = start(&world, store.clone()).await;
        watcher
            .watch("alice", &channel.params, newest)
            .await
            .unwrap();
        drop(watcher);
        // What happens meanwhile is found.
        register(&world, &channel, &old).await;
        let store = Arc::new(store.durable_copy());
        let watcher = start(&world, store.clone()).await;
        let id = channel.params.id();
        let mut sightings = watcher.sightings("alice", &id).unwrap();
        while registered(&mut sightings).await != Rank::State(Version::new(7)) {}
        let log = world.adjudicator_for(9).await.channel_events(id, 0).await;
        let is_refutation = |event: &&_| matches!(event, Event::Refuted(_));
        let log: Vec<_> = log
            .unwrap()
            .into_iter()
            .map(|record| record.event)
            .collect();
        assert_eq!(log.iter().filter(is_refutation).count(), 1);

        assert!(watcher.stop_watching("alice", &id).await.unwrap());
        assert!(!watcher.stop_watching("alice", &id).await.unwrap());
        assert_eq!(soon("the end", sightings.next()).await, None);
        drop(watcher);
        let store = Arc::new(store.durable_copy());
        assert_eq!(start(&world, store).await.watched(), 0);
    });
}

#[test]
fn what_is_wrong_is_refused_and_owners_are_apart() {
    story(async {
        let world = World::new().await;
        let channels = [1, 2, 3].map(|nonce| world.channel(nonce));
        let [params, ..] = [&channels[0].params];
        let [third, fourth] = states(&channels[0], [3, 4]);
        let watcher = start(&world, Arc::new(MemoryStore::new())).await;
        let id = params.id();

        let foreign = states(&channels[1], [3])[0].clone();
        let refused = watcher.watch("alice", params, foreign).await;
        assert_eq!(refused.unwrap_err(), WatchError::WrongChannel);
        watcher.watch("alice", params, third).await.unwrap();
        let another = channels[0].signed(3, [0, 1_500], STATE);
        let refused = watcher.watch("bob", params, another).await;
        let version = Version::new(3);
        assert_eq!(refused.unwrap_err(), WatchError::AnotherState { version });

        // Both watch, and each may stop for himself.
        assert!(watcher.sightings("bob", &id).is_none());
        assert!(!watcher.stop_watching("bob", &id).await.unwrap());
        watcher.watch("bob", params, fourth).await.unwrap();
        assert!(watcher.stop_watching("alice", &id).await.unwrap());
        assert!(watcher.sightings("bob", &id).is_some());
        assert_eq!(watcher.watched(), 1);

        // Two channels at most for one owner.
        for (channel, is_room) in channels[1..].iter().zip([true, false]) {
            let [newest] = states(channel, [1]);
            let watched = watcher.watch("bob", &channel.params, newest).await;
            assert_eq!(watched.is_ok(), is_room, "{:?}", watched.err());
        }
    });
}
