//! A channel from its beginning to its end.

use perun_device::{Approval, Event};
use perun_protocol::channel;

use crate::world::{World, account};

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
