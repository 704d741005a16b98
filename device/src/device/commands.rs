//! What the owner does with channels: paying, asking, closing.

use embedded_storage::nor_flash::NorFlash;
use perun_protocol::payment::Payment;
use perun_protocol::wire::{PaymentRequest, Reason, RejectCode, RequestId, Text};
use perun_protocol::{Amount, AssetId, AssetIdx, ChannelId, PublicKey, Timestamp};

use super::Device;
use crate::policy::Given;
use crate::{Approval, Clock, CommandError, Random};

impl<F: NorFlash, R: Random, C: Clock> Device<F, R, C> {
    /// Pays the peer of a channel. The payment's number, counted from 1 since the start, is in the
    /// event that tells what became of it.
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed then. If the error is up to the owner
    /// ([`CommandError::is_up_to_owner`]), the same with his approval may go.
    pub fn pay(
        &mut self,
        channel: &ChannelId,
        payment: &Payment,
        approval: Approval,
    ) -> Result<u64, CommandError> {
        let now = self.time_for_command()?;
        self.charge_queued();
        let Payment { asset, amount, .. } = *payment;
        let driver = self.driver(channel).ok_or(CommandError::UnknownChannel)?;
        let peer = driver.peer;
        let assets = driver.machine.params().assets();
        let id = assets.get(asset.index()).copied();
        let id = id.ok_or(CommandError::Channel(
            perun_protocol::channel::CommandError::UnknownAsset { asset },
        ))?;
        let given = self.given(id, &peer, now);
        let policy = &self.settings.policy;
        policy.check_payment(id, amount, given, approval)?;
        let period_ns = policy.period_ns;
        let driver = self.driver(channel).ok_or(CommandError::UnknownChannel)?;
        // Before the machine takes it: what it proposes is stored with what is given by then.
        let before = driver.spending.clone();
        driver.spending.give(now, period_ns, asset, amount);
        let paid = driver.machine.pay(now, payment);
        if paid.is_err() {
            driver.spending = before;
        }
        self.settle();
        paid.map_err(CommandError::Pay)
    }

    /// A device whose flash has failed takes no commands.
    pub(super) fn check_alive(&self) -> Result<(), CommandError> {
        match self.has_stopped {
            true => Err(CommandError::Stopped),
            false => Ok(()),
        }
    }

    /// The time, which what moves money needs.
    pub(super) fn time_for_command(&mut self) -> Result<Timestamp, CommandError> {
        self.check_alive()?;
        self.chain_time().ok_or(CommandError::TimeUnknown)
    }

    /// What still waits is signed in the present period, whenever it was ordered.
    pub(super) fn charge_queued(&mut self) {
        let Some(now) = self.chain_time() else {
            return;
        };
        let period_ns = self.settings.policy.period_ns;
        for driver in &mut self.drivers {
            for index in 0..driver.machine.params().assets().len() {
                let asset = AssetIdx::new(index as u8);
                let queued = driver.machine.queued(asset);
                let given = driver.spending.given(now, period_ns, asset);
                if given < queued {
                    let more = queued.checked_sub(given).unwrap_or_default();
                    driver.spending.give(now, period_ns, asset, more);
                }
            }
        }
    }

    /// What was given away of an asset in the present period. What was refused counts, too: the peer
    /// could still enforce it.
    fn given(&self, asset: AssetId, peer: &PublicKey, now: Timestamp) -> Given {
        let period_ns = self.settings.policy.period_ns;
        let mut given = Given::default();
        let mut count = |amount: Amount, is_peer: bool| {
            let add = |sum: Amount| sum.checked_add(amount).unwrap_or(Amount::MAX);
            given.to_all = add(given.to_all);
            if is_peer {
                given.to_peer = add(given.to_peer);
            }
        };
        for driver in &self.drivers {
            if let Some(index) = driver.machine.params().asset_idx(&asset) {
                let amount = driver.spending.given(now, period_ns, index);
                count(amount, driver.peer == *peer);
            }
        }
        for carried in &self.carried {
            if let Some((amount, is_peer)) = carried.given(now, period_ns, asset, peer) {
                count(amount, is_peer);
            }
        }
        given
    }

    /// Gives up own payments that wait and are not proposed yet.
    ///
    /// # Errors
    /// [`CommandError::UnknownChannel`].
    pub fn cancel_queued(&mut self, channel: &ChannelId) -> Result<(), CommandError> {
        let driver = self.driver(channel).ok_or(CommandError::UnknownChannel)?;
        driver.machine.cancel_queued();
        self.settle();
        Ok(())
    }

    /// Asks the peer of a channel to pay. It binds nobody.
    ///
    /// # Errors
    /// [`CommandError`]; nothing was sent then.
    pub fn request(
        &mut self,
        channel: &ChannelId,
        asset: AssetIdx,
        amount: Amount,
        memo: &str,
        expires_at: Timestamp,
    ) -> Result<RequestId, CommandError> {
        self.check_alive()?;
        let id = self.requests_so_far;
        let driver = self.driver(channel).ok_or(CommandError::UnknownChannel)?;
        let requested = driver.machine.request(PaymentRequest {
            channel: *channel,
            id,
            asset,
            amount,
            memo: Text::new(memo),
            expires_at,
        });
        requested.map_err(CommandError::Channel)?;
        self.requests_so_far = self.requests_so_far.wrapping_add(1);
        self.settle();
        Ok(id)
    }

    /// Tells the peer that what it has asked for will not be paid.
    ///
    /// # Errors
    /// [`CommandError::UnknownChannel`].
    pub fn reject_request(
        &mut self,
        channel: &ChannelId,
        request: RequestId,
        text: &str,
    ) -> Result<(), CommandError> {
        self.check_alive()?;
        let driver = self.driver(channel).ok_or(CommandError::UnknownChannel)?;
        let reason = Reason::new(RejectCode::Declined, text);
        driver.machine.reject_request(request, reason);
        self.settle();
        Ok(())
    }

    /// Closes a channel: a final state, and payouts. If the peer does not agree in time, the newest
    /// state is registered instead.
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed then.
    pub fn close(&mut self, channel: &ChannelId) -> Result<(), CommandError> {
        let now = self.time_for_command()?;
        let by = now.saturating_add_nanos(self.settings.times.close_within_ns);
        let driver = self.driver(channel).ok_or(CommandError::UnknownChannel)?;
        let closed = driver.machine.close(now, by);
        self.settle();
        closed.map_err(CommandError::Channel)
    }

    /// Has the newest state registered without asking the peer. Payouts follow when the challenge
    /// duration is over.
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed then.
    pub fn force_close(&mut self, channel: &ChannelId) -> Result<(), CommandError> {
        self.check_alive()?;
        let now = self.now();
        let driver = self.driver(channel).ok_or(CommandError::UnknownChannel)?;
        let forced = driver.machine.force_close(now);
        self.settle();
        forced.map_err(CommandError::Channel)
    }
}
