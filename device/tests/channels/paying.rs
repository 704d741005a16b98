//! A channel from its beginning to its end.

use perun_device::{Approval, CommandError, Event};
use perun_protocol::payment::Payment;
use perun_protocol::{AssetIdx, Signer as _, channel};

use crate::world::nor::Tear;
use crate::world::peer::Peer;
use crate::world::{World, account, flash, units};

#[test]
fn a_device_opens_pays_is_paid_and_closes() {
    let mut world = World::open(1);
    for _ in 0..3 {
        world.pay(50, Approval::None).unwrap();
        world.run(2);
        let now = world.now();
        world.peer.pay(now, 20);
        world.run(4);
    }
    assert_eq!(world.balance(), 1000 - 150 + 60);
    assert_eq!(world.received(), 60);
    let settled = |event: &&channel::Event| matches!(event, channel::Event::Settled { .. });
    assert_eq!(world.told().into_iter().filter(settled).count(), 3);
    let channel = world.channel();
    world.device().close(&channel).unwrap();
    world.run(20);
    assert!(world.device().channels().is_empty(), "{:?}", world.events);
    assert_eq!(world.chain.paid_to(&account(0x41)), 910);
    let receiver = world.peer.receiver;
    assert_eq!(world.chain.paid_to(&receiver), 1090);
    assert!(!world.events.contains(&Event::StoreFailed));
}

#[test]
fn a_peer_opens_the_channel() {
    let mut world = World::started(2);
    let proposal = world.peers_proposal([300, 700], [300, 700]);
    world.peer.proposal = Some(proposal.clone());
    world
        .peer
        .say(&perun_protocol::wire::Message::Proposal(Box::new(proposal)));
    world.run(12);
    assert!(world.overview().is_open, "{:?}", world.events);
    assert_eq!(world.balance(), 700);
}

#[test]
fn a_device_has_two_channels_over_a_restart() {
    let mut world = World::new(2);
    let other = Peer::new(0x22);
    let other_key = other.key.public_key();
    world.settings.policy.peers.push(other_key);
    world.others.push((other, None));
    world.start(flash(Tear::Clean)).unwrap();
    world.run(6);
    world.propose(Approval::None).unwrap();
    let terms = world.terms(600, 200);
    world
        .device()
        .propose(&other_key, terms, Approval::None)
        .unwrap();
    world.run(20);
    let channels = world.device().channels();
    assert_eq!(channels.len(), 2, "{:?}", world.events);
    let terms = world.terms(1, 1);
    let full = world.device().propose(&other_key, terms, Approval::None);
    assert!(matches!(full, Err(CommandError::Full { limit: 2 })));
    let pay = Payment {
        asset: AssetIdx::new(0),
        amount: units(10),
        memo: None,
    };
    for channel in &channels {
        assert!(channel.is_open);
        world
            .device()
            .pay(&channel.id, &pay, Approval::None)
            .unwrap();
    }
    world.run(6);
    world.restart();
    world.run(20);
    for channel in world.device().channels() {
        let before = if channel.peer == other_key { 600 } else { 1000 };
        assert_eq!(channel.balance, [units(before - 10)]);
        assert!(channel.is_open && channel.is_synced);
        world.device().close(&channel.id).unwrap();
    }
    world.run(30);
    assert!(world.device().channels().is_empty(), "{:?}", world.events);
    assert_eq!(world.chain.paid_to(&account(0x41)), 990 + 590);
}
