//! A channel, as an application uses it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use perun_protocol::channel::{CommandError, PayError};
use perun_protocol::payment::{Entry, History, Payment};
use perun_protocol::view::View;
use perun_protocol::wire::{PaymentRequest, Reason, RejectCode, RequestId, Text};
use perun_protocol::{
    Account, Amount, AssetId, AssetIdx, Balances, ChannelId, Params, PartIdx, PublicKey,
    SignedState, Version,
};

use crate::WithdrawReceipt;
use crate::client::ReadHistoryError;
use crate::driver::{Driver, Fate, Machine, Stage};
use crate::events::Events;

/// A channel with a peer. Cheap to clone; clones are the same channel.
///
/// Dropping it changes nothing: the client goes on watching the adjudicator, refuting old states
/// and answering the peer for as long as it runs, and again after it was started again.
///
/// Futures can be dropped at any time. What they wait for goes on; the events tell how it ends.
#[derive(Clone)]
pub struct Channel {
    driver: Arc<Driver>,
}

/// How a channel ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Closing {
    /// The payouts to our receiver, of every asset that we had some of.
    pub paid_out: Vec<PaidOut>,
    /// What was left of each asset because it is not above the ledger's fee.
    pub kept: Vec<Amount>,
}

/// A payout.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PaidOut {
    /// Of which asset.
    pub asset: AssetId,
    /// Who received it.
    pub receiver: Account,
    /// How much, and where the ledger says so.
    pub receipt: WithdrawReceipt,
}

/// A payment was not made, or it is not known whether it was.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PaymentError {
    /// It was not taken; nothing has changed.
    NotTaken(PayError),
    /// The peer did not agree to it, or it never got so far.
    ///
    /// If it was proposed, we have signed for it, and a dishonest peer can still make use of that in a
    /// dispute, until a newer state is signed by both: [`Channel::secured`] counts it. So pay it again
    /// through this channel, whose next state takes its place, or wait until the channel is over.
    Refused(Reason),
    /// The client has stopped. Whether the payment was made shows when it is started again.
    Stopped,
}

/// Why a channel did not close, as far as known.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CloseError {
    /// The order was not taken; nothing has changed.
    NotTaken(CommandError),
    /// It never came to be.
    Abandoned(Reason),
    /// The client has stopped. Closing goes on when it is started again, if the peer has agreed or
    /// something is registered; otherwise it has to be ordered again.
    Stopped,
}

/// Why a request was not sent.
pub type RequestError = CommandError;

impl Channel {
    pub(crate) fn new(driver: Arc<Driver>) -> Self {
        Self { driver }
    }

    /// Its id.
    pub fn id(&self) -> ChannelId {
        self.driver.id()
    }

    /// The peer's off-chain identity.
    pub fn peer(&self) -> PublicKey {
        *self.driver.peer()
    }

    /// Its params.
    pub fn params(&self) -> Params {
        self.driver.read(|machine| machine.params().clone())
    }

    /// Who we are in it.
    pub fn part(&self) -> PartIdx {
        self.driver.read(|machine| machine.setup().part)
    }

    /// The newest state that both have signed; `None` while version 0 is being signed.
    pub fn newest(&self) -> Option<SignedState> {
        self.driver.read(|machine| machine.newest().cloned())
    }

    /// What is ours of each asset in the newest state.
    pub fn balance(&self) -> Vec<Amount> {
        self.driver.read(|machine| machine.balance())
    }

    /// What each asset leaves us for certain, whatever the peer does: less than
    /// [`Channel::balance`] while a payment is under way or was refused.
    pub fn secured(&self) -> Vec<Amount> {
        self.driver.read(|machine| machine.secured())
    }

    /// What can still be paid of an asset, payments under way taken off. `None` if the channel does
    /// not have it, or no state yet.
    pub fn available(&self, asset: AssetIdx) -> Option<Amount> {
        self.driver.read(|machine| machine.available(asset))
    }

