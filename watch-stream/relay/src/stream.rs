//! What is kept of one stream. Decides, and touches neither files nor connections.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use perun_protocol::Participant;
use perun_protocol::signature::K256;
use perun_watch_stream::{
    Ack, Announcement, Epoch, Kind, Message, MessageId, Number, Refused, SignedHeader, WatcherId,
};

use crate::frames::{Refusal, Side};

/// Subscriptions that are kept until they fall out.
const SUBSCRIPTIONS: usize = 16;

/// Messages of one number: an honest author has one, and two are evidence of a fork.
const SAME_NUMBER: usize = 2;

/// The least quota: more than what is never dropped.
pub(crate) const LEAST_MESSAGES: usize = 8;

/// A message, shared by all who are sent it.
pub(crate) type Bytes = Arc<[u8]>;

/// What one stream is to those who relay it.
pub(crate) struct Stream {
    about: Announcement,
    announcement: Bytes,
    /// Keyloads and packets by number; two of one number are evidence of a fork, and both are kept.
    authors: BTreeMap<(Number, [u8; 32]), Kept>,
    /// The recipients of the newest keyload.
    watchers: Vec<WatcherId>,
    /// Up to here every recipient has acknowledged what there was. Never lower again, whoever is let in:
    /// strangers can't bring back what was dropped, each time for an ack of every watcher.
    acked: Number,
    /// The newest ack and unsubscription of each, with the key that they are verified by.
    said: BTreeMap<(WatcherId, u8), Said>,
    subscriptions: VecDeque<(String, Bytes)>,
    max_messages: usize,
    repeat: Duration,
}

struct Kept {
    bytes: Bytes,
    kind: Kind,
    epoch: Epoch,
    pushed: Instant,
}

struct Said {
    number: Number,
    contiguous: Number,
    bytes: Bytes,
}

/// What follows from a message that was taken.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Files to write, with what goes into them.
    pub(crate) put: Option<(String, Vec<u8>)>,
    /// Files to remove after that.
    pub(crate) remove: Vec<String>,
    /// Whether to push it, and to those who follow which side.
    pub(crate) push: Option<Side>,
}

/// The name of the file that the announcement is in.
pub(crate) const ANNOUNCEMENT: &str = "announcement";

impl Stream {
    /// The stream that is announced by `bytes`. A message that comes again is pushed again after `repeat`.
    pub(crate) fn announced(
        bytes: &[u8],
        max_messages: usize,
        repeat: Duration,
    ) -> Result<Self, Refusal> {
        let message = Message::parse(bytes).map_err(|_| Refusal::Malformed)?;
        let about = Announcement::verify::<K256>(&message).map_err(|refused| {
            if refused == Refused::WrongSignature {
                Refusal::NotSigned
            } else {
                Refusal::Malformed
            }
        })?;
        Ok(Self {
            about,
            announcement: bytes.into(),
            authors: BTreeMap::new(),
            watchers: Vec::new(),
            acked: Number(0),
            said: BTreeMap::new(),
            subscriptions: VecDeque::new(),
            max_messages,
            repeat,
        })
    }

    /// Whose stream it is.
    pub(crate) fn participant(&self) -> Participant {
        self.about.participant()
    }

    /// The recipient of the newest keyload that has this Ed25519 key.
    pub(crate) fn recipient(&self, key: &[u8; 32]) -> Option<WatcherId> {
        let watcher = WatcherId::of(self.about.stream(), key);
        self.watchers.contains(&watcher).then_some(watcher)
    }

    /// Takes a message up. `keys` are those that its sender has introduced.
    pub(crate) fn put(
        &mut self,
        message: &Message<'_>,
        keys: &[[u8; 32]],
        now: Instant,
    ) -> Result<Change, Refusal> {
        match message.header().kind {
            Kind::Announcement if message.bytes() == &*self.announcement => Ok(Change::default()),
            // Only the participant's signature could differ.
            Kind::Announcement => Err(Refusal::NotSigned),
            Kind::Keyload | Kind::Packet => self.put_authors(message, now),
            Kind::Ack | Kind::Unsubscription => self.put_said(message, keys),
            Kind::Subscription => Ok(self.put_subscription(message)),
            Kind::Tagged => Ok(Change {
                push: Some(Side::Author),
                ..Change::default()
            }),
        }
    }

