//! Channels that a device closes, with its peer or without.

use perun_client::link::memory::Network;
use perun_protocol::Version;
use perun_protocol::dispute::Rank;

use crate::device::*;
use crate::node::Node;
use crate::world::*;

const STATE: [u128; 2] = [1_000, 500];

#[test]
fn a_final_state_is_concluded_and_paid_to_the_receiver_of_the_authorisation() {
    story(async {
        let world = World::new().await;
        let network = Network::new(1);
        let channel = world.funded(1, STATE).await;
        let node = Node::start(&world, &network, 2).await;
        let mut device = Device::connect(&network, &channel.keys[0], &node).await;
        let newest = channel.signed(4, [700, 800], STATE);
        device.say(&watch(first_watch(&channel, FIRST, &newest, account(177))));
        device.acked(4).await;
        let last = channel.last(5, [600, 900], STATE);
        device.say(&watch(next_watch(&channel, FIRST, Some(&last))));
        device.acked(5).await;
        device.over(&channel, FIRST).await;
        assert_eq!(world.balance(&account(177)).await, 600 - FEE);
    });
}

#[test]
fn a_close_by_force_registers_the_newest_state_and_pays_after_the_window() {
    story(async {
        let world = World::new().await;
        let network = Network::new(2);
        let channel = world.funded(1, STATE).await;
        let node = Node::start(&world, &network, 2).await;
        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        let newest = channel.signed(4, [700, 800], STATE);
        device.say(&watch(first_watch(&channel, SECOND, &newest, account(177))));
        device.acked(4).await;
        let newer = channel.signed(6, [650, 850], STATE);
        device.say(&force_close(&channel, SECOND, Some(&newer)));
        device.acked(6).await;
        let notice = device.notice().await;
        assert_eq!(notice.registered, Rank::State(Version::new(6)));
        world.advance(WINDOW);
        device.over(&channel, SECOND).await;
        assert_eq!(world.balance(&account(177)).await, 850 - FEE);
    });
}

#[test]
fn an_order_to_close_survives_a_restart() {
    story(async {
        let world = World::new().await;
        let network = Network::new(3);
        let channel = world.funded(1, STATE).await;
        let node = Node::start(&world, &network, 2).await;
        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        let newest = channel.signed(4, [700, 800], STATE);
        device.say(&watch(first_watch(&channel, SECOND, &newest, account(177))));
        device.acked(4).await;
        let rules = no_disputes(&world, 2);
        device.say(&force_close(&channel, SECOND, None));
        device.acked(4).await;
        let store = node.store.clone();
        let node = node.restart_on(&world, store).await;
        world.server.with(|replica| replica.faults().remove(rules));
        device.goodbye().await;
        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        assert_eq!(
            device.notice().await.registered,
            Rank::State(Version::new(4))
        );
    });
}

/// Turns away the disputes of a user.
fn no_disputes(world: &World, number: u8) -> local_ic::RuleId {
    let disputes = local_ic::Target::ingress().to(world.adjudicator);
    world.fault(
        disputes.method("dispute").from(user(number)).always(),
        local_ic::Fault::RejectBefore {
            code: local_ic::RejectCode::SysTransient,
            message: "on purpose".into(),
        },
    )
}

#[test]
fn a_remainder_below_the_fee_ends_the_watch() {
    story(async {
        let world = World::new().await;
        let network = Network::new(4);
        let channel = world.funded(1, STATE).await;
        let node = Node::start(&world, &network, 2).await;
        let mut device = Device::connect(&network, &channel.keys[1], &node).await;
        let last = channel.last(4, [1_500 - FEE, FEE], STATE);
        device.say(&watch(first_watch(&channel, SECOND, &last, account(177))));
        device.acked(4).await;
        let view = device.over(&channel, SECOND).await;
        assert!(!is_over_without_remainders(&view), "it stays where it is");
        assert_eq!(world.balance(&account(177)).await, 0);
    });
}
