//! Watchers that follow a channel's stream instead of having links.

use std::collections::HashMap;
use std::convert::Infallible;

use perun_device::Event;
use perun_device::store::Store;
use perun_device::stream::Publisher;
use perun_protocol::remote::{RemoteMessage, Watch};
use perun_protocol::wire::RejectCode;
use perun_protocol::{ChannelId, Version};
use perun_watch_stream::{
    Guard, Heard, Kind, MAX_MESSAGE_LENGTH, Message, ReceiveError, Received, Record, Refused,
    Storage, Subscriber,
};
use rand_core::{CryptoRng, RngCore};

use crate::world::nor::{Dice, Tear};
use crate::world::{Flash, World, flash};

#[derive(Default)]
struct Memory(HashMap<Record, Vec<u8>>);

impl Storage for Memory {
    type Error = Infallible;

    fn load(&mut self, record: Record, into: &mut [u8]) -> Result<Option<usize>, Infallible> {
        let found = self.0.get(&record);
        Ok(found.map(|bytes| {
            into[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        }))
    }

    fn store(&mut self, record: Record, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.insert(record, bytes.to_vec());
        Ok(())
    }
}

struct Entropy(Dice);

impl RngCore for Entropy {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.0.byte());
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Entropy {}

/// Who follows the stream.
struct Follower {
    identity: [u8; 32],
    entropy: Entropy,
    subscriber: Option<Subscriber<Memory>>,
    /// What it was told to store, in order.
    orders: Vec<Watch>,
    /// Gets nothing, says nothing.
    is_silent: bool,
    /// Says that it has stored this.
    claims: Option<Version>,
}

impl Follower {
    fn new(byte: u8) -> Self {
        Self {
            identity: [byte; 32],
            entropy: Entropy(Dice::new(byte.into())),
            subscriber: None,
            orders: Vec::new(),
            is_silent: false,
            claims: None,
        }
    }

    fn signing_key(&self) -> [u8; 32] {
        let key = ed25519_dalek::SigningKey::from_bytes(&self.identity);
        key.verifying_key().to_bytes()
    }

    /// What it answers to a message of the stream.
    fn handle(
        &mut self,
        bytes: &[u8],
        channel: ChannelId,
        device: perun_protocol::Participant,
    ) -> Option<Vec<u8>> {
        if self.is_silent {
            return None;
        }
        let Some(subscriber) = &mut self.subscriber else {
            let storage = Memory::default();
            let entropy = &mut self.entropy;
            let follows =
                Subscriber::follow(storage, bytes, channel, device, &self.identity, entropy);
            let mut subscriber = follows.unwrap();
            let subscription = subscriber.subscribe(entropy).unwrap();
            self.subscriber = Some(subscriber);
            return Some(subscription.to_vec());
        };
        let mut text = [0; MAX_MESSAGE_LENGTH];
        let mut stored = None;
        match subscriber.receive(bytes, &mut text) {
            Ok(Received::State {
                version, payload, ..
            }) => {
                let message = RemoteMessage::decode(payload).unwrap();
                let RemoteMessage::Watch(order) = message else {
                    panic!("{message:?}")
                };
                self.orders.push(*order);
                stored = Some(version);
            }
            Ok(Received::Superseded { version, .. }) => stored = Some(version),
            // The ack was lost.
            Err(ReceiveError::Refused(Refused::Repeated { .. })) => {
                stored = subscriber.stored_version();
            }
            // The announcement again: the subscription was lost.
            Err(ReceiveError::Refused(Refused::Unexpected(_)))
                if subscriber.is_member().is_none() =>
            {
                let subscription = subscriber.subscribe(&mut self.entropy);
                return Some(subscription.unwrap().to_vec());
            }
            Ok(_) | Err(_) => {}
        }
        let version = self.claims.or(stored)?;
        subscriber.stored(version).unwrap();
        Some(subscriber.ack().unwrap().to_vec())
    }
}

/// A channel that is published.
struct Stream {
    world: World,
    publisher: Publisher<Flash>,
    followers: Vec<Follower>,
    channel: ChannelId,
    dice: Dice,
    /// So many of 256 messages are lost, either way.
    lost: u8,
    heard: Vec<Heard>,
}

fn store(flash: Flash) -> Store<Flash> {
    Store::open(flash, 0..4 * 16384).unwrap()
}

impl Stream {
    /// As many follow the stream as are `allowed`; so many of them must have stored a state.
    fn open(guards: usize, allowed: u8) -> Self {
        let mut world = World::new(1);
        world.settings.stream_guards = guards;
        world.start(flash(Tear::Clean)).unwrap();
        world.run(4);
        world.propose(perun_device::Approval::None).unwrap();
        world.run(12);
        assert!(world.overview().is_open, "{:?}", world.events);
        let channel = world.channel();
        let store = store(flash(Tear::Clean));
        let publisher = Publisher::create(world.device(), store, channel).unwrap();
        let mut stream = Self {
            world,
            publisher,
            followers: Vec::new(),
            channel,
            dice: Dice::new(5),
            lost: 0,
            heard: Vec::new(),
        };
        (1..=allowed).for_each(|byte| stream.let_in(byte));
        stream.run(4);
        stream
    }

