//! Funding for devices: the request, the payment, and the end of a loan.

use std::sync::Arc;
use std::time::Duration;

use perun_protocol::remote::{Fund, Funded, RemoteCode, RemoteMessage};
use perun_protocol::view::{Status, View};
use perun_protocol::{PublicKey, Timestamp, Version};
use tokio::time::{sleep, timeout};

use super::loans::{Loan, PERIOD_NS, Stage};
use super::order::Place;
use super::requests::{Refused, verify_state};
use super::{Shared, lock};
use crate::chain::{Performed, Retry};
use crate::{CallError, CheckError, Door};

/// The pause after the first attempt that failed; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// No look at a loan takes longer: others wait for it.
const LONGEST_REVIEW: Duration = Duration::from_secs(60);

/// Money would be set aside for as long as a device likes.
const TOO_EARLY: Refused = (
    RemoteCode::BadRequest,
    "the time to deposit ends within a day",
);

impl Shared {
    pub(super) fn handle_fund(
        self: &Arc<Self>,
        peer: &PublicKey,
        place: Place,
        request: Fund,
    ) -> Result<(), Refused> {
        self.admit(peer)?;
        self.check_place(peer, place, &request.params)?;
        let initial = verify_state(request.initial, &request.params)?;
        if initial.version() != Version::INITIAL {
            return Err((RemoteCode::BadRequest, "version 0 is needed"));
        }
        let now = self.now();
        let loan = Loan {
            params: request.params,
            part: place.part,
            initial,
            fund_by: request.fund_by,
            lent_at: now,
            stage: Stage::Paying,
            is_touched: false,
            looked_at: Timestamp::default(),
        };
        if loan.shares().next().is_none() {
            self.tell_funded(peer, place);
            return Ok(());
        }
        let can_store = self.records.check();
        let is_late = now >= loan.fund_by;
        let is_early = loan.fund_by > now.saturating_add_nanos(PERIOD_NS);
        let mut loans = lock(&self.loans);
        let has_room = loans.has_room(peer, &loan, &self.config);
        let is_new = match loans.of_mut(place) {
            Some(held) if held.stage == Stage::Paid => {
                drop(loans);
                self.tell_funded(peer, place);
                return Ok(());
            }
            Some(held) if held.stage == Stage::Over => return Err((RemoteCode::TooLate, "")),
            _ if can_store.is_err() => return can_store,
            _ if is_late => return Err((RemoteCode::TooLate, "")),
            _ if is_early => return Err(TOO_EARLY),
            Some(held) => {
                held.fund_by = held.fund_by.max(loan.fund_by);
                if held.stage == Stage::Paying {
                    // It is answered when it is done.
                    return Ok(());
                }
                // What failed keeps its place and its amount: some of it may be paid.
                held.stage = Stage::Paying;
                held.lent_at = now;
                false
            }
            None if has_room => {
                loans.insert(loan);
                true
            }
            None => return Err((RemoteCode::LimitReached, "")),
        };
        drop(loans);
        self.spawn(Arc::clone(self).lend(place, is_new));
        Ok(())
    }

    /// Checks and stores a loan, and pays it. Of one that is not new, some may be paid already.
    pub(super) async fn lend(self: Arc<Self>, place: Place, is_new: bool) {
        let Some(loan) = lock(&self.loans).of(place).cloned() else {
            return;
        };
        let give_up = |code, text: &str| match is_new {
            true => self.decline(&loan, code, text),
            false => self.fail(&loan, code, text),
        };
        match self.chain.adjudicator().check(&loan.params).await {
            Ok(_) => {}
            Err(error) => {
                let code = match &error {
                    CheckError::Unsuitable(_) => RemoteCode::BadRequest,
                    CheckError::Call(_) => RemoteCode::AdjudicatorUnreachable,
                };
                return give_up(code, &error.to_string());
            }
        }
        let ticket = self.records.put(place.name(Place::LOAN), loan.encode());
        if self.records.durable(ticket).await.is_err() {
            return give_up(RemoteCode::NotStored, "");
        }
        self.pay(&loan).await;
    }

