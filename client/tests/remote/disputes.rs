//! Old states that are registered while the device is away.

use std::sync::Arc;

use perun_client::link::memory::Network;
use perun_client::store::{FileStore, MemoryStore};
use perun_protocol::dispute::Rank;
use perun_protocol::remote::RemoteMessage;
use perun_protocol::{SignedState, Version};

use crate::device::*;
use crate::node::{Node, config};
use crate::world::*;

const STATE: [u128; 2] = [1_000, 500];

async fn register(world: &World, channel: &TestChannel, signed: &SignedState) {
    let adjudicator = world.adjudicator_for(9).await;
    let registered = adjudicator.dispute(&channel.params, signed);
    soon("a registration", registered).await.unwrap();
}

async fn stands(world: &World, channel: &TestChannel, version: u64) {
    let adjudicator = world.adjudicator_for(9).await;
    let rank = Rank::State(Version::new(version));
    soon("a refutation", async {
        loop {
            let registered = adjudicator.registered(&channel.params).await.unwrap();
            if registered.is_some_and(|registered| registered.rank == rank) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[test]
fn an_old_state_is_refuted_while_the_device_is_away_and_the_newest_is_paid() {
    story(async {
        let world = World::new().await;
        let network = Network::new(1);
        let channel = world.funded(1, STATE).await;
        let [old, middle, newest] = [0, 3, 7].map(|version| {
            let paid = u128::from(version) * 10;
            channel.signed(version, [1_000 - paid, 500 + paid], STATE)
        });
        let node = Node::start(&world, &network, 2).await;
        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        let receiver = account(177);
        device.say(&watch(first_watch(&channel, SECOND, &middle, receiver)));
        device.acked(3).await;
        device.say(&watch(next_watch(&channel, SECOND, Some(&newest))));
        let ack = device.acked(7).await;
        assert!(ack.newer.is_none());
        device.goodbye().await;

        register(&world, &channel, &old).await;
        stands(&world, &channel, 7).await;

        // Whoever comes back is told at once.
        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        let notice = device.notice().await;
        assert_eq!(notice.held, newest.version());
        assert!(notice.timeout > notice.now);
        let margins = node.service.margins();
        assert_eq!(margins.channels, 1);
        assert!(margins.disputes >= 1, "{margins:?}");
        assert!(margins.refutation_left.unwrap() <= WINDOW, "{margins:?}");
        assert!(margins.view_age.unwrap() < WINDOW, "{margins:?}");
        world.advance(WINDOW);
        let view = device.over(&channel, SECOND).await;
        assert!(
            !is_over_without_remainders(&view),
            "the peer's share is its own affair"
        );
        assert_eq!(world.balance(&receiver).await, 570 - FEE);
        until("the end", || node.service.watched() == 0).await;
        let margins = node.service.margins();
        assert_eq!((margins.channels, margins.refutation_left), (0, None));

        // Who asks later learns the same, from a service that was started anew too.
        let store = node.store.clone();
        let node = node.restart_on(&world, store).await;
        device.goodbye().await;
        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        device.say(&watch(next_watch(&channel, SECOND, Some(&newest))));
        device.over(&channel, SECOND).await;
        assert_eq!(node.service.watched(), 0);
    });
}

#[test]
fn a_service_that_was_killed_goes_on_where_it_was() {
    story(async {
        let world = World::new().await;
        let network = Network::new(2);
        let channels = [1, 2, 3].map(|nonce| world.channel(nonce));
        for channel in &channels {
            for (part, share) in [(FIRST, 1_000), (SECOND, 500)] {
                let door = perun_client::Door::Approval;
                world.deposit(channel, part, share, door).await;
            }
        }
        let store = Arc::new(MemoryStore::new());
        let node = Node::start_on(&world, &network, 2, config(&world), store.clone()).await;
        let mut device = Device::connect(&network, &channels[0].keys[1], &node).await;
        for channel in &channels {
            let newest = channel.signed(5, [900, 600], STATE);
            device.say(&watch(first_watch(channel, SECOND, &newest, account(178))));
            device.acked(5).await;
        }
        device.goodbye().await;
        // A power cut: what is durable is all that is left.
        let copy = Arc::new(store.durable_copy());
        drop(node);
        for channel in &channels {
            register(&world, channel, &channel.signed(0, STATE, STATE)).await;
        }
        let node = Node::start_on(&world, &network, 2, config(&world), copy).await;
        for channel in &channels {
            stands(&world, channel, 5).await;
        }
        assert_eq!(node.service.watched(), 3);
        world.advance(WINDOW);
        let receiver = account(178);
        soon("three payouts", async {
            while world.balance(&receiver).await < 3 * (600 - FEE) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        })
        .await;
    });
}

#[test]
fn a_store_on_a_disk_is_all_that_a_new_start_needs() {
    story(async {
        let world = World::new().await;
        let network = Network::new(5);
        let channel = world.funded(1, STATE).await;
        let folder = std::env::temp_dir().join(format!("perun-remote-{}", std::process::id()));
        let open = || Arc::new(FileStore::open(&folder, &off_chain(2)).unwrap());
        let node = Node::start_on(&world, &network, 2, config(&world), open()).await;
        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        for version in [4, 5, 6] {
            let newest = channel.signed(version, [900, 600], STATE);
            let order = match version {
                4 => first_watch(&channel, SECOND, &newest, account(181)),
                _ => next_watch(&channel, SECOND, Some(&newest)),
            };
            device.say(&watch(order));
            device.acked(version).await;
        }
        device.goodbye().await;
        node.service.stop().await.unwrap();
        drop(node);
        register(&world, &channel, &channel.signed(0, STATE, STATE)).await;
        let node = Node::start_on(&world, &network, 2, config(&world), open()).await;
        stands(&world, &channel, 6).await;
        node.service.stop().await.unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    });
}

#[test]
fn two_services_watch_one_channel_and_one_may_be_gone() {
    story(async {
        let world = World::new().await;
        let network = Network::new(3);
        let channel = world.funded(1, STATE).await;
        let newest = channel.signed(7, [800, 700], STATE);
        let one = Node::start(&world, &network, 2).await;
        let other = Node::start(&world, &network, 3).await;
        let mut device = Device::connect(&network, &channel.keys[1], &one).await;
        let order = first_watch(&channel, SECOND, &newest, account(179));
        device.say(&watch(order.clone()));
        device.acked(7).await;
        let mut also = Device::connect(&network, &channel.keys[1], &other).await;
        also.say(&watch(order));
        also.acked(7).await;

        drop(one);
        register(&world, &channel, &channel.signed(2, [990, 510], STATE)).await;
        stands(&world, &channel, 7).await;
        let notice = also.notice().await;
        assert_eq!(notice.held, Version::new(7));
        world.advance(WINDOW);
        assert!(!is_over_without_remainders(
            &also.over(&channel, SECOND).await
        ));
        assert_eq!(world.balance(&account(179)).await, 700 - FEE);
    });
}

#[test]
fn a_newer_state_that_is_registered_is_remembered_and_shown() {
    story(async {
        let world = World::new().await;
        let network = Network::new(4);
        let channel = world.funded(1, STATE).await;
        let [held, newer] = [3, 9].map(|version| channel.signed(version, [400, 1_100], STATE));
        let node = Node::start(&world, &network, 2).await;
        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        device.say(&watch(first_watch(&channel, SECOND, &held, account(180))));
        device.acked(3).await;
        register(&world, &channel, &newer).await;
        assert_eq!(
            device.notice().await.registered,
            Rank::State(newer.version())
        );
        // A device that has lost its memory asks with what it has.
        let mut question = next_watch(&channel, SECOND, None);
        question.knows = Some(held.version());
        device.say(&watch(question));
        let ack = device.acked(9).await;
        let shown = ack.newer.clone().expect("it is newer than what is known");
        assert_eq!(shown.verify(&channel.params).unwrap(), newer);
        assert!(is_registered(&ack));
        // And cannot put the old one in its place.
        device.say(&watch(next_watch(&channel, SECOND, Some(&held))));
        let outdated = perun_protocol::remote::RemoteCode::Outdated;
        assert_eq!(device.rejected().await, outdated);
        assert!(!matches!(device.heard(), Some(RemoteMessage::Funded(_))));
    });
}
