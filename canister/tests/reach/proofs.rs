//! What the certified tree shows.

use ic_certification::LookupResult;

use crate::rules::World;

/// What is not shown must not hide that something is absent.
#[test]
fn the_certified_tree_proves_what_is_absent_beside_the_page() {
    let mut world = World::new();
    let hash = [b"last_block_hash".as_slice()];
    let tip = world.read(|adjudicator, _| adjudicator.tip_witness());
    assert_eq!(tip.lookup_path(hash), LookupResult::Absent);
    assert_eq!(tip.digest(), world.certified());

    let channel = world.funded(1, [100, 100]);
    let tip = world.read(|adjudicator, _| adjudicator.tip_witness());
    assert!(matches!(tip.lookup_path(hash), LookupResult::Found(_)));
    assert_eq!(tip.digest(), world.certified());

    let id = channel.id();
    let registration = [b"registrations".as_slice(), id.as_bytes()];
    let witness = world.read(|adjudicator, _| adjudicator.registration_witness(id));
    assert_eq!(witness.lookup_path(registration), LookupResult::Absent);
    assert_eq!(witness.digest(), world.certified());
    world
        .dispute(channel.disputing(1, &[50, 150], &[100, 100]))
        .unwrap();
    let witness = world.read(|adjudicator, _| adjudicator.registration_witness(id));
    assert!(matches!(
        witness.lookup_path(registration),
        LookupResult::Found(_)
    ));
    let clock = [b"clock".as_slice()];
    assert!(matches!(witness.lookup_path(clock), LookupResult::Found(_)));
    assert_eq!(witness.digest(), world.certified());
}
