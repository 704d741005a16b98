//! Watchers that refuse, contradict each other, or lie.

use perun_device::{Approval, Event};
use perun_protocol::remote::{RemoteCode, RemoteMessage, Time};
use perun_protocol::wire::{Message, PaymentRequest, Text};
use perun_protocol::{AssetIdx, SecretKey, Signer as _, Timestamp, Version, channel};

use crate::world::{World, units};

#[test]
fn a_channel_that_is_over_is_forgotten_although_a_watcher_is_away() {
    let mut world = World::open(2);
    let channel = world.channel();
    world.watchers[1].is_silent = true;
    world.device().close(&channel).unwrap();
    world.run(40);
    assert_eq!(world.device().channels().len(), 1);
    world.run(4 * 24 * 3600 + 400);
    assert!(world.device().channels().is_empty(), "{:?}", world.events);
}

/// After a restart, when the device has seen nothing yet.
#[test]
fn one_of_two_watchers_cannot_say_that_nothing_was_deposited() {
    let mut world = World::open(2);
    world.run(4 * 1100);
    let flash = world.stop();
    world.watchers[0].says_empty = true;
    world.start(flash).unwrap();
    world.run(40);
    assert_eq!(world.device().channels().len(), 1, "{:?}", world.events);
    world.watchers[0].says_empty = false;
    world.run(20);
    assert!(world.overview().is_open);
}

/// In a quarter of a minute, a few messages and not thousands.
#[test]
fn a_watcher_that_refuses_is_asked_now_and_then() {
    for code in [
        RemoteCode::NotServed,
        RemoteCode::Busy,
        RemoteCode::UnknownChannel,
        RemoteCode::Outdated,
    ] {
        let mut world = World::open(2);
        let now = world.now();
        world.peer.pay(now, 5);
        world.run(4);
        world.watchers[0].refuses = Some(code);
        world.watchers[0].heard = 0;
        world.pay(5, Approval::None).unwrap();
        world.run(60);
        assert!(
            world.watchers[0].heard <= 40,
            "{code}: {}",
            world.watchers[0].heard
        );
        assert_eq!(world.balance(), 1000);
        world.watchers[0].refuses = None;
        world.run(20);
        let channel = world.channel();
        assert_eq!(world.watchers[0].stored(&channel), world.overview().version);
    }
}

#[test]
fn if_the_first_watcher_does_not_deposit_the_second_does() {
    let mut world = World::started(2);
    world.watchers[0].refuses = Some(RemoteCode::LimitReached);
    world.propose(Approval::None).unwrap();
    world.run(40);
    assert!(world.overview().is_open, "{:?}", world.events);
}

#[test]
fn a_state_that_is_claimed_and_not_shown_guards_nothing() {
    let mut world = World::open(1);
    world.watchers[0].claims = Some(Version::new(1_000));
    let now = world.now();
    world.peer.pay(now, 30);
    world.run(20);
    assert_eq!(world.received(), 0);
    let contradicts = |event: &Event| matches!(event, Event::WatcherContradicts { .. });
    assert!(world.events.iter().any(contradicts));
    world.watchers[0].claims = None;
    world.run(20);
    assert_eq!(world.received(), 30);
}

#[test]
fn one_of_two_watchers_cannot_make_a_device_forget_a_channel() {
    let mut world = World::open(2);
    world.watchers[0].says_over = true;
    // Not by repeating it for a day, either, as long as the other says otherwise.
    world.run(4 * 24 * 3600 + 400);
    assert!(world.overview().is_open);
    let now = world.now();
    world.peer.pay(now, 30);
    world.run(10);
    assert_eq!(world.received(), 30);
}

#[test]
fn one_of_two_watchers_cannot_move_the_clock() {
    let mut world = World::open(2);
    for _ in 0..5 {
        let now = Timestamp::from_nanos(u64::MAX);
        world.watchers[0].send(&RemoteMessage::Time(Time { now }));
        world.run(4);
    }
    let (now, told) = (world.now(), world.device().chain_time().unwrap());
    assert!(told.nanos_since(now) < 1_000_000_000);
    world.pay(5, Approval::None).unwrap();
    world.run(6);
    assert_eq!(world.balance(), 995);
}

/// The gate is closed, and the peer goes on asking for money: the owner hears of it, and nothing is
/// kept.
#[test]
fn a_flood_of_requests_waits_for_nothing() {
    let mut world = World::open(1);
    world.watchers[0].is_silent = true;
    let now = world.now();
    world.peer.pay(now, 1);
    world.run(4);
    let request = PaymentRequest {
        channel: world.channel(),
        id: 1,
        asset: AssetIdx::new(0),
        amount: units(1),
        memo: Text::new(&"x".repeat(200)),
        expires_at: now.saturating_add_nanos(60_000_000_000),
    };
    for _ in 0..500 {
        world.peer.say(&Message::PaymentRequest(request.clone()));
        world.exchange();
    }
    let requested = |event: &&&channel::Event| matches!(event, channel::Event::Requested(_));
    assert_eq!(world.told().iter().filter(requested).count(), 500);
    assert_eq!(world.received(), 0);
    world.watchers[0].is_silent = false;
    world.run(10);
    assert_eq!(world.received(), 1);
}

/// The power fails before the proposer has signed.
#[test]
fn an_acceptor_goes_on_after_a_restart() {
    let mut world = World::started(1);
    let proposal = world.peers_proposal([300, 700], [300, 700]);
    // The peer does not listen to the answer.
    world
        .peer
        .say(&Message::Proposal(Box::new(proposal.clone())));
    world.run(1);
    assert_eq!(world.device().channels().len(), 1);
    let flash = world.stop();
    world.peer.proposal = Some(proposal);
    world.start(flash).unwrap();
    world.run(30);
    assert!(world.overview().is_open, "{:?}", world.events);
}

#[test]
fn a_known_peer_cannot_lend_its_name() {
    let mut world = World::started(1);
    let other = SecretKey::from_bytes(&[0x55; 32]).unwrap();
    let mut proposal = world.peers_proposal([300, 700], [300, 700]);
    proposal.participant = perun_protocol::Participant::Secp256k1(other.public_key());
    world.peer.say(&Message::Proposal(Box::new(proposal)));
    world.run(6);
    assert!(world.device().channels().is_empty());
    assert_eq!(world.peer.rejected.len(), 1);
}
