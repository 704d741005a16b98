//! What the machine wants done, in the order in which it must be done.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::dispute::Rank;
use crate::payment::Batch;
use crate::wire::{Message, PaymentRequest, Reason, RequestId};
use crate::{Amount, SignedState, SignedWithdrawalAuth, Timestamp, Version};

/// What to do next.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Output {
    /// To be durable before any later output is carried out: a restart must not forget a signature
    /// that the peer may hold.
    Persist(Record),
    /// To be stored soon; nothing waits for it. A crash before costs one round trip with the peer.
    PersistLater(Record),
    /// To be sent to the peer; lost if there is no link.
    Send(Message),
    /// To be carried out at the adjudicator once, after which the channel is looked at again
    /// ([`Channel::handle_view`](super::Channel::handle_view)). It supersedes the call before it.
    Call(AdjudicatorCall),
    /// To be told to the owner.
    Notify(Event),
}

/// What is to be stored of a channel.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Record {
    /// Everything but the payments; it replaces the one before.
    pub snapshot: Vec<u8>,
    /// The payments that lead to a version, kept for ever: who pays (one byte), then the batch.
    pub payments: Option<(Version, Vec<u8>)>,
    /// The version whose payments are to be forgotten, since it was refused.
    pub forget: Option<Version>,
}

/// What only the adjudicator can do.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum AdjudicatorCall {
    /// Look at the channel.
    Observe,
    /// Deposit what the funding says is ours and is not there.
    Fund,
    /// Register this state, or refute by it what is registered.
    Dispute(Box<SignedState>),
    /// Conclude by this final state.
    ConcludeFinal(Box<SignedState>),
    /// Conclude; the timeout has passed.
    Conclude,
    /// Withdraw by each of these authorisations; the first one concludes if the timeout has passed.
    Withdraw(Vec<SignedWithdrawalAuth>),
}

/// What the owner may want to know.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// All deposits are there: payments can be made. After a restart it can come again.
    Opened,
    /// The peer has paid, durably.
    Received {
        /// The version that carries the payments.
        version: Version,
        /// What was paid.
        payments: Batch,
    },
    /// Own payments up to this one (counted from 1) are agreed to by the peer.
    Settled {
        /// The last of them.
        through: u64,
    },
    /// Own payments were not agreed to.
    Refused {
        /// The first of them.
        from: u64,
        /// The last of them.
        through: u64,
        /// What the peer says.
        reason: Reason,
    },
    /// The peer proposes an update, and the owner decides.
    Offered {
        /// Its version; the answer names it.
        version: Version,
        /// What the peer pays.
        payments: Batch,
        /// Whether it is to be the last.
        is_final: bool,
        /// When it is rejected if there is no answer.
        deadline: Timestamp,
    },
    /// The peer asks for a payment.
    Requested(PaymentRequest),
    /// The peer will not pay what it was asked for.
    RequestRejected {
        /// The request.
        id: RequestId,
        /// What the peer says.
        reason: Reason,
    },
    /// Both sides know again what the other knows.
    Synced,
    /// The peer has our signature on a state that this copy does not know: it was restored from an
    /// old one. It has taken over the newest state that the peer has shown.
    RolledBack {
        /// The newest version that this copy knew of.
        knew: Version,
        /// The version shown.
        shown: Version,
    },
    /// The peer does not answer although it is there.
    Unanswered,
    /// A final state was signed by both; payouts follow.
    Closing {
        /// Its version.
        version: Version,
    },
    /// The peer did not agree to close, so that the newest state is registered instead.
    CloseRefused {
        /// What the peer says, `None` if nothing.
        reason: Option<Reason>,
    },
    /// Not everybody deposited in time; what is there goes back.
    FundingTimedOut,
    /// Something is registered at the adjudicator.
    Disputed {
        /// How new it is.
        registered: Rank,
        /// What we can refute it by, if it is newer.
        newest: Version,
        /// Until when it can be refuted.
        timeout: Timestamp,
    },
    /// Half of the time in which the registered state can be refuted is over, and it still stands:
    /// the adjudicator is not reached, or does not take the refutation.
    RefutationLate {
        /// How new what is registered is.
        registered: Rank,
        /// What refutes it.
        newest: Version,
        /// Until when it can be refuted.
        timeout: Timestamp,
    },
    /// The channel is over and everything that was ours is paid out, but for these amounts (one per
    /// asset), which are too small for the ledger's fee.
    Closed {
        /// What was left.
        kept: Vec<Amount>,
    },
    /// The channel never came to be, and nothing was deposited.
    Abandoned {
        /// Why.
        reason: Reason,
    },
}
