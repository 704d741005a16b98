//! What is seen at the adjudicator, and what to ask of it: funding, refuting, closing, withdrawing.
//!
//! What to ask is a function of what the machine knows and what was last seen, so that a call that
//! failed, was lost, or was forgotten over a restart is simply asked for again.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use super::commitments::own_column;
use super::{AdjudicatorCall, Channel, CommandError, Event, Output, Phase};
use crate::dispute::{Rank, covered, outcome};
use crate::signature::{Signer, Verifier};
use crate::view::{Status, View};
use crate::wire::{Reason, RejectCode};
use crate::{Amount, AssetIdx, Balances, SignedState, SignedWithdrawalAuth, Timestamp};

/// A deposit that was sent before the time was over can arrive so much later (the longest life of a
/// request to the Internet Computer, and some reserve). Only then it is sure that none will.
const DEPOSIT_GRACE_NS: u64 = 6 * 60 * 1_000_000_000;

impl<S: Signer, V: Verifier> Channel<S, V> {
    /// Closes the channel: a final state with everything that is queued, and payouts. If the peer
    /// has not signed it by `by`, or refuses, the newest state is registered instead.
    ///
    /// A copy that was started and has not heard from the peer since registers nothing by itself,
    /// since it may be an old one: its owner has to order that ([`Channel::force_close`]).
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed then.
    pub fn close(&mut self, now: Timestamp, by: Timestamp) -> Result<(), CommandError> {
        match self.phase {
            Phase::Signing { .. } | Phase::Funding => return Err(CommandError::NotOpen),
            Phase::Acting => {}
            Phase::Settling | Phase::Closed => return Err(CommandError::Closing),
        }
        if by <= now {
            return Err(CommandError::TooLate { deadline: by });
        }
        self.ending.close_by = Some(by);
        self.advance(now);
        Ok(())
    }

    /// Registers the newest state without asking the peer. Payouts follow when the challenge
    /// duration is over.
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed then.
    pub fn force_close(&mut self, now: Timestamp) -> Result<(), CommandError> {
        match self.phase {
            Phase::Signing { .. } => return Err(CommandError::NotOpen),
            Phase::Closed => return Err(CommandError::Closing),
            Phase::Funding | Phase::Acting | Phase::Settling => {}
        }
        self.force();
        self.advance(now);
        Ok(())
    }

    pub(super) fn force(&mut self) {
        self.ending.close_by = None;
        self.ending.is_forced = true;
        self.refuse_everything();
        self.phase = Phase::Settling;
        self.persist();
    }

    /// There is no final state by the time that the owner has set.
    pub(super) fn give_up_closing(&mut self) {
        if self.ending.close_by.take().is_none() {
            return;
        }
        self.notify(Event::CloseRefused { reason: None });
        if self.is_current {
            self.force();
        }
    }

    /// A final state that we have signed was refused. The peer can complete it whenever it likes, and
    /// then it is concluded at once, whatever newer state there is by then: nothing may be signed in
    /// this channel any more.
    pub(super) fn end_by_dispute(&mut self, reason: Option<Reason>) {
        if matches!(self.phase, Phase::Settling | Phase::Closed) {
            return;
        }
        self.notify(Event::CloseRefused { reason });
        self.force();
    }

    /// What was seen of the channel by a look. One that tells less than the last changes nothing.
    pub fn handle_view(&mut self, now: Timestamp, view: View) {
        if matches!(self.phase, Phase::Closed | Phase::Signing { .. }) {
            return;
        }
        if self.tells_less(&view) {
            // But whatever the call before it was to bring about is not there.
            self.last_call = None;
            return self.advance(now);
        }
        self.looked_at = view.at;
        let before = self.view.replace(view.clone());
        match view.status {
            Status::Open { holdings } => self.handle_holdings(&holdings),
            Status::Registered {
                rank,
                signed,
                timeout,
                ..
            } => {
                self.handle_registered(signed);
                if self.half_time.is_none() {
                    let half_ns = timeout.nanos_since(view.at) / 2;
                    self.half_time = Some(view.at.saturating_add_nanos(half_ns));
                }
                let told = before.is_some_and(|before| is_same_registration(&before, rank));
                if !told {
                    let newest = self.current().version();
                    self.notify(Event::Disputed {
                        registered: rank,
                        newest,
                        timeout,
                    });
                }
            }
            Status::Concluded {
                remainders,
                in_flight,
            } => {
                self.begin_settling();
                self.handle_concluded(&remainders, &in_flight);
            }
        }
        self.last_call = None;
        if self.phase != Phase::Closed {
            self.answer_offered(now);
            self.use_turn(now);
            self.enter_settling_if_due(now);
            self.emit_call(now, true);
        }
    }

