//! What became of calls that were interrupted.

use std::time::Duration;

use perun_client::channel::{Channel, CloseError};
use perun_client::client::Client;
use perun_protocol::ChannelId;
use tokio::time::Instant;

use super::Session;
use super::failure::GRACE;
use super::info::channel_text;
use super::update_notices::requested_in;
use crate::Error;
use crate::api::pb::PayChInfo;

impl Session {
    /// A channel that was opened with this mark. Waits for one that is being opened.
    ///
    /// # Errors
    /// [`Error::TxTimedOut`] if it is not known in time whether it will be open.
    pub async fn opened_with(&self, mark: &[u8; 32]) -> Result<Option<PayChInfo>, Error> {
        for channel in self.client.channels() {
            if channel.params().aux() != *mark {
                continue;
            }
            let challenge = channel.params().challenge_duration().secs().into();
            let timeout = self.times.opening(Duration::from_secs(challenge));
            let Ok(opened) = tokio::time::timeout(timeout, channel.opened()).await else {
                let id = channel_text(&channel.id());
                return Err(Error::TxTimedOut {
                    kind: "fund",
                    id,
                    timeout,
                });
            };
            match opened {
                // Whether it is still open or on its way out: it is the channel of this call.
                Ok(()) | Err(CloseError::NotTaken(_)) => return Ok(Some(self.info(&channel))),
                Err(CloseError::Abandoned(_)) => {}
                Err(_) => return Err(Error::Stopped),
            }
        }
        let (client, mark) = (self.client.clone(), *mark);
        let looking = move || ended_with(&client, &mark).map_err(Error::internal);
        let ended = tokio::task::spawn_blocking(looking).await;
        let ended = ended.map_err(Error::internal)??;
        Ok(ended.map(|id| self.info_of_ended(channel_text(&id))))
    }

    /// What is left of a channel that is over is its name.
    fn info_of_ended(&self, id: String) -> PayChInfo {
        let info = self.channel_info(&id);
        info.unwrap_or_else(|_| PayChInfo {
            ch_id: id,
            ..PayChInfo::default()
        })
    }

    /// The channel through which we have paid something with this memo, as far as that is recorded.
    pub fn paid_with(&self, memo: &[u8; 32]) -> Option<PayChInfo> {
        let channel = self.history.paid_with(memo)?;
        Some(self.info_of_ended(channel))
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
            // What is proposed can be agreed to as long as there is a peer, also on the channel's way out.
            // Of one that is not open nothing else is to be learned from the peer.
            while channel.has_pending() || (channel.is_open() && !channel.is_current()) {
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
            let (paid_by, memo) = (channel.clone(), *memo);
            // It waits for the disk.
            let looking = tokio::task::spawn_blocking(move || has_paid(&paid_by, &memo));
            if looking.await.map_err(Error::internal)?? {
                return Ok(Some(self.info(channel)));
            }
        }
        // Channels that are over meanwhile are in the history.
        self.history.flush().await?;
        Ok(self.paid_with(memo))
    }

    /// What an interrupted answer to an update has done: it has paid what the peer asked for. `None` if the
    /// update waits for an answer still.
    ///
    /// # Errors
    /// [`Error::FailedPrecondition`] if that is not known.
    pub async fn find_answered(
        &self,
        channel: &str,
        update: &str,
    ) -> Result<Option<PayChInfo>, Error> {
        if let Some(memo) = requested_in(update) {
            let channels: Vec<_> = self.channel(channel).into_iter().collect();
            if let Some(paid) = self.find_paid(&channels, &memo).await? {
                return Ok(Some(paid));
            }
        }
        let waits = self.desk(channel).is_ok_and(|desk| desk.has(update));
        waits.then_some(None).ok_or_else(not_known)
    }

    /// What an interrupted answer to a proposal has done, as far as that can be told: nothing, if the
    /// proposal waits for an answer still.
    ///
    /// # Errors
    /// [`Error::FailedPrecondition`] if that is not known.
    pub fn find_accepted(&self, proposal: &str) -> Result<Option<PayChInfo>, Error> {
        let waits = self.has_proposal(proposal);
        waits.then_some(None).ok_or_else(not_known)
    }

    /// The channels with a peer that are not over.
    pub fn channels_with(&self, peer: &perun_protocol::PublicKey) -> Vec<Channel> {
        let channels = self.client.channels().into_iter();
        channels.filter(|channel| channel.peer() == *peer).collect()
    }
}

fn not_known() -> Error {
    Error::FailedPrecondition {
        message:
            "the first call with this key was interrupted, and what it did is not known here: the \
                  channels and their balances show it"
                .to_owned(),
    }
}

/// The channel that is over and was opened with this mark.
fn ended_with(client: &Client, mark: &[u8; 32]) -> Result<Option<ChannelId>, String> {
    const AT_ONCE: usize = 100;
    let mut after = None;
    loop {
        let ids = client.ended_ids(after.as_ref(), AT_ONCE);
        let ids = ids.map_err(|error| error.to_string())?;
        for id in &ids {
            let ended = client.ended(id).map_err(|error| error.to_string())?;
            // One that never came to be has cost nothing.
            let is_it =
                ended.is_some_and(|ended| ended.params.aux() == *mark && ended.newest.is_some());
            if is_it {
                return Ok(Some(*id));
            }
        }
        if ids.len() < AT_ONCE {
            return Ok(None);
        }
        after = ids.last().copied();
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
