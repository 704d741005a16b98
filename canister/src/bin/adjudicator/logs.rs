//! What is worth an operator's look, written to the canister's log.

use std::fmt::Display;

use perun_canister::Adjudicator;
use perun_canister::journal::{Entry, JournalNumber};
use perun_canister::logs::{Level, Throttle, line};
use perun_canister::text::PrincipalText;
use perun_canister::verdict::Answer;
use perun_canister_api::INTERFACE;

use crate::state::{now, read};

thread_local! {
    static LOST: Throttle = Throttle::default();
    static REFUSED: Throttle = Throttle::default();
}

fn log(level: Level, event: &str, facts: &[(&str, &dyn Display)]) {
    ic_cdk::api::debug_print(line(level, event, facts));
}

/// The canister has other code, or a set-up for the first time.
pub fn began(event: &str) {
    let info = read(|adjudicator| adjudicator.info(now()));
    let facts: [(&str, &dyn Display); 7] = [
        ("version", &info.version),
        ("interface", &INTERFACE),
        ("ledgers", &info.ledgers.len()),
        ("min_challenge_duration_s", &info.min_challenge_duration_s),
        ("max_challenge_duration_s", &info.max_challenge_duration_s),
        ("channels", &info.channels),
        ("ledger_calls", &info.journal),
    ];
    log(Level::Info, event, &facts);
}

/// Runs a change, and tells of a gap that it noticed.
pub fn noticing_gaps<R>(
    adjudicator: &mut Adjudicator,
    change: impl FnOnce(&mut Adjudicator) -> R,
) -> R {
    let before_ns = adjudicator.gaps_ns();
    let result = change(adjudicator);
    let after_ns = adjudicator.gaps_ns();
    if after_ns != before_ns {
        let seconds = |ns: u64| ns / 1_000_000_000;
        let length_s = seconds(after_ns - before_ns);
        let facts: [(&str, &dyn Display); 2] =
            [("length_s", &length_s), ("total_s", &seconds(after_ns))];
        log(Level::Warn, "gap", &facts);
    }
    result
}

/// Tells of a transfer that a ledger did not make, or of which it is not known.
pub fn answered(number: JournalNumber, entry: &Entry, answer: &Answer) {
    let (event, throttle, reason) = match answer {
        Answer::Paid(_) | Answer::Duplicate(_) => return,
        Answer::Lost => ("outcome_unknown", &LOST, String::new()),
        Answer::TooOld => ("ledger_refused", &REFUSED, "TooOld".into()),
        Answer::Refused(refusal) | Answer::NotDelivered(refusal) => {
            ("ledger_refused", &REFUSED, format!("{refusal:?}"))
        }
    };
    let Some(left_out) = throttle.with(|throttle| throttle.pass(now())) else {
        return;
    };
    let facts: [(&str, &dyn Display); 8] = [
        ("journal", &number.0),
        ("ledger", &PrincipalText(&entry.ledger)),
        ("channel", &entry.channel),
        ("amount", &entry.amount),
        ("fee", &entry.fee),
        ("attempt", &entry.sends),
        ("reason", &reason),
        ("left_out", &left_out),
    ];
    log(Level::Warn, event, &facts);
}
