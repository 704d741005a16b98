//! An author and two subscribers on one board, from the announcement to a restore.

#![no_std]
#![no_main]

use core::cell::RefCell;

use cortex_m_rt::entry;
use perun_firmware_watch_stream::flash::Flash;
use perun_firmware_watch_stream::meter::{self, measured};
use perun_firmware_watch_stream::random::HostRandom;
use perun_protocol::{ChannelId, SecretKey, Version};
use perun_watch_stream::{
    Author, Bucket, BucketEnd, FlashError, FlashStorage, MAX_MESSAGE_LENGTH, Received, Record,
    Storage, Subscriber, Transport,
};
use semihosting::{println, process};

const SLOTS: usize = 8;
const PAYLOAD: [u8; 256] = [0x5a; 256];

/// A flash that outlives who uses it.
#[derive(Clone, Copy)]
struct Shared<'a>(&'a RefCell<FlashStorage<Flash>>);

type Error = FlashError<embedded_storage::nor_flash::NorFlashErrorKind>;

impl Storage for Shared<'_> {
    type Error = Error;

    fn load(&mut self, record: Record, into: &mut [u8]) -> Result<Option<usize>, Error> {
        self.0.borrow_mut().load(record, into)
    }

    fn store(&mut self, record: Record, bytes: &[u8]) -> Result<(), Error> {
        self.0.borrow_mut().store(record, bytes)
    }
}

/// A subscriber, its end of the bucket, and what it did last.
struct Watcher<'a> {
    side: Subscriber<Shared<'a>>,
    end: BucketEnd<'a, SLOTS>,
}

/// What became of the messages that came.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Turn {
    epochs: u32,
    states: u32,
    newest: u64,
    removed: bool,
}

impl Watcher<'_> {
    /// Takes up all that has come, and tells what each kind of message cost.
    fn turn(&mut self, who: &str) -> Turn {
        let (mut bytes, mut text) = ([0; MAX_MESSAGE_LENGTH], [0; MAX_MESSAGE_LENGTH]);
        let mut turn = Turn::default();
        while let Ok(Some(length)) = self.end.receive(&mut bytes) {
            let side = &mut self.side;
            let (received, cost) = measured(|| side.receive(&bytes[..length], &mut text));
            let step = match received {
                Ok(Received::Epoch(_)) => {
                    turn.epochs += 1;
                    "keyload opened"
                }
                Ok(Received::Removed(_)) => {
                    turn.removed = true;
                    "keyload without us"
                }
                Ok(Received::State {
                    version, payload, ..
                }) => {
                    assert_eq!(payload, PAYLOAD);
                    turn.states += 1;
                    turn.newest = version.number();
                    "packet read"
                }
                Ok(Received::Held { .. }) => "packet that can't be read",
                Ok(Received::Heartbeat { .. }) => "heartbeat read",
                _ => continue,
            };
            tell(who, step, length, cost);
        }
        if turn.states > 0 {
            let side = &mut self.side;
            let (ack, cost) = measured(|| {
                side.stored(Version::new(turn.newest))
                    .expect("the flash works");
                side.ack().expect("something is stored")
            });
            tell(who, "version stored, ack signed", ack.len(), cost);
            let _ = self.end.send(&ack);
        }
        turn
    }
}

#[entry]
fn main() -> ! {
    meter::start();
    println!(
        "{:<8} {:<28} {:>6} {:>12} {:>6}",
        "who", "step", "bytes", "instructions", "stack"
    );
    story();
    println!(
        "\nRAM: author {} B, subscriber {} B",
        size_of::<Author<()>>(),
        size_of::<Subscriber<()>>()
    );
    process::exit(0)
}

