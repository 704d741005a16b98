//! What is dropped, and what never is.

use perun_watch_relay::{Limits, Settings};
use perun_watch_stream::{Kind, Message, Number};

use crate::world::{Relay, Watcher, settings, stage};

/// Kinds and numbers of what a newcomer is given.
fn given(relay: &Relay, watcher: &mut Watcher) -> Vec<(Kind, u64)> {
    watcher.end = relay.end();
    let stream = watcher.side.stream();
    watcher
        .end
        .follow(perun_watch_relay::frames::Side::Author, stream, Number(0))
        .unwrap();
    let messages = watcher.rest();
    messages
        .iter()
        .map(|bytes| {
            let message = Message::parse(bytes).unwrap();
            (message.header().kind, message.header().number.0)
        })
        .collect()
}

#[test]
fn what_all_have_acknowledged_goes() {
    let mut relay = Relay::start();
    let (mut device, mut watchers) = stage(&relay, 2);
    for version in 1..10 {
        device.publish(version);
    }
    watchers[0].until(9);
    watchers[0].ack();
    // One of two is not all.
    assert_eq!(given(&relay, &mut watchers[0]).len(), 1 + 1 + 9);
    watchers[1].until(9);
    watchers[1].ack();
    let left = [
        (Kind::Announcement, 0),
        (Kind::Keyload, 1),
        (Kind::Packet, 10),
    ];
    assert_eq!(given(&relay, &mut watchers[0]), left);
    relay.restart();
    assert_eq!(given(&relay, &mut watchers[0]), left);
}

/// The newest state is of an earlier epoch than the newest keyload: it needs the keyload of its own.
#[test]
fn the_newest_state_and_its_keyload_are_never_dropped() {
    let relay = Relay::start();
    let (mut device, mut watchers) = stage(&relay, 1);
    device.publish(1);
    device.publish(2);
    device.open_epoch();
    device.open_epoch();
    watchers[0].until(2);
    // Its ack reaches over the keyloads, too.
    while watchers[0].side.window().unwrap().newest() < Number(5) {
        let message = watchers[0]
            .end
            .next(crate::world::PATIENCE)
            .unwrap()
            .unwrap();
        watchers[0].take(&message);
    }
    watchers[0].ack();
    let left = [
        (Kind::Announcement, 0),
        (Kind::Keyload, 1),
        (Kind::Packet, 3),
        (Kind::Keyload, 5),
    ];
    assert_eq!(given(&relay, &mut watchers[0]), left);
}

#[test]
fn the_quota_drops_the_oldest() {
    let settings = Settings {
        limits: Limits {
            messages: 10,
            ..Limits::default()
        },
        ..settings()
    };
    let mut relay = Relay::with(settings);
    let (mut device, mut watchers) = stage(&relay, 1);
    for version in 1..40 {
        device.publish(version);
    }
    let given_now = given(&relay, &mut watchers[0]);
    assert_eq!(given_now.len(), 1 + 10);
    assert_eq!(given_now[1], (Kind::Keyload, 1));
    assert_eq!(given_now[2], (Kind::Packet, 32));
    // 10, the announcement, and the subscription.
    assert_eq!(relay.files(device.author.stream()).len(), 12);
    relay.restart();
    assert_eq!(given(&relay, &mut watchers[0]), given_now);
    // And it is enough to act on the newest.
    watchers[0].reconnect(&relay);
    watchers[0].until(39);
}

#[test]
fn of_a_removed_watcher_nothing_is_kept() {
    let relay = Relay::start();
    let (mut device, mut watchers) = stage(&relay, 2);
    device.publish(1);
    for watcher in &mut watchers {
        watcher.until(1);
        watcher.ack();
    }
    let before = relay.files(device.author.stream()).len();
    let removed = watchers[1].side.id();
    device.author.remove(removed).unwrap();
    device.open_epoch();
    let after = relay.files(device.author.stream()).len();
    // A keyload more, an ack less.
    assert_eq!(after, before);
    let ack = watchers[1].side.ack().unwrap();
    let refused = watchers[1].end.publish(&ack).unwrap();
    assert_eq!(refused, Err(perun_watch_relay::Refusal::NotSigned));
    // The one that is left decides alone what goes.
    device.publish(2);
    watchers[0].until(2);
    watchers[0].ack();
    let left = given(&relay, &mut watchers[0]);
    assert_eq!(
        left,
        [
            (Kind::Announcement, 0),
            (Kind::Keyload, 3),
            (Kind::Packet, 4)
        ]
    );
}
