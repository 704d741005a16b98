//! Funding for devices: the request, the payment, and the end of a loan.

use std::sync::Arc;
use std::time::Duration;

use perun_protocol::remote::{Fund, Funded, RemoteCode, RemoteMessage};
use perun_protocol::view::Status;
use perun_protocol::{PublicKey, Version};
use tokio::time::sleep;

use super::loans::{Loan, Stage};
use super::order::Place;
use super::requests::{Refused, check_place, verify_state};
use super::{Shared, lock};
use crate::chain::{Performed, Retry};
use crate::{CallError, CheckError, Door};

/// The pause after the first attempt that failed; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

impl Shared {
    pub(super) fn handle_fund(
        self: &Arc<Self>,
        peer: &PublicKey,
        place: Place,
        request: Fund,
    ) -> Result<(), Refused> {
        self.admit(peer)?;
        check_place(peer, place, &request.params)?;
        let initial = verify_state(request.initial, &request.params)?;
        if initial.version() != Version::INITIAL {
            return Err((RemoteCode::BadRequest, "version 0 is needed"));
        }
        let loan = Loan {
            params: request.params,
            part: place.part,
            initial,
            fund_by: request.fund_by,
            stage: Stage::Paying,
            is_touched: false,
        };
        if loan.shares().next().is_none() {
            self.tell_funded(peer, place);
            return Ok(());
        }
        let mut loans = lock(&self.loans);
        match loans.of_mut(place).map(|loan| loan.stage) {
            Some(Stage::Paid) => {
                drop(loans);
                self.tell_funded(peer, place);
                return Ok(());
            }
            // It is answered when it is done.
            Some(Stage::Paying) => return Ok(()),
            Some(Stage::Failed) | None => {}
        }
        if self.now() >= loan.fund_by {
            return Err((RemoteCode::TooLate, ""));
        }
        // What failed keeps its place, and its amounts are the same: they follow from the channel
        // and from version 0, of which there is only one that the device has signed.
        if loans.remove(place).is_none() && !loans.has_room(peer, &loan, &self.config.limits) {
            return Err((RemoteCode::LimitReached, ""));
        }
        loans.insert(loan.clone());
        drop(loans);
        self.spawn(Arc::clone(self).lend(loan));
        Ok(())
    }

    /// Checks and stores a loan, and pays it.
    async fn lend(self: Arc<Self>, loan: Loan) {
        let place = loan.place();
        match self.chain.adjudicator().check(&loan.params).await {
            Ok(_) => {}
            Err(error) => {
                let code = match &error {
                    CheckError::Unsuitable(_) => RemoteCode::BadRequest,
                    CheckError::Call(_) => RemoteCode::AdjudicatorUnreachable,
                };
                return self.decline(&loan, code, &error.to_string());
            }
        }
        let ticket = self.records.put(place.name(Place::LOAN), loan.encode());
        if self.records.durable(ticket).await.is_err() {
            return self.decline(&loan, RemoteCode::NotStored, "");
        }
        self.pay(loan).await;
    }

    /// Pays a loan that is durable, for as long as it takes and makes sense.
    pub(super) async fn pay(self: Arc<Self>, loan: Loan) {
        let place = loan.place();
        let mut pause = FIRST_PAUSE;
        loop {
            if self.now() >= loan.fund_by {
                return self.fail(&loan, RemoteCode::TooLate, "the time to deposit is over");
            }
            let funding = loan.initial.state().funding();
            let door = self.config.door;
            let paid = self.chain.fund(&loan.params, loan.part, funding, door);
            let error = match paid.await {
                Ok(Performed::Moot(_)) => {
                    return self.fail(&loan, RemoteCode::TooLate, "the channel is being settled");
                }
                Ok(Performed::Done | Performed::Kept(_)) => break,
                Err(error) => error,
            };
            tracing::warn!("channel {:.8}: {error}", place.channel);
            if matches!(error.retry(), Retry::Slowly | Retry::Never) {
                return self.fail(&loan, RemoteCode::FundingFailed, &error.to_string());
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        tracing::info!("channel {:.8} is funded for a device", place.channel);
        self.set_stage(place, Stage::Paid);
        if let Some(device) = loan.device() {
            self.tell_funded(&device, place);
        }
    }

    /// A loan for which no money has moved.
    fn decline(&self, loan: &Loan, code: RemoteCode, text: &str) {
        let place = loan.place();
        lock(&self.loans).remove(place);
        self.records.delete(place.name(Place::LOAN));
        if let Some(device) = loan.device() {
            self.reject(&device, place, Fund::KIND, code, text);
        }
    }

    /// A loan of which some money may have moved.
    fn fail(self: &Arc<Self>, loan: &Loan, code: RemoteCode, text: &str) {
        let place = loan.place();
        self.set_stage(place, Stage::Failed);
        if let Some(device) = loan.device() {
            self.reject(&device, place, Fund::KIND, code, text);
        }
        let service = Arc::clone(self);
        self.spawn(async move { service.review(place).await });
    }

    fn set_stage(&self, place: Place, stage: Stage) {
        let mut loans = lock(&self.loans);
        if let Some(loan) = loans.of_mut(place) {
            loan.stage = stage;
            loan.is_touched = true;
            // If this is lost, what was paid is found when it is paid again.
            self.records
                .put_later(place.name(Place::LOAN), loan.encode());
        }
    }

    /// Looks whether a loan is over.
    pub(super) async fn review(self: &Arc<Self>, place: Place) {
        let loan = {
            let mut loans = lock(&self.loans);
            let Some(loan) = loans.of_mut(place) else {
                return;
            };
            loan.is_touched = false;
            loan.clone()
        };
        let is_over = self.is_over(&loan).await;
        let mut loans = lock(&self.loans);
        let Some(now) = loans.of_mut(place) else {
            return;
        };
        match is_over {
            // It may have been asked for again meanwhile.
            Ok(true) if now.stage == loan.stage => {
                loans.remove(place);
                self.records.delete(place.name(Place::LOAN));
                tracing::info!("channel {:.8}: the loan is over", place.channel);
            }
            Ok(_) => {}
            Err(reason) => {
                tracing::debug!("channel {:.8} is not seen: {reason}", place.channel);
                now.is_touched = true;
            }
        }
    }

    async fn is_over(&self, loan: &Loan) -> Result<bool, String> {
        if loan.stage == Stage::Failed && self.config.door == Door::DepositAccount {
            self.sweep(loan).await?;
        }
        let view = self.chain.look(&loan.params).await;
        let view = view.map_err(|error| error.to_string())?;
        Ok(match view.status {
            Status::Concluded { .. } => true,
            Status::Open { holdings } => {
                let ours = holdings.rows().map(|row| row[loan.part.index()]);
                let is_nothing = ours.into_iter().all(|held| held.is_zero());
                is_nothing && loan.stage == Stage::Failed && view.at >= loan.grace_over()
            }
            Status::Registered { .. } => false,
        })
    }

    /// What got as far as the deposit account and no further goes into the channel, where it is paid
    /// back with the rest.
    async fn sweep(&self, loan: &Loan) -> Result<(), String> {
        for (asset, _) in loan.shares() {
            let adjudicator = self.chain.adjudicator();
            match adjudicator.sweep(&loan.params, loan.part, asset).await {
                // Mostly, that there is nothing.
                Ok(_) | Err(CallError::Refused(_)) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    fn tell_funded(&self, device: &PublicKey, place: Place) {
        let (channel, part) = (place.channel, place.part);
        let funded = RemoteMessage::Funded(Funded { channel, part });
        self.send(device, &funded);
    }
}