    /// Pays a loan that is durable, for as long as it takes and makes sense.
    async fn pay(&self, loan: &Loan) {
        let place = loan.place();
        let mut pause = FIRST_PAUSE;
        loop {
            // There may be more time by now.
            let fund_by = lock(&self.loans).of(place).map(|loan| loan.fund_by);
            if self.now() >= fund_by.unwrap_or(loan.fund_by) {
                return self.fail(loan, RemoteCode::TooLate, "the time to deposit is over");
            }
            let funding = loan.initial.state().funding();
            let door = self.config.door;
            let paid = self.chain.fund(&loan.params, loan.part, funding, door);
            let error = match paid.await {
                Ok(Performed::Moot(_)) => {
                    return self.fail(loan, RemoteCode::TooLate, "the channel is being settled");
                }
                Ok(Performed::Done | Performed::Kept(_)) => break,
                Err(error) => error,
            };
            tracing::warn!("channel {:.8}: {error}", place.channel);
            if matches!(error.retry(), Retry::Slowly | Retry::Never) {
                return self.fail(loan, RemoteCode::FundingFailed, &error.to_string());
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
    fn fail(&self, loan: &Loan, code: RemoteCode, text: &str) {
        let place = loan.place();
        self.set_stage(place, Stage::Failed);
        if let Some(device) = loan.device() {
            self.reject(&device, place, Fund::KIND, code, text);
        }
    }

    /// How far a loan is now. Whether it is over is to be seen.
    fn set_stage(&self, place: Place, stage: Stage) {
        let mut loans = lock(&self.loans);
        if let Some(loan) = loans.of_mut(place) {
            loan.stage = stage;
            loan.is_touched = true;
            // If this is lost, what was paid is found when it is paid again.
            self.records
                .put_later(place.name(Place::LOAN), loan.encode());
        }
        self.reviews.notify_one();
    }

    /// Looks whether loans are over, one after the other, for ever.
    pub(super) async fn review_all(self: Arc<Self>) {
        loop {
            self.reviews.notified().await;
            let due = lock(&self.loans).take_due();
            for loan in due {
                self.review(loan).await;
            }
        }
    }

    async fn review(&self, loan: Loan) {
        let place = loan.place();
        let seen = timeout(LONGEST_REVIEW, self.look_at(&loan)).await;
        let seen = seen.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let mut loans = lock(&self.loans);
        let Some(now) = loans.of_mut(place) else {
            return;
        };
        match seen.map(|view| (ending(&loan, &view), view.at)) {
            // It may have been asked for again meanwhile.
            Ok((Some(ending), _)) if now.stage == loan.stage => {
                tracing::info!("channel {:.8}: the loan is over", place.channel);
                let name = place.name(Place::LOAN);
                match ending {
                    Ending::Unpaid => {
                        loans.remove(place);
                        self.records.delete(name);
                    }
                    Ending::Concluded => {
                        now.stage = Stage::Over;
                        self.records.put_later(name, now.encode());
                    }
                }
            }
            Ok((_, at)) => now.looked_at = at,
            Err(reason) => {
                tracing::debug!("channel {:.8} is not seen: {reason}", place.channel);
                now.is_touched = true;
            }
        }
    }

    async fn look_at(&self, loan: &Loan) -> Result<View, String> {
        if loan.stage == Stage::Failed && self.config.door == Door::DepositAccount {
            self.sweep(loan).await?;
        }
        let view = self.chain.look(&loan.params).await;
        view.map_err(|error| error.to_string())
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

/// How a loan ends.
enum Ending {
    /// The channel is concluded.
    Concluded,
    /// Nothing of a deposit that failed can have arrived.
    Unpaid,
}

/// How a loan has ended, if it has.
fn ending(loan: &Loan, view: &View) -> Option<Ending> {
    match &view.status {
        Status::Concluded { .. } => Some(Ending::Concluded),
        Status::Open { holdings } => {
            let mut ours = holdings.rows().map(|row| row[loan.part.index()]);
            let is_late = view.at >= loan.grace_over();
            let is_unpaid =
                loan.stage == Stage::Failed && is_late && ours.all(|held| held.is_zero());
            is_unpaid.then_some(Ending::Unpaid)
        }
        Status::Registered { .. } => None,
    }
}
