//! What strangers, peers and watchers may send.

use perun_device::{Approval, LinkError};
use perun_protocol::remote::{RemoteMessage, Time, UnverifiedStatus, UnverifiedView, WatchAck};
use perun_protocol::wire::Message;
use perun_protocol::{Balances, SecretKey, Signer as _, Timestamp};

use crate::world::host::{HostLink, credentials};
use crate::world::nor::Dice;
use crate::world::{World, units};

#[test]
fn strangers_are_shown_the_door() {
    let mut world = World::started(1);
    let stranger = SecretKey::from_bytes(&[0x66; 32]).unwrap();
    assert!(matches!(
        world.device().dialled(stranger.public_key()),
        Err(LinkError::Stranger(_))
    ));
    let us = world.device().identity();
    let mut link = HostLink::new(&credentials(&stranger, 3), Some(us), 4);
    let id = world.device().answered().unwrap();
    let result = loop {
        let bytes = std::mem::take(&mut link.outgoing);
        if let Err(error) = world.device().receive(id, &bytes) {
            break error;
        }
        let bytes = world.device().transmit(id).unwrap().to_vec();
        world.device().transmitted(id, bytes.len());
        link.feed(&bytes);
    };
    assert!(matches!(result, LinkError::Stranger(_)));
    assert!(world.device().is_over(id));
}

#[test]
fn half_open_links_are_few_and_end_by_themselves() {
    let mut world = World::started(1);
    let mut opened = Vec::new();
    while let Ok(id) = world.device().answered() {
        opened.push(id);
    }
    assert_eq!(opened.len(), 2, "beside the peer and the watcher");
    world.run(4 * 20);
    assert!(opened.iter().all(|id| world.device().is_over(*id)));
}

#[test]
fn garbage_ends_a_link_and_nothing_else() {
    let mut dice = Dice::new(9);
    for _ in 0..300 {
        let mut world = World::started(1);
        let id = world.device().answered().unwrap();
        let length = dice.below(600);
        let bytes: Vec<u8> = (0..length).map(|_| dice.byte()).collect();
        let _ = world.device().receive(id, &bytes);
        world.run(2);
        let peer = world.peer.key.public_key();
        assert!(world.device().is_connected(&peer));
    }
}

/// Were the peer told that there is no such channel, it would give up what it has just accepted.
#[test]
fn a_signature_whose_acceptance_was_lost_is_waited_for() {
    let mut world = World::started(1);
    world.peer.acceptances_lost = 1;
    world.propose(Approval::None).unwrap();
    world.run(20);
    assert_eq!(world.peer.rejected, []);
    assert!(world.overview().is_open, "{:?}", world.events);
}

/// Messages of the peer with bits flipped, behind a good handshake.
#[test]
fn a_peer_that_babbles_takes_nothing() {
    let mut dice = Dice::new(11);
    let mut world = World::open(1);
    world.pay(10, Approval::None).unwrap();
    world.run(4);
    let machine = world.peer.machine.clone().unwrap();
    let newest = machine.newest().unwrap().clone();
    let sync = Message::Sync(Box::new(perun_protocol::wire::Sync {
        channel: machine.id(),
        turn: 1,
        newest: newest.into(),
        pending: None,
        witness: None,
        signed_through: None,
        wants_answer: true,
        offered: None,
    }));
    let bytes = sync.encode();
    for _ in 0..2000 {
        let mut bytes = bytes.clone();
        for _ in 0..1 + dice.below(3) {
            let at = dice.below(bytes.len());
            bytes[at] ^= 1 << dice.below(8);
        }
        bytes.truncate(bytes.len() - dice.below(2) * dice.below(40));
        if let Some(link) = &mut world.peer.link {
            link.send(&bytes);
        }
        let now = world.now();
        let id = world.device().identity();
        let _ = (now, id);
        world.run(1);
    }
    world.run(20);
    assert_eq!(world.balance(), 990);
    assert_eq!(world.versions_signed_twice(), []);
}

#[test]
fn a_watcher_cannot_invent_what_it_saw_without_a_signature() {
    let mut world = World::open(1);
    let channel = world.channel();
    let newest = world
        .peer
        .machine
        .as_ref()
        .unwrap()
        .newest()
        .unwrap()
        .clone();
    let mut forged = perun_protocol::UnverifiedSignedState::from(newest);
    forged.signatures.swap(0, 1);
    let now = world.now();
    for view in [
        None,
        Some(UnverifiedStatus::Open {
            holdings: Balances::zero(3, 2).unwrap(),
        }),
        Some(UnverifiedStatus::Registered {
            rank: perun_protocol::dispute::Rank::State(perun_protocol::Version::new(9)),
            signed: Some(forged.clone()),
            timeout: now,
            holdings: Balances::new(2, vec![units(1000); 2]).unwrap(),
        }),
    ] {
        let ack = WatchAck {
            channel,
            part: perun_protocol::PartIdx::new(0),
            version: Some(perun_protocol::Version::INITIAL),
            now,
            view: view.map(|status| UnverifiedView { at: now, status }),
            newer: Some(forged.clone()),
            kept: vec![],
        };
        world.watchers[0].send(&RemoteMessage::WatchAck(Box::new(ack)));
        world.run(2);
    }
    assert!(world.overview().is_open);
    // A watcher that tells another time makes the device stop at worst.
    world.watchers[0].send(&RemoteMessage::Time(Time {
        now: Timestamp::from_nanos(u64::MAX),
    }));
    world.run(2);
    assert_eq!(world.balance(), 1000);
}
