//! What the adjudicator tells: through the subnet, or by one node that proves what it says.

use std::convert::Infallible;

use candid::CandidType;

use perun_canister_api::{
    self as api, ChannelRequest, DepositAccountError, DepositAccountRequest, EventsError,
    EventsRequest, HoldingsAnswer, Info, QueryError, StateAnswer, convert,
};
use perun_protocol::{
    Account, Amount, AssetId, ChallengeDuration, ChannelId, Params, PartIdx, Timestamp,
};
use serde::Deserialize;

use crate::adjudicator::Adjudicator;
use crate::canister::{Request, decode};
use crate::certified::Proof;
use crate::repeat::{ask, call};
use crate::suitability::{check, check_terms};
use crate::{
    CallError, CheckError, DepositAccount, EventRecord, EventsPage, Holdings, Registered, Unproven,
    WrongAnswer,
};

/// How many events are asked for at once; the adjudicator may give fewer.
const PAGE_LENGTH: u32 = 100;

impl Adjudicator {
    /// How the adjudicator is set up, and its time.
    pub async fn info(&self) -> Result<Info, CallError<Infallible>> {
        ask(&self.canister, &Request::read("info", ()), &self.patience).await
    }

    /// Checks that the adjudicator serves a channel with these params, by all the rules by which it
    /// will judge the first deposit. To be done before money moves.
    pub async fn check(&self, params: &Params) -> Result<Info, CheckError> {
        let info = self.info().await.map_err(CheckError::Call)?;
        check(self.id(), &info, params).map_err(CheckError::Unsuitable)?;
        Ok(info)
    }

    /// Checks that the adjudicator would serve a channel of these assets and this challenge duration,
    /// before it is known who takes part.
    pub async fn check_terms(
        &self,
        assets: &[AssetId],
        challenge_duration: ChallengeDuration,
        adjudicator: perun_protocol::Principal,
    ) -> Result<(), CheckError> {
        let info = self.info().await.map_err(CheckError::Call)?;
        check_terms(self.id(), &info, adjudicator, assets, challenge_duration)
            .map_err(CheckError::Unsuitable)
    }

    /// What is held for a channel, `None` if no deposit has arrived.
    pub async fn holdings(
        &self,
        params: &Params,
    ) -> Result<Option<Holdings>, CallError<QueryError>> {
        const METHOD: &str = "query_holdings";
        let request = Request::read(METHOD, (channel_request(params.id()),));
        let outcome = call(&self.canister, &request, &self.patience).await?;
        let answer: HoldingsAnswer = outcome.into_result()?;
        let holdings = answer.holdings.as_ref();
        let holdings = holdings.map(|holdings| Holdings::new(params, holdings));
        holdings
            .transpose()
            .map_err(|wrong| self.nonsense(METHOD, wrong))
    }

    /// What is registered for a channel, `None` if nothing is.
    pub async fn registered(
        &self,
        params: &Params,
    ) -> Result<Option<Registered>, CallError<QueryError>> {
        const METHOD: &str = "query_state";
        let request = Request::read(METHOD, (channel_request(params.id()),));
        let outcome = call(&self.canister, &request, &self.patience).await?;
        let answer: StateAnswer = outcome.into_result()?;
        let registered = answer.registered.as_ref();
        let registered = registered.map(|registered| Registered::new(params, registered));
        registered
            .transpose()
            .map_err(|wrong| self.nonsense(METHOD, wrong))
    }

    /// Where to pay a deposit of `share` to, and how much. The account told is compared with the
    /// one that follows from the params.
    pub async fn deposit_account(
        &self,
        params: &Params,
        part: PartIdx,
        asset: AssetId,
        share: Amount,
    ) -> Result<DepositAccount, CallError<DepositAccountError>> {
        const METHOD: &str = "deposit_account";
        let request = DepositAccountRequest {
            channel: convert::channel_to_candid(&params.id()),
            part: part.number(),
            asset: convert::asset_to_candid(&asset),
            share: share.units(),
        };
        let request = Request::read(METHOD, (request,));
        let outcome = call(&self.canister, &request, &self.patience).await?;
        let answer: api::DepositAccount = outcome.into_result()?;
        let nonsense = |wrong| self.nonsense(METHOD, wrong);
        let answer = DepositAccount::new(&answer).map_err(nonsense)?;
        if answer.account != Account::of_deposit(params, part) {
            return Err(self.nonsense(METHOD, WrongAnswer::DepositAccount));
        }
        if share.checked_add(answer.fee) != Some(answer.amount) {
            return Err(self.nonsense(METHOD, WrongAnswer::DepositAmount));
        }
        Ok(answer)
    }

    /// A page of the event log from index `start` on, only of `channel` if given, at most `length`
    /// long. Pass its `next` as the `start` of the next page.
    pub async fn events(
        &self,
        channel: Option<ChannelId>,
        start: u64,
        length: u32,
    ) -> Result<EventsPage, CallError<EventsError>> {
        const METHOD: &str = "query_events";
        let request = EventsRequest {
            channel: channel.as_ref().map(convert::channel_to_candid),
            start,
            length,
        };
        let request = Request::read(METHOD, (request,));
        let outcome = call(&self.canister, &request, &self.patience).await?;
        let page: api::EventsPage = outcome.into_result()?;
        EventsPage::new(&page, start, channel).map_err(|wrong| self.nonsense(METHOD, wrong))
    }

