//! Who may watch, who does, and what each has stored.

use heapless::Vec;
use perun_protocol::Version;

use crate::MAX_WATCHERS;
use crate::error::Refused;
use crate::header::{Number, StreamId};
use crate::keyload::Recipient;
use crate::keys::{WatcherId, WatcherKeys};

/// A watcher as its author knows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Watcher {
    pub(super) signing_key: [u8; 32],
    pub(super) id: WatcherId,
    /// The key that its keyloads are sealed to and the number of the message that brought it.
    pub(super) wrapping: Option<([u8; 32], Number)>,
    /// The number of the newest ack since the start.
    pub(super) heard: Option<Number>,
    /// What it says, if it counts.
    pub(super) acked: Option<Acked>,
}

/// What a watcher's newest ack says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Acked {
    /// Which of the watcher's messages it was.
    pub number: Number,
    /// The channel version that it has stored.
    pub version: Version,
    /// The number up to which it misses nothing.
    pub contiguous: Number,
}

/// The table. All changes are made on a copy, which is stored before it counts.
pub(super) type Watchers = Vec<Watcher, MAX_WATCHERS>;

impl Watcher {
    pub(super) fn allowed(stream: StreamId, signing_key: [u8; 32]) -> Self {
        Self {
            signing_key,
            id: WatcherId::of(stream, &signing_key),
            wrapping: None,
            heard: None,
            acked: None,
        }
    }

    /// Its name in the stream.
    pub const fn id(&self) -> WatcherId {
        self.id
    }

    /// The Ed25519 key that it was allowed by.
    pub const fn signing_key(&self) -> &[u8; 32] {
        &self.signing_key
    }

    /// Whether it has subscribed, and so gets keyloads.
    pub const fn is_subscribed(&self) -> bool {
        self.wrapping.is_some()
    }

    /// What it acknowledged last since the author's start, or since it subscribed anew. `None` also if that
    /// does not count: an ack from before the first epoch since the start, which anybody may have kept and
    /// sent again, or one of a version that was not published yet.
    pub const fn acked(&self) -> Option<Acked> {
        self.acked
    }

    /// What a message with this number must be newer than.
    pub(super) fn check_newer(&self, number: Number) -> Result<(), Refused> {
        let brought_key = self.wrapping.map(|(_, number)| number);
        match brought_key.max(self.heard) {
            Some(newest) if number <= newest => Err(Refused::Repeated { number }),
            _ => Ok(()),
        }
    }
}

/// Those who get keyloads.
pub(super) fn recipients(watchers: &Watchers) -> impl Iterator<Item = Recipient> + '_ {
    let subscribed = |watcher: &Watcher| watcher.wrapping.map(|(key, _)| (watcher.id, key));
    watchers.iter().filter_map(subscribed)
}

/// The watchers with the subscription taken up.
pub(super) fn with_subscription(
    watchers: &Watchers,
    keys: &WatcherKeys,
    number: Number,
) -> Result<(Watchers, WatcherId), Refused> {
    let mut changed = watchers.clone();
    let watcher = changed
        .iter_mut()
        .find(|watcher| watcher.signing_key == keys.signing)
        .ok_or(Refused::NotAllowed)?;
    watcher.check_newer(number)?;
    watcher.wrapping = Some((keys.wrapping, number));
    // It may have begun anew, with nothing stored.
    watcher.acked = None;
    let id = watcher.id;
    Ok((changed, id))
}