    /// Whether payments can be made, as far as known.
    pub fn is_open(&self) -> bool {
        self.driver.read(|machine| machine.is_open())
    }

    /// Whether version 0 is being signed, or deposits are under way.
    pub fn is_opening(&self) -> bool {
        matches!(*self.driver.stage().borrow(), Stage::Opening)
    }

    /// Whether the peer is there, and both know how far the other is.
    pub fn is_synced(&self) -> bool {
        self.driver.read(|machine| machine.is_synced())
    }

    /// Whether something of ours was proposed that the peer has not answered: whether it is agreed to is
    /// not known yet.
    pub fn has_pending(&self) -> bool {
        self.driver.read(|machine| machine.pending().is_some())
    }

    /// Whether this copy is known to be the newest: since the client was started, the peer has shown
    /// how far it is.
    pub fn is_current(&self) -> bool {
        self.driver.read(|machine| machine.is_current())
    }

    /// What was last seen of it at the adjudicator; `None` before the first look.
    pub fn view(&self) -> Option<View> {
        self.driver.read(|machine| machine.view().cloned())
    }

    /// Pays `amount` of the first asset, and waits until the peer has agreed to it.
    ///
    /// # Errors
    /// [`PaymentError`].
    pub async fn pay(&self, amount: Amount) -> Result<(), PaymentError> {
        let asset = AssetIdx::new(0);
        let memo = None;
        self.make(&Payment {
            asset,
            amount,
            memo,
        })
        .await
    }

    /// Makes a payment of any asset, with or without a memo, and waits until the peer has agreed to
    /// it.
    ///
    /// # Errors
    /// [`PaymentError`].
    pub async fn make(&self, payment: &Payment) -> Result<(), PaymentError> {
        self.queue(payment).map_err(PaymentError::NotTaken)?.await
    }

    /// Makes a payment without waiting: any number can be on their way, and whatever comes while an
    /// update is under way goes into the next one together. What becomes of it is told by the
    /// answer, for those who care to wait.
    ///
    /// # Errors
    /// [`PayError`]; nothing has changed then. After [`PayError::QueueFull`], wait for one that is
    /// on its way.
    pub fn queue(&self, payment: &Payment) -> Result<Queued, PayError> {
        let fate = self.driver.pay(payment)?;
        Ok(self.queued(fate))
    }

    /// Makes several payments without waiting, all or none: they are agreed to together, unless so much
    /// waits that they don't fit one update.
    ///
    /// # Errors
    /// [`PayError`] of the first that is not taken; then none is.
    pub fn queue_together(&self, payments: &[Payment]) -> Result<Vec<Queued>, PayError> {
        let fates = self.driver.pay_together(payments)?.into_iter();
        Ok(fates.map(|fate| self.queued(fate)).collect())
    }

    /// Makes many payments without waiting, for the price of one lock: as many of `payments` as fit
    /// at present. Tells how many were taken, and what becomes of the last of them.
    ///
    /// # Errors
    /// [`PayError`] if not even the first one is taken.
    pub fn queue_all(&self, payments: &[Payment]) -> Result<(usize, Queued), PayError> {
        let (count, fate) = self.driver.pay_all(payments)?;
        Ok((count, self.queued(fate)))
    }

    fn queued(&self, fate: Fate) -> Queued {
        let driver = Arc::clone(&self.driver);
        Queued { driver, fate }
    }

    /// Gives up all payments that were queued and not proposed to the peer yet, whoever queued them;
    /// [`Queued::cancel`] gives up a single one.
    pub fn cancel_queued(&self) {
        self.driver.input(|machine, _| machine.cancel_queued());
    }

    /// Asks the peer to pay `amount` of an asset, within `valid_for`. The payment that answers
    /// it has the digest of the request as its memo.
    ///
    /// # Errors
    /// [`CommandError`]; nothing was sent then.
    pub fn request(
        &self,
        asset: AssetIdx,
        amount: Amount,
        memo: &str,
        valid_for: Duration,
    ) -> Result<PaymentRequest, RequestError> {
        let request = self.draft_request(asset, amount, memo, valid_for);
        self.send_request(&request)?;
        Ok(request)
    }

