//! A device's states go to three watchers over relays that lose, repeat and delay.
//!
//! `cargo run --release --example watch_stream`
//!
//! The device announces its stream, lets three watchers in and publishes each state of its payment channel.
//! One watcher is removed and reads no more. The power of the device fails. At last the device is moved to
//! another one from an encrypted export, and those who watch act on the newest state there is.

#[path = "watch_stream/lossy.rs"]
mod lossy;
#[path = "watch_stream/people.rs"]
mod people;

use perun_protocol::{Timestamp, Version};
use perun_watch_stream::{Author, Bucket, Due, Guard, Policy, Schedule, Transport};
use rand_core::OsRng;

use self::lossy::{Lossy, RELAY_SLOTS};
use self::people::{Channel, Memory, Watcher};

type Error = Box<dyn std::error::Error>;

const SECOND: u64 = 1_000_000_000;

const POLICY: Policy = Policy {
    guards: 2,
    resend_ns: SECOND,
    max_resend_ns: 4 * SECOND,
    heartbeat_ns: 10 * SECOND,
    ..Policy::USUAL
};

/// The device, its relay and those who watch.
struct Stage<'a> {
    channel: Channel,
    memory: Memory,
    author: Author<Memory>,
    schedule: Schedule,
    version: u64,
    relay: Lossy<'a>,
    watchers: Vec<Watcher<'a>>,
    now: Timestamp,
}

fn main() -> Result<(), Error> {
    let relay = Bucket::<RELAY_SLOTS>::new();
    let mut stage = Stage::announce(&relay)?;
    for name in ["Ann", "Ben", "Cid"] {
        stage.let_in(&relay, name)?;
    }
    println!("\nThe device pays, and publishes every state:");
    for _ in 0..5 {
        stage.pay()?;
    }
    stage.until_all_have_it()?;

    println!("\nCid is removed:");
    let cid = stage.watchers[2].id();
    stage.author.remove(cid)?;
    stage.pay()?;
    stage.until_all_have_it()?;
    let (old, new) = (stage.watchers[2].version(), stage.version);
    println!("  Cid still is at version {old:?} and can't read version {new}");
    assert_ne!(old, Some(new));

    println!("\nThe power of the device fails:");
    stage.author = Author::start(stage.memory.clone())?.ok_or("the memory is empty")?;
    stage.schedule = Schedule::new(POLICY, stage.now);
    let early = stage.author.publish(Version::new(new), &[], &[]);
    println!(
        "  before a keyload it publishes nothing: {}",
        early.err().ok_or("published")?
    );
    stage.pay()?;
    stage.until_all_have_it()?;

    println!("\nIt is moved to another device:");
    let key = [0x2a; 32];
    let export = stage.author.export(&key);
    stage.pay()?;
    println!(
        "  exported in {} bytes, one payment before the last",
        export.len()
    );
    stage.memory = Memory::default();
    stage.author = Author::import(stage.memory.clone(), &export, &key)?;
    stage.schedule = Schedule::new(POLICY, stage.now);
    stage.pay()?;
    stage.until_all_have_it()?;

    let newest = stage.version;
    for watcher in &stage.watchers[..2] {
        assert_eq!(watcher.version(), Some(newest));
        assert!(!watcher.has_seen_a_fork());
    }
    println!(
        "\nAnn and Ben refute with version {newest}; the relay lost, repeated or delayed {}",
        { stage.relay.mishaps() + stage.watchers.iter().map(Watcher::mishaps).sum::<usize>() }
    );
    Ok(())
}

impl<'a> Stage<'a> {
    fn announce(relay: &'a Bucket<RELAY_SLOTS>) -> Result<Self, Error> {
        let channel = Channel::open()?;
        let memory = Memory::default();
        let id = channel.id();
        let author = Author::create(memory.clone(), id, channel.device(), &mut OsRng)?;
        let now = Timestamp::from_nanos(SECOND);
        println!("The device announces stream {:?}", author.stream());
        Ok(Self {
            channel,
            memory,
            author,
            schedule: Schedule::new(POLICY, now),
            version: 0,
            relay: Lossy::over(relay.end()),
            watchers: Vec::new(),
            now,
        })
    }

    /// A watcher follows the stream and subscribes, as often as it takes.
    fn let_in(&mut self, relay: &'a Bucket<RELAY_SLOTS>, name: &'static str) -> Result<(), Error> {
        let announcement = self.author.announcement();
        let mut watcher =
            Watcher::follow(name, &announcement, &self.channel, Lossy::over(relay.end()))?;
        self.author.allow(watcher.identity())?;
        let id = watcher.id();
        let mut tries = 0;
        while !self
            .author
            .watchers()
            .iter()
            .any(|it| it.id() == id && it.is_subscribed())
        {
            watcher.subscribe()?;
            tries += 1;
            self.listen()?;
        }
        println!("{name} subscribes, and is heard after {tries} tries");
        self.watchers.push(watcher);
        Ok(())
    }

    /// The next state of the channel goes out.
    fn pay(&mut self) -> Result<(), Error> {
        self.version += 1;
        self.send_what_is_due()?;
        self.publish()?;
        println!("  version {} is published", self.version);
        self.step()
    }

    /// Time passes until every watcher that may read has acknowledged the newest state.
    fn until_all_have_it(&mut self) -> Result<(), Error> {
        let begin = self.now;
        let version = Version::new(self.version);
        while self.author.guarded_by(version) < self.author.recipient_count() {
            self.step()?;
        }
        let seconds = self.now.nanos_since(begin) / SECOND;
        let guard = self.schedule.guard(&self.author, self.now);
        assert!(matches!(guard, Guard::Guarded(_)));
        println!(
            "  after {seconds} s more: version {} is {guard:?}",
            self.version
        );
        Ok(())
    }

    /// A second passes.
    fn step(&mut self) -> Result<(), Error> {
        self.send_what_is_due()?;
        for watcher in &mut self.watchers {
            watcher.turn(&self.channel)?;
        }
        self.listen()?;
        self.now = self.now.saturating_add_nanos(SECOND);
        Ok(())
    }

    fn listen(&mut self) -> Result<(), Error> {
        let mut buffer = lossy::buffer();
        while let Some(length) = self.relay.receive(&mut buffer)? {
            // Its own messages, repeated ones, and those of whom it removed.
            let _ = self.author.receive(&buffer[..length]);
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<(), Error> {
        let version = Version::new(self.version);
        let order = self.channel.watch_order(version)?;
        let packet = self.author.publish(version, &[], &order)?;
        self.relay.send(packet)?;
        self.schedule.published(version, self.now);
        Ok(())
    }

    fn send_what_is_due(&mut self) -> Result<(), Error> {
        while let Some(due) = self.schedule.poll(&self.author, self.now) {
            match due {
                Due::Keyload => {
                    self.relay.send(self.author.open_epoch(&mut OsRng)?)?;
                    self.schedule.opened(self.now);
                }
                Due::State => self.publish()?,
                Due::Again => {
                    let again = [self.author.keyload(), self.author.packet()];
                    for message in again.into_iter().flatten() {
                        self.relay.send(message)?;
                    }
                    self.schedule.sent_again(self.now);
                }
                Due::Heartbeat => {
                    self.relay.send(&self.author.heartbeat(&[])?)?;
                    self.schedule.beaten(self.now);
                }
            }
        }
        Ok(())
    }
}
