//! The one adjudicator of this canister. Nothing borrowed here lives across an await.

use std::cell::RefCell;

use perun_canister::Adjudicator;
use perun_protocol::Timestamp;

thread_local! {
    static ADJUDICATOR: RefCell<Option<Adjudicator>> = const { RefCell::new(None) };
}

const INSTALLED: &str = "init and post_upgrade run before any other message";

/// Puts the adjudicator in its place.
pub fn set(adjudicator: Adjudicator) {
    ADJUDICATOR.set(Some(adjudicator));
}

/// The time of this message.
pub fn now() -> Timestamp {
    Timestamp::from_nanos(ic_cdk::api::time())
}

/// Reads.
pub fn read<R>(f: impl FnOnce(&Adjudicator) -> R) -> R {
    ADJUDICATOR.with_borrow(|adjudicator| f(adjudicator.as_ref().expect(INSTALLED)))
}

/// Changes, after giving a sign of life.
pub fn mutate<R>(f: impl FnOnce(&mut Adjudicator, Timestamp) -> R) -> R {
    ADJUDICATOR.with_borrow_mut(|adjudicator| {
        let adjudicator = adjudicator.as_mut().expect(INSTALLED);
        let now = now();
        adjudicator.observe(now);
        f(adjudicator, now)
    })
}

/// Gives a sign of life, and nothing else.
pub fn observe() {
    mutate(|_, _| ());
}
