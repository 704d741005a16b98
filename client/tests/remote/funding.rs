//! Shares that a service deposits, and what it does not.

use std::time::Duration;

use perun_client::link::memory::Network;
use perun_protocol::remote::{RemoteCode, RemoteMessage};
use perun_protocol::{SignedState, Timestamp};
use tokio::time::sleep;

use crate::device::*;
use crate::node::Node;
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
fn more_than_the_limit_is_not_lent_before_a_channel_is_over() {
    story(async {
        let world = World::new().await;
        let network = Network::new(3);
        let channels: Vec<_> = (1..=5).map(|nonce| world.channel(nonce)).collect();
        let node = Node::start(&world, &network, 2).await;
        let mut device = Device::connect(&network, &channels[0].keys[1], &node).await;
        let fund_by = soon_enough(&world);
        for channel in &channels[..4] {
            device.say(&fund(channel, SECOND, &initial(channel), fund_by));
            funded(&mut device, channel).await;
        }
        let fifth = fund(&channels[4], SECOND, &initial(&channels[4]), fund_by);
        device.say(&fifth);
        assert_eq!(device.rejected().await, RemoteCode::LimitReached);
        assert_eq!(world.held(&channels[4]).await, [0, 0]);

        // One channel ends: the other side deposits nothing, and all agree that this is it.
        let end = channels[0].last(0, STATE, STATE);
        let adjudicator = world.adjudicator_for(9).await;
        let concluded = adjudicator.conclude_final(&channels[0].params, &end).await;
        concluded.unwrap();
        soon("room for another loan", async {
            loop {
                device.say(&fifth);
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
        // Somebody gives him something: the same request again.
        let ledger = world.ledger_for(0).await;
        give(&ledger, account(10)).await;
        device.say(&order);
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
        for bad in [
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
