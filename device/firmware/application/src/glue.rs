//! The only file that calls the device.
//!
//! For now an echo stands in for it: what comes over a link goes back over it, and its identity is
//! random bytes that it keeps in flash.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::fmt;

use embedded_storage::nor_flash::NorFlash;
use perun_protocol::PublicKey;

use crate::{Press, Settings};

/// Where secrets come from.
pub trait Random {
    /// Fills `bytes` with full entropy.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// Why the device can't start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StartError {
    /// The flash doesn't work.
    Flash,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash => write!(f, "the flash can't be read or written"),
        }
    }
}

impl core::error::Error for StartError {}

/// Why a link is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LinkError {
    /// More is waiting to be sent than a link may keep.
    Backlog,
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backlog => write!(f, "the other side doesn't read"),
        }
    }
}

/// Why the device doesn't do what a press asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// There is no channel.
    NoChannel,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoChannel => write!(f, "there is no channel"),
        }
    }
}

/// What the log should tell.
pub(crate) enum Event {
    Heard { link: LinkId, count: usize },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Heard { link, count } => write!(f, "link {link}: {count} bytes"),
        }
    }
}

/// The name of a link.
pub(crate) type LinkId = u32;

const MAX_BACKLOG: usize = 4096;
const MAGIC: [u8; 4] = *b"echo";

pub(crate) struct Device<F, R> {
    _flash: F,
    _random: R,
    identity: Identity,
    links: BTreeMap<LinkId, Vec<u8>>,
    next_link: LinkId,
    events: VecDeque<Event>,
}

pub(crate) struct Identity([u8; 32]);

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<F: NorFlash, R: Random> Device<F, R> {
    pub(crate) fn start(
        mut flash: F,
        mut random: R,
        _settings: Settings,
    ) -> Result<Self, StartError> {
        let mut record = [0; 36];
        flash.read(0, &mut record).map_err(|_| StartError::Flash)?;
        if record[..4] != MAGIC {
            record[..4].copy_from_slice(&MAGIC);
            random.fill(&mut record[4..]);
            flash
                .erase(0, F::ERASE_SIZE as u32)
                .and_then(|()| flash.write(0, &record))
                .map_err(|_| StartError::Flash)?;
        }
        let mut identity = [0; 32];
        identity.copy_from_slice(&record[4..]);
        Ok(Self {
            _flash: flash,
            _random: random,
            identity: Identity(identity),
            links: BTreeMap::new(),
            next_link: 0,
            events: VecDeque::new(),
        })
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn dialled(&mut self, _peer: PublicKey) -> Result<LinkId, LinkError> {
        self.answered()
    }

    pub(crate) fn answered(&mut self) -> Result<LinkId, LinkError> {
        let link = self.next_link;
        self.next_link += 1;
        self.links.insert(link, Vec::new());
        Ok(link)
    }

    pub(crate) fn receive(&mut self, link: LinkId, bytes: &[u8]) -> Result<(), LinkError> {
        let backlog = self.links.entry(link).or_default();
        if backlog.len() + bytes.len() > MAX_BACKLOG {
            return Err(LinkError::Backlog);
        }
        backlog.extend_from_slice(bytes);
        let count = bytes.len();
        self.events.push_back(Event::Heard { link, count });
        Ok(())
    }

    pub(crate) fn transmit(&mut self, link: LinkId) -> Option<&[u8]> {
        let backlog = self.links.get(&link)?;
        (!backlog.is_empty()).then_some(backlog)
    }

    pub(crate) fn transmitted(&mut self, link: LinkId, count: usize) {
        if let Some(backlog) = self.links.get_mut(&link) {
            backlog.drain(..count);
        }
    }

    pub(crate) fn hung_up(&mut self, link: LinkId) {
        self.links.remove(&link);
    }

    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        None
    }

    pub(crate) fn handle_timeout(&mut self) {}

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn press(&mut self, press: Press) -> Result<(), Refusal> {
        match press {
            Press::Status => Ok(()),
            _ => Err(Refusal::NoChannel),
        }
    }
}
