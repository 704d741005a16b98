//! What the owner's policy allows, and what it does not.

use perun_device::{Approval, CommandError, Event, PolicyError, StartError};
use perun_protocol::wire::{Message, RejectCode};
use perun_protocol::{Amount, Signer as _, channel};

use crate::world::{World, flash, nor::Tear, units};

fn policy_error(result: Result<u64, CommandError>) -> PolicyError {
    match result {
        Err(CommandError::Policy(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn payments_are_limited_and_large_ones_need_the_owner() {
    let mut world = World::open(1);
    let error = policy_error(world.pay(501, Approval::Owner));
    assert_eq!(
        error,
        PolicyError::PerPayment {
            amount: units(501),
            limit: units(500)
        }
    );
    let error = policy_error(world.pay(101, Approval::None));
    assert!(error.is_up_to_owner(), "{error}");
    world.pay(400, Approval::Owner).unwrap();
    let error = policy_error(world.pay(301, Approval::Owner));
    assert_eq!(
        error,
        PolicyError::PerPeer {
            amount: units(301),
            left: units(300)
        }
    );
    world.run(6);
    assert_eq!(world.balance(), 600);
    world.pay(300, Approval::Owner).unwrap();
    world.run(4);
    let error = policy_error(world.pay(1, Approval::Owner));
    assert_eq!(
        error,
        PolicyError::PerPeer {
            amount: units(1),
            left: Amount::ZERO
        }
    );
    // A restart does not forget it, a new period does.
    world.restart();
    world.run(12);
    assert!(matches!(
        policy_error(world.pay(1, Approval::Owner)),
        PolicyError::PerPeer { .. }
    ));
    world.run(4 * 3600);
    world.pay(1, Approval::Owner).unwrap();
}

#[test]
fn a_channel_that_is_over_still_counts() {
    let mut world = World::open(1);
    world.pay(400, Approval::Owner).unwrap();
    world.run(6);
    let channel = world.channel();
    world.device().close(&channel).unwrap();
    world.run(20);
    assert!(world.device().channels().is_empty());
    world.peer.machine = None;
    world.restart();
    world.run(6);
    world.propose(Approval::None).unwrap();
    world.run(12);
    let error = policy_error(world.pay(301, Approval::Owner));
    assert_eq!(
        error,
        PolicyError::PerPeer {
            amount: units(301),
            left: units(300)
        }
    );
}

#[test]
fn a_device_that_only_receives_pays_nothing() {
    let mut world = World::new(1);
    world.settings.policy.receive_only = true;
    world.start(flash(Tear::Clean)).unwrap();
    world.run(4);
    assert!(matches!(
        world.propose(Approval::Owner),
        Err(CommandError::Policy(PolicyError::ReceiveOnly))
    ));
    // The peer deposits everything.
    let proposal = world.peers_proposal([900, 0], [900, 0]);
    world.peer.proposal = Some(proposal.clone());
    world.peer.say(&Message::Proposal(Box::new(proposal)));
    world.run(12);
    let now = world.now();
    world.peer.pay(now, 90);
    world.run(6);
    assert_eq!(world.balance(), 90);
    assert_eq!(
        policy_error(world.pay(1, Approval::Owner)),
        PolicyError::ReceiveOnly
    );
}

#[test]
fn proposals_are_checked_before_anything_is_signed() {
    let cases = [
        // A share of nothing for a deposit is up to the owner, and here is no owner.
        ([1000, 0], [500, 500], None),
        // More than may be deposited.
        ([100, 2001], [100, 2001], Some(RejectCode::Declined)),
    ];
    for (balances, funding, code) in cases {
        let mut world = World::started(1);
        let proposal = world.peers_proposal(balances, funding);
        world.peer.proposal = Some(proposal.clone());
        world.peer.say(&Message::Proposal(Box::new(proposal)));
        world.run(8);
        assert!(world.device().channels().is_empty());
        match code {
            Some(code) => assert!(world.peer.rejected.contains(&code)),
            None => {
                let asked = world.events.iter().find_map(|event| match event {
                    Event::Proposed { proposal, asks, .. } => Some((*proposal, *asks)),
                    _ => None,
                });
                let (id, asks) = asked.expect("the owner is asked");
                assert!(matches!(asks, Some(PolicyError::Gift { .. })));
                assert!(world.device().accept_proposal(&id, Approval::None).is_err());
            }
        }
    }
}

#[test]
fn the_owner_may_decide_on_every_proposal() {
    let mut world = World::new(1);
    world.settings.policy.accepts_proposals = false;
    world.start(flash(Tear::Clean)).unwrap();
    world.run(4);
    let proposal = world.peers_proposal([300, 700], [300, 700]);
    world.peer.proposal = Some(proposal.clone());
    world
        .peer
        .say(&Message::Proposal(Box::new(proposal.clone())));
    world.run(4);
    assert!(world.device().channels().is_empty());
    let id = proposal.id();
    assert!(world.device().reject_proposal(&[0; 32], "").is_err());
    world
        .device()
        .accept_proposal(&id, Approval::Owner)
        .unwrap();
    world.run(12);
    assert!(world.overview().is_open);
}

#[test]
fn terms_that_cannot_be_watched_are_refused() {
    let mut world = World::started(1);
    let mut terms = world.terms(10, 10);
    terms.challenge_duration = perun_protocol::ChallengeDuration::from_secs(20).unwrap();
    let peer = world.peer.key.public_key();
    let refused = world.device().propose(&peer, terms, Approval::Owner);
    assert!(matches!(
        refused,
        Err(CommandError::ChallengeTooShort { .. })
    ));
    let stranger = perun_protocol::SecretKey::from_bytes(&[9; 32])
        .unwrap()
        .public_key();
    let terms = world.terms(10, 10);
    let refused = world.device().propose(&stranger, terms, Approval::Owner);
    assert!(matches!(
        refused,
        Err(CommandError::Policy(PolicyError::UnknownPeer))
    ));
}

#[test]
fn settings_without_an_independent_watcher_are_refused() {
    let mut world = World::new(0);
    assert!(matches!(
        world.start(flash(Tear::Clean)),
        Err(StartError::NoWatcher)
    ));
    let mut world = World::new(1);
    world.settings.watchers = world.settings.policy.peers.clone();
    assert!(matches!(
        world.start(flash(Tear::Clean)),
        Err(StartError::WatcherHasInterest)
    ));
}

#[test]
fn requests_go_both_ways() {
    let mut world = World::open(1);
    let channel = world.channel();
    let asset = perun_protocol::AssetIdx::new(0);
    let by = world.now().saturating_add_nanos(10_000_000_000);
    let id = world
        .device()
        .request(&channel, asset, units(5), "coffee", by)
        .unwrap();
    world.run(2);
    let asked = world
        .peer
        .events
        .iter()
        .any(|event| matches!(event, channel::Event::Requested(request) if request.id == id));
    assert!(asked);
    let request = perun_protocol::wire::PaymentRequest {
        channel,
        id: 7,
        asset,
        amount: units(9),
        memo: perun_protocol::wire::Text::new("tea"),
        expires_at: by,
    };
    world
        .peer
        .machine
        .as_mut()
        .unwrap()
        .request(request)
        .unwrap();
    world.run(2);
    let told = world.told();
    assert!(
        told.iter()
            .any(|event| matches!(event, channel::Event::Requested(_)))
    );
    world.device().reject_request(&channel, 7, "no").unwrap();
    world.run(2);
    let rejected = |event: &channel::Event| matches!(event, channel::Event::RequestRejected { .. });
    assert!(world.peer.events.iter().any(rejected));
}
