//! Shares that a service deposits, and what it does not.

use std::sync::Arc;
use std::time::Duration;

use perun_client::link::memory::Network;
use perun_client::remote::{Devices, Parts, RemoteService, StartError};
use perun_client::store::MemoryStore;
use perun_protocol::remote::{RemoteCode, RemoteMessage};
use perun_protocol::{SignedState, Timestamp};
use tokio::time::sleep;

use crate::device::*;
use crate::node::{Node, config};
use crate::world::*;

const STATE: [u128; 2] = [1_000, 500];

fn soon_enough(world: &World) -> Timestamp {
    world.time().saturating_add_nanos(120_000_000_000)
}

fn initial(channel: &TestChannel) -> SignedState {
    channel.signed(0, STATE, STATE)
}

async fn funded(device: &mut Device, channel: &TestChannel) {
    match device.hear().await {
        RemoteMessage::Funded(funded) => {
            assert_eq!(funded.channel, channel.params.id());
            assert_eq!(funded.part, SECOND);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_share_is_deposited_once_however_often_it_is_asked_for() {
    story(async {
        let world = World::new().await;
        let network = Network::new(1);
        let channel = world.channel(1);
        let mut node = Node::start(&world, &network, 2).await;
        let before = world.balance(&account(2)).await;
        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        let order = fund(&channel, SECOND, &initial(&channel), soon_enough(&world));
        device.say(&order);
        device.say(&order);
        funded(&mut device, &channel).await;
        device.say(&order);
        funded(&mut device, &channel).await;
        assert_eq!(world.held(&channel).await, [0, 500]);
        device.goodbye().await;
        // By a service that was started anew, too.
        let store = node.store.clone();
        node = node.restart_on(&world, store).await;
        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        device.say(&order);
        funded(&mut device, &channel).await;
        assert_eq!(world.held(&channel).await, [0, 500]);
        let paid = before - world.balance(&account(2)).await;
        assert!((500..500 + 3 * FEE).contains(&paid), "{paid}");
    });
}

#[test]
fn a_service_that_was_killed_while_it_paid_pays_once() {
    story(async {
        let world = World::new().await;
        let network = Network::new(2);
        let channel = world.channel(1);
        let mut node = Node::start(&world, &network, 2).await;
        let device = Device::connect(&network, &channel.keys[1], &node).await;
        let order = fund(&channel, SECOND, &initial(&channel), soon_enough(&world));
        device.say(&order);
        for pause in [150, 300] {
            sleep(Duration::from_millis(pause)).await;
            let store = node.store.clone();
            node = node.restart_on(&world, store).await;
        }
        device.goodbye().await;
        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        device.say(&order);
        funded(&mut device, &channel).await;
        assert_eq!(world.held(&channel).await, [0, 500]);
    });
}

#[test]
fn more_than_the_limit_is_not_lent_before_a_channel_and_a_day_are_over() {
    story(async {
        let world = World::new().await;
        let network = Network::new(3);
        let channels: Vec<_> = (1..=5).map(|nonce| world.channel(nonce)).collect();
        let mut node = Node::start(&world, &network, 2).await;
        let mut device = Device::connect(&network, &channels[0].keys[1], &node).await;
        let fund_by = soon_enough(&world);
        for channel in &channels[..4] {
            device.say(&fund(channel, SECOND, &initial(channel), fund_by));
            funded(&mut device, channel).await;
        }
        let fifth = |world: &World| {
            let by = soon_enough(world);
            fund(&channels[4], SECOND, &initial(&channels[4]), by)
        };
        device.say(&fifth(&world));
        assert_eq!(device.rejected().await, RemoteCode::LimitReached);

        // One channel ends: the other side deposits nothing, and all agree that this is it. That
        // somebody has paid the loan back does not follow.
        let end = channels[0].last(0, STATE, STATE);
        let adjudicator = world.adjudicator_for(9).await;
        let concluded = adjudicator.conclude_final(&channels[0].params, &end).await;
        concluded.unwrap();
        let first = fund(&channels[0], SECOND, &initial(&channels[0]), fund_by);
        soon("the end of a loan", async {
            loop {
                device.say(&first);
                match device.hear().await {
                    RemoteMessage::Funded(_) => sleep(Duration::from_millis(50)).await,
                    RemoteMessage::RemoteRejection(no) => {
                        return assert_eq!(no.code, RemoteCode::TooLate);
                    }
                    other => panic!("{other:?}"),
                }
            }
        })
        .await;
        device.say(&fifth(&world));
        assert_eq!(device.rejected().await, RemoteCode::LimitReached);
        device.goodbye().await;
        let store = node.store.clone();
        node = node.restart_on(&world, store).await;
        let mut device = Device::connect(&network, &channels[0].keys[1], &node).await;
        device.say(&fifth(&world));
        assert_eq!(device.rejected().await, RemoteCode::LimitReached);
        assert_eq!(world.held(&channels[4]).await, [0, 0]);

        world.advance(Duration::from_secs(24 * 3_600));
        soon("room for another loan", async {
            loop {
                device.say(&fifth(&world));
                match device.hear().await {
                    RemoteMessage::Funded(_) => return,
                    RemoteMessage::RemoteRejection(_) => sleep(Duration::from_millis(50)).await,
                    other => panic!("{other:?}"),
                }
            }
        })
        .await;
        assert_eq!(world.held(&channels[4]).await, [0, 500]);
    });
}

#[test]
fn all_devices_together_are_lent_so_much() {
    story(async {
        let world = World::new().await;
        let network = Network::new(6);
        let channels: Vec<_> = (1..=3).map(|nonce| world.channel(nonce)).collect();
        let mut config = config(&world);
        let asset = channels[0].asset();
        config.max_funds_total = [(asset, units(1_500))].into();
        let node = Node::start_with(&world, &network, 2, config).await;
        let fund_by = soon_enough(&world);
        let mut one = Device::connect(&network, &channels[0].keys[1], &node).await;
        one.say(&fund(&channels[0], SECOND, &initial(&channels[0]), fund_by));
        funded(&mut one, &channels[0]).await;
        let mut other = Device::connect(&network, &channels[0].keys[0], &node).await;
        other.say(&fund(&channels[1], FIRST, &initial(&channels[1]), fund_by));
        assert!(matches!(other.hear().await, RemoteMessage::Funded(_)));
        one.say(&fund(&channels[2], SECOND, &initial(&channels[2]), fund_by));
        assert_eq!(one.rejected().await, RemoteCode::LimitReached);
    });
}

#[test]
fn a_service_that_would_deposit_for_anybody_does_not_start() {
    story(async {
        let world = World::new().await;
        let network = Network::new(7);
        let mut config = config(&world);
        config.devices = Devices::Anybody;
        let parts = Parts {
            config,
            chain: world.chain_for(2).await,
            store: Arc::new(MemoryStore::new()),
            transport: Arc::new(network.attach(off_chain(2), "a service")),
        };
        let error = RemoteService::start(parts).await.unwrap_err();
        assert!(matches!(error, StartError::FundsForAnybody), "{error}");
    });
}

#[test]
fn what_cannot_be_paid_is_answered() {
    story(async {
        let world = World::new().await;
        let network = Network::new(4);
        let channel = world.channel(1);
        // Nobody has given anything to the user 10.
        let node = Node::start(&world, &network, 10).await;
        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        let order = fund(&channel, SECOND, &initial(&channel), soon_enough(&world));
        device.say(&order);
        assert_eq!(device.rejected().await, RemoteCode::FundingFailed);
        // Somebody gives him something: the same request again, with a later deadline when the first
        // one is over.
        let ledger = world.ledger_for(0).await;
        give(&ledger, account(10)).await;
        world.advance(Duration::from_secs(180));
        device.say(&fund(
            &channel,
            SECOND,
            &initial(&channel),
            soon_enough(&world),
        ));
        funded(&mut device, &channel).await;
        assert_eq!(world.held(&channel).await, [0, 500]);
    });
}

async fn give(ledger: &perun_client::Ledger, to: perun_protocol::Account) {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let transfer = perun_client::Transfer {
        from_subaccount: [0; 32],
        to,
        amount: units(10_000),
        fee: units(FEE),
        memo: [9; 32],
        created_at: Timestamp::from_nanos(now.as_nanos() as u64),
    };
    ledger.transfer(&transfer).await.unwrap();
}

#[test]
fn what_contradicts_itself_or_comes_late_is_refused() {
    story(async {
        let world = World::new().await;
        let network = Network::new(5);
        let channel = world.channel(1);
        let node = Node::start(&world, &network, 2).await;
        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        let fund_by = soon_enough(&world);
        let good = initial(&channel);
        let late = Timestamp::from_nanos(1);
        device.say(&fund(&channel, SECOND, &good, late));
        assert_eq!(device.rejected().await, RemoteCode::TooLate);
        let newer = channel.signed(1, STATE, STATE);
        let mut other_params = fund(&channel, SECOND, &good, fund_by);
        if let RemoteMessage::Fund(fund) = &mut other_params {
            fund.params = world.channel(2).params;
        }
        let mut unsigned = fund(&channel, SECOND, &good, fund_by);
        if let RemoteMessage::Fund(fund) = &mut unsigned {
            fund.initial.signatures[0] = fund.initial.signatures[1];
        }
        // The window is outside of the adjudicator's bounds.
        let long = world.channel_lasting(3, CHALLENGE_S.1 + 1);
        let elsewhere = channel.elsewhere();
        let much_later = fund_by.saturating_add_nanos(24 * 3_600_000_000_000);
        for bad in [
            fund(&channel, SECOND, &good, much_later),
            fund(&elsewhere, SECOND, &initial(&elsewhere), fund_by),
            fund(&channel, SECOND, &newer, fund_by),
            fund(&channel, FIRST, &good, fund_by),
            fund(&long, SECOND, &initial(&long), fund_by),
            other_params,
            unsigned,
        ] {
            device.say(&bad);
            assert_eq!(device.rejected().await, RemoteCode::BadRequest);
        }
        assert_eq!(world.held(&channel).await, [0, 0]);
    });
}
