//! What an upgrade costs does not depend on how much there is: nothing is made anew.

#[allow(dead_code, reason = "the bench makes other images, too")]
#[path = "../benches/instructions/image.rs"]
mod image;
mod world;

use image::Image;
use local_ic::canister_wasm;
use perun_canister_api::UpgradeArgs;
use perun_protocol::Timestamp;
use world::World;

/// The instructions of an upgrade with so many registrations that can still be refuted.
fn post_upgrade(registrations: u64) -> u64 {
    let mut world = World::new();
    let mut image = Image::new(world.adjudicator, world.ledgers[0]);
    let now = Timestamp::from_nanos(world.ic.time_ns());
    (0..registrations).for_each(|number| image.dispute(number, now));
    let wasm = canister_wasm("adjudicator").unwrap();
    let args = candid::encode_one(None::<UpgradeArgs>).unwrap();
    let installed =
        world
            .ic
            .install_with_stable_memory(world.adjudicator, &wasm, args, &image.bytes());
    installed.unwrap();
    let counted = world.ic.instructions(world.adjudicator, "post_upgrade");
    assert_eq!(world.info().events, 2 * registrations);
    counted.unwrap()
}

#[test]
fn open_registrations_make_an_upgrade_no_dearer() {
    let (one, many) = (post_upgrade(1), post_upgrade(4_000));
    println!("post_upgrade with one registration: {one}, with 4,000: {many}");
    assert!(one.abs_diff(many) * 100 < one, "{one}, {many}");
}