    /// Whether `view` is known to be older than what was seen last. How far the channel was decides
    /// before the time does: times are only known not to be later than what was seen, the channel
    /// never goes back. Looks are compared with looks: one that began before "nothing has happened
    /// until then" was told, and ended after it, can have seen what happened since.
    fn tells_less(&self, view: &View) -> bool {
        let progress = |view: &View| match &view.status {
            Status::Open { .. } => (0, None),
            Status::Registered { rank, .. } => (1, Some(*rank)),
            Status::Concluded { .. } => (2, None),
        };
        let Some(last) = &self.view else {
            return false;
        };
        let (found, known) = (progress(view), progress(last));
        found < known || (found == known && view.at < self.looked_at)
    }

    /// Nothing has happened to the channel at the adjudicator until `as_of`: if it was open when it
    /// was seen last, it was open then. (A timeout moves without anything happening, so this says
    /// nothing about a dispute.) What was known already changes nothing.
    pub fn handle_quiet(&mut self, now: Timestamp, as_of: Timestamp) {
        if let Some(View {
            at,
            status: Status::Open { .. },
        }) = &mut self.view
            && *at < as_of
        {
            *at = as_of;
            self.advance(now);
        }
    }

    /// Whether the time to deposit is over and the channel never opened: then our own deposit may
    /// have got stuck on its way.
    pub fn is_funding_overdue(&self, now: Timestamp) -> bool {
        let is_live = matches!(self.phase, Phase::Funding | Phase::Settling);
        is_live && !self.was_open && now >= self.setup.fund_by
    }

    /// Time has passed that nobody counted, as when the machine was suspended: what was seen may be
    /// older than it looks, so it counts for nothing until the channel was looked at again.
    pub fn handle_lost_time(&mut self) {
        if let Some(View {
            at,
            status: Status::Open { .. },
        }) = &mut self.view
        {
            *at = Timestamp::default();
        }
    }

    pub(super) fn clear_queue(&mut self, reason: Reason) {
        if let Some((from, through)) = self.queue.clear() {
            self.notify(Event::Refused {
                from,
                through,
                reason,
            });
        }
    }

    /// Our share of an asset is not above the ledger's fee, and will not be paid.
    pub fn handle_kept(&mut self, asset: AssetIdx) {
        if let Some(kept) = self.kept.get_mut(asset.index()) {
            *kept = true;
        }
    }

    fn handle_holdings(&mut self, holdings: &Balances) {
        if self.phase == Phase::Funding && covered(holdings, self.setup.initial.funding()).is_ok() {
            let is_ending = self.ending.is_forced || self.current().state().is_final();
            self.phase = match is_ending {
                true => Phase::Settling,
                false => Phase::Acting,
            };
            if !self.was_open {
                self.was_open = true;
                self.persist_later(None);
            }
            if !is_ending {
                self.notify(Event::Opened);
            }
        }
    }

    fn handle_registered(&mut self, signed: Option<SignedState>) {
        self.begin_settling();
        let newer = signed.filter(|signed| signed.version() > self.current().version());
        if let Some(newer) = newer {
            self.take_over(newer);
        }
    }

    fn handle_concluded(&mut self, remainders: &Balances, in_flight: &[Amount]) {
        let part = self.part();
        let ours: Vec<_> = remainders.rows().map(|row| row[part.index()]).collect();
        let is_paid = ours
            .iter()
            .zip(&self.kept)
            .all(|(left, &kept)| kept || left.is_zero());
        // What is in flight may be ours, and a remainder again.
        let is_arrived = in_flight.iter().all(|amount| amount.is_zero());
        if is_arrived {
            self.resolve_by_payout(&ours);
        }
        if is_paid && is_arrived {
            self.phase = Phase::Closed;
            self.persist();
            self.notify(Event::Closed { kept: ours });
        }
    }

    /// The payout tells whether the proposal under way was completed: the adjudicator shows a claim
    /// that is concluded at once for too short a time to be seen.
    fn resolve_by_payout(&mut self, ours: &[Amount]) {
        let Some(pending) = self.commitments.pending() else {
            return;
        };
        let is_agreed = own_column(&pending.state, self.part()) == ours;
        let reason = Reason::new(RejectCode::Disputed, "the channel ended without it");
        self.settle_payments((!is_agreed).then_some(&reason));
    }