    /// A request that nobody was told of: for who stores it before he sends it.
    pub fn draft_request(
        &self,
        asset: AssetIdx,
        amount: Amount,
        memo: &str,
        valid_for: Duration,
    ) -> PaymentRequest {
        let shared = self.driver.shared();
        PaymentRequest {
            channel: self.id(),
            id: shared.next_request(),
            asset,
            amount,
            memo: Text::new(memo),
            expires_at: shared.now().saturating_add_nanos(nanos(valid_for)),
        }
    }

    /// Asks the peer by a request that was drafted. It can be sent again, also after a restart: it
    /// stays the same request, whose digest is the memo of the payment that answers it.
    ///
    /// # Errors
    /// [`CommandError`]; nothing was sent then.
    pub fn send_request(&self, request: &PaymentRequest) -> Result<(), RequestError> {
        self.driver
            .input(|machine, _| machine.request(request.clone()))
    }

    /// Tells the peer that its request will not be paid.
    pub fn reject_request(&self, id: RequestId, text: &str) {
        let reason = Reason::new(RejectCode::Declined, text);
        self.driver
            .input(|machine, _| machine.reject_request(id, reason));
    }

    /// Accepts an update that was offered: only where the client was configured to ask.
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed then.
    pub fn accept_update(&self, version: Version) -> Result<(), CommandError> {
        self.driver
            .input(|machine, now| machine.accept_update(now, version))
    }

    /// Rejects an update that was offered.
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed then.
    pub fn reject_update(&self, version: Version, text: &str) -> Result<(), CommandError> {
        let reason = Reason::new(RejectCode::Declined, text);
        self.driver
            .input(|machine, now| machine.reject_update(now, version, &reason))
    }

    /// Closes the channel together with the peer and waits until everything of ours is paid out.
    ///
    /// If the peer does not agree within the client's `close_within`, the newest state is registered
    /// without it, and this waits out the challenge duration too. A client that was started and has
    /// not heard of the peer since may run on an old copy, and does not register anything without its
    /// owner's order: it answers with [`CommandError::NoLink`], and [`Channel::force_close`] is that
    /// order.
    ///
    /// # Errors
    /// [`CloseError`].
    pub async fn close(&self) -> Result<Closing, CloseError> {
        let within_ns = nanos(self.driver.shared().config().close_within);
        let ordered = self.driver.input(|machine, now| {
            if machine.is_open() && !machine.is_current() {
                return Err(CommandError::NoLink);
            }
            machine.close(now, now.saturating_add_nanos(within_ns))
        });
        self.closed_after(ordered).await
    }

    /// Registers the newest state without asking the peer, and waits until everything of ours is
    /// paid out, which takes the challenge duration.
    ///
    /// # Errors
    /// [`CloseError`].
    pub async fn force_close(&self) -> Result<Closing, CloseError> {
        let ordered = self.driver.input(|machine, now| machine.force_close(now));
        self.closed_after(ordered).await
    }

    /// Waits until payments can be made; after a restart, until the adjudicator was seen.
    ///
    /// # Errors
    /// [`CloseError`], never [`CloseError::NotTaken`] with another error than
    /// [`CommandError::Closing`]: it is on its way out, or over.
    pub async fn opened(&self) -> Result<(), CloseError> {
        let mut stage = self.driver.stage();
        let stage = stage
            .wait_for(|stage| !matches!(stage, Stage::Opening))
            .await;
        match stage.as_deref() {
            Ok(Stage::Open) => Ok(()),
            Ok(Stage::Settling { .. } | Stage::Closed(_)) => {
                Err(CloseError::NotTaken(CommandError::Closing))
            }
            Ok(Stage::Abandoned(reason)) => Err(CloseError::Abandoned(reason.clone())),
            Ok(Stage::Opening | Stage::Stopped) | Err(_) => Err(CloseError::Stopped),
        }
    }

