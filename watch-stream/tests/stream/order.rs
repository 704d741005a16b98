//! Links that lose, repeat, delay and reorder.

use perun_protocol::Version;
use perun_watch_stream::{Number, ReceiveError, Refused, SKIPPED};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::world::{Got, World, payload, state};

#[test]
fn a_lost_message_blocks_nothing() {
    let mut world = World::with_watchers(1);
    for version in 0..2_000 {
        let packet = world.publish(version);
        if version % 700 == 699 {
            assert_eq!(world.watchers[0].receive(&packet), Ok(state(version)));
        }
    }
    let window = world.watchers[0].side.window().unwrap();
    assert_eq!(window.newest(), Number(1 + 1_400));
    assert!(window.lost() > 1_000);
}

#[test]
fn what_was_overtaken_can_still_be_read() {
    let mut world = World::with_watchers(1);
    let packets: Vec<_> = (0..30).map(|version| world.publish(version)).collect();
    let watcher = &mut world.watchers[0];
    assert_eq!(watcher.receive(&packets[29]), Ok(state(29)));
    let missing: Vec<_> = watcher.side.window().unwrap().missing().collect();
    assert_eq!(missing, (2..31).map(Number).collect::<Vec<_>>());
    for (version, packet) in packets[..29].iter().enumerate() {
        let got = watcher.receive(packet);
        if version < 29 - SKIPPED {
            let number = Number(version as u64 + 2);
            assert_eq!(
                got,
                Err(ReceiveError::Refused(Refused::Repeated { number }))
            );
        } else {
            assert_eq!(got, Ok(Got::Superseded(version as u64)));
        }
    }
}

#[test]
fn a_packet_that_overtakes_its_keyload_is_held() {
    let mut world = World::with_watchers(1);
    let keyload = world.keyload();
    let packets = [1, 2, 3].map(|version| world.publish(version));
    let watcher = &mut world.watchers[0];
    assert_eq!(watcher.receive(&packets[0]), Ok(Got::Held(3)));
    assert_eq!(watcher.receive(&packets[2]), Ok(Got::Held(5)));
    assert_eq!(watcher.receive(&packets[1]), Ok(Got::Held(4)));
    assert_eq!(watcher.receive(&keyload), Ok(Got::Epoch(2)));
    assert_eq!(watcher.release(), Some(state(3)));
    assert_eq!(watcher.release(), None);
}

#[test]
fn a_keyload_that_overtakes_the_newest_state_does_not_hide_it() {
    let mut world = World::with_watchers(1);
    let packet = world.publish(8);
    let keyload = world.keyload();
    let watcher = &mut world.watchers[0];
    assert_eq!(watcher.receive(&keyload), Ok(Got::Epoch(2)));
    assert_eq!(watcher.receive(&packet), Ok(state(8)));
}

/// A version that was published again under a new number, after the one of a lower number was lost.
#[test]
fn a_state_can_be_published_again() {
    let mut world = World::with_watchers(2);
    let first = world.publish(8);
    let again = world.publish(8);
    assert_eq!(world.watchers[0].receive(&again), Ok(state(8)));
    assert_eq!(world.watchers[0].receive(&first), Ok(Got::Superseded(8)));
    assert_eq!(world.watchers[1].receive(&first), Ok(state(8)));
    assert_eq!(world.watchers[1].receive(&again), Ok(Got::Superseded(8)));
}

/// Whoever delays an old keyload, or repeats it, must not take a newer epoch's place with it.
#[test]
fn a_late_keyload_takes_no_newer_ones_place() {
    let mut world = World::with_watchers(1);
    let epochs = [0, 1, 2, 3, 4].map(|version| (world.keyload(), world.publish(version)));
    let watcher = &mut world.watchers[0];
    for (keyload, _) in epochs[2..].iter().chain(&epochs[..2]).chain(&epochs) {
        let _ = watcher.receive(keyload);
    }
    for (version, (_, packet)) in epochs.iter().enumerate().skip(2) {
        assert_eq!(watcher.receive(packet), Ok(state(version as u64)));
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish,
    Epoch,
    Restart,
    Jump,
    Heartbeat,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Publish),
        2 => Just(Step::Epoch),
        1 => Just(Step::Restart),
        1 => Just(Step::Jump),
        2 => Just(Step::Heartbeat),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 96, ..ProptestConfig::default() })]

    /// Whatever the link does: what is acted on never falls, is what was published, and if the newest packet
    /// and its keyload came through at all, in whatever order, it is what the watcher ends with.
    #[test]
    fn the_newest_state_is_acted_on(
        steps in prop::collection::vec(step(), 1..40),
        deliveries in prop::collection::vec(any::<Index>(), 0..80),
        restarts in prop::collection::vec(any::<Index>(), 0..3),
    ) {
        let mut world = World::with_watchers(1);
        let mut messages = vec![world.author.keyload().unwrap().to_vec()];
        let mut newest = None;
        let mut version = 0;
        for step in steps {
            match step {
                Step::Publish => version += 1,
                Step::Restart => world.restart(),
                Step::Jump => world.author.jump().unwrap(),
                Step::Epoch => {}
                Step::Heartbeat => messages.push(world.author.heartbeat(b"alive").unwrap().to_vec()),
            }
            if matches!(step, Step::Epoch | Step::Restart | Step::Jump) {
                messages.push(world.keyload());
            }
            // A keyload is followed by the newest state, as the schedule has it.
            if !matches!(step, Step::Heartbeat) {
                let keyload = messages.iter().rposition(|it| it[2] == 4).unwrap();
                messages.push(world.publish(version));
                newest = Some((keyload, messages.len() - 1));
            }
        }
        let watcher = &mut world.watchers[0];
        let restarts: Vec<_> = restarts.iter().map(|it| it.index(deliveries.len().max(1))).collect();
        let mut acted = None;
        let mut seen = Vec::new();
        for (turn, delivery) in deliveries.iter().enumerate() {
            if restarts.contains(&turn) {
                watcher.restart();
                seen.clear();
            }
            let position = delivery.index(messages.len());
            seen.push(position);
            let got = [watcher.receive(&messages[position]).ok(), watcher.release()];
            for got in got.into_iter().flatten() {
                if let Got::State(version, text) = got {
                    prop_assert!(acted < Some(version));
                    prop_assert_eq!(text, payload(version));
                    acted = Some(version);
                }
            }
        }
        if let Some((keyload, packet)) = newest
            && seen.contains(&keyload)
            && seen.contains(&packet)
        {
            prop_assert_eq!(acted, Some(version));
        }
        prop_assert_eq!(watcher.side.stored_version(), acted.map(Version::new));
        prop_assert_eq!(watcher.side.fork(), None);
    }
}
