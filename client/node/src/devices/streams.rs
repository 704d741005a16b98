//! Watch streams of devices, which the node follows.
//!
//! ```text
//! relay ──announcement──> verified, of a served device? ──first time──┐
//!   ^                     devices/streams/<stream>/ ────────later─────┤
//!   │                                                                 v
//!   └──subscriptions, acks── Line ──messages──> RemoteService::follow(Subscriber)
//! ```
//!
//! Invariants:
//! - Nothing is stored of a stream before its announcement is verified, and its participant is one that
//!   the node serves. Then it is final: a stream's name is a hash of what its announcement says.
//! - A stream that can't be followed keeps nothing else from being watched: that is logged, and the node
//!   goes on. Its device learns of it, since no acks come.

mod records;

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use perun_client::remote::{Devices as Served, RemoteService, Stream, StreamFiles, StreamStatus};
use perun_protocol::Participant;
use perun_protocol::signature::K256;
use perun_watch_relay::{Line, line};
use perun_watch_stream::{
    Announcement, Kind, Message, StartError, StreamId, Subscriber, WatcherId,
};
use rand_core::OsRng;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};

pub(crate) use self::records::renumber;
pub(super) use self::records::{copy, folder};

use super::invalid;
use super::stream_key::StreamKey;
use crate::Error;
use crate::contacts::show_identity;
use crate::settings::DeviceStream;

/// What can be done about records that can't be used.
const REMEDY: &str = "restore them from a backup, or delete the folder and have the device's owner remove \
                      the node's key and allow it again";

/// How it goes with devices' streams.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StreamFigures {
    /// How many are followed.
    pub followed: usize,
    /// Of how many of these the newest keyload is for the node.
    pub members: usize,
    /// Of how many there is evidence that the device, or a copy of it, contradicts itself.
    pub forked: usize,
}

/// The streams that the settings name.
pub(super) struct Streams {
    statuses: Statuses,
    /// Those that are not followed yet.
    beginning: Mutex<JoinSet<()>>,
}

/// Of those that are or were followed.
type Statuses = Arc<Mutex<Vec<watch::Receiver<StreamStatus>>>>;

/// What all streams have in common.
pub(super) struct Parts {
    /// Where the folders of devices are.
    pub(super) devices: PathBuf,
    /// By which devices let the node in.
    pub(super) key: StreamKey,
    /// Whose streams are followed.
    pub(super) served: Served,
    /// What watches.
    pub(super) service: Arc<RemoteService>,
}

impl Streams {
    /// Begins to follow streams; relays are waited for elsewhere.
    pub(super) fn start(streams: &[DeviceStream], parts: Parts) -> Self {
        let (parts, statuses) = (Arc::new(parts), Statuses::default());
        let mut beginning = JoinSet::new();
        for stream in streams {
            let (parts, stream) = (Arc::clone(&parts), stream.clone());
            let statuses = Arc::clone(&statuses);
            beginning.spawn(async move {
                match parts.begin(&stream).await {
                    Ok(Some(stream)) => {
                        let status = parts.service.follow(stream);
                        lock(&statuses).push(status);
                    }
                    // Its line ends only when it is given up.
                    Ok(None) => {}
                    Err(error) => tracing::error!("a device's stream is not followed: {error}"),
                }
            });
        }
        Self {
            statuses,
            beginning: Mutex::new(beginning),
        }
    }

    pub(super) fn figures(&self) -> StreamFigures {
        let mut figures = StreamFigures::default();
        for status in &*lock(&self.statuses) {
            let status = status.borrow();
            let is_followed = status.ended.is_none();
            let is_member = is_followed && status.is_member == Some(true);
            figures.followed += usize::from(is_followed);
            figures.members += usize::from(is_member);
            figures.forked += usize::from(status.has_forked);
        }
        figures
    }

    /// Begins nothing any more. What is followed ends with the service.
    pub(super) fn stop(&self) {
        lock(&self.beginning).abort_all();
    }
}