    fn let_in(&mut self, byte: u8) {
        let follower = Follower::new(byte);
        self.publisher.allow(follower.signing_key()).unwrap();
        self.followers.push(follower);
    }

    /// What the flash holds; the publisher starts anew from that, or from another one.
    fn restart_publisher(&mut self, other: Option<Flash>) -> Flash {
        let made = Publisher::create(self.world.device(), store(flash(Tear::Clean)), self.channel);
        let publisher = core::mem::replace(&mut self.publisher, made.unwrap());
        let flash = publisher.into_store().into_flash();
        let from = other.unwrap_or_else(|| flash.clone());
        self.publisher = Publisher::start(store(from)).unwrap().unwrap();
        flash
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.world.run(1);
            self.exchange();
            self.world.exchange();
        }
    }

    fn exchange(&mut self) {
        let participant = self.world.device().identity();
        let participant = perun_protocol::Participant::Secp256k1(participant);
        let announcement = self.publisher.author().announcement().to_vec();
        // What a relay keeps for whoever comes.
        let mut messages = vec![announcement];
        loop {
            for message in core::mem::take(&mut messages) {
                for follower in &mut self.followers {
                    if self.dice.byte() < self.lost {
                        continue;
                    }
                    let answer = follower.handle(&message, self.channel, participant);
                    let Some(answer) = answer.filter(|_| self.dice.byte() >= self.lost) else {
                        continue;
                    };
                    let device = self.world.device.as_mut().unwrap();
                    if let Ok(heard) = self.publisher.receive(device, &answer) {
                        self.heard.push(heard);
                    }
                }
            }
            let device = self.world.device.as_mut().unwrap();
            match self.publisher.poll_transmit(device).unwrap() {
                Some(message) => messages.push(message),
                None => return,
            }
        }
    }

    fn peer_pays(&mut self, amount: u128) {
        let now = self.world.now();
        self.world.peer.pay(now, amount);
    }
}

#[test]
fn a_payment_counts_only_when_enough_who_follow_have_stored_it() {
    let mut stream = Stream::open(2, 3);
    stream.followers[1].is_silent = true;
    stream.followers[2].is_silent = true;
    stream.peer_pays(30);
    stream.run(8);
    // The linked watcher has it, and one of the stream's.
    assert_eq!(stream.followers[0].orders.len(), 2);
    let channel = stream.channel;
    assert_eq!(
        stream.world.watchers[0].stored(&channel),
        Some(Version::new(1))
    );
    assert_eq!(stream.world.received(), 0);
    stream.followers[2].is_silent = false;
    stream.run(12);
    assert_eq!(stream.world.received(), 30);
    assert_eq!(stream.world.overview().guarded, Some(Version::new(1)));
    let guarded = Event::StreamGuarded {
        channel,
        version: Version::new(1),
    };
    assert!(stream.world.events.contains(&guarded));
}