    /// The end of the event log, from index `start` on, as one node tells it and the subnet's signature
    /// proves it: cheaper and quicker than [`Adjudicator::events`]. `as_of` is the certificate's time, which
    /// may be some minutes past, so that it says nothing of what time it is.
    ///
    /// # Errors
    /// [`WrongAnswer::Unproven`] in a [`CallError::Nonsense`] if the answer is not what was certified; also
    /// if more follows than fits one page ([`Unproven::Length`]), which only [`Adjudicator::events`] can
    /// read. Nothing is repeated.
    pub async fn proven_events(&self, start: u64) -> Result<EventsPage, CallError<EventsError>> {
        const METHOD: &str = "query_events";
        let request = EventsRequest {
            channel: None,
            start,
            length: PAGE_LENGTH,
        };
        let page: Result<api::EventsPage, EventsError> = self.query(METHOD, request).await?;
        let page = page.map_err(|_| WrongAnswer::Unproven(Unproven::NotCertified));
        let page = page.and_then(|page| self.prove_events(page, start));
        page.map_err(|wrong| self.nonsense(METHOD, wrong))
    }

    /// Checks a page that somebody got as an answer to a query of all events from index `start` on: it
    /// does not matter from whom it comes.
    ///
    /// # Errors
    /// [`WrongAnswer::Unproven`] if it is not what was certified, or not the log's end.
    pub fn prove_events(
        &self,
        mut page: api::EventsPage,
        start: u64,
    ) -> Result<EventsPage, WrongAnswer> {
        let (certificate, witness) = (page.certificate.as_ref(), page.witness.as_ref());
        let proof = Proof::verify(self.agent(), self.id(), certificate, witness);
        let proof = proof.map_err(WrongAnswer::Unproven)?;
        proof
            .check_page(&page, start)
            .map_err(WrongAnswer::Unproven)?;
        page.as_of_ns = proof.time.nanos();
        EventsPage::new(&page, start, None)
    }

    /// What is registered for a channel and not concluded, as one node tells it and the subnet's signature
    /// proves it, and as of when. `None` says that nothing is registered or that the channel is concluded.
    ///
    /// # Errors
    /// [`WrongAnswer::Unproven`] in a [`CallError::Nonsense`] if the answer is not what was certified.
    /// Nothing is repeated.
    pub async fn proven_registration(
        &self,
        params: &Params,
    ) -> Result<(Option<Registered>, Timestamp), CallError<QueryError>> {
        const METHOD: &str = "query_state";
        let request = channel_request(params.id());
        let answer: Result<StateAnswer, QueryError> = self.query(METHOD, request).await?;
        let answer = answer.map_err(|_| WrongAnswer::Unproven(Unproven::NotCertified));
        let proven = answer.and_then(|answer| self.prove_registration(params, &answer));
        proven.map_err(|wrong| self.nonsense(METHOD, wrong))
    }

    /// Checks what somebody got as an answer to a query of a channel's state: it does not matter from whom
    /// it comes. What it gives is as [`Adjudicator::proven_registration`] has it.
    ///
    /// # Errors
    /// [`WrongAnswer::Unproven`] if it is not what was certified.
    pub fn prove_registration(
        &self,
        params: &Params,
        answer: &StateAnswer,
    ) -> Result<(Option<Registered>, Timestamp), WrongAnswer> {
        let (certificate, witness) = (answer.certificate.as_ref(), answer.witness.as_ref());
        let proof = Proof::verify(self.agent(), self.id(), certificate, witness);
        let proof = proof.map_err(WrongAnswer::Unproven)?;
        let told = answer.registered.as_ref();
        let timeout = proof.check_registration(params.id(), told);
        let timeout = timeout.map_err(WrongAnswer::Unproven)?;
        let registered = told.zip(timeout).map(|(told, timeout)| {
            let registered = Registered::new(params, told)?;
            Ok(Registered {
                timeout,
                ..registered
            })
        });
        Ok((registered.transpose()?, proof.time))
    }

    /// Asks one node, once.
    async fn query<T, R>(
        &self,
        method: &'static str,
        request: impl CandidType,
    ) -> Result<T, CallError<R>>
    where
        T: CandidType + for<'a> Deserialize<'a>,
    {
        let request = Request::read(method, (request,));
        let answered = self.canister.query(&request).await;
        let bytes = answered.map_err(|error| CallError::Transport {
            error: Box::new(error),
            attempts: 1,
            in_doubt: false,
        })?;
        decode(&bytes).map_err(|wrong| self.nonsense(method, wrong))
    }

    /// Every event of a channel from index `start` on, page by page.
    pub async fn channel_events(
        &self,
        channel: ChannelId,
        start: u64,
    ) -> Result<Vec<EventRecord>, CallError<EventsError>> {
        let mut events = Vec::new();
        let mut next = start;
        loop {
            let page = self.events(Some(channel), next, PAGE_LENGTH).await?;
            events.extend(page.events);
            if page.next >= page.total {
                return Ok(events);
            }
            // A log that has more but never shows it would keep us here for ever.
            if page.next == next {
                let wrong = WrongAnswer::EventOrder { index: next };
                return Err(self.nonsense("query_events", wrong));
            }
            next = page.next;
        }
    }

    /// How many events the log has: where what happens from now on will stand.
    pub(super) async fn log_end(&self) -> Result<u64, CallError<EventsError>> {
        Ok(self.events(None, u64::MAX, 0).await?.total)
    }

    pub(super) fn nonsense<R>(&self, method: &'static str, wrong: WrongAnswer) -> CallError<R> {
        CallError::nonsense(self.id(), method, wrong)
    }
}

fn channel_request(channel: ChannelId) -> ChannelRequest {
    ChannelRequest {
        channel: convert::channel_to_candid(&channel),
    }
}