    /// No updates any more.
    pub(super) fn begin_settling(&mut self) {
        if matches!(self.phase, Phase::Settling | Phase::Closed) {
            return;
        }
        self.ending.close_by = None;
        self.phase = Phase::Settling;
        self.refuse_everything();
        if self.current().state().is_final() {
            let version = self.current().version();
            self.notify(Event::Closing { version });
        }
    }

    /// What is queued will not be paid; what is offered will not be accepted.
    fn refuse_everything(&mut self) {
        let reason = Reason::new(RejectCode::Disputed, "the channel is on its way out");
        self.refuse_offered(&reason);
        self.clear_queue(reason);
    }

    /// Reclaims the deposits of a channel that was not funded in time, or forgets it if there are
    /// none.
    pub(super) fn enter_settling_if_due(&mut self, now: Timestamp) {
        let is_forced = self.phase == Phase::Settling && self.ending.is_forced;
        // What was seen funded once stays so until it is concluded, whoever says otherwise.
        if self.was_open || !(self.phase == Phase::Funding || is_forced) {
            return;
        }
        if now < self.setup.fund_by {
            return;
        }
        let Some(view) = &self.view else {
            return;
        };
        // What was seen before the time was over does not count: all may be there since.
        if view.at < self.setup.fund_by {
            return;
        }
        if !self.is_nothing_deposited() {
            if !is_forced {
                self.notify(Event::FundingTimedOut);
                self.force();
            }
        } else if view.at >= self.grace_over() {
            self.abandon(Reason::new(
                RejectCode::TimedOut,
                "nobody deposited in time",
            ));
        }
    }

    /// Says so if the time to refute runs out.
    pub(super) fn warn_if_late(&mut self, now: Timestamp) {
        let Some(half_time) = self.half_time.filter(|half_time| *half_time <= now) else {
            return;
        };
        let newest = self.current().version();
        if let Some(View {
            status: Status::Registered { rank, timeout, .. },
            ..
        }) = &self.view
            && Rank::State(newest) > *rank
            && half_time < *timeout
        {
            let event = Event::RefutationLate {
                registered: *rank,
                newest,
                timeout: *timeout,
            };
            // Told once, and once more if the window has moved by then.
            self.half_time = Some(*timeout);
            self.notify(event);
        }
    }

    /// When something at the adjudicator becomes due.
    pub(super) fn settling_timeout(&self) -> Option<Timestamp> {
        let view = self.view.as_ref()?;
        let fund_by = self.setup.fund_by;
        let half_time = self
            .half_time
            .filter(|half_time| *half_time > self.fired_at);
        let due = match (&self.phase, &view.status) {
            (Phase::Funding, Status::Open { .. }) if view.at < fund_by => fund_by,
            (Phase::Funding, Status::Open { .. }) => self.grace_over(),
            (Phase::Settling, Status::Open { holdings }) if holdings.is_zero() => self.grace_over(),
            (_, Status::Registered { timeout, .. }) => {
                half_time.map_or(*timeout, |half_time| half_time.min(*timeout))
            }
            _ => return None,
        };
        // What was due before was asked for already.
        (due > self.fired_at).then_some(due)
    }

    /// When no deposit that was sent in time can arrive any more.
    fn grace_over(&self) -> Timestamp {
        self.setup.fund_by.saturating_add_nanos(DEPOSIT_GRACE_NS)
    }

    /// Asks for what is to be done at the adjudicator: again after each view, otherwise if it is
    /// something else than before.
    pub(super) fn emit_call(&mut self, now: Timestamp, is_again: bool) {
        let Some(call) = self.wanted_call(now) else {
            // If it is wanted again some time, it is for a new reason.
            self.last_call = None;
            return;
        };
        if is_again || self.last_call.as_ref() != Some(&call) {
            self.last_call = Some(call.clone());
            self.outputs.push_back(Output::Call(call));
        }
    }

