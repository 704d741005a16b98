//! All streams.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use perun_protocol::Participant;
use perun_watch_stream::{Kind, Message, Number, StreamId};
use tracing::{info, warn};

use crate::budget::Budget;
use crate::files::{Files, Found};
use crate::followers::{Follower, Followers};
use crate::frames::{Answer, Refusal};
use crate::stream::{ANNOUNCEMENT, Bytes, LEAST_MESSAGES, Stream};

/// What is kept at most, and of whom.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Streams.
    pub streams: usize,
    /// Keyloads and packets of one stream; at least 8.
    pub messages: usize,
    /// Connections that follow one side of one stream, without those of its recipients.
    pub followers: usize,
    /// How many of these may come from one address (IPv6: from one /64).
    pub followers_of_one: usize,
    /// After how long a message that comes again is pushed again, if not all watchers have acknowledged it.
    pub repeat: Duration,
    /// Subscriptions of one stream, in a minute; a quarter of it at once, but 16 at least.
    pub subscriptions_per_minute: u32,
    /// Heartbeats of one stream, in a second; four times as many at once.
    pub heartbeats_per_second: u32,
    /// Whose streams are taken; `None` for everybody's.
    pub participants: Option<Vec<Participant>>,
}

/// The streams and their files.
pub(crate) struct Relay {
    files: Files,
    limits: Limits,
    streams: Mutex<HashMap<StreamId, Arc<Mutex<Entry>>>>,
    /// Held while a stream is made, so that `streams` need not be while files are written.
    announcing: Mutex<()>,
}

struct Entry {
    stream: Stream,
    followers: Followers,
    subscriptions: Budget,
    heartbeats: Budget,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams: 1_000,
            messages: 128,
            followers: 64,
            followers_of_one: 8,
            repeat: Duration::from_secs(10),
            subscriptions_per_minute: 20,
            heartbeats_per_second: 4,
            participants: None,
        }
    }
}

impl Relay {
    /// Takes up what is in the folder.
    pub(crate) fn open(folder: PathBuf, limits: Limits) -> io::Result<Self> {
        let relay = Self {
            files: Files::open(folder)?,
            limits,
            streams: Mutex::default(),
            announcing: Mutex::default(),
        };
        for found in relay.files.load()? {
            relay.take_up(found);
        }
        info!("{} streams are kept", lock(&relay.streams).len());
        Ok(relay)
    }

    /// Takes up a message and answers. Blocks for as long as the files take.
    pub(crate) fn publish(&self, bytes: &[u8], keys: &[[u8; 32]]) -> Answer {
        let Ok(message) = Message::parse(bytes) else {
            return Answer::Refused(Refusal::Malformed);
        };
        let header = *message.header();
        let done = match self.entry(header.stream) {
            Some(entry) => self.put(&mut lock(&entry), &message, keys),
            None if header.kind == Kind::Announcement => self.announce(bytes),
            None => Err(Refusal::UnknownStream),
        };
        match done {
            Ok(()) => Answer::Stored(header.kind.tag(), header.number.0),
            Err(refusal) => Answer::Refused(refusal),
        }
    }

    /// Sends a follower what is kept, and from now on what comes. `keys` are those that it has introduced.
    pub(crate) fn follow(
        &self,
        stream: StreamId,
        from: Number,
        follower: Follower,
        keys: &[[u8; 32]],
    ) -> Result<(), Refusal> {
        let entry = self.entry(stream).ok_or(Refusal::UnknownStream)?;
        let Entry {
            stream, followers, ..
        } = &mut *lock(&entry);
        let recipient = keys.iter().find_map(|key| stream.recipient(key));
        let kept = stream.kept(follower.side, from);
        followers.add(follower, recipient, kept)
    }

    fn entry(&self, stream: StreamId) -> Option<Arc<Mutex<Entry>>> {
        lock(&self.streams).get(&stream).cloned()
    }

    fn announce(&self, bytes: &[u8]) -> Result<(), Refusal> {
        let stream = self.announced(bytes)?;
        self.check_served(&stream)?;
        let id = stream_id(bytes);
        let _announcing = lock(&self.announcing);
        if self.entry(id).is_some() {
            return Ok(());
        }
        if lock(&self.streams).len() >= self.limits.streams {
            return Err(Refusal::Quota);
        }
        self.files.put(id, ANNOUNCEMENT, bytes).map_err(failed)?;
        let entry = self.fresh(stream);
        lock(&self.streams).insert(id, Arc::new(Mutex::new(entry)));
        Ok(())
    }

