//! How long the cycles last, told to controllers only.

mod world;

use std::time::Duration;

use candid::Principal;
use perun_canister_api::{Runway, RunwayError};
use world::{World, no_arguments, user};

fn runway(world: &mut World, caller: Principal) -> Result<Runway, RunwayError> {
    let adjudicator = world.adjudicator;
    let reply = world
        .ic
        .update(caller, adjudicator, "cycles_runway", no_arguments());
    candid::decode_one(&reply.unwrap()).unwrap()
}

/// The canister's controller in the test world.
fn controller() -> Principal {
    user(255)
}

#[test]
fn strangers_are_told_nothing() {
    let mut world = World::new();
    for stranger in [user(0), Principal::anonymous(), world.ledgers[0]] {
        let refused = Err(RunwayError::NotController);
        assert_eq!(runway(&mut world, stranger), refused);
    }
}

#[test]
fn a_controller_is_told_balance_and_burn() {
    let mut world = World::new();
    let told = runway(&mut world, controller()).unwrap();
    let cycles = world.ic.canister(world.adjudicator).unwrap().cycles;
    // What the call itself costs is in between.
    assert!(
        told.balance_cycles.abs_diff(cycles) < 1_000_000_000,
        "{told:?}"
    );
    assert_eq!(
        told.measured_burn_per_day_cycles, None,
        "there is one reading"
    );
    world.ic.advance(Duration::from_secs(24 * 3_600));
    let told = runway(&mut world, controller()).unwrap();
    assert!(told.measured_burn_per_day_cycles.is_some(), "{told:?}");
    assert!(told.measured_over_s >= 6 * 3_600, "{told:?}");
}

#[test]
fn readings_survive_an_upgrade() {
    let mut world = World::new();
    world.ic.advance(Duration::from_secs(24 * 3_600));
    let before = runway(&mut world, controller()).unwrap();
    world.upgrade_adjudicator(None).unwrap();
    let after = runway(&mut world, controller()).unwrap();
    assert!(
        after.measured_over_s >= before.measured_over_s,
        "{before:?} {after:?}"
    );
}