impl Parts {
    /// What can be followed, once the announcement is known; `None` if it never comes.
    async fn begin(&self, named: &DeviceStream) -> Result<Option<Stream<StreamFiles>>, Error> {
        let DeviceStream { relay, stream } = named;
        let name = format!("{relay}/{}", hex::encode(stream.0));
        let refused = |reason: String| invalid("device-streams", &name, &reason);
        let key = self.key.public_key();
        let resumed = self.resume(*stream).await?;
        let resumed = resumed.map_err(refused)?;
        let Line {
            mut incoming,
            outgoing,
        } = line::follow(relay.clone(), *stream, key);
        let subscriber = match resumed {
            Some(subscriber) => subscriber,
            None => {
                let Some((bytes, about)) = announcement(&mut incoming, *stream).await else {
                    return Ok(None);
                };
                self.subscribe(bytes, about).await?.map_err(refused)?
            }
        };
        let channel = subscriber.about().channel();
        tracing::info!(stream = %name, %channel, "follows a device's stream");
        Ok(Some(Stream {
            subscriber,
            incoming,
            outgoing,
        }))
    }

    /// The subscriber of an earlier start, if there is one.
    async fn resume(
        &self,
        stream: StreamId,
    ) -> Result<Result<Option<Subscriber<StreamFiles>>, String>, Error> {
        let folder = records::folder_of(&self.devices, stream);
        let there = folder.clone();
        let resumed = spawn_blocking(move || records::resume(&there));
        let resumed = resumed.await.map_err(Error::internal)?;
        let about = |reason: &dyn Display| format!("{}: {reason}", folder.display());
        Ok(match resumed {
            Err(error) => Err(about(&format!("{error}; {REMEDY}"))),
            Ok(None) => Ok(None),
            Ok(Some(subscriber)) => {
                // A watcher's id is of its key in the stream.
                if subscriber.id() == WatcherId::of(stream, &self.key.public_key()) {
                    self.check_served(subscriber.about())
                        .map(|()| Some(subscriber))
                } else {
                    Err(about(&"the records are another stream's or another key's"))
                }
            }
        })
    }

    /// Begins with an announcement that was verified.
    async fn subscribe(
        &self,
        bytes: Vec<u8>,
        about: Announcement,
    ) -> Result<Result<Subscriber<StreamFiles>, String>, Error> {
        if let Err(reason) = self.check_served(&about) {
            return Ok(Err(reason));
        }
        let folder = records::folder_of(&self.devices, about.stream());
        let there = folder.clone();
        let seed = zeroize::Zeroizing::new(*self.key.seed());
        let following = spawn_blocking(move || {
            let files = StreamFiles::open(&there).map_err(StartError::Storage)?;
            let (channel, participant) = (about.channel(), about.participant());
            Subscriber::follow(files, &bytes, channel, participant, &seed, &mut OsRng)
        });
        let following = following.await.map_err(Error::internal)?;
        Ok(following.map_err(|error| format!("{}: {error}", folder.display())))
    }

    fn check_served(&self, about: &Announcement) -> Result<(), String> {
        let Participant::Secp256k1(device) = about.participant();
        let is_served = match &self.served {
            Served::Anybody => true,
            Served::Only(devices) => devices.contains(&device),
        };
        let device = show_identity(&device);
        is_served
            .then_some(())
            .ok_or_else(|| format!("it is the stream of {device}, which is none of device-keys"))
    }
}

/// Waits for the announcement of a stream, which is the only one of this name that there can be. A relay may
/// bring anything; what comes before it the device sends again.
async fn announcement(
    incoming: &mut mpsc::Receiver<Vec<u8>>,
    stream: StreamId,
) -> Option<(Vec<u8>, Announcement)> {
    loop {
        let bytes = incoming.recv().await?;
        let Ok(message) = Message::parse(&bytes) else {
            continue;
        };
        let header = message.header();
        if header.kind != Kind::Announcement || header.stream != stream {
            continue;
        }
        match Announcement::verify::<K256>(&message) {
            Ok(about) => return Some((bytes, about)),
            Err(refused) => tracing::warn!("a relay brings a false announcement: {refused}"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
