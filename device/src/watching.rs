//! What one watcher is told of one channel, and what it has stored.
//!
//! ```text
//! Unasked ──(stored channel) query──> Known      a query shows whether this copy is an old one
//! Unknown ──params, authorisations, newest──> Known ──newest──> … ──query, order──> …
//! ```
//!
//! One message is under way at a time; states that come meanwhile are overtaken by the newest.

use alloc::boxed::Box;
use alloc::vec::Vec;

use perun_protocol::channel::AdjudicatorCall;
use perun_protocol::remote::{ForceClose, Fund, RemoteMessage, SignedReceiver, Watch};
use perun_protocol::{SignedState, UnverifiedSignedState, Version};

use crate::driver::Machine;

/// What one watcher knows of one channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watching {
    knowledge: Knowledge,
    /// The version that it has stored.
    stored: Option<Version>,
    /// The version that it was told last on this link.
    told: Option<Version>,
    /// Whether it has said anything of the channel since the start.
    is_heard: bool,
    /// Whether it knew the channel when it was first asked after the start.
    vouches: bool,
    /// Since when it says that the channel is over.
    over_since_ns: Option<u64>,
    /// When it said last that the channel is not over.
    denied_ns: Option<u64>,
    /// When it was told something that it has not answered yet.
    asked_ns: Option<u64>,
    /// When it is asked again, if nothing is to be told before.
    next_ns: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Knowledge {
    /// It does not watch this channel.
    None,
    /// It may have been told before the last start.
    Unasked,
    /// It watches this channel.
    Watches,
}

impl Watching {
    pub(crate) fn of_new_channel() -> Self {
        Self {
            knowledge: Knowledge::None,
            stored: None,
            told: None,
            is_heard: false,
            vouches: false,
            over_since_ns: None,
            denied_ns: None,
            asked_ns: None,
            next_ns: 0,
        }
    }

    pub(crate) fn of_stored_channel() -> Self {
        Self {
            knowledge: Knowledge::Unasked,
            ..Self::of_new_channel()
        }
    }

    /// The version that the watcher has stored, as it last said.
    pub(crate) fn stored(&self) -> Option<Version> {
        self.stored
    }

    /// When it was asked what it has not answered.
    pub(crate) fn asked_ns(&self) -> Option<u64> {
        self.asked_ns
    }

    /// The link to the watcher is new, or gone: what was said is lost.
    pub(crate) fn begin_again(&mut self) {
        self.told = None;
        self.asked_ns = None;
        self.next_ns = 0;
    }

    /// It has answered, and has stored this version.
    pub(crate) fn answered(&mut self, stored: Option<Version>, next_ns: u64) {
        if self.knowledge == Knowledge::Unasked {
            self.vouches = true;
            // It was asked, and told nothing.
            self.told = stored;
        }
        self.knowledge = Knowledge::Watches;
        self.is_heard = true;
        self.stored = stored;
        self.asked_ns = None;
        self.next_ns = next_ns;
    }

    /// It does not know the channel (any more). It is told everything, at once if that is news.
    pub(crate) fn forgot(&mut self, later_ns: u64) {
        self.next_ns = match self.knowledge {
            Knowledge::None => later_ns,
            Knowledge::Unasked | Knowledge::Watches => 0,
        };
        self.knowledge = Knowledge::None;
        self.over_since_ns = None;
        self.is_heard = true;
        self.stored = None;
        self.told = None;
        self.asked_ns = None;
    }

    /// What it says cannot be: it is asked again later, and nothing that it says counts until then.
    pub(crate) fn doubt(&mut self, next_ns: u64) {
        self.knowledge = Knowledge::Unasked;
        self.over_since_ns = None;
        self.stored = None;
        self.told = None;
        self.asked_ns = None;
        self.next_ns = next_ns;
    }

    /// Whether it has said anything of the channel since the start.
    pub(crate) fn is_heard(&self) -> bool {
        self.is_heard
    }

    /// Whether it knew the channel when it was first asked after the start.
    pub(crate) fn vouches(&self) -> bool {
        self.vouches
    }

