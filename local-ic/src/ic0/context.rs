//! In which kind of message a system function may be called.

/// What is being executed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub(crate) enum Context {
    /// `canister_init` or `canister_post_upgrade`.
    Init,
    PreUpgrade,
    Update,
    /// A query method called through the replicated path.
    ReplicatedQuery,
    Query,
    CompositeQuery,
    ReplyCallback,
    RejectCallback,
    CompositeReplyCallback,
    CompositeRejectCallback,
    Cleanup,
    CompositeCleanup,
    InspectMessage,
    /// Heartbeat or global timer.
    SystemTask,
    /// The module's start function.
    Start,
}

impl Context {
    /// How the contract-violation text calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::PreUpgrade => "pre upgrade",
            Self::Update => "update",
            Self::ReplicatedQuery => "replicated query",
            Self::Query => "non replicated query",
            Self::CompositeQuery => "composite query",
            Self::ReplyCallback => "reply callback",
            Self::RejectCallback => "reject callback",
            Self::CompositeReplyCallback => "composite query reply callback",
            Self::CompositeRejectCallback => "composite query reject callback",
            Self::Cleanup => "cleanup",
            Self::CompositeCleanup => "composite query cleanup",
            Self::InspectMessage => "inspect message",
            Self::SystemTask => "system task",
            Self::Start => "start",
        }
    }

    /// Whether every replica of a subnet would run this.
    pub(crate) fn is_replicated(self) -> bool {
        !matches!(
            self,
            Self::Query
                | Self::CompositeQuery
                | Self::CompositeReplyCallback
                | Self::CompositeRejectCallback
                | Self::CompositeCleanup
                | Self::InspectMessage
        )
    }
}

/// A set of contexts.
#[derive(Clone, Copy)]
pub(crate) struct Contexts(u32);

impl Contexts {
    const fn of(contexts: &[Context]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < contexts.len() {
            bits |= 1 << contexts[index] as u32;
            index += 1;
        }
        Self(bits)
    }

    pub(crate) fn contain(self, context: Context) -> bool {
        self.0 & (1 << context as u32) != 0
    }
}

use Context::*;

/// Even during start.
pub(crate) const ALL: Contexts = Contexts(u32::MAX);
/// All but start: there is a canister, a caller and a time to speak of.
pub(crate) const MESSAGES: Contexts = Contexts(!(1 << Start as u32));
/// A payload came with the message.
pub(crate) const WITH_ARG: Contexts = Contexts::of(&[
    Init,
    Update,
    ReplicatedQuery,
    Query,
    CompositeQuery,
    ReplyCallback,
    CompositeReplyCallback,
    InspectMessage,
]);
/// Somebody called, about whom there may be more to know than his id.
pub(crate) const CALLED: Contexts = Contexts::of(&[
    Update,
    ReplicatedQuery,
    Query,
    CompositeQuery,
    ReplyCallback,
    RejectCallback,
    CompositeReplyCallback,
    CompositeRejectCallback,
    Cleanup,
    CompositeCleanup,
    InspectMessage,
]);
/// There is a caller to answer, and a deadline for that.
pub(crate) const ANSWERING: Contexts = Contexts::of(&[
    Update,
    ReplicatedQuery,
    Query,
    CompositeQuery,
    ReplyCallback,
    RejectCallback,
    CompositeReplyCallback,
    CompositeRejectCallback,
]);
/// An answer came, or what ran for it trapped.
pub(crate) const ANSWERED: Contexts = Contexts::of(&[
    ReplyCallback,
    RejectCallback,
    CompositeReplyCallback,
    CompositeRejectCallback,
    Cleanup,
]);
pub(crate) const REJECT_CALLBACKS: Contexts =
    Contexts::of(&[RejectCallback, CompositeRejectCallback]);
/// Cycles may have come with the call.
pub(crate) const WITH_CYCLES: Contexts =
    Contexts::of(&[Update, ReplicatedQuery, ReplyCallback, RejectCallback]);
pub(crate) const WITH_REFUND: Contexts = Contexts::of(&[ReplyCallback, RejectCallback]);
pub(crate) const CALLING: Contexts = Contexts::of(&[
    Update,
    CompositeQuery,
    ReplyCallback,
    RejectCallback,
    CompositeReplyCallback,
    CompositeRejectCallback,
    SystemTask,
]);
/// A call may carry cycles: queries have none to give.
pub(crate) const PAYING: Contexts =
    Contexts::of(&[Update, ReplyCallback, RejectCallback, SystemTask]);
pub(crate) const CERTIFYING: Contexts = Contexts::of(&[
    Init,
    PreUpgrade,
    Update,
    ReplyCallback,
    RejectCallback,
    SystemTask,
]);
/// Also before an upgrade, which turns the timer off a moment later.
pub(crate) const TIMER: Contexts = Contexts::of(&[
    Init,
    PreUpgrade,
    Update,
    ReplyCallback,
    RejectCallback,
    Cleanup,
    SystemTask,
]);
/// Wherever changes to the balance last.
pub(crate) const REPLICATED: Contexts = Contexts::of(&[
    Init,
    PreUpgrade,
    Update,
    ReplicatedQuery,
    ReplyCallback,
    RejectCallback,
    Cleanup,
    SystemTask,
]);
pub(crate) const CERTIFIED_QUERY: Contexts = Contexts::of(&[Query, CompositeQuery]);
pub(crate) const INSPECT: Contexts = Contexts::of(&[InspectMessage]);
