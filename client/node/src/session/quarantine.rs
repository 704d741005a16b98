//! A session restored from a backup: what it knows may be old, and an old state costs money if it is
//! registered.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Session, channel_text};
use crate::Error;
use crate::backup::RESTORED;

/// Whether a session was restored, and where that is written.
pub(super) struct Quarantine {
    marker: PathBuf,
    holds: AtomicBool,
}

impl Quarantine {
    /// That of the session in this folder.
    pub(super) fn of(folder: &std::path::Path) -> Self {
        let marker = folder.join(RESTORED);
        Self {
            holds: AtomicBool::new(marker.exists()),
            marker,
        }
    }

    fn holds(&self) -> bool {
        self.holds.load(Ordering::Relaxed)
    }
}

impl Session {
    /// Whether the session was restored from a backup and not all of its channels are confirmed by their
    /// peers.
    pub fn is_quarantined(&self) -> bool {
        self.quarantine.holds()
    }

    /// Once every peer has shown how far its channel is, nothing here is old any more.
    pub(super) fn review_quarantine(&self) {
        if !self.quarantine.holds() {
            return;
        }
        let channels = self.client.channels();
        if channels.iter().all(|channel| channel.is_current()) {
            match std::fs::remove_file(&self.quarantine.marker) {
                Ok(()) => {
                    self.quarantine.holds.store(false, Ordering::Relaxed);
                    tracing::info!(session = %self.name, "all channels are confirmed after the restore")
                }
                Err(error) => {
                    tracing::warn!(session = %self.name, "the marker of the restore stays: {error}")
                }
            }
        }
    }

    /// A state of a restored session is registered only if the peer has confirmed it, or by its owner's
    /// word that nothing newer is left.
    pub(super) fn check_quarantine(
        &self,
        channel: &perun_client::channel::Channel,
        accepts_old_copy: bool,
    ) -> Result<(), Error> {
        if accepts_old_copy || channel.is_current() || !self.quarantine.holds() {
            return Ok(());
        }
        Err(Error::FailedPrecondition {
            message: format!(
                "this session was restored from a backup, and the peer of channel {} has not confirmed its \
                 newest state yet: registering an older one can cost all of it. Wait for the peer, or say \
                 that you accept that (accept_old_copy)",
                channel_text(&channel.id())
            ),
        })
    }
}