    /// A stream that nobody follows yet.
    fn fresh(&self, stream: Stream) -> Entry {
        let (limits, now) = (&self.limits, Instant::now());
        let in_minute = f64::from(limits.subscriptions_per_minute);
        let in_second = f64::from(limits.heartbeats_per_second);
        Entry {
            stream,
            followers: Followers::new(limits.followers, limits.followers_of_one),
            subscriptions: Budget::new(in_minute / 60.0, (in_minute / 4.0).max(16.0), now),
            heartbeats: Budget::new(in_second, 4.0 * in_second, now),
        }
    }

    fn announced(&self, bytes: &[u8]) -> Result<Stream, Refusal> {
        let messages = self.limits.messages.max(LEAST_MESSAGES);
        Stream::announced(bytes, messages, self.limits.repeat)
    }

    fn check_served(&self, stream: &Stream) -> Result<(), Refusal> {
        match &self.limits.participants {
            Some(served) if !served.contains(&stream.participant()) => Err(Refusal::NotServed),
            _ => Ok(()),
        }
    }

    fn put(
        &self,
        entry: &mut Entry,
        message: &Message<'_>,
        keys: &[[u8; 32]],
    ) -> Result<(), Refusal> {
        let now = Instant::now();
        // Nobody can tell whether these are genuine.
        let is_within = match message.header().kind {
            Kind::Subscription => entry.subscriptions.take(now),
            Kind::Tagged => entry.heartbeats.take(now),
            _ => true,
        };
        if !is_within {
            return Err(Refusal::Quota);
        }
        let change = entry.stream.put(message, keys, now)?;
        let stream = message.header().stream;
        if let Some((name, contents)) = change.put {
            self.files.put(stream, &name, &contents).map_err(|error| {
                entry.stream.forget(&name);
                failed(error)
            })?;
        }
        self.remove(stream, change.remove);
        if let Some(side) = change.push {
            let bytes = Bytes::from(message.bytes());
            entry.followers.push(side, &bytes);
        }
        Ok(())
    }

    fn remove(&self, stream: StreamId, names: Vec<String>) {
        for name in names {
            if let Err(error) = self.files.remove(stream, &name) {
                warn!("{name} of {stream:?} stays: {error}");
            }
        }
    }

    /// Takes up the files of a stream as if they were sent; what is no longer good is left where it is.
    fn take_up(&self, found: Found) {
        let Some((_, announcement)) = found.iter().find(|(name, _)| name == ANNOUNCEMENT) else {
            return;
        };
        let Ok(stream) = self.announced(announcement) else {
            warn!("an announcement is damaged");
            return;
        };
        if self.check_served(&stream).is_err() {
            return;
        }
        let stream_id = stream_id(announcement);
        let mut entry = self.fresh(stream);
        let now = Instant::now();
        // By name: the author's messages in their order, then what was asked, then what was said.
        for (name, contents) in &found {
            let (key, bytes) = match contents.split_first_chunk() {
                Some((key, bytes)) if name.starts_with("watcher-") => (Some(*key), bytes),
                _ => (None, &contents[..]),
            };
            if name == ANNOUNCEMENT {
                continue;
            }
            let taken = Message::parse(bytes).map_err(|_| Refusal::Malformed);
            let taken = taken.and_then(|message| entry.stream.put(&message, key.as_slice(), now));
            match taken {
                Ok(change) => self.remove(stream_id, change.remove),
                Err(refusal) => warn!("{name} of {stream_id:?} is not taken up: {refusal:?}"),
            }
        }
        lock(&self.streams).insert(stream_id, Arc::new(Mutex::new(entry)));
    }
}

/// The stream that a verified message is of.
fn stream_id(bytes: &[u8]) -> StreamId {
    let message = Message::parse(bytes).expect("it was verified");
    message.header().stream
}

fn failed(error: io::Error) -> Refusal {
    warn!("a message can't be written down: {error}");
    Refusal::Storage
}

/// Whoever panicked with a lock left what it guards as it was before, or after.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