#[test]
fn what_follows_alone_guards_nothing() {
    let mut stream = Stream::open(1, 1);
    stream.world.watchers[0].is_silent = true;
    stream.peer_pays(30);
    stream.run(8);
    assert_eq!(stream.followers[0].orders.len(), 2);
    assert_eq!(stream.world.received(), 0);
}

#[test]
fn what_is_published_is_all_that_a_watcher_needs() {
    let mut stream = Stream::open(1, 1);
    stream.peer_pays(30);
    stream.run(6);
    let [first, second] = &stream.followers[0].orders[..] else {
        panic!("{:?}", stream.followers[0].orders)
    };
    let params = first.params.clone().expect("the first brings everything");
    assert_eq!(params.id(), stream.channel);
    assert!(first.verify_auths(&params).is_some());
    let newest = second.newest.clone().unwrap().verify(&params).unwrap();
    assert_eq!(newest.version(), Version::new(1));
    // It is known to have the rest.
    assert_eq!(second.params, None);
    // Somebody who comes later has nothing yet.
    stream.let_in(9);
    stream.run(6);
    let [late] = &stream.followers[1].orders[..] else {
        panic!("{:?}", stream.followers[1].orders)
    };
    let newest = late.newest.clone().unwrap().verify(&params).unwrap();
    assert_eq!(newest.version(), Version::new(1));
    assert!(late.verify_auths(late.params.as_ref().unwrap()).is_some());
}

#[test]
fn what_is_lost_is_sent_again() {
    let mut stream = Stream::open(2, 3);
    stream.lost = 100;
    for _ in 0..5 {
        stream.peer_pays(10);
        stream.run(60);
    }
    assert_eq!(stream.world.received(), 50);
    let rejected = &stream.world.peer.rejected;
    assert!(!rejected.contains(&RejectCode::WatchersLag), "{rejected:?}");
}

#[test]
fn after_a_power_cut_the_stream_goes_on_in_another_epoch() {
    let mut stream = Stream::open(1, 2);
    stream.peer_pays(30);
    stream.run(6);
    let epoch = stream.publisher.author().epoch();
    stream.world.restart();
    stream.restart_publisher(None);
    let about = stream.publisher.author().about();
    assert_eq!(about.channel(), stream.channel);
    stream.run(8);
    assert!(stream.publisher.author().epoch() > epoch);
    stream.peer_pays(40);
    stream.run(12);
    assert_eq!(stream.world.received(), 70);
    let last = stream.followers[1].orders.last().unwrap();
    assert_eq!(last.knows, Some(Version::new(2)));
}

#[test]
fn who_was_taken_out_reads_no_more() {
    let mut stream = Stream::open(1, 2);
    let watcher = stream.followers[1].subscriber.as_ref().unwrap().id();
    stream.publisher.remove(watcher).unwrap();
    stream.peer_pays(30);
    stream.run(8);
    assert_eq!(stream.followers[0].orders.len(), 2);
    assert_eq!(stream.followers[1].orders.len(), 1);
    let subscriber = stream.followers[1].subscriber.as_ref().unwrap();
    assert_eq!(subscriber.is_member(), Some(false));
}

#[test]
fn who_claims_what_was_never_signed_guards_nothing() {
    let mut stream = Stream::open(1, 1);
    stream.followers[0].claims = Some(Version::new(9));
    stream.peer_pays(30);
    stream.run(8);
    assert_eq!(stream.world.received(), 0);
    let channel = stream.channel;
    let told = Version::new(9);
    let contradicts = Event::StreamContradicts { channel, told };
    assert!(stream.world.events.contains(&contradicts));
}

#[test]
fn one_liar_stops_nothing() {
    let mut stream = Stream::open(1, 2);
    stream.followers[0].claims = Some(Version::new(u64::MAX));
    stream.peer_pays(30);
    stream.run(8);
    assert_eq!(stream.world.received(), 30);
    // Alone it guards nothing.
    stream.followers[1].is_silent = true;
    stream.peer_pays(30);
    stream.run(8);
    assert_eq!(stream.world.received(), 30);
}