    fn wanted_call(&self, now: Timestamp) -> Option<AdjudicatorCall> {
        if matches!(self.phase, Phase::Signing { .. } | Phase::Closed) {
            return None;
        }
        let Some(view) = &self.view else {
            return Some(AdjudicatorCall::Observe);
        };
        let current = self.current();
        match &view.status {
            Status::Open { holdings } => self.wanted_while_open(now, view.at, holdings),
            Status::Registered {
                rank,
                signed,
                timeout,
                holdings,
            } => {
                let is_elapsed = view.at >= *timeout;
                if Rank::State(current.version()) > *rank && !is_elapsed {
                    return Some(self.newest_claim());
                }
                if now < *timeout {
                    return None;
                }
                let state = signed.as_ref().map(SignedState::state);
                let payout = outcome(state, holdings);
                Some(self.withdraw_or(&payout, AdjudicatorCall::Conclude))
            }
            Status::Concluded { remainders, .. } => {
                Some(self.withdraw_or(remainders, AdjudicatorCall::Observe))
            }
        }
    }

    fn wanted_while_open(
        &self,
        now: Timestamp,
        seen_at: Timestamp,
        holdings: &Balances,
    ) -> Option<AdjudicatorCall> {
        let is_due = |instant| now >= instant && seen_at < instant;
        if self.current().state().is_final() {
            return Some(self.newest_claim());
        }
        if self.ending.is_forced {
            // Without a deposit there is nothing to register a claim about.
            if !holdings.is_zero() {
                return Some(self.newest_claim());
            }
            return is_due(self.grace_over()).then_some(AdjudicatorCall::Observe);
        }
        match self.phase {
            Phase::Funding if now >= self.setup.fund_by => {
                let is_worth_it = is_due(self.setup.fund_by) || is_due(self.grace_over());
                is_worth_it.then_some(AdjudicatorCall::Observe)
            }
            Phase::Funding => self
                .wants_to_fund(holdings)
                .then_some(AdjudicatorCall::Fund),
            Phase::Acting => {
                let waits = self.offered.is_some() || (self.is_synced() && self.wants_turn());
                (waits && !self.is_view_fresh(now)).then_some(AdjudicatorCall::Observe)
            }
            Phase::Signing { .. } | Phase::Settling | Phase::Closed => None,
        }
    }

    fn wants_to_fund(&self, holdings: &Balances) -> bool {
        let ours = self.part();
        let mut missing = self.setup.initial.funding().iter().filter(|place| {
            let (asset, part, needed) = *place;
            holdings.at(asset, part).unwrap_or_default() < needed
        });
        if self.setup.funds_last {
            let missing: Vec<_> = missing.map(|(_, part, _)| part).collect();
            !missing.is_empty() && missing.iter().all(|part| *part == ours)
        } else {
            missing.any(|(_, part, _)| part == ours)
        }
    }

    /// The call that registers the newest state.
    fn newest_claim(&self) -> AdjudicatorCall {
        let current = Box::new(self.current().clone());
        if current.state().is_final() {
            AdjudicatorCall::ConcludeFinal(current)
        } else {
            AdjudicatorCall::Dispute(current)
        }
    }

    /// The call that pays us what is ours in `payout`, or another if that is nothing.
    fn withdraw_or(&self, payout: &Balances, otherwise: AdjudicatorCall) -> AdjudicatorCall {
        let part = self.part();
        let mut auths = vec![];
        for (index, row) in payout.rows().enumerate() {
            if row[part.index()].is_zero() || self.kept[index] {
                continue;
            }
            auths.push(self.authorise(AssetIdx::new(index as u8)));
        }
        if auths.is_empty() {
            otherwise
        } else {
            AdjudicatorCall::Withdraw(auths)
        }
    }

    /// The authorisations by which everything of ours goes to our receiver, for whoever withdraws on
    /// our behalf. They are good for ever, and nobody can redirect them.
    pub fn withdrawal_auths(&self) -> Vec<SignedWithdrawalAuth> {
        let assets = 0..self.setup.params.assets().len();
        assets
            .map(|index| self.authorise(AssetIdx::new(index as u8)))
            .collect()
    }

    fn authorise(&self, asset: AssetIdx) -> SignedWithdrawalAuth {
        let auth = self.setup.withdrawal(asset);
        let signature = auth.sign(&self.signer);
        let signed = auth.verify_with::<V>(&self.setup.params, signature);
        signed.expect("the signer's key was compared with the participant's")
    }

    /// What we have in the newest state, asset after asset; empty before there is one.
    pub fn balance(&self) -> Vec<Amount> {
        let current = self.commitments.current();
        current.map_or_else(Vec::new, |current| own_column(current.state(), self.part()))
    }
}

fn is_same_registration(before: &View, rank: Rank) -> bool {
    matches!(&before.status, Status::Registered { rank: last, .. } if *last == rank)
}
