//! Waiting until everybody has deposited.

use std::fmt;
use std::time::Duration;

use perun_canister_api::{Phase, QueryError};
use perun_protocol::dispute::{InsufficientFunding, covered};
use perun_protocol::{Balances, Params};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{CallError, Funder};

/// Why it is not known that everybody has deposited.
#[derive(Debug)]
pub enum WaitError {
    /// Time is over.
    TimedOut {
        /// The first deposit that was not there at the last look; `None` if there was no look that
        /// succeeded.
        missing: Option<InsufficientFunding>,
        /// What the last look met if it failed.
        last: Option<CallError<QueryError>>,
    },
    /// Something is registered already, so the deposits are no longer what they are to be.
    NotOpen {
        /// How far the channel is.
        phase: Phase,
    },
    /// The funding waited for has another number of assets or participants than the channel.
    WrongShape,
    /// The adjudicator refuses to answer, or its answers make no sense.
    Read(CallError<QueryError>),
}

impl Funder {
    /// Waits until the deposits of all participants cover `funding`, at most for `timeout`, and
    /// returns them.
    ///
    /// Deposits are looked at once at least, and at regular intervals from then on. While the
    /// adjudicator cannot be reached, waiting goes on.
    ///
    /// # Errors
    /// [`WaitError`].
    pub async fn wait_funded(
        &self,
        params: &Params,
        funding: &Balances,
        timeout: Duration,
    ) -> Result<Balances, WaitError> {
        let nothing = Balances::zero(params.assets().len(), params.participants().len());
        let nothing = nothing.expect("params have a shape that balances can have");
        if !funding.same_shape(&nothing) {
            return Err(WaitError::WrongShape);
        }
        let end = Instant::now() + timeout;
        let (mut missing, mut last) = (None, None);
        loop {
            match timeout_at(end, self.adjudicator.holdings(params)).await {
                Ok(Ok(Some(holdings))) if holdings.phase != Phase::Open => {
                    let phase = holdings.phase;
                    return Err(WaitError::NotOpen { phase });
                }
                Ok(Ok(holdings)) => {
                    let deposits = holdings.map_or_else(|| nothing.clone(), |held| held.amounts);
                    match covered(&deposits, funding) {
                        Ok(()) => return Ok(deposits),
                        Err(short) => (missing, last) = (Some(short), None),
                    }
                }
                Ok(Err(error @ CallError::Transport { .. })) => last = Some(error),
                Ok(Err(error)) => return Err(WaitError::Read(error)),
                Err(_) => return Err(WaitError::TimedOut { missing, last }),
            }
            let next = Instant::now() + self.poll_interval;
            if next >= end {
                return Err(WaitError::TimedOut { missing, last });
            }
            sleep_until(next).await;
        }
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { missing, last } => {
                write!(f, "not everybody has deposited in time")?;
                if let Some(missing) = missing {
                    write!(f, ": {missing}")?;
                }
                match last {
                    Some(error) => write!(f, "; the last look failed: {error}"),
                    None => Ok(()),
                }
            }
            Self::NotOpen { phase } => {
                let word = match phase {
                    Phase::Open => "open",
                    Phase::Registered => "in dispute",
                    Phase::Concluded => "concluded",
                };
                write!(f, "deposits are over, the channel is {word}")
            }
            Self::WrongShape => write!(
                f,
                "the funding has another number of assets or participants than the channel"
            ),
            Self::Read(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WaitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TimedOut { last, .. } => last.as_ref().map(|error| error as _),
            Self::Read(error) => Some(error),
            Self::NotOpen { .. } | Self::WrongShape => None,
        }
    }
}
