//! The one adjudicator of this canister. Nothing borrowed here lives across an await.

use std::cell::RefCell;

use perun_canister::Adjudicator;
use perun_protocol::Timestamp;

use crate::{certificate, timers};

thread_local! {
    static ADJUDICATOR: RefCell<Option<Adjudicator>> = const { RefCell::new(None) };
}

const INSTALLED: &str = "init and post_upgrade run before any other message";

/// Puts the adjudicator in its place.
pub fn set(adjudicator: Adjudicator) {
    ADJUDICATOR.set(Some(adjudicator));
    certificate::renew();
}

/// The time of this message.
pub fn now() -> Timestamp {
    Timestamp::from_nanos(ic_cdk::api::time())
}

/// Reads.
pub fn read<R>(f: impl FnOnce(&Adjudicator) -> R) -> R {
    ADJUDICATOR.with_borrow(|adjudicator| f(adjudicator.as_ref().expect(INSTALLED)))
}

/// Changes at the beginning of a message, after giving a sign of life.
pub fn mutate<R>(f: impl FnOnce(&mut Adjudicator, Timestamp) -> R) -> R {
    resume(|adjudicator, now| {
        adjudicator.observe(now);
        f(adjudicator, now)
    })
}

/// Changes behind an await. That an answer arrives is no sign of life: answers also arrive while
/// the canister is being stopped and takes no refutation.
pub fn resume<R>(f: impl FnOnce(&mut Adjudicator, Timestamp) -> R) -> R {
    let result =
        ADJUDICATOR.with_borrow_mut(|adjudicator| f(adjudicator.as_mut().expect(INSTALLED), now()));
    certificate::renew();
    timers::arm();
    result
}