    /// Forgets what could not be written to this file.
    pub(crate) fn forget(&mut self, file: &str) {
        self.authors
            .retain(|(number, id), _| authors_file(*number, id) != file);
        self.said
            .retain(|(watcher, kind), _| said_file(*watcher, *kind) != file);
        self.subscriptions.retain(|(name, _)| name != file);
    }

    /// What is kept of a side, oldest first; of the author's messages those from `from` on, and the announcement.
    pub(crate) fn kept(&self, side: Side, from: Number) -> Vec<Bytes> {
        match side {
            Side::Author => {
                let authors = self.authors.range((from, [0; 32])..);
                let authors = authors.map(|(_, kept)| &kept.bytes);
                [&self.announcement]
                    .into_iter()
                    .chain(authors)
                    .cloned()
                    .collect()
            }
            Side::Watchers => {
                let said = self.said.values().map(|said| &said.bytes);
                let asked = self.subscriptions.iter().map(|(_, bytes)| bytes);
                asked.chain(said).cloned().collect()
            }
        }
    }

    fn put_authors(&mut self, message: &Message<'_>, now: Instant) -> Result<Change, Refusal> {
        let header = message.header();
        let signed = signed_by(message, &[self.about.keys().signing])?;
        let MessageId(id) = signed.id();
        let recipients = match header.kind {
            Kind::Keyload => message.recipients().map_err(|_| Refusal::Malformed)?,
            _ => Default::default(),
        };
        let is_acked = header.number <= self.acked;
        if let Some(kept) = self.authors.get_mut(&(header.number, id)) {
            // Its author has no ack of it yet. How often is counted for each message, so that strangers who
            // bring it again do its author's work and can't use a limit up.
            let is_due = !is_acked && now.duration_since(kept.pushed) >= self.repeat;
            if is_due {
                kept.pushed = now;
            }
            return Ok(Change {
                push: is_due.then_some(Side::Author),
                ..Change::default()
            });
        }
        let same = (header.number, [0; 32])..=(header.number, [0xff; 32]);
        let same = self.authors.range(same).count();
        if same >= SAME_NUMBER {
            return Err(Refusal::Quota);
        }
        // Another one of a number that is kept is evidence of a fork.
        if is_acked && same == 0 {
            return Ok(Change::default());
        }
        if header.kind == Kind::Keyload && self.newest(Kind::Keyload) < Some(header.number) {
            self.watchers = recipients.to_vec();
        }
        let kept = Kept {
            bytes: message.bytes().into(),
            kind: header.kind,
            epoch: header.epoch,
            pushed: now,
        };
        self.authors.insert((header.number, id), kept);
        let file = authors_file(header.number, &id);
        let remove = self.drop_old();
        // What is older than all that is kept goes at once.
        let put = (!remove.contains(&file)).then(|| (file.clone(), message.bytes().to_vec()));
        Ok(Change {
            put,
            remove: remove.into_iter().filter(|it| *it != file).collect(),
            push: Some(Side::Author),
        })
    }

    fn put_said(&mut self, message: &Message<'_>, keys: &[[u8; 32]]) -> Result<Change, Refusal> {
        let header = message.header();
        let (watcher, contiguous) = match header.kind {
            Kind::Ack => Ack::parse(message).map(|ack| (ack.watcher, ack.contiguous)),
            _ => message.leaver().map(|watcher| (watcher, Number(0))),
        }
        .map_err(|_| Refusal::Malformed)?;
        let key = keys.iter().find(|key| self.recipient(key) == Some(watcher));
        let key = *key.ok_or(Refusal::NotSigned)?;
        signed_by(message, &[key])?;
        let place = (watcher, header.kind.tag());
        if self
            .said
            .get(&place)
            .is_some_and(|said| header.number <= said.number)
        {
            return Ok(Change::default());
        }
        let said = Said {
            number: header.number,
            contiguous,
            bytes: message.bytes().into(),
        };
        self.said.insert(place, said);
        Ok(Change {
            put: Some((
                said_file(watcher, header.kind.tag()),
                [&key, message.bytes()].concat(),
            )),
            remove: self.drop_old(),
            push: Some(Side::Watchers),
        })
    }

