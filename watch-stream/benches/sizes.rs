//! How long messages are and what they cost on this machine, beside IOTA Streams.
//!
//! Sizes of IOTA Streams v1.2 and v2 and their times were measured once, on another day of a busy machine
//! (optimised, bucket transport); sizes compare, times only roughly.

#[path = "../tests/world/mod.rs"]
mod world;

use std::hint::black_box;
use std::time::{Duration, Instant};

use perun_protocol::Version;
use perun_watch_stream::{Author, MAX_MESSAGE_LENGTH, Subscriber};

use crate::world::{Flash, Random, World};

const RUNS: u32 = 200;

/// The shortest of many runs.
fn least<T>(mut run: impl FnMut() -> (Duration, T)) -> Duration {
    (0..RUNS).map(|_| run().0).min().unwrap_or_default()
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begin = Instant::now();
    let done = black_box(work());
    (begin.elapsed(), done)
}

fn row(name: &str, length: usize, make: Duration, read: Duration, streams: [&str; 3]) {
    let [v1, v2, times] = streams;
    let (make, read) = (make.as_micros(), read.as_micros());
    println!("{name:<32} {length:>6} {make:>8} {read:>8}   {v1:>6} {v2:>6}   {times}");
}

fn keyload(watchers: u8, streams: [&str; 3]) {
    let mut world = World::with_watchers(watchers);
    let make = least(|| timed(|| world.author.open_epoch(&mut world.random).map(<[u8]>::len)));
    let mut text = [0; MAX_MESSAGE_LENGTH];
    let mut length = 0;
    let read = least(|| {
        let keyload = world.keyload();
        length = keyload.len();
        timed(|| world.watchers[0].side.receive(&keyload, &mut text).is_ok())
    });
    row(
        &format!("keyload for {watchers}"),
        length,
        make,
        read,
        streams,
    );
}

fn packet(payload: &[u8], streams: [&str; 3]) {
    let mut world = World::with_watchers(1);
    let mut version = 0;
    let mut text = [0; MAX_MESSAGE_LENGTH];
    let mut publish = |author: &mut Author<Flash>| {
        version += 1;
        author
            .publish(Version::new(version), &[], payload)
            .map(<[u8]>::to_vec)
            .unwrap()
    };
    let make = least(|| timed(|| publish(&mut world.author)));
    let mut length = 0;
    // The first one has to catch up with those that were only made.
    let read = least(|| {
        let packet = publish(&mut world.author);
        length = packet.len();
        timed(|| world.watchers[0].side.receive(&packet, &mut text).is_ok())
    });
    let name = format!("signed packet, {} B", payload.len());
    row(&name, length, make, read, streams);
}

fn tagged(streams: [&str; 3]) {
    let mut world = World::with_watchers(1);
    let payload = [7; 256];
    let mut text = [0; MAX_MESSAGE_LENGTH];
    let make = least(|| timed(|| world.author.heartbeat(&payload).is_ok()));
    let mut length = 0;
    let read = least(|| {
        let beat = world.author.heartbeat(&payload).unwrap();
        length = beat.len();
        timed(|| world.watchers[0].side.receive(&beat, &mut text).is_ok())
    });
    row("tagged packet, 256 B", length, make, read, streams);
}

fn main() {
    println!("bytes, and the least microseconds of {RUNS} runs\n");
    println!(
        "{:<32} {:>6} {:>8} {:>8}   {:>6} {:>6}   Streams v2, µs",
        "message", "bytes", "make", "read", "v1.2", "v2"
    );
    let mut world = World::with_watchers(1);
    let announcement = world.author.announcement();
    let make = least(|| timed(|| world.author.announcement()));
    let read = least(|| timed(|| Watcher::follow(&announcement)));
    let streams = ["151", "199", "24 / 88"];
    row("announcement", announcement.len(), make, read, streams);

    let mut length = 0;
    let make = least(|| timed(|| world.watchers[0].side.subscribe(&mut world.random).is_ok()));
    let read = least(|| {
        let subscription = world.watchers[0].side.subscribe(&mut world.random).unwrap();
        length = subscription.len();
        timed(|| world.author.receive(&subscription).is_ok())
    });
    row(
        "subscription",
        length,
        make,
        read,
        ["279", "269", "133 / 158"],
    );

    keyload(1, ["395", "290", "121 / 154"]);
    keyload(10, ["1268", "1172", "994 / 326"]);
    packet(&[7; 16], ["234", "-", "-"]);
    packet(&[7; 256], ["475", "466", "25 / 89"]);
    tagged(["411", "401", "4 / 18"]);

    let published = world.keyload();
    let _ = world.watchers[0].receive(&published);
    let packet = world.publish(1);
    let _ = world.watchers[0].receive(&packet);
    let make = least(|| timed(|| world.watchers[0].side.ack().is_ok()));
    let read = least(|| {
        let ack = world.watchers[0].side.ack().unwrap();
        length = ack.len();
        timed(|| world.author.receive(&ack).is_ok())
    });
    row("ack", length, make, read, ["none", "none", "-"]);

    println!("\nbytes of memory, all that a side keeps but for its storage");
    println!("author     {:>6}", size_of::<Author<()>>());
    println!("subscriber {:>6}", size_of::<Subscriber<()>>());
}

/// What a watcher does with an announcement.
struct Watcher;

impl Watcher {
    fn follow(announcement: &[u8]) -> bool {
        world::Watcher::follow(announcement, 1, &mut Random::new(1))
            .side
            .window()
            .is_none()
    }
}