#[test]
fn an_old_copy_of_the_stream_jumps_over_what_its_watchers_have_seen() {
    let mut stream = Stream::open(1, 1);
    let old = stream.restart_publisher(None);
    for _ in 0..3 {
        stream.run(6);
        stream.restart_publisher(None);
    }
    stream.run(6);
    let newest = stream.publisher.author().epoch();
    stream.restart_publisher(Some(old));
    stream.run(40);
    assert!(stream.publisher.author().epoch().0 > newest.0 + 1_000);
    let jumped = stream.publisher.author().epoch();
    stream.peer_pays(30);
    stream.run(12);
    assert_eq!(stream.world.received(), 30);
    // A watcher's word is enough for one jump in a run.
    assert!(stream.publisher.author().epoch().0 < jumped.0 + 1_000);
    stream.publisher.jump().unwrap();
    assert!(stream.publisher.author().epoch().0 > jumped.0 + 1_000);
    stream.peer_pays(30);
    stream.run(12);
    assert_eq!(stream.world.received(), 60);
}

#[test]
fn the_time_of_an_alarm_begins_anew_with_each_unguarded_state() {
    let mut stream = Stream::open(1, 1);
    stream.peer_pays(30);
    stream.run(12);
    // More than the time that a state may be unguarded, without a word of anybody.
    stream.run(4 * 310);
    stream.followers[0].is_silent = true;
    stream.peer_pays(30);
    stream.run(4);
    let device = stream.world.device.as_ref().unwrap();
    assert_eq!(stream.publisher.guard(device), Guard::Waiting(0));
    stream.run(4 * 310);
    let device = stream.world.device.as_ref().unwrap();
    assert_eq!(stream.publisher.guard(device), Guard::Alarm(0));
    stream.followers[0].is_silent = false;
    stream.run(4 * 130);
    let device = stream.world.device.as_ref().unwrap();
    assert_eq!(stream.publisher.guard(device), Guard::Guarded(1));
}

#[test]
fn a_relay_that_lost_everything_is_given_it_again() {
    let mut stream = Stream::open(1, 1);
    stream.peer_pays(30);
    stream.run(12);
    let device = stream.world.device.as_mut().unwrap();
    assert_eq!(stream.publisher.poll_transmit(device), Ok(None));
    stream.publisher.reconnected();
    let kinds = core::iter::from_fn(|| stream.publisher.poll_transmit(device).unwrap())
        .map(|bytes| Message::parse(&bytes).unwrap().header().kind);
    let given = [Kind::Announcement, Kind::Keyload, Kind::Packet];
    assert_eq!(kinds.collect::<Vec<_>>(), given);
}

#[test]
fn a_store_that_fails_is_not_tried_again_at_once() {
    let mut stream = Stream::open(1, 1);
    stream.followers[0].is_silent = true;
    let mut flash = stream.restart_publisher(None);
    flash.power(Some(0));
    stream.publisher = Publisher::start(store(flash)).unwrap().unwrap();
    let device = stream.world.device.as_mut().unwrap();
    // The announcement takes no number.
    assert!(stream.publisher.poll_transmit(device).is_ok());
    assert!(stream.publisher.poll_transmit(device).is_err());
    let first = stream.publisher.poll_timeout(device);
    stream.world.run(40);
    let device = stream.world.device.as_mut().unwrap();
    assert!(stream.publisher.poll_transmit(device).is_err());
    assert!(stream.publisher.poll_timeout(device) > first);
}

#[test]
fn a_publisher_is_over_with_its_channel() {
    let mut stream = Stream::open(1, 1);
    stream.run(4);
    assert!(!stream.publisher.is_over(stream.world.device()));
    let channel = stream.channel;
    stream.world.device().close(&channel).unwrap();
    stream.run(60);
    assert!(stream.publisher.is_over(stream.world.device()));
    let device = stream.world.device.as_mut().unwrap();
    assert_eq!(stream.publisher.poll_timeout(device), None);
}
