//! What an ack names is durable.

use std::sync::Arc;
use std::time::Duration;

use perun_client::link::memory::Network;
use perun_client::store::MemoryStore;
use perun_protocol::dispute::Rank;
use perun_protocol::remote::{RemoteCode, RemoteMessage};
use tokio::time::sleep;

use crate::device::*;
use crate::node::{Node, config};
use crate::world::*;

const STATE: [u128; 2] = [1_000, 500];

#[test]
fn nothing_is_acked_before_it_is_durable() {
    story(async {
        let world = World::new().await;
        let network = Network::new(1);
        let channel = world.funded(1, STATE).await;
        let store = Arc::new(MemoryStore::held());
        let node = Node::start_on(&world, &network, 2, config(&world), store.clone()).await;
        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        let [one, two] = [3, 4].map(|version| channel.signed(version, [700, 800], STATE));
        device.say(&watch(first_watch(&channel, SECOND, &one, account(177))));
        let is_named = |message: &RemoteMessage| match message {
            RemoteMessage::WatchAck(ack) => ack.version.is_some(),
            other => panic!("{other:?}"),
        };
        sleep(Duration::from_millis(500)).await;
        while let Some(message) = device.heard() {
            assert!(!is_named(&message), "{message:?}");
        }
        store.release();
        device.acked(3).await;

        device.say(&watch(next_watch(&channel, SECOND, Some(&two))));
        sleep(Duration::from_millis(300)).await;
        // What was durable before may be named, and the copy that a crash would leave has it.
        while let Some(message) = device.heard() {
            let RemoteMessage::WatchAck(ack) = message else {
                panic!("{message:?}");
            };
            assert_ne!(ack.version, Some(two.version()));
        }
        // The disk breaks.
        store.fail();
        assert_eq!(device.rejected().await, RemoteCode::NotStored);
        // From now on nothing is taken, and nothing is promised.
        device.say(&watch(next_watch(&channel, SECOND, Some(&two))));
        assert_eq!(device.rejected().await, RemoteCode::NotStored);
        let fund_by = world.time().saturating_add_nanos(60_000_000_000);
        let initial = channel.signed(0, STATE, STATE);
        device.say(&fund(&channel, SECOND, &initial, fund_by));
        assert_eq!(device.rejected().await, RemoteCode::NotStored);
        // Whoever only asks hears what is durable.
        soon("the failure", node.service.failed()).await;
        while device.heard().is_some() {}
        device.say(&watch(next_watch(&channel, SECOND, None)));
        assert_eq!(device.ack(|_| true).await.version, Some(one.version()));
        // To close needs no disk.
        device.say(&force_close(&channel, SECOND, None));
        assert_eq!(device.rejected().await, RemoteCode::NotStored);
        let notice = device.notice().await;
        assert_eq!(notice.registered, Rank::State(two.version()));
    });
}

#[test]
fn a_loan_that_is_not_durable_is_not_paid() {
    story(async {
        let world = World::new().await;
        let network = Network::new(2);
        let channel = world.channel(1);
        let store = Arc::new(MemoryStore::held());
        let node = Node::start_on(&world, &network, 2, config(&world), store.clone()).await;
        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        let fund_by = world.time().saturating_add_nanos(60_000_000_000);
        let initial = channel.signed(0, STATE, STATE);
        device.say(&fund(&channel, SECOND, &initial, fund_by));
        sleep(Duration::from_millis(700)).await;
        assert_eq!(device.heard(), None);
        assert_eq!(world.held(&channel).await, [0, 0]);
        store.fail();
        assert_eq!(device.rejected().await, RemoteCode::NotStored);
        assert_eq!(world.held(&channel).await, [0, 0]);
    });
}
