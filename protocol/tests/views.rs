//! What the machine believes of what was seen at the adjudicator.

mod world;

use perun_protocol::channel::{AdjudicatorCall, Channel, Event, Limits, Output, Setup};
use perun_protocol::signature::Signer as _;
use perun_protocol::view::{Status, View};
use perun_protocol::wire::{Message, UpdateAcceptance};
use perun_protocol::{Account, PartIdx, SecretKey, Timestamp, Version};

const SECOND_NS: u64 = 1_000_000_000;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_nanos(seconds * SECOND_NS)
}

/// Alice's side of a channel whose version 0 both have signed.
fn funding() -> Channel<SecretKey> {
    let params = world::params(1, 2);
    let initial = world::state(params.id(), 0, [60, 40], [60, 40]);
    let signature = world::secret_key(1).sign(&initial.digest());
    let setup = Setup {
        receiver: Account::of(world::canister(9)),
        part: PartIdx::new(0),
        expires_at: at(60),
        fund_by: at(600),
        funds_last: false,
        initial,
        params,
    };
    let limits = Limits {
        max_view_age_ns: 10 * SECOND_NS,
        retry_ns: SECOND_NS,
        silence_ns: 10 * SECOND_NS,
        decide_ns: None,
    };
    let mut alice = Channel::propose(setup, limits, world::secret_key(0)).unwrap();
    alice.handle_connected(at(1), 1_000);
    let channel = alice.id();
    let version_0 = Message::UpdateAcceptance(UpdateAcceptance {
        channel,
        version: Version::INITIAL,
        part: PartIdx::new(1),
        signature,
        asks_turn: false,
    });
    alice.handle_message(at(1), version_0).unwrap();
    alice
}

fn open(seconds: u64, holdings: [u128; 2]) -> View {
    View {
        at: at(seconds),
        status: Status::Open {
            holdings: world::table(2, &holdings),
        },
    }
}

/// What the machine asks for, and whether it says that the channel is open.
fn outputs(channel: &mut Channel<SecretKey>) -> (Vec<AdjudicatorCall>, bool) {
    let (mut calls, mut is_open) = (Vec::new(), false);
    while let Some(output) = channel.poll_output() {
        match output {
            Output::Call(call) => calls.push(call),
            Output::Notify(Event::Opened) => is_open = true,
            _ => {}
        }
    }
    (calls, is_open)
}

#[test]
fn a_look_that_took_longer_than_a_poll_is_believed() {
    let mut alice = funding();
    assert_eq!(outputs(&mut alice), (vec![AdjudicatorCall::Observe], false));
    alice.handle_view(at(2), open(2, [0, 0]));
    assert_eq!(outputs(&mut alice), (vec![AdjudicatorCall::Fund], false));
    // The deposit fails; while the channel is looked at, a poll says that nothing has happened.
    alice.handle_quiet(at(5), at(5));
    alice.handle_view(at(6), open(4, [0, 0]));
    assert_eq!(outputs(&mut alice), (vec![AdjudicatorCall::Fund], false));
    // Another one, which sees what has happened meanwhile.
    alice.handle_quiet(at(8), at(8));
    alice.handle_view(at(9), open(7, [60, 40]));
    assert_eq!(outputs(&mut alice), (vec![], true));
}

#[test]
fn an_older_look_is_not_believed() {
    let mut alice = funding();
    alice.handle_view(at(9), open(9, [60, 40]));
    assert!(outputs(&mut alice).1);
    alice.handle_view(at(10), open(8, [0, 0]));
    assert_eq!(alice.view(), Some(&open(9, [60, 40])));
}