    fn put_subscription(&mut self, message: &Message<'_>) -> Change {
        // What is sealed is different each time.
        let file = format!(
            "subscription-{}",
            hex(&message.masked()[..16.min(message.masked().len())])
        );
        if self.subscriptions.iter().any(|(name, _)| *name == file) {
            return Change::default();
        }
        self.subscriptions
            .push_back((file.clone(), message.bytes().into()));
        let over = self.subscriptions.len().saturating_sub(SUBSCRIPTIONS);
        Change {
            put: Some((file, message.bytes().to_vec())),
            remove: self
                .subscriptions
                .drain(..over)
                .map(|(name, _)| name)
                .collect(),
            push: Some(Side::Watchers),
        }
    }

    /// Drops what all watchers have acknowledged, and what is beyond the quota; returns the files.
    fn drop_old(&mut self) -> Vec<String> {
        let acked = |watcher: &WatcherId| self.said.get(&(*watcher, Kind::Ack.tag()));
        let acked = self
            .watchers
            .iter()
            .map(|it| acked(it).map(|said| said.contiguous));
        // The least of all, if each has said something.
        let acked = acked.min().flatten().unwrap_or(Number(0));
        // What is still to come nobody can have acknowledged.
        let newest = self.authors.keys().next_back();
        let newest = newest.map_or(Number(0), |(number, _)| *number);
        self.acked = self.acked.max(acked.min(newest));
        let acked = self.acked;
        let keyload = self.newest(Kind::Keyload);
        let packet = self.newest(Kind::Packet);
        let its_keyload = self.keyload_of(packet);
        let mut over = self.authors.len().saturating_sub(self.max_messages);
        let mut dropped = Vec::new();
        self.authors.retain(|(number, id), _| {
            let never_dropped = [keyload, packet, its_keyload];
            if never_dropped.contains(&Some(*number)) || (*number > acked && over == 0) {
                return true;
            }
            over = over.saturating_sub(1);
            dropped.push(authors_file(*number, id));
            false
        });
        // Of those who are no watchers any more nothing is kept.
        let watchers = &self.watchers;
        self.said.retain(|(watcher, kind), _| {
            let stays = watchers.contains(watcher);
            if !stays {
                dropped.push(said_file(*watcher, *kind));
            }
            stays
        });
        dropped
    }

    fn newest(&self, kind: Kind) -> Option<Number> {
        let mut newest_first = self.authors.iter().rev();
        newest_first
            .find(|(_, kept)| kept.kind == kind)
            .map(|((number, _), _)| *number)
    }

    /// The number of the keyload that a packet needs.
    fn keyload_of(&self, packet: Option<Number>) -> Option<Number> {
        let packet = (packet?, [0; 32]);
        let (_, Kept { epoch, .. }) = self.authors.range(packet..).next()?;
        let mut before = self.authors.range(..packet).rev();
        let is_it = |kept: &Kept| kept.kind == Kind::Keyload && kept.epoch == *epoch;
        before
            .find(|(_, kept)| is_it(kept))
            .map(|((number, _), _)| *number)
    }
}

fn signed_by(message: &Message<'_>, keys: &[[u8; 32]]) -> Result<SignedHeader, Refusal> {
    let signed = message.signed().ok_or(Refusal::Malformed)?;
    let is_good = keys.iter().any(|key| signed.is_signed_by(key));
    is_good.then_some(signed).ok_or(Refusal::NotSigned)
}

fn authors_file(number: Number, id: &[u8; 32]) -> String {
    format!("author-{:020}-{}", number.0, hex(&id[..8]))
}

fn said_file(watcher: WatcherId, kind: u8) -> String {
    format!("watcher-{}-{kind}", hex(&watcher.0))
}

/// Lower-case digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