fn story() {
    let flashes = [(); 4].map(|()| {
        let storage = FlashStorage::new(Flash::BLANK);
        RefCell::new(storage.unwrap_or_else(|_| unreachable!("it is large enough")))
    });
    let [device, other_device, one, other] = flashes.each_ref().map(Shared);
    let bucket = Bucket::<SLOTS>::new();
    let mut end = bucket.end();
    let owner = SecretKey::from_bytes(&[0x11; 32]).expect("a key");
    let channel = ChannelId::from_bytes([7; 32]);

    let (author, cost) = measured(|| Author::create(device, channel, &owner, &mut HostRandom));
    let mut author = author.expect("the flash works");
    let announcement = author.announcement();
    tell(
        "author",
        "stream created, announced",
        announcement.len(),
        cost,
    );

    let mut watchers = [(one, 0x41), (other, 0x42)].map(|(flash, seed)| {
        let identity = [seed; 32];
        let participant = owner.participant();
        let (side, cost) = measured(|| {
            Subscriber::follow(
                flash,
                &announcement,
                channel,
                participant,
                &identity,
                &mut HostRandom,
            )
        });
        let mut side = side.expect("a good announcement");
        tell("watcher", "announcement verified", announcement.len(), cost);
        let (subscription, cost) = measured(|| side.subscribe(&mut HostRandom));
        let subscription = subscription.expect("the flash works");
        tell("watcher", "subscription sealed", subscription.len(), cost);
        let _ = end.send(&subscription);
        let key = ed25519_dalek::SigningKey::from_bytes(&identity);
        author
            .allow(key.verifying_key().to_bytes())
            .expect("room for two");
        Watcher {
            side,
            end: bucket.end(),
        }
    });
    hear(&mut author, &mut end);
    assert_eq!(author.recipient_count(), 2);

    open_epoch(&mut author, &mut end);
    publish(&mut author, &mut end, 1);
    publish(&mut author, &mut end, 2);
    let (beat, cost) = measured(|| author.heartbeat(&[]).expect("an epoch is open"));
    tell("author", "heartbeat", beat.len(), cost);
    let _ = end.send(&beat);
    for watcher in &mut watchers {
        let turn = watcher.turn("watcher");
        assert_eq!((turn.epochs, turn.states, turn.newest), (1, 2, 2));
    }
    hear(&mut author, &mut end);
    assert_eq!(author.guarded_by(Version::new(2)), 2);
    println!("         version 2 is with both watchers\n");

    let removed = watchers[1].side.id();
    author.remove(removed).expect("the flash works");
    open_epoch(&mut author, &mut end);
    publish(&mut author, &mut end, 3);
    let [stays, leaves] = &mut watchers;
    assert_eq!(stays.turn("watcher").newest, 3);
    let turn = leaves.turn("removed");
    assert!(turn.removed && turn.states == 0);
    println!("         the one that was removed can't read version 3\n");

    drop(author);
    let (author, cost) = measured(|| Author::start(device).expect("a good record"));
    let mut author = author.expect("there is a stream");
    tell("author", "started anew from its flash", 0, cost);
    assert!(author.publish(Version::new(4), &[], &PAYLOAD).is_err());
    open_epoch(&mut author, &mut end);
    publish(&mut author, &mut end, 4);
    assert_eq!(stays.turn("watcher").newest, 4);

    let (export, cost) = measured(|| author.export(&[9; 32]));
    tell("author", "exported", export.len(), cost);
    drop(author);
    let (author, cost) = measured(|| Author::import(other_device, &export, &[9; 32]));
    let mut author = author.expect("a good export");
    tell("author", "imported on another device", export.len(), cost);
    open_epoch(&mut author, &mut end);
    publish(&mut author, &mut end, 5);
    assert_eq!(stays.turn("watcher").newest, 5);
    assert!(stays.side.fork().is_none());
    hear(&mut author, &mut end);
    assert_eq!(author.guarded_by(Version::new(5)), 1);
    println!("         version 5 is with the watcher that stayed");
}

fn open_epoch(author: &mut Author<Shared<'_>>, end: &mut BucketEnd<'_, SLOTS>) {
    let count = author.recipient_count();
    let (keyload, cost) = measured(|| author.open_epoch(&mut HostRandom));
    let keyload = keyload.expect("somebody has subscribed");
    let step = if count == 1 {
        "keyload for 1"
    } else {
        "keyload for 2"
    };
    tell("author", step, keyload.len(), cost);
    let _ = end.send(keyload);
}

fn publish(author: &mut Author<Shared<'_>>, end: &mut BucketEnd<'_, SLOTS>, version: u64) {
    let (packet, cost) = measured(|| author.publish(Version::new(version), &[], &PAYLOAD));
    let packet = packet.expect("an epoch is open");
    tell("author", "packet of 256 B signed", packet.len(), cost);
    let _ = end.send(packet);
}

/// The author takes up what watchers said.
fn hear(author: &mut Author<Shared<'_>>, end: &mut BucketEnd<'_, SLOTS>) {
    let mut bytes = [0; MAX_MESSAGE_LENGTH];
    while let Ok(Some(length)) = end.receive(&mut bytes) {
        let (heard, cost) = measured(|| author.receive(&bytes[..length]));
        if heard.is_ok() {
            tell("author", "message of a watcher taken up", length, cost);
        }
    }
}

fn tell(who: &str, step: &str, length: usize, cost: meter::Cost) {
    println!(
        "{who:<8} {step:<28} {length:>6} {:>12} {:>6}",
        cost.instructions, cost.stack
    );
}
