//! The chain as channels see it: certified views, calls that can be repeated, the log to follow,
//! and the adjudicator's clock.
//!
//! ```text
//!  Clock <──time── Chain::look ─────────────> View            what is, for one channel
//!    ^             Chain::fund, dispute, … ─> Performed       make it so
//!    └────time──── EventFollower::poll ─────> Seen            what happened, for all channels
//! ```
//!
//! What happens here decides nothing: whether to fund, dispute, conclude or withdraw is said by
//! others, again and again until a [`View`] shows that it is done. So every call can be made again
//! after any error, and by a process that remembers nothing of the calls before.

mod clock;
mod error;
mod follower;
mod fund;
mod perform;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use perun_canister_api::{Phase, QueryError};
use perun_protocol::view::{Status, View};
use perun_protocol::{AssetId, Balances, Params, Timestamp};
use tokio::time::Instant;

use crate::{Adjudicator, CallError, Funder, Holdings, WrongAnswer};

pub use clock::Clock;
pub use error::{NotWithdrawn, PerformError, Retry};
pub use follower::{Cursor, EventFollower, FollowError, Seen};
pub use perform::{Kept, Moot, Performed};

/// The adjudicator and the ledgers, as channels need them. Cheap to clone; clones share the clock,
/// and take turns in paying from one account.
#[derive(Clone, Debug)]
pub struct Chain {
    adjudicator: Adjudicator,
    funder: Funder,
    clock: Clock,
    /// One deposit of an asset at a time: the account has one allowance for the adjudicator.
    paying: Arc<Mutex<BTreeMap<AssetId, Arc<tokio::sync::Mutex<()>>>>>,
}

impl Chain {
    /// The chain through the funder's adjudicator. Deposits come from the funder's account.
    pub fn new(funder: Funder) -> Self {
        Self {
            adjudicator: funder.adjudicator().clone(),
            funder,
            clock: Clock::default(),
            paying: Arc::default(),
        }
    }

    /// The adjudicator.
    pub fn adjudicator(&self) -> &Adjudicator {
        &self.adjudicator
    }

    /// The adjudicator's clock, which every look and every poll of the log corrects.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Follows the log from `cursor` on.
    pub fn follower(&self, cursor: Cursor) -> EventFollower {
        EventFollower::new(self.adjudicator.clone(), self.clock.clone(), cursor)
    }

    /// The adjudicator's time, asked for.
    pub async fn time(&self) -> Result<Timestamp, CallError<Infallible>> {
        let sent = Instant::now();
        let now_ns = self.adjudicator.info().await?.now_ns;
        let time = Timestamp::from_nanos(now_ns);
        self.clock.observe(time, sent);
        Ok(time)
    }

    /// Looks at a channel. A channel that no deposit has arrived for is open and holds nothing.
    ///
    /// Each question is answered at another time, and between two of them the channel can go on but
    /// never back. The time is asked for first, so nothing was seen earlier than it says. A channel
    /// that is open or concluded is told in one answer. Of a registered one the holdings are told
    /// first; what is registered came at the same time or later, while they can only have grown.
    pub async fn look(&self, params: &Params) -> Result<View, CallError<QueryError>> {
        let at = self.time().await;
        let at = at.map_err(|error| error.while_in_doubt(self.adjudicator.id(), "info"))?;
        let status = self.status(params).await?;
        Ok(View { at, status })
    }

    async fn status(&self, params: &Params) -> Result<Status, CallError<QueryError>> {
        const METHOD: &str = "query_holdings";
        let Some(held) = self.adjudicator.holdings(params).await? else {
            let nothing = Balances::zero(params.assets().len(), params.participants().len());
            let holdings = nothing.expect("params have a shape that balances can have");
            return Ok(Status::Open { holdings });
        };
        match held.phase {
            Phase::Open => {
                let holdings = held.amounts;
                return Ok(Status::Open { holdings });
            }
            Phase::Concluded => return Ok(concluded(held)),
            Phase::Registered => {}
        }
        match self.adjudicator.registered(params).await? {
            Some(registered) if !registered.concluded => Ok(Status::Registered {
                rank: registered.rank,
                signed: registered.signed_state,
                timeout: registered.timeout,
                holdings: held.amounts,
            }),
            // It was concluded meanwhile, and the deposits are no longer what is to be paid.
            Some(_) => match self.adjudicator.holdings(params).await? {
                Some(held) if held.phase == Phase::Concluded => Ok(concluded(held)),
                _ => Err(self.went_back(METHOD)),
            },
            None => Err(self.went_back("query_state")),
        }
    }

    fn went_back<R>(&self, method: &'static str) -> CallError<R> {
        CallError::nonsense(self.adjudicator.id(), method, WrongAnswer::WentBack)
    }
}

fn concluded(held: Holdings) -> Status {
    Status::Concluded {
        remainders: held.amounts,
        in_flight: held.in_flight,
    }
}