    /// Waits until the channel is over, however that comes.
    ///
    /// # Errors
    /// [`CloseError`], never [`CloseError::NotTaken`].
    pub async fn closed(&self) -> Result<Closing, CloseError> {
        let mut stage = self.driver.stage();
        let over = stage
            .wait_for(|stage| {
                matches!(
                    stage,
                    Stage::Closed(_) | Stage::Abandoned(_) | Stage::Stopped
                )
            })
            .await;
        match over.as_deref() {
            Ok(Stage::Closed(closing)) => Ok(closing.clone()),
            Ok(Stage::Abandoned(reason)) => Err(CloseError::Abandoned(reason.clone())),
            _ => Err(CloseError::Stopped),
        }
    }

    async fn closed_after(&self, ordered: Result<(), CommandError>) -> Result<Closing, CloseError> {
        match ordered {
            // Whoever closes twice waits for the same end.
            Ok(()) | Err(CommandError::Closing) => self.closed().await,
            Err(error) => Err(CloseError::NotTaken(error)),
        }
    }

    /// What happens to this channel from now on.
    pub fn events(&self) -> Events {
        self.driver.shared().events(Some(self.id()))
    }

    /// The balances that everything started with.
    pub fn opening(&self) -> Balances {
        let opening = |machine: &Machine| machine.setup().initial.allocation().balances.clone();
        self.driver.read(opening)
    }

    /// All payments since the opening, as they were stored. With the payment app they can be proved
    /// by the newest state ([`History::verify`]).
    ///
    /// # Errors
    /// [`ReadHistoryError`].
    pub fn history(&self) -> Result<History, ReadHistoryError> {
        Ok(History {
            opening: self.opening(),
            entries: self.payments(Version::INITIAL)?,
        })
    }

    /// The payments from a version on, up to the newest state.
    ///
    /// # Errors
    /// [`ReadHistoryError`].
    pub fn payments(&self, from: Version) -> Result<Vec<Entry>, ReadHistoryError> {
        let newest = self.newest().map(|newest| newest.version());
        let newest = newest.unwrap_or(Version::INITIAL);
        self.driver.shared().payments(&self.id(), from, newest)
    }
}

/// A payment on its way: a future of what becomes of it. Dropping it takes nothing back.
pub struct Queued {
    driver: Arc<Driver>,
    fate: Fate,
}

impl Queued {
    /// The payment's number among those of the channel, counted from 1 since the client was started;
    /// events name it.
    pub fn number(&self) -> u64 {
        self.fate.number()
    }

    /// Gives the payment up, if it was not proposed to the peer yet: whether that was so. Then it was
    /// certainly not made, and never will be, and [`PaymentError::Refused`] is what became of it.
    pub fn cancel(&self) -> bool {
        let number = self.number();
        self.driver.input(|machine, _| machine.cancel(number))
    }
}

impl fmt::Debug for Queued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queued")
            .field("channel", &self.driver.id())
            .field("number", &self.number())
            .finish()
    }
}

impl Future for Queued {
    type Output = Result<(), PaymentError>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.fate).poll(context)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for PaymentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTaken(error) => error.fmt(f),
            Self::Refused(reason) => write!(f, "the payment was not made: {reason}"),
            Self::Stopped => write!(
                f,
                "the client has stopped; whether the payment was made shows when it is started again"
            ),
        }
    }
}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTaken(error) => error.fmt(f),
            Self::Abandoned(reason) => write!(f, "the channel never came to be: {reason}"),
            Self::Stopped => write!(
                f,
                "the client has stopped; closing goes on when it is started again, if it was agreed to"
            ),
        }
    }
}

impl std::error::Error for PaymentError {}
impl std::error::Error for CloseError {}
