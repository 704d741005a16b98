//! When a device sends, over a link and with watchers that come and go; the clock is moved by hand.

use perun_protocol::{Timestamp, Version};
use perun_watch_stream::{Due, Guard, Policy, Schedule};

use crate::world::{World, payload, state};

const SECOND: u64 = 1_000_000_000;

const POLICY: Policy = Policy {
    guards: 2,
    alarm_ns: 60 * SECOND,
    resend_ns: 2 * SECOND,
    max_resend_ns: 8 * SECOND,
    heartbeat_ns: 30 * SECOND,
    epoch_ns: 1_000 * SECOND,
};

/// A device: it does what is due, and notes it.
struct Device {
    world: World,
    schedule: Schedule,
    now: Timestamp,
    version: u64,
    sent: Vec<Vec<u8>>,
}

impl Device {
    fn new(watchers: u8) -> Self {
        let now = Timestamp::from_nanos(1_000 * SECOND);
        let mut world = World::with_watchers(watchers);
        world.restart();
        Self {
            world,
            schedule: Schedule::new(POLICY, now),
            now,
            version: 7,
            sent: Vec::new(),
        }
    }

    fn do_all(&mut self) -> Vec<Due> {
        let mut done = Vec::new();
        while let Some(due) = self.schedule.poll(&self.world.author, self.now) {
            done.push(due);
            assert!(done.len() < 9, "{done:?}");
            match due {
                Due::Keyload => {
                    let keyload = self.world.keyload();
                    self.sent.push(keyload);
                    self.schedule.opened(self.now);
                }
                Due::State => self.publish(),
                Due::Again => {
                    let author = &self.world.author;
                    let again = [author.keyload(), author.packet()];
                    self.sent.extend(again.map(|it| it.unwrap().to_vec()));
                    self.schedule.sent_again(self.now);
                }
                Due::Heartbeat => {
                    let beat = self.world.author.heartbeat(&[]).unwrap();
                    self.sent.push(beat.to_vec());
                    self.schedule.beaten(self.now);
                }
            }
        }
        done
    }

    fn publish(&mut self) {
        let version = Version::new(self.version);
        let published = self
            .world
            .author
            .publish(version, &[], &payload(self.version));
        self.sent.push(published.unwrap().to_vec());
        self.schedule.published(version, self.now);
    }

    fn after(&mut self, seconds: u64) -> Vec<Due> {
        self.now = self.now.saturating_add_nanos(seconds * SECOND);
        self.do_all()
    }

    /// Everything that was sent reaches this watcher, and its ack comes back.
    fn deliver(&mut self, watcher: usize) {
        let watcher = &mut self.world.watchers[watcher];
        for message in &self.sent {
            let _ = watcher.receive(message);
        }
        let ack = watcher.side.ack().unwrap();
        self.world.author.receive(&ack).unwrap();
    }

    fn guard(&mut self) -> Guard {
        self.schedule.guard(&self.world.author, self.now)
    }
}

#[test]
fn after_a_start_the_newest_state_goes_out_in_a_new_epoch() {
    let mut device = Device::new(2);
    assert_eq!(device.do_all(), [Due::Keyload, Due::State]);
    let packet = device.sent[1].clone();
    let keyload = device.sent[0].clone();
    device.world.watchers[0].receive(&keyload).unwrap();
    assert_eq!(device.world.watchers[0].receive(&packet), Ok(state(7)));
}

#[test]
fn nothing_is_due_without_watchers() {
    let mut device = Device::new(0);
    assert_eq!(device.do_all(), []);
    assert_eq!(device.after(10_000), []);
}

#[test]
fn what_is_not_acknowledged_is_sent_again_ever_more_rarely() {
    let mut device = Device::new(2);
    device.do_all();
    let mut again = Vec::new();
    for second in 1..=40 {
        if device.after(1).contains(&Due::Again) {
            again.push(second);
        }
    }
    assert_eq!(again, [2, 6, 14, 22, 30, 38]);
    device.deliver(0);
    assert!(device.after(8).contains(&Due::Again));
    device.deliver(1);
    assert_eq!(device.after(9), []);
}

#[test]
fn a_state_is_guarded_by_as_many_as_the_owner_asks_for() {
    let mut device = Device::new(3);
    device.do_all();
    assert_eq!(device.guard(), Guard::Waiting(0));
    device.deliver(0);
    device.after(59);
    assert_eq!(device.guard(), Guard::Waiting(1));
    device.after(1);
    assert_eq!(device.guard(), Guard::Alarm(1));
    device.deliver(2);
    assert_eq!(device.guard(), Guard::Guarded(2));
    // A newer state starts anew.
    device.version = 8;
    device.publish();
    assert_eq!(device.guard(), Guard::Waiting(0));
    // The alarm counts from the first state that is not guarded, not from the newest.
    device.after(40);
    device.version = 9;
    device.publish();
    device.after(20);
    assert_eq!(device.guard(), Guard::Alarm(0));
}

#[test]
fn a_guard_that_lost_its_storage_counts_no_longer() {
    let mut device = Device::new(2);
    device.do_all();
    let flash = device.world.watchers[0].flash.image();
    let export = device.world.watchers[0].side.export(&[1; 32]);
    device.deliver(0);
    device.deliver(1);
    assert_eq!(device.guard(), Guard::Guarded(2));
    // An old copy of the watcher, which knows an old version.
    let side = perun_watch_stream::Subscriber::import(flash, &export, &[1; 32]);
    let watcher = &mut device.world.watchers[0];
    watcher.side = side.unwrap();
    watcher.side.stored(Version::new(3)).unwrap();
    let ack = watcher.side.ack().unwrap();
    device.world.author.receive(&ack).unwrap();
    assert_eq!(device.guard(), Guard::Waiting(1));
}

#[test]
fn a_new_watcher_gets_the_newest_state() {
    let mut device = Device::new(2);
    device.do_all();
    device.deliver(0);
    device.deliver(1);
    device.world.add_watcher(0x66);
    assert_eq!(device.do_all(), [Due::Keyload, Due::State]);
    let [keyload, packet] = &device.sent[2..] else {
        panic!("two messages");
    };
    let (keyload, packet) = (keyload.clone(), packet.clone());
    let watcher = &mut device.world.watchers[2];
    watcher.receive(&keyload).unwrap();
    assert_eq!(watcher.receive(&packet), Ok(state(7)));
}

#[test]
fn a_quiet_device_beats_and_changes_its_keys() {
    let mut device = Device::new(1);
    device.do_all();
    device.deliver(0);
    assert_eq!(device.after(29), []);
    assert_eq!(device.after(1), [Due::Heartbeat]);
    assert_eq!(device.after(970), [Due::Keyload, Due::State]);
    device.deliver(0);
    let timeout = device.schedule.poll_timeout(&device.world.author);
    assert_eq!(timeout, device.now.saturating_add_nanos(30 * SECOND));
}

/// Whoever sleeps until the timeout misses nothing.
#[test]
fn nothing_is_due_before_the_timeout() {
    let mut device = Device::new(2);
    device.do_all();
    device.deliver(0);
    for _ in 0..200 {
        let timeout = device.schedule.poll_timeout(&device.world.author);
        assert!(timeout > device.now);
        device.now = Timestamp::from_nanos(timeout.nanos() - 1);
        assert_eq!(device.do_all(), []);
        device.now = timeout;
        assert_ne!(device.do_all(), []);
    }
}
