//! Closing channels.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Session;
use super::failure::GRACE;
use super::info::parse_channel;
use crate::Error;
use crate::api::pb::PayChInfo;

impl Session {
    /// Closes a channel together with the peer, or without it if it does not agree, and answers when
    /// everything of ours is paid out. One that is closed already is answered at once.
    ///
    /// # Errors
    /// As perun-node's `ClosePayCh`.
    pub async fn close_channel(self: &Arc<Self>, channel: &str) -> Result<PayChInfo, Error> {
        self.close(channel, false).await
    }

    /// Registers the newest state without asking the peer, and answers when everything of ours is paid
    /// out, which takes the challenge duration.
    ///
    /// # Errors
    /// As [`Session::close_channel`].
    pub async fn force_close_channel(
        self: &Arc<Self>,
        channel: &str,
        accepts_old_copy: bool,
    ) -> Result<PayChInfo, Error> {
        if let Ok(channel) = self.channel(channel) {
            self.check_quarantine(&channel, accepts_old_copy)?;
        }
        self.close(channel, true).await
    }

    async fn close(self: &Arc<Self>, text: &str, by_force: bool) -> Result<PayChInfo, Error> {
        let closed = parse_channel(text).and_then(|id| self.closed_info(&id));
        if let Some(info) = closed {
            return Ok(info);
        }
        let channel = self.channel(text)?;
        let desk = self.desk_of(&channel);
        let alias = self.alias(&channel.peer());
        let challenge = Duration::from_secs(channel.params().challenge_duration().secs().into());
        let budget = 3 * self.times.on_chain_tx + 2 * challenge + GRACE;
        let closing = channel.clone();
        let closing = self.carry_on(async move {
            match by_force {
                true => closing.force_close().await,
                false => closing.close().await,
            }
        });
        match timeout(budget, closing).await {
            Ok(Ok(_)) => {
                // Whoever asks next is told that it is closed: that is handled a moment later.
                let mut progress = desk.progress.subscribe();
                let _ = timeout(GRACE, progress.wait_for(|progress| progress.is_over)).await;
                Ok(self.info(&channel))
            }
            Ok(Err(error)) => Err(self.not_closed(&alias, error)),
            Err(_) => Err(Error::TxTimedOut {
                kind: "withdraw",
                id: text.to_owned(),
                timeout: budget,
            }),
        }
    }
}
