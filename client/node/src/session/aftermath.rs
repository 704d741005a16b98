//! What became of calls that were interrupted.

use std::time::Duration;

use perun_client::channel::Channel;
use tokio::time::Instant;

use super::Session;
use super::failure::GRACE;
use crate::Error;
use crate::api::pb::PayChInfo;

impl Session {
    /// A channel that was opened with this mark.
    pub fn opened_with(&self, mark: &[u8; 32]) -> Option<PayChInfo> {
        let channels = self.client.channels().into_iter();
        let mut with_mark = channels.filter(|channel| channel.params().aux() == *mark);
        let channel = with_mark.find(Channel::is_open)?;
        Some(self.info(&channel))
    }

    /// The channel through which we have paid something with this memo, as far as that is recorded.
    pub fn paid_with(&self, memo: &[u8; 32]) -> Option<PayChInfo> {
        let channel = self.history.paid_with(memo)?;
        // What is left of a channel that is over is its name.
        let info = self.channel_info(&channel);
        Some(info.unwrap_or_else(|_| PayChInfo {
            ch_id: channel,
            ..PayChInfo::default()
        }))
    }

    /// The one of these channels through which we have paid something with this memo. Waits until
    /// everything that was proposed is decided, since it could be among that.
    ///
    /// # Errors
    /// [`Error::FailedPrecondition`] if that is not known yet.
    pub async fn find_paid(
        &self,
        channels: &[Channel],
        memo: &[u8; 32],
    ) -> Result<Option<PayChInfo>, Error> {
        let by = Instant::now() + self.times.response + GRACE;
        for channel in channels {
            // A channel that is not open takes no payments, and decides none.
            while channel.is_open() && (channel.has_pending() || !channel.is_current()) {
                if Instant::now() >= by {
                    let alias = self.alias(&channel.peer());
                    return Err(Error::FailedPrecondition {
                        message: format!(
                            "what became of the first call is not known before {alias} has answered; \
                             make the same call again later"
                        ),
                    });
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if has_paid(channel, memo)? {
                return Ok(Some(self.info(channel)));
            }
        }
        // Channels that are over meanwhile are in the history.
        self.history.flush().await?;
        Ok(self.paid_with(memo))
    }

    /// The channels with a peer that are not over.
    pub fn channels_with(&self, peer: &perun_protocol::PublicKey) -> Vec<Channel> {
        let channels = self.client.channels().into_iter();
        channels.filter(|channel| channel.peer() == *peer).collect()
    }
}

/// Whether we have paid something with this memo through a channel, and both have agreed.
fn has_paid(channel: &Channel, memo: &[u8; 32]) -> Result<bool, Error> {
    let history = channel.history().map_err(Error::internal)?;
    let ours = history
        .entries
        .iter()
        .filter(|entry| entry.payer == channel.part());
    let mut payments = ours.flat_map(|entry| entry.payments.iter());
    Ok(payments.any(|payment| payment.memo == Some(*memo)))
}
