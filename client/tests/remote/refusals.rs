//! Strangers, liars and babblers.

use std::collections::BTreeSet;
use std::time::Duration;

use perun_client::link::memory::Network;
use perun_client::remote::Devices;
use perun_protocol::remote::{RemoteCode, RemoteMessage, SignedReceiver, Watch};
use perun_protocol::{Account, SecretKey, Signature, Signer as _};
use tokio::time::sleep;

use crate::device::*;
use crate::node::{Node, config};
use crate::world::*;

const STATE: [u128; 2] = [1_000, 500];

#[test]
fn who_is_not_served_is_told_so() {
    story(async {
        let world = World::new().await;
        let network = Network::new(1);
        let channel = world.channel(1);
        let mut config = config(&world);
        let served: BTreeSet<_> = [channel.keys[0].public_key()].into();
        config.devices = Devices::Only(served);
        let node = Node::start_with(&world, &network, 2, config).await;
        let mut stranger = Device::connect(&network, &channel.keys[1], &node).await;
        let newest = channel.signed(0, STATE, STATE);
        let fund_by = world.time().saturating_add_nanos(60_000_000_000);
        for request in [
            watch(first_watch(&channel, SECOND, &newest, account(177))),
            force_close(&channel, SECOND, None),
            fund(&channel, SECOND, &newest, fund_by),
        ] {
            stranger.say(&request);
            assert_eq!(stranger.rejected().await, RemoteCode::NotServed);
        }
        stranger.say(&RemoteMessage::TimeRequest);
        let mut device = Device::connect(&network, &channel.keys[0], &node).await;
        let before = world.time();
        device.say(&RemoteMessage::TimeRequest);
        match device.hear().await {
            RemoteMessage::Time(time) => {
                // It may be late by as long as the adjudicator took to tell it, never early.
                assert!(time.now >= before, "{} at {before}", time.now);
                assert!(time.now.nanos_since(before) < 30_000_000_000);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(stranger.heard(), None);
        assert_eq!(node.service.watched(), 0);
    });
}

#[test]
fn nobody_gives_orders_for_somebody_else() {
    story(async {
        let world = World::new().await;
        let network = Network::new(2);
        let channel = world.funded(1, STATE).await;
        let mut config = config(&world);
        config.devices = Devices::Anybody;
        config.limits.max_funds.clear();
        let node = Node::start_with(&world, &network, 2, config).await;
        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        let newest = channel.signed(4, [700, 800], STATE);
        let order = first_watch(&channel, SECOND, &newest, account(177));
        device.say(&watch(order.clone()));
        device.acked(4).await;
        device.goodbye().await;

        // The peer, and a stranger who has overheard everything, want the payout elsewhere.
        let stranger = SecretKey::from_bytes(&[66; 32]).unwrap();
        for key in [&channel.keys[0], &stranger] {
            let mut other = Device::connect(&network, key, &node).await;
            other.say(&watch(order.clone()));
            assert_eq!(other.rejected().await, RemoteCode::BadRequest);
            let mut redirected = order.clone();
            redirected.auths[0].receiver = account(178);
            other.say(&watch(redirected));
            assert_eq!(other.rejected().await, RemoteCode::BadRequest);
            // As much as of a channel that is not there.
            other.say(&watch(next_watch(&channel, SECOND, None)));
            assert_eq!(other.rejected().await, RemoteCode::UnknownChannel);
            other.say(&force_close(&channel, SECOND, None));
            assert_eq!(other.rejected().await, RemoteCode::UnknownChannel);
            other.goodbye().await;
        }

        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        let last = channel.last(5, [700, 800], STATE);
        device.say(&watch(next_watch(&channel, SECOND, Some(&last))));
        device.over(&channel, SECOND).await;
        assert_eq!(world.balance(&account(177)).await, 800 - FEE);
        assert_eq!(world.balance(&account(178)).await, 0);
    });
}

#[test]
fn a_request_that_contradicts_itself_changes_nothing() {
    story(async {
        let world = World::new().await;
        let network = Network::new(3);
        let channel = world.funded(1, STATE).await;
        let node = Node::start(&world, &network, 2).await;
        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        let newest = channel.signed(4, [700, 800], STATE);
        let good = first_watch(&channel, SECOND, &newest, account(177));
        let bad = |change: &dyn Fn(&mut Watch)| {
            let mut order = good.clone();
            change(&mut order);
            watch(order)
        };
        let elsewhere = channel.elsewhere();
        let of_elsewhere = elsewhere.signed(4, [700, 800], STATE);
        device.say(&watch(first_watch(
            &elsewhere,
            SECOND,
            &of_elsewhere,
            account(177),
        )));
        assert_eq!(device.rejected().await, RemoteCode::BadRequest);
        let to_adjudicator = Account::of(channel.params.adjudicator());
        let forged = Signature::from_bytes([7; 64]);
        let bad_orders = [
            bad(&|order| order.part = FIRST),
            bad(&|order| order.part = perun_protocol::PartIdx::new(9)),
            bad(&|order| order.params = Some(world.channel(9).params)),
            bad(&|order| order.auths.clear()),
            bad(&|order| order.auths.push(order.auths[0])),
            bad(&|order| order.auths[0].signature = forged),
            bad(&|order| {
                let auth = channel.authorise(SECOND, to_adjudicator);
                order.auths = vec![SignedReceiver::of(&auth)];
            }),
            bad(&|order| {
                let newest = order.newest.as_mut().unwrap();
                newest.signatures[0] = forged;
            }),
            bad(&|order| {
                let newest = order.newest.as_mut().unwrap();
                newest.signatures.pop();
            }),
            bad(&|order| {
                let other = world.channel(9).signed(4, [700, 800], STATE);
                order.newest = Some(other.into());
            }),
        ];
        for order in &bad_orders {
            device.say(order);
            assert_eq!(device.rejected().await, RemoteCode::BadRequest);
        }
        assert_eq!(node.service.watched(), 0);
        device.say(&watch(next_watch(&channel, SECOND, Some(&newest))));
        assert_eq!(device.rejected().await, RemoteCode::UnknownChannel);

        // The same once there is a watch.
        device.say(&watch(good.clone()));
        device.acked(4).await;
        for (number, order) in bad_orders.iter().enumerate() {
            // No authorisations are none to be checked; and who speaks for another participant
            // meets no watch.
            if number == 3 {
                continue;
            }
            device.say(order);
            assert_eq!(device.rejected().await, RemoteCode::BadRequest, "{number}");
        }
        let another = channel.signed(4, [600, 900], STATE);
        device.say(&watch(next_watch(&channel, SECOND, Some(&another))));
        assert_eq!(device.rejected().await, RemoteCode::BadRequest);
        let older = channel.signed(3, [600, 900], STATE);
        device.say(&watch(next_watch(&channel, SECOND, Some(&older))));
        assert_eq!(device.rejected().await, RemoteCode::Outdated);
        device.say(&watch(next_watch(&channel, SECOND, None)));
        assert!(device.acked(4).await.newer.is_none());
    });
}

#[test]
fn a_device_has_so_many_watches_and_those_that_are_over_make_room() {
    story(async {
        let world = World::new().await;
        let network = Network::new(4);
        let mut config = config(&world);
        config.limits.max_channels = 2;
        let node = Node::start_with(&world, &network, 2, config).await;
        let funded = world.funded(1, STATE).await;
        let mut device = Device::connect(&network, &funded.keys[1], &node).await;
        let orders = [&funded, &world.channel(2), &world.channel(3)].map(|channel| {
            let newest = channel.signed(4, [700, 800], STATE);
            watch(first_watch(channel, SECOND, &newest, account(177)))
        });
        for order in &orders[..2] {
            device.say(order);
            device.acked(4).await;
        }
        device.say(&orders[2]);
        assert_eq!(device.rejected().await, RemoteCode::LimitReached);
        let last = funded.last(5, [700, 800], STATE);
        device.say(&watch(next_watch(&funded, SECOND, Some(&last))));
        device.over(&funded, SECOND).await;
        until("room", || node.service.watched() == 1).await;
        device.say(&orders[2]);
        device
            .ack(|ack| ack.channel == world.channel(3).params.id())
            .await;
        assert_eq!(node.service.watched(), 2);
    });
}

#[test]
fn babble_ends_a_link_and_nothing_else() {
    story(async {
        let world = World::new().await;
        let network = Network::new(5);
        let channel = world.funded(1, STATE).await;
        let node = Node::start(&world, &network, 2).await;
        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        let newest = channel.signed(4, [700, 800], STATE);
        device.say(&watch(first_watch(&channel, SECOND, &newest, account(177))));
        let ack = device.acked(4).await;

        let stranger = SecretKey::from_bytes(&[66; 32]).unwrap();
        let babbler = Device::connect(&network, &stranger, &node).await;
        // What only services say, and what nobody knows, is skipped.
        babbler.say(&RemoteMessage::WatchAck(Box::new(ack)));
        babbler.say(&RemoteMessage::Unknown { kind: 4_711 });
        let order = watch(first_watch(&channel, SECOND, &newest, account(177))).encode();
        for length in (0..order.len()).step_by(7) {
            until("a link", || babbler.peers.is_connected(&babbler.node)).await;
            let _ = babbler.peers.send(&babbler.node, &order[..length]);
        }
        device.say(&watch(next_watch(&channel, SECOND, None)));
        device.acked(4).await;
    });
}

#[test]
fn a_channel_that_never_comes_to_be_is_forgotten_a_week_after_it_was_asked_for() {
    story(async {
        let world = World::new().await;
        let network = Network::new(6);
        let node = Node::start(&world, &network, 2).await;
        let channel = world.channel(1);
        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        let newest = channel.signed(0, STATE, STATE);
        device.say(&watch(first_watch(&channel, SECOND, &newest, account(177))));
        device.acked(0).await;
        let days = |days: u64| Duration::from_secs(days * 24 * 3_600);
        for _ in 0..2 {
            world.advance(days(5));
            // Asked until what is due by then was noticed.
            let late = world.time();
            soon("a late view", async {
                loop {
                    sleep(Duration::from_millis(200)).await;
                    device.say(&watch(next_watch(&channel, SECOND, None)));
                    let view = device.acked(0).await.view;
                    if view.is_some_and(|view| view.at >= late) {
                        return;
                    }
                }
            })
            .await;
            sleep(Duration::from_millis(300)).await;
            device.say(&watch(next_watch(&channel, SECOND, None)));
            device.acked(0).await;
        }
        world.advance(days(8));
        until("forgotten", || node.service.watched() == 0).await;
        device.say(&watch(next_watch(&channel, SECOND, None)));
        assert_eq!(device.rejected().await, RemoteCode::UnknownChannel);
    });
}