    /// It says that the channel is over, or that it is not.
    pub(crate) fn says_over(&mut self, is_over: bool, uptime_ns: u64) {
        self.over_since_ns = is_over.then(|| self.over_since_ns.unwrap_or(uptime_ns));
        if !is_over {
            self.denied_ns = Some(uptime_ns);
        }
    }

    /// Since when it says that the channel is over, if it does.
    pub(crate) fn over_since_ns(&self) -> Option<u64> {
        self.over_since_ns
    }

    /// When it said last that the channel is not over, if it has.
    pub(crate) fn denied_ns(&self) -> Option<u64> {
        self.denied_ns
    }

    /// It has said no, or is to be asked at another time.
    pub(crate) fn ask_at(&mut self, next_ns: u64) {
        self.asked_ns = None;
        self.next_ns = next_ns;
    }

    /// Something new is to be asked.
    pub(crate) fn hurry(&mut self) {
        self.next_ns = 0;
    }

    /// When it is to be told something, at the latest.
    pub(crate) fn due_ns(&self, retry_ns: u64) -> u64 {
        match self.asked_ns {
            Some(asked) => asked.saturating_add(retry_ns),
            None => self.next_ns,
        }
    }

    /// What to tell the watcher now, if anything.
    pub(crate) fn next_message(
        &mut self,
        machine: &Machine,
        wanted: Option<&AdjudicatorCall>,
        uptime_ns: u64,
        retry_ns: u64,
    ) -> Option<RemoteMessage> {
        let newest = machine.newest()?;
        let is_due = uptime_ns >= self.due_ns(retry_ns);
        let is_behind = self.stored < Some(newest.version());
        let is_untold = self.told < Some(newest.version());
        let is_new = self.asked_ns.is_none() && self.knowledge == Knowledge::Watches && is_untold;
        if !is_due && !is_new {
            return None;
        }
        self.asked_ns = Some(uptime_ns);
        self.told = Some(newest.version());
        let newer = || is_behind.then(|| UnverifiedSignedState::from(newest.clone()));
        Some(match (self.knowledge, wanted) {
            (Knowledge::None, _) => introduction(machine, newest),
            (Knowledge::Watches, Some(AdjudicatorCall::Dispute(_))) => {
                RemoteMessage::ForceClose(Box::new(ForceClose {
                    channel: machine.id(),
                    part: machine.setup().part,
                    newest: newer(),
                }))
            }
            (Knowledge::Watches, _) => watch(machine, newest, newer()),
            (Knowledge::Unasked, _) => watch(machine, newest, None),
        })
    }
}

/// The first message about a channel.
pub(crate) fn introduction(machine: &Machine, newest: &SignedState) -> RemoteMessage {
    let auths: Vec<_> = machine.withdrawal_auths();
    RemoteMessage::Watch(Box::new(Watch {
        channel: machine.id(),
        part: machine.setup().part,
        params: Some(machine.params().clone()),
        auths: auths.iter().map(SignedReceiver::of).collect(),
        newest: Some(newest.clone().into()),
        knows: Some(newest.version()),
    }))
}

/// A later one, with the newest state if the watcher is to store it.
pub(crate) fn watch(
    machine: &Machine,
    newest: &SignedState,
    newer: Option<UnverifiedSignedState>,
) -> RemoteMessage {
    RemoteMessage::Watch(Box::new(Watch {
        channel: machine.id(),
        part: machine.setup().part,
        params: None,
        auths: Vec::new(),
        newest: newer,
        knows: Some(newest.version()),
    }))
}

/// Asks for our deposit. `None` once there is a later state: then it is not needed.
pub(crate) fn fund(machine: &Machine) -> Option<RemoteMessage> {
    let initial = machine.newest()?;
    let is_initial = initial.version() == Version::INITIAL;
    is_initial.then(|| {
        RemoteMessage::Fund(Box::new(Fund {
            channel: machine.id(),
            part: machine.setup().part,
            params: machine.params().clone(),
            initial: initial.clone().into(),
            fund_by: machine.setup().fund_by,
        }))
    })
}
