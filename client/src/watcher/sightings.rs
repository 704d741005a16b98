//! What owners are told of their channels.

use perun_protocol::dispute::Rank;
use perun_protocol::view::{Status, View};
use perun_protocol::{SignedState, Timestamp};
use tokio::sync::watch;

use super::Watched;

/// What was seen of a channel at the adjudicator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Sighting {
    /// Something is registered.
    Registered {
        /// How new it is.
        rank: Rank,
        /// The state, unless it is a refund claim.
        signed: Option<SignedState>,
        /// Until when it can be refuted.
        timeout: Timestamp,
    },
    /// Payouts are fixed.
    Concluded {
        /// The newest state that was held then.
        newest: SignedState,
    },
}

/// What is seen of a channel, from the last sighting on. Who is slow misses none but those that others
/// have taken the place of.
#[derive(Clone, Debug)]
pub struct Sightings {
    receiver: watch::Receiver<Option<Sighting>>,
    is_first: bool,
}

impl Watched {
    /// Tells what a look has seen; `true` if that is a claim that was not seen before.
    pub(super) fn tell(&self, view: &View, newest: &SignedState) -> bool {
        let sighting = match &view.status {
            Status::Open { .. } => return false,
            Status::Registered {
                rank,
                signed,
                timeout,
                ..
            } => Sighting::Registered {
                rank: *rank,
                signed: signed.clone(),
                timeout: *timeout,
            },
            Status::Concluded { .. } => Sighting::Concluded {
                newest: newest.clone(),
            },
        };
        let is_claim = matches!(sighting, Sighting::Registered { .. });
        let is_told = self.seen.send_if_modified(|seen| {
            let is_news = seen.as_ref() != Some(&sighting);
            if is_news {
                *seen = Some(sighting);
            }
            is_news
        });
        is_claim && is_told
    }

    pub(super) fn sightings(&self) -> Sightings {
        Sightings {
            receiver: self.seen.subscribe(),
            is_first: true,
        }
    }
}

impl Sightings {
    /// The next sighting; `None` if there will be none: the channel is over, or not watched any more.
    /// It can be dropped and called again.
    pub async fn next(&mut self) -> Option<Sighting> {
        loop {
            let is_news =
                std::mem::take(&mut self.is_first) || self.receiver.changed().await.is_ok();
            if !is_news {
                return None;
            }
            let sighting = self.receiver.borrow_and_update().clone();
            if sighting.is_some() {
                return sighting;
            }
        }
    }
}
